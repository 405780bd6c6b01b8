"""The verdicts of one subject's windows: by place and colour where they are many, else by glyph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from rollbackd.tuning.figures import VERDICTS
from rollbackd.tuning.page.scale import percent
from rollbackd.tuning.page.tracks import CODES

if TYPE_CHECKING:
    from rollbackd.core.model import Verdict
    from rollbackd.tuning.page.columns import Columns
    from rollbackd.tuning.page.scale import Times
    from rollbackd.tuning.page.tracks import Track

GLYPHS: dict[Verdict, str] = {"breach": "X", "ok": ".", "no_data": "_", "low_traffic": "-", "unknown": "?"}
LANES: dict[Verdict, tuple[int, int]] = {
    "breach": (0, 9),
    "unknown": (10, 4),
    "no_data": (15, 4),
    "low_traffic": (20, 4),
    "ok": (25, 2),
}
"""From above: where each lane begins, and its height."""
HEIGHT = 27
CELL = 20
"""The height of a strip whose windows are cells."""


def lanes(columns: Columns, verdicts: bytes) -> Markup:
    """Each verdict has a lane. A column shows every verdict that any of its windows has."""
    paths = []
    for verdict, (top, height) in LANES.items():
        way = "".join(
            f"M{begin:g} {top}H{end:g}v{height}H{begin:g}z"
            for begin, end in columns.stretches(verdicts, CODES[verdict])
        )
        if way:
            paths.append(Markup('<path class="v-{}" d="{}"/>').format(verdict, way))
    return Markup("").join(paths)


def cells(track: Track, times: Times, interval: int, top: int) -> Markup:
    """Each window is a cell with its glyph, as wide as it lasted."""
    width = interval / (times.end - times.begin)
    parts = []
    for verdict in VERDICTS:
        ends = [
            end
            for end, code in zip(track.ends, track.verdicts, strict=True)
            if code == CODES[verdict] and times.begin <= end - interval and end <= times.end
        ]
        if not ends:
            continue
        boxes = Markup("").join(
            Markup('<rect x="{}" width="{}" y="{}" height="{}"/>').format(
                times.percent(end - interval), percent(width), top, CELL
            )
            for end in ends
        )
        middles = " ".join(times.percent(end - interval // 2) for end in ends)
        parts.append(
            Markup('<g class="c-{}">{}<text class="glyph" x="{}" y="{}">{}</text></g>').format(
                verdict, boxes, middles, top + 14, GLYPHS[verdict] * len(ends)
            )
        )
    return Markup("").join(parts)
