"""One Prometheus server: its queries and its clock (rules T2, W2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from math import nan
from typing import Final, Protocol

import structlog
from msgspec import Struct

from rollbackd.core.model import Ms
from rollbackd.core.signals import QueryAnswer, Series, Unreachable, Unusable
from rollbackd.settings import PrometheusSettings
from rollbackd.world.client import Answer, Client, Closed, Malformed, TooLarge, Unanswered, place
from rollbackd.world.prometheus.answer import LATEST, Shape, read
from rollbackd.world.prometheus.sharing import Lanes, Shared

log = structlog.get_logger()

RESULTS: Final = ("success", "unreachable", "unusable")
"""What `Observer.request` is told."""

READING_AGE: Final[Ms] = 1_000
"""For how long Prometheus' clock is reckoned from one reading of it."""

AHEAD: Final[Ms] = 500
"""Moments expected in the same stretch of this length share one reading, made before it begins."""

_KEPT_BYTES: Final = 32 * 1024 * 1024


class Observer(Protocol):
    """Where the numbers go. Both are called on the loop and must be quick."""

    def request(self, result: str, seconds: float) -> None:
        """One HTTP request is over; `result` is one of `RESULTS`."""

    def clock_skew(self, seconds: float) -> None:
        """Prometheus' clock minus steady UTC was read (T2)."""


class Silent:
    """Observes nothing."""

    def request(self, result: str, seconds: float) -> None: ...

    def clock_skew(self, seconds: float) -> None: ...


class Query(Struct, frozen=True):
    """An expression at one moment (an instant query, unless `ranged`), at several (a range query), or,
    without `ends`, now by Prometheus' clock."""

    expr: str
    ends: tuple[Ms, ...] | range = ()
    interval: Ms = 0
    ranged: bool = False

    @property
    def path(self) -> str:
        return "/api/v1/query_range" if self.ranged or len(self.ends) > 1 else "/api/v1/query"

    def form(self) -> dict[str, str]:
        if not self.ends:
            return {"query": self.expr}
        if len(self.ends) == 1 and not self.ranged:
            return {"query": self.expr, "time": _seconds(self.ends[0])}
        return {
            "query": self.expr,
            "start": _seconds(self.ends[0]),
            "end": _seconds(self.ends[-1]),
            "step": f"{self.interval}ms",  # not as seconds: Prometheus makes 1.000 of 1.001
        }


class Reading(Struct, frozen=True):
    """Prometheus' clock said at least `prometheus` when ours said `received`."""

    prometheus: Ms
    received: Ms

    @property
    def skew(self) -> Ms:
        return self.prometheus - self.received

    def at(self, now: Ms) -> Ms:
        return now + self.skew


class Behind(Exception):
    """Prometheus' clock will not pass the moment in time."""

    def __init__(self, reading: Reading, short: Ms) -> None:
        super().__init__(f"Prometheus' clock is {short / 1000:g} s short of the window's end and delay")
        self.reading = reading


class NoClock(Exception):
    """Prometheus' clock cannot be read; `answer` says why."""

    def __init__(self, answer: Unreachable | Unusable) -> None:
        super().__init__(answer.reason)
        self.answer = answer


class _Fetched:
    """An answer, read once for each shape. `began` and `came`: the loop's time."""

    def __init__(self, answer: Answer, began: float) -> None:
        self.began = began
        self.came = asyncio.get_running_loop().time()
        self._answer = answer
        self._lock = asyncio.Lock()
        self._read: dict[Shape, QueryAnswer] = {}

    @property
    def weight(self) -> int:
        """Bytes; 0 for what is no answer to keep."""
        return len(self._answer.body) if self._answer.status == 200 else 0

    async def read(self, shape: Shape) -> QueryAnswer:
        async with self._lock:
            if shape not in self._read:
                self._read[shape] = await read(self._answer, shape)
            return self._read[shape]


def _weight(fetched: _Fetched | Unreachable | Unusable) -> int:
    return fetched.weight if isinstance(fetched, _Fetched) else 0


