"""One chart: readings with their limit, the windows beneath, incidents shaded, fires marked.

Everything across is a share of the width, everything upright a pixel: a chart is as wide as there is room,
and its text is never stretched. What is drawn by units (`viewBox`) holds no text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup
from msgspec import Struct
from msgspec.structs import replace

from rollbackd.core.notation import visible
from rollbackd.core.wording import moment
from rollbackd.tuning import figures
from rollbackd.tuning.page import series, strip
from rollbackd.tuning.page.columns import Columns
from rollbackd.tuning.page.scale import Times, Values
from rollbackd.tuning.page.tracks import extent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollbackd.core.model import Condition, Ms, Trigger
    from rollbackd.tuning.page.tracks import Track
    from rollbackd.tuning.scoring import Incident

MARKS = 14
"""Room above for the marks of fires."""
AXIS = 20


class Mark(Struct, frozen=True):
    """A fire, or a hidden one. `kind` is its class: caught, again, false, fire, hidden."""

    end: Ms
    kind: str
    says: str


class Shade(Struct, frozen=True):
    incident: Incident
    missed: bool


class Chart(Struct, frozen=True):
    """What to draw. `columns`: how fine; `cells`: each window with its glyph; `most`: marks, and shades."""

    name: str
    title: str
    says: str
    times: Times
    track: Track
    values: tuple[Values, ...]
    trigger: Trigger
    marks: Sequence[Mark] = ()
    shades: Sequence[Shade] = ()
    columns: int = 960
    height: int = 96
    cells: bool = False
    most: int = 100


def scales(trigger: Trigger, tracks: Sequence[Track]) -> tuple[Values, ...]:
    """One for each part of the condition, common to all the subjects."""
    found = []
    for at, part in enumerate(trigger.condition.leaves()):
        bounds = extent([one for one in tracks if len(one.readings) > at], at)
        low, high = bounds if bounds is not None else (0.0, 0.0)
        found.append(Values(low, high, part.breach))
    return tuple(found)


def draw(chart: Chart) -> Markup:
    """An <svg> element. Incidents and marks reach over all of its plots."""
    parts = tuple(chart.trigger.condition.leaves()) if chart.track.readings else ()
    columns = Columns(chart.track.ends, chart.times, chart.trigger.interval, chart.columns)
    foot = MARKS + len(parts) * (chart.height + 8)
    whole = foot + (strip.CELL if chart.cells else strip.HEIGHT)
    inside = [*_shades(chart, whole), *_grid(chart, whole)]
    for at, part in enumerate(parts):
        inside += _plot(chart, part, at, columns, MARKS + at * (chart.height + 8))
    inside.append(_strip(chart, columns, foot))
    inside += _marks(chart, whole)
    return Markup(
        '<svg class="chart" width="100%" height="{}" role="img" aria-labelledby="{}-t {}-d">'
        '<title id="{}-t">{}</title><desc id="{}-d">{}</desc>{}</svg>'
    ).format(
        whole + AXIS,
        chart.name,
        chart.name,
        chart.name,
        chart.title,
        chart.name,
        chart.says,
        Markup("\n").join(inside),
    )


def _shades(chart: Chart, foot: int) -> Iterator[Markup]:
    times = chart.times
    inside = [one for one in chart.shades if times.holds(one.incident.start, one.incident.end)]
    for shade in inside[: chart.most]:
        incident = shade.incident
        begin, end = chart.times.share(incident.start), chart.times.share(incident.end)
        yield Markup(
            '<rect class="incident{}" x="{:.2f}%" width="{:.2f}%" y="0" height="{}"><title>{}</title></rect>'
        ).format(
            " missed" if shade.missed else "", 100 * begin, 100 * (end - begin), foot, incident_says(shade)
        )


def incident_says(shade: Shade) -> str:
    incident = shade.incident
    note = f": {visible(incident.note)}" if incident.note else ""
    what = "missed incident" if shade.missed else "incident"
    return f"{what}, {moment(incident.start)} to {moment(incident.end)}{note}"


def _grid(chart: Chart, foot: int) -> Iterator[Markup]:
    for at, text, narrow in chart.times.marks():
        kind = "" if narrow else " wide"
        yield Markup('<line class="grid{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            kind, at, at, MARKS, foot + 4
        )
        yield Markup('<text class="axis{}" x="{}" y="{}">{}</text>').format(kind, at, foot + 16, text)


def _plot(chart: Chart, part: Condition, at: int, columns: Columns, top: int) -> Iterator[Markup]:
    values, height = chart.values[at], chart.height
    marks = [(round(top + (1 - share) * height, 1), text) for share, text in values.marks()]
    for y, _ in marks:
        yield Markup('<line class="grid" x1="0" x2="100%" y1="{}" y2="{}"/>').format(y, y)
    yield Markup(
        '<svg y="{}" width="100%" height="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>'
    ).format(
        top,
        height,
        chart.columns,
        height * 10,
        series.line(columns, chart.track.readings[at], values, height, f"{chart.name}-{at}", part.breach),
    )
    for y, text in marks:
        yield Markup('<text class="value" x="2" y="{}">{}</text>').format(
            y - 3 if y > top + 10 else y + 10, text
        )
    unit = figures.unit(part) if chart.trigger.condition.parts else ""
    yield _limit(f"{unit} {part.limit}".strip(), values.share(part.breach.value), top, height)


def _limit(said: str, share: float, top: int, height: int) -> Markup:
    y = round(top + (1 - share) * height, 1)
    return Markup(
        '<line class="limit" x1="0" x2="100%" y1="{}" y2="{}"/>'
        '<text class="limit-text" x="99.5%" y="{}">{}</text>'
    ).format(y, y, y - 4 if y > top + 14 else y + 12, said)


def _strip(chart: Chart, columns: Columns, top: int) -> Markup:
    if chart.cells:
        return strip.cells(chart.track, chart.times, chart.trigger.interval, top)
    return Markup(
        '<svg class="lanes" y="{}" width="100%" height="{}" viewBox="0 0 {} {}" '
        'preserveAspectRatio="none">{}</svg>'
    ).format(top, strip.HEIGHT, chart.columns, strip.HEIGHT, strip.lanes(columns, chart.track.verdicts))


def _marks(chart: Chart, foot: int) -> Iterator[Markup]:
    for mark in _apart(chart):
        x = chart.times.percent(mark.end)
        yield Markup(
            '<g class="mark {}"><title>{}</title><line x1="{}" x2="{}" y1="10" y2="{}"/>'
            '<svg x="{}" y="1" width="1" height="1" overflow="visible">{}</svg></g>'
        ).format(mark.kind, mark.says, x, x, foot, x, SIGNS.get(mark.kind, SIGNS["fire"]))


def _apart(chart: Chart) -> list[Mark]:
    """All marks; where they are too many, the first of each kind of those that stand close together."""
    marks = [mark for mark in chart.marks if chart.times.holds(mark.end, mark.end)]
    if len(marks) <= chart.most:
        return marks
    close: dict[tuple[int, str], list[Mark]] = {}
    for mark in marks:
        close.setdefault((int(chart.times.share(mark.end) * chart.most / 2), mark.kind), []).append(mark)
    return [
        replace(near[0], says=f"{near[0].says}; and {len(near) - 1:,} more close by") if near[1:] else near[0]
        for near in close.values()
    ]


SIGNS = {
    "fire": Markup('<path d="M-6 0h12l-6 11z"/>'),
    "hidden": Markup('<path class="hollow" d="M-5 1h10l-5 9z"/>'),
    "false": Markup('<path d="M-6 0h12l-6 11z"/><path class="cross" d="M-6-1l12 12M6-1l-12 12"/>'),
}
"""A mark's foot stands at the end of the window that decided."""
