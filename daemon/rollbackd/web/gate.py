"""Keeps answers that cost much to a few at once, so that readers never hold up the daemon (fault 67)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from rollbackd.web.answers import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    T = TypeVar("T")

AT_ONCE = 1
"""On each listener. Each more is a thread that the loop shares the interpreter with."""

MOST_WAITING = 16
RETRY_AFTER = 2
"""s"""

PAUSE = 1.0
"""s: a refusal waits so long, or a crowd that asks again at once would take all of the loop's time."""


class Gate:
    """The places of one listener: who reads over TCP takes none from the socket."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `work` answers, when its turn comes. Problem 503: too many wait already.

        A client that goes gives its place back when the work has ended, not before: what runs on a
        thread cannot be stopped, and hanging up must not be a way around the limit.
        """
        if self._places.locked() and self._waiting >= MOST_WAITING:
            await asyncio.sleep(PAUSE)
            raise Problem(
                "unavailable", "too many answers are being made; ask again", retry_after=RETRY_AFTER
            )
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        task = asyncio.create_task(work())
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        self._places.release()
