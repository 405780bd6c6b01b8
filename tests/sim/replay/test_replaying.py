"""Tapes of a whole replay: what would have fired, what that hid, how near the rest came (W4–W8, W14)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.fakes import made
from tests.fakes.made import INTERVAL, MINUTE, SECOND, START
from tests.sim.replay.histories import (
    CONDITIONS,
    COVERED,
    PLAIN,
    RATIO,
    TRAFFIC,
    learned,
    number,
    of,
    replayed,
)
from tests.sim.replay.test_passing import SUBJECTS, stretch, tapes, triggers

from rollbackd.core.history import History, no_answers
from rollbackd.core.model import Ms
from rollbackd.sim.replay.outcome import Outcome
from rollbackd.sim.replay.replaying import replay


def fires(outcome: Outcome) -> list[int]:
    return [number(fire.end) for fire in outcome.fires]


@pytest.mark.parametrize(
    ("tape", "trigger", "expected"),
    [
        ("BB.BBB", {}, [6]),
        ("BB_B", {}, [4]),
        ("BB___B", {}, [6]),  # the keep budget: at most `windows`
        ("BB____B", {}, []),
        ("BB_BBB", {"no_data": "reset"}, [6]),
        ("BB_", {"no_data": "breach"}, [3]),
        ("BB_.BB", {"no_data": "ok"}, []),
        ("BBUB", {}, [4]),
        ("BBLB", {"condition": TRAFFIC}, [4]),  # low traffic is kept, whatever `no_data` says
        ("BBLB", {"condition": TRAFFIC, "no_data": "reset"}, [4]),
        ("BBpB", {"condition": COVERED}, [4]),  # without its sample inside (W14)
        ("BBB", {"condition": RATIO}, [3]),
        ("BBB", {"condition": CONDITIONS["all"]}, [3]),
        ("BBLB", {"condition": CONDITIONS["all"]}, [3]),  # the plain part of `any` breaches (W10)
        ("BBB.BB", {"condition": CONDITIONS["any"]}, [3]),
        ("BB?B", {}, [4]),  # never answered: no_data (W6)
        ("BB??", {"no_data": "breach"}, []),  # judged only when Prometheus answers again, which it did not
        ("BB?.BBB", {"no_data": "breach"}, [7]),  # the third breach is seen beside the ok after it
        ("B", {"windows": 1}, [1]),
        ("BBBBBB", {"windows": 5, "delay": 25 * SECOND}, [5]),
    ],
)
def test_when_it_would_have_fired(tape: str, trigger: dict[str, Any], expected: list[int]) -> None:
    assert fires(replayed(tape, **trigger)) == expected


@pytest.mark.parametrize(
    ("tape", "cooldown", "expected", "hidden"),
    [
        ("BBBBBBBB", 0, [3], []),  # still the streak that fired
        ("BBB.BBB", 0, [3], [(7, 3, "cooldown")]),  # armed just after window 4 ended: 5 does not count
        ("BBB.BBBB", 0, [3, 8], [(7, 3, "cooldown")]),
        ("BBB..BBB", 0, [3, 8], []),
        ("BBB.BBB..BBB", 5 * INTERVAL, [3], [(7, 3, "cooldown"), (12, 3, "cooldown")]),
        ("BBB.BBB...BBB", 5 * INTERVAL, [3, 13], [(7, 3, "cooldown")]),
        ("BBB.BBBBBBBBB", 5 * INTERVAL, [3, 13], [(7, 3, "cooldown")]),  # armed amid a streak: counts anew
        ("BBB_BBB", 0, [3], []),  # kept: one streak
        ("BBB____BBB", 0, [3], [(10, 3, "streak")]),  # nobody saw the first one end
        ("BBB____BBB.", 0, [3], [(10, 3, "streak")]),
    ],
)
def test_a_fire_disarms_as_when_shadowed(
    tape: str, cooldown: Ms, expected: list[int], hidden: list[tuple[int, int, str]]
) -> None:
    """W8's table: streak ended, then the cooldown."""
    outcome = replayed(tape, cooldown=cooldown)
    assert fires(outcome) == expected
    assert [(number(one.end), number(one.by), one.why) for one in outcome.hidden] == hidden


