"""Fault 1: SIGKILL at any moment. What was acknowledged is there, whole batches only, and the chain holds."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.adapters.journal import writer

from rollbackd.core.record import Head
from rollbackd.journal.audit import verify_file


def run_and_kill(path: Path, size: int, appends: int, dice: random.Random) -> Head | None:
    """Let a child append, kill it a moment after its n-th acknowledgement; the last head it told."""
    command = [sys.executable, writer.__file__, "kill", str(path), str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(appends)]
        for _ in range(dice.randrange(20_000)):  # somewhere within the appends that follow
            pass
        child.kill()
        lines += child.stdout.read().splitlines(keepends=True)
    whole = [line.split() for line in lines if line.endswith("\n")]
    return Head(seq=int(whole[-1][0]), hash=whole[-1][1]) if whole else None


@pytest.mark.parametrize("size", [1, 7])
def test_every_acknowledged_row_outlives_a_kill(tmp_path: Path, size: int) -> None:
    path = tmp_path / "journal.db"
    dice = random.Random(size)
    for _ in range(8):
        acknowledged = run_and_kill(path, size, dice.randrange(1, 40), dice)
        assert verify_file(path, writer.ORIGIN, anchor=acknowledged).ok
        journal = writer.open_journal(path)
        rows = list(journal.replay())
        journal.close()
        assert len(rows) % size == 0
        assert [row.event for row in rows] == writer.batch(1, len(rows))


def test_a_kill_while_the_journal_is_created_leaves_one_that_opens(tmp_path: Path) -> None:
    for number in range(8):
        path = tmp_path / f"{number}.db"
        command = [sys.executable, writer.__file__, "kill", str(path), "1"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
            deadline = time.monotonic() + 20
            while not path.exists():
                assert time.monotonic() < deadline
            for _ in range(number * 4_000):
                pass
            child.kill()
        journal = writer.open_journal(path)
        assert journal.verify().ok
        journal.close()
