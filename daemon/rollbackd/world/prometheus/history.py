"""What conditions' queries answered over a long time, by range queries in chunks (rules T2, W2, W3).

The answers of a month are read one series of one chunk at a time, straight into columns. What the live
daemon would have found unusable in one window is unusable in that window here; what is wrong with a whole
query ends the fetch at once.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from itertools import compress
from math import isnan
from types import TracebackType
from typing import Final, Self, TypeVar

import structlog
from msgspec import Struct
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from rollbackd.core.effects import WindowQuery
from rollbackd.core.history import Column, History
from rollbackd.core.model import Ms
from rollbackd.core.notation import numbers
from rollbackd.core.signals import Unreachable, Unusable
from rollbackd.settings import PrometheusSettings
from rollbackd.world.client import Answer, Client, Malformed, TimedOut, TooLarge, Unanswered, one_line
from rollbackd.world.prometheus.answer import Data, Point, Wrong, failure, matrix, misread, opened, twice
from rollbackd.world.prometheus.endpoint import Endpoint, NoClock, Query, Silent
from rollbackd.world.prometheus.sharing import Lanes

T = TypeVar("T")

log = structlog.get_logger()

MOST_POINTS: Final = 11_000
"""Of one series in one answer; Prometheus refuses to give more."""

FIRST: Final = 128
"""Windows of a query's first chunk, which shows how large an answer is, and how long it takes."""

SLOW: Final = 3.0
"""Seconds for one chunk; of slower ones the half is asked for. Others double as long as that makes them no
slower by the window: `timestamp()`, for one, takes four times as long for twice as many."""

AT_ONCE: Final = 4

MOST_BYTES: Final = 16 * 1024 * 1024
"""Of one chunk's answer: four are in memory at once. One window's may be as large as the settings say."""

MOST_CELLS: Final = 200_000_000
"""Windows × subjects of all queries; each takes nine bytes."""

MOST_REFUSALS: Final = 400
"""Evaluations that fail are halved down to the windows they fail in; so many, and it is the query itself."""

CONTENT: Final = 16
"""Requests until more windows are tried again, after they did not pay."""

FEWEST: Final = 100
"""Windows: chunks are not made smaller than this for being slow."""


class Wanted(Struct, frozen=True):
    """The queries of one condition, for the windows that end at `ends` (its step is the interval)."""

    queries: tuple[WindowQuery, ...]
    per: tuple[str, ...]
    ends: range


class NoHistory(Exception):
    """It cannot be had; the message says which query, why, and how far it came. `unreachable`: it may be
    had later."""

    def __init__(self, message: str, *, unreachable: bool = False) -> None:
        super().__init__(message)
        self.unreachable = unreachable


class Patience(Struct, frozen=True):
    """How often all servers are asked for one chunk. In seconds."""

    attempts: int = 5
    first: float = 0.5
    longest: float = 10.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class _Smaller(Exception):
    """The chunk is too much for the server, or for us."""


class _Again(Exception):
    """No server answered: worth asking again (W2)."""


class _Slow(Unreachable, frozen=True):
    """It might answer for fewer windows."""


