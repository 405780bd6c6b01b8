"""Where a moment stands on a chart, and the marks of its axis."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rollbackd.core.model import Ms

_STEPS = (
    *(n * 1_000 for n in (1, 2, 5, 10, 15, 30)),
    *(n * 60_000 for n in (1, 2, 5, 10, 15, 30)),
    *(n * 3_600_000 for n in (1, 2, 3, 6, 12, 24, 48, 168)),
)
MOST_MARKS = 7


class Times:
    """From `begin` to `end` (ms), as shares of the width."""

    def __init__(self, begin: Ms, end: Ms) -> None:
        self.begin, self.end = begin, max(end, begin + 1)

    def share(self, at: Ms) -> float:
        return min(max((at - self.begin) / (self.end - self.begin), 0.0), 1.0)

    def percent(self, at: Ms) -> str:
        return percent(self.share(at))

    def holds(self, at: Ms) -> bool:
        return self.begin <= at <= self.end

    def marks(self) -> list[tuple[str, str, bool]]:
        """Where, what, and whether a narrow chart has room for it: at round moments of UTC."""
        length = self.end - self.begin
        step = next((step for step in _STEPS if length / step <= MOST_MARKS), _STEPS[-1])
        form = "%H:%M" if step >= 60_000 else "%H:%M:%S"
        if length > 86_400_000:
            form = "%d %b %H:%M"
        first = -(-self.begin // step)
        moments = [index * step for index in range(first, self.end // step + 1)]
        odd = max(1, -(-len(moments) // 3))
        return [
            (self.percent(at), datetime.fromtimestamp(at / 1_000, UTC).strftime(form), place % odd == 0)
            for place, at in enumerate(moments)
            if 0.04 < self.share(at) < 0.96
        ]


def percent(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"
