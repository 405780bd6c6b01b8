"""The report of one life, as Markdown. What is not known is said so, never shown as 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from rollbackd.core import events as e
from rollbackd.core import wording
from rollbackd.core.notation import about
from rollbackd.core.sla import CONSEQUENCES
from rollbackd.core.state import AUTOMATIC
from rollbackd.core.wording import moment
from rollbackd.report.escape import cell, code, prose
from rollbackd.report.execution import execution, verification
from rollbackd.report.failure import failure
from rollbackd.report.parts import faster, parts
from rollbackd.report.people import actions, escalation
from rollbackd.report.timeline import timeline
from rollbackd.report.words import UNKNOWN, at, elapsed, fact, plain, target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Firing, Life
    from rollbackd.report.failure import Failure
    from rollbackd.report.parts import Earlier, Part
    from rollbackd.report.timeline import Entry

MOST_WINDOWS = 64
MOST_FIRINGS = 200
LONGEST_VALUE = 200

_BLANK = "_To be filled in by a person._"


def markdown(life: Life, events: list[Recorded], before: Iterable[Earlier] = ()) -> str:
    """`events`: the rows of the life, its matters and its pages; others are passed over. `before`: verified
    rollbacks of the same plan."""
    entries = timeline(life.id, events)
    told = [
        f"# Rollback report: {prose(life.plan.name)} ({prose(life.id)})",
        *_section("Summary", _summary(life)),
        *_section("Trigger analysis", _trigger(life)),
        *_section("Execution", execution(life, events)),
        *_parts(parts(life, before)),
        *_section("Verification", verification(life, events)),
        *_section("Escalation", escalation(life, events)),
        *_failure(failure(life, events)),
        *_section("Who did what", actions(entries)),
        *_section("Timeline", _timeline(entries)),
        *_section("Impact assessment", _impact(life)),
        *_section("Root cause", iter((_BLANK,))),
        *_section("Prevention measures", iter(("1.",))),
        *_section("Lessons learned", _lessons(life)),
        *_section("Follow-up actions", _follow_up(life)),
        *_anchor(life, events),
    ]
    return "\n".join(told).rstrip() + "\n"


def _anchor(life: Life, events: list[Recorded]) -> Iterator[str]:
    """The chain up to the life's last row, for `audit verify --anchors` (I13). That a report was written
    changes no report."""
    rows = [row for row in events if row.life == life.id and not isinstance(row.event, e.ReportWritten)]
    if rows:
        last = rows[-1]
        yield f"\n_Rows {rows[0].seq} to {last.seq} of the journal; anchor {last.seq}:{last.hash}_"


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    yield f"\n## {title}\n"
    yield from lines


# Summary


def _summary(life: Life) -> Iterator[str]:
    plan = life.plan
    yield fact("Operation", prose(plan.operation or plan.summary))
    yield fact(
        "Plan", f"{code(plan.name)}, level {plan.level}, {plan.type}, risk {prose(plan.risk or UNKNOWN)}"
    )
    yield fact("Services", ", ".join(code(service) for service in plan.services))
    yield fact("Versions", f"{_version(life.next)} → {_version(life.previous)}")
    yield fact("Rollout", code(life.rollout) if life.rollout else "none open")
    if life.plan.capture or life.capture:
        yield fact("Capture", code(life.capture) if life.capture else "none")
    yield fact("Owner", prose(plan.owner))
    yield fact("Rollback triggered", at(life.opened))
    yield fact("Rollback completed", _completed(life))
    yield fact("Duration", _duration(life))
    yield fact("Outcome", _outcome(life))
    yield fact("Customer impact", _customer_impact(life))


def _version(version: str | None) -> str:
    return code(version) if version else UNKNOWN


def _completed(life: Life) -> str:
    if life.verified is not None:
        return moment(life.verified)
    if life.ended is not None:
        return f"not completed; ended {moment(life.ended)}"
    return "not yet"


def _duration(life: Life) -> str:
    plan = life.plan
    goals = f"(SLA: {about(plan.allowed())}, target: {about(target(plan))})"
    took = elapsed(life)
    if took is None:
        why = "still under way" if life.ended is None else "it was never decided to roll back"
        return f"{why} {goals}"
    return f"{about(took)} from the decision {goals}"


def _outcome(life: Life) -> str:
    words = {
        "verified": "successful: verified by the metrics",
        "unverified": "UNVERIFIED: it ran, recovery is not proven",
    }
    outcome = words.get(life.state, plain(life.shown()))
    detail = life.end_detail or (life.parked.detail if life.parked is not None else "")
    return prose(outcome) + (f" – {prose(detail)}" if detail else "")


# Trigger analysis


def _trigger(life: Life) -> Iterator[str]:
    automatic = life.by == AUTOMATIC
    yield fact("Trigger type", "automatic" if automatic else f"manual, by {prose(life.by)}")
    if life.reason:
        yield fact("Reason", prose(life.reason))
    trigger = life.triggers.get(life.trigger)
    if trigger is not None:
        yield fact("Trigger", f"{code(trigger.name)} ({trigger.category}, {trigger.severity})")
        yield fact("Expression", code(wording.asked(trigger.condition)))
        summary = trigger.annotations.get("summary")
        if summary:
            yield fact("Meaning", prose(summary))
    for firing in life.firings[:MOST_FIRINGS]:
        where = f" {_labels(firing)}" if firing.labels else ""
        yield fact(
            "Metric",
            f"{code(firing.trigger)}{where} = {code(_short(firing.value))} (limit {code(firing.limit)})",
        )
    if len(life.firings) > MOST_FIRINGS:
        yield f"\n{MOST_FIRINGS} of {len(life.firings)} firings are listed.\n"
    yield fact("Detection", _detection(life))
    yield from _action(life)
    for firing in life.firings[:20]:
        yield from _windows(life, firing)
    if len(life.firings) > 20:
        yield f"\n{len(life.firings) - 20} more subjects fired."


def _action(life: Life) -> Iterator[str]:
    if life.action != "shadow":
        yield fact("Action", f"{plain(life.action)} (by rule: {plain(life.top)})")
        for lowering in life.lowered:
            yield fact("Lowered", f"to {plain(lowering.to)}: {prose(lowering.detail)}")
        return
    rule, would = replace(life, lowered=()).would(), life.would()
    why = "; ".join(low.detail for low in life.lowered if low.reason != "max_action")
    because = f", because {prose(why)}" if why else ""
    yield fact("Action", f"by rule: {plain(rule)}; in shadow; would have been: {plain(would)}{because}")


def _short(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else value[:LONGEST_VALUE] + "…"


def _labels(firing: Firing) -> str:
    return code("{" + ", ".join(f"{k}={v}" for k, v in firing.labels.items()) + "}")


def _detection(life: Life) -> str:
    if not life.firings:
        return "none: started by hand" if life.by != AUTOMATIC else UNKNOWN
    began = min(firing.began for firing in life.firings)
    streak = max(firing.streak for firing in life.firings)
    delay = about(max(life.opened - began, 0))
    return f"{delay} after the breach began ({moment(began)}), {streak} breaching windows in a row"


def _windows(life: Life, firing: Firing) -> Iterator[str]:
    trigger = life.triggers.get(firing.trigger)
    title = f"{prose(firing.trigger)} {_labels(firing) if firing.labels else ''}".strip()
    left = " (recovered by itself before the rollback began)" if firing.left else ""
    yield f"\nWindows of {title}{left}:\n"
    yield "| window's end | verdict | value | limit |"
    yield "|---|---|---|---|"
    limit = trigger.condition.limit if trigger is not None else firing.limit
    for seen in firing.windows[-MOST_WINDOWS:]:
        value = cell(_short(seen.value)) if seen.value is not None else UNKNOWN
        yield f"| {moment(seen.end)} | {plain(seen.verdict)} | {value} | {cell(limit)} |"


# The rest


def _timeline(entries: list[Entry]) -> Iterator[str]:
    if not entries:
        yield "Nothing is recorded."
        return
    yield "| at | what | who |"
    yield "|---|---|---|"
    for entry in entries:
        yield f"| {moment(entry.at)} | {prose(entry.text)} | {prose(entry.actor)} |"


def _customer_impact(life: Life) -> str:
    found = next((one for one in life.impact or () if one.name == "customer_impact"), None)
    if found is None or found.value is None:
        return f"{UNKNOWN} (to be filled in)"
    return prose(found.word) or f"{found.value:g}"


IMPACT = {
    "downtime_seconds": "Downtime",
    "affected_requests": "Affected requests",
    "failed_requests": "Failed requests",
    "customer_complaints": "Customer complaints",
    "revenue_impact_usd": "Revenue impact",
    "customer_impact": "Customer impact",
}


def _impact(life: Life) -> Iterator[str]:
    measured = {one.name: one for one in life.impact or ()}
    if not measured:
        yield "Not measured by rollbackd; to be filled in.\n"
    for name in dict.fromkeys((*IMPACT, *measured)):
        one = measured.get(name)
        title = IMPACT.get(name) or prose(plain(name))
        if one is None:
            if name != "customer_impact":
                yield fact(title, UNKNOWN)
        elif one.value is None:
            yield fact(title, f"{UNKNOWN}: {prose(one.detail)}")
        else:
            unit = {"downtime_seconds": " seconds", "revenue_impact_usd": " USD"}.get(name, "")
            word = f", {prose(one.word)}" if one.word else ""
            yield fact(title, f"{one.value:,.10g}{unit}{word}")


def _lessons(life: Life) -> Iterator[str]:
    for lesson in life.resolution.lessons if life.resolution is not None else ():
        yield f"- {prose(lesson)}"
    yield "-"


def _failure(found: Failure | None) -> Iterator[str]:
    if found is None:
        return
    yield "\n## Failure record\n"
    yield fact("Attempted", moment(found.attempted))
    yield fact("Failed", moment(found.failed))
    yield fact("Reason", prose(found.reason))
    yield fact("Phase and step", f"{cell(found.phase or '')}, {cell(found.step or '')}")
    yield fact("Error", prose(found.error))
    yield fact("Logs", code(found.logs) if found.logs else UNKNOWN)
    took = found.took
    yield fact("Total duration", about(took) if took is not None else "not resolved yet")
    if found.levels:
        yield "\n| level | reached | action | outcome |"
        yield "|---|---|---|---|"
    for level in found.levels:
        said = "; ".join(f"{one.actor}: {one.comment or one.text}" for one in level.said)
        title = f"{level.level} {prose(level.rung.title)}".strip()
        acts = prose(said or "nothing is recorded")
        yield f"| {title} | {moment(level.at)} | {acts} | {level.outcome or 'open'} |"


def _parts(found: tuple[Part, ...]) -> Iterator[str]:
    if not found:
        return
    yield "\n## Parts of the plan against the whole\n"
    yield "| part | expected | by the plan's estimates | measured | took | the whole | rollbacks |"
    yield "|---|---|---|---|---|---|---|"
    for one in found:
        took = about(one.took) if one.took is not None else UNKNOWN
        whole = f"{about(one.whole)} ({one.whole_is})" if one.whole is not None else UNKNOWN
        shares = " | ".join(map(faster, (one.expected, one.estimated, one.measured)))
        yield f"| {cell(one.scope)} | {shares} | {took} | {whole} | {one.runs} |"


def _follow_up(life: Life) -> Iterator[str]:
    if life.sla_breached:
        yield f"- [ ] SLA breached: {CONSEQUENCES[life.plan.level]}"
    if life.cleanup_failed is not None:
        yield f"- [ ] Finish the clean-up by hand: {prose(life.cleanup_failed)}"
    yield "- [ ]"