@pytest.mark.parametrize(
    ("tape", "expected", "longest", "streak"),
    [
        ("BB.B..BB_.", [(2, 2), (8, 2), (4, 1)], 2, 0),
        ("BBBBB.BB.", [(8, 2)], 5, 0),  # what fired is no near miss, and goes on counting
        ("BBB.BBB.B", [], 3, 1),  # nor what that hid, nor what is open still
        ("BB____", [(2, 2)], 2, 0),
        ("BB__", [], 2, 2),
    ],
)
def test_how_near_it_came(tape: str, expected: list[tuple[int, int]], longest: int, streak: int) -> None:
    outcome = replayed(tape)
    assert [(number(peak.end), peak.count) for peak in outcome.peaks] == expected
    (subject,) = outcome.subjects
    assert (subject.longest, subject.streak) == (longest, streak)


@pytest.mark.parametrize(
    ("tape", "trigger", "expected"),
    [
        ("..BBN.", {}, [(1, 2, "ok"), (3, 2, "breach"), (5, 1, "no_data"), (6, 1, "ok")]),
        (".L.", {"condition": TRAFFIC}, [(1, 1, "ok"), (2, 1, "low_traffic"), (3, 1, "ok")]),
        ("?.U.", {}, [(1, 1, "no_data"), (2, 1, "ok"), (3, 1, "unknown"), (4, 1, "ok")]),
        (40 * "?", {}, [(1, 40, "no_data")]),
        ("_.", {}, [(1, 1, "no_data"), (2, 1, "ok")]),
        (".??", {}, [(1, 1, "ok"), (2, 2, "no_data")]),
        (".pp.", {"condition": COVERED}, [(1, 1, "ok"), (2, 2, "no_data"), (4, 1, "ok")]),
        (".p", {"condition": COVERED}, [(1, 1, "ok"), (2, 1, "no_data")]),
        ("." + 40 * "?" + ".", {}, [(1, 1, "ok"), (2, 40, "no_data"), (42, 1, "ok")]),  # more than is kept
    ],
)
def test_the_time_in_each_verdict(tape: str, trigger: dict[str, Any], expected: list[Any]) -> None:
    outcome = replayed(tape, **trigger)
    (subject,) = outcome.subjects
    assert [(number(run.first), run.windows, run.verdict) for run in subject.runs] == expected
    assert sum(subject.verdicts.values()) == outcome.windows == len(tape)
    assert outcome.partial == tape.count("p")


def test_subjects_appear_and_go() -> None:
    """From its first window on each window has a verdict, also those in which it is gone (W5)."""
    outcome = replayed({"a": "..BBB.", "b": "_._B.B", "c": "BB____"}, windows=2)
    runs = {
        subject.key: [(number(run.first), run.windows, run.verdict) for run in subject.runs]
        for subject in outcome.subjects
    }
    assert runs == {
        "a": [(1, 2, "ok"), (3, 3, "breach"), (6, 1, "ok")],
        "b": [(2, 1, "ok"), (3, 1, "no_data"), (4, 1, "breach"), (5, 1, "ok"), (6, 1, "breach")],
        "c": [(1, 2, "breach"), (3, 4, "no_data")],
    }
    assert [(number(fire.end), fire.subjects, fire.values) for fire in outcome.fires] == [
        (2, ("c",), ("2",)),
        (4, ("a",), ("2",)),
    ]
    assert outcome.subjects[0].labels == {"pod": "a"}


def test_subjects_that_fire_at_once_are_one_fire() -> None:
    outcome = replayed({"a": "BBB", "b": "BBB"})
    assert [fire.subjects for fire in outcome.fires] == [("a", "b")]


@pytest.mark.parametrize(
    ("trigger", "max_action", "expected"),
    [
        ({"action": "auto"}, "auto", ("auto", ())),
        ({"action": "shadow", "enforced": "auto_with_warning"}, "auto", ("auto_with_warning", ())),
        ({"action": "auto", "arm": "rollout"}, "ask", ("ask", ("max_action is ask",))),
        ({"action": "ask"}, "auto_with_warning", ("ask", ("max_action is auto_with_warning",))),
    ],
)
def test_what_would_have_come_of_it(trigger: dict[str, Any], max_action: Any, expected: Any) -> None:
    one = made.trigger(**trigger)
    (fire,) = replay(one, [of(one, "BBB")], max_action=max_action).fires
    assert (fire.action, fire.lowered) == expected


def test_a_composed_fire_says_all_of_its_readings() -> None:
    (fire,) = replayed("BBB", condition=CONDITIONS["all"]).fires
    assert fire.values == ("2, 2/9, 2",)


def test_it_says_how_far_it_is() -> None:
    said: list[int] = []
    one = made.trigger()
    replay(one, [of(one, 300 * "." + 2500 * "B" + 700 * ".")], progress=said.append)
    assert said == sorted(said)
    assert said[-1] == 3500
    assert len(said) >= 3


