"""What must hold of whatever a power cut left, by the recovery that the daemon itself uses.

Each judge opens what lies in `place`, goes on from there as the next start would, and returns what is
wrong, or nothing. `marks` is what was relied on before the cut.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from tests.crashes import programs
from tests.crashes.programs import EXECUTION, LIFE, OUTCOME, OUTPUT, STATUS, STEP

from rollbackd.journal.sqlite import SqliteJournal
from rollbackd.world.runner import attempt, recovery, steps
from rollbackd.world.runner.attempt import Exit

NEXT_BOOT = "00000000-0000-0000-0000-000000000000"
REQUEST = json.dumps({"argv": ["another"], "token": "another", "cgroup": None}).encode()


Judge: TypeAlias = Callable[[Path, Sequence[str]], None]


class Wrong(Exception):
    """A promise that a power cut broke."""


def check(condition: bool, why: str) -> None:
    if not condition:
        raise Wrong(why)


def judge_journal(place: Path, marks: Sequence[str]) -> str:
    return _verdict(_journal, place, marks)


def judge_step(place: Path, marks: Sequence[str]) -> str:
    return _verdict(_attempt, place, marks) or _verdict(_journal, place, marks)


def _verdict(judge: Judge, place: Path, marks: Sequence[str]) -> str:
    try:
        judge(place, marks)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _journal(place: Path, marks: Sequence[str]) -> None:
    """J1, J3, faults 1, 11 and 12: it opens, whole batches only, none that was acknowledged is missing."""
    directory = programs.open_state(place)
    try:
        known = {mark.split()[1] for mark in marks if mark.startswith("uuid ")}
        check(known <= {directory.uuid}, f"uuid {directory.uuid}, known as {known}")
        journal = programs.open_journal(directory)
        try:
            _rows(journal, marks)
            _snapshot(journal)
            _goes_on(journal)
        finally:
            journal.close()
    finally:
        directory.close()


def _rows(journal: SqliteJournal, marks: Sequence[str]) -> None:
    rows = list(journal.replay())
    durable, ends = _told(marks)
    check(len(rows) >= durable, f"{durable} rows were durable, {len(rows)} are there")
    check(len(rows) in ends, f"half of a batch: {len(rows)} rows, batches end at {sorted(ends)}")
    check(
        [row.event for row in rows] == [programs.event(seq) for seq in range(1, len(rows) + 1)],
        "a row holds something else",
    )


def _told(marks: Sequence[str]) -> tuple[int, set[int]]:
    """The last row that was acknowledged, and where batches may end."""
    durable = head = 0
    ends = {0}
    for mark in marks:
        match mark.split():
            case ["found", seq]:
                durable = head = int(seq)  # whatever a start goes on from is so
                ends.add(head)
            case ["appending", size]:
                ends.add(head + int(size))
            case ["durable", seq]:
                durable = head = int(seq)
    return durable, ends


def _snapshot(journal: SqliteJournal) -> None:
    """Usable or not there; `snapshot` refuses one that the journal does not lead to."""
    snapshot = journal.snapshot()
    if snapshot is not None:
        check(snapshot.state == programs.state_of(snapshot.head.seq), "the snapshot holds something else")


def _goes_on(journal: SqliteJournal) -> None:
    seq = journal.head().seq
    head = journal.append([programs.event(seq + 1), programs.event(seq + 2)], programs.stamp(seq))
    result = journal.verify(anchor=head)
    check(result.ok and result.upto == seq + 2, f"after another append: {result.why}")


def _attempt(place: Path, marks: Sequence[str]) -> None:
    """X3, faults 1 and 5: what the runner would do next, on the next boot."""
    ran = marks.count(f"ran {STEP}.sh")
    check(ran <= 1, f"it ran {ran} times")
    found = _found(place / "state")
    if isinstance(found, Exit):
        record = (found.outcome, found.status, found.tail, found.detail)
        check("worked" in marks, f"an outcome before there was one: {record}"[:200])
        check(record == (OUTCOME, STATUS, OUTPUT, ""), f"another outcome: {record}"[:200])
    check(not (ran and found == "unclaimed"), "it ran, and would be run again")
    check(found != "running", "it is waited for, and nothing of it runs")
    check(
        isinstance(found, Exit) or f"outcome {OUTCOME} " not in marks,
        f"the outcome was told, and is lost: {found}",
    )


def _found(state: Path) -> recovery.Found:
    """As `steps.Runner` does it: make the directory where there is none, and look."""
    steps._make_folder(state / "attempts")
    life, name = state / "attempts" / LIFE, f"{EXECUTION:04d}-{STEP}"
    attempt.create(os.fspath(life), name, REQUEST)
    found = recovery.look(life / name, NEXT_BOOT)
    folder = attempt.open_folder(os.fspath(life / name))
    try:
        attempt.read_request(folder)
        if found == "unclaimed":
            check(attempt.win_claim(folder, pid=1, started=1, at=1), "to be run, and nobody can")
    finally:
        os.close(folder)
    return found
