"""Durations and comparisons."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbackd.core.model import Limit
from rollbackd.core.notation import UNITS, parse_duration, parse_limit, span


@given(st.integers(0, 10**12))
def test_what_is_shown_is_read_as_the_same(duration: int) -> None:
    assert parse_duration(span(duration)) == duration


@given(
    st.lists(
        st.tuples(st.sampled_from(list(UNITS)), st.integers(0, 10**6)), min_size=1, unique_by=lambda p: p[0]
    )
)
def test_units_in_order_add_up(parts: list[tuple[str, int]]) -> None:
    ordered = sorted(parts, key=lambda part: -UNITS[part[0]])
    text = "".join(f"{count}{unit}" for unit, count in ordered)
    assert parse_duration(text) == sum(count * UNITS[unit] for unit, count in parts)


def refused() -> Any:
    return pytest.raises(ValueError, match="not a duration")


@given(st.text(max_size=12))
def test_any_other_text_is_refused_in_one_way(text: str) -> None:
    unless = suppress(ValueError) if re.fullmatch(r"([0-9]{1,9}(w|d|h|m|s|ms))+", text) else refused()
    with unless:
        parse_duration(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "s",
        "-1s",
        "1.5h",
        "1s1m",
        "1m1m",
        "1 m",
        "1S",
        "1y",
        " 1s",
        "1s\n",
        "٣s",
        "1e3s",
        "9999999999s",
    ],
)
def test_not_durations(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


def test_minutes_are_not_milliseconds() -> None:
    assert [parse_duration(text) for text in ("1m", "1ms", "1m1ms", "1s500ms")] == [60_000, 1, 60_001, 1_500]


@given(
    st.sampled_from([">", ">=", "<", "<=", "==", "!="]),
    st.floats(-1e9, 1e9).map(lambda value: round(value, 6)),
    st.sampled_from(["", " ", "  "]),
)
def test_comparisons(op: str, value: float, space: str) -> None:
    limit = parse_limit(f"{op}{space}{value:f}")
    assert (limit.op, limit.value) == (op, value)


@given(st.floats(allow_nan=True), st.floats(-1e6, 1e6).map(lambda value: round(value, 6)))
def test_a_limit_holds_as_its_text_says(reading: float, value: float) -> None:
    assert parse_limit(f"> {value:f}").holds(reading) is (reading > value)
    assert parse_limit(f"<= {value:f}").holds(reading) is (reading <= value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ">",
        "1",
        "=> 1",
        "> x",
        "> 1 2",
        "> NaN",
        "> Inf",
        "> 1e999",
        "> 0x1",
        "> 1,5",
        "> ٣",
        "≥ 1",
        "> 1s",
    ],
)
def test_not_comparisons(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        parse_limit(text)


def test_exponents_are_numbers_here() -> None:
    assert parse_limit("> 1e-3") == Limit(">", 0.001)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.02, "> 0.02"),
        (5.0, "> 5"),
        (1_234_567.0, "> 1234567"),
        (1 / 3, "> 0.3333333333333333"),
        (-0.5, "> -0.5"),
    ],
)
def test_a_limit_is_shown_whole(value: float, text: str) -> None:
    assert str(Limit(">", value)) == text
    assert parse_limit(text) == Limit(">", value)
