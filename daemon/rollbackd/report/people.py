"""Whom it reached, and who did what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import events as e
from rollbackd.core.state import AUTOMATIC
from rollbackd.core.wording import moment
from rollbackd.report.escape import cell, prose
from rollbackd.report.words import UNKNOWN, fact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Life
    from rollbackd.report.timeline import Entry


def escalation(life: Life, events: list[Recorded]) -> Iterator[str]:
    """The matters, each with its rungs, deliveries and acknowledgements (E1–E3)."""
    matters: dict[str, e.MatterOpened] = {}
    rows: dict[str, list[str]] = {}
    page_of: dict[str, str] = {}
    for row in events:
        event = row.event
        mine = getattr(event, "life", None) == life.id
        match event:
            case e.MatterOpened() if mine:
                matters[event.matter] = event
                rows.setdefault(event.matter, [])
            case e.PagePromised() if mine:
                page_of[event.page] = event.matter or "notify"
                rows.setdefault(event.matter or "notify", [])
        line = _line(event, rows, page_of)
        if line is not None:
            matter, what = line
            rows[matter].append(f"| {moment(event.at) if event is not None else UNKNOWN} | {what} |")
    if not rows:
        yield "Nobody was paged."
        return
    for number, (matter, lines) in enumerate(rows.items()):
        opened = matters.get(matter)
        title = prose(opened.title) if opened is not None else "told, no answer wanted"
        yield ("\n" if number else "") + fact(prose(matter), title) + "\n"
        yield "| at | what |"
        yield "|---|---|"
        yield from lines
    yield from _resolution(life)


def _line(
    event: e.Event | None, rows: dict[str, list[str]], page_of: dict[str, str]
) -> tuple[str, str] | None:
    match event:
        case e.MatterChanged() if event.matter in rows:
            return event.matter, f"now: {prose(event.title)}"
        case e.RungReached() if event.matter in rows:
            return event.matter, f"rung {event.rung} {'repeated' if event.repeat else 'reached'}"
        case e.MatterAcked() if event.matter in rows:
            comment = f": {prose(event.comment)}" if event.comment else ""
            return event.matter, f"acknowledged by {prose(event.by)} ({prose(event.channel)}){comment}"
        case e.MatterResolved() if event.matter in rows:
            return event.matter, f"resolved: {prose(event.why)}"
        case e.PagePromised() if event.page in page_of:
            to = ", ".join(cell(receiver) for receiver in event.receivers)
            return page_of[event.page], f"{event.page_kind} to {to}: {prose(event.title)}"
        case e.PageDelivered() if event.page in page_of:
            return page_of[event.page], f"{cell(event.receiver)} accepted it ({event.status})"
        case e.PageRefused() if event.page in page_of:
            return page_of[event.page], f"{cell(event.receiver)} refused it: {prose(event.detail)}"
        case _:
            return None


def _resolution(life: Life) -> Iterator[str]:
    if life.resolution is None:
        return
    found = life.resolution
    yield f"\n{fact('Resolved', f'{prose(found.by)} ({prose(found.channel)}), {moment(found.at)}')}"
    yield fact("Approach", prose(found.approach))
    yield fact("Description", prose(found.description))


def actions(entries: list[Entry]) -> Iterator[str]:
    """Only what people said, with the channel it came by."""
    people = [entry for entry in entries if entry.channel and entry.actor not in ("", AUTOMATIC)]
    if not people:
        yield "No person acted."
        return
    yield "| at | who | channel | what | comment |"
    yield "|---|---|---|---|---|"
    for entry in people:
        yield (
            f"| {moment(entry.at)} | {prose(entry.actor)} | {prose(entry.channel)} "
            f"| {prose(entry.text)} | {prose(entry.comment)} |"
        )
