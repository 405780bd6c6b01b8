"""Running a plan: phase by phase, step by step, never two at once (X1–X9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import events as e
from rollbackd.core import scope, validation, verification, wanted
from rollbackd.core.effects import RunCheck
from rollbackd.core.ladder import open_life_matter, resolve_matter, tell
from rollbackd.core.notation import about, span, visible
from rollbackd.core.waiting import not_after, progress_refused
from rollbackd.core.wanted import at_hand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.model import Ms, Phase, Step
    from rollbackd.core.signals import CheckAnswered, StepBegan, StepExited
    from rollbackd.core.state import Current, Life, ParkReason, Stage
    from rollbackd.core.turn import Turn

MOST_DOUBTS = 3
"""X4: a step in doubt is run again, uncounted, at most this often."""

LONGEST_BACKOFF: Ms = 5 * 60_000


def progress(turn: Turn, life: Life) -> None:
    """Take a life that has begun one step on, if it can go."""
    if life.wait == "refused" or life.state == "waiting_approval":
        progress_refused(turn, life)
    elif life.state == "parked":
        if life.abort is not None and not life.step_running():
            _end(turn, life, "aborted", f"aborted by {life.aborted_by}, while parked")
    elif life.currents:
        _at_work(turn, life)
    elif (failed := _failed(life)) is not None:
        _fail(turn, life, failed)
    elif life.abort is not None and life.verified is None:
        _end(turn, life, "aborted", f"aborted by {life.aborted_by}")
    elif life.held is not None:
        return
    elif life.verified is None and life.verification is not None:
        verification.progress(turn, life, life.verification)
    else:
        _next_step(turn, life)


def _at_work(turn: Turn, life: Life) -> None:
    """Each step at hand goes on by itself: one, or the same one in several regions."""
    if _going_down(life):
        _fail(turn, life, _failed(life) or "")
        return
    for known in life.currents:
        life = turn.state.lives[life.id]
        current = life.at_hand(known.step)
        if current is not None and life.ended is None and life.parked is None:
            _go_on(turn, life, current)
    life = turn.state.lives[life.id]
    if life.ended is None and life.parked is None and life.currents and not _stopping(life):
        _reach(turn, life)


def _failed(life: Life) -> str | None:
    """What the plan cannot go on after: a step that failed in a phase it needs."""
    lenient = {phase.name for phase in life.plan.phases if phase.on_failure == "continue"}
    failed = (one for one in life.steps if one.result == "failed" and one.phase not in lenient)
    record = next(failed, None) if life.verified is None else None
    return f"phase {record.phase}, step {record.step}: {record.detail}" if record is not None else None


def _abort(turn: Turn, life: Life, current: Current, detail: str) -> None:
    """Once the steps of other regions have ended too."""
    others = [each for each in life.currents if each.step != current.step]
    if not any(_busy(each) for each in others):
        _end(turn, life, "aborted", f"aborted by {life.aborted_by}{detail}")


def _busy(current: Current) -> bool:
    """Something of it runs still, or is to be judged."""
    if current.stage == "doubtful":
        return current.outcome != "stopped"
    return current.stage in ("running", "ended", "probing", "verifying")


def _stopping(life: Life) -> bool:
    """Nothing more is started: one region failed, or somebody stops it."""
    return _failed(life) is not None or life.abort is not None or life.held is not None


def _given_up(life: Life, current: Current) -> bool:
    """Its phase failed in another region: nothing more of it is started (X1)."""
    return current.phase in life.failed_phases or (
        life.verified is not None and life.cleanup_failed is not None
    )


def _going_down(life: Life) -> bool:
    """One region failed, and in no other does anything run still, or wait to be judged."""
    return _failed(life) is not None and not any(map(_busy, life.currents))


def _next_step(turn: Turn, life: Life) -> None:
    if _following(life):
        if not _overrun(turn, life):
            _reach(turn, life)
    elif life.verified is None:
        verification.begin(turn, life)
    else:
        _finish(turn, life)


def _reach(turn: Turn, life: Life) -> None:
    """The next step; of one that runs in several regions at once, as many as may."""
    room = (life.plan.at_once or len(life.plan.regions) or 1) - len(life.currents)
    if any(_given_up(life, current) for current in life.currents):
        return  # the next phase comes once no region is at this one any more
    for phase, step in _following(life)[: max(room, 0)]:
        _reach_step(turn, life, phase, step)


def _reach_step(turn: Turn, life: Life, phase: Phase, step: Step) -> None:
    guard = life.plan.reversible_while
    guarded = guard is not None and phase.name in guard.guards and _waited_before(life, phase)
    turn.emit(
        e.StepReached(
            at=turn.now,
            life=life.id,
            phase=phase.name,
            step=step.name,
            stage="guarding" if guarded else _first_stage(step),
        )
    )


def _waited_before(life: Life, phase: Phase) -> bool:
    """Whether the next step is the phase's first, or comes after a person, who may have taken hours (D2)."""
    behind = [record.step for record in life.steps if record.phase == phase.name]
    people = {step.name for each, step in life.plan.steps() if each.name == phase.name and step.run is None}
    return not behind or behind[-1] in people


