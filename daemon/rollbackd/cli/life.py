"""`show`: one rollback, from decision to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

from rollbackd.cli import output
from rollbackd.cli.overview import COLOURS, GLYPHS, sla, state
from rollbackd.cli.text import Doc, clock, labels, moment, span, until, visible
from rollbackd.core.state import End

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

ENDS: frozenset[str] = frozenset(get_args(End))
STEPS = {"done": "green", "failed": "bold red", "running": "cyan", "to_come": "dim", "not_run": "dim"}
BAR = 40


def over(life: Doc) -> bool:
    return life["state"] in ENDS and bool(life.get("ended"))


def verified(life: Doc) -> bool:
    """Also while only clean-up is left (rule X1)."""
    return bool(life.get("verified")) or life["state"] == "verified"


def timeline_line(entry: Doc) -> str:
    actor = f" ({visible(entry['actor'])})" if entry.get("actor") not in (None, "", "rollbackd") else ""
    comment = f": {visible(entry['comment'])}" if entry.get("comment") else ""
    return f"{clock(entry['at'])} {visible(entry['text'])}{actor}{comment}"


def render(life: Doc, now: datetime, most: int | None = None) -> RenderableType:
    """`most`: so many lines of the timeline, the newest."""
    from rich.console import Group

    parts: list[RenderableType] = [_head(life, now)]
    steps = life.get("steps") or []
    if steps:
        parts += ["", _phases(life, steps, now), "", _steps(steps, life, now)]
    if life.get("firings"):
        parts += ["", _firings(life["firings"])]
    if life.get("checks"):
        parts += ["", _checks(life["checks"])]
    timeline = life.get("timeline") or []
    if timeline:
        table = output.table("timeline")
        table.show_header = False
        table.add_column()
        shown = timeline if most is None else timeline[-most:]
        for entry in shown:
            output.row(table, [timeline_line(entry)])
        parts += ["", table]
    return Group(*parts)


def _head(life: Doc, now: datetime) -> RenderableType:
    from rich.console import Group
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    for name, said in _facts(life, now):
        if said:
            output.row(table, [output.note(name), said])
    title = output.note(visible(life["id"]) + "  ", "bold").append_text(state(life["state"]))
    return Group(title, table)


def _facts(life: Doc, now: datetime) -> Iterator[tuple[str, str | Text]]:
    yield "detail", visible(life.get("detail") or "")
    for name in ("parked", "held", "waits_for"):
        yield name.replace("_", " "), _said(life.get(name))
    if life["state"] == "waiting_approval" and life.get("expires"):
        yield "expires", until(life["expires"], now)
    if life["state"] == "waiting_veto" and life.get("veto_until"):
        yield "begins by itself", until(life["veto_until"], now)
    yield "plan", visible(life.get("plan") or "")
    yield "services", _said(life.get("services"))
    yield "versions", _said(life.get("versions"))
    yield "rollout", _said(life.get("rollout"))
    yield "trigger", visible(life.get("trigger") or "")
    yield "subjects", " ".join(labels(subject) for subject in life.get("subjects") or [])
    yield "owner", visible(life.get("owner") or "")
    yield "by", visible(life.get("by") or "")
    yield "reason", visible(life.get("reason") or "")
    yield "action", visible(life.get("action") or "")
    for lowering in life.get("lowered_by") or []:
        why = lowering.get("detail") or lowering.get("reason") or ""
        yield "lowered", f"to {visible(lowering.get('to') or '?')}: {visible(why)}"
    for name in ("approval", "abort", "resolution", "verification"):
        yield name, _said(life.get(name))
    yield "decided", clock(life.get("decided"))
    yield "began", clock(life.get("began"))
    yield "verified", clock(life.get("verified"))
    yield "ended", clock(life.get("ended"))
    yield "SLA", sla(life, now)
    yield "revision", visible(life.get("revision") or "")


def _said(found: Any) -> str:
    """A value of the API in a few words: moments read, absent fields left out."""
    if not found:
        return ""
    match found:
        case dict():
            said = {name: _said(value) for name, value in found.items()}
            return ", ".join(f"{visible(name)} {value}" for name, value in said.items() if value)
        case list() | tuple():
            return ", ".join(_said(each) for each in found)
        case str() if len(found) >= 19 and moment(found) is not None:
            return clock(found)
        case _:
            return visible(found)


def _phases(life: Doc, steps: Sequence[Doc], now: datetime) -> Table:
    """Each phase's share of the time, with the target and the SLA on the same line."""
    table = output.table("phases", "phase", "", "took")
    start = moment(life.get("decided")) or min(_times(steps, "began"), default=now)
    said = life.get("sla") or {}
    whole, target = said.get("seconds"), said.get("target_seconds")
    last = max([moment(life.get("ended")) or now, *_times(steps, "ended")])
    scale = max((last - start).total_seconds(), float(whole or 0), 1.0)
    line = (target / scale if target else None, whole / scale if whole else None)
    for phase in dict.fromkeys(step["phase"] for step in steps):
        begun = [step for step in steps if step["phase"] == phase and step.get("began")]
        if not begun:
            output.row(table, [visible(phase), _bar(None, *line), ""], "dim")
            continue
        began = min(_times(begun, "began"))
        ended = max(moment(step.get("ended")) or moment(life.get("ended")) or now for step in begun)
        spent = ((began - start).total_seconds() / scale, (ended - start).total_seconds() / scale)
        output.row(table, [visible(phase), _bar(spent, *line), span((ended - began).total_seconds())])
    if whole:
        marks = f"+ target {span(target)}   " if target else ""
        output.row(table, ["", output.note(f"{marks}| SLA {span(whole)}"), ""])
    return table


