"""The one loop: a signal, its events made durable, then their effects. Nothing comes between.

`Driver` is synchronous and knows no event loop; `run` is the asyncio shell around it, which commits
on the journal's own thread and takes no second signal meanwhile.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from rollbackd.core import signals as s
from rollbackd.core.effects import Effect
from rollbackd.core.engine import Advance, Engine, Reply
from rollbackd.core.record import JournalFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor

    from rollbackd.core.events import Event
    from rollbackd.core.model import Ms
    from rollbackd.core.record import Head, Recorded, Stamp
    from rollbackd.core.state import State

SLOW_APPEND: Ms = 2_000
"""E5: an append that takes longer is told to people, unjournalled."""

RETRY_APPEND: Ms = 1_000

LONGEST_NAP: Ms = 5_000
"""The event loop's timers stand still while the machine is suspended (fault 18): none is longer."""

MOST_SIGNALS = 20_000
"""How many signals may wait; operators are refused long before (I16)."""


class Journal(Protocol):
    """The record, as the driver needs it. `append` is one batch, durable when it returns."""

    def append(self, events: Sequence[Event], stamp: Stamp) -> Head: ...

    def replay(self, after: int = 0) -> Iterator[Recorded]: ...

    def head(self) -> Head: ...


class World(Protocol):
    """Where effects happen. Signals come back through the queue that the world was made with."""

    def start(self, effect: Effect) -> None: ...

    def cancel(self, effect: Effect) -> None: ...

    def halted(self, reason: str) -> None:
        """The journal cannot be written: page, unjournalled (E5)."""
        ...

    def free_reserve(self) -> bool:
        """Give up the reserve file, so that the journal has room; whether there was one."""
        ...


class Clock(Protocol):
    def now(self) -> Ms: ...

    def stamp(self, *, epoch: int, actor: str) -> Stamp: ...


class Observer(Protocol):
    """Looks on: metrics, the live view. It cannot change anything."""

    def committed(self, advance: Advance, state: State, head: Head | None, took: Ms) -> None: ...


class Work(Struct, frozen=True):
    """What a committed batch lets the world do."""

    start: tuple[Effect, ...]
    cancel: tuple[Effect, ...]
    reply: Reply | None = None


