"""Many texts read as numbers at once are equal to what `float` makes of each; or none is read."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rollbackd.core.notation import numbers

WRITTEN = st.one_of(
    st.floats().map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map("{:.15g}".format),
    st.floats(allow_nan=False, allow_infinity=False).map("{:e}".format),
    st.integers().map(str),
    st.from_regex(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["NaN", "+Inf", "-Inf", "+1", ".5", "5.", "007", "-0", "1e999"]),
)
ODD = st.sampled_from(
    ["", " 1", "1\n", "1_0", "1,2", "[1", "2]", "1],[2", "null", "true", '"1"', "\udc80", "١"]
)


def read(texts: list[str], how: Callable[[list[str]], list[float]]) -> list[float | None] | None:
    try:
        return [None if isnan(found) else found for found in how(texts)]
    except ValueError:
        return None


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(st.one_of(st.lists(WRITTEN), st.lists(st.one_of(WRITTEN, ODD), max_size=4)))
@example(["1,2", ""])
@example(["[1", "2]"])
@example([" 1", "2"])
def test_what_float_makes_of_each(texts: list[str]) -> None:
    assert read(texts, numbers) == read(texts, lambda each: list(map(float, each)))
