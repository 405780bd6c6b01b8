"""`show`: one rollback, from decision to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

from rollbackd.cli import output
from rollbackd.cli import steps as step_views
from rollbackd.cli.overview import COLOURS, GLYPHS, Overview, action, needs, sla, state
from rollbackd.cli.text import Doc, clock, labels, moment, span, until, visible
from rollbackd.core.state import End
from rollbackd.core.wording import value

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

ENDS: frozenset[str] = frozenset(get_args(End))
BAR = 40
NEWEST = 5  # lines of the timeline, on a screen that is watched


def over(life: Doc) -> bool:
    return life["state"] in ENDS and bool(life.get("ended"))


def verified(life: Doc) -> bool:
    """Also while only clean-up is left (rule X1)."""
    return bool(life.get("verified")) or life["state"] == "verified"


def timeline_line(entry: Doc) -> str:
    actor = f" ({visible(entry['actor'])})" if entry.get("actor") not in (None, "", "rollbackd") else ""
    comment = f": {visible(entry['comment'])}" if entry.get("comment") else ""
    return f"{clock(entry['at'])} {visible(entry['text'])}{actor}{comment}"


def render(life: Doc, now: datetime) -> RenderableType:
    """The whole of it."""
    from rich.console import Group

    steps = life.get("steps") or []
    parts: list[RenderableType] = [_title(life), _grid(_facts(life, now))]
    if steps:
        parts += ["", _phases(life, steps, now), "", step_views.table(steps, life, now)]
        parts += step_views.last_words(steps, life)
    if life.get("firings"):
        parts += ["", _firings(life["firings"])]
    if life.get("checks"):
        parts += ["", _checks(life["checks"])]
    if life.get("items"):
        parts += ["", _items(life["items"])]
    timeline = life.get("timeline") or []
    if timeline:
        parts += ["", _timeline(timeline)]
    return Group(*parts)


def glance(life: Doc, now: datetime) -> RenderableType:
    """For a small screen that is watched: what needs someone, the state, the SLA, the steps; the rest
    where there is room."""
    from rich.console import Group

    steps = life.get("steps") or []
    wanted = [
        output.note(f"! {step_views.cut(visible(said), 240)}", "bold yellow") for said in _needs(life, now)
    ]
    parts: list[RenderableType] = [
        *wanted[:3],
        _title(life).append("  ").append_text(_against_sla(life, now)),
    ]
    if steps:
        parts += ["", step_views.small(steps, life, now), *step_views.last_words(steps, life)]
    if life.get("timeline"):
        parts += ["", _timeline(life["timeline"][-NEWEST:])]
    if steps:
        parts += ["", _phases(life, steps, now)]
    if life.get("firings"):
        parts += ["", _firings(life["firings"])]
    if life.get("checks"):
        parts += ["", _checks(life["checks"])]
    return Group(*parts, "", _grid(_facts(life, now)))


def _needs(life: Doc, now: datetime) -> list[str]:
    """As `status` says it."""
    matters = life.get("matters") or []
    seen = Overview([life], [], [], [], matters, "", now)
    return [f"{need.what}: {need.todo}" for need in needs(seen) if not need.done]


def _title(life: Doc) -> Text:
    return output.note(visible(life["id"]) + "  ", "bold").append_text(state(life["state"]))


def _against_sla(life: Doc, now: datetime) -> Text:
    deadline = (life.get("sla") or {}).get("deadline")
    text = sla(life, now)
    if text.plain and deadline and not over(life):
        text.append(f", due {until(deadline, now)}")
    return output.note("SLA ", "dim").append_text(text) if text.plain else text


def _grid(facts: Iterator[tuple[str, str | Text]]) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    for name, said in facts:
        if said:
            output.row(table, [output.note(name), said])
    return table


def _timeline(entries: Sequence[Doc]) -> Table:
    table = output.table("timeline")
    table.show_header = False
    table.add_column()
    for entry in entries:
        output.row(table, [timeline_line(entry)])
    return table


def _facts(life: Doc, now: datetime) -> Iterator[tuple[str, str | Text]]:
    yield "detail", visible(life.get("detail") or "")
    parked = life.get("parked") or {}
    yield "parked", _said({name: said for name, said in parked.items() if name != "detail"})
    for name in ("held", "waits_for"):
        yield name.replace("_", " "), _said(life.get(name))
    if life["state"] == "waiting_approval" and life.get("expires"):
        yield "expires", until(life["expires"], now)
    if life["state"] == "waiting_veto" and life.get("veto_until"):
        yield "begins by itself", until(life["veto_until"], now)
    yield "plan", visible(life.get("plan") or "")
    yield "services", _said(life.get("services"))
    yield "versions", _said(life.get("versions"))
    yield "rollout", _said(life.get("rollout"))
    yield "capture", _said(life.get("capture"))
    yield "trigger", visible(life.get("trigger") or "")
    yield "subjects", " ".join(labels(subject) for subject in life.get("subjects") or [])
    yield "owner", visible(life.get("owner") or "")
    yield "by", visible(life.get("by") or "")
    yield "reason", visible(life.get("reason") or "")
    yield "action", action(life)
    for lowering in life.get("lowered_by") or []:
        if life.get("action") == "shadow" and lowering.get("reason") == "max_action":
            continue
        why = lowering.get("detail") or lowering.get("reason") or ""
        yield "lowered", f"to {visible(lowering.get('to') or '?')}: {visible(why)}"
    for name in ("approval", "abort", "resolution"):
        yield name, _said(life.get(name))
    yield "verification", _proof(life, now)
    yield "decided", clock(life.get("decided"))
    yield "began", clock(life.get("began"))
    yield "verified", clock(life.get("verified"))
    yield "ended", clock(life.get("ended"))
    yield "SLA", sla(life, now)
    yield "revision", visible(life.get("revision") or "")


def _proof(life: Doc, now: datetime) -> str:
    found = life.get("verification") or {}
    if over(life) or not found.get("deadline"):
        return _said(found)
    rest = _said({name: value for name, value in found.items() if name != "deadline"})
    return f"proof wanted by {until(found['deadline'], now)}" + (f", {rest}" if rest else "")


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


def _firings(found: Sequence[Doc]) -> Table:
    table = output.table("fired", "trigger", "subject", "value", "limit", "streak", "windows")
    for firing in found:
        strip = output.note("", "")
        for window in firing.get("windows") or []:
            strip.append(GLYPHS.get(window.get("verdict"), "?"), COLOURS.get(window.get("verdict"), ""))
        cells = [visible(firing.get("trigger") or ""), labels(firing.get("labels") or {})]
        cells.append(visible(value(str(firing.get("value", "")))))
        cells += [visible(firing.get(name, "")) for name in ("limit", "streak")]
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


def _items(found: Sequence[Doc]) -> Table:
    table = output.table("to look at", "", "item", "owner", "ticked")
    for item in found:
        tick = item.get("ticked") or {}
        by = f"{visible(tick.get('by') or '')} {clock(tick.get('at'))}" if tick else ""
        ticked = output.note(by or "not yet", "green" if tick else "yellow")
        cells = [str(item.get("number")), visible(item.get("item") or ""), visible(item.get("owner") or "")]
        output.row(table, [*cells, ticked])
    return table
