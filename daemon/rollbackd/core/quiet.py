"""Windows in which nothing happens: nearly all there are, so they are told apart first (W2, W4, W14).

A window is quiet where every known subject was ok and is ok, there is no other, no streak is open, and
nothing else of its watch is under way. Judging it in full would change three fields; `pass_over` looks at all
of its subjects at once, without a value of its own for any of them.
"""

from __future__ import annotations

from itertools import repeat
from math import isfinite
from operator import lt, truediv
from typing import TYPE_CHECKING

from rollbackd.core.judging import EVERYONE, by_leaf
from rollbackd.core.model import OPERATORS
from rollbackd.core.notation import numbers
from rollbackd.core.signals import Series

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rollbackd.core.model import Condition, Ms
    from rollbackd.core.signals import QueryAnswer, WindowsAnswered
    from rollbackd.core.windows import Watch


def pass_over(watch: Watch, signal: WindowsAnswered, now: Ms) -> bool:
    """Whether this answer is the watch's next window, and a quiet one, and so has been taken in."""
    end = signal.ends[-1]
    begin = end - watch.interval
    if not watch.well or watch.judged != begin or watch.asked != end or watch.inflight != {end}:
        return False
    if watch.answers or watch.unreachable is not None or watch.retry is not None:
        return False
    series = _series(signal.answers)
    if series is None or not _all_ok(watch.condition, series, watch.verdicts, begin + watch.grace):
        return False
    watch.inflight.clear()
    watch.notice_gaps([_newest(leaf, found) for leaf, found in by_leaf(watch.condition, series)])
    watch.problem = watch.lost = None
    watch.usable_at = watch.judged_at = now
    watch.judged = end
    watch.late = 0
    return True


def _series(answers: Sequence[QueryAnswer]) -> list[dict[str, str]] | None:
    found = []
    for answer in answers:
        if not isinstance(answer, Series) or len(answer.windows) != 1:
            return None
        found.append(answer.windows[0])
    return found


def _newest(leaf: Condition, series: Sequence[dict[str, str]]) -> dict[str, str]:
    first = 1 if leaf.traffic is None else 2
    return series[first] if len(series) > first else {}


def _all_ok(
    condition: Condition, series: Sequence[dict[str, str]], known: Mapping[str, object], begin: Ms
) -> bool:
    """Whether each known subject, and nobody else, is ok and covered; of a composed condition, for each of
    its leaves. What is unusual is left to `judge`."""
    if condition.how != "one":
        return all(_all_ok(leaf, found, known, begin) for leaf, found in by_leaf(condition, series))
    try:
        if condition.traffic is None and len(known) == 1:
            return _one_ok(condition, series, next(iter(known)), begin / 1000)
        if condition.traffic is None:
            return _within(condition, series[0], known) and _covered(series[1:], known, begin)
        traffic = numbers(series[1].values())
        if series[1].keys() != known.keys() or not all(map(isfinite, traffic)):
            return False
        if any(map(lt, traffic, repeat(condition.at_least))):
            return False
        if condition.total is None:
            return _within(condition, series[0], known) and _covered(series[2:], known, begin)
        return _ratio_within(condition, series[0], series[1], traffic) and _covered(series[2:], known, begin)
    except (ValueError, ZeroDivisionError):
        return False


def _one_ok(condition: Condition, series: Sequence[dict[str, str]], subject: str, floor: float) -> bool:
    """The same for a subject alone, as most triggers have where there are many."""
    text = series[0].get(subject)
    if text is None or len(series[0]) != 1:
        return False
    value = float(text)
    if not isfinite(value) or OPERATORS[condition.breach.op](value, condition.breach.value):
        return False
    for newest in series[1:]:
        text = newest.get(subject, newest.get(EVERYONE))
        if text is None or len(newest) != 1 or not float(text) > floor:
            return False
    return True


def _within(condition: Condition, found: dict[str, str], known: Mapping[str, object]) -> bool:
    if found.keys() != known.keys():
        return False
    breaches, limit = OPERATORS[condition.breach.op], condition.breach.value
    values = numbers(found.values())
    return all(map(isfinite, values)) and not any(map(breaches, values, repeat(limit)))


def _ratio_within(
    condition: Condition, errors: dict[str, str], totals: dict[str, str], total: list[float]
) -> bool:
    if not errors.keys() <= totals.keys():
        return False
    values = numbers([errors.get(subject, "0") for subject in totals])
    breaches, limit = OPERATORS[condition.breach.op], repeat(condition.breach.value)
    return all(map(isfinite, values)) and not any(map(breaches, map(truediv, values, total), limit))


def _covered(coverage: Sequence[dict[str, str]], known: Mapping[str, object], begin: Ms) -> bool:
    floor = begin / 1000
    for newest in coverage:
        if newest.keys() != known.keys() and newest.keys() != {EVERYONE}:
            return False
        for text in dict.fromkeys(newest.values()):  # few, however many subjects
            if not float(text) > floor:
                return False
    return True
