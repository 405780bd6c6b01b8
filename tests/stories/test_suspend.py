"""The machine sleeps for an hour under a daemon that lives on (fault 18): the time that passed has passed."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.fakes import made
from tests.fakes.made import HOUR, INTERVAL, LADDER, MINUTE, SECOND
from tests.fakes.story import Story

from rollbackd import driver
from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.effects import Effect
from rollbackd.core.engine import Advance, Engine
from rollbackd.core.record import Head
from rollbackd.core.state import State
from rollbackd.journal.memory import MemoryJournal
from rollbackd.world.clock import Clock


def waiting(state: str, tape: str, after: str, **trigger: Any) -> Story:
    """A life that has just begun to wait; then an hour of sleep, in which `tape` goes on."""
    watched = made.trigger(**trigger)
    one = Story(made.config(watched))
    one.tape(watched, tape, after)
    one.run_to_state("api-1", state)
    one.run(span=SECOND)
    one.now += HOUR
    return one


WARNED: dict[str, Any] = {"severity": "high", "action": "auto_with_warning", "veto": 5 * MINUTE}
ASKED: dict[str, Any] = {"severity": "medium", "action": "ask", "expires": 15 * MINUTE}


@pytest.mark.parametrize(("after", "end"), [("B", "verified"), (".", "stood_down")])
def test_18_a_veto_window_that_was_slept_through_ends_on_a_window_of_after(after: str, end: str) -> None:
    """D7: not on what was known before the machine slept. (Once reverted, all is well.)"""
    one = waiting("waiting_veto", "BBB", after, **WARNED)
    woke = one.now
    if end == "verified":
        one.run_to(lambda: bool(one.of(e.RollbackBegan)))
        one.world.readings.clear()
    one.run(span=10 * MINUTE)
    assert one.states() == {"api-1": end}
    assert [x.at for x in one.of(e.WaitEnded) if x.wait == "veto"] == [woke]
    assert all(x.at > woke for x in one.of(e.RollbackBegan))


def test_18_an_approval_that_was_slept_through_has_expired() -> None:
    one = waiting("waiting_approval", "BBB", "B", **ASKED)
    one.run(span=MINUTE)
    assert one.state_of("api-1") == "expired"
    assert one.ran() == []


def test_18_every_rung_that_was_slept_through_is_reached_once() -> None:
    one = waiting("waiting_approval", "BBB", "B", **ASKED | {"expires": 24 * HOUR})
    one.run(span=10 * MINUTE)
    assert [x.rung for x in one.of(e.RungReached) if x.matter == "life/api-1"] == list(range(len(LADDER)))


def test_18_a_streak_that_was_slept_through_fires_on_what_was_asked_again() -> None:
    """W6, W7: two breaches before the sleep and well ever since are no streak."""
    watched = made.trigger()
    one = Story(made.config(watched))
    one.tape(watched, "BB", ".")
    one.run(span=2 * INTERVAL + SECOND)
    one.now += HOUR
    one.run(span=4 * INTERVAL)
    assert one.states() == {}


def test_18_a_rollback_that_was_slept_through_is_parked_and_paged() -> None:
    """X9: the limit of the whole plan has passed, whoever slept."""
    watched = made.trigger()
    phases = (made.phase("all", "a", "b"),)
    one = Story(made.config(watched, plans=(made.plan(phases=phases, timeout=10 * MINUTE),)))
    one.world.steps["a"] = [{"after": HOUR + MINUTE}]
    one.tape(watched, "BBB", "B")
    one.run_to(lambda: one.ran() == ["a"])
    one.now += HOUR
    one.run(span=5 * MINUTE)
    assert (one.state_of("api-1"), one.ran()) == ("parked", ["a"])
    assert one.state.matters["life/api-1"].cause == "overrun"


class Watched:
    """A world without effects, and an observer that waits for an event."""

    def __init__(self, kind: type[e.Event]) -> None:
        self.kind = kind
        self.seen = asyncio.Event()

    def start(self, effect: Effect) -> None: ...

    def cancel(self, effect: Effect) -> None: ...

    def halted(self, reason: str) -> None: ...

    def free_reserve(self) -> bool:
        return False

    def committed(self, advance: Advance, state: State, head: Head | None, took: int) -> None:
        if any(isinstance(event, self.kind) for event in advance.events):
            self.seen.set()


async def test_18_the_loop_wakes_though_its_timer_slept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLOCK_MONOTONIC stands still in a sleep: a timer for an hour would still have that hour to run."""
    monkeypatch.setattr(driver, "LONGEST_NAP", 10)
    slept = 0
    clock = Clock(boottime=lambda: 1_000_000 + slept)
    watched = Watched(e.PauseEnded)
    journal = MemoryJournal(origin="test", code="test")
    loop = driver.Loop(
        driver.Driver(Engine()), journal, ThreadPoolExecutor(1), lambda _: watched, clock, watched
    )
    loop.post(s.DaemonStarted(made.config()))
    running = asyncio.create_task(loop.run())
    try:
        assert (await loop.speak(s.Pause(duration=HOUR), "ann", "test")).accepted
        slept = HOUR
        async with asyncio.timeout(20):
            await watched.seen.wait()
    finally:
        running.cancel()