class Endpoint:
    """A server under one of the `urls`. Several endpoints share a client and its lanes."""

    def __init__(
        self,
        url: str,
        settings: PrometheusSettings,
        client: Client,
        lanes: Lanes,
        now: Callable[[], Ms],
        observer: Observer,
    ) -> None:
        self.url = url.rstrip("/")
        self.place = place(self.url)
        self._settings = settings
        self._client = client
        self._lanes = lanes
        self._now = now
        self._observer = observer
        self._fetched: Shared[Query, _Fetched | Unreachable | Unusable] = Shared(_weight, _KEPT_BYTES)
        self._readings: Shared[str, Reading | Unreachable | Unusable] = Shared(lambda _: 0, 0)
        self._reading: Reading | None = None
        self._answers = True
        self._expected: dict[int, asyncio.TimerHandle] = {}  # stretch → when its reading is made
        self._ahead: set[asyncio.Task[None]] = set()

    async def answer(
        self, query: Query, shape: Shape, asker: str, after: float = 0.0
    ) -> tuple[QueryAnswer, float]:
        """The answer to a query, shared with whoever asks the same (W11), and when it came (the loop's
        time). Not one that was asked before `after`. Never raises."""
        try:
            fetched = await self._fetched.get(query, asker, lambda: self._fetch_in_lane(query))
            while isinstance(fetched, _Fetched) and fetched.began < after:
                fetched = await self._fetched.get(query, asker, lambda: self._fetch_in_lane(query))
        except Closed as error:
            return Unreachable(str(error)), 0.0
        return (await fetched.read(shape), fetched.came) if isinstance(fetched, _Fetched) else (fetched, 0.0)

    async def passed(self, moment: Ms, until: float) -> Reading:
        """Return once Prometheus' own clock has passed `moment` (T2).

        A reading is at most what the clock shows when it arrives, so reckoning from it errs on the
        late side. Raises `NoClock`, or `Behind` where that will not be before the loop's time `until`.
        """
        loop = asyncio.get_running_loop()
        while True:
            reading = await self.reading()
            short = moment - reading.at(self._now())
            if short <= 0:
                return reading
            if loop.time() + short / 1000 > until:
                raise Behind(reading, short)
            await asyncio.sleep(short / 1000)

    def expect(self, moment: Ms) -> None:
        """`passed(moment)` will be asked: read the clock a little before, so that it answers at once."""
        stretch = moment // AHEAD
        if self._reading is None or stretch in self._expected:
            return
        wait = stretch * AHEAD - AHEAD // 2 - self._reading.at(self._now())
        if wait > 0:
            loop = asyncio.get_running_loop()
            self._expected[stretch] = loop.call_later(wait / 1000, self._look_ahead, stretch)

    def _look_ahead(self, stretch: int) -> None:
        del self._expected[stretch]
        task = asyncio.create_task(self._read_ahead(), name="prometheus clock")
        self._ahead.add(task)
        task.add_done_callback(self._ahead.discard)

    async def _read_ahead(self) -> None:
        with suppress(Closed):  # what else fails is seen, and said, by who asks at the moment itself
            await self._readings.get("clock", "", self._read_clock)

    async def reading(self) -> Reading:
        """Prometheus' clock, read within the last second; one request for all who ask. `NoClock`."""
        known = self._reading
        if known is not None and 0 <= self._now() - known.received < READING_AGE:
            return known
        try:
            reading = await self._readings.get("clock", "", self._read_clock)
        except Closed as error:
            raise NoClock(Unreachable(str(error))) from None
        if not isinstance(reading, Reading):
            raise NoClock(reading)
        return reading

    async def close(self) -> None:
        for timer in self._expected.values():
            timer.cancel()
        for task in self._ahead:
            task.cancel()
        await asyncio.gather(*self._ahead, return_exceptions=True)
        await self._fetched.close()
        await self._readings.close()

    async def _read_clock(self) -> Reading | Unreachable | Unusable:
        # Not in a lane: whoever waits for a slot has waited for this first.
        fetched = await self._fetch(Query("time()"))
        self._heard(fetched.reason if isinstance(fetched, Unreachable) else "")
        if not isinstance(fetched, _Fetched):
            return fetched
        received = self._now()
        answer = await fetched.read(Shape((0,), (), ignore_warnings=True))
        if not isinstance(answer, Series):
            return answer
        text = answer.windows[0].get("", "")
        try:
            seconds = float(text)
        except ValueError:
            seconds = nan
        if not 0 <= seconds < LATEST:
            return Unusable("`time()` has no value: not a Prometheus API")
        self._reading = reading = Reading(int(seconds * 1000), received)
        self._observer.clock_skew(reading.skew / 1000)
        return reading

    async def _fetch_in_lane(self, query: Query) -> _Fetched | Unreachable | Unusable:
        async with self._lanes.slot(query.expr):
            return await self._fetch(query)

    async def _fetch(self, query: Query) -> _Fetched | Unreachable | Unusable:
        began = asyncio.get_running_loop().time()
        result = "unreachable"
        try:
            answer = await self.send(query, self._settings.max_body_bytes)
            result = RESULTS[_worth(answer.status)]
            return _Fetched(answer, began)
        except Malformed as error:
            result = "unusable"
            return Unusable(str(error))
        except TooLarge as error:
            return Unreachable(f"{error}; ask for fewer series, or raise `max_body_bytes`")
        except Unanswered as error:
            return Unreachable(str(error))
        finally:
            self._observer.request(result, asyncio.get_running_loop().time() - began)

    def _heard(self, error: str = "") -> None:
        """Log each change between silence and answers: pages wait for two minutes of it (W6)."""
        if error and self._answers:
            log.warning("prometheus does not answer", url=self.place, error=error)
        elif not error and not self._answers:
            log.info("prometheus answers again", url=self.place)
        self._answers = not error

    async def send(self, query: Query, cap: int) -> Answer:
        """The answer itself, of at most `cap` bytes, shared with nobody. Raises `Unanswered`."""
        settings = self._settings
        return await self._client.send(
            "POST",
            self.url + query.path,
            form={"timeout": f"{settings.timeout}ms", **settings.params, **query.form()},
            budget=settings.timeout,
            cap=cap,
            safe=True,
        )


def _worth(status: int) -> int:
    """The index into `RESULTS`."""
    if status == 200:
        return 0
    return 1 if status >= 500 or status in (408, 429) else 2


def _seconds(moment: Ms) -> str:
    return f"{moment // 1000}.{moment % 1000:03d}"
