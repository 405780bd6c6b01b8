"""The kept corpus, and some of what lies around it. `make fuzz` looks further, guided by coverage."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.targets import TARGETS, kept, target
from tests.fuzz.watch import run

SIZES = 16 * 1024
"""Bytes of a kept file."""


@pytest.mark.parametrize("name", TARGETS)
def test_the_kept_corpus(name: str) -> None:
    files = kept(name)
    assert files, "a target without a corpus"
    for path in files:
        assert path.stat().st_size <= SIZES, path.name
        run(name, target(name), path.read_bytes())


@st.composite
def around(draw: st.DrawFn, name: str) -> bytes:
    """Two of the corpus, cut and joined, and some bytes changed."""
    files = st.sampled_from([path.read_bytes() for path in kept(name)])
    one, other = draw(files), draw(files)
    made = bytearray(one[: draw(st.integers(0, len(one)))] + other[draw(st.integers(0, len(other))) :])
    for place in draw(st.lists(st.integers(0, max(0, len(made) - 1)), max_size=4)):
        made[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(made)


@pytest.mark.parametrize("name", TARGETS)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_around_the_corpus(name: str, data: st.DataObject) -> None:
    run(name, target(name), data.draw(around(name)))


def test_no_corpus_without_its_target() -> None:
    assert {path.name for path in kept("")} == set(TARGETS)
