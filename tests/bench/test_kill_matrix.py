"""The kill matrix's one judge, against tables: what it lets pass, nobody would see."""

from __future__ import annotations

import pytest
from bench.kill_matrix.judge import STEPS, Evidence, Run, judge

ILL = [(0.0, 14.0)]  # cured when revert ends
DRAIN, REVERT, RESTORE = (
    Run("drain", 10, 12, ok=True),
    Run("revert", 12, 14, ok=True),
    Run("restore", 14, 16, ok=True),
)
GOOD = [DRAIN, REVERT, RESTORE]


def evidence(
    runs: list[Run], pages: tuple[float, ...] = (), due: tuple[str, ...] = STEPS, fault: float | None = None
) -> Evidence:
    return Evidence(runs, ILL, pages, due, fault)


CELLS = {
    "a good rollback owes no page": (evidence(GOOD), []),
    "nothing was due and nothing done": (evidence([], due=()), []),
    "the order of the marks does not matter": (evidence([RESTORE, DRAIN, REVERT]), []),
    "begun again after the revert: stale, whatever the metric shows": (
        evidence([*GOOD, Run("drain", 20, 22, ok=True)]),
        ["acted on stale facts 1×", "drain 2×"],
    ),
    "begun again while still ill: twice, and not stale": (
        evidence([Run("drain", 5, 6, ok=True), *GOOD]),
        ["drain 2×"],
    ),
    "a later step of a rollback begun in time is not stale": (evidence(GOOD, fault=11), []),
    "at the very end of one, the next begins": (
        evidence([DRAIN, Run("revert", 12, 14, ok=True), RESTORE]),
        [],
    ),
    "two at a time": (
        evidence([Run("drain", 10, 12.5, ok=True), REVERT, RESTORE]),
        ["1 overlaps"],
    ),
    "one that never ends overlaps all that follow": (
        evidence([DRAIN, Run("revert", 12, None, ok=False), RESTORE], pages=(15.0,), due=("drain",)),
        ["1 overlaps", "1 left running"],
    ),
    "lost, and nobody is told": (evidence([DRAIN]), ["lost revert, restore", "silent"]),
    "lost, told only before the harm": (
        evidence([DRAIN], pages=(9.0,), fault=12.0),
        ["lost revert, restore", "told only of the breach"],
    ),
    "lost, and told after the harm": (evidence([DRAIN], pages=(12.0,), fault=12.0), ["lost revert, restore"]),
    "a failed step that was to fail is no loss, but owes a page": (
        evidence([DRAIN, Run("revert", 12, 13, ok=False)], due=("drain",)),
        ["silent"],
    ),
    "killed in mid-step and done by another attempt: twice, and a page is owed": (
        evidence([DRAIN, Run("revert", 12, 13, ok=False), Run("revert", 13, 14, ok=True), RESTORE]),
        ["revert 2×", "silent"],
    ),
}


@pytest.mark.parametrize("name", CELLS)
def test_what_a_cell_says(name: str) -> None:
    given, faults = CELLS[name]
    assert judge(given).faults == faults


def test_starts_are_of_every_step() -> None:
    assert judge(evidence([DRAIN])).starts == {"drain": 1, "revert": 0, "restore": 0}
