"""Many windows on few columns: nothing that matters is lost, nothing is drawn that was not."""

from __future__ import annotations

from math import inf, isfinite, nan

import pytest
from hypothesis import given
from hypothesis import strategies as some
from tests.tuning.plainly import INTERVAL, START

from rollbackd.core.model import Limit
from rollbackd.tuning.figures import VERDICTS
from rollbackd.tuning.page.columns import Columns
from rollbackd.tuning.page.scale import Times, Values
from rollbackd.tuning.page.tracks import CODES

READINGS = some.lists(some.sampled_from((nan, inf, -inf)) | some.floats(-1e9, 1e9), min_size=1, max_size=400)
TAPES = some.lists(some.sampled_from([0, *CODES.values()]), min_size=1, max_size=400)
MANY = some.integers(2, 120)


def columns(windows: int, many: int, hole: int = 0) -> Columns:
    """`hole`: so many windows are missing in the middle."""
    half = windows // 2
    ends = [START + (at + 1 + (hole if at >= half else 0)) * INTERVAL for at in range(windows)]
    return Columns(ends, Times(START, ends[-1]), INTERVAL, many)


@given(readings=READINGS, many=MANY, hole=some.integers(0, 300))
def test_the_extremes_of_all_and_of_each_column_are_drawn(
    readings: list[float], many: int, hole: int
) -> None:
    drawn = columns(len(readings), many, hole)
    bounds = [both for _, both in drawn.points(readings) if both is not None]
    finite = [reading for reading in readings if isfinite(reading)]
    assert min((low for low, _ in bounds), default=None) == min(finite, default=None)
    assert max((high for _, high in bounds), default=None) == max(finite, default=None)
    assert {bound for both in bounds for bound in both} <= set(finite)


@given(tape=TAPES, many=MANY, hole=some.integers(0, 300))
def test_each_window_lies_under_a_mark_of_its_verdict(tape: list[int], many: int, hole: int) -> None:
    drawn = columns(len(tape), many, hole)
    for code in CODES.values():
        marks = list(drawn.stretches(bytes(tape), code))
        assert all(0 <= begin <= end <= many for begin, end in marks)
        for end, verdict in zip(drawn.ends, tape, strict=True):
            place = drawn.times.share(end) * many
            assert verdict != code or any(first - 0.1 <= place <= last + 0.1 for first, last in marks)
        assert bool(marks) is (code in tape)


def test_windows_that_were_not_asked_for_are_not_drawn() -> None:
    drawn = columns(100, 40, hole=300)
    (first, second) = drawn.stretches(bytes([CODES["ok"]]) * 100, CODES["ok"])
    assert first[1] < 7
    assert second[0] > 33
    line = [both for _, both in drawn.points([1.0] * 100)]
    assert None in line[5:35]


def test_where_there_is_room_each_window_has_its_place() -> None:
    drawn = columns(4, 400)
    assert [place for place, _ in drawn.points([1, 2, 3, 4])] == [100, 200, 300, 400]
    assert list(drawn.stretches(bytes([1, 2, 2, 1]), 2)) == [(100, 300)]


@given(
    low=some.floats(-1e6, 1e6),
    high=some.floats(-1e6, 1e6),
    bound=some.floats(-1e6, 1e6).filter(lambda bound: bound == 0 or abs(bound) > 1e-9),
    readings=some.lists(some.floats(0, 1), min_size=2, max_size=20),
)
def test_a_greater_reading_never_stands_lower(
    low: float, high: float, bound: float, readings: list[float]
) -> None:
    low, high = min(low, high), max(low, high)
    values = Values(low, high, Limit(">", bound))
    shares = [values.share(low + part * (high - low)) for part in sorted(readings)]
    assert shares == sorted(shares)
    assert 0 <= values.share(low) <= values.share(high) <= 1
    assert 0 <= values.share(bound) <= 1
    assert all(0 <= share <= 1 for share, _ in values.marks())


@pytest.mark.parametrize(
    ("high", "bent", "marks"),
    [
        (0.02, False, ["0", "0.02"]),
        (0.06, True, ["0", "0.05", "0.02"]),
        (0.3, True, ["0", "0.1", "0.02"]),
        (100.0, True, ["0", "100", "1"]),
    ],
)
def test_a_scale_bends_where_its_limit_would_be_lost(high: float, bent: bool, marks: list[str]) -> None:
    values = Values(0.0, high, Limit(">", 0.01))
    assert values.bent is bent
    assert [text for _, text in values.marks()] == marks
    assert values.share(0.01) > 0.3


@pytest.mark.parametrize(
    ("begin", "length", "first", "last"),
    [
        (START, 600_000, "00:02", "00:08"),
        (START + 7_000, 60_000, "00:00:10", "00:01:00"),
        (START, 86_400_000, "03:00", "21:00"),
        (START, 3 * 86_400_000, "01 Nov 12:00", "03 Nov 12:00"),
        (START, 30 * 86_400_000, "03 Nov", "28 Nov"),
    ],
)
def test_moments_of_an_axis_are_round(begin: int, length: int, first: str, last: str) -> None:
    marks = Times(begin, begin + length).marks()
    assert (marks[0][1], marks[-1][1]) == (first, last)
    assert 3 <= len(marks) <= 9
    assert 1 <= sum(narrow for _, _, narrow in marks) <= 4


def test_codes_name_the_verdicts() -> None:
    assert [VERDICTS[code - 1] for code in CODES.values()] == list(CODES)
