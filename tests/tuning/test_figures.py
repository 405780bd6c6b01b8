"""What is said of a backtest in a sentence."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.tuning.plainly import INTERVAL, START, score, spelled, trigger

from rollbackd.core.model import Condition, Limit
from rollbackd.tuning import backtest, figures, scoring
from rollbackd.tuning.scoring import Incident


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (0, "0s"),
        (250, "250ms"),
        (15_000, "15s"),
        (90_000, "1m30s"),
        (3_600_000, "1h"),
        (3_601_000, "1h"),
        (86_400_000 * 14, "14d"),
        (86_400_000 * 3 + 3_600_000 * 4 + 60_000, "3d4h"),
        (86_400_000 * 3 + 60_000, "3d"),
        (-45_000, "-45s"),
    ],
)
def test_durations(ms: int, said: str) -> None:
    assert figures.lasting(ms) == said


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 0, "–"),
        (0, 9, "0 %"),
        (1, 1_000_000, "< 0.1 %"),
        (999_999, 1_000_000, "> 99.9 %"),
        (1, 101, "0.99 %"),
        (2, 3, "66.7 %"),
        (9, 9, "100 %"),
    ],
)
def test_shares(part: int, whole: int, said: str) -> None:
    assert figures.share(part, whole) == said


def incident(first: int, last: int, note: str = "") -> Incident:
    """From the end of one window to that of another, counted from 1."""
    return Incident(START + first * INTERVAL, START + last * INTERVAL, note)


@pytest.mark.parametrize(
    ("tape", "known", "said"),
    [
        ("..XXX...", (incident(3, 8),), "would have fired once in 2m: 1 of 1 incident caught, 0 false."),
        ("XXX.....", (incident(30, 40),), "would have fired once in 2m: 0 of 1 incident caught, 1 false."),
        ("........", (incident(3, 8),), "would not have fired in 2m: 0 of 1 incident caught."),
        ("..XXX...", (), "would have fired once in 2m: no incidents, 1 false."),
        (
            "XXX" + "." * 9 + "XXX.",
            None,
            "would have fired twice in 4m; whether rightly, no incidents were given to tell.",
        ),
    ],
)
def test_the_first_sentence(tape: str, known: tuple[Incident, ...] | None, said: str) -> None:
    found = spelled(trigger(), canary=tape)
    scored = None if known is None else score(found, known)
    assert figures.verdict(backtest.Tested(found, score=scored)) == f"ApiErrorRatioHigh {said}"


@pytest.mark.parametrize(
    ("ms", "said"),
    [(30 * 86_400_000 - 15_000, "30d"), (7_185_000, "1h59m"), (29 * 86_400_000 + 3_600_000, "29d1h")],
)
def test_a_window_less_than_a_month_is_a_month(ms: int, said: str) -> None:
    assert figures.nearly(ms) == said


@pytest.mark.parametrize(
    ("tapes", "known", "why"),
    [
        ({"canary": ".........."}, incident(2, 8), "no window breached"),
        ({"canary": "X.XX.X...."}, incident(3, 6), "3 windows breached, 3 in a row fire"),
        (
            {"canary": "XX.X", "us": ".X"},
            incident(1, 3),
            "2 windows of one subject breached, 3 in a row fire",
        ),
        ({"canary": "..__?._..."}, incident(3, 7), "blind for 80 % of it"),
        ({"canary": "..--_-...."}, incident(2, 6), "too little traffic for 60 % of it"),
        ({"canary": ".....XXX.."}, incident(2, 6), "fired 30s after its end"),
        ({"canary": ".........."}, incident(20, 26), "nobody was seen"),
    ],
)
def test_why_an_incident_was_missed(tapes: dict[str, str], known: Incident, why: str) -> None:
    found = spelled(trigger(), **tapes)
    assert figures.missed(backtest.Tested(found, score=score(found, [known])), known) == why


def test_who_hid_the_fire_that_would_have_caught_it() -> None:
    found, known = spelled(trigger(cooldown=3_600_000), canary="XXX" + "." * 99 + "XXX."), incident(101, 105)
    assert len(found.hidden) == 1
    scored = scoring.score(found, [known, incident(900, 901)], early=0)
    tested = backtest.Tested(found, score=scored)
    assert figures.missed(tested, known) == "hidden by the fire of 2026-11-01 00:00:45"
    assert "1 incident before or after these windows: not counted." in figures.besides(tested)


def test_nothing_seen_says_nothing() -> None:
    found = replace(spelled(trigger(), canary="...."), subjects=())
    assert "saw no subject in 1m: nothing was judged" in figures.verdict(backtest.Tested(found))
    dark = spelled(trigger(), canary="__?_", us="____")
    assert "was blind for all of 1m: nothing was judged" in figures.verdict(backtest.Tested(dark))


@pytest.mark.parametrize(
    ("tapes", "said"),
    [
        ({"canary": "...."}, []),
        ({"canary": ".X.."}, []),  # one window is noise
        ({"canary": ".XX."}, ["The nearest miss was 2 of 3 windows, at {cohort=canary}."]),
        (
            {"canary": "XXX.XXX."},
            ["1 more fire would have been hidden: the subject was disarmed or cooling down."],
        ),
        ({"canary": "..__?.--"}, ["Blind (no data or unknown) for 37.5 % of the time: 45s."]),
        (
            {"canary": "....", "stable": "...?"},
            ["Blind (no data or unknown) for 12.5 % of the time, most at {cohort=stable}: 15s."],
        ),
    ],
)
def test_the_sentences_after_it(tapes: dict[str, str], said: list[str]) -> None:
    assert figures.besides(backtest.Tested(spelled(trigger(), **tapes))) == said


def test_fates() -> None:
    tape = "XXX" + "." * 9 + "XXX" + "." * 9 + "XXX."
    found = spelled(trigger(), canary=tape)
    known = (incident(2, 20, "db down"),)
    fates = figures.fates(backtest.Tested(found, score=score(found, known)))
    assert [figures.fate(fates[fire]) for fire in found.fires] == [
        "caught 15s late: “db down”",
        "again in the same incident",
        "false",
    ]
    assert figures.fates(backtest.Tested(found)) == {}


def test_the_worst_come_first() -> None:
    found = spelled(trigger(), well="........", near="XX......", fired="XXX.....", often="X.X.X.X.")
    keys = [subject.key for subject in figures.worst_first(found)]
    assert keys == ["fired", "near", "often", "well"]


@pytest.mark.parametrize(
    ("condition", "unit"),
    [
        (trigger().condition, "errors / total"),
        (
            Condition(
                "histogram_quantile(.99, rate(http_request_duration_seconds_bucket[5m]))", Limit(">", 1)
            ),
            "seconds",
        ),
        (Condition("rate(process_cpu_seconds_total[5m])", Limit(">", 1)), ""),
        (Condition("node_memory_free_bytes", Limit("<", 1)), "bytes"),
        (Condition("a_bytes / b_seconds", Limit("<", 1)), ""),
        (Condition("up", Limit("<", 1)), ""),
    ],
)
def test_units(condition: Condition, unit: str) -> None:
    assert figures.unit(condition) == unit
