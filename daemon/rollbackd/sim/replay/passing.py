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
from rollbackd.core.judging import EVERYONE, by_leaf
from rollbackd.core.model import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rollbackd.core.history import History
    from rollbackd.core.model import Condition, Limit, Ms

Columns = dict[str, Column]


def busy(condition: Condition, history: History, grace: Ms) -> bytes:
    """For each window 1 where it has to be judged, else 0. The first always is, since nobody here knows what
    was before it, and the last. `grace`: see `Watch`."""
    windows, ends = len(history.ends), history.ends
    floors = [(end - ends.step + grace) / 1000 for end in ends]
    found = _flags(number in history.failed or number in (0, windows - 1) for number in range(windows))
    for subject in _subjects(history):
        there, well = 0, -1
        for leaf, columns in by_leaf(condition, history.columns):  # of which none breaches (W10)
            here, fine = _leaf(leaf, columns, subject, floors)
            there, well = there | here, well & fine
        found |= there & ~well | there ^ there << 8
    return (found & (1 << 8 * windows) - 1).to_bytes(windows, "little")


def _subjects(history: History) -> Iterable[str]:
    """All that have a value in any window."""
    found: dict[str, None] = {}
    for query, columns in zip(history.queries, history.columns, strict=True):
        if query.role != "coverage":
            found |= dict.fromkeys(columns)
    return found


def _leaf(
    condition: Condition, columns: Sequence[Columns], subject: str, floors: Sequence[float]
) -> tuple[int, int]:
    """Where the subject is, and where it is ok and covered."""
    there, well = _well(condition, columns, subject, len(floors))
    for covering in columns[1 if condition.traffic is None else 2 :]:
        everyone, own = covering.get(EVERYONE), covering.get(subject)
        inside = 0 if everyone is None else _inside(everyone, floors)
        if own is not None:
            inside = _inside(own, floors) | inside & ~_bytes(own.there)
        well &= inside
    return there, well


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


def _inside(newest: Column, floors: Sequence[float]) -> int:
    """Where the newest sample lies inside its window (rule W14)."""
    return _bytes(newest.there) & _flags(map(gt, newest.values, floors))


def _flags(flags: Iterable[bool]) -> int:
    return _bytes(bytes(flags))


def _bytes(flags: bytes | bytearray) -> int:
    return int.from_bytes(flags, "little")
