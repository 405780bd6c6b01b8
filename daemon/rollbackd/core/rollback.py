"""Running a plan: phase by phase, step by step, never two at once (X1–X9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import events as e
from rollbackd.core import scope, verification, wanted
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
        if life.abort is not None:
            _end(turn, life, "aborted", f"aborted by {life.aborted_by}, while parked")
    elif life.current is not None:
        _go_on(turn, life, life.current)
    elif life.abort is not None and life.verified is None:
        _end(turn, life, "aborted", f"aborted by {life.aborted_by}")
    elif life.held is not None:
        return
    elif life.verified is None and life.verification is not None:
        verification.progress(turn, life, life.verification)
    else:
        _next_step(turn, life)


def _next_step(turn: Turn, life: Life) -> None:
    following = _following(life)
    if following is None:
        if life.verified is None:
            verification.begin(turn, life)
        else:
            _finish(turn, life)
        return
    if _overrun(turn, life):
        return
    phase, step = following
    guard = life.plan.reversible_while
    first = not any(record.phase == phase.name for record in life.steps)
    guarded = guard is not None and phase.name in guard.guards and first
    turn.emit(
        e.StepReached(
            at=turn.now,
            life=life.id,
            phase=phase.name,
            step=step.name,
            stage="guarding" if guarded else _first_stage(step),
        )
    )


def _first_stage(step: Step) -> Stage:
    return "ready" if step.run is not None else "asking"


def _following(life: Life) -> tuple[Phase, Step] | None:
    """The first step that is not behind us; clean-up only once verified (X1)."""
    behind = {record.step for record in life.steps}
    skipping = life.from_step is not None
    for phase, step in life.plan.steps():
        if step.name == life.from_step:
            skipping = False
        if phase.after_verified and life.verified is None:
            return None
        if step.name not in behind and not skipping and phase.name not in life.failed_phases:
            if life.cleanup_failed is not None:
                return None
            return phase, step
    return None


def _overrun(turn: Turn, life: Life) -> bool:
    """X9. Clean-up is outside the plan's clock."""
    if life.verified is not None or life.overrun_at is None or turn.now < life.overrun_at:
        return False
    _park(turn, life, "overrun", f"longer than its timeout of {span(life.plan.timeout)}")
    return True


def _park(turn: Turn, life: Life, reason: ParkReason, detail: str) -> None:
    turn.emit(e.LifeParked(at=turn.now, life=life.id, reason=reason, detail=detail))
    open_life_matter(turn, turn.state.lives[life.id], reason, detail)


# The step at hand


def _go_on(turn: Turn, life: Life, current: Current) -> None:
    match current.stage:
        case "guarding":
            _guard(turn, life, current)
        case "asking":
            _ask_a_person(turn, life, current)
        case "ready" | "backing_off":
            if life.abort is not None:
                _end(turn, life, "aborted", f"aborted by {life.aborted_by}, before step {current.step}")
            elif life.held is None and not _overrun(turn, life) and _waited(turn, current):
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


def _waited(turn: Turn, current: Current) -> bool:
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
        _park(turn, life, "reversibility_unknown", f"cannot tell before {current.phase}: {answered.detail}")


def _ask_a_person(turn: Turn, life: Life, current: Current) -> None:
    """A gate, or what is done by hand: the life waits, on the ladder, for as long as it takes."""
    _, step = at_hand(life, current)
    if life.abort is not None:
        _end(turn, life, "aborted", f"aborted by {life.aborted_by}, before step {step.name}")
    elif life.held is not None:
        return
    elif step.manual is not None:
        _park(turn, life, "manual", f"step {step.name}, {step.manual.owner}: {step.manual.instruction}")
    else:
        role = step.gate.role if step.gate is not None else ""
        _park(turn, life, "gate", f"step {step.name} waits for approval" + (f" by {role}" if role else ""))


def _order(turn: Turn, life: Life, current: Current, *, attempt: int, doubts: int = 0) -> None:
    first = not life.steps and not current.started
    turn.emit(
        e.StepOrdered(
            at=turn.now,
            life=life.id,
            phase=current.phase,
            step=current.step,
            execution=life.executions + 1,
            attempt=attempt,
            doubts=doubts,
            not_after=not_after(turn, life) if first else None,
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
        _end(
            turn,
            life,
            "aborted",
            f"aborted by {life.aborted_by}: step {step.name} was stopped and is in doubt",
        )
    elif not current.tree_gone:
        _park(turn, life, "in_doubt", f"processes of step {step.name} could not be shown gone")
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
        )


def _again(turn: Turn, life: Life, current: Current) -> None:
    if life.abort is not None:
        _end(turn, life, "aborted", f"aborted by {life.aborted_by}; step {current.step} is in doubt")
    elif life.held is None:
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
        _park(turn, life, "in_doubt", f"step {step.name}: {why}")


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
    if current.attempt < step.attempts and life.abort is None:
        if not current.tree_gone:  # a person said done, and it is not: nothing runs beside what is left (X4)
            _park(turn, life, "in_doubt", f"step {step.name}: {why}; its processes could not be shown gone")
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
    phase = current.phase
    settle(turn, life, current, "failed", by="run", detail=why)
    life = turn.state.lives[life.id]
    detail = f"phase {phase}, step {step.name}: {why}"
    if life.verified is not None:
        turn.emit(e.CleanupFailed(at=turn.now, life=life.id, detail=f"{phase}: {step.name}: {why}"))
        open_life_matter(turn, turn.state.lives[life.id], "cleanup_failed", f"{step.name}: {why}")
    elif life.abort is None and _goes_on_without(life, phase):
        turn.emit(e.PhaseFailed(at=turn.now, life=life.id, phase=phase, detail=detail))
        open_life_matter(turn, turn.state.lives[life.id], "phase_failed", detail)
    else:
        _fail(turn, life, detail, gone=current.tree_gone)


def _goes_on_without(life: Life, name: str) -> bool:
    return any(phase.name == name and phase.on_failure == "continue" for phase in life.plan.phases)


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
        )
    )


# Ends


def _fail(turn: Turn, life: Life, detail: str, *, gone: bool) -> None:
    """A failed part may go on as the wider plan (X7). `gone`: of the processes of its last step."""
    why = scope.or_wider(turn, life, detail, gone=gone)
    if why is not None:
        _end(turn, life, "failed", why, gone=gone)


def _end(turn: Turn, life: Life, end: e.BadEnd, detail: str, *, gone: bool = True) -> None:
    gone = gone and (life.current is None or life.current.tree_gone)
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
    turn.emit(e.LifeEnded(at=turn.now, life=life.id, end="verified", detail=detail))
    if life.cleanup_failed is None and not life.failed_phases:
        resolve_matter(turn, f"life/{life.id}", "verified")
    tell(turn, life, f"{life.plan.name}: rolled back and verified ({life.id})", detail)


# Facts


def step_began(turn: Turn, signal: StepBegan) -> None:
    life = turn.life(signal.life)
    current = life.current if life is not None else None
    if life is None or current is None or current.execution != signal.execution or current.started:
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
    current = life.current if life is not None else None
    if life is None or current is None or current.execution != signal.execution:
        return
    if current.stage != "running":
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
    current = life.current
    if current is not None and current.until is not None:
        yield current.until
    if current is not None and current.stage == "running":
        yield current.since + at_hand(life, current)[1].timeout
    if life.verification is not None:
        yield life.verification.deadline
    if life.expires is not None:
        yield life.expires
