"""The report of one life, as Markdown. What is not known is said so, never shown as 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from rollbackd.core import wording
from rollbackd.core.notation import about
from rollbackd.core.sla import CONSEQUENCES
from rollbackd.core.state import AUTOMATIC
from rollbackd.core.wording import moment
from rollbackd.report.escape import cell, code, prose
from rollbackd.report.execution import execution, verification
from rollbackd.report.people import actions, escalation
from rollbackd.report.timeline import timeline
from rollbackd.report.words import UNKNOWN, at, elapsed, fact, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Firing, Life
    from rollbackd.report.timeline import Entry

MOST_WINDOWS = 64
MOST_FIRINGS = 200
LONGEST_VALUE = 200

_BLANK = "_To be filled in by a person._"


def markdown(life: Life, events: list[Recorded]) -> str:
    """`events`: the rows of the life, its matters and its pages; others are passed over."""
    entries = timeline(life.id, events)
    parts = [
        f"# Rollback report: {prose(life.plan.name)} ({prose(life.id)})",
        *_section("Summary", _summary(life)),
        *_section("Trigger analysis", _trigger(life)),
        *_section("Execution", execution(life, events)),
        *_section("Verification", verification(life, events)),
        *_section("Escalation", escalation(life, events)),
        *_section("Who did what", actions(entries)),
        *_section("Timeline", _timeline(entries)),
        *_section("Impact assessment", _impact()),
        *_section("Root cause", iter((_BLANK,))),
        *_section("Prevention measures", iter(("1.",))),
        *_section("Lessons learned", iter(("-",))),
        *_section("Follow-up actions", _follow_up(life)),
    ]
    return "\n".join(parts).rstrip() + "\n"


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
    yield fact("Customer impact", f"{UNKNOWN} (to be filled in)")


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
    goals = f"(SLA: {about(plan.allowed())}, target: {about(plan.target)})"
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


def _impact() -> Iterator[str]:
    yield "Not measured by rollbackd; to be filled in.\n"
    for name in (
        "Downtime",
        "Affected requests",
        "Failed requests",
        "Customer complaints",
        "Revenue impact",
    ):
        yield fact(name, UNKNOWN)


def _follow_up(life: Life) -> Iterator[str]:
    if life.sla_breached:
        yield f"- [ ] SLA breached: {CONSEQUENCES[life.plan.level]}"
    if life.cleanup_failed is not None:
        yield f"- [ ] Finish the clean-up by hand: {prose(life.cleanup_failed)}"
    yield "- [ ]"
