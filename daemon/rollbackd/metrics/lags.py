"""How long after their ends windows are judged: a histogram that takes many equal observations at once.

Ten thousand triggers are judged in one moment; `prometheus_client` takes a microsecond or two for each.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.core import Metric


class Lags(Collector):
    """By group. Observed on the loop; collecting may happen on any thread."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` of the buckets, s; the last, without one, is added."""
        self._bounds = tuple(bounds)
        self._names = [*map(floatToGoString, bounds), "+Inf"]
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def known(self, group: str) -> None:
        """The group's series exist from now on."""
        self._counts.setdefault(group, [0] * len(self._names))

    def observe(self, group: str, seconds: float, times: int) -> None:
        self.known(group)
        self._counts[group][bisect_left(self._bounds, seconds)] += times
        self._sums[group] = self._sums.get(group, 0.0) + seconds * times

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(
            "rollbackd_window_lag_seconds", "Window's end to its verdict.", labels=["group"]
        )
        for group, counts in list(self._counts.items()):
            buckets = list(zip(self._names, map(float, accumulate(counts)), strict=True))
            family.add_metric([group], buckets, self._sums.get(group, 0.0))
        yield family
