"""One life and what became of it: waits, checks, steps, holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from rollbackd.core import events as e
from rollbackd.core.fold.mapping import drop, put
from rollbackd.core.state import (
    LASTING,
    Answered,
    Approval,
    Current,
    Held,
    Parked,
    StepRecord,
    Tick,
    Validating,
    Verification,
)

if TYPE_CHECKING:
    from rollbackd.core.model import Ms
    from rollbackd.core.state import Life


def fold_one(life: Life, event: e.LifeEvent) -> Life:
    match event:
        case e.SubjectJoined():
            firings = (
                *(
                    f
                    for f in life.firings
                    if (f.trigger, f.subject) != (event.firing.trigger, event.firing.subject)
                ),
                event.firing,
            )
            return replace(
                life,
                firings=firings,
                triggers=put(life.triggers, event.definition.name, event.definition),
                revision=life.revision + 1,
            )
        case e.SubjectLeft():
            firings = tuple(
                replace(f, left=True) if (f.trigger, f.subject) == (event.trigger, event.subject) else f
                for f in life.firings
            )
            return replace(life, firings=firings, revision=life.revision + 1)
        case e.ActionChanged():
            return replace(
                life,
                top=event.top,
                action=event.action,
                lowered=event.lowered,
                trigger=event.trigger or life.trigger,
                revision=life.revision + 1,
            )
        case e.CheckAnswered():
            return check_answered(life, event)
        case e.WaitBegan() | e.VetoOpened() | e.WaitEnded() | e.LifeApproved():
            return _fold_wait(life, event)
        case e.LifeHeld():
            return replace(life, held=Held(event.by, event.at))
        case e.LifeParked():
            parked = Parked(event.reason, event.detail, event.at, event.step)
            return replace(life, state="parked", parked=parked)
        case e.LifeResumed():
            return _resumed(life, event)
        case e.AbortAsked():
            why = f"{event.by}: {event.comment}" if event.comment else event.by
            return replace(life, abort="now" if event.now else life.abort or "asked", aborted_by=why)
        case e.VerificationBegan():
            return replace(
                life,
                state="verifying",
                verification=Verification(event.at, event.settled, event.deadline, event.interval),
            )
        case e.RollbackVerified():
            return replace(life, state="running", verified=event.at, revision=life.revision + 1)
        case e.ValidationBegan():
            return replace(
                life, validation=Validating(life.verified if life.verified is not None else event.at)
            )
        case e.ItemTicked():
            tick = Tick(event.by, event.channel, event.at, event.comment)
            return replace(life, ticks=put(life.ticks, event.item, tick))
        case e.ValidationFailed() | e.ValidationRecovered() | e.StageEnded() | e.ValidationEnded():
            if life.validation is None:
                return life
            return replace(life, validation=_validated(life.validation, event))
        case e.ImpactMeasured():
            return replace(life, impact=event.found)
        case e.CleanupFailed():
            return replace(life, cleanup_failed=event.detail)
        case e.PhaseFailed():
            return replace(life, failed_phases=(*life.failed_phases, event.phase))
        case e.SlaBreached(region=""):
            return replace(life, sla_breached=True)
        case e.SlaBreached():
            return replace(life, regions_breached=(*life.regions_breached, event.region))
        case _:
            return _fold_step(life, event)


def _fold_wait(life: Life, event: e.WaitBegan | e.VetoOpened | e.WaitEnded | e.LifeApproved) -> Life:
    match event:
        case e.WaitBegan(wait="approval"):
            return replace(
                life,
                state="waiting_approval",
                expires=event.until,
                wait=None,
                wait_over=None,
                approval=None,  # it answered what was shown then; this is asked anew (D7)
                revision=life.revision + 1,
            )
        case e.WaitBegan(wait="lock"):
            return replace(
                life,
                state="waiting_lock",
                wait="lock",
                wait_since=event.at,
                wait_over=None,
                blocked_by=event.blocked_by,
            )
        case e.WaitBegan(wait="checking"):
            checks = drop(life.checks, *LASTING)
            return replace(
                life,
                state="checking",
                wait="checking",
                wait_since=event.at,
                wait_over=None,
                checks=checks,
                revision=life.revision + 1,
            )
        case e.WaitBegan(wait="veto"):
            return replace(
                life,
                state="waiting_veto",
                wait="veto",
                wait_since=event.at,
                wait_over=None,
                veto_until=event.until,
                revision=life.revision + 1,
            )
        case e.WaitBegan():  # the first step came too late: nothing ran (W7)
            late = next((current for current in life.currents if current.outcome == "refused"), None)
            if late is not None:
                life = _at_hand(life, replace(late, stage="ready", attempt=late.attempt - 1, outcome=None))
            return replace(
                life,
                state="checking",
                wait="refused",
                wait_since=event.at,
                wait_over=event.at,
            )
        case e.VetoOpened():
            return replace(life, veto_until=event.until)
        case e.WaitEnded(wait="refused"):
            return replace(life, state="running", wait=None, wait_over=None)
        case e.WaitEnded():
            return replace(
                life,
                wait_over=event.at,
                blocked_by=None,
                veto_passed=life.veto_passed or event.wait == "veto",
            )
        case e.LifeApproved():
            return replace(
                life,
                state="running" if life.began is not None else life.state,
                approval=Approval(event.by, event.channel, event.at, event.reasons),
                decided=event.at,
                wait=None if life.wait == "veto" else life.wait,
                wait_over=None,
                veto_passed=True,
                expires=None,
                revision=life.revision + 1,
            )


def _validated(
    validation: Validating,
    event: e.ValidationFailed | e.ValidationRecovered | e.StageEnded | e.ValidationEnded,
) -> Validating:
    match event:
        case e.ValidationFailed():
            failing = put(validation.failing, event.check, event.detail)
            return replace(validation, failing=failing, relapses=validation.relapses + 1)
        case e.ValidationRecovered():
            return replace(validation, failing=drop(validation.failing, event.check))
        case e.StageEnded():
            return replace(validation, stage=validation.stage + 1, fails={}, passed={}, last_asked={})
        case e.ValidationEnded():
            return replace(validation, ended=event.at)


def _looked(validation: Validating, event: e.CheckAnswered) -> Validating:
    """A check of the stage at hand was answered; who cannot tell has not failed."""
    name, fails = event.name, validation.fails.get(event.name, 0)
    if event.answer != "cannot_tell":
        fails = 0 if event.answer == "pass" else fails + 1
    return replace(
        validation,
        fails=put(validation.fails, name, fails),
        passed=put(validation.passed, name, validation.passed.get(name, 0) + (event.answer == "pass")),
        last_asked=put(validation.last_asked, name, event.at),
    )


def check_answered(life: Life, event: e.CheckAnswered) -> Life:
    slot = event.check.split("/", 2)[-1]
    answered = Answered(event.name, event.answer, event.at, event.status, event.detail, event.output)
    life = replace(life, checks=put(life.checks, slot, answered))
    if slot.startswith("validate/") and life.validation is not None:
        return replace(life, validation=_looked(life.validation, event))
    verification = life.verification
    if verification is None or not slot.startswith("verify/"):
        return life
    passes = verification.passes.get(event.name, 0)
    return replace(
        life,
        verification=replace(
            verification,
            passes=put(verification.passes, event.name, passes + 1 if event.answer == "pass" else 0),
            asked=put(verification.asked, event.name, verification.asked.get(event.name, 0) + 1),
            last_asked=put(verification.last_asked, event.name, event.at),
        ),
    )


def _resumed(life: Life, event: e.LifeResumed) -> Life:
    if life.held is not None:
        life = _later(life, event.at - life.held.at)
    life = replace(
        life,
        held=None,
        parked=None,
        overrun_at=event.overrun_at,
        revision=life.revision + 1,
    )
    if life.began is None:
        unanswered = life.wait == "checking" and life.wait_over is None
        automatic = life.approval is None and not unanswered
        return replace(life, wait_over=event.at if automatic else life.wait_over)
    life = _unasked(life)
    guarding = {f"guard/{current.phase}" for current in life.currents if current.stage == "guarding"}
    life = replace(life, checks=drop(life.checks, *sorted(guarding)))
    if life.wait == "refused":
        return replace(life, wait_over=event.at)
    return replace(life, state="verifying" if life.verification and not life.verified else "running")


def _unasked(life: Life) -> Life:
    """What people were asked is answered, and pages no more: a step that still hangs is told of anew (X9)."""
    return replace(life, currents=tuple(replace(current, overdue=False) for current in life.currents))


def absent(life: Life, gone: Ms) -> Life:
    """The daemon's absence counts against no deadline of the plan (X9); held and parked time is added
    when they end."""
    if life.ended is not None or life.parked is not None or life.held is not None:
        return life
    if life.overrun_at is not None:
        life = replace(life, overrun_at=life.overrun_at + gone)
    return _later(life, gone)


def _later(life: Life, wait: Ms) -> Life:
    """Time in which nothing could be proven does not count against the proof (S3, X9)."""
    if life.verification is None or life.verified is not None:
        return life
    verification = replace(life.verification, deadline=life.verification.deadline + wait)
    return replace(life, verification=verification)


def _at_hand(life: Life, current: Current) -> Life:
    """The life with this step as it is now."""
    others = tuple(current if each.step == current.step else each for each in life.currents)
    return replace(life, currents=others)


def _fold_step(life: Life, event: e.LifeEvent) -> Life:
    match event:
        case e.StepReached():
            reached = Current(event.phase, event.step, event.at, event.stage, event.at)
            checks = life.checks
            if event.stage == "guarding":  # an earlier answer says nothing about now
                checks = drop(checks, f"guard/{event.phase}")
            currents = (*life.currents, reached)
            return replace(life, currents=currents, checks=checks, revision=life.revision + 1)
        case e.StepSettled():
            current = life.at_hand(event.step)
            record = StepRecord(
                phase=event.phase,
                step=event.step,
                result=event.result,
                by=event.by,
                began=current.began if current is not None else event.at,
                ended=event.at,
                attempts=event.attempts,
                executions=event.executions,
                detail=event.detail,
                tree_gone=event.tree_gone,
            )
            rest = tuple(each for each in life.currents if each.step != event.step)
            return replace(life, steps=(*life.steps, record), currents=rest, last_step_ended=event.at)
        case e.StepConfirmed() | e.GateApproved():
            return replace(
                _unasked(life),
                state="running",
                parked=None,
                overrun_at=event.overrun_at,
                revision=life.revision + 1,
            )
        case e.StepOrdered() | e.StepStarted() | e.StepEnded() | e.StepStaged() | e.StepOverdue():
            current = life.at_hand(event.step)
            if current is None:
                return life
            life = _at_hand(life, _stepped(current, event))
            if isinstance(event, e.StepOrdered):
                return replace(life, executions=event.execution, state="running")
    return life


def _stepped(
    current: Current, event: e.StepOrdered | e.StepStarted | e.StepEnded | e.StepStaged | e.StepOverdue
) -> Current:
    match event:
        case e.StepOrdered():
            return replace(
                current,
                stage="running",
                since=event.at,
                execution=event.execution,
                attempt=event.attempt,
                doubts=event.doubts,
                not_after=event.not_after,
                until=None,
                started=False,
                outcome=None,
                status=None,
                overdue=False,
                ran=(*current.ran, event.execution),
            )
        case e.StepStarted():
            return replace(current, started=True)
        case e.StepOverdue():
            return replace(current, overdue=True)
        case e.StepStaged():
            return replace(current, stage=event.stage, since=event.at, until=event.until, detail=event.detail)
        case e.StepEnded():
            return replace(
                current,
                stage="doubtful" if event.outcome in ("in_doubt", "timed_out", "stopped") else "ended",
                since=event.at,
                outcome=event.outcome,
                status=event.status,
                detail=event.detail,
                said=next((line for line in reversed(event.output.splitlines()) if line.strip()), ""),
                tree_gone=event.tree_gone,
                expect_matched=event.expect_matched,
                started=current.started or event.outcome not in ("refused", "unstarted"),
            )
