"""What is learned from scrapes, by tables; and that no window is judged twice, whatever is learned (W1)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes import made
from tests.fakes.made import INTERVAL, SECOND, START
from tests.fakes.story import Story

from rollbackd.core import events as e
from rollbackd.core.alignment import (
    EAGERLY,
    NEEDED,
    POINTS,
    SLACK,
    Learner,
    Observation,
    Phase,
    rarely,
    settle,
    slack,
    spread_allowed,
)
from rollbackd.core.model import Ms
from rollbackd.core.signals import Scrape
from rollbackd.core.state import Alignment

Scrapes = Callable[[Ms], dict[str, Scrape]]


def scraped(every: Ms, phase: Ms, took: Ms = 20, jitter: tuple[Ms, ...] = (0,), dies: Ms = 10**15) -> Scrapes:
    """One target's newest scrape as of a moment, scraped `every` so often; `jitter` in turn."""

    def at(moment: Ms) -> dict[str, Scrape]:
        number = (min(moment, dies) - phase) // every
        began = number * every + phase + jitter[number % len(jitter)]
        if began > moment:
            began = (number - 1) * every + phase + jitter[(number - 1) % len(jitter)]
        return {"": Scrape(began, took)}

    return at


def together(**targets: Scrapes) -> Scrapes:
    return lambda moment: {name: of(moment)[""] for name, of in targets.items()}


def observed(
    scrapes: Scrapes, first: Ms = START, every: Ms = INTERVAL, count: int = NEEDED
) -> list[Observation]:
    return [Observation(at, scrapes(at)) for at in range(first, first + count * every, every)]


@pytest.mark.parametrize(
    ("scrapes", "align"),
    [
        (scraped(INTERVAL, 3_000), 3_000 + 20 + SLACK),
        (scraped(INTERVAL, 3_000, took=400), 3_000 + 400 + SLACK),
        (scraped(INTERVAL, 9_990), 10 + SLACK),  # past the end of the interval: it wraps
        (scraped(INTERVAL, 0), 20 + SLACK),
        (scraped(INTERVAL, 3_000, jitter=(0, 2, 9, 1)), 3_009 + 20 + SLACK),  # the latest counts
        (scraped(5_000, 3_000), 8_000 + 20 + SLACK),  # an interval that divides ours
        (scraped(1_000, 999, took=1), SLACK),
        (together(a=scraped(INTERVAL, 3_000), b=scraped(INTERVAL, 3_090, took=50)), 3_090 + 50 + SLACK),
        (scraped(INTERVAL, 3_000, took=4_994), 3_000 + 4_994 + SLACK),
        (scraped(INTERVAL, 3_000, took=4_996), None),  # visible only in the second half: too late to wait for
        (scraped(4_000, 3_000), None),  # does not divide
        (scraped(15_000, 3_000), None),  # slower than the windows
        (scraped(20_000, 3_000), None),
        (scraped(INTERVAL, 3_000, jitter=(0, 250)), None),  # no phase at all
        (together(a=scraped(INTERVAL, 3_000), b=scraped(INTERVAL, 3_250)), None),  # spread offsets
        (together(a=scraped(INTERVAL, 3_000), b=scraped(INTERVAL, 3_000, dies=START + 12_000)), None),
        (scraped(INTERVAL, 3_000, dies=START - 60_000), None),  # dead samples served as new (fault 32)
        (lambda _: {}, None),  # no `up`, federated, recorded
        (scraped(INTERVAL, 0, jitter=(0, 4)), None),  # it is there, it is not yet
    ],
)
def test_a_single_phase_is_found(scrapes: Scrapes, align: Ms | None) -> None:
    phase = settle(observed(scrapes), INTERVAL)
    found = None if phase is None else (START + phase.offset) % INTERVAL
    assert found == align


def test_what_comes_and_goes_at_one_point_is_found_at_another() -> None:
    scrapes = scraped(INTERVAL, 0, jitter=(0, 4))
    shifts = [
        settle(observed(scrapes, START + int(point * INTERVAL)), INTERVAL) is not None for point in POINTS
    ]
    assert shifts == [False, True, True]


def test_targets_must_be_the_same_each_time() -> None:
    seen = observed(scraped(INTERVAL, 3_000))
    seen[2] = Observation(seen[2].at, {**seen[2].scrapes, "new": seen[2].scrapes[""]})
    assert settle(seen, INTERVAL) is None


@pytest.mark.parametrize(
    ("phases", "drift"),
    [
        ((0, 0, 0, 0), 0),
        ((30, 40, 35, 30), 30),
        ((-30, -40, -35, -30), -30),
        ((30, -1, 40, 30), 0),  # not sustained
        ((7, 6, 8, 9), 6),
    ],
)
def test_drift_is_what_every_observation_shows(phases: tuple[Ms, ...], drift: Ms) -> None:
    """Observed at windows' ends: scrapes that began `SLACK` and their duration before are in place."""
    right = START + INTERVAL - 20 - SLACK
    seen = [
        Observation(START + (n + 1) * INTERVAL, {"": Scrape(right + n * INTERVAL + off, 20)})
        for n, off in enumerate(phases)
    ]
    phase = settle(seen, INTERVAL)
    assert phase is None or phase.drift == drift
    assert (phase is None) == (max(phases) > 20 + SLACK)