def _first_stage(step: Step) -> Stage:
    return "ready" if step.run is not None else "asking"


def _following(life: Life) -> list[tuple[Phase, Step]]:
    """What of the first batch that is not behind us is not at hand yet; clean-up only once verified (X1)."""
    at_hand = {current.step for current in life.currents}
    for rest in scope.ahead(life):
        phase, _ = rest[0]
        if phase.after_verified and (life.verified is None or life.cleanup_failed is not None):
            return []
        return [one for one in rest if one[1].name not in at_hand]
    return []


def _overrun(turn: Turn, life: Life) -> bool:
    """X9. Clean-up is outside the plan's clock."""
    if life.verified is not None or life.overrun_at is None or turn.now < life.overrun_at:
        return False
    _park(turn, life, "overrun", f"longer than its timeout of {span(life.plan.timeout)}")
    return True


def _park(turn: Turn, life: Life, reason: ParkReason, detail: str, step: str = "") -> None:
    turn.emit(e.LifeParked(at=turn.now, life=life.id, reason=reason, detail=detail, step=step))
    open_life_matter(turn, turn.state.lives[life.id], reason, detail)


# The step at hand


def _go_on(turn: Turn, life: Life, current: Current) -> None:
    if not _busy(current) and current.stage != "doubtful" and _given_up(life, current):
        result: e.StepResult = "failed" if current.ran else "skipped"
        settle(turn, life, current, result, by="run", detail="it failed in another region")
        return
    match current.stage:
        case "guarding":
            _guard(turn, life, current)
        case "asking":
            _ask_a_person(turn, life, current)
        case "ready" | "backing_off":
            if life.abort is not None:
                _abort(turn, life, current, f", before step {current.step}")
            elif not _stopping(life) and not _overrun(turn, life) and _waited(turn, life, current):
                _order(turn, life, current, attempt=current.attempt + 1)
        case "running":
            _watch_overdue(turn, life, current)
        case "ended":
            _ended(turn, life, current)
        case "doubtful":
            _doubt(turn, life, current)
        case "probing":
            _probed(turn, life, current)
        case "verifying":
            _verified(turn, life, current)


def _waited(turn: Turn, life: Life, current: Current) -> bool:
    """The pause before another attempt is over; and where other regions come first, one of them has started:
    only the very first step looks whether the decision is still fresh (W7)."""
    first = next((each for each in life.currents if each.not_after is not None and not each.started), None)
    if first is not None and first.step != current.step and not life.steps:
        return False
    return current.until is None or turn.now >= current.until


