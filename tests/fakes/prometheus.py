"""Prometheus in memory: a `Source` that answers from given series, as the real one would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rollbackd.core.effects import Ask, WindowQuery
from rollbackd.core.model import Ms
from rollbackd.core.signals import QueryAnswer, Series, Unreachable, WindowsAnswered
from rollbackd.world.client import Answer
from rollbackd.world.prometheus import NoValue
from rollbackd.world.prometheus.answer import Shape, read

Value = str | float | None
"""None: the series does not exist then."""


@dataclass
class FakePrometheus:
    """Answers an expression that it was given series for; any other yields nothing.

    `now` is steady UTC and `skew` what Prometheus' clock is ahead of it. While `down` is set, nothing is
    reachable, for that reason.
    """

    now: Callable[[], Ms]
    skew: Ms = 0
    down: str = ""
    warnings: list[str] = field(default_factory=list)
    asked: list[Ask] = field(default_factory=list)
    _series: dict[str, list[tuple[dict[str, str], Callable[[Ms], Value]]]] = field(default_factory=dict)
    _scalars: dict[str, Callable[[Ms], float]] = field(default_factory=dict)

    def set(self, expr: str, value: Value | Callable[[Ms], Value], **labels: str) -> None:
        """Give `expr` a series, by value or by what its value is at a moment (ms)."""
        series = [one for one in self._series.get(expr, []) if one[0] != labels]
        self._series[expr] = [*series, (labels, value if callable(value) else lambda _: value)]

    def set_scalar(self, expr: str, value: float) -> None:
        self._scalars[expr] = lambda _: value

    async def ask(self, effect: Ask) -> WindowsAnswered:
        self.asked.append(effect)
        if self.down:
            gone = (Unreachable(self.down),) * len(effect.queries)
            return WindowsAnswered(effect.watch, effect.ends, gone)
        short = effect.ends[-1] + effect.delay - self.now() - self.skew
        if short > effect.budget:
            behind = (Unreachable("Prometheus' clock is behind"),) * len(effect.queries)
            return WindowsAnswered(effect.watch, effect.ends, behind, self.skew)
        await asyncio.sleep(max(0, short) / 1000)
        answers = [await self._answer(effect, query) for query in effect.queries]
        return WindowsAnswered(effect.watch, effect.ends, tuple(answers), self.skew)

    async def check_query(self, expr: str, at: Ms | None = None, budget: Ms | None = None) -> float:
        if self.down:
            raise NoValue(self.down)
        moment = self.now() + self.skew if at is None else at
        answer = await read(self._document(expr, (moment,)), Shape((moment,), ()))
        if not isinstance(answer, Series) or "" not in answer.windows[0]:
            raise NoValue(f"{expr} yields no single value")
        return float(answer.windows[0][""])

    async def close(self) -> None:
        """Nothing is open."""

    async def _answer(self, effect: Ask, query: WindowQuery) -> QueryAnswer:
        shape = Shape(effect.ends, effect.per, query.role == "coverage")
        return await read(self._document(query.expr, effect.ends), shape)

    def _document(self, expr: str, ends: tuple[Ms, ...]) -> Answer:
        if expr in self._scalars and len(ends) == 1:
            value = f"{self._scalars[expr](ends[0]):g}"
            data: dict[str, Any] = {"resultType": "scalar", "result": [ends[0] / 1000, value]}
        else:
            rows = [(labels, _points(value, ends)) for labels, value in self._series.get(expr, [])]
            data = _vector(rows) if len(ends) == 1 else _matrix(rows)
        document = {"status": "success", "data": data, "warnings": self.warnings}
        return Answer(200, {}, json.dumps(document).encode())


def _points(value: Callable[[Ms], Value], ends: tuple[Ms, ...]) -> list[tuple[float, str]]:
    found = ((end / 1000, value(end)) for end in ends)
    return [(at, one if isinstance(one, str) else f"{one:g}") for at, one in found if one is not None]


def _vector(rows: Any) -> dict[str, Any]:
    result = [{"metric": labels, "value": points[0]} for labels, points in rows if points]
    return {"resultType": "vector", "result": result}


def _matrix(rows: Any) -> dict[str, Any]:
    result = [{"metric": labels, "values": points} for labels, points in rows if points]
    return {"resultType": "matrix", "result": result}
