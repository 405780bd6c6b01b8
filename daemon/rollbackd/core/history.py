"""What a condition's queries answered for many windows, kept by columns.

A month of windows at 15 s is 172,800 answers of each query; as the strings of `Series` they would take
gigabytes. A column takes nine bytes a window.
"""

from __future__ import annotations

from array import array
from math import nan
from typing import TYPE_CHECKING

from msgspec import Struct

from rollbackd.core.signals import Series

if TYPE_CHECKING:
    from rollbackd.core.effects import WindowQuery
    from rollbackd.core.model import Ms
    from rollbackd.core.signals import QueryAnswer, Unreachable, Unusable


class Column:
    """One subject's value in each window, or none: absence is not NaN, which Prometheus can answer too."""

    __slots__ = ("there", "values")

    def __init__(self, windows: int) -> None:
        self.values = array("d", [nan]) * windows
        self.there = bytearray(windows)

    def put(self, window: int, value: float) -> None:
        self.values[window] = value
        self.there[window] = 1


class History(Struct, frozen=True):
    """The answers of one condition's queries (`judging.window_queries`, in their order) for the windows
    that end at `ends` (ms, Prometheus' time; its step is the interval). `columns`: for each query, by
    subject key, for coverage also by `*`. `failed`: by window, what came in place of all its answers."""

    queries: tuple[WindowQuery, ...]
    ends: range
    columns: tuple[dict[str, Column], ...]
    failed: dict[int, Unreachable | Unusable] = {}

    def answers(self, window: int) -> tuple[QueryAnswer, ...]:
        """What `WindowsAnswered` carries for the `window`-th of `ends`."""
        failure = self.failed.get(window)
        if failure is not None:
            return (failure,) * len(self.queries)
        return tuple(Series((_texts(columns, window),)) for columns in self.columns)


def _texts(columns: dict[str, Column], window: int) -> dict[str, str]:
    return {
        subject: text(column.values[window]) for subject, column in columns.items() if column.there[window]
    }


def text(value: float) -> str:
    """As Prometheus writes it."""
    written = repr(value)
    if written[-1] not in "0fn":  # nearly all; a month has five million
        return written
    return _WRITTEN.get(written) or written.removesuffix(".0")


_WRITTEN = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}


def no_answers(queries: tuple[WindowQuery, ...], ends: range) -> History:
    """To be filled."""
    return History(queries, ends, tuple({} for _ in queries), {})


def windows(first: Ms, last: Ms, interval: Ms) -> range:
    """The ends from `first` to `last`, both included."""
    return range(first, last + 1, interval)