def _times(steps: Sequence[Doc], name: str) -> list[datetime]:
    return [at for at in (moment(step.get(name)) for step in steps) if at is not None]


def _bar(spent: tuple[float, float] | None, target: float | None, whole: float | None) -> Text:
    """Shares of the scale → a line of `BAR` cells: `=` spent, `+` the target, `|` the SLA."""
    cells = [" "] * (BAR + 1)
    if spent is not None:
        first = min(BAR - 1, max(0, int(spent[0] * BAR)))
        for cell in range(first, min(BAR, max(first + 1, round(spent[1] * BAR)))):
            cells[cell] = "="
    for share, mark in ((target, "+"), (whole, "|")):
        if share is not None:
            cells[min(BAR, round(share * BAR))] = mark
    late = whole is not None and spent is not None and spent[1] > whole
    return output.note("".join(cells), "bold red" if late else "cyan")


def _steps(steps: Sequence[Doc], life: Doc, now: datetime) -> Table:
    table = output.table("steps", "phase", "step", "state", "began", "took", "attempts", "detail")
    for step in steps:
        began, ended = moment(step.get("began")), moment(step.get("ended")) or moment(life.get("ended"))
        by = f" by {visible(step['by'])}" if step.get("by") not in (None, "", "run") else ""
        late = " OVERDUE" if step.get("overdue") else ""
        cells: output.Cells = [
            visible(step["phase"]),
            visible(step["step"]),
            output.note(visible(step["state"]) + by + late, STEPS.get(step["state"], "yellow")),
            clock(step.get("began")),
            span(((ended or now) - began).total_seconds()) if began else "",
            visible(step.get("attempts") or ""),
            visible(step.get("detail") or ""),
        ]
        output.row(table, cells)
    return table


def _firings(found: Sequence[Doc]) -> Table:
    table = output.table("fired", "trigger", "subject", "value", "limit", "streak", "windows")
    for firing in found:
        strip = output.note("", "")
        for window in firing.get("windows") or []:
            strip.append(GLYPHS.get(window.get("verdict"), "?"), COLOURS.get(window.get("verdict"), ""))
        cells = [visible(firing.get("trigger") or ""), labels(firing.get("labels") or {})]
        cells += [visible(firing.get(name, "")) for name in ("value", "limit", "streak")]
        output.row(table, [*cells, strip], "dim" if firing.get("left") else None)
    return table


def _checks(found: Sequence[Doc]) -> Table:
    table = output.table("checks", "check", "answer", "at", "detail")
    for check in found:
        answer = check.get("answer") or ""
        style = {"pass": "green", "fail": "bold red"}.get(answer, "yellow")
        shown = output.note(visible(answer), style)
        name, detail = visible(check.get("name") or ""), visible(check.get("detail") or "")
        output.row(table, [name, shown, clock(check.get("at")), detail])
    return table
