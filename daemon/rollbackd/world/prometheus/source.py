"""Asking Prometheus for windows, over several servers in order (rules T2, W1, W2, W6, W11)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import chain, pairwise
from math import ceil, isfinite
from typing import Final

from msgspec import Struct

from rollbackd.core.effects import Ask, AskScrapes, WindowQuery
from rollbackd.core.model import Ms
from rollbackd.core.signals import (
    QueryAnswer,
    Scrape,
    ScrapesSeen,
    Series,
    Unreachable,
    Unusable,
    WindowsAnswered,
)
from rollbackd.settings import PrometheusSettings
from rollbackd.world.client import Client, one_line
from rollbackd.world.prometheus.answer import LATEST, Shape
from rollbackd.world.prometheus.endpoint import Behind, Endpoint, NoClock, Observer, Query, Silent
from rollbackd.world.prometheus.sharing import Lanes

RETURN_AFTER: Final[Ms] = 60_000
"""After a fail-over, how often the servers before the one in use are tried again."""


TARGET: Final = ("job", "instance")
MOST_TARGETS: Final = 1_000
"""Of a group: so many share no phase, and their scrapes are not kept."""


class NoValue(Exception):
    """A query that must yield one number did not; the message says what it yielded."""


class _Attempt(Struct, frozen=True):
    """What one server answered to one `Ask`."""

    answers: tuple[QueryAnswer, ...]
    skew: Ms | None

    @property
    def missing(self) -> int:
        return sum(isinstance(answer, Unreachable) for answer in self.answers)


class Source:
    """Prometheus, as the engine sees it. Use it on one event loop, and close it."""

    def __init__(
        self, settings: PrometheusSettings, now: Callable[[], Ms], observer: Observer | None = None
    ) -> None:
        """`now` is steady UTC (`Clock.now`)."""
        self._settings = settings
        self._now = now
        self._client = Client(settings.http, settings.concurrency + len(settings.urls))
        lanes = Lanes(settings.concurrency)
        self._endpoints = [
            Endpoint(url, settings, self._client, lanes, now, observer or Silent()) for url in settings.urls
        ]
        self._current = 0
        self._return_at: Ms = 0
        self._returning: asyncio.Task[None] | None = None

    @property
    def truncates(self) -> bool:
        """Whether answers are cut to so many series, by the API's own parameter."""
        return "limit" in self._settings.params

    async def ask(self, effect: Ask) -> WindowsAnswered:
        """The windows of one watch, all from one server, within the budget. Never raises.

        What is unreachable is asked of the next server; if none answers everything, the attempt with
        the fewest gaps counts.
        """
        until = asyncio.get_running_loop().time() + effect.budget / 1000
        best: _Attempt | None = None
        for endpoint, share in self._in_order(until):
            attempt = await self._attempt(endpoint, effect, share())
            if not attempt.missing and best is not None:
                self._stay_with(endpoint)
            if best is None or attempt.missing < best.missing:
                best = attempt
            if not attempt.missing:
                break
        answers, skew = (best.answers, best.skew) if best else ((), None)
        return WindowsAnswered(effect.watch, effect.ends, answers, skew)

    async def scrapes(self, effect: AskScrapes) -> ScrapesSeen:
        """When each target of a group was last scraped, from the server in use. Never raises."""
        until = asyncio.get_running_loop().time() + effect.budget / 1000
        endpoint = self._endpoints[self._current]
        shape = self._shape((effect.at,), TARGET)
        answers = await asyncio.gather(
            *(
                self._query(endpoint, Query(expr, (effect.at,)), shape, effect.key, until)
                for expr in (effect.sampled, effect.took)
            )
        )
        sampled, took = (answer for answer, _ in answers)
        return ScrapesSeen(effect.group, effect.at, _scrapes(sampled, took))

    async def check_query(self, expr: str, at: Ms | None = None, budget: Ms | None = None) -> float:
        """The one finite number that `expr` yields at that moment (None: now, by Prometheus' clock).

        Raises `NoValue`.
        """
        until = asyncio.get_running_loop().time() + (budget or self._settings.timeout) / 1000
        query = Query(expr, () if at is None else (at,))
        answer: QueryAnswer = Unreachable("there is no Prometheus to ask")
        for endpoint, share in self._in_order(until):
            answer, _ = await self._query(endpoint, query, self._shape((0,), ()), "", share())
            if not isinstance(answer, Unreachable):
                break
        return _number(answer)

    async def close(self) -> None:
        if self._returning is not None:
            self._returning.cancel()
            await asyncio.gather(self._returning, return_exceptions=True)
        for endpoint in self._endpoints:
            await endpoint.close()
        await self._client.close()

    def _in_order(self, until: float) -> list[tuple[Endpoint, Callable[[], float]]]:
        """The servers to try: the one in use first. Each may take an equal part of the time left."""
        self._try_to_return()
        current = self._endpoints[self._current]
        order = [current, *(endpoint for endpoint in self._endpoints if endpoint is not current)]

        def share(left: int) -> Callable[[], float]:
            def deadline() -> float:
                now = asyncio.get_running_loop().time()
                return now + max(0.0, until - now) / left

            return deadline

        return [(endpoint, share(len(order) - index)) for index, endpoint in enumerate(order)]

    async def _attempt(self, endpoint: Endpoint, effect: Ask, until: float) -> _Attempt:
        try:
            async with asyncio.timeout_at(until):
                reading = await endpoint.passed(effect.ends[-1] + effect.delay, until)
        except TimeoutError:
            return self._none(endpoint, effect, Unreachable("timed out reading its clock"))
        except NoClock as error:
            return self._none(endpoint, effect, error.answer)
        except Behind as error:
            return self._none(endpoint, effect, Unreachable(str(error)), error.reading.skew)
        endpoint.expect(effect.ends[-1] + effect.interval + effect.delay)
        return _Attempt(await self._window_answers(endpoint, effect, until), reading.skew)

    def _none(
        self, endpoint: Endpoint, effect: Ask, answer: Unreachable | Unusable, skew: Ms | None = None
    ) -> _Attempt:
        return _Attempt((_at(endpoint, answer),) * len(effect.queries), skew)

    async def _window_answers(self, endpoint: Endpoint, effect: Ask, until: float) -> tuple[QueryAnswer, ...]:
        """In the order of the queries. Of a composed condition no part waits for another's samples (W10)."""
        values = [place for place, query in enumerate(effect.queries) if query.role == "value" and place]
        parts = [effect.queries[begin:end] for begin, end in pairwise([0, *values, len(effect.queries)])]
        found = await asyncio.gather(*(self._part_answers(endpoint, effect, part, until) for part in parts))
        return tuple(chain.from_iterable(found))

    async def _part_answers(
        self, endpoint: Endpoint, effect: Ask, part: tuple[WindowQuery, ...], until: float
    ) -> tuple[QueryAnswer, ...]:
        """Values are asked for once it is known which samples are there: asked at the same time, they could
        be those of the samples before (W14)."""
        found: dict[WindowQuery, QueryAnswer] = {}
        after = 0.0
        ordered = sorted(part, key=lambda query: query.role != "coverage")
        known = {query.expr for query in ordered if query.role == "coverage"}
        for first in (True, False):  # a value that is a time itself comes with its coverage
            queries = [query for query in ordered if (query.expr in known) is first]
            answers = await asyncio.gather(
                *(self._window_query(endpoint, effect, query, until, after) for query in queries)
            )
            found |= zip(queries, (answer for answer, _ in answers), strict=True)
            after = max((came for _, came in answers), default=0.0)
        return tuple(found[query] for query in part)

    async def _window_query(
        self, endpoint: Endpoint, effect: Ask, query: WindowQuery, until: float, after: float
    ) -> tuple[QueryAnswer, float]:
        shape = self._shape(effect.ends, effect.per, coverage=query.role == "coverage")
        interval = effect.interval if len(effect.ends) > 1 else 0
        return await self._query(
            endpoint, Query(query.expr, effect.ends, interval), shape, effect.watch, until, after
        )

    async def _query(
        self, endpoint: Endpoint, query: Query, shape: Shape, asker: str, until: float, after: float = 0.0
    ) -> tuple[QueryAnswer, float]:
        """The answer, and when it came: see `Endpoint.answer`."""
        try:
            async with asyncio.timeout_at(until):
                answer, came = await endpoint.answer(query, shape, asker, after)
                return _at(endpoint, answer), came
        except TimeoutError:
            return _at(endpoint, Unreachable("no whole answer in time")), 0.0

    def _shape(self, ends: tuple[Ms, ...], per: tuple[str, ...], *, coverage: bool = False) -> Shape:
        return Shape(ends, per, coverage, self._settings.warnings == "ignore")

    def _stay_with(self, endpoint: Endpoint) -> None:
        """After a fail-over."""
        self._current = self._endpoints.index(endpoint)
        self._return_at = self._now() + RETURN_AFTER

    def _try_to_return(self) -> None:
        if self._current and self._returning is None and self._now() >= self._return_at:
            self._returning = asyncio.create_task(self._return(), name="prometheus return")

    async def _return(self) -> None:
        """Go back to the first server that answers, of those before the one in use."""
        try:
            for endpoint in self._endpoints[: self._current]:
                try:
                    await endpoint.reading()
                except NoClock:
                    continue
                self._current = self._endpoints.index(endpoint)
                break
        finally:
            self._return_at = self._now() + RETURN_AFTER
            self._returning = None