def test_answers_to_other_queries_are_refused() -> None:
    one, other = made.trigger(condition=PLAIN), made.trigger(condition=RATIO)
    with pytest.raises(ValueError, match="not the answers"):
        replay(one, [of(other, "BBB")])
    with pytest.raises(ValueError, match="needs windows"):
        replay(one, [no_answers((), range(0))])
    with pytest.raises(ValueError, match="no window of errors ends at"):
        replay(one, [of(replace(one, align=SECOND), "BBB")])


# Stretches


def cut(history: History, at: int) -> list[History]:
    """The same in two."""
    parts = []
    for begin, end in ((0, at), (at, len(history.ends))):
        part = no_answers(history.queries, history.ends[begin:end])
        part.failed.update(
            {index - begin: why for index, why in history.failed.items() if begin <= index < end}
        )
        for columns, found in zip(history.columns, part.columns, strict=True):
            for subject, column in columns.items():
                copy = found[subject] = type(column)(end - begin)
                for window in range(begin, end):
                    if column.there[window]:
                        copy.put(window - begin, column.values[window])
        parts.append(part)
    return parts


def test_cut_where_everybody_is_gone() -> None:
    """The second part begins with nobody, as if nothing had changed."""
    one = made.trigger(per=("pod",), no_data="breach")
    whole = of(one, {"a": "....______.", "b": "....___.___"})
    assert fires(replay(one, [whole])) == [7]
    assert replay(one, cut(whole, 4)) == replay(one, [whole])


@settings(max_examples=60)
@given(st.lists(stretch, min_size=2, max_size=8), triggers, st.floats(0.01, 0.99))
def test_cut_in_two_it_is_the_same(stretches: list[Any], fields: Any, part: float) -> None:
    one = made.trigger(per=("pod",), **fields)
    whole = of(one, tapes(stretches, SUBJECTS))
    at = min(max(int(len(whole.ends) * part), 1), len(whole.ends) - 1)
    assert replay(one, cut(whole, at)) == replay(one, [whole])


def test_where_windows_are_missing_no_streak_spans_them() -> None:
    one = made.trigger()
    outcome = replay(one, [of(one, "..BB"), of(one, "B.BB", first=100)])
    assert outcome.fires == ()
    assert outcome.windows == 8
    (subject,) = outcome.subjects
    assert [(number(run.first), run.windows, run.verdict) for run in subject.runs] == [
        (1, 2, "ok"),
        (3, 2, "breach"),
        (100, 1, "breach"),
        (101, 1, "ok"),
        (102, 2, "breach"),
    ]


def test_a_subject_that_does_not_outlast_the_hole_is_gone() -> None:
    one = made.trigger(per=("pod",))
    outcome = replay(one, [of(one, {"a": "..", "b": ".."}), of(one, {"a": ".."}, first=50)])
    runs = {each.key: [(run.windows, run.verdict) for run in each.runs] for each in outcome.subjects}
    assert runs == {"a": [(2, "ok"), (2, "ok")], "b": [(2, "ok"), (2, "no_data")]}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("....", "..BBB.", [5]),
        ("...B", "BB", [2]),  # a streak goes on where windows are moved, as they never are live
        ("...?", ".BBB", [4]),
        ("..BB", "....", []),
    ],
)
def test_windows_end_where_the_journal_says(before: str, after: str, expected: list[int]) -> None:
    """W1: each stretch has the grid that was in force."""
    align = 3 * SECOND
    one = made.trigger(auto_align=True)
    since = START + len(before) * INTERVAL
    event = learned(one, since, align)
    moved = of(replace(one, align=INTERVAL + align), after, first=len(before))
    assert moved.ends[0] == since + INTERVAL + align
    outcome = replay(one, [of(one, before), moved], alignments=[event])
    assert [moved.ends.index(fire.end) + 1 for fire in outcome.fires] == expected
    assert outcome.windows == len(before) + len(after)
    assert sum(run.windows for run in outcome.subjects[0].runs) == outcome.windows


def test_what_was_learned_before_the_first_window_is_in_force_from_it_on() -> None:
    align = 3 * SECOND
    one = made.trigger(auto_align=True, condition=COVERED)
    events = [learned(one, START - 10 * MINUTE, 7 * SECOND), learned(one, START - MINUTE, align)]
    history = of(replace(one, align=align), ".BBpB.")
    outcome = replay(one, [history], alignments=events)
    assert [history.ends.index(fire.end) + 1 for fire in outcome.fires] == [5]
    assert outcome.partial == 1
