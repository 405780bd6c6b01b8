"""What a backtest is given to work on: the past of each trigger's queries, from Prometheus or from a file."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rollbackd.core.effects import WindowQuery
from rollbackd.core.events import AlignmentLearned
from rollbackd.core.history import History
from rollbackd.core.judging import window_queries
from rollbackd.core.model import Ms, Trigger
from rollbackd.core.notation import span, visible
from rollbackd.core.wording import moment
from rollbackd.settings import PrometheusSettings
from rollbackd.tuning import answers
from rollbackd.tuning.answers import BadFile, Kept, Saved, cut
from rollbackd.tuning.grids import applies, grids
from rollbackd.tuning.openmetrics import openmetrics
from rollbackd.world.client import place
from rollbackd.world.prometheus import Past, Wanted

LONGEST: Final[Ms] = 400 * 86_400_000

USUAL: Final[Ms] = 14 * 86_400_000

PATIENCE: Final[Ms] = 30_000
"""The least that one request over a long time is given, whatever the configuration gives to one window."""

SIGNS_STEP: Final[Ms] = 15_000
"""How often it is asked whether there was an incident."""


class NoData(Exception):
    """There is nothing to work on: what was asked for, and what to do; one line."""


class BadTimes(Exception):
    """Not a time that there can be answers of; one line."""


class Moment(Struct, frozen=True):
    """ms; `relative`: from now on, by the clock that counts."""

    ms: Ms
    relative: bool = False

    def at(self, now: Ms) -> Ms:
        return now + self.ms if self.relative else self.ms


class Times(Struct, frozen=True):
    """From when to when; left out: the beginning of the data, or `USUAL` before the end; and now."""

    start: Moment | None = None
    end: Moment | None = None

    def between(self, now: Ms, first: Ms | None = None) -> tuple[Ms, Ms]:
        end = now if self.end is None else self.end.at(now)
        if self.start is not None:
            return self.start.at(now), end
        return (end - USUAL if first is None else first), end


class Order(Struct, frozen=True):
    """What is to be had: from `file`, else from `prometheus`. `alignments`: as journalled. `signs`: an
    expression that has a value above 0 during incidents."""

    triggers: tuple[Trigger, ...]
    times: Times = Times()
    alignments: tuple[AlignmentLearned, ...] = ()
    signs: str | None = None
    prometheus: PrometheusSettings | None = None
    file: Path | None = None


class Gathered(Struct, frozen=True):
    """One trigger, and its answers on each grid of windows that was in force."""

    trigger: Trigger
    stretches: tuple[History, ...]


class Material(Struct, frozen=True):
    """`signs`: where an expression tells of incidents, the greatest value of its series at each moment, under
    the key of no labels. `remarks`: sentences on what is not known."""

    source: str
    begin: Ms
    end: Ms
    gathered: tuple[Gathered, ...]
    alignments: tuple[AlignmentLearned, ...]
    signs: History | None = None
    remarks: tuple[str, ...] = ()

    def saved(self, now: Ms) -> Saved:
        """All of it, to be written; equal answers once."""
        kept = {
            (one.trigger.per, history.queries, history.ends): Kept(one.trigger.per, history)
            for one in self.gathered
            for history in one.stretches
        }
        signs = [Kept((), self.signs)] if self.signs is not None else []
        return Saved(self.source, now, self.alignments, (*kept.values(), *signs))


def gather(order: Order, progress: Callable[[int, int], None] | None = None) -> Material:
    """`progress` is told how many windows have come, and of how many. Raises NoData, BadTimes,
    NoHistory, BadFile, Unavailable."""
    if order.file is None:
        if order.prometheus is None:
            raise NoData("there is no Prometheus to ask, and no file to read")
        patient = dataclasses.replace(order.prometheus, timeout=max(PATIENCE, order.prometheus.timeout))
        return asyncio.run(_from_prometheus(order, patient, progress))
    if is_json(order.file):
        return _from_file(order, order.file)
    with openmetrics(order.file) as (url, first, last):
        own = PrometheusSettings((url,), timeout=PATIENCE)
        return asyncio.run(_from_prometheus(order, own, progress, (first, last)))


async def _from_prometheus(
    order: Order,
    settings: PrometheusSettings,
    progress: Callable[[int, int], None] | None,
    known: tuple[Ms, Ms] | None = None,
) -> Material:
    """By the server's own clock (T2), unless it is `known` when its data begin and end. What ends less than
    its `delay` ago is left out."""
    async with Past(settings, _steady) as past:
        first, now = (None, await past.clock()) if known is None else known
        begin, end = order.times.between(now, first)
        check_span(begin, end, None if known else now)
        wanted, shares = _wanted(order, begin, end, now)
        if order.signs is not None:
            wanted.append(Wanted(_sign_queries(order.signs), (), _moments(begin, end)))
        found = iter(await past.fetch(wanted, progress))
    gathered = [
        Gathered(trigger, tuple(islice(found, share)))
        for trigger, share in zip(order.triggers, shares, strict=True)
    ]
    source = ", ".join(map(place, settings.urls)) if order.file is None else str(order.file)
    return _material(source, begin, end, gathered, order.alignments, next(found, None))


def _wanted(order: Order, begin: Ms, end: Ms, now: Ms) -> tuple[list[Wanted], list[int]]:
    """The windows of all triggers, and how many grids each trigger has."""
    wanted, shares = [], []
    for trigger in order.triggers:
        until = min(end, now - (trigger.delay if order.file is None else 0))
        mine = grids(trigger, order.alignments, begin, until)
        if not mine:
            raise NoData(_no_window(trigger, begin, until))
        wanted += [Wanted(window_queries(trigger.condition), trigger.per, ends) for ends in mine]
        shares.append(len(mine))
    return wanted, shares


def _steady() -> Ms:
    return time.monotonic_ns() // 1_000_000


def check_span(begin: Ms, end: Ms, now: Ms | None) -> None:
    """Raises BadTimes where no time lies in between, or some of it in the future."""
    if begin >= end:
        raise BadTimes(f"the start, {moment(begin)}, is not before the end, {moment(end)}")
    if now is not None and end > now:
        raise BadTimes(f"the end, {moment(end)}, is in the future: Prometheus' clock shows {moment(now)}")
    if end - begin > LONGEST:
        raise BadTimes(f"{span(end - begin)} are too long a time; ask for at most {span(LONGEST)}")


def _no_window(trigger: Trigger, begin: Ms, until: Ms) -> str:
    return (
        f"no window of {trigger.name} ({span(trigger.interval)}) lies whole between {moment(begin)} and "
        f"{moment(until)}; ask for a longer time"
    )


def _sign_queries(expr: str) -> tuple[WindowQuery, ...]:
    # Read as coverage is: of several series the greatest value counts.
    return (WindowQuery(expr, "coverage"),)


def _moments(begin: Ms, end: Ms) -> range:
    first = -(-begin // SIGNS_STEP) * SIGNS_STEP
    return range(min(first, end), end + 1, SIGNS_STEP)


def _material(
    source: str,
    begin: Ms,
    end: Ms,
    gathered: Sequence[Gathered],
    alignments: tuple[AlignmentLearned, ...],
    signs: History | None,
    remarks: Sequence[str] = (),
) -> Material:
    empty = [one.trigger.name for one in gathered if not any(map(_speaks, one.stretches))]
    if len(empty) == len(gathered):
        names = ", ".join(empty)
        raise NoData(
            f"{source} has nothing for {names} between {moment(begin)} and {moment(end)}; "
            "look whether the expressions name series that were there, and how long Prometheus keeps them"
        )
    said = list(remarks)
    if empty:
        whose = "its" if len(empty) == 1 else "their"
        said.append(f"Nothing is known of {', '.join(empty)}: {whose} expressions have no series.")
    said += [remark for one in gathered for remark in _unusable(one)]
    said += _unlearned(gathered, alignments)
    if signs is not None and not signs.columns[0]:
        said.append(f"{visible(signs.queries[0].expr)} has no series: no incident is known.")
    mine = tuple(one for one in alignments if any(applies(each.trigger, one) for each in gathered))
    return Material(source, begin, end, tuple(gathered), mine, signs, tuple(said))


def _speaks(history: History) -> bool:
    return bool(history.failed) or any(
        columns
        for query, columns in zip(history.queries, history.columns, strict=True)
        if query.role != "coverage"
    )


def _unusable(one: Gathered) -> Iterator[str]:
    failed = [why for history in one.stretches for why in history.failed.values()]
    if failed:
        windows = sum(len(history.ends) for history in one.stretches)
        yield (
            f"{one.trigger.name}: the answers of {len(failed):,} of {windows:,} windows were unusable: "
            f"{visible(failed[0].reason)}."
        )


def _unlearned(gathered: Sequence[Gathered], alignments: Sequence[AlignmentLearned]) -> list[str]:
    groups = {one.trigger.group: one.trigger for one in gathered if one.trigger.auto_align}
    return [
        f"Nothing was learned of where the windows of group {name} end: whole multiples of the interval here."
        for name, trigger in groups.items()
        if not any(applies(trigger, one) for one in alignments)
    ]


# Files


def _from_file(order: Order, path: Path) -> Material:
    body = answers.content(path)
    if _is_saved(body):
        return _from_saved(order, path, answers.read(path, body))
    if order.signs is not None:
        raise BadFile(f"{path}: a range response says nothing of incidents; name a file with --incidents")
    return _from_response(order, path, body)


def is_json(path: Path) -> bool:
    """Whether it holds JSON, gzipped or not; else it may be OpenMetrics text. Raises BadFile."""
    start, give = answers.start(path).lstrip(), "give saved answers, a range response, or OpenMetrics text"
    if not start:
        raise BadFile(f"{path}: it is empty; {give}")
    if b"\0" in start:
        raise BadFile(f"{path}: binary; {give}")
    return start.startswith((b"{", b"["))


def _is_saved(body: bytes) -> bool:
    return re.match(rb'\s*\{\s*"version"', body) is not None


def _from_saved(order: Order, path: Path, saved: Saved) -> Material:
    found = []
    for trigger in order.triggers:
        histories = _on_its_grids(trigger, saved)
        if not histories:
            raise BadFile(
                f"{path}: it holds no answers to the queries of {trigger.name}, by its `per` and for its "
                "windows; save them anew, or name other triggers with --trigger"
            )
        found.append(Gathered(trigger, tuple(histories)))
    signs = None
    if order.signs is not None:
        signs = next(iter(saved.of(_sign_queries(order.signs), (), SIGNS_STEP)), None)
        if signs is None:
            raise BadFile(f"{path}: it holds no answers to {visible(order.signs)}; save them anew")
    begin, end, gathered = _narrowed(order, path, found)
    return _material(f"{path}, from {saved.source}", begin, end, gathered, saved.alignments, signs)


def _on_its_grids(trigger: Trigger, saved: Saved) -> list[History]:
    """Other groups may have asked the same for other windows."""
    found = saved.of(window_queries(trigger.condition), trigger.per, trigger.interval)
    if not found:
        return []
    begin, end = found[0].ends[0] - trigger.interval, max(one.ends[-1] for one in found)
    mine = grids(trigger, saved.alignments, begin, end)
    return [one for one in found if any(one.ends[0] in ends and one.ends[-1] in ends for ends in mine)]


def _from_response(order: Order, path: Path, body: bytes) -> Material:
    if len(order.triggers) != 1:
        raise BadFile(f"{path}: a range response answers one trigger; name it with --trigger")
    (trigger,) = order.triggers
    asked = [query for query in window_queries(trigger.condition) if query.role != "coverage"]
    if len(asked) != 1:
        raise BadFile(
            f"{path}: a range response answers one query, and {trigger.name} asks {len(asked)}; "
            "save all of them with `rollbackd backtest --save`"
        )
    bare = replace(trigger, condition=replace(trigger.condition, coverage=()))
    found = [Gathered(bare, (answers.response(path, body, trigger),))]
    begin, end, gathered = _narrowed(order, path, found)
    remark = "The file says nothing of when samples were scraped: every window counts as covered (W14)."
    return _material(str(path), begin, end, gathered, (), None, [remark])


def _narrowed(order: Order, path: Path, found: Sequence[Gathered]) -> tuple[Ms, Ms, list[Gathered]]:
    """What of it lies in the time asked for."""
    first, last = _ends_of(found)
    begin, end = order.times.between(last, first)
    check_span(begin, end, None)
    narrowed = []
    for one in found:
        parts = tuple(part for each in one.stretches if (part := cut(each, begin, end)) is not None)
        if not parts:
            raise NoData(
                f"{path}: its answers are from {moment(first)} to {moment(last)}, and no window of "
                f"{one.trigger.name} lies between {moment(begin)} and {moment(end)}"
            )
        narrowed.append(Gathered(one.trigger, parts))
    return max(begin, first), min(end, last), narrowed


def _ends_of(gathered: Sequence[Gathered]) -> tuple[Ms, Ms]:
    begin = min(one.stretches[0].ends[0] - one.trigger.interval for one in gathered)
    return begin, max(one.stretches[-1].ends[-1] for one in gathered)