def _guard(turn: Turn, life: Life, current: Current) -> None:
    answered = life.checks.get(f"guard/{current.phase}")
    if answered is None:
        return
    if answered.status == 0:
        stage = _first_stage(at_hand(life, current)[1])
        turn.emit(e.StepStaged(at=turn.now, life=life.id, step=current.step, stage=stage))
    elif answered.status == 20:
        guard = life.plan.reversible_while
        instead = guard.alternative_plan if guard is not None else None
        forward = f"; the way forward is plan {instead}" if instead else ""
        _end(turn, life, "failed", f"phase {current.phase} is past the point of no return{forward}")
    else:
        detail = f"cannot tell before {current.phase}: {answered.detail}"
        _park(turn, life, "reversibility_unknown", detail, current.step)


def _ask_a_person(turn: Turn, life: Life, current: Current) -> None:
    """A gate, or what is done by hand: the life waits, on the ladder, for as long as it takes."""
    _, step = at_hand(life, current)
    if life.abort is not None:
        _abort(turn, life, current, f", before step {step.name}")
    elif _stopping(life):
        return
    elif step.manual is not None:
        what = f"step {step.name}, {step.manual.owner}: {step.manual.instruction}"
        _park(turn, life, "manual", what, step.name)
    else:
        by = f" by {step.gate.role}" if step.gate is not None and step.gate.role else ""
        _park(turn, life, "gate", f"step {step.name} waits for approval{by}", step.name)


def _order(turn: Turn, life: Life, current: Current, *, attempt: int, doubts: int = 0) -> None:
    turn.emit(
        e.StepOrdered(
            at=turn.now,
            life=life.id,
            phase=current.phase,
            step=current.step,
            execution=life.executions + 1,
            attempt=attempt,
            doubts=doubts,
            not_after=not_after(turn, life) if life.untouched() else None,
        )
    )


def _watch_overdue(turn: Turn, life: Life, current: Current) -> None:
    """A step that may not be interrupted is only ever told of (X9)."""
    _, step = at_hand(life, current)
    if step.interruptible() or current.overdue or turn.now < current.since + step.timeout:
        return
    turn.emit(e.StepOverdue(at=turn.now, life=life.id, step=current.step, execution=current.execution))
    open_life_matter(turn, turn.state.lives[life.id], "step_overdue")


def _ended(turn: Turn, life: Life, current: Current) -> None:
    _, step = at_hand(life, current)
    if current.outcome == "refused":
        turn.emit(e.WaitBegan(at=turn.now, life=life.id, wait="refused"))
    elif current.outcome == "exited" and current.status == 0 and current.expect_matched:
        took_effect(turn, life, current, by="run")
    else:
        _attempt_failed(turn, life, current, step, _why_failed(current))


def _why_failed(current: Current) -> str:
    if current.outcome == "unstarted":
        return current.detail or "it could not be started"
    if current.status == 0:
        return "exit 0, but its output is not what `expect` wants"
    said = current.detail or visible(current.said)
    return f"exit {current.status}" + (f": {said}" if said else "")


def _doubt(turn: Turn, life: Life, current: Current) -> None:
    """X4: a crash, a timeout or a stop left us not knowing."""
    _, step = at_hand(life, current)
    if current.outcome == "stopped" and life.abort is not None:
        _abort(turn, life, current, f": step {step.name} was stopped and is in doubt")
    elif not current.tree_gone:
        what = f"processes of step {step.name} could not be shown gone"
        _park(turn, life, "in_doubt", what, step.name)
    elif current.outcome == "in_doubt" and step.repeatable and current.doubts < MOST_DOUBTS:
        _again(turn, life, current)
    elif step.probe is not None:
        turn.emit(e.StepStaged(at=turn.now, life=life.id, step=step.name, stage="probing"))
    elif current.outcome == "timed_out" and step.repeatable:
        _attempt_failed(turn, life, current, step, "timed out")
    else:
        timed = f"timed out after {span(step.timeout)}"
        why = timed if current.outcome == "timed_out" else current.detail or "no outcome was found"
        said = f"; its last line: {visible(current.said)}" if current.said else ""
        _park(
            turn,
            life,
            "in_doubt",
            f"step {step.name}, attempt {current.attempt}: {why}; its processes are gone{said}",
            step.name,
        )


