"""Was it undone? By the metrics and the declared checks, never by an exit status (S3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import events as e
from rollbackd.core import scope
from rollbackd.core.ladder import open_life_matter, resolve_matter, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.model import Check, Ms
    from rollbackd.core.soft import Recovery
    from rollbackd.core.state import Firing, Life, Seen, Verification
    from rollbackd.core.turn import Turn

HAND_INTERVAL: Ms = 15_000
"""How often checks of a life without triggers are asked."""


def begin(turn: Turn, life: Life) -> None:
    triggers = list(life.triggers.values())
    interval = max((trigger.interval for trigger in triggers), default=HAND_INTERVAL)
    settle = life.plan.settle
    if settle is None:
        settle = max((trigger.recovery().longest_range for trigger in triggers), default=0)
    within = life.plan.verify_within
    if within is None:
        within = settle + 2 * max(life.plan.verify_windows, 1) * interval
    began = life.last_step_ended if life.last_step_ended is not None else turn.now
    turn.emit(
        e.VerificationBegan(
            at=turn.now,
            life=life.id,
            settled=began + settle,
            deadline=turn.now + within,  # later than the last step where a hold came between
            interval=interval,
        )
    )


def progress(turn: Turn, life: Life, verification: Verification) -> None:
    if _proven(turn, life, verification):
        turn.emit(e.RollbackVerified(at=turn.now, life=life.id, windows=_evidence(turn, life)))
        tell(turn, life, f"{life.plan.name}: recovery verified ({life.id})", "")
        for other in list(turn.state.lives.values()):
            if other.state == "expired" and other.plan.name == life.plan.name:
                resolve_matter(turn, f"life/{other.id}", f"{life.id} verified")
    elif turn.now >= verification.deadline:
        missing: str | None = "; ".join(_missing(turn, life, verification)) or "nothing to verify it by"
        if missing is not None and _still_breaches(turn, life):
            missing = scope.or_wider(turn, life, f"recovery not proven: {missing}")
        if missing is None:
            return
        turn.emit(e.LifeEnded(at=turn.now, life=life.id, end="unverified", detail=missing))
        open_life_matter(turn, turn.state.lives[life.id], "unverified", missing)
        tell(turn, life, f"{life.plan.name}: recovery not proven ({life.id})", missing)


def _proven(turn: Turn, life: Life, verification: Verification) -> bool:
    checks = [check for check in life.plan.verification if check.on_fail == "fail"]
    subjects = _subjects(life)
    if not checks and not subjects:
        return False
    heard = all(check.name in verification.last_asked for check in life.plan.verification)
    if not heard and turn.now < verification.deadline:  # one that warns may be the slowest
        return False
    return not any(True for _ in _missing(turn, life, verification))


def _still_breaches(turn: Turn, life: Life) -> bool:
    """Whether the part that was rolled back was not enough; silence does not say so."""
    counted = (turn.soft.recoveries.get((life.id, found.trigger, found.subject)) for found in _subjects(life))
    return any(recovery is not None and recovery.breached for recovery in counted)


def _subjects(life: Life) -> tuple[Firing, ...]:
    """The firing subjects that must recover; `verify_windows: 0` leaves it to the checks."""
    return life.firings if life.plan.verify_windows else ()


def _missing(turn: Turn, life: Life, verification: Verification) -> Iterator[str]:
    """What is not proven yet, for people."""
    for check in life.plan.verification:
        passes = verification.passes.get(check.name, 0)
        if check.on_fail == "fail" and passes < wanted_passes(life, check):
            last = life.checks.get(f"verify/{check.name}")
            said = f" (last: {last.answer.replace('_', ' ')}: {last.detail})" if last is not None else ""
            yield f"check {check.name} passed {passes} of {wanted_passes(life, check)} times{said}"
    for found in _subjects(life):
        recovery = turn.soft.recoveries.get((life.id, found.trigger, found.subject))
        run = recovery.run if recovery is not None else 0
        if run >= life.plan.verify_windows:
            continue
        if recovery is None or not _gone(life, recovery) or not _substitute(life, verification):
            subject = " ".join(f"{k}={v}" for k, v in found.labels.items())
            who = f"{found.trigger}{{{subject}}}" if subject else found.trigger
            watch = turn.soft.watch(life.triggers[found.trigger], recovery=True)
            silent = watch.unreachable if watch is not None else None
            why = f" (Prometheus does not answer: {silent[1]})" if silent is not None else ""
            yield f"{who} was ok in {run} of {life.plan.verify_windows} windows{why}"


def _gone(life: Life, recovery: Recovery) -> bool:
    """Whether it has not breached since, and the newest windows that count, as many as would have had to
    be ok, show it gone or without traffic. After a start nothing has been seen yet: not the same."""
    wanted = max(life.plan.verify_windows, 1)
    last = recovery.seen[-wanted:]
    silent = len(last) == wanted and all(seen.verdict != "ok" for seen in last)
    return silent and not recovery.breached


def _substitute(life: Life, verification: Verification) -> bool:
    """A subject that is gone or lacks traffic proves nothing; a declared query does instead."""
    wanted = max(life.plan.verify_windows, 1)
    return any(
        check.query is not None and verification.passes.get(check.name, 0) >= wanted
        for check in life.plan.verification
    )


def wanted_passes(life: Life, check: Check) -> int:
    return check.windows if check.windows is not None else max(life.plan.verify_windows, 1)


def checks_due(life: Life, verification: Verification) -> Iterator[tuple[Check, Ms]]:
    """The checks to ask, each interval after `settle`, until verified; with when (steady)."""
    for check in life.plan.verification:
        asked = verification.last_asked.get(check.name)
        at = verification.settled if asked is None else asked + verification.interval
        yield check, max(at, verification.settled)


def _evidence(turn: Turn, life: Life) -> dict[str, tuple[Seen, ...]]:
    evidence: dict[str, tuple[Seen, ...]] = {}
    for found in life.firings:
        recovery = turn.soft.recoveries.get((life.id, found.trigger, found.subject))
        if recovery is not None:
            evidence[f"{found.trigger}/{found.subject}"] = tuple(recovery.seen)
    return evidence
