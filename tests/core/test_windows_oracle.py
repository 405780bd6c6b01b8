"""Generated tapes: the watch says what the oracle says, window by window (W1–W7, W13, W14)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as with_fields
from tests.core import oracle
from tests.core.oracle import Rules, Window
from tests.core.tapes import Judged, Run, Tape, play, windows_trigger

from rollbackd.core.model import composed

GLYPHS = "BBBBBB..__NLPpVM"
REACH = "........??~!"


@st.composite
def tapes(draw: st.DrawFn) -> tuple[Tape, Rules, set[int]]:
    per = draw(st.booleans())
    subjects = draw(st.sampled_from([["a"], ["a", "b"], ["a", "b", "c"]])) if per else [""]
    length = draw(st.integers(4, 24))
    windows = draw(st.integers(1, 6))
    interval = draw(st.sampled_from([5_000, 10_000, 15_000]))
    lines = [draw(st.text(GLYPHS, min_size=length, max_size=length)) for _ in subjects]
    told = draw(st.text("aaaaaaaaaaaU", min_size=length, max_size=length))
    made = [
        Window(
            {s: line[k] for s, line in zip(subjects, lines, strict=True) if line[k] != oracle.ABSENT},
            "unusable" if told[k] == "U" else "answered",
        )
        for k in range(length)
    ]
    reach = draw(st.text(REACH, min_size=length, max_size=length))
    if draw(st.booleans()):  # down for a while
        begin = draw(st.integers(0, length - 1))
        down = draw(st.integers(1, length))
        reach = (reach[:begin] + "?" * down + reach[begin + down :])[:length]
    trigger = windows_trigger(
        windows,
        draw(st.sampled_from(["keep", "keep", "reset", "breach", "ok"])),
        interval,
        draw(st.sampled_from([0, 3_000])),
        draw(st.sampled_from([0, 2_000])),
        per,
    )
    how: Any = draw(st.sampled_from(["one", "one", "all", "any"]))
    if how != "one":  # of one part, which is the same (W10)
        trigger = with_fields(trigger, condition=composed(how, [trigger.condition]))
    if "~" in reach:  # a late answer with late samples is past W14's time
        made = [_in_time(window) if at == "~" else window for window, at in zip(made, reach, strict=True)]
    backfills = draw(st.lists(st.booleans(), min_size=1, max_size=6))
    rules = Rules(windows, trigger.no_data, per, draw(st.integers(0, 3)))
    restarts = draw(st.sets(st.integers(0, length - 1), max_size=3))
    return Tape(made, reach, backfills, trigger), rules, restarts


def _in_time(window: Window) -> Window:
    return replace(window, glyphs={s: "B" if g == "P" else g for s, g in window.glyphs.items()})


@settings(max_examples=600, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(tapes())
def test_the_watch_says_what_the_oracle_says(drawn: tuple[Tape, Rules, set[int]]) -> None:
    tape, rules, restarts = drawn
    judged, runs = play(tape, rules.counts_from, restarts)
    event(f"fires: {min(sum(bool(one.satisfied) for one in judged), 3)}")
    event(f"missed: {bool(tape.otherwise)}, runs: {len(runs)}")
    for number, run in enumerate(runs):
        _check_run(tape, rules, [one for one in judged if one.run == number], run)


def _check_run(tape: Tape, rules: Rules, judged: list[Judged], run: Run) -> None:
    order = [one.index for one in judged]
    assert order == sorted(order), "windows are judged in their order"
    assert len(set(order)) + sum(_lost(order, run)) == (order[-1] - order[0] + 1 if order else 0), (
        "no window is lost"
    )
    known = _as_told(tape, judged[0].run) if judged else {}
    for place, one in enumerate(judged):
        so_far = sorted({other.index for other in judged[: place + 1]})
        complete = place + 1 == len(judged) or judged[place + 1].index != one.index
        for subject, verdict in one.verdicts.items():
            letters = oracle.history(rules, known, so_far, run.forgot, subject)
            assert verdict == oracle.verdict(known[one.index], subject), (one.index, subject)
            assert one.streaks.get(subject, 0) == oracle.streak(rules, letters), (one.index, subject, letters)
            age = one.at - tape.end(one.index)
            expected = oracle.fires(rules, letters, age, tape.trigger.interval, tape.trigger.delay)
            assert (subject in one.satisfied) == expected, (one.index, subject, letters, age)
        forgotten = any(start > one.index for start in run.forgot)
        if complete and not forgotten and known[one.index].told == "answered":
            said = {s for other in judged if other.index == one.index for s in other.verdicts}
            assert place + 1 == len(judged) or said >= set(known[one.index].glyphs), (
                "every subject has a verdict"
            )


def _lost(order: list[int], run: Run) -> list[int]:
    """How many windows were given up before each that the run began anew from."""
    return [at - max(index for index in order if index < at) - 1 for at in run.forgot if at > order[0]]


def _as_told(tape: Tape, run: int) -> dict[int, Window]:
    """The windows as this run was told of them in the end; around the tape there is nothing."""
    around = range(-20, len(tape.windows) + 4)
    told = {k: tape.windows[k] if 0 <= k < len(tape.windows) else Window({}) for k in around}
    for (number, index), otherwise in tape.otherwise.items():
        if number == run:
            told[index] = replace(told[index], told=otherwise)
    return told