def _at(endpoint: Endpoint, answer: QueryAnswer) -> QueryAnswer:
    """Say which server it was."""
    match answer:
        case Unreachable(reason):
            return Unreachable(f"{endpoint.place}: {reason}")
        case Unusable(reason):
            return Unusable(f"{endpoint.place}: {reason}")
        case Series():
            return answer


def _scrapes(sampled: QueryAnswer, took: QueryAnswer) -> dict[str, Scrape] | None:
    """By target; empty where an answer does not say what the targets are (W1)."""
    if isinstance(sampled, Unreachable) or isinstance(took, Unreachable):
        return None
    if isinstance(sampled, Unusable) or isinstance(took, Unusable):
        return {}
    times, durations = sampled.windows[0], took.windows[0]
    if times.keys() != durations.keys() or len(times) > MOST_TARGETS:
        return {}
    scrapes = {}
    for target, text in times.items():
        at, lasted = float(text), float(durations[target])
        if not (0 <= at < LATEST and 0 <= lasted < LATEST):
            return {}
        scrapes[target] = Scrape(round(at * 1000), ceil(lasted * 1000))
    return scrapes


def _number(answer: QueryAnswer) -> float:
    if not isinstance(answer, Series):
        raise NoValue(answer.reason)
    text = answer.windows[0].get("")
    if text is None:
        raise NoValue("the query yields nothing")
    try:
        value = float(text)
    except ValueError:
        raise NoValue(f'the query yields "{one_line(text, 80)}", not a number') from None
    if not isfinite(value):
        raise NoValue(f"the query yields {text}")
    return value
