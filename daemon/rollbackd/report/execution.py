"""What was run, how long it took, and how recovery was proven."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import events as e
from rollbackd.core.fold import AUTOMATIC
from rollbackd.core.wording import moment, span
from rollbackd.report.escape import block, cell, code, prose
from rollbackd.report.words import at, elapsed, fact, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Life


def execution(life: Life, events: list[Recorded]) -> Iterator[str]:
    """Method, phases and steps with their timings, outputs of what failed, and the SLA."""
    yield fact(
        "Method", "the plan's steps, run by rollbackd" if life.began is not None else "nothing was run"
    )
    yield fact("Started by", "rollbackd" if life.by == AUTOMATIC else prose(life.by))
    if life.approval is not None:
        approval = life.approval
        yield fact("Approved by", f"{prose(approval.by)} ({prose(approval.channel)}), {moment(approval.at)}")
    yield fact("Decided", at(life.decided) if life.decided is not None else "not decided")
    yield fact("Waited before it began", _waited(life))
    yield fact("Attempts", _attempts(life))
    yield fact("Manual intervention", _intervention(events, life.id))
    yield fact("SLA compliance", _compliance(life))
    if life.began is not None:
        yield from _phases(life)
    yield from _checks(life)
    yield from _outputs(life, events)


def _waited(life: Life) -> str:
    if life.began is None:
        return "it did not begin"
    return span(life.began - life.opened) if life.began > life.opened else "not at all"


def _attempts(life: Life) -> str:
    if life.began is None:
        return "none"
    again = [record for record in life.steps if record.attempts > 1]
    if not again:
        return "every step once"
    return ", ".join(f"{code(record.step)} {record.attempts}" for record in again) + "; the others once"


_BY_PEOPLE = (
    e.LifeApproved,
    e.LifeHeld,
    e.LifeResumed,
    e.AbortAsked,
    e.StepConfirmed,
    e.LifeResolved,
)


def _intervention(events: list[Recorded], life: str) -> str:
    kinds = [
        plain(row.kind)
        for row in events
        if isinstance(row.event, _BY_PEOPLE) and getattr(row.event, "life", None) == life
    ]
    return ", ".join(dict.fromkeys(kinds)) if kinds else "none recorded"


def _compliance(life: Life) -> str:
    plan = life.plan
    took = elapsed(life)
    if life.sla_breached:
        return f"NO: breached its SLA of {span(plan.sla)}"
    if life.decided is None:
        return "the clock never ran"
    if life.verified is None or took is None:
        return "the clock is running" if life.ended is None else "not verified, so not met"
    target = "within the target" if took <= plan.target else "over the target"
    return f"yes ({span(plan.sla - took)} to spare, {target} of {span(plan.target)})"


def _phases(life: Life) -> Iterator[str]:
    behind = {record.step: record for record in life.steps}
    yield "\n| phase | step | result | by | began | took | attempts | detail |"
    yield "|---|---|---|---|---|---|---|---|"
    for phase, step in life.plan.steps():
        record = behind.get(step.name)
        left = f"| {cell(phase.name)} | {cell(step.name)} "
        if record is not None:
            yield (
                f"{left}| {record.result} | {prose(record.by)} | {moment(record.began)} "
                f"| {span(record.ended - record.began)} | {record.attempts} | {prose(record.detail)} |"
            )
        elif life.current is not None and life.current.step == step.name:
            current = life.current
            yield (
                f"{left}| {plain(current.stage)} | – | {moment(current.began)} "
                f"| – | {current.attempt} | {prose(current.detail)} |"
            )
        else:
            yield f"{left}| not run | – | – | – | – | |"
    for phase in life.plan.phases:
        records = [record for record in life.steps if record.phase == phase.name]
        if records:
            estimate = f", estimated {span(phase.estimate)}" if phase.estimate is not None else ""
            took = span(records[-1].ended - records[0].began)
            note = ", after verification, outside the SLA" if phase.after_verified else ""
            yield f"\nPhase {code(phase.name)} took {took}{estimate}{note}."


def _checks(life: Life) -> Iterator[str]:
    rows = [(slot, found) for slot, found in life.checks.items() if not slot.startswith("verify/")]
    if not rows:
        return
    yield "\n| check | answer | at | seen |"
    yield "|---|---|---|---|"
    for slot, found in rows:
        yield (
            f"| {cell(slot)} | {plain(found.answer)} | {moment(found.at)} "
            f"| {prose(found.detail or found.output)} |"
        )


def _outputs(life: Life, events: list[Recorded]) -> Iterator[str]:
    for row in events:
        event = row.event
        if not isinstance(event, e.StepEnded) or event.life != life.id or not event.output:
            continue
        size = f" ({event.output_bytes} bytes in all)" if event.output_bytes else ""
        yield f"\nOutput of {code(event.step)}, execution {event.execution}{size}:\n"
        yield block(event.output)


def verification(life: Life, events: list[Recorded]) -> Iterator[str]:
    """S3: the windows and the checks that proved recovery, or did not."""
    proving = life.verification
    if proving is None:
        yield "It did not come to verification."
        return
    yield fact("Began", moment(proving.began))
    yield fact("Windows counted from", moment(proving.settled))
    yield fact("Proof wanted by", moment(proving.deadline))
    yield fact("Verified", at(life.verified) if life.verified is not None else "no")
    yield fact("Windows wanted", f"{life.plan.verify_windows} ok in a row for each subject")
    for check in life.plan.verification:
        passes, asked = proving.passes.get(check.name, 0), proving.asked.get(check.name, 0)
        answered = life.checks.get(f"verify/{check.name}")
        last = f", last: {plain(answered.answer)} {prose(answered.detail)}" if answered is not None else ""
        yield fact(
            f"Check {code(check.name)}", f"{passes} passes in a row, asked {asked} times{last}".rstrip()
        )
    yield from _proof(life, events)


def _proof(life: Life, events: list[Recorded]) -> Iterator[str]:
    found = [
        row.event for row in events if isinstance(row.event, e.RollbackVerified) and row.event.life == life.id
    ]
    named = {f"{firing.trigger}/{firing.subject}": firing for firing in life.firings}
    for event in found:
        for key, windows in event.windows.items():
            firing = named.get(key)
            labels = "" if firing is None else ", ".join(f"{k}={v}" for k, v in firing.labels.items())
            name = firing.trigger if firing is not None else key
            yield f"\nRecovery windows of {code(name)}{' ' + code('{' + labels + '}') if labels else ''}:\n"
            yield "| window's end | verdict | value |"
            yield "|---|---|---|"
            for seen in windows:
                value = cell(seen.value) if seen.value is not None else "not recorded"
                yield f"| {moment(seen.end)} | {plain(seen.verdict)} | {value} |"
