"""SIGKILL before and after every journal append of a three-phase rollback (fault 1, X3, I3, I12)."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.daemon.one_life import STEPS

from rollbackd.app.restore import code_version, restore
from rollbackd.core.events import StepEnded
from rollbackd.core.fold import fold_life
from rollbackd.journal.sqlite import SqliteJournal
from rollbackd.journal.statedir import read_uuid

ROOT = Path(__file__).parents[2]
MOST_APPENDS = 40


def live(folder: Path, die_at: int = 0, when: str = "never") -> int:
    command = [sys.executable, "-m", "tests.daemon.one_life", str(folder), str(die_at), when]
    return subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode


def is_whole(folder: Path) -> int:
    """The life ended verified, each step started once, and two folds agree; returns the appends."""
    assert (folder / "marks").read_text().split() == list(STEPS)
    journal = SqliteJournal(folder / "journal.db", origin=read_uuid(folder), code=code_version())
    try:
        rows = journal.events(0, 10_000)
        life = fold_life((row.event for row in rows if row.event is not None), "api-1")
        assert life is not None
        assert life.state == "verified"
        outcomes = [row.event.outcome for row in rows if isinstance(row.event, StepEnded)]
        # A first step ordered before the crash may be too old by now: it was refused and never ran (W7).
        assert sorted(set(outcomes) - {"refused"}) == ["exited"]
        assert outcomes.count("exited") == len(STEPS)
        first, second = restore(journal), restore(journal)
        assert msgspec.msgpack.encode(first.state) == msgspec.msgpack.encode(second.state)
        assert journal.verify().ok
        return len({row.batch for row in rows})
    finally:
        journal.close()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("part", range(4))
def test_every_append(tmp_path: Path, when: str, part: int) -> None:
    """Each append is one run: killed there, started again, and as if nothing had been."""
    whole = tmp_path / "whole"
    assert live(whole) == 0
    appends = is_whole(whole)
    assert appends < MOST_APPENDS
    for append in range(1 + part, appends + 1, 4):
        folder = tmp_path / f"{when}-{append}"
        status = live(folder, append, when)
        if status == 0:
            continue  # this run needed fewer appends: batches depend on what arrives together
        assert status == -signal.SIGKILL
        assert live(folder) == 0
        is_whole(folder)
