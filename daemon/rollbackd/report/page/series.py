"""The windows of a subject that fired, and those that proved its recovery, against the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup
from msgspec import Struct

from rollbackd.core.notation import quotient
from rollbackd.core.wording import moment, value
from rollbackd.report.escape import visible
from rollbackd.report.words import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollbackd.core.model import Limit, Ms
    from rollbackd.core.state import Seen
    from rollbackd.report.page.scale import Times

TOP, HEIGHT, AXIS = 16, 110, 22
MOST = 300
"""Characters of a title."""
ROOM = 1.12
"""Above the greatest reading."""


class Series(Struct, frozen=True):
    """`ran`: from the decision to the last step, or what is known of it."""

    name: str
    title: str
    says: str
    times: Times
    before: Sequence[Seen]
    after: Sequence[Seen]
    limit: Limit
    ran: tuple[Ms, Ms] | None


def draw(series: Series) -> Markup:
    """An <svg> element; windows without a finite reading have no point."""
    inside = [*_ran(series), *_grid(series), *_limit(series)]
    for windows in (series.before, series.after):
        inside += _points(series, windows)
    return Markup(
        '<svg class="chart" width="100%" height="{}" role="img" aria-labelledby="{}-t {}-d">'
        '<title id="{}-t">{}</title><desc id="{}-d">{}</desc>{}</svg>'
    ).format(
        TOP + HEIGHT + AXIS,
        *(series.name,) * 3,
        visible(series.title[:MOST]),
        series.name,
        series.says,
        Markup("\n").join(inside),
    )


def readings(windows: Sequence[Seen]) -> list[tuple[Seen, float]]:
    found = [(seen, quotient(seen.value)) for seen in windows if seen.value is not None]
    return [(seen, number) for seen, number in found if number is not None and number - number == 0]


def _bounds(series: Series) -> tuple[float, float]:
    numbers = [number for part in (series.before, series.after) for _, number in readings(part)]
    low, high = min(0.0, series.limit.value, *numbers), max(0.0, series.limit.value, *numbers)
    return low, low + ((high - low) * ROOM or 1.0)


def _y(series: Series, number: float) -> float:
    low, high = _bounds(series)
    return round(TOP + (1 - (number - low) / (high - low)) * HEIGHT, 1)


def _ran(series: Series) -> Iterator[Markup]:
    if series.ran is None:
        return
    begin, end = (100 * series.times.share(at) for at in series.ran)
    yield Markup('<rect class="shade ran" x="{:.2f}%" width="{:.2f}%" y="{}" height="{}"/>').format(
        begin, max(end - begin, 0.3), TOP, HEIGHT
    )
    yield Markup('<text class="said" x="{:.2f}%" dx="4" y="12">rollback</text>').format(min(begin, 80.0))


def _grid(series: Series) -> Iterator[Markup]:
    foot = TOP + HEIGHT
    yield Markup('<line class="base" x1="0" x2="100%" y1="{}" y2="{}"/>').format(foot, foot)
    for at, text, narrow in series.times.marks():
        kind = "" if narrow else " wide"
        yield Markup('<text class="axis{}" x="{}" y="{}">{}</text>').format(kind, at, foot + 17, text)


def _limit(series: Series) -> Iterator[Markup]:
    y = _y(series, series.limit.value)
    yield Markup(
        '<line class="limit" x1="0" x2="100%" y1="{}" y2="{}"/>'
        '<text class="limit-text" x="100%" y="{}">{}</text>'
    ).format(y, y, y - 4 if y > TOP + 12 else y + 13, f"limit {series.limit}")


def _points(series: Series, windows: Sequence[Seen]) -> Iterator[Markup]:
    found = [
        (series.times.share(seen.end), _y(series, number), seen)
        for seen, number in readings(windows)
        if series.times.holds(seen.end)
    ]
    if len(found) > 1:
        way = "L".join(f"{round(1_000 * x)} {round(10 * (y - TOP))}" for x, y, _ in found)
        yield Markup(
            '<svg y="{}" width="100%" height="{}" viewBox="0 0 1000 {}" preserveAspectRatio="none">'
            '<path class="line" d="M{}"/></svg>'
        ).format(TOP, HEIGHT, HEIGHT * 10, way)
    for x, y, seen in found:
        says = f"{moment(seen.end)}: {value(visible(seen.value or ''))}, {plain(seen.verdict)}"
        yield Markup('<circle class="point {}" cx="{:.2f}%" cy="{}" r="4"><title>{}</title></circle>').format(
            seen.verdict, 100 * x, y, says
        )
