"""One subject over all windows, ready to be drawn: verdicts and readings by window."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from itertools import chain
from math import nan
from typing import TYPE_CHECKING

from msgspec import Struct

from rollbackd.tuning.figures import VERDICTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollbackd.core.history import Column, History
    from rollbackd.core.model import Condition, Limit, Ms
    from rollbackd.sim.replay.outcome import Outcome, Subject
    from rollbackd.tuning.backtest import Tested

NOBODY = 0
"""Among verdicts: the subject was not known then. Others are 1 + their place in `VERDICTS`."""
CODES = {verdict: 1 + at for at, verdict in enumerate(VERDICTS)}
_JUDGED = (CODES["breach"], CODES["ok"])


class Track(Struct, frozen=True):
    """`ends`: of all windows, ascending; `verdicts`: a code for each; `readings`: for each part of the
    condition one a window, NaN where the verdict rests on none."""

    subject: Subject
    ends: Sequence[Ms]
    verdicts: bytes
    readings: tuple[array[float], ...]

    def between(self, first: Ms, last: Ms) -> Track:
        """The windows that end from `first` to `last`."""
        begin, end = bisect_left(self.ends, first), bisect_left(self.ends, last + 1)
        return Track(
            self.subject,
            self.ends[begin:end],
            self.verdicts[begin:end],
            tuple(part[begin:end] for part in self.readings),
        )


def window_ends(tested: Tested) -> Sequence[Ms]:
    outcome = tested.outcome
    if tested.stretches:
        return array("q", chain.from_iterable(stretch.ends for stretch in tested.stretches))
    return range(outcome.ends[0], outcome.ends[1] + 1, outcome.trigger.interval)


def track(tested: Tested, subject: Subject, ends: Sequence[Ms]) -> Track:
    verdicts = _verdicts(subject, ends)
    parts = tested.outcome.trigger.condition.leaves() if tested.stretches else ()
    readings, first = [], 0
    for part in parts:
        readings.append(_readings(part, tested.stretches, subject.key, first, verdicts))
        first += 1 + (part.traffic is not None) + len(part.coverage)
    return Track(subject, ends, verdicts, tuple(readings))


def _verdicts(subject: Subject, ends: Sequence[Ms]) -> bytes:
    found = bytearray(len(ends))
    for run in subject.runs:
        at = bisect_left(ends, run.first)
        found[at : at + run.windows] = bytes((CODES[run.verdict],)) * min(run.windows, len(ends) - at)
    return bytes(found)


def _readings(
    part: Condition, stretches: Sequence[History], key: str, first: int, verdicts: bytes
) -> array[float]:
    found, done = array("d"), 0
    for stretch in stretches:
        many = len(stretch.ends)
        judged = verdicts[done : done + many]
        value = stretch.columns[first].get(key)
        if part.total is not None:
            found.extend(_quotients(part, value, stretch.columns[first + 1].get(key), judged))
        elif value is None:
            found.extend([nan] * many)
        else:
            found.extend(
                x if is_there and code in _JUDGED else nan
                for x, is_there, code in zip(value.values, value.there, judged, strict=True)
            )
        done += many
    return found


def _quotients(part: Condition, errors: Column | None, totals: Column | None, judged: bytes) -> list[float]:
    """Errors that are absent while the total exists are 0."""
    if totals is None:
        return [nan] * len(judged)
    if errors is None:
        return [0.0 if code in _JUDGED else nan for code in judged]
    return [
        (error if is_there else 0.0) / total if code in _JUDGED and total and total >= part.at_least else nan
        for error, is_there, total, code in zip(
            errors.values, errors.there, totals.values, judged, strict=True
        )
    ]


def extent(tracks: Sequence[Track], part: int) -> tuple[float, float] | None:
    """The least and the greatest reading of that part; None where there is none."""
    found = [bounds for one in tracks if (bounds := least_and_greatest(one.readings[part])) is not None]
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def least_and_greatest(readings: Sequence[float]) -> tuple[float, float] | None:
    there = [reading for reading in readings if reading - reading == 0]  # neither NaN nor infinite
    return (min(there), max(there)) if there else None


def worst(outcome: Outcome, tracks: Sequence[Track], first: Ms, last: Ms) -> Track | None:
    """Who breached most from `first` to `last`; of those who did not, who came nearest to it."""
    parts = [one.between(first, last) for one in tracks]
    limits = [leaf.breach for leaf in outcome.trigger.condition.leaves()]
    return max(
        parts, key=lambda one: (one.verdicts.count(CODES["breach"]), _nearest(one, limits)), default=None
    )


def _nearest(one: Track, limits: Sequence[Limit]) -> float:
    """How far its readings went towards the limits; the more, the nearer."""
    went = 0.0
    for readings, limit in zip(one.readings, limits, strict=False):
        bounds = least_and_greatest(readings)
        if bounds is not None:
            went += -bounds[0] if limit.op in ("<", "<=") else bounds[1]
    return went
