"""The readings of one subject as a line, red where it is past the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollbackd.core.model import Limit
    from rollbackd.tuning.page.columns import Columns
    from rollbackd.tuning.page.scale import Values


def line(
    columns: Columns, readings: Sequence[float], values: Values, height: int, name: str, limit: Limit
) -> Markup:
    """On `columns.many` units across and ten a pixel upright, to be stretched across. Where a column stands
    for several windows it shows the least and the greatest of their readings."""
    way: list[str] = []
    before: int | None = None
    for place, bounds in columns.points(readings):
        if bounds is None:
            before = None
            continue
        low, high = (round((1 - values.share(bound)) * height * 10) for bound in bounds)
        near, far = (low, high) if before is None or abs(low - before) <= abs(high - before) else (high, low)
        way.append(f"M{place:g} {near}h.9" if before is None else f"L{place:g} {near}")
        if far != near:
            way.append(f"V{far}")
        before = far
    return Markup('{}<path class="line" stroke="url(#{})" d="{}"/>').format(
        _colours(values, height, name, limit), name, "".join(way)
    )


def _colours(values: Values, height: int, name: str, limit: Limit) -> Markup:
    """A hard edge at the limit; for == and != there is no side that is wrong."""
    share = f"{1 - values.share(limit.value):.4f}"
    above = {">": "past", ">=": "past", "<": "within", "<=": "within"}.get(limit.op, "within")
    below = {"<": "past", "<=": "past"}.get(limit.op, "within")
    return Markup(
        '<linearGradient id="{}" gradientUnits="userSpaceOnUse" x1="0" x2="0" y1="0" y2="{}">'
        '<stop offset="{}" class="{}"/><stop offset="{}" class="{}"/></linearGradient>'
    ).format(name, height * 10, share, above, share, below)