class Driver:
    """Keeps the order: `take` decides, the caller makes it durable, `committed` acts."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.under_way: dict[str, Effect] = {}
        self._taken: Advance | None = None
        self._look = True
        self.wake: Ms | None = None
        """When time alone changes something next (`Engine.wake_at`), as of the last turn."""

    def take(self, signal: s.Signal, now: Ms) -> Advance:
        if self._taken is not None:
            raise RuntimeError("the batch before is not committed: no second signal until then")
        self._over(signal)
        self._taken = self.engine.advance(signal, now)
        # Windows without events change nothing that is wanted; ten thousand of them pass each second.
        windows = s.WindowsAnswered | s.ManyAnswered | s.ScrapesSeen
        due = self.wake is not None and self.wake <= now
        self._look = due or bool(self._taken.events) or not isinstance(signal, windows)
        return self._taken

    def committed(self, now: Ms) -> Work:
        """The batch is durable: take the new state, and say what to start and what to stop."""
        taken = self._taken
        if taken is None:
            raise RuntimeError("nothing was taken")
        self.engine.commit()
        self._taken = None
        self.wake = self.engine.wake_at()
        if not self._look:
            return Work(taken.asks, (), taken.reply)
        wanted = {effect.key: effect for effect in self.engine.wanted(now)}
        start = [effect for key, effect in wanted.items() if key not in self.under_way]
        cancel = [effect for key, effect in self.under_way.items() if key not in wanted]
        self.under_way = wanted
        return Work((*taken.asks, *start), tuple(cancel), taken.reply)

    def _over(self, signal: s.Signal) -> None:
        """These effects have come back; if they are still wanted, they are wanted again."""
        match signal:
            case s.StepExited():
                self.under_way.pop(f"step/{signal.life}/{signal.execution}", None)
            case s.CheckAnswered():
                self.under_way.pop(signal.check, None)
            case s.CaptureTaken():
                self.under_way.pop(f"capture/{signal.capture}/{signal.item}", None)
            case s.CaptureRemoved():
                self.under_way.pop(f"uncapture/{signal.capture}", None)
            case s.ReportWritten():
                self.under_way.pop(f"report/{signal.life}/{signal.number}", None)
            case s.PageAnswered():
                for status in ("firing", "resolved"):
                    self.under_way.pop(f"page/{signal.page}/{signal.receiver}/{status}", None)


class Loop:
    """The asyncio shell: one queue in, one journal thread, effects out."""

    def __init__(
        self,
        driver: Driver,
        journal: Journal,
        thread: Executor,
        world: Callable[[Loop], World],
        clock: Clock,
        observer: Observer,
        *,
        epoch: int = 0,
    ) -> None:
        self.driver = driver
        self.journal = journal
        self.queue: asyncio.Queue[s.Signal] = asyncio.Queue(MOST_SIGNALS)
        self.halted: str | None = None
        self.progressed_at: Ms = clock.now()
        self._thread = thread
        self._clock = clock
        self._observer = observer
        self._epoch = epoch
        self._replies: dict[int, asyncio.Future[Reply]] = {}
        self._requests = 0
        self._world = world(self)

    def post(self, signal: s.Signal) -> None:
        """Take a signal in; never blocks. The queue is bounded, and its overflow a defect."""
        self.queue.put_nowait(signal)

    async def speak(self, verb: s.Verb, actor: str, channel: str) -> Reply:
        """Carry a person's word to the engine, and its answer back once it is durable."""
        if self.halted is not None:
            return Reply(0, False, f"the journal cannot be written: {self.halted}")
        if self.queue.qsize() > MOST_SIGNALS // 2:
            return Reply(0, False, "overloaded; try again")
        self._requests += 1
        request = self._requests
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._replies[request] = future
        self.post(s.OperatorSpoke(request, verb, actor, channel))
        try:
            return await future
        finally:
            self._replies.pop(request, None)

    async def run(self) -> None:
        """For ever; raises `JournalBroken` when the disk fails."""
        while True:
            await self.turn(await self._next())

    async def turn(self, signal: s.Signal) -> None:
        """One signal, all the way."""
        now = self._clock.now()
        advance = self.driver.take(signal, now)
        head: Head | None = None
        took: Ms = 0
        if advance.events:
            before = self._clock.now()
            head = await self._append(advance)
            took = self._clock.now() - before
        work = self.driver.committed(self._clock.now())
        for effect in work.cancel:
            self._world.cancel(effect)
        for effect in work.start:
            self._world.start(effect)
        self.progressed_at = self._clock.now()
        if work.reply is not None:
            waiting = self._replies.get(work.reply.request)
            if waiting is not None and not waiting.done():
                waiting.set_result(work.reply)
        self._observer.committed(advance, self.driver.engine.state, head, took)

    async def _next(self) -> s.Signal:
        if not self.queue.empty():
            await asyncio.sleep(0)  # the world must get its turns while many signals wait
            return self.queue.get_nowait()
        now = self._clock.now()
        wake = self.driver.wake
        if wake is None:
            return await self.queue.get()
        while True:
            try:
                async with asyncio.timeout(max(min(wake - now, LONGEST_NAP), 0) / 1000):
                    return await self.queue.get()
            except TimeoutError:
                now = self._clock.now()
                if now >= wake:
                    return s.Ticked()

    async def _append(self, advance: Advance) -> Head:
        """Durable, however long it takes: no effect but pages meanwhile (E5)."""
        down_since: Ms | None = None
        freed = False
        while True:
            try:
                head = await self._append_once(advance)
            except JournalFull as full:
                if down_since is None:
                    down_since = self._clock.now()
                    self._halt(str(full))
                self.progressed_at = self._clock.now()  # stuck for a known reason is no hang
                freed = self._world.free_reserve() or freed
                await asyncio.sleep(RETRY_APPEND / 1000)
                continue
            if down_since is not None:
                down = self._clock.now() - down_since
                self.post(s.JournalRecovered(self.halted or "", down, reserve_freed=freed))
            self.halted = None
            return head

    async def _append_once(self, advance: Advance) -> Head:
        stamp = self._clock.stamp(epoch=self._epoch, actor=advance.actor)
        work = asyncio.get_running_loop().run_in_executor(
            self._thread, self.journal.append, advance.events, stamp
        )
        done, _ = await asyncio.wait({work}, timeout=SLOW_APPEND / 1000)
        if not done:
            self._halt(f"an append takes over {SLOW_APPEND // 1000} s")
        return await work

    def _halt(self, reason: str) -> None:
        self.halted = reason
        self._world.halted(reason)