class Reading:
    """One expression as one kind of query reads it: columns, and the windows that are unusable."""

    def __init__(self, per: tuple[str, ...], coverage: bool, ends: range) -> None:
        self.per = per
        self.coverage = coverage
        self.ends = ends
        self.columns: dict[str, Column] = {}
        self.failed: dict[int, Unusable] = {}
        self._known: dict[str, Unusable] = {}

    def fail(self, windows: Iterable[int], reason: str) -> None:
        """The first reason of a window counts. One value for all of one reason: there may be very many."""
        unusable = self._known.setdefault(reason, Unusable(reason))
        for window in windows:
            self.failed.setdefault(window, unusable)

    def put(self, subject: str | Wrong, points: list[Point]) -> int:
        """Take one series in; how many columns it has made."""
        windows, values = self._placed(points)
        if isinstance(subject, Wrong):
            self.fail(windows, str(subject))
            return 0
        column = self.columns.get(subject)
        made = column is None
        if column is None:
            column = self.columns[subject] = Column(len(self.ends))
        taken = isinstance(windows, range) and 1 in column.there[windows.start : windows.stop]
        if isinstance(windows, range) and not taken:
            column.values[windows.start : windows.stop] = values
            column.there[windows.start : windows.stop] = b"\1" * len(windows)
        else:
            self._put_each(column, subject, windows, values)
        return made

    def _placed(self, points: list[Point]) -> tuple[range | list[int], array[float]]:
        """The windows of the points that lie on the grid, a range where nothing lies between them."""
        moments = [round(point.at * 1000) for point in points]
        values = array("d", numbers([point.value for point in points]))
        ends, first = self.ends, moments[0] if moments else 0
        if moments == list(range(first, first + len(moments) * ends.step, ends.step)) and first in ends:
            start = ends.index(first)
            if start + len(moments) <= len(ends):
                return range(start, start + len(moments)), values
        on_grid = [at in ends for at in moments]
        windows = [ends.index(at) for at, there in zip(moments, on_grid, strict=True) if there]
        return windows, array("d", compress(values, on_grid))

    def _put_each(self, column: Column, subject: str, windows: Iterable[int], values: array[float]) -> None:
        """W3: a second value of one subject makes its window unusable; of coverage the newest counts."""
        twofold = []
        for window, value in zip(windows, values, strict=True):
            if not column.there[window]:
                column.put(window, value)
            elif not self.coverage:
                twofold.append(window)
            elif isnan(column.values[window]) or value > column.values[window]:
                column.put(window, value)
        self.fail(twofold, twice(self.per, subject))


class _Source:
    """One expression over one range of windows, and whoever reads it. `size`: windows in the next request;
    `rate`: how many a second there were of late, at best; `content`: how many requests stay as small."""

    def __init__(self, expr: str, ends: range) -> None:
        self.expr = expr
        self.ends = ends
        self.readings: dict[tuple[tuple[str, ...], bool], Reading] = {}  # by `per` and whether coverage
        self.size = FIRST
        self.rate = 0.0
        self.content = 0
        self.refusals = 0

    def reading(self, per: tuple[str, ...], coverage: bool) -> Reading:
        key = per, coverage
        if key not in self.readings:
            self.readings[key] = Reading(per, coverage, self.ends)
        return self.readings[key]


class _Chunk(Struct, frozen=True):
    """The windows `windows` of a source."""

    source: _Source
    windows: range

    @property
    def ends(self) -> range:
        return self.source.ends[self.windows.start : self.windows.stop]


