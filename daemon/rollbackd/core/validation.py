"""Whether it stays well: for a quarter of an hour, an hour, a day after *verified* (S4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import events as e
from rollbackd.core import wording
from rollbackd.core.ladder import open_matter, resolve_matter, tell
from rollbackd.core.model import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.model import Check, Item, Ms, ValidationStage
    from rollbackd.core.state import Life, State, Validating
    from rollbackd.core.turn import Turn

FAILS = 2
"""A check that fails so often in a row has failed; once is chance."""


def begin(turn: Turn, life: Life) -> None:
    """Call it before the life ends: it stays in the state for as long as this goes on."""
    if life.plan.stages():
        turn.emit(e.ValidationBegan(at=turn.now, life=life.id))


def stage_at_hand(life: Life) -> ValidationStage | None:
    stages = life.plan.stages()
    if life.validation is None or life.validation.ended is not None:
        return None
    return stages[life.validation.stage] if life.validation.stage < len(stages) else None


def stage_ends(life: Life, validation: Validating) -> Ms:
    stages = life.plan.stages()
    return validation.began + STAGES[stages[validation.stage].name][0]


def items(life: Life, stage: ValidationStage) -> tuple[Item, ...]:
    """What people are to look at by its end; what verifies by hand, by the end of the first."""
    first = life.plan.stages()[0]
    return (*(life.plan.manual_verification if stage == first else ()), *stage.items)


def looked_at(life: Life) -> Iterator[tuple[ValidationStage, Check]]:
    """The checks of the stage at hand; and those of earlier ones that are failing, until they pass."""
    stage, validation = stage_at_hand(life), life.validation
    if stage is None or validation is None:
        return
    own = {check.name for check in stage.checks}
    for earlier in life.plan.stages()[: validation.stage]:
        for check in earlier.checks:
            if check.name in validation.failing and check.name not in own:
                yield earlier, check
    for check in stage.checks:
        yield stage, check


def checks_due(life: Life) -> Iterator[tuple[str, Check, Ms]]:
    """The slot of each check that is looked at, and when it is to be asked (steady)."""
    validation = life.validation
    if validation is None:
        return
    for stage, check in looked_at(life):
        every = check.every if check.every is not None else STAGES[stage.name][1]
        asked = validation.last_asked.get(check.name)
        yield (
            f"validate/{stage.name}/{check.name}",
            check,
            validation.began if asked is None else asked + every,
        )


def progress(turn: Turn) -> None:
    for life in list(turn.state.lives.values()):
        if not life.validating():
            continue
        why = _overtaken(turn, life)
        if why:
            end(turn, life, why)
            continue
        _judge(turn, life)
        _end_stages(turn, turn.state.lives[life.id])


def _overtaken(turn: Turn, life: Life) -> str:
    """A newer change, or a newer rollback of the same services: what is seen then is not this one's."""
    verified, services = life.verified or 0, set(life.plan.services)
    rollout = turn.state.rollouts.get(life.plan.name)
    if rollout is not None and rollout.state == "open" and rollout.began >= verified:
        return f"{rollout.id} began"
    for other in turn.state.lives.values():
        newer = other.id != life.id and other.began is not None and other.began >= verified
        if newer and not services.isdisjoint(other.plan.services):
            return f"{other.id} began"
    return ""


def _judge(turn: Turn, life: Life) -> None:
    validation = life.validation
    if validation is None:
        return
    for stage, check in looked_at(life):
        fails = validation.fails.get(check.name, 0)
        said = life.checks.get(f"validate/{stage.name}/{check.name}")
        if fails >= FAILS and check.name not in validation.failing and check.on_fail == "fail":
            detail = said.detail if said is not None else ""
            event = e.ValidationFailed(
                at=turn.now, life=life.id, stage=stage.name, check=check.name, detail=detail
            )
            turn.emit(event)
            _page(turn, life, check.name, detail)
        elif check.name in validation.failing and said is not None and said.answer == "pass":
            turn.emit(e.ValidationRecovered(at=turn.now, life=life.id, stage=stage.name, check=check.name))
            resolve_matter(turn, f"relapse/{life.id}/{check.name}", f"check {check.name} passes again")


def _page(turn: Turn, life: Life, check: str, detail: str) -> None:
    open_matter(
        turn,
        "relapse",
        f"{life.id}/{check}",
        check,
        title=f"{life.plan.name}: not well any more after {life.id} ({check})",
        text=(
            f"Look at the service; `rollbackd start {life.plan.name} --reason …` rolls back again.\n"
            f"Check {check} failed {FAILS} times running: {detail}\n"
            f"{life.id} was verified {wording.moment(life.verified or 0)}.\n"
            "If nobody acts: nothing happens by itself."
        ),
        labels=wording.life_labels(turn.config, life),
        annotations=wording.life_annotations(life),
        life=life.id,
        plan=life.plan.name,
        trigger=life.trigger or None,
    )


def _end_stages(turn: Turn, life: Life) -> None:
    while (stage := stage_at_hand(life)) is not None and life.validation is not None:
        if turn.now < stage_ends(life, life.validation):
            return
        _end_stage(turn, life, stage, life.validation)
        life = turn.state.lives[life.id]
    if life.validation is not None and not life.validation.failing:  # else a person has to resolve it
        end(turn, life)


def _end_stage(turn: Turn, life: Life, stage: ValidationStage, validation: Validating) -> None:
    passed = validation.passed
    unticked = tuple(item.item for item in items(life, stage) if item.item not in life.ticks)
    turn.emit(
        e.StageEnded(
            at=turn.now,
            life=life.id,
            stage=stage.name,
            failing=tuple(validation.failing),
            unproven=tuple(check.name for check in stage.checks if not passed.get(check.name)),
            unticked=unticked,
        )
    )
    if unticked:
        owners = {item.item: item.owner for item in items(life, stage)}
        lines = [f"- {item}" + (f" ({owners[item]})" if owners[item] else "") for item in unticked]
        title = f"{life.plan.name}: nobody has looked yet ({life.id}, {stage.name.replace('_', ' ')})"
        tell(turn, turn.state.lives[life.id], title, "\n".join([*lines, f"`rollbackd tick {life.id} ITEM`"]))


def end(turn: Turn, life: Life, why: str = "") -> None:
    """It is over, or `why` has overtaken it; so are its pages."""
    failing = life.validation.failing if life.validation is not None else {}
    for check in failing:
        resolve_matter(turn, f"relapse/{life.id}/{check}", why or "the validation is over")
    turn.emit(e.ValidationEnded(at=turn.now, life=life.id, why=why))


def alarms(state: State) -> Iterator[Ms]:
    for life in state.lives.values():
        if life.validation is not None and stage_at_hand(life) is not None:
            yield stage_ends(life, life.validation)
