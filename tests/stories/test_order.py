"""Journal, then act: the loop keeps the order, and a loop that does not is caught (I2, E5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.fakes import made
from tests.fakes.made import START

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.effects import Ask, Effect, KeepAlert, Page, RunStep
from rollbackd.core.engine import Advance, Engine
from rollbackd.core.model import Ms
from rollbackd.core.record import Head, JournalFull, Stamp
from rollbackd.core.state import State
from rollbackd.driver import Driver, Loop
from rollbackd.journal.memory import MemoryJournal

Log = list[tuple[str, str]]


class LoggedJournal(MemoryJournal):
    """Notes what became durable; `refusals` appends find no room first."""

    def __init__(self, log: Log, refusals: int = 0) -> None:
        super().__init__()
        self.log = log
        self.refusals = refusals

    def append(self, events: Sequence[e.Event], stamp: Stamp) -> Head:
        if any(isinstance(event, e.StepOrdered) for event in events) and self.refusals:
            self.refusals -= 1
            self.log.append(("refused", ""))
            raise JournalFull("no room")
        head = super().append(events, stamp)
        for event in events:
            if isinstance(event, e.StepOrdered):
                self.log.append(("durable", f"step/{event.life}/{event.execution}"))
            elif isinstance(event, e.PagePromised):
                self.log += [
                    ("durable", f"page/{event.page}/{receiver}/firing") for receiver in event.receivers
                ]
        return head


class LoggedWorld:
    """Notes what was started, and when the pager was called unjournalled."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def start(self, effect: Effect) -> None:
        if isinstance(effect, RunStep | Page):
            self.log.append(("started", effect.key))

    def cancel(self, effect: Effect) -> None:
        """Nothing is under way for real."""

    def halted(self, reason: str) -> None:
        self.log.append(("halted", reason))

    def free_reserve(self) -> bool:
        return False


class StillClock:
    def now(self) -> Ms:
        return START

    def stamp(self, *, epoch: int, actor: str) -> Stamp:
        return Stamp(START, START, 0, "boot", epoch, actor)


class Nobody:
    def committed(self, advance: Advance, state: State, head: Head | None, took: Ms) -> None:
        """Looks away."""


class Hasty(Loop):
    """The planted defect: it acts, then journals."""

    async def turn(self, signal: s.Signal) -> None:
        advance = self.driver.take(signal, START)
        work = self.driver.committed(START)
        for effect in work.start:
            self._world.start(effect)
        if advance.events:
            await self._append(advance)


async def rolled_back(loop_of: type[Loop], refusals: int = 0) -> Log:
    """A rollback by hand until its first step was started."""
    log: Log = []
    config = made.config()
    with ThreadPoolExecutor(1) as thread:
        make: Callable[[Loop], LoggedWorld] = lambda _: LoggedWorld(log)  # noqa: E731
        loop = loop_of(Driver(Engine()), LoggedJournal(log, refusals), thread, make, StillClock(), Nobody())
        await loop.turn(s.DaemonStarted(config))
        await asyncio.wait_for(loop.turn(s.OperatorSpoke(1, s.Start("api", "by hand"), "ann", "test")), 10)
    return log


def out_of_order(log: Log) -> list[str]:
    """Effects that were started before what they rest on was durable."""
    durable: set[str] = set()
    early = []
    for what, key in log:
        if what == "durable":
            durable.add(key)
        elif what == "started" and key not in durable:
            early.append(key)
    return early


async def test_nothing_starts_before_its_record() -> None:
    log = await rolled_back(Loop)
    assert ("started", "step/api-1/1") in log
    assert out_of_order(log) == []


async def test_a_loop_that_acts_first_is_caught() -> None:
    assert "step/api-1/1" in out_of_order(await rolled_back(Hasty))


async def test_no_effect_while_the_journal_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 10."""
    monkeypatch.setattr("rollbackd.driver.RETRY_APPEND", 1)
    log = await rolled_back(Loop, refusals=2)
    assert [what for what, _ in log if what in ("refused", "halted")] == ["refused", "halted", "refused"]
    assert out_of_order(log) == []


def test_the_driver_takes_no_second_signal_before_the_first_is_committed() -> None:
    driver = Driver(Engine())
    driver.take(s.DaemonStarted(made.config()), START)
    with pytest.raises(RuntimeError, match="not committed"):
        driver.take(s.Ticked(), START)


def test_a_page_is_started_once_while_it_is_under_way() -> None:
    driver = Driver(Engine())
    driver.take(s.DaemonStarted(made.config()), START)
    driver.committed(START)
    driver.take(s.OperatorSpoke(1, s.Start("api", "by hand"), "ann", "test"), START)
    first = [x.key for x in driver.committed(START).start if not isinstance(x, Ask | KeepAlert)]
    driver.take(s.Ticked(), START)
    again = [x.key for x in driver.committed(START).start if not isinstance(x, Ask | KeepAlert)]
    assert first
    assert again == []
