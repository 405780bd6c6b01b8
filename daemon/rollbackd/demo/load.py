"""The demo's customers: they ask the proxy, and remember what they got."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from rollbackd.demo.proxy import COHORT_HEADER

SPAN = 3.0  # seconds; what `Tally.shares` looks back on
AT_ONCE = 20


class Answer(NamedTuple):
    at: float  # seconds, monotonic
    cohort: str
    error: bool


@dataclass
class Tally:
    """What the customers saw."""

    answers: deque[Answer] = field(default_factory=deque)
    total: int = 0
    errors: int = 0

    def add(self, answer: Answer) -> None:
        self.total += 1
        self.errors += answer.error
        self.answers.append(answer)
        while self.answers[0].at < answer.at - SPAN:
            self.answers.popleft()

    def ratio(self, cohort: str | None = None) -> float | None:
        """Errors among the answers of the last seconds; None where there were none."""
        seen = [answer.error for answer in self.answers if cohort is None or answer.cohort == cohort]
        return sum(seen) / len(seen) if seen else None


class Load:
    """`rate` requests a second, evenly, between `start` and `stop`; no more than `AT_ONCE` under way."""

    def __init__(self, url: str, rate: float) -> None:
        self.tally = Tally()
        self._url = url
        self._pause = 1 / rate
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="load")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        connector = TCPConnector(limit=AT_ONCE)
        async with (
            ClientSession(connector=connector, timeout=ClientTimeout(total=3)) as session,
            asyncio.TaskGroup() as group,
        ):
            due = monotonic()
            slots = asyncio.Semaphore(AT_ONCE)
            while True:
                await slots.acquire()
                group.create_task(self._ask(session, slots))
                due = max(due + self._pause, monotonic() - 1)  # after a stall: catch up with a second of it
                await asyncio.sleep(max(due - monotonic(), 0))

    async def _ask(self, session: ClientSession, slots: asyncio.Semaphore) -> None:
        try:
            async with session.get(self._url) as answer:
                await answer.read()
                cohort, error = answer.headers.get(COHORT_HEADER, ""), answer.status >= 500
        except (ClientError, TimeoutError):
            cohort, error = "", True
        finally:
            slots.release()
        self.tally.add(Answer(monotonic(), cohort, error))
