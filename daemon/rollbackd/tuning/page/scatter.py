"""A sweep's settings as points: false fires a week against lead time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup
from msgspec import Struct

from rollbackd.tuning import figures
from rollbackd.tuning.page import heat
from rollbackd.tuning.page.scale import percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.tuning.sweep import Sweep

HEIGHT, TOP, FOOT = 200, 12, 34
LEFT, WIDE = 0.16, 0.8
MOST_POINTS = 400


class Point(Struct, frozen=True):
    """`false`: a week; `lead`: ms."""

    cell: int
    false: float
    lead: float


def scatter(sweep: Sweep, name: str) -> Markup | str:
    """Nothing where fewer than three settings caught anything, or incidents are not known."""
    points = [
        Point(at, cell.score.false_a_week, cell.lead)
        for at, cell in enumerate(sweep.cells)
        if cell.score is not None and cell.lead is not None
    ]
    if len(points) < 3 or len(points) > MOST_POINTS:
        return ""
    return Markup(
        '<svg class="chart scatter" width="100%" height="{}" role="img" aria-labelledby="{}-t {}-d">'
        '<title id="{}-t">False fires a week against lead time</title><desc id="{}-d">{} settings; further '
        "up is earlier, further left is fewer false fires</desc>{}</svg>"
    ).format(HEIGHT + FOOT, name, name, name, name, len(points), Markup("\n").join(_drawn(sweep, points)))


def _drawn(sweep: Sweep, points: list[Point]) -> Iterator[Markup]:
    most = max(point.false for point in points) or 1.0
    early, late = max(point.lead for point in points), min(point.lead for point in points)
    length = (early - late) or 60_000.0

    def x(false: float) -> str:
        return percent(LEFT + WIDE * (false / most) ** 0.5)

    def y(lead: float) -> float:
        return round(TOP + (1 - (lead - late) / length) * (HEIGHT - TOP - 10), 1)

    for lead in dict.fromkeys((early, (early + late) / 2, late)):
        yield Markup('<line class="grid" x1="{}" x2="100%" y1="{}" y2="{}"/>').format(
            percent(LEFT), y(lead), y(lead)
        )
        yield Markup('<text class="value" x="0" y="{}">{}</text>').format(
            y(lead) + 4, heat.signed(round(lead))
        )
    for false in (0.0, most / 16, most / 4, most):
        yield Markup('<text class="axis" x="{}" y="{}">{}</text>').format(
            x(false), HEIGHT + 16, figures.rate(false)
        )
    name = "false fires a week, by their square root"
    yield Markup('<text class="axis" x="50%" y="{}">{}</text>').format(HEIGHT + 31, name)
    for point in sorted(points, key=lambda one: one.cell in (sweep.current, sweep.knee)):
        yield _point(sweep, point, x(point.false), y(point.lead))


def _point(sweep: Sweep, point: Point, x: str, y: float) -> Markup:
    kinds = [kind for kind, at in (("current", sweep.current), ("knee", sweep.knee)) if at == point.cell]
    says = f"{heat.setting(sweep, point.cell)}: {figures.rate(point.false)} false a week, "
    says += figures.lead(round(point.lead))
    circle = Markup('<circle class="point {}" cx="{}" cy="{}" r="{}"><title>{}</title></circle>').format(
        " ".join(kinds), x, y, 6 if kinds else 4, says
    )
    if not kinds:
        return circle
    left = float(x.removesuffix("%")) < 60
    return circle + Markup('<text class="named" x="{}" y="{}" dx="{}" text-anchor="{}">{}</text>').format(
        x, y + 4, 10 if left else -10, "start" if left else "end", " and ".join(kinds)
    )
