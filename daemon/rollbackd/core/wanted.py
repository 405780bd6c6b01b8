"""What the open lives need done, from their state alone: so a restart needs no special path."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rollbackd.core import capture, impact, validation, verification
from rollbackd.core.effects import RunCheck, RunStep, StopStep, WriteReport
from rollbackd.core.model import Check
from rollbackd.core.notation import quotient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.effects import Effect
    from rollbackd.core.model import Ms, Phase, Step
    from rollbackd.core.state import Current, Life, State


def at_hand(life: Life, current: Current) -> tuple[Phase, Step]:
    return next(
        (phase, step)
        for phase, step in life.plan.steps()
        if (phase.name, step.name) == (current.phase, current.step)
    )


def checks_wanted(life: Life) -> list[tuple[str, Check]]:
    """What `checking` asks: safety checks, the release that runs, whether it may still be undone."""
    plan = life.plan
    wanted = [(f"safety/{check.name}", check) for check in plan.safety_checks if check.shown is None]
    if (stored := capture.stored(life)) is not None:
        wanted.append(("capture", Check("capture", stored=stored)))
    if plan.release is not None:
        wanted.append(("release", Check("release", run=plan.release)))
    if plan.reversible_while is not None:
        wanted.append(("reversible", Check("reversible_while", run=plan.reversible_while.run)))
    return wanted


def effects(state: State) -> Iterator[Effect]:
    """What the open lives need done, from their state alone."""
    instance = state.config.instance if state.config is not None else ""
    yield from capture.effects(state)
    yield from (WriteReport(life, number) for life, number in state.owed_reports.items())
    for life in state.lives.values():
        if life.validating():
            for slot, check, at in validation.checks_due(life):
                yield _check(life, slot, check, instance, not_before=at)
        if life.measuring():
            for slot, check, at in impact.due(life):
                yield _check(life, slot, check, instance, not_before=at)
        if life.ended is not None:
            continue
        if life.began is None:
            if life.state == "checking":
                for slot, check in checks_wanted(life):
                    if slot not in life.checks:
                        yield _check(life, slot, check, instance)
        elif life.currents:
            for current in life.currents:
                yield from _of_step(life, current, instance)
        elif life.verified is not None:
            if life.plan.release is not None and "restored/release" not in life.checks:
                check = Check("release", run=life.plan.release)
                yield _check(life, "restored/release", check, instance)
        elif life.verification is not None and life.held is None and life.parked is None:
            for check, at in verification.checks_due(life, life.verification):
                yield _check(life, f"verify/{check.name}", check, instance, not_before=at)


def _of_step(life: Life, current: Current, instance: str) -> Iterator[Effect]:
    phase, step = at_hand(life, current)
    env = environment(life, instance, phase, step, current)
    match current.stage:
        case "guarding" if f"guard/{phase.name}" not in life.checks:
            guard = life.plan.reversible_while
            if guard is not None:
                check = Check("reversible_while", run=guard.run)
                yield _check(life, f"guard/{phase.name}", check, instance)
        case "running" if step.run is not None:
            yield RunStep(
                life=life.id,
                execution=current.execution,
                phase=phase.name,
                step=step.name,
                plan_hash=life.plan.hash,
                run=step.run,
                env=env,
                interruptible=step.interruptible(),
                expect=step.expect,
                not_after=current.not_after,
            )
            if life.abort == "now":
                yield StopStep(life.id, current.execution)
        case "probing" if f"probe/{current.execution}" not in life.checks and step.probe is not None:
            check = Check(f"{step.name} probe", run=step.probe)
            yield RunCheck(_key(life, f"probe/{current.execution}"), check, life.plan.hash, env)
        case "verifying" if step.verify is not None:
            answered = life.checks.get(f"step/{current.execution}")
            if answered is None or answered.at < current.since:
                check = Check(f"{step.name} verify", query=step.verify.query)
                key = _key(life, f"step/{current.execution}")
                yield RunCheck(key, check, life.plan.hash, env, until=current.until)


def _key(life: Life, slot: str) -> str:
    return f"check/{life.id}/{slot}"


def _check(life: Life, slot: str, check: Check, instance: str, *, not_before: Ms = 0) -> RunCheck:
    env = environment(life, instance)
    check = capture.resolved(life, check)
    return RunCheck(_key(life, slot), check, life.plan.hash, env, not_before)


def _number(value: str) -> str:
    """One number, also for a ratio; of a composed condition one for each leaf, or `-` (W10)."""
    return ", ".join(map(_one_number, value.split(", ")))


def _one_number(value: str) -> str:
    number = quotient(value)
    return value if number is None or "/" not in value else repr(number)


def environment(
    life: Life,
    instance: str,
    phase: Phase | None = None,
    step: Step | None = None,
    current: Current | None = None,
) -> dict[str, str]:
    """What a script sees. Operator text and labels are values only, never names (X2)."""
    first = life.firings[0] if life.firings else None
    subjects = [found.labels for found in life.firings] or [life.subject]
    deadline = (life.decided or life.opened) + life.plan.allowed()
    env = {
        "ROLLBACK_ID": life.id,
        "ROLLBACK_INSTANCE": instance,
        "ROLLBACK_PLAN": life.plan.name,
        "ROLLBACK_SCOPE": life.plan.scope,
        "ROLLBACK_TRIGGER": life.trigger,
        "ROLLBACK_REASON": life.reason,
        "ROLLBACK_VALUE": _number(first.value) if first is not None else "",
        "ROLLBACK_THRESHOLD": first.limit if first is not None else "",
        "ROLLBACK_SUBJECTS": json.dumps(subjects, sort_keys=True),
        "ROLLBACK_ROLLOUT": life.rollout or "",
        "ROLLBACK_PREVIOUS_VERSION": life.previous or "",
        "ROLLBACK_NEXT_VERSION": life.next or "",
        "ROLLBACK_CAPTURE": life.capture or "",
        "ROLLBACK_DEADLINE": str(deadline // 1000),
        "ROLLBACK_REHEARSAL": "0",
        "ROLLBACK_VERBOSE": "1" if current is not None and current.attempt > 1 else "0",
    }
    if phase is not None and step is not None and current is not None:
        env["ROLLBACK_PHASE"] = phase.name
        env["ROLLBACK_STEP"] = step.name
        env["ROLLBACK_REGION"] = step.region
        env["ROLLBACK_ATTEMPT"] = str(current.attempt)
    return {**life.plan.env, **env}
