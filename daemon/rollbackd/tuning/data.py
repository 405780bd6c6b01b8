"""What a backtest is given to work on: the past of each trigger's queries, from Prometheus or from a file."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from rollbackd.core.effects import WindowQuery
from rollbackd.core.history import History
from rollbackd.core.judging import window_queries
from rollbackd.core.notation import span, visible
from rollbackd.core.wording import moment
from rollbackd.tuning import answers
from rollbackd.tuning.answers import BadFile, Kept, Saved, cut
from rollbackd.tuning.grids import applies, grids
from rollbackd.tuning.temporary import Unavailable, temporary_prometheus
from rollbackd.world.prometheus import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollbackd.core.events import AlignmentLearned
    from rollbackd.core.model import Ms, Trigger
    from rollbackd.world.prometheus import Past

LONGEST: Final[Ms] = 400 * 86_400_000

SIGNS_STEP: Final[Ms] = 15_000
"""How often it is asked whether there was an incident."""


class NoData(Exception):
    """There is nothing to work on: what was asked for, and what to do; one line."""


class Span(Struct, frozen=True):
    """From when to when, ms; `end` None: until now."""

    begin: Ms
    end: Ms | None = None


class Gathered(Struct, frozen=True):
    """One trigger, and its answers on each grid of windows that was in force."""

    trigger: Trigger
    stretches: tuple[History, ...]


class Material(Struct, frozen=True):
    """`signs`: whether there was an incident, where that is told by an expression: its greatest value at each
    moment, under the key of no labels. `remarks`: sentences on what is not known."""

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


async def from_prometheus(
    past: Past,
    source: str,
    triggers: Sequence[Trigger],
    when: Callable[[Ms], Span],
    alignments: tuple[AlignmentLearned, ...] = (),
    signs: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Material:
    """`when`: from the server's own clock (T2) to the time asked for; what ends less than its `delay` ago is
    left out. `signs`: an expression that has a value above 0 during incidents. Raises NoData, NoHistory."""
    now = await past.clock()
    asked = when(now)
    end = now if asked.end is None else asked.end
    check_span(asked.begin, end, now)
    wanted, shares = [], []
    for trigger in triggers:
        until = min(end, now - trigger.delay)
        mine = grids(trigger, alignments, asked.begin, until)
        if not mine:
            raise NoData(_no_window(trigger, asked.begin, until))
        queries = window_queries(trigger.condition)
        wanted += [Wanted(queries, trigger.per, ends) for ends in mine]
        shares.append(len(mine))
    if signs is not None:
        wanted.append(Wanted(_sign_queries(signs), (), _moments(asked.begin, end)))
    found = iter(await past.fetch(wanted, progress))
    gathered = [
        Gathered(trigger, tuple(next(found) for _ in range(share)))
        for trigger, share in zip(triggers, shares, strict=True)
    ]
    told = next(found, None)
    return _material(source, asked.begin, end, gathered, alignments, told)


def check_span(begin: Ms, end: Ms, now: Ms | None) -> None:
    """Raises NoData where no time lies in between, or some of it in the future."""
    if begin >= end:
        raise NoData(f"the start, {moment(begin)}, is not before the end, {moment(end)}")
    if now is not None and end > now:
        raise NoData(f"the end, {moment(end)}, is in the future: Prometheus' clock shows {moment(now)}")
    if end - begin > LONGEST:
        raise NoData(f"{span(end - begin)} are too long a time; ask for at most {span(LONGEST)}")


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
    said = [*remarks, *(f"Nothing is known of {name}: its expressions have no series." for name in empty)]
    said += [remark for one in gathered for remark in _unusable(one)]
    said += _unlearned(gathered, alignments)
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


async def from_file(
    path: Path, triggers: Sequence[Trigger], between: Span | None, signs: str | None
) -> Material:
    """From saved answers or a range response; `between` narrows their time. Raises BadFile, NoData."""
    body = answers.content(path)
    if _is_saved(body):
        return _from_saved(path, answers.read(path, body), triggers, between, signs)
    if signs is not None:
        raise BadFile(f"{path}: a range response says nothing of incidents; name a file with --incidents")
    return _from_response(path, body, triggers, between)


def is_json(path: Path) -> bool:
    """Whether it holds JSON, gzipped or not; else it may be OpenMetrics text. Raises BadFile."""
    start = answers.start(path).lstrip()
    if b"\0" in start:
        raise BadFile(f"{path}: binary; give saved answers, a range response, or OpenMetrics text")
    return start.startswith((b"{", b"["))


def _is_saved(body: bytes) -> bool:
    return re.match(rb'\s*\{\s*"version"', body) is not None


def _from_saved(
    path: Path, saved: Saved, triggers: Sequence[Trigger], between: Span | None, signs: str | None
) -> Material:
    gathered = []
    for trigger in triggers:
        queries = window_queries(trigger.condition)
        found = saved.of(queries, trigger.per, trigger.interval)
        if not found:
            raise BadFile(
                f"{path}: it holds no answers to the queries of {trigger.name}, by its `per` and at its "
                "interval; save them anew, or name other triggers with --trigger"
            )
        gathered.append(Gathered(trigger, _between(path, trigger, found, between)))
    told = None
    if signs is not None:
        told = next(iter(saved.of(_sign_queries(signs), (), SIGNS_STEP)), None)
        if told is None:
            raise BadFile(f"{path}: it holds no answers to {visible(signs)}; save them anew")
    source = f"{path} (from {saved.source})"
    return _material(source, *_ends_of(gathered), gathered, saved.alignments, told)


def _from_response(path: Path, body: bytes, triggers: Sequence[Trigger], between: Span | None) -> Material:
    if len(triggers) != 1:
        raise BadFile(f"{path}: a range response answers one trigger; name it with --trigger")
    trigger = triggers[0]
    asked = [query for query in window_queries(trigger.condition) if query.role != "coverage"]
    if len(asked) != 1:
        raise BadFile(
            f"{path}: a range response answers one query, and {trigger.name} asks {len(asked)}; "
            "save all of them with `rollbackd backtest --save`"
        )
    bare = replace(trigger, condition=replace(trigger.condition, coverage=()))
    found = _between(path, trigger, [answers.response(path, body, trigger)], between)
    gathered = [Gathered(bare, found)]
    remark = "The file says nothing of when the samples were scraped: every window counts as covered (W14)."
    return _material(str(path), *_ends_of(gathered), gathered, (), None, [remark])


def _between(
    path: Path, trigger: Trigger, found: Sequence[History], between: Span | None
) -> tuple[History, ...]:
    if between is None:
        return tuple(found)
    end = found[-1].ends[-1] if between.end is None else between.end
    parts = tuple(part for one in found if (part := cut(one, between.begin, end)) is not None)
    if not parts:
        begin, last = found[0].ends[0] - trigger.interval, found[-1].ends[-1]
        raise NoData(
            f"{path}: its answers for {trigger.name} are from {moment(begin)} to {moment(last)}, and none of "
            f"the windows lies between {moment(between.begin)} and {moment(end)}"
        )
    return parts


def _ends_of(gathered: Sequence[Gathered]) -> tuple[Ms, Ms]:
    begin = min(one.stretches[0].ends[0] - one.trigger.interval for one in gathered)
    return begin, max(one.stretches[-1].ends[-1] for one in gathered)


@contextmanager
def openmetrics(path: Path) -> Iterator[tuple[str, Ms, Ms]]:
    """A Prometheus that holds the samples of a file of OpenMetrics text: its URL, and the times of its first
    and last sample. Raises BadFile, Unavailable."""
    promtool = shutil.which("promtool")
    if promtool is None:
        raise Unavailable(
            f"{path} is OpenMetrics text, and there is no `promtool` on the PATH to read it; "
            "install it (Debian: apt install prometheus)"
        )
    with TemporaryDirectory(prefix="rollbackd-backtest-") as temporary:
        folder = Path(temporary)
        plain = folder / "plain.om"
        plain.write_bytes(answers.content(path))
        blocks = folder / "data"
        done = subprocess.run(
            [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(plain), str(blocks)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        plain.unlink()
        if done.returncode:
            raise BadFile(f"{path}: not OpenMetrics text: {_complaint(done.stderr)}")
        begin, end = _times_of(path, blocks)
        with temporary_prometheus(folder, flags=["--storage.tsdb.retention.time=100y"]) as url:
            yield url, begin, end


def _complaint(said: str) -> str:
    """What promtool found wrong. That the end is missing is what is wrong most often."""
    first = next((line.strip() for line in said.splitlines() if line.strip()), "promtool does not say why")
    first = first.removeprefix("getting min and max timestamp: ").removeprefix("next: ")
    return visible(first, 300)


def _times_of(path: Path, blocks: Path) -> tuple[Ms, Ms]:
    metas = [json.loads(meta.read_text()) for meta in blocks.glob("*/meta.json")]
    if not metas:
        raise BadFile(f"{path}: it holds no sample")
    return min(meta["minTime"] for meta in metas), max(meta["maxTime"] for meta in metas) - 1
