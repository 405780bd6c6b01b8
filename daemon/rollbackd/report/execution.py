"""What was run, how long it took, and how recovery was proven."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import events as e
from rollbackd.core.notation import about
from rollbackd.core.state import AUTOMATIC
from rollbackd.core.wording import moment
from rollbackd.report.accuracy import accuracy
from rollbackd.report.escape import block, cell, code, prose
from rollbackd.report.regions import regions
from rollbackd.report.runs import never_ordered, runs, unsettled
from rollbackd.report.words import at, elapsed, fact, plain, target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rollbackd.core.model import Ms
    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Life
    from rollbackd.report.accuracy import Accuracy
    from rollbackd.report.runs import Run

MOST_CHANGED = 50


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
    yield fact("Attempts", _attempts(life, events))
    yield fact("Manual intervention", ", ".join(interventions(life, events)) or "none recorded")
    yield fact("SLA compliance", _compliance(life))
    yield from _accuracy(accuracy(life, events))
    for region in regions(life):
        took = about(region.took) if region.took is not None else "not done"
        over = ", BREACHED" if region.breached else ""
        yield fact(f"Region {code(region.region)}", f"{took} (SLA {about(region.sla)}{over})")
    if life.began is not None:
        yield from _phases(life, runs(life.id, events))
    yield from _checks(life)
    yield from _outputs(life, events)


def _waited(life: Life) -> str:
    if life.began is None:
        return "it did not begin"
    return about(life.began - life.opened) if life.began > life.opened else "not at all"


def _attempts(life: Life, events: list[Recorded]) -> str:
    tries: dict[str, int] = {}
    for row in events:
        if isinstance(row.event, e.StepOrdered) and row.event.life == life.id:
            tries[row.event.step] = max(row.event.attempt, tries.get(row.event.step, 0))
    again = [f"{code(step)} {count}" for step, count in tries.items() if count > 1]
    if not again:
        return "none" if not tries else "each step that was started, once"
    return ", ".join(again) + ("; the others once" if len(again) < len(tries) else "")


def _accuracy(found: Accuracy | None) -> Iterator[str]:
    if found is None or found.share is None:
        return
    unchanged = found.planned - len(found.changed)
    why = "; ".join(f"{cell(step)} {prose(why)}" for step, why in list(found.changed.items())[:MOST_CHANGED])
    said = f"{unchanged} of {found.planned} planned steps were executed unchanged ({found.share:.0%})"
    yield fact("Plan accuracy", said + (f": {why}" if why else ""))


_BY_PEOPLE: dict[type[e.Event], str] = {
    e.LifeApproved: "approved",
    e.LifeHeld: "held",
    e.LifeResumed: "resumed",
    e.AbortAsked: "aborted",
    e.StepConfirmed: "step confirmed",
    e.GateApproved: "gate approved",
    e.LifeResolved: "resolved",
}


def interventions(life: Life, events: Iterable[Recorded]) -> tuple[str, ...]:
    """What people did to it, each kind once."""
    words = ["started by hand"] if life.by != AUTOMATIC else []
    for row in events:
        event = row.event
        if not isinstance(event, e.LifeEvent) or event.life != life.id:
            continue
        if isinstance(event, e.LifeEnded) and event.channel:
            words.append(plain(event.end))
        elif type(event) in _BY_PEOPLE:
            words.append(_BY_PEOPLE[type(event)])
    return tuple(dict.fromkeys(words))


def _compliance(life: Life) -> str:
    plan = life.plan
    took = elapsed(life)
    if life.sla_breached:
        return f"NO: breached its SLA of {about(plan.allowed())}"
    if life.decided is None:
        return "the clock never ran"
    if life.verified is None or took is None:
        return "the clock is running" if life.ended is None else "not verified, so not met"
    goal = target(plan)
    within = "within the target" if took <= goal else "over the target"
    return f"yes ({about(plan.allowed() - took)} to spare, {within} of {about(goal)})"


def _phases(life: Life, known: dict[str, Run]) -> Iterator[str]:
    loose = unsettled(life, known)
    behind = {record.step: record for record in life.steps}
    yield "\n| phase | step | result | by | began | took | attempts | detail |"
    yield "|---|---|---|---|---|---|---|---|"
    for phase, step in life.plan.steps():
        record = behind.get(step.name)
        left = f"| {cell(phase.name)} | {cell(step.name)} "
        if record is not None:
            yield (
                f"{left}| {record.result} | {prose(record.by)} | {moment(record.began)} "
                f"| {about(record.ended - record.began)} | {record.attempts} | {prose(record.detail)} |"
            )
        elif life.current is not None and life.current.step == step.name:
            current = life.current
            run = known.get(step.name)
            yield (
                f"{left}| {plain(current.stage)} | – | {moment(current.began)} "
                f"| {_took(current.began, run)} | {current.attempt} | {prose(current.detail)} |"
            )
        elif step.name in loose:
            run = loose[step.name]
            yield (
                f"{left}| {plain(run.fate())} | – | {moment(run.began)} "
                f"| {_took(run.began, run)} | {run.attempts} | {prose(run.detail)} |"
            )
        else:
            yield f"{left}| {plain(never_ordered(life, step.name))} | – | – | – | – | |"
    for phase in life.plan.phases:
        records = [record for record in life.steps if record.phase == phase.name]
        if records:
            estimate = f", estimated {about(phase.estimate)}" if phase.estimate is not None else ""
            took = about(records[-1].ended - records[0].began)
            note = ", after verification, outside the SLA" if phase.after_verified else ""
            yield f"\nPhase {code(phase.name)} took {took}{estimate}{note}."


def _took(began: Ms, run: Run | None) -> str:
    """To the end of the last execution: what waits for a person's word takes no time of its own."""
    return about(run.ended - began) if run is not None and run.ended is not None else "–"


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
