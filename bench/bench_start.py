"""From starting `rollbackd run` to /-/ready, without and with a history: `python bench/bench_start.py`.

The history is one real rollback's rows, as the daemon wrote them, again and again under new names: one life,
a hundredth of `--lives`, and `--lives`, each with a snapshot as the daemon keeps it; the last without one
too, where every row is verified and folded. Then the scorecard of it, and a start from it once it is pruned.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import msgspec
from rig import Daemon, busy, figure, running, trigger, write
from stub import Labels, Stub

from rollbackd.app import restore
from rollbackd.app.retention import AT_ONCE
from rollbackd.app.scoring import Scoring
from rollbackd.core.events import Checkpoint, Event, LifeOpened
from rollbackd.core.fold import apply
from rollbackd.core.record import Recorded, Stamp
from rollbackd.core.state import State
from rollbackd.journal.audit import verify_file
from rollbackd.journal.codec import CODEC
from rollbackd.journal.reader import Reader
from rollbackd.journal.sqlite import SqliteJournal
from rollbackd.journal.statedir import read_uuid

PLAN = "api"
BATCH = 250  # lives appended at once
APART = 5 * 60_000  # ms between two lives
SCRIPT = '#!/bin/sh\n: > "$MARKS/reverted"\n'


class Service:
    """Breaches while `bad`, and is well once it was rolled back."""

    def __init__(self, marks: Path) -> None:
        self._reverted = marks / "reverted"
        self.bad = False

    def __call__(self, expr: str, at: float) -> dict[Labels, float]:
        if "timestamp" in expr:
            return {(): at - 0.01}
        return {(): float(self.bad and not self._reverted.exists())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lives", type=int, default=100_000)
    parser.add_argument("--starts", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        marks = folder / "marks"
        marks.mkdir()
        service = Service(marks)
        with Stub(service) as stub:
            rule = trigger("Bad", "max(bad)", PLAN, cooldown="0s")
            groups = [{"name": "g", "interval": "1s", "triggers": [rule]}]
            configuration = write(folder, stub.url, groups, [PLAN], SCRIPT, {"MARKS": str(marks)})
            without(configuration, options.starts)
            one_rollback(configuration, service)
            with_history(configuration, options)
    busy()


def without(configuration: Path, starts: int) -> None:
    times = []
    for _ in range(starts):
        shutil.rmtree(configuration.parent / "state", ignore_errors=True)
        with running(configuration) as daemon:
            times.append(daemon.ready_after)
    print(f"start to /-/ready, median of {starts}")
    figure("without history", median(times), "s", "0.6")


def again(configuration: Path, starts: int) -> float:
    times = []
    for _ in range(starts):
        with running(configuration) as daemon:
            times.append(daemon.ready_after)
    return median(times)


def one_rollback(configuration: Path, service: Service) -> None:
    with running(configuration) as daemon:
        service.bad = True
        deadline = time.monotonic() + 60
        while not any(ended(daemon)):
            if time.monotonic() > deadline:
                raise SystemExit(f"the rollback does not end:\n{daemon.log()}")
            time.sleep(0.1)


def ended(daemon: Daemon) -> list[bool]:
    answer = msgspec.json.decode(daemon.get("/api/v1/rollbacks")[1])
    return [life["state"] == "verified" for life in answer["data"]]


def with_history(configuration: Path, options: argparse.Namespace) -> None:
    state_dir = configuration.parent / "state"
    figure("1 life", again(configuration, options.starts), "s", "0.6")
    journal = opened(state_dir)
    before, life = rows_of(journal)
    folded = State()
    for event in before:
        folded = apply(folded, event)
    history = History(journal, folded, life, options.lives)
    for lives in (max(options.lives // 100, 2), options.lives):
        history.append(lives)
        history.journal.save_snapshot(history.journal.head(), restore.encode(history.state))
        rows, size = history.journal.head().seq, state_dir.joinpath("journal.db").stat().st_size >> 20
        history.journal.close()
        figure(f"{lives} lives ({rows} rows, {size} MiB)", again(configuration, options.starts), "s", "3")
        (state_dir / "journal.snapshot").unlink()
        if lives == options.lives:
            figure("the same without a snapshot", again(configuration, 1), "s")
            asyncio.run(scored(state_dir))
            pruned(configuration)
        else:
            history.journal = opened(state_dir)


async def scored(state_dir: Path) -> None:
    """The scorecard, from nothing: what the first request after a start waits for."""
    journal = opened(state_dir)
    stamp = journal.last_stamp()
    reader = Reader(journal_of(state_dir), origin=read_uuid(state_dir))
    now = stamp.steady if stamp is not None else 0
    began = time.perf_counter()
    card = await Scoring(reader, lambda: now).scorecard(90, None)
    took = time.perf_counter() - began
    figure(f"scorecard of all, {card.all.rollbacks} of them in 90 days", took, "s")
    await reader.close()
    journal.close()


def pruned(configuration: Path) -> None:
    """All of it behind a checkpoint, and a start from that, with no snapshot to help."""
    state_dir = configuration.parent / "state"
    journal = opened(state_dir)
    state, stamp, upto = restore.restore(journal).state, journal.last_stamp(), journal.head().seq
    if stamp is None:
        raise SystemExit("there is no history")
    journal.append([Checkpoint(at=stamp.steady, upto=upto, kept=(), state=state)], stamp)
    began = time.perf_counter()
    while journal.prune(AT_ONCE):
        pass
    figure(f"pruning {upto} rows", time.perf_counter() - began, "s")
    journal.close()
    state_dir.joinpath("journal.snapshot").unlink()
    figure("start from the pruned journal, without a snapshot", again(configuration, 1), "s")
    found = verify_file(journal_of(state_dir), read_uuid(state_dir))
    figure("rows that verify, and have no body", found.pruned if found.ok else -1, "")


def journal_of(state_dir: Path) -> Path:
    return state_dir / "journal.db"


def opened(state_dir: Path) -> SqliteJournal:
    return SqliteJournal(state_dir / "journal.db", origin=read_uuid(state_dir), code=restore.code_version())


def rows_of(journal: SqliteJournal) -> tuple[list[Event], list[Recorded]]:
    """What was recorded before the life, and from its opening on."""
    rows = list(journal.replay())
    first = next(index for index, row in enumerate(rows) if isinstance(row.event, LifeOpened))
    return [row.event for row in rows[:first] if row.event is not None], rows[first:]


class History:
    """Appends the life's rows under new names and at earlier times, folding them as the daemon would.

    The last of `lives` is of the time when the life was.
    """

    def __init__(self, journal: SqliteJournal, state: State, life: list[Recorded], lives: int) -> None:
        self.journal = journal
        self.state = state
        self._lives = 1
        self._last = lives
        self._kinds = [(row.kind, row.version) for row in life]
        self._bodies = [CODEC.encode(row.event).body for row in life if row.event is not None]
        self._stamp: Stamp = life[-1].stamp

    def append(self, upto: int) -> None:
        while self._lives < upto:
            numbers = range(self._lives + 1, min(upto, self._lives + BATCH) + 1)
            events = [event for number in numbers for event in self._renamed(number)]
            for event in events:
                self.state = apply(self.state, event)
            self.journal.append(events, self._stamp)
            self._lives = numbers[-1]

    def _renamed(self, number: int) -> list[Event]:
        old, new = f"{PLAN}-1".encode(), f"{PLAN}-{number}".encode()
        rows = zip(self._kinds, self._bodies, strict=True)
        events = (CODEC.decode(kind, version, body.replace(old, new)) for (kind, version), body in rows)
        earlier = (self._last - number) * APART
        return [msgspec.structs.replace(event, at=event.at - earlier) for event in events if event]


if __name__ == "__main__":
    main()
