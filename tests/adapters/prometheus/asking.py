"""What the tests of this folder ask with."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rollbackd.core.effects import Ask, WindowQuery
from rollbackd.core.model import Ms
from rollbackd.settings import PrometheusSettings
from rollbackd.world.prometheus import Source


def wall() -> Ms:
    return time.time_ns() // 1_000_000


def asks(
    *exprs: str | WindowQuery,
    ends: tuple[Ms, ...] = (),
    per: tuple[str, ...] = (),
    watch: str = "a",
    budget: Ms = 8_000,
    delay: Ms = 0,
    interval: Ms = 1_000,
) -> Ask:
    """A question for the windows that end at `ends`; left out: one that ended a second ago."""
    queries = tuple(WindowQuery(one) if isinstance(one, str) else one for one in exprs)
    return Ask(watch, ends or (wall() - 1_000,), interval, delay, queries, per, budget)


class Counted:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.results: list[str] = []
        self.skews: list[float] = []

    def request(self, result: str, seconds: float) -> None:
        assert seconds >= 0
        self.results.append(result)

    def clock_skew(self, seconds: float) -> None:
        self.skews.append(seconds)


@asynccontextmanager
async def source_at(*urls: str, observer: Counted | None = None, **settings: Any) -> AsyncIterator[Source]:
    source = Source(PrometheusSettings(urls, **settings), wall, observer)
    try:
        yield source
    finally:
        await source.close()
