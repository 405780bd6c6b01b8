"""What cases answer, window by window: readings as they stand, series through a Prometheus of the run's own.

In it every case has a span of time of its own, so that none sees another's samples. A span begins at a whole
week after 1970 began: at a Thursday's midnight, as promtool's time 0 is.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from rollbackd.config.series import Mark, Value
from rollbackd.config.suites import Case, Instance
from rollbackd.core.effects import Ask
from rollbackd.core.history import Column, History, no_answers, windows
from rollbackd.core.judging import window_queries
from rollbackd.core.model import Condition, Ms, Trigger
from rollbackd.core.notation import UNITS
from rollbackd.core.signals import QueryAnswer, Series, Unreachable, Unusable
from rollbackd.settings import PrometheusSettings
from rollbackd.tuning import remote_write
from rollbackd.tuning.temporary import Unavailable, temporary_prometheus
from rollbackd.world.prometheus import Source

WEEK: Ms = 7 * 24 * 3_600_000
YEAR: Ms = 366 * 24 * 3_600_000

LOOKBACK: Ms = 5 * 60_000
"""For how long Prometheus shows a sample that nothing followed."""

MOST_POINTS = 1_000
"""Windows of one range query: its answer is small enough to come in time, whatever a test holds."""

PATIENCE: Ms = 60_000

FLAGS = (remote_write.FLAG, "--storage.tsdb.min-block-duration=100y")
"""One block holds it all: samples of any time are taken, and nothing is compacted meanwhile."""


class Placed(Struct, frozen=True):
    """A case at a time: its trigger with windows that end there, the first of them at `base`."""

    case: Case
    trigger: Trigger
    base: Ms

    @property
    def ends(self) -> range:
        interval = self.trigger.interval
        return windows(self.base, self.base + (self.case.windows - 1) * interval, interval)


class Answered(Struct, frozen=True):
    """The case's windows. `unusable`: why some of their answers were, the first of them."""

    placed: Placed
    history: History
    unusable: str = ""


Given: TypeAlias = Answered | str
"""Or why it could not be asked."""


# Readings


def given(case: Case) -> Answered:
    """The case's readings, as the answers to a trigger that asks for them alone."""
    readings = case.model.readings or []
    traffic = case.model.traffic or [None] * len(readings)
    condition = _asking(case.trigger.condition, iter(traffic))
    placed = _at(case, replace(case.trigger, condition=condition), WEEK)
    history = no_answers(window_queries(condition), placed.ends)
    said: list[Sequence[Value]] = []
    for leaf, values, totals in zip(case.trigger.condition.leaves(), readings, traffic, strict=True):
        said.append(values if leaf.total is None or totals is None else _quotients(values, totals))
        said += [] if totals is None else [totals]
    for columns, told in zip(history.columns, said, strict=True):
        columns[case.subject] = _column(told, history)
    return Answered(placed, history)


def _quotients(readings: Sequence[Value], totals: Sequence[Value]) -> tuple[Value, ...]:
    """There is none of a total that is 0."""
    return tuple(
        Mark.ABSENT if total == 0 and reading is not Mark.UNASKED else reading
        for reading, total in zip(readings, totals, strict=True)
    )


def _asking(condition: Condition, traffic: Iterator[object]) -> Condition:
    """The condition, reading what a test says of each leaf: of a ratio the quotient, and traffic where it
    says any. When it was sampled is no matter."""
    parts = tuple(_asking(part, traffic) for part in condition.parts)
    if condition.how != "one":
        return replace(condition, parts=parts, longest_range=0)
    floor = None if next(traffic) is None else "traffic"
    return replace(condition, expr="reading", total=None, traffic=floor, coverage=(), longest_range=0)


def _column(values: Sequence[Value], history: History) -> Column:
    column = Column(len(values))
    for window, value in enumerate(values):
        if value is Mark.UNASKED:
            history.failed[window] = Unreachable("the test says that it could not be asked")
        elif isinstance(value, float):
            column.put(window, value)
    return column


# Series


def asked(cases: Sequence[Case], instance: Instance) -> list[Given]:
    """What a Prometheus that holds the series of each case answers to its trigger, as it would the daemon."""
    places = list(_places(cases))
    placed = [place for place in places if isinstance(place, Placed)]
    if not placed:
        return [place for place in places if isinstance(place, str)]
    try:
        with temporary_prometheus(flags=FLAGS) as url:
            remote_write.write(url, _samples(placed))
            answered = iter(asyncio.run(_ask(url, placed, instance)))
    except Unavailable as error:
        return [str(error)] * len(places)
    except remote_write.Refused as error:
        return [f"the temporary prometheus took no samples: {error}; run it again"] * len(places)
    return [next(answered) if isinstance(place, Placed) else place for place in places]


