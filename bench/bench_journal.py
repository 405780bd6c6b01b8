"""What a durable append costs beside a bare write + fsync of the same bytes, and what a start costs.

python bench/bench_journal.py [--appends 2000] [--lives 100000] [--directory DIR]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

from rollbackd.core.events import (
    Event,
    LifeEnded,
    LifeParked,
    LifeResumed,
    StepOrdered,
    StepSettled,
    StepStarted,
)
from rollbackd.core.record import Head, Stamp
from rollbackd.journal.audit import verify_file
from rollbackd.journal.codec import CODEC
from rollbackd.journal.sqlite import SqliteJournal

STAMP = Stamp(steady=1, wall=1, boottime=1, boot="0" * 36, epoch=1, actor="rollbackd")
ORIGIN = "bench"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--appends", type=int, default=2_000)
    parser.add_argument("--lives", type=int, default=100_000)
    parser.add_argument("--directory", type=Path, help="on the disk to be measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as place:
        appends(Path(place), options.appends)
        start(Path(place), options.lives)


def rows_of_a_life(number: int) -> Iterator[Event]:
    life = f"api-{number}"
    for at in range(2):
        yield StepOrdered(at=at, life=life, phase="p", step=f"s{at}", execution=at, attempt=1)
        yield StepStarted(at=at, life=life, step=f"s{at}", execution=at)
        yield StepSettled(
            at=at, life=life, phase="p", step=f"s{at}", result="done", by="run", attempts=1, executions=(at,)
        )
    yield LifeParked(at=9, life=life, reason="in_doubt", detail="the wrapper is gone")
    yield LifeResumed(at=9, life=life, by="ann", channel="socket")
    yield LifeEnded(at=9, life=life, end="verified")


def timed(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


def appends(place: Path, count: int) -> None:
    """One event a batch, as most are; the bare file gets the same bytes, one after the other by turns."""
    journal = SqliteJournal(place / "appends.db", origin=ORIGIN, code="bench")
    stream = (event for number in range(count) for event in rows_of_a_life(number))
    sides: dict[str, list[float]] = {"journal": [], "bare": []}
    with (place / "bare").open("wb", buffering=0) as file:

        def write(body: bytes) -> None:
            file.write(body)
            os.fdatasync(file.fileno())

        for event in islice(stream, count):
            sides["journal"].append(timed(partial(journal.append, [event], STAMP)))
            sides["bare"].append(timed(partial(write, CODEC.encode(event).body)))
    journal.close()
    print(f"{count} appends, one event each, against write + fdatasync of the same bytes, by turns")
    figures = {name: (median(times), quantiles(times, n=100)[-1]) for name, times in sides.items()}
    for name, (middle, p99) in figures.items():
        a_second = count / sum(sides[name])
        print(f"  {name:8} {a_second:7.0f}/s  median {middle * 1e3:.2f}  p99 {p99 * 1e3:.2f} ms")
    middle, p99 = (ours / bare for ours, bare in zip(figures["journal"], figures["bare"], strict=True))
    print(f"  ratio    median {middle:.2f}  p99 {p99:.2f}")


def start(place: Path, lives: int) -> None:
    path = place / "start.db"
    head = filled(path, lives)
    print(f"a start with {lives} lives, {head.seq} rows, {path.stat().st_size >> 20} MiB")
    journal = SqliteJournal(path, origin=ORIGIN, code="bench")
    journal.save_snapshot(head, b"state" * 20_000)
    journal.append(list(rows_of_a_life(lives)), STAMP)
    journal.close()

    def recover() -> None:
        journal = SqliteJournal(path, origin=ORIGIN, code="bench")
        snapshot = journal.snapshot()
        assert snapshot is not None
        assert len(list(journal.replay(snapshot.head.seq))) == 9
        assert journal.last_stamp() == STAMP
        assert len(journal.recent("life_ended", 100)) == 100
        assert len(journal.life(f"api-{lives // 2}")) == 9
        journal.close()

    print(f"  open, snapshot, tail, lists   {median(timed(recover) for _ in range(7)) * 1e3:8.1f} ms")
    print(f"  verify the whole chain        {timed(lambda: verify_file(path, ORIGIN)):8.1f} s")
    journal = SqliteJournal(path, origin=ORIGIN, code="bench")
    print(f"  replay all without a snapshot {timed(lambda: sum(1 for _ in journal.replay())):8.1f} s")
    journal.close()


def filled(path: Path, lives: int) -> Head:
    journal = SqliteJournal(path, origin=ORIGIN, code="bench")
    for first in range(0, lives, 500):
        numbers = range(first, min(lives, first + 500))
        head = journal.append([event for number in numbers for event in rows_of_a_life(number)], STAMP)
    journal.close()
    return head


if __name__ == "__main__":
    main()
