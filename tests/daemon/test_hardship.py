"""A full disk and a stuck loop (faults 4, 10; E5)."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.daemon.rig import Rig
from tests.disks import NoDisk, fill, small_disk
from tests.servers import wait_for

from rollbackd.app import watchdog
from rollbackd.core import signals as s
from rollbackd.core.effects import Effect
from rollbackd.core.engine import Advance, Engine
from rollbackd.core.events import Event
from rollbackd.core.record import Head, Stamp
from rollbackd.core.state import State
from rollbackd.driver import Driver, Loop
from rollbackd.journal.memory import MemoryJournal
from rollbackd.world.clock import Clock


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Rig]:
    """The state directory on a disk of 24 MB."""
    with Rig(tmp_path) as rig:
        try:
            with small_disk(rig.state_dir, megabytes=24):
                yield rig
                rig.kill()
        except NoDisk as error:
            pytest.skip(str(error))


def test_a_full_disk_stops_effects_pages_and_goes_on(small: Rig) -> None:
    """Fault 10, E5: the reserve first; then no effect but pages, until there is room again."""
    small.start()
    ballast = fill(small.state_dir)
    small.begin_rollout()  # the reserve was given up for this
    assert (small.state_dir / "reserve").stat().st_blocks == 0
    wait_for(lambda: any("has stopped acting" in title for title in small.titles()), what="the page")
    wait_for(lambda: "journal_recovered" in kinds(small), what="the record of the halt")
    fill(small.state_dir)
    small.break_canary()
    wait_for(lambda: small.get("/-/healthy")[0] == 503, 40, what="the halt")
    assert small.ran() == []
    assert small.post("/api/v1/pauses", {"comment": "x"})[0] == 503
    ballast.unlink()
    small.wait_state("api-1", "verified")
    assert small.done() == ["drain", "revert", "restore"]


def test_a_start_on_a_full_disk_is_tried_again(small: Rig) -> None:
    """Fault 10: not the status that tells systemd to give up, wherever in the start the disk is full."""
    ballast = fill(small.state_dir)
    done = small.cli("run", "--config", str(small.folder / "rollbackd.yml"), ok=False)
    assert (done.returncode, "make room" in done.stderr) == (1, True), done.stderr
    ballast.unlink()
    small.start()


def kinds(rig: Rig) -> list[str]:
    """What the journal holds, read beside the daemon."""
    connection = sqlite3.connect(f"file:{rig.state_dir / 'journal.db'}?mode=ro", uri=True)
    try:
        return [kind for (kind,) in connection.execute("SELECT kind FROM entries ORDER BY seq")]
    finally:
        connection.close()


class Stuck(MemoryJournal):
    """A disk that does not come back until it is let go."""

    def __init__(self) -> None:
        super().__init__(origin="test", code="test")
        self.let_go = threading.Event()
        self.let_go.set()

    def append(self, events: Sequence[Event], stamp: Stamp) -> Head:
        self.let_go.wait(20)
        return super().append(events, stamp)


class Nothing:
    """A world without effects, and an observer that does not look."""

    def start(self, effect: Effect) -> None: ...

    def cancel(self, effect: Effect) -> None: ...

    def halted(self, reason: str) -> None: ...

    def free_reserve(self) -> bool:
        return False

    def committed(self, advance: Advance, state: State, head: Head | None, took: int) -> None: ...


class Fed:
    def __init__(self) -> None:
        self.times = 0

    def watchdog(self) -> bool:
        self.times += 1
        return True

    def watchdog_interval(self) -> int:
        return 40


async def test_a_stuck_loop_starves_the_watchdog() -> None:
    """Fault 4: only journal and evaluation progress feed it, a timer of its own would not."""
    journal, manager, nothing = Stuck(), Fed(), Nothing()
    loop = Loop(Driver(Engine()), journal, ThreadPoolExecutor(1), lambda _: nothing, Clock(), nothing)
    tasks = [asyncio.create_task(loop.run()), asyncio.create_task(watchdog.feed(loop, manager))]
    try:
        await until(lambda: manager.times >= 3)
        journal.let_go.clear()
        loop.post(s.JournalRecovered("to have something to write", 0))
        await until(lambda: loop.queue.qsize() >= 3)
        starved = manager.times
        await until(lambda: loop.queue.qsize() >= 8)
        assert manager.times <= starved + 1
        journal.let_go.set()
        await until(lambda: manager.times >= starved + 3)
    finally:
        journal.let_go.set()
        for task in tasks:
            task.cancel()


async def until(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_for, condition)


def test_two_users_cannot_read_it(rig: Rig) -> None:
    """The state directory and what is in it are the daemon's own."""
    rig.start()
    assert os.stat(rig.state_dir).st_mode & 0o077 == 0
    assert os.stat(rig.state_dir / "journal.db").st_mode & 0o077 == 0
