"""What happened, in order: one line for each event that people care about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from rollbackd.core import events as e
from rollbackd.core.notation import about
from rollbackd.core.state import AUTOMATIC
from rollbackd.core.wording import moment, subjects
from rollbackd.report.words import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rollbackd.core.model import Ms
    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Measured


class Entry(Struct, frozen=True):
    """One line. `text` is plain and not escaped. `actor` is the person who said it, with the channel, or
    rollbackd: what follows from a person's word is not that person's deed."""

    seq: int
    at: Ms
    kind: str
    text: str
    actor: str
    channel: str = ""
    comment: str = ""


def timeline(life: str, events: Iterable[Recorded]) -> list[Entry]:
    """The events of `life` and of its matters and pages, among whatever else is in `events`."""
    entries: list[Entry] = []
    matters: set[str] = set()
    pages: set[str] = set()
    for row in events:
        event = row.event
        if event is None:
            if row.life == life:
                entries.append(
                    Entry(row.seq, row.stamp.steady, row.kind, "(no longer kept)", row.stamp.actor)
                )
            continue
        if not _concerns(event, life, matters, pages):
            continue
        text = describe(event)
        if text:
            channel, comment = getattr(event, "channel", ""), getattr(event, "comment", "")
            actor = getattr(event, "by", "") if channel else ""
            entries.append(Entry(row.seq, event.at, row.kind, text, actor or AUTOMATIC, channel, comment))
    return entries


def _concerns(event: e.Event, life: str, matters: set[str], pages: set[str]) -> bool:
    mine = getattr(event, "life", None) == life
    match event:
        case e.MatterOpened() if mine:
            matters.add(event.matter)
        case e.PagePromised() if mine:
            pages.add(event.page)
        case e.MatterChanged() | e.RungReached() | e.MatterAcked() | e.MatterResolved():
            return mine or event.matter in matters
        case e.PageDelivered() | e.PageRefused():
            return mine or event.page in pages
    return mine


def describe(event: e.Event) -> str:
    """One plain line; empty for events that say nothing to people."""
    for part in (_decision, _execution, _people, _telling):
        text = part(event)
        if text is not None:
            return text
    return ""


def _decision(event: e.Event) -> str | None:
    match event:
        case e.LifeOpened():
            what = event.reason or f"{event.trigger} fired {subjects(event.firings)}".strip()
            kept = f"; goes back to {event.capture}" if event.capture is not None else ""
            return f"opened: {what}; action {event.action}{kept}" + _lowered(event.lowered)
        case e.SubjectJoined():
            return f"{event.firing.trigger} {subjects((event.firing,))} joined: value {event.firing.value}"
        case e.SubjectLeft():
            return f"a subject of {event.trigger} recovered by itself"
        case e.ActionChanged():
            return f"action is now {event.action}" + _lowered(event.lowered)
        case e.CheckAnswered():
            detail = f": {event.detail}" if event.detail else ""
            return f"check {event.name}: {plain(event.answer)}{detail}"
        case e.WaitBegan(wait="approval"):
            return "waits for approval" + (f" until {moment(event.until)}" if event.until else "")
        case e.WaitBegan(wait="lock"):
            return f"waits for {event.blocked_by}"
        case e.WaitBegan(wait="refused"):
            return "the first step came too late: nothing ran, decided anew"
        case e.WaitBegan():
            return f"waits: {event.wait}"
        case e.VetoOpened():
            return f"veto window open until {moment(event.until)}"
        case e.WaitEnded():
            return f"wait over: {event.wait}"
        case e.LifeApproved():
            return "approved" + (f" ({', '.join(event.reasons)})" if event.reasons else "")
        case e.Relapsed():
            return f"relapse: {event.trigger} breaches again"
        case _:
            return None


def _lowered(lowered: tuple[object, ...]) -> str:
    reasons = "; ".join(str(getattr(lowering, "detail", "")) for lowering in lowered)
    return f" (lowered: {reasons})" if reasons else ""


def _execution(event: e.Event) -> str | None:
    match event:
        case e.RollbackBegan():
            return "rollback began: services taken"
        case e.StepOrdered():
            return f"step {event.step}: execution {event.execution}, attempt {event.attempt} ordered"
        case e.StepStarted():
            return f"step {event.step}: running"
        case e.StepEnded(outcome="exited"):
            odd = "" if event.expect_matched else ", output not as expected"
            return f"step {event.step}: exit {event.status}{odd}" + _tail(event.detail)
        case e.StepEnded():
            return f"step {event.step}: {plain(event.outcome)}" + _tail(event.detail)
        case e.StepStaged():
            return f"step {event.step}: {plain(event.stage)}" + _tail(event.detail)
        case e.StepOverdue():
            return f"step {event.step}: past its timeout, not interrupted"
        case e.StepSettled():
            return f"step {event.step}: {event.result}" + _tail(event.detail)
        case e.VerificationBegan():
            return f"verification began: proof wanted by {moment(event.deadline)}"
        case e.RollbackVerified():
            return "verified"
        case e.ValidationBegan():
            return "validation began"
        case e.ValidationFailed():
            return f"not well any more: check {event.check} ({plain(event.stage)})" + _tail(event.detail)
        case e.ValidationRecovered():
            return f"check {event.check} passes again"
        case e.StageEnded():
            return f"validation: {plain(event.stage)} ended" + _tail(_stage(event))
        case e.ValidationEnded():
            return "validation ended" + _tail(event.why)
        case e.ImpactMeasured():
            return "impact measured: " + "; ".join(map(_measured, event.found))
        case e.CleanupFailed():
            return f"clean-up failed: {event.detail}"
        case e.SlaBreached():
            where = f" in {event.region}" if event.region else ""
            return f"SLA of {about(event.sla)} breached{where}: {event.consequence}"
        case e.LifeParked():
            return f"parked: {event.detail}"
        case e.LifeEnded():
            return f"ended: {plain(event.end)}" + _tail(event.detail)
        case e.RolloutRolledBack():
            return f"rollout {event.rollout} is rolled back"
        case _:
            return None


def _tail(detail: str) -> str:
    return f": {detail}" if detail else ""


def _measured(found: Measured) -> str:
    value = "unknown" if found.value is None else f"{found.value:g}"
    return f"{plain(found.name)} {value}" + (f" ({found.word})" if found.word else _tail(found.detail))


def _stage(event: e.StageEnded) -> str:
    left = {"failing": event.failing, "never passed": event.unproven, "nobody looked at": event.unticked}
    return "; ".join(f"{what} {', '.join(names)}" for what, names in left.items() if names)


def _people(event: e.Event) -> str | None:
    match event:
        case e.LifeHeld():
            return "held"
        case e.LifeResumed():
            return "resumed"
        case e.AbortAsked():
            return "abort asked: the running step is stopped" if event.now else "abort asked"
        case e.StepConfirmed():
            return f"step {event.step} confirmed: {event.answer}"
        case e.ScopeWidened():
            return f"widened to {event.plan.scope}: {event.why}"
        case e.PhaseFailed():
            return f"goes on without the rest of phase {event.phase}: {event.detail}"
        case e.ItemTicked():
            return f"ticked: {event.item}"
        case e.GateApproved():
            return f"gate {event.step} approved"
        case e.LifeResolved():
            return f"resolved: {event.approach}" + _tail(event.description)
        case e.MatterAcked():
            return f"acknowledged until {moment(event.until)}"
        case _:
            return None


def _telling(event: e.Event) -> str | None:
    match event:
        case e.MatterOpened() | e.MatterChanged():
            return f"people must know: {event.title}"
        case e.RungReached():
            return f"rung {event.rung} {'repeated' if event.repeat else 'reached'}"
        case e.PagePromised():
            return f"{event.page_kind} to {', '.join(event.receivers)}: {event.title}"
        case e.PageDelivered():
            return f"{event.receiver} accepted it ({event.status})"
        case e.PageRefused():
            return f"{event.receiver} refused it: {event.detail}"
        case e.MatterResolved():
            return f"told that it is over: {event.why}"
        case _:
            return None