def _again(turn: Turn, life: Life, current: Current) -> None:
    if life.abort is not None:
        _abort(turn, life, current, f"; step {current.step} is in doubt")
    elif _given_up(life, current) or _failed(life) is not None:
        _, step = at_hand(life, current)
        _attempt_failed(turn, life, current, step, "in doubt, and not run again: it failed in another region")
    elif not _stopping(life):
        _order(turn, life, current, attempt=current.attempt, doubts=current.doubts + 1)


def _probed(turn: Turn, life: Life, current: Current) -> None:
    _, step = at_hand(life, current)
    answered = life.checks.get(f"probe/{current.execution}")
    if answered is None:
        return
    if answered.status == 0:
        took_effect(turn, life, current, by="probe")
    elif answered.status == 20 and current.outcome == "timed_out":
        _attempt_failed(turn, life, current, step, "timed out, and the probe says not done")
    elif answered.status == 20 and current.doubts < MOST_DOUBTS:
        _again(turn, life, current)
    else:
        why = "in doubt too often" if answered.status == 20 else f"its probe cannot tell ({answered.detail})"
        _park(turn, life, "in_doubt", f"step {step.name}: {why}", step.name)


def took_effect(turn: Turn, life: Life, current: Current, *, by: str) -> None:
    """Done, by its exit, its probe or a person: `verify` still has to hold (X4, X6)."""
    _, step = at_hand(life, current)
    if step.verify is None:
        settle(turn, life, current, "done", by=by)
        return
    turn.emit(
        e.StepStaged(
            at=turn.now,
            life=life.id,
            step=step.name,
            stage="verifying",
            until=turn.now + step.verify.within,
            detail=by,
        )
    )


def _verified(turn: Turn, life: Life, current: Current) -> None:
    _, step = at_hand(life, current)
    answered = life.checks.get(f"step/{current.execution}")
    if answered is None or answered.at < current.since:
        return
    if answered.answer == "pass":
        settle(turn, life, current, "done", by=current.detail)
    else:
        _attempt_failed(turn, life, current, step, f"exit 0, but not verified: {answered.detail}")


def _attempt_failed(turn: Turn, life: Life, current: Current, step: Step, why: str) -> None:
    stopped = life.abort is not None or _failed(life) is not None or _given_up(life, current)
    if step.run is not None and current.attempt < step.attempts and not stopped:
        if not current.tree_gone:  # a person said done, and it is not: nothing runs beside what is left (X4)
            what = f"step {step.name}: {why}; its processes could not be shown gone"
            _park(turn, life, "in_doubt", what, step.name)
            return
        wait = min(step.backoff * 2 ** (current.attempt - 1), LONGEST_BACKOFF)
        turn.emit(
            e.StepStaged(
                at=turn.now,
                life=life.id,
                step=step.name,
                stage="backing_off",
                until=turn.now + wait,
                detail=why,
            )
        )
        return
    settle(turn, life, current, "failed", by="run", detail=why)
    _without(turn, turn.state.lives[life.id], current.phase, f"step {step.name}: {why}")


def _without(turn: Turn, life: Life, phase: str, why: str) -> None:
    """A step has failed: what that means for its phase (X1, X7)."""
    failed = _failed(life)
    if life.verified is not None:
        if life.cleanup_failed is not None:
            return
        turn.emit(e.CleanupFailed(at=turn.now, life=life.id, detail=f"{phase}: {why}"))
        open_life_matter(turn, turn.state.lives[life.id], "cleanup_failed", why)
    elif failed is None and phase not in life.failed_phases:
        detail = f"phase {phase}, {why}"
        turn.emit(e.PhaseFailed(at=turn.now, life=life.id, phase=phase, detail=detail))
        open_life_matter(turn, turn.state.lives[life.id], "phase_failed", detail)
    elif failed is not None and not life.currents:
        _fail(turn, life, failed)


