"""A daemon's own parts on one short life, told to die at one append: run by `test_every_append`.

    python -m tests.daemon.one_life STATE_DIR APPEND before|after|never

The real loop, SQLite journal, runner and wrappers; Prometheus alone is played, so that windows of a
tenth of a second make the life short. It is over when the life has ended; exit status 0.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rollbackd.app import restore
from rollbackd.core import model as m
from rollbackd.core import signals as s
from rollbackd.core.effects import Ask, Effect, Page, RunStep
from rollbackd.core.engine import Advance, Engine
from rollbackd.core.events import Event
from rollbackd.core.record import Head, Stamp
from rollbackd.core.state import State
from rollbackd.driver import Driver, Loop
from rollbackd.journal.sqlite import SqliteJournal
from rollbackd.journal.statedir import StateDir
from rollbackd.world.clock import Clock
from rollbackd.world.runner.steps import Runner

INTERVAL = 100
STEPS = ("drain", "revert", "restore")
SCRIPT = """\
#!/bin/sh
echo "$ROLLBACK_STEP" >> "$MARKS"
"""


def configuration(marks: Path) -> m.Config:
    trigger = m.Trigger(
        name="Bad",
        group="api",
        plan="api",
        category="metric",
        severity="critical",
        action="auto",
        condition=m.Condition("bad", m.Limit(">", 0)),
        interval=INTERVAL,
        windows=2,
        fingerprint="one",
        arm="always",
    )
    plan = m.Plan(
        name="api",
        hash="one",
        owner="tests",
        level=3,
        services=("api",),
        summary="back",
        phases=tuple(m.Phase(f"phase-{name}", (m.Step(name, m.Command(("./step.sh",))),)) for name in STEPS),
        env={"MARKS": str(marks)},
        notify=("hook",),
        verify_windows=2,
        verify_within=30_000,
    )
    ladder = (m.Rung(0, ("hook",)),)
    return m.Config("one", "test", (trigger,), (plan,), receivers=("hook",), ladders={"default": ladder})


class Deadly(SqliteJournal):
    """Dies of SIGKILL before or after its n-th append of this process' life."""

    die_at = 0
    when = "never"
    appended = 0

    def append(self, events: Sequence[Event], stamp: Stamp) -> Head:
        self.appended += 1
        if self.when == "before" and self.appended == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        head = super().append(events, stamp)
        if self.when == "after" and self.appended == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return head


class PlayedWorld:
    """Real steps; a Prometheus that says `bad` until the revert has run; receivers that accept."""

    def __init__(self, loop: Loop, clock: Clock, state_dir: Path, marks: Path) -> None:
        self.runner = Runner(state_dir, clock, loop.post)
        self._loop, self._clock, self._marks = loop, clock, marks
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, effect: Effect) -> None:
        match effect:
            case Ask():
                self._spawn(self._answer(effect))
            case RunStep():
                self.runner.start(effect)
            case Page():
                self._loop.post(s.PageAnswered(effect.page, effect.receiver, True))
            case _:
                return

    def cancel(self, effect: Effect) -> None:
        """Nothing here can be cancelled."""

    def halted(self, reason: str) -> None:
        raise AssertionError(reason)

    def free_reserve(self) -> bool:
        return False

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, ask: Ask) -> None:
        await asyncio.sleep(max(ask.ends[-1] - self._clock.now(), 0) / 1000)
        reverted = self._marks.exists() and "revert" in self._marks.read_text()
        value = "0" if reverted else "1"
        series = s.Series(tuple({"": value} for _ in ask.ends))
        self._loop.post(s.WindowsAnswered(ask.watch, ask.ends, (series,) * len(ask.queries), 0))


class Ends:
    """Tells when the life is over."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    def committed(self, advance: Advance, state: State, head: Head | None, took: int) -> None:
        if state.numbers.get("api") and not any(life.ended is None for life in state.lives.values()):
            self.over.set()


async def live(folder: Path, die_at: int, when: str) -> None:
    state_dir = StateDir.open(folder)
    plan = state_dir.plans / "one"
    plan.mkdir(parents=True, exist_ok=True)
    (plan / "step.sh").write_text(SCRIPT)
    (plan / "step.sh").chmod(0o755)
    journal = Deadly(state_dir.journal, origin=state_dir.uuid, code=restore.code_version())
    journal.die_at, journal.when = die_at, when
    restored = restore.restore(journal)
    clock = Clock(journal.last_stamp())
    marks = folder / "marks"
    observer = Ends()
    worlds: list[PlayedWorld] = []

    def world(loop: Loop) -> PlayedWorld:
        worlds.append(PlayedWorld(loop, clock, folder, marks))
        return worlds[0]

    loop = Loop(Driver(Engine(restored.state)), journal, ThreadPoolExecutor(1), world, clock, observer)
    await worlds[0].runner.open()
    loop.post(s.DaemonStarted(configuration(marks)))
    running = asyncio.create_task(loop.run())
    over = asyncio.create_task(observer.over.wait())
    await asyncio.wait({running, over}, return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    await worlds[0].runner.close()
    if not over.done():
        running.result()


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