def _places(cases: Sequence[Case]) -> Iterator[Placed | str]:
    """Each after the one before, so far apart that no query reaches from one into the other."""
    free: Ms = 0
    latest = time.time_ns() // 1_000_000 - WEEK  # of what lies in the future Prometheus takes nothing
    for case in cases:
        reach = _reach(case.trigger.condition)
        base = (free + reach + WEEK - 1) // WEEK * WEEK
        end = base + case.windows * case.trigger.interval + reach
        if end > latest:
            yield "there is not enough time since 1970 for the samples of all tests; run fewer at once"
        else:
            free = end
            yield _at(case, case.trigger, base)


def _at(case: Case, trigger: Trigger, base: Ms) -> Placed:
    """Windows end where samples are, and are asked at once: a test has neither scrapes nor delays."""
    align = base % trigger.interval
    return Placed(case, replace(trigger, align=align, auto_align=False, delay=0), base)


def _reach(condition: Condition) -> Ms:
    """How far from a window's end its queries look, back or ahead, at most."""
    offsets = 0
    for query in window_queries(condition):
        for text in re.findall(r"\boffset\s+-?\s*([0-9a-z]+)", query.expr):
            parts = re.findall(r"([0-9]+)(ms|[ywdhms])", text)
            offsets += sum(int(count) * (YEAR if unit == "y" else UNITS[unit]) for count, unit in parts)
    return condition.longest_range + offsets + LOOKBACK


def _samples(placed: Sequence[Placed]) -> Iterator[remote_write.Labelled]:
    for place in placed:
        for one in place.case.model.input_series or ():
            step = place.case.step
            yield one.series, [(place.base + index * step, value) for index, value in enumerate(one.values)]


async def _ask(url: str, placed: Sequence[Placed], instance: Instance) -> list[Answered]:
    settings = PrometheusSettings((url,), timeout=PATIENCE, warnings=instance.warnings)
    source = Source(settings, lambda: time.time_ns() // 1_000_000)
    try:
        return await asyncio.gather(
            *(_asked(source, place, str(index)) for index, place in enumerate(placed))
        )
    finally:
        await source.close()


async def _asked(source: Source, place: Placed, watch: str) -> Answered:
    """In one range query an expression; where an answer is unusable, window by window, as the daemon asks."""
    history = no_answers(window_queries(place.trigger.condition), place.ends)
    unusable = ""
    for first in range(0, len(place.ends), MOST_POINTS):
        part = place.ends[first : first + MOST_POINTS]
        answers = await _answers(source, history, place, part, watch)
        if not _unusable(answers):
            _fill(history, first, answers)
            continue
        for window, end in enumerate(part, first):
            answers = await _answers(source, history, place, range(end, end + 1), watch)
            if failure := _unusable(answers):
                history.failed[window] = failure
                reason = re.sub(r"^http://\S+: ", "", failure.reason)  # nobody knows that address
                unusable = unusable or f"window {window + 1}: {reason}"
            else:
                _fill(history, window, answers)
    return Answered(place, history, unusable)


async def _answers(
    source: Source, history: History, place: Placed, ends: range, watch: str
) -> tuple[QueryAnswer, ...]:
    """Raises Unavailable: of a Prometheus that does not answer nothing can be said."""
    trigger = place.trigger
    ask = Ask(watch, tuple(ends), trigger.interval, 0, history.queries, trigger.per, PATIENCE)
    answers = (await source.ask(ask)).answers
    for answer in answers:
        if isinstance(answer, Unreachable):
            raise Unavailable(f"the temporary prometheus did not answer ({answer.reason}); run it again")
    return answers


def _unusable(answers: Sequence[QueryAnswer]) -> Unusable | None:
    return next((answer for answer in answers if isinstance(answer, Unusable)), None)


def _fill(history: History, first: int, answers: Sequence[QueryAnswer]) -> None:
    """Take the answers to the windows from the `first` on."""
    for columns, answer in zip(history.columns, answers, strict=True):
        for window, values in enumerate(answer.windows if isinstance(answer, Series) else (), first):
            for subject, text in values.items():
                if subject not in columns:
                    columns[subject] = Column(len(history.ends))
                columns[subject].put(window, float(text))
