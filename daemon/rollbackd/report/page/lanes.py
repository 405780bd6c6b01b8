"""Bars against time: a lane each for phases and their steps, regions, waits, levels, people.

Everything across is a share of the width, everything upright a pixel, so that text is never stretched. A
lane's name stands above its bars, where a phone has room for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup
from msgspec import Struct

from rollbackd.report.escape import visible
from rollbackd.report.page.scale import percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollbackd.core.model import Ms
    from rollbackd.report.page.scale import Times

TOP, LANE, BAR, AXIS = 34, 34, 12, 22
MOST = 300
"""Characters of what a mark says when it is pointed at."""
LEAST = 0.004
"""Of the width: what took next to nothing is seen, too."""


class Bar(Struct, frozen=True):
    """`end` None: it goes on."""

    begin: Ms
    end: Ms | None
    kind: str
    says: str


class Dot(Struct, frozen=True):
    at: Ms
    kind: str
    says: str
    sign: str = ""


class Lane(Struct, frozen=True):
    name: str
    bars: tuple[Bar, ...] = ()
    dots: tuple[Dot, ...] = ()
    note: str = ""
    inner: bool = False  # part of the lane above


class Line(Struct, frozen=True):
    at: Ms
    kind: str
    says: str


class Chart(Struct, frozen=True):
    name: str
    title: str
    says: str
    times: Times
    lanes: Sequence[Lane]
    lines: Sequence[Line] = ()
    shades: Sequence[Bar] = ()


def draw(chart: Chart) -> Markup:
    """An <svg> element."""
    foot = TOP + len(chart.lanes) * LANE
    inside = [*_shades(chart, foot), *_grid(chart, foot), *_lines(chart, foot)]
    for place, lane in enumerate(chart.lanes):
        inside += _lane(chart, lane, TOP + place * LANE)
    return Markup(
        '<svg class="chart" width="100%" height="{}" role="img" aria-labelledby="{}-t {}-d">'
        '<title id="{}-t">{}</title><desc id="{}-d">{}</desc>{}</svg>'
    ).format(
        foot + AXIS,
        *(chart.name,) * 3,
        _cut(chart.title, MOST),
        chart.name,
        _cut(chart.says, MOST),
        Markup("\n").join(inside),
    )


def _place(chart: Chart, begin: Ms, end: Ms | None) -> tuple[str, str]:
    first = chart.times.share(begin)
    last = 1.0 if end is None else chart.times.share(end)
    width = max(last - first, LEAST)
    return percent(min(first, 1 - width)), percent(width)


def _shades(chart: Chart, foot: int) -> Iterator[Markup]:
    for shade in chart.shades:
        x, width = _place(chart, shade.begin, shade.end)
        yield Markup(
            '<rect class="shade {}" x="{}" width="{}" y="{}" height="{}"><title>{}</title></rect>'
        ).format(shade.kind, x, width, TOP, foot - TOP, _cut(shade.says, MOST))


def _grid(chart: Chart, foot: int) -> Iterator[Markup]:
    for at, text, narrow in chart.times.marks():
        kind = "" if narrow else " wide"
        yield Markup('<line class="grid{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            kind, at, at, TOP, foot + 4
        )
        yield Markup('<text class="axis{}" x="{}" y="{}">{}</text>').format(kind, at, foot + 17, text)


def _lane(chart: Chart, lane: Lane, top: int) -> Iterator[Markup]:
    yield Markup('<text class="lane{}" x="{}" y="{}">{}</text>').format(
        " inner" if lane.inner else "", 10 if lane.inner else 0, top + 12, _cut(lane.name)
    )
    if lane.note:
        yield Markup('<text class="took" x="100%" y="{}">{}</text>').format(top + 12, _cut(lane.note, 48))
    base = top + 16
    yield Markup('<line class="base" x1="0" x2="100%" y1="{}" y2="{}"/>').format(base + BAR, base + BAR)
    for bar in lane.bars:
        x, width = _place(chart, bar.begin, bar.end)
        yield Markup(
            '<rect class="bar {}" x="{}" width="{}" y="{}" height="{}" rx="2"><title>{}</title></rect>'
        ).format(bar.kind, x, width, base, BAR, _cut(bar.says, MOST))
    for dot in (one for one in lane.dots if chart.times.holds(one.at)):
        x = chart.times.percent(dot.at)
        yield Markup('<g class="dot {}"><title>{}</title><circle cx="{}" cy="{}" r="6"/>{}</g>').format(
            dot.kind,
            _cut(dot.says, MOST),
            x,
            base + 6,
            Markup('<text x="{}" y="{}">{}</text>').format(x, base + 10, dot.sign) if dot.sign else "",
        )


def _lines(chart: Chart, foot: int) -> Iterator[Markup]:
    """Their names stand above, on the side where there is room, and in two rows."""
    for place, line in enumerate(one for one in chart.lines if chart.times.holds(one.at)):
        share = chart.times.share(line.at)
        x, y = percent(share), 12 + 15 * (place % 2)
        side, shift = ("end", -4) if share > 0.5 else ("start", 4)
        yield Markup(
            '<line class="line {}" x1="{}" x2="{}" y1="{}" y2="{}"/>'
            '<text class="said {}" x="{}" dx="{}" y="{}" text-anchor="{}">{}</text>'
        ).format(line.kind, x, x, y - 10, foot + 4, line.kind, x, shift, y, side, line.says)


def _cut(text: str, most: int = 40) -> str:
    return visible(text if len(text) <= most else text[: most - 1] + "…")
