"""Line charts with logarithmic axes as SVG, without a library; legible on light and dark paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from pathlib import Path
from xml.sax.saxutils import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 860, 460
LEFT, RIGHT, TOP, BOTTOM = 78, 250, 48, 56  # margins; on the right stand the names of the lines
APART = 18  # between two names

_LIGHT = ("#1f5fbf", "#c2410c", "#15803d", "#9333ea", "#b91c6b", "#52525b", "#0f766e")
_DARK = ("#7ab7ff", "#ff9d5c", "#6ee7a0", "#d0a6ff", "#ff8fc7", "#b4b4bd", "#5eead4")
_DASHES = ("", "7 4", "2 4", "10 3 2 3", "1 3", "12 5", "4 2")

_STYLE = """\
  svg { color-scheme: light dark; font: 13px system-ui, sans-serif; }
  .paper { fill: #ffffff; } text { fill: #27272a; } .grid { stroke: #e4e4e7; } .minor { fill: #71717a; }
  path { fill: none; stroke-width: 2.2; stroke-linejoin: round; } circle { stroke: none; }
"""
_STYLE_DARK = (
    ".paper { fill: #16181d; } text { fill: #e4e4e7; } .grid { stroke: #33363d; } .minor { fill: #a1a1aa; }"
)


def line_chart(
    path: Path,
    title: str,
    x_label: str,
    y_label: str,
    series: Mapping[str, Points],
    *,
    percent: bool = False,
) -> None:
    """Write the chart. Both axes are logarithmic, so every coordinate must be above 0; with `percent` the
    upright one is linear, from 0 to 100."""
    points = [point for line in series.values() for point in line]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    if not points or min(xs if percent else xs + ys) <= 0:
        raise ValueError("a logarithmic chart needs points, all of them above 0")
    plane = _Percent(xs, [1.0]) if percent else _Plane(xs, ys)
    parts = [*plane.grid(), *_texts(title, x_label, y_label), *_lines(plane, series)]
    body = "\n".join(parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-label="{escape(title)}">\n'
        f"<style>\n{_style(len(series))}</style>\n"
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="8"/>\n{body}\n</svg>\n'
    )


class _Plane:
    """Where a pair of values stands on the paper; whole decades, at least one each way."""

    def __init__(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        self._x, self._y = _decades(xs), _decades(ys)

    def x(self, value: float) -> float:
        return LEFT + _share(value, self._x) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - _share(value, self._y) * (HEIGHT - TOP - BOTTOM)

    def grid(self) -> list[str]:
        parts = []
        for power in range(self._x[0], self._x[1] + 1):
            at = self.x(10.0**power)
            parts.append(f'<path class="grid" d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}" style="stroke-width:1"/>')
            parts.append(_text(at, HEIGHT - BOTTOM + 18, _number(power), "minor", "middle"))
        for value, name in self.y_marks():
            at = self.y(value)
            parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" style="stroke-width:1"/>')
            parts.append(_text(LEFT - 8, at + 4, name, "minor", "end"))
        return parts

    def leader(self, end: tuple[float, float], name: float) -> str:
        """From a line's end to its name, at that height."""
        way = f"M{end[0] + 6:.1f} {end[1]:.1f}L{WIDTH - RIGHT + 10} {name:.1f}H{WIDTH - RIGHT + 16}"
        return f'd="{way}" style="stroke-width:1;opacity:.7"'

    def y_marks(self) -> list[tuple[float, str]]:
        return [(10.0**power, _number(power)) for power in range(self._y[0], self._y[1] + 1)]


class _Percent(_Plane):
    """Upright from 0 to 100, in even steps. All lines end at the top: each name has a piece of its own."""

    def leader(self, end: tuple[float, float], name: float) -> str:
        return f'd="M{WIDTH - RIGHT + 4} {name:.1f}H{WIDTH - RIGHT + 18}"'

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / 100 * (HEIGHT - TOP - BOTTOM)

    def y_marks(self) -> list[tuple[float, str]]:
        return [(value, f"{value} %") for value in range(0, 101, 25)]


def _decades(values: Sequence[float]) -> tuple[int, int]:
    first, last = floor(log10(min(values)) + 1e-9), ceil(log10(max(values)) - 1e-9)
    return first, max(last, first + 1)


def _share(value: float, decades: tuple[int, int]) -> float:
    return (log10(value) - decades[0]) / (decades[1] - decades[0])


def _number(power: int) -> str:
    return f"{10**power:,}" if 0 <= power < 7 else f"{10.0**power:g}"


def _texts(title: str, x_label: str, y_label: str) -> list[str]:
    middle = (LEFT + WIDTH - RIGHT) / 2
    centre = (TOP + HEIGHT - BOTTOM) / 2
    turned = f'<g transform="rotate(-90 20 {centre:.0f})">{_text(20, centre, y_label, anchor="middle")}</g>'
    heading = f'<text x="{LEFT}" y="28" style="font-weight:600;font-size:16px">{escape(title)}</text>'
    return [heading, _text(middle, HEIGHT - 14, x_label, anchor="middle"), turned]


def _lines(plane: _Plane, series: Mapping[str, Points]) -> list[str]:
    parts = []
    ends = {name: plane.y(sorted(line)[-1][1]) for name, line in series.items()}
    names = _spread(ends)
    for index, (name, line) in enumerate(series.items()):
        places = [(plane.x(x), plane.y(y)) for x, y in sorted(line)]
        way = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        dash = _DASHES[index % len(_DASHES)]
        parts.append(f'<path class="s{index}" d="M{way}" stroke-dasharray="{dash or "none"}"/>')
        parts += [f'<circle class="d{index}" cx="{x:.1f}" cy="{y:.1f}" r="3.6"/>' for x, y in places]
        at, right = names[name], WIDTH - RIGHT
        parts.append(f'<path class="s{index}" {plane.leader(places[-1], at)}/>')
        parts.append(_text(right + 22, at + 4, name))
    return parts


def _spread(wanted: Mapping[str, float]) -> dict[str, float]:
    """Each name as near to its line's end as the others let it be, inside the frame."""
    order = sorted(wanted, key=lambda name: wanted[name])
    placed: dict[str, float] = {}
    floor_at = float(TOP)
    for name in order:
        placed[name] = floor_at = max(wanted[name], floor_at)
        floor_at += APART
    ceiling = float(HEIGHT - BOTTOM)
    for name in reversed(order):
        placed[name] = ceiling = min(placed[name], ceiling)
        ceiling -= APART
    return placed


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    which = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{which}>{escape(text)}</text>'


def _style(lines: int) -> str:
    def colours(palette: Sequence[str]) -> str:
        each = [palette[index % len(palette)] for index in range(lines)]
        return " ".join(
            f".s{index} {{ stroke: {colour}; }} .d{index} {{ fill: {colour}; }}"
            for index, colour in enumerate(each)
        )

    dark = f"{_STYLE_DARK} {colours(_DARK)}"
    return f"{_STYLE}  {colours(_LIGHT)}\n  @media (prefers-color-scheme: dark) {{ {dark} }}\n"
