"""What is passed over changes nothing: the outcome is that of every window judged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.fakes import made
from tests.fakes.made import INTERVAL, MINUTE, SECOND, START
from tests.sim.replay.histories import CONDITIONS, learned, of

from rollbackd.core.judging import EVERYONE, judge
from rollbackd.core.model import OPERATORS, Limit
from rollbackd.core.signals import Unreachable
from rollbackd.sim.replay.passing import busy
from rollbackd.sim.replay.replaying import replay

SUBJECTS = ["a", "b", "c"]
GLYPHS = "...BBBNILVMZp_"

stretch = st.tuples(
    st.sampled_from(["well", "well", "mixed", "failed"]),
    st.integers(1, 14),
    st.lists(st.sampled_from(GLYPHS), min_size=3, max_size=3),
    st.sampled_from("?U"),
)


def tapes(stretches: list[Any], subjects: list[str]) -> dict[str, str]:
    """Long stretches of the same, most of them well, as months are."""
    rows = dict.fromkeys(subjects, "")
    for kind, length, glyphs, failure in stretches:
        for subject, glyph in zip(subjects, glyphs, strict=False):
            letter = {"well": ".", "mixed": glyph, "failed": failure}[kind]
            rows[subject] += letter * (3 * length if kind == "well" else length)
    return rows


triggers = st.fixed_dictionaries(
    {
        "condition": st.sampled_from(list(CONDITIONS.values())),
        "windows": st.integers(1, 3),
        "no_data": st.sampled_from(["keep", "reset", "breach", "ok"]),
        "cooldown": st.sampled_from([0, SECOND, 4 * INTERVAL, 4 * INTERVAL + 3 * SECOND, 11 * INTERVAL]),
        "delay": st.sampled_from([0, 3 * SECOND, 25 * SECOND]),
        "align": st.sampled_from([0, 3 * SECOND]),
    }
)


@settings(max_examples=150)
@given(
    st.lists(stretch, min_size=2, max_size=12),
    st.sampled_from([SUBJECTS, SUBJECTS[:1], [""]]),
    triggers,
    st.sampled_from(["", EVERYONE]),
    st.booleans(),
)
@example(
    [("well", 3, [], ""), ("mixed", 1, "..B", ""), ("well", 2, [], ""), ("mixed", 1, "..B", "")],
    SUBJECTS,
    {"condition": CONDITIONS["plain"], "windows": 1, "cooldown": 0, "delay": 25 * SECOND},
    "",
    False,
)
def test_passed_over_or_judged(
    stretches: list[Any], subjects: list[str], fields: Any, newest: str, aligned: bool
) -> None:
    one = made.trigger(per=() if subjects == [""] else ("pod",), **fields)
    history = of(one, tapes(stretches, subjects), newest=newest)
    events = []
    if aligned:
        events, one = [learned(one, START - MINUTE, one.align)], replace(one, auto_align=True, align=0)
    passed = replay(one, [history], alignments=events)
    assert passed == replay(one, [history], alignments=events, leap=False)


@settings(max_examples=150)
@given(
    st.lists(stretch, min_size=1, max_size=8),
    st.sampled_from(list(CONDITIONS.values())),
    st.sampled_from(sorted(OPERATORS)),
    st.sampled_from(["", EVERYONE]),
)
def test_what_is_not_busy_is_judged_ok(stretches: list[Any], condition: Any, op: Any, newest: str) -> None:
    """And covered, of the subjects of the window before."""
    condition = replace(condition, breach=Limit(op, 0.15))
    one = made.trigger(condition=condition, per=("pod",))
    history = of(one, tapes(stretches, SUBJECTS), newest=newest)
    before: set[str] = set()
    for window, flag in enumerate(busy(condition, history, 0)):
        begin = history.ends[window] - INTERVAL
        judgement = judge(condition, history.answers(window), 0, begin)
        verdicts = {}
        if not isinstance(judgement, Unreachable):
            judgement.complete((), (), aligned=False)
            verdicts = judgement.verdicts
        if not flag:
            assert not isinstance(judgement, Unreachable)
            assert judgement.problem is None
            assert not judgement.uncovered
            assert set(verdicts.values()) <= {"ok"}
            assert verdicts.keys() == before
        before = set(verdicts)


@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=CONDITIONS)
def test_all_well_is_not_busy(condition: Any) -> None:
    history = of(made.trigger(condition=condition), "....")
    assert list(busy(condition, history, 0)) == [1, 0, 0, 1]
