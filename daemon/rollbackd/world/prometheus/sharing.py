"""Equal questions asked once, and never too many at a time (rule W11)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Generic, TypeVar

from rollbackd.world.client import Closed

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

KEEP: Final = 2.0  # seconds for which an answer is given to others who ask the same
SLOW: Final = 1.0  # seconds; an expression that took longer is kept out of half the slots
_REMEMBERED: Final = 1_000


class _Entry(Generic[V]):
    __slots__ = ("answered", "askers", "task", "waiting", "weight")

    def __init__(self, task: asyncio.Task[V]) -> None:
        self.task = task
        self.askers: set[str] = set()
        self.waiting = 0
        self.answered: float | None = None
        self.weight = 0


class Shared(Generic[K, V]):
    """Who asks what is being asked, or was answered within `KEEP`, gets that answer.

    An asker who has had the answer and asks again wants a newer one (W14) and gets it. Answers of
    weight 0 are not kept; all that are kept weigh at most `capacity` together.
    """

    def __init__(self, weigh: Callable[[V], int], capacity: int) -> None:
        self._weigh = weigh
        self._capacity = capacity
        self._entries: dict[K, _Entry[V]] = {}
        self._closed = False

    async def get(self, key: K, asker: str, make: Callable[[], Awaitable[V]]) -> V:
        """Raises what `make` raises, and `Closed`."""
        self._forget_old()
        entry = self._entries.get(key)
        if entry is None or (entry.answered is not None and asker in entry.askers):
            entry = self._start(key, make)
        entry.askers.add(asker)
        entry.waiting += 1
        try:
            return await asyncio.shield(entry.task)
        except asyncio.CancelledError:
            if entry.task.cancelled() and self._closed:
                raise Closed() from None
            raise
        finally:
            entry.waiting -= 1
            if not entry.waiting and not entry.task.done():
                entry.task.cancel()
                self._drop(key, entry)

    async def close(self) -> None:
        self._closed = True
        tasks = [entry.task for entry in self._entries.values()]
        self._entries.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, key: K, make: Callable[[], Awaitable[V]]) -> _Entry[V]:
        async def run() -> V:
            return await make()

        entry = _Entry(asyncio.create_task(run(), name="prometheus query"))
        self._entries[key] = entry
        entry.task.add_done_callback(lambda _: self._settle(key, entry))
        return entry

    def _settle(self, key: K, entry: _Entry[V]) -> None:
        failed = entry.task.cancelled() or entry.task.exception() is not None
        entry.weight = 0 if failed else self._weigh(entry.task.result())
        entry.answered = asyncio.get_running_loop().time()
        if not entry.weight:
            self._drop(key, entry)

    def _drop(self, key: K, entry: _Entry[V]) -> None:
        if self._entries.get(key) is entry:
            del self._entries[key]

    def _forget_old(self) -> None:
        now = asyncio.get_running_loop().time()
        total = 0
        for key, entry in reversed(list(self._entries.items())):
            total += entry.weight
            if entry.answered is not None and (now - entry.answered > KEEP or total > self._capacity):
                del self._entries[key]


class Lanes:
    """At most `slots` requests at a time. What was slow of late may use only half of them, so that a
    slow group never delays another."""

    def __init__(self, slots: int) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._slow_slots = asyncio.Semaphore(max(1, slots // 2))
        self._slow: dict[str, None] = {}

    @asynccontextmanager
    async def slot(self, expr: str) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            if expr in self._slow:
                await held.enter_async_context(self._slow_slots)
            await held.enter_async_context(self._slots)
            began = asyncio.get_running_loop().time()
            try:
                yield
            finally:
                self._note(expr, asyncio.get_running_loop().time() - began)

    def _note(self, expr: str, seconds: float) -> None:
        self._slow.pop(expr, None)
        if seconds > SLOW:
            self._slow[expr] = None
            if len(self._slow) > _REMEMBERED:
                del self._slow[next(iter(self._slow))]
