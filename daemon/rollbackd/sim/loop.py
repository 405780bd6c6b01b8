"""An event loop whose time is a number, and whose ready callbacks run in an order drawn from the seed.

It serves two parties: the daemon, whose callbacks come through asyncio and vanish when its process is
killed, and the world around it (`at`), which goes on.
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from itertools import count
from math import ceil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context

    from rollbackd.core.model import Ms
    from rollbackd.sim.chance import Chance

MOST_STEPS = 3_000_000
"""Callbacks in one simulated life; more is a loop that never rests."""


class Restless(Exception):
    """The daemon is busy for ever without time passing, or nothing is left that could ever happen."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """Never sleeps and never polls. `now` is the world's true time."""

    def __init__(self, chance: Chance, now: Ms) -> None:
        super().__init__()
        self.now = now
        self.crashed: BaseException | None = None
        self._chance = chance
        self._ready_now: list[asyncio.Handle] = []
        self._world_ready: list[asyncio.Handle] = []
        self._timers: list[tuple[Ms, int, asyncio.Handle]] = []
        self._world_timers: list[tuple[Ms, int, asyncio.Handle]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._order = count()
        self._steps = 0
        self._asleep_until: Ms = 0
        self.set_exception_handler(self._failed)

    # What asyncio asks of a loop

    def time(self) -> float:
        return self.now / 1000

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready_now.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heappush(self._timers, (ceil(when * 1000 - 1e-3), next(self._order), handle))
        return handle

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """`executor` is the simulated disk: `perform` says when the work is done, and whether."""
        future: asyncio.Future[Any] = executor.perform(self, func, *args)
        return future

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays in the heap until its time, and is passed over then."""

    # What the world asks of it

    def at(self, moment: Ms, callback: Callable[..., object], *args: Any) -> asyncio.Handle:
        """Call back at a moment of true time, whether or not a daemon runs."""
        handle = asyncio.Handle(callback, args, self, None)
        heappush(self._world_timers, (max(moment, self.now), next(self._order), handle))
        return handle

    def begin(self, main: Coroutine[Any, Any, None]) -> None:
        """A task of the daemon; that it fails is kept in `crashed`."""
        task = self.create_task(main)
        self._tasks.append(task)
        task.add_done_callback(self._ended)

    def kill(self) -> None:
        """The daemon's process is gone: nothing it had in mind happens."""
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            task.get_coro().close()  # runs its `finally`, whose callbacks go with it
        self._ready_now.clear()
        self._timers.clear()
        self._tasks.clear()
        self.crashed = None

    def suspend(self, until: Ms) -> None:
        """The daemon's process does not run until then; the world goes on (fault 18)."""
        self._asleep_until = until

    def run(self, until: Callable[[], bool]) -> None:
        """One callback after the other until `until` holds."""
        asyncio._set_running_loop(self)
        try:
            while not until():
                self._step()
        finally:
            asyncio._set_running_loop(None)

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise Restless(f"no rest after {MOST_STEPS} callbacks, at {self.now}")
        asleep = self.now < self._asleep_until
        ready, world = [] if asleep else self._ready_now, self._world_ready
        if not ready and not world and not self._next_moment():
            raise Restless("nothing is left to happen")
        if not asleep:
            self._collect(self._timers, ready)
        self._collect(self._world_timers, world)
        count = len(ready) + len(world)
        if not count:
            return
        index = self._chance.below(count, self._steps) if count > 1 else 0
        handle = ready.pop(index) if index < len(ready) else world.pop(index - len(ready))
        if not handle.cancelled():
            handle._run()

    def _collect(self, timers: list[tuple[Ms, int, asyncio.Handle]], ready: list[asyncio.Handle]) -> None:
        while timers and timers[0][0] <= self.now:
            ready.append(heappop(timers)[2])

    def _next_moment(self) -> bool:
        nexts = [self._world_timers[0][0]] if self._world_timers else []
        if self.now < self._asleep_until:
            nexts.append(self._asleep_until)
        elif self._timers:
            nexts.append(self._timers[0][0])
        if nexts:
            self.now = max(self.now, min(nexts))
        return bool(nexts)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.crashed = error

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.crashed = error if isinstance(error, BaseException) else RuntimeError(context["message"])
