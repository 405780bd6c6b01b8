"""Histories from tapes: one letter a window and subject, as `tests/core/oracle.py` reads them.

Window 1 ends one interval after `START`. `?` is unreachable and `U` unusable, for all subjects at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace
from tests.fakes import made
from tests.fakes.made import SECOND, START

from rollbackd.core.events import AlignmentLearned
from rollbackd.core.history import Column, History, no_answers, windows
from rollbackd.core.judging import window_queries
from rollbackd.core.model import Condition, Limit, Ms, Trigger, composed
from rollbackd.core.signals import Unreachable, Unusable
from rollbackd.sim.replay.outcome import Outcome
from rollbackd.sim.replay.replaying import replay

PLAIN = Condition("errors", Limit(">", 1.0))
COVERED = Condition("errors", Limit(">", 1.0), coverage=("newest",))
TRAFFIC = Condition("errors", Limit(">", 1.0), traffic="total", at_least=5.0, coverage=("newest",))
RATIO = Condition("errors", Limit(">", 0.1), total="total", traffic="total", at_least=5.0)
BOTH = composed("all", [COVERED, composed("any", [RATIO, replace(PLAIN, no_data="breach")])])
EITHER = composed("any", [TRAFFIC, PLAIN])
CONDITIONS = {
    "plain": PLAIN,
    "covered": COVERED,
    "traffic": TRAFFIC,
    "ratio": RATIO,
    "all": BOTH,
    "any": EITHER,
}

VALUE = {"B": 2.0, "p": 2.0, "L": 2.0, "M": 2.0, ".": 0.0, "N": float("nan"), "I": float("inf")}
TRAFFIC_OF = {"B": 9.0, "p": 9.0, ".": 9.0, "N": 9.0, "I": 9.0, "V": 9.0, "L": 1.0, "Z": 0.0}


def of(trigger: Trigger, tapes: Mapping[str, str] | str, first: int = 1, newest: str = "") -> History:
    """`first`: the number of the first window. `newest`: the key of the newest samples' times."""
    tapes = {"": tapes} if isinstance(tapes, str) else tapes
    count = max(map(len, tapes.values()))
    begin = START + trigger.align + first * trigger.interval
    ends = windows(begin, begin + (count - 1) * trigger.interval, trigger.interval)
    found = no_answers(window_queries(trigger.condition), ends)
    for subject, tape in tapes.items():
        for number, glyph in enumerate(tape):
            if glyph in "?U":
                found.failed[number] = Unreachable("refused") if glyph == "?" else Unusable("422")
            for query, columns in zip(found.queries, found.columns, strict=True):
                value = _value(query.role, glyph, ends[number], trigger.interval)
                key = newest or subject if query.role == "coverage" else subject
                if value is not None:
                    columns.setdefault(key, Column(count)).put(number, value)
    return found


def _value(role: str, glyph: str, end: Ms, interval: Ms) -> float | None:
    if role == "value":
        return VALUE.get(glyph)
    if role == "traffic":
        return TRAFFIC_OF.get(glyph)
    if glyph in "_?U":
        return None
    return (end - (interval if glyph == "p" else 1_000)) / 1000


def replayed(tapes: Mapping[str, str] | str, **trigger: Any) -> Outcome:
    """Three windows of 10 s and a cooldown of 30 minutes, unless said otherwise; `per` where subjects have
    names."""
    if not isinstance(tapes, str):
        trigger.setdefault("per", ("pod",))
    one = made.trigger(**trigger)
    return replay(one, [of(one, tapes)])


def number(end: Ms) -> int:
    """Of the window that ends then, where windows are 10 s and end at their multiples."""
    return (end - START) // made.INTERVAL


def learned(trigger: Trigger, since: Ms, align: Ms) -> AlignmentLearned:
    """Its group's windows that begin at `since` or later end at multiples plus `align` (W1)."""
    return AlignmentLearned(
        at=since + SECOND,
        group=trigger.group,
        interval=trigger.interval,
        align=align,
        since=since,
        why="learned",
        targets=1,
        observations=4,
        spread=0,
        took=5,
    )
