"""Where a moment and a reading stand on a chart, and the marks of its axes."""

from __future__ import annotations

from datetime import UTC, datetime
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from rollbackd.core.model import Limit, Ms

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000
_STEPS = (
    *(n * _SECOND for n in (1, 5, 10, 15, 30)),
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12)),
    *(n * _DAY for n in (1, 2, 5, 7, 14, 28, 91, 364)),
)
BENT = 5.0
"""So many times its limit a reading goes before the scale bends."""
ABOVE = 1.5
"""Of a bent scale: the height above the limit, in heights below it."""


class Times:
    """From `begin` to `end` (ms), as shares of the width."""

    def __init__(self, begin: Ms, end: Ms) -> None:
        self.begin, self.end = begin, max(end, begin + 1)

    def share(self, moment: Ms) -> float:
        return min(max((moment - self.begin) / (self.end - self.begin), 0.0), 1.0)

    def percent(self, moment: Ms) -> str:
        return percent(self.share(moment))

    def holds(self, first: Ms, last: Ms) -> bool:
        """Whether any of that is on the chart."""
        return first <= self.end and last >= self.begin

    def marks(self, most: int = 8) -> list[tuple[str, str, bool]]:
        """Where, what, and whether a narrow chart has room for it: at round moments of UTC."""
        length = self.end - self.begin
        step = next((step for step in _STEPS if length / step <= most), _STEPS[-1])
        first = -(-self.begin // step)
        moments = [index * step for index in range(first, self.end // step + 1)]
        form = _form(step, length)
        odd = max(1, ceil(len(moments) / 4))
        return [
            (self.percent(moment), _told(moment, form), at % odd == 0)
            for at, moment in enumerate(moments)
            if 0.03 < self.share(moment) < 0.97
        ]


def percent(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def _form(step: Ms, length: Ms) -> str:
    if step >= _DAY:
        return "%d %b"
    if length > _DAY:
        return "%d %b %H:%M"
    return "%H:%M" if step >= _MINUTE else "%H:%M:%S"


def _told(moment: Ms, form: str) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).strftime(form)


class Values:
    """Readings as shares of the height, 0 below. Linear; where some go far beyond the limit, linear up to it
    and logarithmic above (`bent`), so that neither the spike nor what stays below the limit is lost."""

    def __init__(self, low: float, high: float, limit: Limit) -> None:
        bound = limit.value
        self.low, self.high = min(low, bound, 0.0), max(high, bound)
        if self.low == self.high:
            self.high = self.low + 1.0
        self.bent = bound > 0 and self.high > BENT * bound
        self._bound = bound
        self._decade = ABOVE / log10(self.high / bound) if self.bent else 0.0
        self._from = self._laid(self.low)
        self._over = (self._laid(self.high) - self._from) * 1.06

    def _laid(self, reading: float) -> float:
        if not self.bent:
            return reading
        if reading <= self._bound:
            return reading / self._bound
        return 1.0 + self._decade * log10(reading / self._bound)

    def share(self, reading: float) -> float:
        return min(max((self._laid(reading) - self._from) / self._over, 0.0), 1.0)

    def marks(self, apart: float = 0.2) -> list[tuple[float, str]]:
        """Shares of the height with what stands there, at least `apart` from each other, and clear of the
        limit, which says itself what it is."""
        found: list[tuple[float, str]] = []
        bound = self.share(self._bound)
        for reading in self._round():
            share = self.share(reading)
            clear = abs(share - bound) >= apart / 2 and all(abs(share - at) >= apart for at, _ in found)
            if clear and self.low <= reading <= self.high:
                found.append((share, number(reading)))
        return found

    def _round(self) -> Iterator[float]:
        if self.bent:
            yield 0.0
            for first in (1.0, 5.0, 2.0):
                for power in range(floor(log10(self.high)), floor(log10(self._bound)) - 1, -1):
                    if first * 10.0**power > self._bound:
                        yield first * 10.0**power
            return
        step = _round_step((self.high - self.low) / 3)
        for index in range(floor(self.low / step), ceil(self.high / step) + 1):
            yield index * step


def _round_step(rough: float) -> float:
    power = 10.0 ** floor(log10(rough))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough * 0.999)


def number(reading: float) -> str:
    """Four digits, thousands as k, M, G."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(reading) >= size and abs(reading) < 1e15:
            return f"{reading / (1e3 if sign == 'k' else size):.4g}{sign}"
    return f"{reading:.4g}"