def test_slack_grows_with_the_interval() -> None:
    assert [slack(interval) for interval in (SECOND, 5_000, 15_000)] == [5, 10, 30]


def test_how_far_apart_scrapes_may_be() -> None:
    assert [spread_allowed(interval) for interval in (SECOND, 5_000, 60_000)] == [25, 100, 1_200]


@pytest.mark.parametrize(
    ("interval", "windows"), [(1_000, 60), (5_000, 12), (7_000, 9), (15_000, 4), (60_000, 1), (90_000, 1)]
)
def test_what_was_learned_is_looked_at_about_once_a_minute(interval: Ms, windows: int) -> None:
    assert [rarely(interval, odd) for odd in (False, True)] == [windows * interval, (windows + 1) * interval]


@pytest.mark.parametrize("every", [6_000, 7_000, 20_000, 30_000, 60_000, 70_000])
def test_rare_looks_do_not_keep_step_with_a_scrape_that_does_not_divide_the_interval(every: Ms) -> None:
    learner = Learner(made.group(), Alignment(INTERVAL, 3_025, START, 1), START)
    _, phase = probes(learner, scraped(every, 3_000), START + 30 * 60_000)
    assert phase is None


def probes(learner: Learner, scrapes: Scrapes, until: Ms) -> tuple[list[Ms], Phase | None]:
    """When it asks, until it finds a phase or time is over."""
    asked: list[Ms] = []
    now = START
    while now < until:
        ask = learner.ask(now, 0)
        if ask is not None:
            assert ask.at <= now - INTERVAL // 2, "what it asks about is visible by now"
            asked.append(ask.at)
            phase = learner.observe(Observation(ask.at, scrapes(ask.at)))
            if phase is not None:
                return asked, phase
        assert learner.due > now
        now = learner.due
    return asked, None


def test_it_learns_in_as_few_windows_as_it_needs() -> None:
    asked, phase = probes(Learner(made.group(), None, START), scraped(INTERVAL, 3_000), START + 60 * SECOND)
    assert phase is not None
    assert [b - a for a, b in pairwise(asked)] == [INTERVAL] * (NEEDED - 1)


def test_where_nothing_is_found_it_looks_elsewhere_and_then_rarely() -> None:
    learner = Learner(made.group(), None, START)
    asked, _ = probes(learner, scraped(4_000, 3_000), START + 30 * 60_000)
    points = {(at - START) % INTERVAL for at in asked}
    assert points == {int(point * INTERVAL) for point in POINTS}
    gaps = [b - a for a, b in pairwise(asked)]
    assert all(gap < 2 * INTERVAL for gap in gaps[: EAGERLY - 1])
    assert all(gap > 60 * SECOND - INTERVAL for gap in gaps[EAGERLY:])


def test_what_was_asked_before_the_windows_moved_says_nothing() -> None:
    learner = Learner(made.group(), None, START)
    ask = learner.ask(START, 0)
    assert ask is not None
    learner.follow(Alignment(INTERVAL, 3_025, START, 1))
    learner.observe(Observation(ask.at, scraped(INTERVAL, 3_000)(ask.at)))
    assert learner.seen == []


def test_a_clock_that_is_put_right_is_no_reason_to_stop_asking() -> None:
    """Fault 17."""
    learner = Learner(made.group(), None, START)
    assert learner.ask(START, 3_600_000) is not None
    assert learner.ask(learner.due, 0) is not None


# Windows, whatever is learned


@st.composite
def nights(draw: st.DrawFn) -> list[tuple[str, int]]:
    """What happens, and for how many tenths of a window."""
    kinds = ["phase", "phase", "none", "breach", "well", "silent", "restart", "late"]
    return draw(st.lists(st.tuples(st.sampled_from(kinds), st.integers(1, 60)), min_size=3, max_size=10))


@settings(max_examples=40, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(nights(), st.integers(0, INTERVAL - 1))
def test_windows_never_overlap_and_none_is_judged_twice(night: list[tuple[str, int]], phase: Ms) -> None:
    trigger = made.trigger(auto_align=True, action="shadow", windows=2)
    one = Story(made.config(trigger, groups=(made.group(),)))
    world, level, runs = one.world, {"": "0"}, [0]
    world.readings["errors"] = lambda _: level
    for kind, tenths in night:
        match kind:
            case "phase":
                world.scrapes = scraped(INTERVAL, (phase * tenths) % INTERVAL)
            case "none":
                world.scrapes = scraped(7_000, phase)
            case "breach" | "well":
                level = {"": "2" if kind == "breach" else "0"}
            case "silent":
                world.silent.append((one.now, one.now + tenths * INTERVAL // 10))
            case "restart":
                one.restart(down=tenths * SECOND)
                runs.append(len(one.judged))
            case "late":
                world.latency = 5 if world.latency > 5 else tenths * 100
        one.run(span=tenths * INTERVAL)
    for first, last in zip(runs, [*runs[1:], len(one.judged)], strict=True):
        _apart([judged.end for judged in one.judged[first:last]])
    for life in one.of(e.LifeOpened):
        _apart([window.end for window in life.firings[0].windows])


def _apart(ends: list[Ms]) -> None:
    assert all(later - end >= INTERVAL for end, later in pairwise(ends)), ends
