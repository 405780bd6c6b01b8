"""Incidents: the file, to the letter of its errors, and an alert that was on."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.made import MINUTE, SECOND, START

from rollbackd.config.problem import ConfigErrors
from rollbackd.core.effects import WindowQuery
from rollbackd.core.history import Column, no_answers, windows
from rollbackd.core.model import Ms
from rollbackd.tuning.incidents import from_series, read_incidents
from rollbackd.tuning.scoring import Incident

NOON: Ms = 1_793_534_400_000
"""2026-11-01T12:00:00Z"""


def file(folder: Path, *lines: str) -> Path:
    path = folder / "incidents.yml"
    path.write_text("\n".join(["version: rollbackd/v1", *lines, ""]))
    return path


def test_a_file_is_read_by_starts(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "incidents:",
        "  - {start: 2026-11-01T13:00:00+01:00, end: 2026-11-01T12:00:01.5Z, note: the mill}",
        "  - start: 2026-11-01 11:00Z",
        "    end: 2026-11-01T14:30:00Z",
    )
    assert read_incidents(path) == (
        Incident(NOON - 60 * MINUTE, NOON + 150 * MINUTE),
        Incident(NOON, NOON + 1_500, "the mill"),
    )


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            "{start: 2026-11-01T10:00:00, end: 2026-11-01T11:00:00Z}",
            '3:13: start: "2026-11-01T10:00:00" has no time zone; '
            "end it with Z for UTC, or an offset such as +01:00",
        ),
        (
            "{start: yesterday, end: 2026-11-01T11:00:00Z}",
            '3:13: start: expected a moment, got "yesterday"; write it like 2026-11-01T10:00:00Z',
        ),
        (
            "{start: 1793534400, end: 2026-11-01T11:00:00Z}",
            "3:13: start: expected a moment, got 1793534400; write it like 2026-11-01T10:00:00Z",
        ),
        (
            "{start: 2026-02-30T10:00:00Z, end: 2026-11-01T11:00:00Z}",
            '3:13: start: there is no "2026-02-30T10:00:00Z" (day is out of range for month); '
            "write a moment that there was",
        ),
        (
            "{start: 2026-11-01T10:00:00Z, end: 2026-11-01T10:00:00Z}",
            "3:40: end: is not after the start; correct one of them",
        ),
        (
            "{start: 2026-11-01T10:00:00Z, end: 2026-11-01T11:00:00Z, why: cable}",
            "3:62: why: unknown key; remove it; known are start, end, note",
        ),
        (
            "{start: 2026-11-01T10:00:00Z}",
            "3:5: end: is missing; add `end:` (when it was right again, after the start)",
        ),
    ],
)
def test_what_is_wrong_with_a_file(entry: str, said: str, tmp_path: Path) -> None:
    path = file(tmp_path, "incidents:", f"  - {entry}")
    with pytest.raises(ConfigErrors) as caught:
        read_incidents(path)
    assert str(caught.value) == f"{path}:{said}"


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = file(tmp_path, "incidents:", "  - {start: 1, end: 2}", "  - {start: 3, end: 4}")
    with pytest.raises(ConfigErrors) as caught:
        read_incidents(path)
    assert len(caught.value.problems) == 4


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="cannot be read"):
        read_incidents(tmp_path / "none.yml")


@pytest.mark.parametrize(
    ("step", "tape", "expected"),
    [
        (MINUTE, "..11..", [(2, 4)]),
        (MINUTE, "1", [(0, 1)]),
        (MINUTE, "11.....11", [(0, 9)]),  # off for 5 minutes
        (MINUTE, "11......11", [(0, 2), (8, 10)]),
        (10 * MINUTE, "1..1...1", [(0, 4), (7, 8)]),  # two steps
        (MINUTE, "1_0N1", [(0, 5)]),  # 0, NaN and absence are off
        (MINUTE, "0000", []),
    ],
)
def test_an_alert_that_was_on(step: Ms, tape: str, expected: list[tuple[int, int]]) -> None:
    ends = windows(START, START + (len(tape) - 1) * step, step)
    history = no_answers((WindowQuery("ALERTS"),), ends)
    column = history.columns[0]["alertname=Errors"] = Column(len(tape))
    for number, glyph in enumerate(tape):
        if glyph in "10N":
            column.put(number, {"1": 1.0, "0": 0.0, "N": float("nan")}[glyph])
    assert from_series(history) == tuple(
        Incident(START + first * step, START + last * step, "alertname=Errors") for first, last in expected
    )


def test_each_series_by_itself() -> None:
    history = no_answers((WindowQuery("ALERTS"),), windows(START, START + 3 * SECOND, SECOND))
    for name, at in (("late", 2), ("soon", 0)):
        history.columns[0][name] = Column(4)
        history.columns[0][name].put(at, 1.0)
    assert [(each.note, each.start - START) for each in from_series(history)] == [
        ("soon", 0),
        ("late", 2 * SECOND),
    ]