class Past:
    """What Prometheus remembers. Use it on one event loop, as a context manager."""

    def __init__(
        self, settings: PrometheusSettings, now: Callable[[], Ms], patience: Patience | None = None
    ) -> None:
        """`now`: any clock that runs steadily, ms."""
        self._settings = settings
        self._patience = patience or Patience()
        self._client = Client(settings.http, AT_ONCE)
        lanes = Lanes(AT_ONCE)
        self._endpoints = [
            Endpoint(url, settings, self._client, lanes, now, Silent()) for url in settings.urls
        ]
        self._current = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for endpoint in self._endpoints:
            await endpoint.close()
        await self._client.close()

    async def clock(self) -> Ms:
        """What Prometheus' own clock shows (T2): of the first server that tells. Raises `NoHistory`."""

        async def once() -> Ms:
            reasons = []
            for endpoint in self._in_order():
                try:
                    reading = await endpoint.reading()
                except NoClock as error:
                    reasons.append(f"{endpoint.place}: {error}")
                    if isinstance(error.answer, Unusable):
                        raise NoHistory(f"time(): {reasons[-1]}") from None
                else:
                    self._current = self._endpoints.index(endpoint)
                    return reading.prometheus
            raise _Again("; ".join(reasons))

        try:
            return await self._patiently(once)
        except _Again as error:
            raise NoHistory(f"no answer: {error}", unreachable=True) from None

    async def fetch(
        self, wanted: Sequence[Wanted], progress: Callable[[int, int], None] | None = None
    ) -> list[History]:
        """The history of each condition. Equal queries over equal windows are asked once. `progress` is told
        how many windows of all queries have come. Raises `NoHistory`."""
        sources: dict[tuple[str, range], _Source] = {}
        readings = []
        for one in wanted:
            mine = []
            for query in one.queries:
                source = sources.setdefault((query.expr, one.ends), _Source(query.expr, one.ends))
                mine.append(source.reading(one.per, query.role == "coverage"))
            readings.append(mine)
        await _Fetch(self, sources.values(), progress).run()
        return [_history(one, mine) for one, mine in zip(wanted, readings, strict=True)]

    async def answer(self, chunk: _Chunk) -> Data | Unusable:
        """The chunk's matrix; `Unusable` where its evaluation failed. Raises `_Smaller`, `_Again` once
        patience is at its end, and `NoHistory` where the query itself is refused."""

        async def once() -> Data | Unusable:
            reasons, slow = [], False
            for endpoint in self._in_order():
                answer = await self._ask(endpoint, chunk)
                if not isinstance(answer, Unreachable):
                    self._current = self._endpoints.index(endpoint)
                    return answer
                reasons.append(f"{endpoint.place}: {answer.reason}")
                slow = slow or isinstance(answer, _Slow)
            if slow and len(chunk.windows) > FEWEST:
                raise _Smaller("; ".join(reasons))
            raise _Again("; ".join(reasons))

        return await self._patiently(once)

    async def _patiently(self, once: Callable[[], Awaitable[T]]) -> T:
        patience = self._patience

        def told(state: RetryCallState) -> None:
            asked = f"{state.attempt_number} of {patience.attempts} times"
            log.warning("no answer", asked=asked, because=state.outcome and str(state.outcome.exception()))

        return await AsyncRetrying(
            stop=stop_after_attempt(patience.attempts),
            wait=wait_random_exponential(2 * patience.first, patience.longest, min=patience.first),
            retry=retry_if_exception_type(_Again),
            sleep=patience.sleep,
            before_sleep=told,
            reraise=True,
        )(once)

    def _in_order(self) -> list[Endpoint]:
        return self._endpoints[self._current :] + self._endpoints[: self._current]

    async def _ask(self, endpoint: Endpoint, chunk: _Chunk) -> Data | Unreachable | Unusable:
        one = len(chunk.windows) == 1
        cap = self._settings.max_body_bytes if one else min(MOST_BYTES, self._settings.max_body_bytes)
        query = Query(chunk.source.expr, chunk.ends, chunk.ends.step, ranged=True)
        try:
            answer = await endpoint.send(query, cap)
        except TooLarge as error:
            raise _Smaller(f"{endpoint.place}: {error}") from None
        except TimedOut as error:
            return _Slow(str(error))
        except Malformed as error:
            raise NoHistory(_of(chunk.source.expr, f"{endpoint.place}: {error}")) from None
        except Unanswered as error:
            return Unreachable(str(error))
        return self._read(endpoint, chunk, answer)

    def _read(self, endpoint: Endpoint, chunk: _Chunk, answer: Answer) -> Data | Unreachable | Unusable:
        if answer.status >= 400:
            failed = failure(answer)
            if failed.kind == "execution" and not failed.again:
                return Unusable(f"{endpoint.place}: {failed.reason}")
            if answer.status == 413 or "maximum resolution" in failed.reason:
                raise _Smaller(f"{endpoint.place}: {failed.reason}")
            if failed.kind == "timeout":
                return _Slow(failed.reason)
        try:
            return opened(answer, ignore_warnings=self._settings.warnings == "ignore")
        except Exception as error:
            read = misread(error)
        if isinstance(read, Unusable):
            raise NoHistory(_of(chunk.source.expr, f"{endpoint.place}: {read.reason}"))
        return read


