"""A stand-in where there is no Prometheus: it scrapes the proxy and answers the demo's own queries.

It speaks `/api/v1/query` and `/api/v1/query_range` of Prometheus' API and knows selectors, `rate`,
`timestamp`, `time`, `sum`, `max` and arithmetic; anything else is answered as Prometheus answers what it
cannot execute (422). `rate` is the plain slope between the first and the last sample of the range.
"""

from __future__ import annotations

import asyncio
import operator
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from math import fsum, nan
from typing import Any, NamedTuple, TypeAlias

import promql_parser as promql
from aiohttp import ClientError, ClientSession, ClientTimeout, web
from prometheus_client.parser import text_string_to_metric_families

KEPT_SECONDS = 300.0
LOOKBACK = 300.0

Labels: TypeAlias = tuple[tuple[str, str], ...]
Vector: TypeAlias = dict[Labels, float]
Value: TypeAlias = Vector | float


class Scrape(NamedTuple):
    at: float  # seconds
    samples: dict[Labels, float]  # `__name__` is among the labels


class Unsupported(Exception):
    """The expression needs more than this stand-in knows."""


def read(text: str) -> dict[Labels, float]:
    """The samples of a metrics page."""
    return {
        tuple(sorted({"__name__": sample.name, **sample.labels}.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Store:
    """What was scraped, and the value of an expression at a moment (seconds)."""

    def __init__(self) -> None:
        self.scrapes: deque[Scrape] = deque()

    def add(self, scrape: Scrape) -> None:
        self.scrapes.append(scrape)
        while self.scrapes[0].at < scrape.at - KEPT_SECONDS:
            self.scrapes.popleft()

    def value(self, expr: str, at: float) -> Value:
        """ValueError: not PromQL. Unsupported."""
        return self._value(promql.parse(expr), at)

    def _value(self, node: Any, at: float) -> Value:
        match node:
            case promql.NumberLiteral():
                return float(node.val)
            case promql.ParenExpr():
                return self._value(node.expr, at)
            case promql.VectorSelector():
                return {_nameless(labels): value for labels, _, value in self._newest(node, at)}
            case promql.AggregateExpr():
                return self._aggregate(node, at)
            case promql.Call():
                return self._call(node, at)
            case promql.BinaryExpr():
                return self._binary(node, at)
        raise Unsupported(f"{type(node).__name__} is not simulated")

    def _window(self, selector: Any, first: float, at: float) -> dict[Labels, list[tuple[float, float]]]:
        """The samples of each series in (first, at]."""
        series: dict[Labels, list[tuple[float, float]]] = {}
        for scrape in self.scrapes:
            if first < scrape.at <= at:
                for labels, value in scrape.samples.items():
                    if _matches(selector, dict(labels)):
                        series.setdefault(labels, []).append((scrape.at, value))
        return series

    def _newest(self, selector: Any, at: float) -> Iterator[tuple[Labels, float, float]]:
        for labels, points in self._window(selector, at - LOOKBACK, at).items():
            yield labels, *points[-1]

    def _call(self, node: Any, at: float) -> Value:
        match node.func.name, node.args:
            case "time", []:
                return at
            case "timestamp", [selector] if isinstance(selector, promql.VectorSelector):
                return {_nameless(labels): moment for labels, moment, _ in self._newest(selector, at)}
            case "rate", [matrix] if isinstance(matrix, promql.MatrixSelector):
                first = at - matrix.range.total_seconds()
                series = self._window(matrix.vector_selector, first, at)
                return {_nameless(labels): _slope(p) for labels, p in series.items() if len(p) > 1}
        raise Unsupported(f"{node.func.name}() is not simulated like this")

    def _aggregate(self, node: Any, at: float) -> Vector:
        combine = _AGGREGATIONS.get(str(node.op))
        inner = self._value(node.expr, at)
        modifier = node.modifier
        by = modifier.labels if modifier is not None else []
        plain = modifier is None or modifier.type == promql.AggModifierType.By
        if combine is None or not plain or isinstance(inner, float):
            raise Unsupported(f"{node.op} is not simulated like this")
        groups: dict[Labels, list[float]] = {}
        for labels, value in inner.items():
            groups.setdefault(tuple(pair for pair in labels if pair[0] in by), []).append(value)
        return {labels: combine(values) for labels, values in groups.items()}

    def _binary(self, node: Any, at: float) -> Value:
        operate = _ARITHMETIC.get(str(node.op))
        if operate is None:
            raise Unsupported(f"{node.op} is not simulated")
        left, right = self._value(node.lhs, at), self._value(node.rhs, at)
        if isinstance(left, float) and isinstance(right, float):
            return operate(left, right)
        if isinstance(left, float):
            return {labels: operate(left, value) for labels, value in _vector(right).items()}
        if isinstance(right, float):
            return {labels: operate(value, right) for labels, value in left.items()}
        return {labels: operate(value, right[labels]) for labels, value in left.items() if labels in right}


def _vector(value: Value) -> Vector:
    return {(): value} if isinstance(value, float) else value


def _divide(one: float, other: float) -> float:
    return one / other if other else nan


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
}


_AGGREGATIONS: dict[str, Callable[[Iterable[float]], float]] = {"sum": fsum, "max": max}


def _nameless(labels: Labels) -> Labels:
    return tuple(pair for pair in labels if pair[0] != "__name__")


def _matches(selector: Any, labels: dict[str, str]) -> bool:
    if selector.name is not None and labels["__name__"] != selector.name:
        return False
    return all(_matched(each, labels.get(each.name, "")) for each in selector.matchers.matchers)


def _matched(matcher: Any, value: str) -> bool:
    if matcher.op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual):
        return (matcher.value == value) is (matcher.op == promql.MatchOp.Equal)
    return (re.fullmatch(matcher.value, value) is not None) is (matcher.op == promql.MatchOp.Re)


def _slope(points: list[tuple[float, float]]) -> float:
    """Per second; a counter that fell began anew at 0."""
    grown = sum(b - a if b >= a else b for (_, a), (_, b) in pairwise(points))
    return grown / (points[-1][0] - points[0][0])


class Simulated:
    """The stand-in, serving on a free port of loopback between `start` and `stop`."""

    def __init__(self, target: str, interval: float = 1.0) -> None:
        """`target`: host:port of what is scraped, each `interval` seconds."""
        self.store = Store()
        self.url = ""
        self._target = f"http://{target}/metrics"
        self._interval = interval
        self._runner: web.AppRunner | None = None
        self._scraping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/api/v1/query", self._query)
        app.router.add_route("*", "/api/v1/query_range", self._query_range)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self._scraping = asyncio.create_task(self._scrape(), name="simulated scrapes")

    async def stop(self) -> None:
        if self._scraping is not None:
            self._scraping.cancel()
            await asyncio.gather(self._scraping, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _scrape(self) -> None:
        async with ClientSession(timeout=ClientTimeout(total=self._interval)) as session:
            while True:
                at = time.time()
                try:
                    async with session.get(self._target) as answer:
                        self.store.add(Scrape(at, read(await answer.text())))
                except (ClientError, TimeoutError, ValueError):
                    pass  # a scrape that failed leaves a gap, as it does in Prometheus
                await asyncio.sleep(max(at + self._interval - time.time(), 0))

    async def _query(self, request: web.Request) -> web.Response:
        form = {**request.query, **await request.post()}
        at = float(str(form.get("time", time.time())))
        return _answered(lambda: self._instant(str(form["query"]), at))

    async def _query_range(self, request: web.Request) -> web.Response:
        form = {**request.query, **await request.post()}
        start, end = (float(str(form[name])) for name in ("start", "end"))
        step = float(str(form["step"]).removesuffix("ms")) / 1000  # as rollbackd writes it
        moments = [start + index * step for index in range(int((end - start) / step + 1e-6) + 1)]
        return _answered(lambda: self._range(str(form["query"]), moments))

    def _instant(self, expr: str, at: float) -> dict[str, Any]:
        value = self.store.value(expr, at)
        if isinstance(value, float):
            return {"resultType": "scalar", "result": [at, repr(value)]}
        result = [{"metric": dict(labels), "value": [at, repr(each)]} for labels, each in value.items()]
        return {"resultType": "vector", "result": result}

    def _range(self, expr: str, moments: list[float]) -> dict[str, Any]:
        series: dict[Labels, list[Any]] = {}
        for at in moments:
            for labels, value in _vector(self.store.value(expr, at)).items():
                series.setdefault(labels, []).append([at, repr(value)])
        result = [{"metric": dict(labels), "values": values} for labels, values in series.items()]
        return {"resultType": "matrix", "result": result}


def _answered(ask: Callable[[], dict[str, Any]]) -> web.Response:
    try:
        return web.json_response({"status": "success", "data": ask()})
    except Unsupported as error:
        status, kind, reason = 422, "execution", str(error)
    except (KeyError, ValueError) as error:
        status, kind, reason = 400, "bad_data", str(error)
    return web.json_response({"status": "error", "errorType": kind, "error": reason}, status=status)
