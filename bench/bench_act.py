"""From a decision to the step's own first act: `python bench/bench_act.py [RUNS] [AT_ONCE] [TRIGGERS]`.

One: a decision's event appended to the journal, then the step started by the runner, until its program notes
the time; beside the least that is durable: write, fdatasync, posix_spawn of the same program, by turns. The
wrapper is what lies between asking the runner and the program, beyond a bare posix_spawn.

At once: so many plans whose triggers all breach in one window of the real daemon, beside a bare loop.

While it ticks: ten thousand triggers are judged each 2 s, and in each window some plans' triggers breach;
from the decision to the step's first act, beside the least that is durable, by turns, on the same machine.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from rig import Daemon, busy, figure, p99, running, show, trigger, write
from stub import SUCCESS, Labels, Stub

from rollbackd.core.effects import RunStep
from rollbackd.core.events import LifeOpened, StepOrdered
from rollbackd.core.model import Command
from rollbackd.core.record import Stamp
from rollbackd.core.signals import Signal, StepExited
from rollbackd.journal.sqlite import SqliteJournal
from rollbackd.world.runner.attempt import boot_id
from rollbackd.world.runner.steps import INHERITED, Runner

SCRIPT = '#!/bin/bash\nprintf "%s" "$EPOCHREALTIME" > "$MARKS/${ROLLBACK_PLAN:-$MARK}"\n'
STAMP = Stamp(steady=1, wall=1, boottime=1, boot="0" * 36, epoch=1, actor="rollbackd")


class Boot:
    boot_id = boot_id()

    def boottime_of(self, steady: int) -> int:
        return steady


class Acting:
    """The journal and the runner as the daemon has them, and the bare way beside them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._marks = folder / "marks"
        self._marks.mkdir()
        plan = folder / "state" / "plans" / "bench"
        plan.mkdir(parents=True)
        self._program = plan / "step.sh"
        self._program.write_text(SCRIPT)
        self._program.chmod(0o755)
        self._journal = SqliteJournal(folder / "journal.db", origin="bench", code="bench")
        self._ended: asyncio.Future[None]
        self.durable: list[float] = []
        self.ours: list[float] = []
        self.started: list[float] = []
        self.bare: list[float] = []
        self.spawned: list[float] = []

    async def measure(self, runs: int) -> None:
        intent = os.open(self._folder / "intent", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with ThreadPoolExecutor(1) as disk:
            async with Runner(self._folder / "state", Boot(), self._post) as runner:
                for run in range(runs):
                    await self._through_all(run, runner, disk)
                    self._bare(run, intent)
        os.close(intent)
        self._journal.close()

    def _post(self, signal: Signal) -> None:
        if isinstance(signal, StepExited):
            self._ended.set_result(None)

    def _mark(self, name: str) -> float:
        return float((self._marks / name).read_text())

    async def _through_all(self, run: int, runner: Runner, disk: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        event = StepOrdered(at=run, life="bench-1", phase="p", step="s", execution=run, attempt=1)
        env = {"MARKS": str(self._marks), "MARK": f"ours-{run}"}
        step = RunStep("bench-1", run, "p", "s", "bench", Command(("./step.sh",)), env)
        began = time.time()
        await loop.run_in_executor(disk, self._journal.append, [event], STAMP)
        durable = time.time()
        runner.start(step)
        await self._ended
        mark = self._mark(f"ours-{run}")
        self.durable.append((durable - began) * 1e3)
        self.started.append((mark - durable) * 1e3)
        self.ours.append((mark - began) * 1e3)

    def _bare(self, run: int, intent: int) -> None:
        began = time.time()
        os.write(intent, b"intent" * 50)
        os.fdatasync(intent)
        durable = time.time()
        pid = _spawn(self._program, self._marks, f"bare-{run}")
        os.waitpid(pid, 0)
        mark = self._mark(f"bare-{run}")
        self.spawned.append((mark - durable) * 1e3)
        self.bare.append((mark - began) * 1e3)


def _spawn(program: Path, marks: Path, name: str) -> int:
    environment = {each: os.environ[each] for each in INHERITED if each in os.environ}
    environment |= {"MARKS": str(marks), "MARK": name}
    return os.posix_spawn(program, [str(program)], environment)


def one(folder: Path, runs: int) -> None:
    acting = Acting(folder)
    asyncio.run(acting.measure(runs))
    print(f"{runs} steps, one after the other")
    show("decision → the step's first act", acting.ours, "ms")
    show("  of which until it is durable", acting.durable, "ms")
    show("  and from there to the first act", acting.started, "ms")
    show("bare: fdatasync, posix_spawn → first act", acting.bare, "ms")
    figure("ratio of the medians", median(acting.ours) / median(acting.bare), "", "")
    figure("ratio of the 99th percentiles", p99(acting.ours) / p99(acting.bare), "", "3")
    figure("the wrapper, beyond a bare posix_spawn", median(acting.started) - median(acting.spawned), "ms")


class Waves:
    """Each plan's trigger breaches from a moment of its own on; all others are well."""

    def __init__(self) -> None:
        self.begins: dict[str, float] = {}

    def __call__(self, expr: str, at: float) -> dict[Labels, float]:
        names = expr.partition('n=~"')[2].partition('"')[0].split("|")
        if names == [""]:
            return {(): at - 0.01 if "timestamp" in expr else 1.0}
        if "timestamp" in expr:
            return {(("n", name),): at - 0.01 for name in names}
        return {(("n", name),): float(at >= self.begins.get(name, at + 1)) for name in names}


def while_it_ticks(folder: Path, triggers: int, count: int, each_time: int = 4) -> None:
    plans = [f"plan{number}" for number in range(count)]
    rules = [trigger(plan, f'max(bad{{n="{plan}"}})', plan) for plan in plans]
    rules += [trigger(f"T{number}", f'max(bad{{n="{number}"}})', plans[0]) for number in range(triggers)]
    waves, marks, bare = Waves(), folder / "marks", Bare(folder)
    marks.mkdir()
    with Stub(waves) as stub:
        groups = [{"name": "g", "interval": "2s", "triggers": rules}]
        with running(write(folder, stub.url, groups, plans, SCRIPT, {"MARKS": str(marks)})) as daemon:
            time.sleep(4)
            before, first = _blocks(daemon), float(int(time.time() / 2 + 2) * 2)
            waves.begins = {plan: first + 2 * (number // each_time) for number, plan in enumerate(plans)}
            while time.time() < first + 2 * (count // each_time) + 1:
                bare.run()
                time.sleep(0.2)
            _await_marks(marks, count)
            blocked = _blocks(daemon)
    acted = [(float((marks / plan).read_text()) - when) * 1e3 for plan, when in _decided(folder).items()]
    print(f"{len(acted)} rollbacks, {each_time} each 2 s, while {triggers} triggers are judged each 2 s")
    show("decision → the step's first act", acted, "ms")
    show("bare: fdatasync, posix_spawn → first act", bare.took, "ms")
    figure("ratio of the medians", median(acted) / median(bare.took), "", "")
    figure("ratio of the 99th percentiles", p99(acted) / p99(bare.took), "", "3")
    _show_blocks(before, blocked)


def _decided(folder: Path) -> dict[str, float]:
    """Plan → when (s) its life was opened, before that was durable."""
    state = folder / "state"
    journal = SqliteJournal(state / "journal.db", origin=(state / "uuid").read_text().strip(), code="bench")
    try:
        rows = [(row.event, row.stamp.wall / 1e3) for row in journal.replay(verify=False)]
    finally:
        journal.close()
    return {event.plan.name: when for event, when in rows if isinstance(event, LifeOpened)}


class Bare:
    """The least that is durable, again and again. `took`: ms until the program notes the time."""

    def __init__(self, folder: Path) -> None:
        self._marks, self._program = folder / "floor", folder / "floor.sh"
        self._marks.mkdir()
        self._program.write_text(SCRIPT)
        self._program.chmod(0o755)
        self._intents = folder / "floors"
        self.took: list[float] = []

    def run(self) -> None:
        name = str(len(self.took))
        intent = os.open(self._intents, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        began = time.time()
        os.write(intent, b"intent" * 50)
        os.fdatasync(intent)
        os.waitpid(_spawn(self._program, self._marks, name), 0)
        os.close(intent)
        self.took.append((float((self._marks / name).read_text()) - began) * 1e3)


class Cohort:
    """All breach from `begins` on; before, and by their newest samples, they are well."""

    def __init__(self) -> None:
        self.begins = float("inf")

    def __call__(self, expr: str, at: float) -> dict[Labels, float] | bytes:
        values = expr.partition('n=~"')[2].partition('"')[0].split("|")
        value = at - 0.01 if "timestamp" in expr else float(at >= self.begins)
        if values == [""]:
            return {(): value}
        rows = ",".join(f'{{"metric":{{"n":"{each}"}},"value":[{at:.3f},"{value:.3f}"]}}' for each in values)
        return SUCCESS % (b"vector", f"[{rows}]".encode())


def at_once(folder: Path, count: int) -> None:
    plans = [f"plan{number}" for number in range(count)]
    rules = [trigger(f"T{number}", f'max(bad{{n="{number}"}})', plan) for number, plan in enumerate(plans)]
    cohort, marks = Cohort(), folder / "marks"
    marks.mkdir()
    with Stub(cohort) as stub:
        groups = [{"name": "g", "interval": "2s", "triggers": rules}]
        with running(write(folder, stub.url, groups, plans, SCRIPT, {"MARKS": str(marks)})) as daemon:
            blocks = _blocks(daemon)
            time.sleep(2)
            cohort.begins = float(int(time.time() / 2 + 2) * 2)
            ran = _await_marks(marks, count)
            blocked = _blocks(daemon)
        answered = max(when for (_, end), when in stub.written.items() if end == round(cohort.begins * 1000))
    bare = _bare_loop(folder, count)
    first, last = (min(ran) - answered) * 1e3, (max(ran) - answered) * 1e3
    print(f"{count} rollbacks that begin with one window of the daemon")
    figure("answer written → the first step's first act", first, "ms")
    figure("→ the last one's", last, "ms")
    figure("bare: fdatasync and posix_spawn for each, the last", bare, "ms")
    figure("ratio", last / bare, "", "1.5")
    _show_blocks(blocks, blocked)


def _show_blocks(before: dict[str, float], after: dict[str, float]) -> None:
    late = {name.partition('"')[2].rstrip('"}'): after[name] - before.get(name, 0.0) for name in after}
    print(f"  the loop's wakes (each 250 ms) by lateness, s: {late}")


def _blocks(daemon: Daemon) -> dict[str, float]:
    return daemon.metric("rollbackd_loop_block_seconds_bucket")


def _await_marks(marks: Path, count: int) -> list[float]:
    deadline = time.monotonic() + 60
    while len(found := [each for each in marks.iterdir() if each.stat().st_size]) < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(found)} of {count} steps have begun within a minute")
        time.sleep(0.1)
    return [float(each.read_text()) for each in found]


def _bare_loop(folder: Path, count: int) -> float:
    """ms until the last of so many programs, each after an fdatasync, notes the time."""
    marks, program = folder / "bare", folder / "bare.sh"
    marks.mkdir()
    program.write_text(SCRIPT)
    program.chmod(0o755)
    intent = os.open(folder / "intents", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    began, pids = time.time(), []
    for number in range(count):
        os.write(intent, b"intent" * 50)
        os.fdatasync(intent)
        pids.append(_spawn(program, marks, str(number)))
    for pid in pids:
        os.waitpid(pid, 0)
    os.close(intent)
    return (max(float(mark.read_text()) for mark in marks.iterdir()) - began) * 1e3


def main(runs: int = 100, count: int = 100, triggers: int = 10_000) -> None:
    with tempfile.TemporaryDirectory() as place:
        one(Path(place), runs)
    with tempfile.TemporaryDirectory() as place:
        at_once(Path(place), count)
    with tempfile.TemporaryDirectory() as place:
        while_it_ticks(Path(place), triggers, runs)
    busy()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