class _Fetch:
    """All of some sources: of each a chunk at a time, and few at once."""

    def __init__(
        self, past: Past, sources: Collection[_Source], progress: Callable[[int, int], None] | None
    ) -> None:
        self._past = past
        self._sources = sources
        self._progress = progress
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._windows = sum(len(source.ends) for source in sources)
        self._done = 0
        self._cells = 0

    async def run(self) -> None:
        """Raises `NoHistory`; then nothing goes on."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for source in self._sources:
                    tasks.create_task(self._all_of(source))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _all_of(self, source: _Source) -> None:
        """The newest windows first: they show most likely how large an answer is."""
        stop = len(source.ends)
        while stop:
            chunk = _Chunk(source, range(max(0, stop - source.size), stop))
            async with self._slots:
                if await self._take(chunk):
                    stop = chunk.windows.start
                    self._done += len(chunk.windows)
                    if self._progress is not None:
                        self._progress(self._done, self._windows)

    async def _take(self, chunk: _Chunk) -> bool:
        """Whether its windows have come; else less is to be asked for."""
        source, windows = chunk.source, len(chunk.windows)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            answer = await self._past.answer(chunk)
        except _Smaller as error:
            if windows == 1:
                raise NoHistory(_of(source.expr, str(error))) from None
            source.size = windows // 2
            return False
        except _Again as error:
            raise self._stopped(chunk, str(error)) from None
        if isinstance(answer, Unusable):
            return self._refused(chunk, answer.reason)
        self._size_next(chunk, answer, loop.time() - began)
        self._fill(chunk, answer)
        return True

    def _size_next(self, chunk: _Chunk, answer: Data, seconds: float) -> None:
        source, windows = chunk.source, len(chunk.windows)
        rate = windows / max(seconds, 1e-6)
        paid, source.rate = rate > 0.75 * source.rate, max(rate, 0.9 * source.rate)
        source.content = max(0, source.content - 1)
        if seconds > SLOW or not paid:
            source.content = CONTENT
            windows = max(min(windows, FEWEST), windows // 2)
        elif not source.content:
            windows *= 2
        fit = len(chunk.windows) * MOST_BYTES // (2 * max(1, memoryview(answer.result).nbytes))
        source.size = max(1, min(windows, fit, MOST_POINTS))

    def _stopped(self, chunk: _Chunk, why: str) -> NoHistory:
        came = f"given up after {self._done:,} of {self._windows:,} windows"
        return NoHistory(_of(chunk.source.expr, f"{why}; {came}"), unreachable=True)

    def _refused(self, chunk: _Chunk, reason: str) -> bool:
        """An evaluation failed, perhaps in one of the windows only."""
        source = chunk.source
        source.refusals += 1
        if source.refusals > MOST_REFUSALS:
            raise NoHistory(_of(source.expr, f"cannot be evaluated in many windows: {reason}"))
        if len(chunk.windows) > 1:
            source.size = len(chunk.windows) // 2
            return False
        for reading in source.readings.values():
            reading.fail(chunk.windows, reason)
        return True

    def _fill(self, chunk: _Chunk, data: Data) -> None:
        source = chunk.source
        try:
            for reading in source.readings.values():
                for subject, points in matrix(data, reading.per, coverage=reading.coverage):
                    self._cells += reading.put(subject, points) * len(source.ends)
                    if self._cells > MOST_CELLS:
                        raise NoHistory(_of(source.expr, self._too_many(reading)))
        except NoHistory:
            raise
        except Exception as error:
            raise NoHistory(_of(source.expr, misread(error).reason)) from None

    def _too_many(self, reading: Reading) -> str:
        many = f"{len(reading.columns):,} subjects by now, over {len(reading.ends):,} windows"
        return f"{many}: more than fits into memory; ask for a shorter time, or for fewer subjects"


def _of(expr: str, why: str) -> str:
    return f"{one_line(expr, 200)}: {why}"


def _history(wanted: Wanted, readings: Sequence[Reading]) -> History:
    """Where several queries failed in a window, the first counts, as it does live."""
    failed: dict[int, Unreachable | Unusable] = {}
    for reading in reversed(readings):
        failed |= reading.failed
    return History(wanted.queries, wanted.ends, tuple(reading.columns for reading in readings), failed)
