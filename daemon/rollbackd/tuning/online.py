"""`rollbackd check --online`: what Prometheus says of the triggers now, through the daemon's own adapter."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeAlias

from rollbackd.config import lints
from rollbackd.config.lints.samples import SLOPES
from rollbackd.config.lints.tree import tree
from rollbackd.config.problem import Problem
from rollbackd.config.promql import analyse
from rollbackd.config.triggers import ReadTrigger
from rollbackd.config.yaml_source import Loc
from rollbackd.core.effects import Ask
from rollbackd.core.judging import Judgement, judge, window_queries
from rollbackd.core.model import Condition, Ms, Trigger, Verdict
from rollbackd.core.notation import about, span
from rollbackd.core.signals import Unreachable, WindowsAnswered
from rollbackd.settings import PrometheusSettings
from rollbackd.world.clock import Clock
from rollbackd.world.prometheus import NoValue, Source

MOST_SUBJECTS: Final = 1_000
PATIENCE: Final = 3
"""After so many triggers in a row without an answer no other is asked."""

SHARE: Final = 0.87
"""Of the samples that one an interval would make: fewer are too few, and not some that were missed."""


_TELLING: Final[dict[Verdict, str]] = {
    "no_data": "online-no-data",
    "low_traffic": "online-low-traffic",
    "breach": "online-breach",
}


class Asks(Protocol):
    """`world.prometheus.Source`."""

    async def ask(self, effect: Ask) -> WindowsAnswered: ...

    async def check_query(self, expr: str, at: Ms | None = None, budget: Ms | None = None) -> float: ...


@dataclass(slots=True)
class Looked:
    """`untold`: what could not be found out, and why."""

    problems: list[Problem] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    spacing: dict[str, Ms | None] = field(default_factory=dict)  # by query


Watched: TypeAlias = Sequence[tuple[ReadTrigger, Trigger]]


def examine(triggers: Watched, settings: PrometheusSettings) -> Looked:
    """Ask the Prometheus of these settings."""

    async def asked() -> Looked:
        source = Source(settings, Clock().now)
        try:
            return await look(triggers, source, time.monotonic)
        finally:
            await source.close()

    return asyncio.run(asked())


async def look(triggers: Watched, prometheus: Asks, seconds: Callable[[], float]) -> Looked:
    """What is found out of each trigger, one after the other, so that times are its own. `seconds` runs
    monotonously."""
    looked = Looked()
    try:
        now = round(await prometheus.check_query("time()") * 1000)
    except NoValue as error:
        looked.untold.append(f"Prometheus does not say what time it is: {error}")
        return looked
    silent = 0
    for index, (read, trigger) in enumerate(triggers):
        if silent == PATIENCE:
            looked.untold.append(f"{len(triggers) - index} other triggers were not asked")
            break
        for condition, loc in _conditions(read, trigger):
            ask = _ask(trigger, condition, now)
            began = seconds()
            answered = await prometheus.ask(ask)
            asked = Asked(read, trigger, condition, loc, answered, seconds() - began)
            why = next((each.reason for each in answered.answers if isinstance(each, Unreachable)), None)
            if why is not None:
                looked.untold.append(f"{trigger.name}: {why}")
                silent += 1
                break
            looked.problems += _of_window(asked)
        else:
            silent = 0
            looked.problems += await _of_samples(read, trigger, prometheus, looked)
    return looked


class Asked(NamedTuple):
    """A condition, where what it says is noted, and what came of asking for a window of it: in so many s."""

    read: ReadTrigger
    trigger: Trigger
    condition: Condition
    loc: Loc
    answered: WindowsAnswered
    taken: float

    def problem(self, lint: str, what: str, severity: lints.Severity = "warning") -> Problem:
        return _problem(self.read, lint, self.loc, what, severity)


def _conditions(read: ReadTrigger, trigger: Trigger) -> Iterator[tuple[Condition, Loc]]:
    yield trigger.condition, (*read.loc, "trigger")
    if trigger.recovered is not None:
        yield trigger.recovered, (*read.loc, "recovered")


def _ask(trigger: Trigger, condition: Condition, now: Ms) -> Ask:
    """For the window before the newest: whatever belongs to it has come."""
    interval = trigger.interval
    newest = (now - trigger.delay - trigger.align) // interval * interval + trigger.align
    queries = window_queries(condition)
    budget = max(2 * interval, 10_000)
    return Ask(trigger.name, (newest - interval,), interval, trigger.delay, queries, trigger.per, budget)


def _of_window(asked: Asked) -> Iterator[Problem]:
    interval, answered = asked.trigger.interval, asked.answered
    judged = judge(asked.condition, answered.answers, 0, answered.ends[0] - interval)
    if isinstance(judged, Unreachable):  # seen before
        return
    judged.complete((), (), aligned=False)
    if asked.taken * 1000 > interval / 2:
        what = f"a window took {asked.taken:.1f} s to be answered, and the interval is {span(interval)}"
        yield asked.problem("online-slow", what)
    if judged.problem is not None:
        yield asked.problem("online-unusable", judged.problem, "error")
        return
    verdicts = _verdicts(judged)
    if len(verdicts) > MOST_SUBJECTS:
        yield asked.problem("online-subjects", f"{len(verdicts):,} subjects now")
    if not verdicts:
        yield asked.problem("online-no-data", "yields nothing now: no_data")
    counted = Counter(verdicts.values())
    for verdict, lint in _TELLING.items():
        if count := counted[verdict]:
            of = f" for {count} of {len(verdicts)} subjects" if asked.trigger.per else ""
            yield asked.problem(lint, f"{verdict} now{of}{_example(asked, judged, verdicts, verdict)}")


def _verdicts(judged: Judgement) -> dict[str, Verdict]:
    """Whose samples do not lie in the window has no data (W14)."""
    aged: dict[str, Verdict] = dict.fromkeys(judged.uncovered, "no_data")
    return judged.verdicts | aged


def _example(asked: Asked, judged: Judgement, verdicts: dict[str, Verdict], verdict: Verdict) -> str:
    subject = next(subject for subject, each in verdicts.items() if each == verdict)
    labels = ", ".join(f"{name}={value}" for name, value in asked.trigger.subject_labels(subject).items())
    shown = f", as {{{labels}}}" if labels else ""
    value = judged.value(subject)
    if verdict == "no_data":
        why = "no sample inside the window" if subject in judged.uncovered else "nothing that can be compared"
        return f"{shown}: {why}"
    return f"{shown}: {value}" if value is not None else shown


async def _of_samples(read: ReadTrigger, trigger: Trigger, prometheus: Asks, looked: Looked) -> list[Problem]:
    """What is scraped, or recorded by a rule, less often than the interval; and ranges too short for that."""
    found: list[Problem] = []
    for at, leaf in lints.leaves(read):
        for _, keys, text in lints.expressions(leaf):
            for selector in analyse(text).selectors:
                spacing = await _spacing(selector, trigger, prometheus, looked)
                name = tree(selector).root.name
                for lint, what in _too_rare(text, name, spacing, trigger.interval) if spacing else ():
                    found.append(_problem(read, lint, (*at, *keys), what, "error"))
    return found


def _too_rare(text: str, name: str, spacing: Ms, interval: Ms) -> Iterator[tuple[str, str]]:
    made, apart = "evaluated" if ":" in name else "scraped", about(spacing)
    yield (
        "online-scrape-interval",
        f"`{name}` is {made} about every {apart}, the interval is {span(interval)}",
    )
    for length in _ranges(text, name):
        if length < 2 * spacing:
            yield "online-range", f"{span(length)} hold no two samples of `{name}`, about {apart} apart"


def _ranges(text: str, name: str) -> Iterator[Ms]:
    """Those over which rates of that metric are taken."""
    for place in tree(text).of("range"):
        if place.within("call", *SLOPES) and place.node.inside[0].name == name:
            yield place.node.length


async def _spacing(selector: str, trigger: Trigger, prometheus: Asks, looked: Looked) -> Ms | None:
    """How far samples lie apart, of the subject whose lie farthest, where that is more than the interval.
    None also where no series is old enough to tell. The best of four stretches counts: a gap is no rhythm."""
    interval = trigger.interval
    windows = 20 if interval <= 300_000 else 10
    length = f"{windows * interval}ms"
    by = f" by ({', '.join(trigger.per)})" if trigger.per else ""
    best = f"max_over_time(count_over_time({selector}[{length}])[{3 * windows * interval}ms:{length}])"
    old = f"{best} and {selector} offset {length}"
    query = f"min(max{by} ({old})) or vector(0)"
    if query not in looked.spacing:
        looked.spacing[query] = None
        try:
            samples = await prometheus.check_query(query)
        except NoValue as error:
            looked.untold.append(f"{trigger.name}: how often {selector} is scraped: {error}")
            return None
        if 0 < samples < SHARE * windows:
            looked.spacing[query] = round(windows * interval / samples)
    return looked.spacing[query]


def _problem(
    read: ReadTrigger, lint: str, loc: Loc, what: str, severity: lints.Severity = "warning"
) -> Problem:
    return lints.problem(read.document, lints.LINTS[lint], lints.Finding(loc, what), severity)
