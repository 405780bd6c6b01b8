"""Of a record that fails people are told, and not every second (faults 11, 13)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollbackd.app import halt
from rollbackd.journal.statedir import StateDir


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[StateDir]:
    opened = StateDir.open(tmp_path / "state", reserve=0)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("reason", "ago", "due"),
    [
        ("row 7", 0.0, False),
        ("row 7", halt.REPEAT - 60, False),
        ("row 7", halt.REPEAT + 60, True),
        ("row 7", -3_600.0, True),  # the wall clock was put back meanwhile
        ("row 8", 0.0, True),
    ],
)
def test_the_same_end_is_told_again_after_a_while_and_another_at_once(
    state_dir: StateDir, reason: str, ago: float, due: bool
) -> None:
    assert halt.due(state_dir, "row 7")
    told = time.time() - ago
    os.utime(state_dir.halt, (told, told))
    assert halt.due(state_dir, reason) == due
    assert not halt.due(state_dir, reason)


def test_what_cannot_be_remembered_is_told(state_dir: StateDir) -> None:
    state_dir.halt.mkdir()
    assert halt.due(state_dir, "row 7")
    assert halt.due(state_dir, "row 7")
