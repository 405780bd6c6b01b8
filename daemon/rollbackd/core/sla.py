"""The clock from the decision to verified, and what its breach means (S1, S2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import events as e
from rollbackd.core import scope, wording
from rollbackd.core.ladder import open_matter, resolve_matter
from rollbackd.core.notation import span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.model import Ms
    from rollbackd.core.state import Life, State
    from rollbackd.core.turn import Turn

SLA: dict[int, Ms] = {2: 30 * 60_000, 3: 15 * 60_000, 4: 10 * 60_000}
"""By the plan's level (S1)."""

TARGET: dict[int, Ms] = {2: 20 * 60_000, 3: 10 * 60_000, 4: 5 * 60_000}
"""What a plan of that level aims at (S1)."""

CONSEQUENCES: dict[int, str] = {
    2: "review the plan",
    3: "incident review required",
    4: "executive review required",
}


def deadline(life: Life) -> Ms | None:
    """When the SLA is breached; None where its clock does not run."""
    if life.decided is None or life.began is None or life.verified is not None:
        return None
    return life.decided + life.plan.allowed()


def region_deadlines(life: Life) -> Iterator[tuple[str, Ms]]:
    """Of the regions whose clock runs: from their first step to the end of their last (S1)."""
    if life.began is None or life.ended is not None or life.verified is not None:
        return
    steps = {step.name: step for phase, step in life.plan.steps() if not phase.after_verified}
    left = {step.region for rest in scope.ahead(life) for _, step in rest if step.name in steps}
    begun: dict[str, Ms] = {}
    began = [(one.step, one.began) for one in life.steps] + [(one.step, one.began) for one in life.currents]
    for name, at in began:
        region = steps[name].region if name in steps else ""
        if region:
            begun[region] = min(at, begun.get(region, at))
    for region, at in begun.items():
        if region in left:
            yield region, at + life.plan.sla


def progress(turn: Turn) -> None:
    for life in list(turn.state.lives.values()):
        at = deadline(life)
        if at is not None and not life.sla_breached and turn.now >= at:
            _breached(turn, life, life.plan.allowed())
        for region, at in region_deadlines(life):
            if region not in life.regions_breached and turn.now >= at:
                _breached(turn, life, life.plan.sla, region)
    for key, matter in list(turn.state.matters.items()):
        if matter.kind == "sla" and _settled(turn.state, matter.life or ""):
            resolve_matter(turn, key, "the rollback is over")


def _breached(turn: Turn, life: Life, sla: Ms, region: str = "") -> None:
    consequence = CONSEQUENCES[life.plan.level]
    turn.emit(e.SlaBreached(at=turn.now, life=life.id, sla=sla, consequence=consequence, region=region))
    where = f" in {region}" if region else ""
    open_matter(
        turn,
        "sla",
        f"{life.id}/{region}" if region else life.id,
        "sla",
        title=f"{life.plan.name}: SLA of {span(sla)} breached{where} ({life.id})",
        text=(
            f"The rollback is {life.shown()} and not verified. Level {life.plan.level}: {consequence}.\n"
            f"Owner: {life.plan.owner}"
        ),
        labels=wording.life_labels(turn.config, life) | ({"region": region} if region else {}),
        annotations=wording.life_annotations(life),
        life=life.id,
        plan=life.plan.name,
    )


def _settled(state: State, life_id: str) -> bool:
    life = state.lives.get(life_id)
    return life is None or life.verified is not None or life.resolution is not None


def alarms(state: State) -> Iterator[Ms]:
    for life in state.lives.values():
        at = deadline(life)
        if at is not None and not life.sla_breached:
            yield at
        for region, until in region_deadlines(life):
            if region not in life.regions_breached:
                yield until
