"""Many windows on few columns of a chart, without losing any that matters."""

from __future__ import annotations

from bisect import bisect_left
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from rollbackd.tuning.page.tracks import least_and_greatest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollbackd.core.model import Ms
    from rollbackd.tuning.page.scale import Times


class Columns:
    """`many` columns over the span of `times`, for windows of `interval` that end at `ends`. Where there is a
    column for each window, each is drawn at its own place (`single`); else a column stands for several."""

    def __init__(self, ends: Sequence[Ms], times: Times, interval: Ms, many: int) -> None:
        self.ends, self.times, self.interval, self.many = ends, times, interval, many
        self.single = len(ends) <= many
        length = times.end - times.begin
        bounds = (times.begin + -(-length * column // many) for column in range(many))
        cuts = [] if self.single else [bisect_left(ends, bound) for bound in bounds]
        self._cuts = [*cuts, len(ends)]

    def place(self, moment: Ms) -> float:
        return round(self.times.share(moment) * self.many, 1)

    def points(self, readings: Sequence[float]) -> Iterator[tuple[float, tuple[float, float] | None]]:
        """Where, with the least and the greatest reading there; None breaks the line."""
        if not self.single:
            for column, (first, last) in enumerate(pairwise(self._cuts)):
                yield column, least_and_greatest(readings[first:last])
            return
        before = None
        for end, reading in zip(self.ends, readings, strict=True):
            if before is not None and end - before > 1.5 * self.interval:
                yield self.place(before), None
            yield self.place(end), least_and_greatest((reading,))
            before = end

    def stretches(self, verdicts: bytes, code: int) -> Iterator[tuple[float, float]]:
        """Where any window has that verdict: from, to."""
        if self.single:
            yield from self._runs(verdicts, code)
            return
        has = [code in verdicts[first:last] for first, last in pairwise(self._cuts)]
        column = 0
        for on, group in groupby(has):
            many = len(list(group))
            if on:
                yield column, column + many
            column += many

    def _runs(self, verdicts: bytes, code: int) -> Iterator[tuple[float, float]]:
        begin = end = None
        for at, verdict in zip(self.ends, verdicts, strict=True):
            if verdict == code and (end is None or at - end > 1.5 * self.interval):
                if begin is not None and end is not None:
                    yield self.place(begin), self.place(end)
                begin = at - self.interval
            if verdict == code:
                end = at
            elif begin is not None and end is not None:
                yield self.place(begin), self.place(end)
                begin = end = None
        if begin is not None and end is not None:
            yield self.place(begin), self.place(end)
