"""Where windows ended, by what was journalled (W1)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tuning.plainly import trigger

from rollbackd.core import events as e
from rollbackd.core.model import Ms
from rollbackd.core.record import JournalBroken
from rollbackd.tuning.grids import grids, learned


def aligned(
    align: Ms, since: Ms, *, group: str = "api", interval: Ms = 10, targets: int = 1
) -> e.AlignmentLearned:
    return e.AlignmentLearned(
        at=since, group=group, interval=interval, align=align, since=since, why="learned", targets=targets,
        observations=4, spread=0, took=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("known", "begin", "end", "expected"),
    [
        ([], 0, 40, [[10, 20, 30, 40]]),
        ([], 1, 39, [[20, 30]]),
        ([], 5, 14, []),
        # The last window of the old grid ended at `since`; the next begins there or later.
        ([aligned(3, 20)], 0, 50, [[10, 20], [33, 43]]),
        ([aligned(3, 20)], 20, 50, [[33, 43]]),
        ([aligned(3, 20)], 23, 50, [[33, 43]]),
        ([aligned(3, 20)], 24, 50, [[43]]),
        ([aligned(3, 20)], 0, 20, [[10, 20]]),
        ([aligned(3, 20), aligned(7, 43)], 0, 70, [[10, 20], [33, 43], [57, 67]]),
        ([aligned(3, 20), aligned(7, 43)], 44, 70, [[57, 67]]),
        ([aligned(3, 20), aligned(0, 45, targets=0)], 0, 60, [[10, 20], [33, 43], [60]]),
        ([aligned(3, 20, group="other"), aligned(4, 20, interval=20)], 0, 30, [[10, 20, 30]]),
    ],
)
def test_each_alignment_has_a_grid(
    known: list[e.AlignmentLearned], begin: Ms, end: Ms, expected: list[list[Ms]]
) -> None:
    found = grids(trigger(interval=10, auto_align=True), known, begin, end)
    assert [list(ends) for ends in found] == expected


def test_a_fixed_align_is_not_learned() -> None:
    found = grids(trigger(interval=10, align=4), [aligned(3, 20)], 0, 30)
    assert [list(ends) for ends in found] == [[14, 24]]


def test_no_journal_is_told_from_a_broken_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        learned(tmp_path / "journal.db")
    (tmp_path / "journal.db").write_bytes(b"no database" * 1_000)
    with pytest.raises(JournalBroken, match=r"journal\.db"):
        learned(tmp_path / "journal.db")
