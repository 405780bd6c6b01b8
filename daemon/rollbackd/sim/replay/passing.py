"""Which windows of a history are certainly quiet: the same subjects as before, each of them ok and covered.

`core.judging` decides what a window is, and this only where nobody needs to ask it: a month of ten subjects
is 1.7 million readings, of which nearly all are well. It works on whole columns, byte by byte of large
numbers (one byte a window, 0 or 1), and may call a quiet window busy, never a busy one quiet.
"""

from __future__ import annotations

from array import array
from itertools import repeat
from math import isfinite, nan
from operator import gt, lt, truediv
from typing import TYPE_CHECKING

from rollbackd.core.history import Column
from rollbackd.core.judging import EVERYONE
from rollbackd.core.model import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rollbackd.core.history import History
    from rollbackd.core.model import Condition, Limit, Ms

Columns = dict[str, Column]


def busy(condition: Condition, history: History, grace: Ms) -> bytes:
    """For each window 1 where it has to be judged, else 0. `grace`: see `Watch.grace`."""
    windows, ends = len(history.ends), history.ends
    first = 1 if condition.traffic is None else 2
    floors = [(end - ends.step + grace) / 1000 for end in ends]
    covered = [_Coverage(columns, floors) for columns in history.columns[first:]]
    found = _flags(number in history.failed for number in range(windows))
    for subject in dict.fromkeys(subject for columns in history.columns[:first] for subject in columns):
        there, ok = _well(condition, history.columns, subject, windows)
        for coverage in covered:
            ok &= coverage.of(subject)
        found |= there & ~ok | there ^ there << 8
    return (found & (1 << 8 * windows) - 1).to_bytes(windows, "little")


def _well(condition: Condition, columns: Sequence[Columns], subject: str, windows: int) -> tuple[int, int]:
    """Where the subject is, and where its reading is within the limit and has the traffic it needs."""
    value, limit = columns[0].get(subject) or Column(windows), condition.breach
    there = _bytes(value.there)
    if condition.traffic is None:
        return there, there & _within(value.values, limit)
    traffic = columns[1].get(subject) or Column(windows)
    counts = _bytes(traffic.there) & _flags(map(isfinite, traffic.values))
    counts &= ~_flags(map(lt, traffic.values, repeat(condition.at_least)))
    either = there | _bytes(traffic.there)
    if condition.total is None:
        return either, counts & there & _within(value.values, limit)
    errors = [text if known else 0.0 for text, known in zip(value.values, value.there, strict=True)]
    totals = [total or nan for total in traffic.values]
    return either, counts & _within(array("d", map(truediv, errors, totals)), limit)


def _within(values: Sequence[float], limit: Limit) -> int:
    breaches = map(OPERATORS[limit.op], values, repeat(limit.value))
    return _flags(map(isfinite, values)) & ~_flags(breaches)


class _Coverage:
    """Where the newest samples of one selector lie inside their windows (rule W14)."""

    def __init__(self, columns: Columns, floors: Sequence[float]) -> None:
        self._columns, self._floors = columns, floors
        self._everyone = self._inside(columns.get(EVERYONE))

    def of(self, subject: str) -> int:
        column = self._columns.get(subject)
        if column is None:
            return self._everyone
        return self._inside(column) | self._everyone & ~_bytes(column.there)

    def _inside(self, column: Column | None) -> int:
        return 0 if column is None else _flags(map(gt, column.values, self._floors)) & _bytes(column.there)


def _flags(flags: Iterable[bool]) -> int:
    return _bytes(bytes(flags))


def _bytes(flags: bytes | bytearray) -> int:
    return int.from_bytes(flags, "little")
