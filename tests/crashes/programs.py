"""The programs that are recorded: `python -m tests.crashes.programs (journal | step) PLACE REFUSED`.

What they say (`MARK …`) is what somebody could rely on from that moment on. Each may be run again on what
it left, after a SIGKILL or a power cut at any moment.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.crashes import planting

if TYPE_CHECKING:
    from rollbackd.core.events import TriggerForgotten
    from rollbackd.core.record import Stamp
    from rollbackd.journal.sqlite import SqliteJournal
    from rollbackd.journal.statedir import StateDir

REPOSITORY = Path(__file__).parents[2]
RESERVE = 16 * 1024
CHECKPOINT = 96 * 1024  # bytes of log: a few batches
CACHE = 12  # pages: a big batch does not fit, and part of it is in the log before its commit
BATCHES = (1, 1, 3, 1, 40, 1, 2, 9, 1, 1)
LIFE, EXECUTION, STEP, PLAN = "api-1", 1, "step", "0123abcd"
ZEROS = 1_500  # the outcome's record takes several sectors
SCRIPT = f"#!/bin/sh\necho MARK worked\nprintf %0{ZEROS}d 0\nexit 3\n"
OUTCOME, STATUS, OUTPUT = "exited", 3, "MARK worked\n" + ZEROS * "0"


def say(text: str) -> None:
    os.write(1, f"MARK {text}\n".encode())


def event(seq: int) -> TriggerForgotten:
    """What row `seq` holds, whoever wrote it."""
    from rollbackd.core.events import TriggerForgotten

    return TriggerForgotten(at=seq, trigger=f"T{seq}" + "x" * (131 * seq % 1_900))


def stamp(seq: int) -> Stamp:
    from rollbackd.core.record import Stamp

    return Stamp(steady=seq, wall=seq, boottime=seq, boot="b-1", epoch=1, actor="rollbackd")


def state_of(seq: int) -> bytes:
    """What a snapshot at `seq` holds."""
    return f"state at {seq} ".encode() * 200


def open_state(place: Path) -> StateDir:
    from rollbackd.journal.statedir import StateDir

    directory = StateDir.open(place / "state", reserve=RESERVE, machine="m")
    if directory.copied:  # what is made of a tape has other inodes
        directory.adopt()
    return directory


def open_journal(directory: StateDir) -> SqliteJournal:
    from rollbackd.journal import sqlite

    sqlite._CHECKPOINT = CHECKPOINT
    journal = sqlite.SqliteJournal(directory.journal, origin=directory.uuid, code="c")
    journal._db.execute(f"PRAGMA cache_size={CACHE}")
    return journal


def append(journal: SqliteJournal, size: int) -> None:
    seq = journal.head().seq
    say(f"appending {size}")
    head = journal.append([event(seq + 1 + place) for place in range(size)], stamp(seq))
    say(f"durable {head.seq}")


def save(journal: SqliteJournal) -> None:
    head = journal.head()
    journal.save_snapshot(head, state_of(head.seq))


def keep_a_journal(place: Path, *, refused: bool) -> None:
    """`refused`: the disk will, and the daemon would end there (fault 11)."""
    from rollbackd.core.record import JournalBroken

    try:
        _keep_a_journal(place)
    except JournalBroken:
        if not refused:
            raise
        say("ended")


def _keep_a_journal(place: Path) -> None:
    directory = open_state(place)
    say(f"uuid {directory.uuid}")
    for closes in (True, False):
        journal = open_journal(directory)
        say(f"found {journal.head().seq}")
        for size in BATCHES:
            append(journal, size)
            if size == 3:
                save(journal)
        save(journal)
        if closes:
            directory.free_reserve()
            append(journal, 1)
            directory.restore_reserve()
            journal.close()


async def run_a_step(place: Path) -> None:
    from rollbackd.core.effects import RunStep
    from rollbackd.core.model import Command
    from rollbackd.core.signals import StepBegan, StepExited
    from rollbackd.world.runner import link
    from rollbackd.world.runner.attempt import boot_id
    from rollbackd.world.runner.steps import Runner

    class Boot:
        def __init__(self) -> None:
            self.boot_id = boot_id()

        def boottime_of(self, steady: int) -> int:
            return steady

    if name := os.environ.get(planting.VARIABLE):
        planted = f"from tests.crashes.planting import install; install({name!r}); "
        link._PROGRAM = f"import sys; sys.path.append({str(REPOSITORY)!r}); {planted}{link._PROGRAM}"
    directory = open_state(place)
    say(f"uuid {directory.uuid}")
    journal = open_journal(directory)
    say(f"found {journal.head().seq}")
    if journal.head().seq == 0:
        append(journal, 1)
    ended: asyncio.Future[StepExited] = asyncio.get_running_loop().create_future()

    def post(signal: StepBegan | StepExited) -> None:
        if isinstance(signal, StepExited):
            ended.set_result(signal)

    async with Runner(directory.path, Boot(), post) as runner:
        command = Command((str(place / "state/plans" / PLAN / f"{STEP}.sh"),), timeout=60_000)
        runner.start(RunStep(LIFE, EXECUTION, "phase", STEP, PLAN, command, {}))
        exited = await ended
    say(f"outcome {exited.outcome} {exited.detail}")
    if journal.head().seq == 1:
        append(journal, 1)


def lay_out(place: Path) -> None:
    """The plan's folder, which was there long before."""
    folder = place / "state" / "plans" / PLAN
    folder.mkdir(parents=True, mode=0o700)
    script = folder / f"{STEP}.sh"
    script.write_text(SCRIPT)
    script.chmod(0o700)


if __name__ == "__main__":
    planting.install_ordered()
    if sys.argv[1] == "journal":
        keep_a_journal(Path(sys.argv[2]), refused=int(sys.argv[3]) > 0)
    else:
        asyncio.run(run_a_step(Path(sys.argv[2])))
    sys.stdout.flush()
    os._exit(0)  # what is open stays open, as at a power cut