def settle(
    turn: Turn, life: Life, current: Current, result: e.StepResult, *, by: str, detail: str = ""
) -> None:
    turn.emit(
        e.StepSettled(
            at=turn.now,
            life=life.id,
            phase=current.phase,
            step=current.step,
            result=result,
            by=by,
            attempts=max(current.attempt, 1),
            executions=current.ran,
            detail=detail,
            tree_gone=current.tree_gone,
        )
    )


# Ends


def _fail(turn: Turn, life: Life, detail: str) -> None:
    """A failed part may go on as the wider plan (X7)."""
    why = scope.or_wider(turn, life, detail)
    if why is not None:
        _end(turn, life, "failed", why)


def _end(turn: Turn, life: Life, end: e.BadEnd, detail: str) -> None:
    gone = scope.processes_gone(life)
    turn.emit(e.LifeEnded(at=turn.now, life=life.id, end=end, detail=detail, processes_gone=gone))
    ended = turn.state.lives[life.id]
    open_life_matter(turn, ended, end, detail)
    tell(turn, ended, f"{life.plan.name}: {end} ({life.id})", detail)


def _finish(turn: Turn, life: Life) -> None:
    """Verified, cleaned up, and the restored release known (D6)."""
    if life.plan.release is not None and "restored/release" not in life.checks:
        return
    took = life.verified - life.decided if life.verified and life.decided is not None else 0
    detail = f"verified {about(took)} after the decision"
    validation.begin(turn, life)
    turn.emit(e.LifeEnded(at=turn.now, life=life.id, end="verified", detail=detail))
    if life.cleanup_failed is None and not life.failed_phases:
        resolve_matter(turn, f"life/{life.id}", "verified")
    tell(turn, life, f"{life.plan.name}: rolled back and verified ({life.id})", detail)


# Facts


def step_began(turn: Turn, signal: StepBegan) -> None:
    life = turn.life(signal.life)
    current = life.executing(signal.execution) if life is not None else None
    if life is None or current is None or current.started:
        return
    turn.emit(e.StepStarted(at=turn.now, life=life.id, step=current.step, execution=signal.execution))
    rolled_back(turn, life)


def rolled_back(turn: Turn, life: Life) -> None:
    """The first step started: the rollout it undoes is over (W9)."""
    rollout = turn.state.rollouts.get(life.plan.name)
    if rollout is not None and rollout.id == life.rollout and rollout.state == "open":
        turn.emit(e.RolloutRolledBack(at=turn.now, rollout=rollout.id, plan=rollout.plan, life=life.id))


def step_exited(turn: Turn, signal: StepExited) -> None:
    life = turn.life(signal.life)
    current = life.executing(signal.execution) if life is not None else None
    if life is None or current is None or current.stage != "running":
        return
    turn.emit(
        e.StepEnded(
            at=turn.now,
            life=life.id,
            step=current.step,
            execution=signal.execution,
            outcome=signal.outcome,
            status=signal.status,
            detail=signal.detail,
            output=signal.output,
            output_bytes=signal.output_bytes,
            expect_matched=signal.expect_matched,
            tree_gone=signal.tree_gone,
            output_sha256=signal.output_sha256,
        )
    )
    if signal.outcome not in ("refused", "unstarted"):
        rolled_back(turn, life)


def check_answered(turn: Turn, signal: CheckAnswered) -> None:
    """Only an answer that is still wanted is recorded."""
    for effect in wanted.effects(turn.state):
        if isinstance(effect, RunCheck) and effect.key == signal.check:
            _, life, _ = signal.check.split("/", 2)
            turn.emit(
                e.CheckAnswered(
                    at=turn.now,
                    life=life,
                    check=signal.check,
                    name=effect.check.name,
                    answer=signal.answer,
                    status=signal.status,
                    detail=signal.detail,
                    output=signal.output,
                )
            )
            return


def alarms(life: Life) -> Iterator[Ms]:
    if life.ended is not None or life.began is None:
        return
    for current in life.currents:
        if current.until is not None:
            yield current.until
        if current.stage == "running":
            yield current.since + at_hand(life, current)[1].timeout
    if life.verification is not None:
        yield life.verification.deadline
    if life.expires is not None:
        yield life.expires
