"""Fires against incidents: what belongs to what, and why something was missed."""

from __future__ import annotations

import pytest
from tests.fakes import made
from tests.fakes.made import INTERVAL, MINUTE, START

from rollbackd.sim.replay.outcome import Fire, Hidden, Outcome
from rollbackd.tuning.scoring import Incident, Masked, score

WEEK_OF_WINDOWS = 7 * 24 * 60 * 6


def at(minutes: float) -> int:
    return START + int(minutes * MINUTE)


def outcome(fires: list[float], hidden: list[float] = []) -> Outcome:  # noqa: B006
    """A week of windows of 10 s; fires and hidden ones by their minute."""
    last = START + (WEEK_OF_WINDOWS - 1) * INTERVAL
    return Outcome(
        trigger=made.trigger(),
        ends=(START, last),
        windows=WEEK_OF_WINDOWS,
        subjects=(),
        fires=tuple(Fire(at(minute), ("",), ("2",), "auto") for minute in fires),
        hidden=tuple(Hidden(at(minute), "", at(minute - 20), "cooldown") for minute in hidden),
        peaks=(),
    )


@pytest.mark.parametrize(
    ("fires", "incidents", "caught", "missed", "false"),
    [
        ([], [], [], 0, 0),
        ([100], [], [], 0, 1),
        ([], [(100, 110)], [], 1, 0),
        ([100], [(100, 110)], [0], 0, 0),
        ([85], [(100, 110)], [15], 0, 0),
        ([84.9], [(100, 110)], [], 1, 1),  # too early to be of it
        ([110], [(100, 110)], [-10], 0, 0),
        ([111], [(100, 110)], [], 1, 1),
        ([101, 109], [(100, 110)], [-1], 0, 0),  # the first counts, and the second is not false
        ([100], [(95, 110), (105, 120)], [-5, 5], 0, 0),  # a fire of both
        ([100, 300], [(95, 110), (200, 210)], [-5], 1, 1),
    ],
)
def test_what_belongs_to_what(
    fires: list[float],
    incidents: list[tuple[float, float]],
    caught: list[float],
    missed: int,
    false: int,
) -> None:
    found = score(outcome(fires), [Incident(at(start), at(end)) for start, end in incidents])
    assert [each.lead / MINUTE for each in found.caught] == caught
    assert (len(found.missed), len(found.false), found.false_a_week) == (missed, false, false)


@pytest.mark.parametrize(
    ("fires", "incidents", "precision", "recall", "lead"),
    [
        ([], [], None, None, None),
        ([], [(100, 110)], None, 0.0, None),
        ([100], [], 0.0, None, None),
        ([99, 500, 600, 700], [(100, 110), (200, 210)], 0.25, 0.5, 1),
        ([99, 202, 305], [(100, 110), (200, 210), (300, 310)], 1.0, 1.0, -2),
        ([99, 202], [(100, 110), (200, 210)], 1.0, 1.0, -0.5),
    ],
)
def test_in_numbers(
    fires: list[float],
    incidents: list[tuple[float, float]],
    precision: float | None,
    recall: float | None,
    lead: float | None,
) -> None:
    found = score(outcome(fires), [Incident(at(start), at(end)) for start, end in incidents])
    assert (found.precision, found.recall) == (precision, recall)
    assert found.lead == (None if lead is None else lead * MINUTE)


def test_missed_because_a_fire_before_it_had_disarmed_the_subject() -> None:
    first, second, third = (Incident(at(start), at(start + 10)) for start in (100, 115, 200))
    found = score(outcome([101], hidden=[117]), [first, second, third], early=0)
    assert found.missed == (second, third)
    assert [(each.incident, each.hidden.end) for each in found.masked] == [(second, at(117))]
    assert isinstance(found.masked[0], Masked)


def test_what_lies_outside_the_windows_is_not_missed() -> None:
    before, after = Incident(at(-30), at(-20)), Incident(at(9e4), at(9.1e4))
    partly = Incident(at(-10), at(1))
    found = score(outcome([]), [before, partly, after])
    assert found.missed == (partly,)
    assert found.outside == (before, after)
    assert found.recall == 0.0
