"""Tapes of one trigger: in which window it fires, and why not in another (W2–W6, W11, W13, W14)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fakes import made
from tests.fakes.made import INTERVAL, SECOND, START
from tests.fakes.story import Story, World

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.judging import judge
from rollbackd.core.model import Condition, Limit, NoData
from rollbackd.core.signals import QueryAnswer, Series, Unreachable, Unusable


def fires(tape: str, *, after: str = ".", world: World | None = None, **trigger: Any) -> int | None:
    """The number of the window that fires, counted from 1; a shadowed life tells."""
    made_trigger = made.trigger(**{"action": "shadow", **trigger})
    one = Story(made.config(made_trigger), world)
    one.tape(made_trigger, tape, after)
    one.run(span=(len(tape) + 3) * INTERVAL)
    opened = one.of(e.LifeOpened)
    return (opened[0].firings[0].end - START) // INTERVAL if opened else None


@pytest.mark.parametrize(
    ("tape", "expected"),
    [
        ("BBB", 3),
        ("BB.", None),
        ("BB.BB", None),
        ("BB.BBB", 6),
        (".BBB", 4),
        ("BB_B", 4),  # kept: neither grows nor ends (W5)
        ("B_B_B", 5),
        ("BBNB", 4),
        ("BBIB", 4),
        ("BB___B", 6),  # at most `windows` kept windows in one streak
        ("BB____B", None),
        ("BB____BBB", 9),
        ("B_B__B", 6),
        ("B_B___BB", None),
        ("BB_", None),  # a kept window is never the one that fires
        ("BB_.B", None),
        ("BBUB", 4),  # unusable counts as no_data
        ("_BBB", 4),
        ("___", None),
    ],
)
def test_three_windows_in_a_row(tape: str, expected: int | None) -> None:
    assert fires(tape) == expected


@pytest.mark.parametrize(
    ("policy", "tape", "expected"),
    [
        ("keep", "BB_B", 4),
        ("reset", "BB_B", None),
        ("reset", "BB_BBB", 6),
        ("ok", "BB_B", None),
        ("ok", "BBNBBB", 6),
        ("breach", "BB_", 3),
        ("breach", "___", 3),
        ("breach", "BBU", 3),
        ("breach", "B_.", None),
    ],
)
def test_what_no_data_does(policy: NoData, tape: str, expected: int | None) -> None:
    assert fires(tape, no_data=policy) == expected


@pytest.mark.parametrize(("windows", "expected"), [(1, 1), (2, 2), (3, 3), (6, 6), (7, None)])
def test_as_many_windows_as_the_trigger_wants(windows: int, expected: int | None) -> None:
    assert fires("BBBBBB", windows=windows) == expected


@pytest.mark.parametrize(
    ("align", "delay", "interval"),
    [(0, 0, 10_000), (3_000, 0, 10_000), (0, 4_000, 10_000), (7_000, 1_000, 15_000)],
)
def test_a_window_is_asked_at_its_own_end_and_not_before_the_delay(
    align: int, delay: int, interval: int
) -> None:
    """W1, T2."""
    trigger = made.trigger(align=align, delay=delay, interval=interval)
    one = Story(made.config(trigger))
    one.run(span=6 * interval)
    for at, ask in one.world.asked:
        assert all((end - align) % interval == 0 for end in ask.ends)
        assert at >= ask.ends[-1] + delay
    ends = [ask.ends[0] for _, ask in one.world.asked]
    assert len(ends) == len(set(ends)), "each window is asked once"


# W6: outages


@pytest.mark.parametrize(
    ("silent", "tape", "expected"),
    [
        ((1.5, 2.5), "BBB", 3),  # window 2 was missed, asked again, and counts
        ((0.5, 3.5), "BBBB", 3),  # the whole streak was missed; its last window is fresh still
        ((2.5, 5.5), "BBB...", None),  # it healed meanwhile: history, never acted on
        ((2.5, 4.5), "BBBBB", 4),
        ((2.5, 9.5), "BBBBBBBBBB", 9),  # level, not edge
        ((1.5, 3.5), "BB.BBB", 6),  # the ok that nobody saw ends the streak all the same
    ],
)
def test_an_outage_is_judged_at_its_own_times(
    silent: tuple[float, float], tape: str, expected: int | None
) -> None:
    world = World()
    world.silent = [(START + int(silent[0] * INTERVAL), START + int(silent[1] * INTERVAL))]
    assert fires(tape, world=world) == expected


def test_what_cannot_be_asked_again_is_no_data() -> None:
    """A first failure of the range query turns what is left into `no_data`."""
    world = World()
    world.silent = [(START + 15_000, START + 30_000), (START + 30_010, START + 30_020)]
    world.latency = 5
    one = Story(made.config(made.trigger(action="shadow")), world)
    one.tape(made.trigger(), "BBBB", ".")
    one.run(span=8 * INTERVAL)
    opened = one.of(e.LifeOpened)
    assert [seen.verdict for seen in opened[0].firings[0].windows] == [
        "breach",
        "no_data",
        "breach",
        "breach",
    ]


def test_a_range_query_never_reaches_further_than_a_streak_and_its_keep_budget() -> None:
    world = World()
    world.silent = [(START + SECOND, START + 100 * INTERVAL)]
    one = Story(made.config(made.trigger(windows=4)), world)
    one.run(span=110 * INTERVAL)
    longest = max(len(ask.ends) for _, ask in world.asked)
    assert longest == 2 * 4


def test_a_daemon_that_was_down_judges_the_windows_it_missed() -> None:
    one = Story(made.config(made.trigger(action="shadow")))
    one.tape(made.trigger(), "BBBB", ".")
    one.run(START + INTERVAL + SECOND)
    one.restart(down=25 * SECOND)
    one.run(span=SECOND)
    assert one.of(e.LifeOpened)[0].firings[0].streak == 3


# W2, W3: verdicts

RATIO = Condition("errors", Limit(">", 0.01), total="total", traffic="total", at_least=5.0)
PLAIN = Condition("errors", Limit(">", 0.01))
TRAFFIC = Condition("errors", Limit(">", 0.01), traffic="total", at_least=5.0)


@pytest.mark.parametrize(
    ("condition", "answers", "expected"),
    [
        (PLAIN, ({"": "0.02"},), "breach"),
        (PLAIN, ({"": "0.01"},), "ok"),
        (PLAIN, ({"": "NaN"},), "no_data"),
        (PLAIN, ({"": "+Inf"},), "no_data"),
        (PLAIN, ({"": "-Inf"},), "no_data"),
        (PLAIN, ({},), None),
        (TRAFFIC, ({"": "0.02"}, {"": "9"}), "breach"),
        (TRAFFIC, ({"": "0.02"}, {"": "4"}), "low_traffic"),
        (TRAFFIC, ({"": "0.02"}, {}), "no_data"),
        (TRAFFIC, ({}, {"": "9"}), "no_data"),
        (TRAFFIC, ({}, {"": "4"}), "low_traffic"),  # before: value absent
        (TRAFFIC, ({"": "0.02"}, {"": "NaN"}), "no_data"),
        (RATIO, ({"": "1"}, {"": "10"}), "breach"),
        (RATIO, ({}, {"": "10"}), "ok"),  # errors absent while the total exists are 0
        (RATIO, ({"": "1"}, {}), "no_data"),
        (RATIO, ({"": "1"}, {"": "4"}), "low_traffic"),
        (RATIO, ({"": "NaN"}, {"": "10"}), "no_data"),
        (RATIO, ({"": "1"}, {"": "+Inf"}), "no_data"),
    ],
)
def test_one_window_has_one_verdict(
    condition: Condition, answers: tuple[dict[str, str], ...], expected: str | None
) -> None:
    judged = judge(condition, [Series((answer,)) for answer in answers], 0, START)
    assert not isinstance(judged, Unreachable)
    assert judged.verdicts.get("") == expected


@pytest.mark.parametrize(
    ("first", "second", "unreachable"),
    [
        (Unreachable("refused"), Unusable("422"), True),
        (Unusable("422"), Unreachable("refused"), False),
        (Series(({"": "1"},)), Unreachable("refused"), True),
    ],
)
def test_unknown_comes_before_all_else(first: QueryAnswer, second: QueryAnswer, unreachable: bool) -> None:
    judged = judge(TRAFFIC, [first, second], 0, START)
    assert isinstance(judged, Unreachable) or not unreachable
    if not isinstance(judged, Unreachable):
        assert judged.problem is not None


# W14


@pytest.mark.parametrize(
    ("newest", "covered"), [(-10_000, False), (-9_999, True), (0, True), (-60_000, False), (None, False)]
)
def test_a_window_counts_only_if_its_samples_lie_inside(newest: int | None, covered: bool) -> None:
    condition = Condition("errors", Limit(">", 1.0), coverage=("newest",))
    found = {} if newest is None else {"": str((START + newest) / 1000)}
    judged = judge(condition, [Series(({"": "2"},)), Series((found,))], 0, START - 10_000)
    assert not isinstance(judged, Unreachable)
    assert ("" not in judged.uncovered) == covered


def test_a_dead_pod_does_not_blind_its_siblings() -> None:
    condition = Condition("errors", Limit(">", 1.0), coverage=("newest",))
    trigger = made.trigger(condition=condition, per=("pod",), action="shadow")
    one = Story(made.config(trigger))
    one.world.readings = {
        "errors": lambda _: {"dead": "2", "alive": "2"},
        "newest": lambda end: {"dead": str(START / 1000), "alive": str((end - 1_000) / 1000)},
    }
    one.run(span=4 * INTERVAL)
    assert {x.subject for life in one.of(e.LifeOpened) for x in life.firings} == {"alive"}


def test_after_a_restart_of_prometheus_dead_samples_are_not_new_ones() -> None:
    """Fault 32: the look-back answers with what was breaching before."""
    condition = Condition("errors", Limit(">", 1.0), coverage=("newest",))
    one = Story(made.config(made.trigger(condition=condition, action="shadow")))
    frozen = START + 15_000
    one.world.readings = {
        "errors": lambda _: {"": "2"},
        "newest": lambda end: {"": str((min(end, frozen) - 1_000) / 1000)},
    }
    one.run(span=8 * INTERVAL)
    assert one.of(e.LifeOpened) == []


def test_every_subject_has_a_streak_of_its_own() -> None:
    trigger = made.trigger(per=("pod",), action="shadow")
    one = Story(made.config(trigger))

    def readings(end: int) -> dict[str, str]:
        window = (end - START) // INTERVAL
        return {"a": "2" if window >= 1 else "0", "b": "2" if window % 2 else "0"}

    one.world.readings["errors"] = readings
    one.run(span=8 * INTERVAL)
    assert [x.subject for life in one.of(e.LifeOpened) for x in life.firings] == ["a"]


def test_no_subject_means_nothing_to_do() -> None:
    """D4."""
    one = Story(made.config(made.trigger(per=("pod",))))
    one.world.readings["errors"] = lambda _: {}
    one.run(span=8 * INTERVAL)
    assert one.states() == {}


def test_a_slow_group_never_delays_another() -> None:
    """W11, the asking side: an answer that never comes holds up its own watch only."""
    fast, slow = made.trigger("fast", action="shadow"), made.trigger("slow", "slow", action="shadow")
    one = Story(made.config(fast, slow, plans=(made.plan(), made.plan("slow"))))
    one.tape(fast, "BBB")
    one.world.readings["slow"] = lambda _: s.Unreachable("timed out")
    one.run(span=3 * INTERVAL + 2 * SECOND)
    assert one.states() == {"api-1": "shadowed"}


def test_progress_is_at_rest_when_nothing_happens() -> None:
    """Waking for nothing but the next window: no busy loop."""
    one = Story(made.config())
    one.run(span=100 * INTERVAL)
    assert len(one.world.asked) == 101
    assert len(one.batches) == 1


NOBODY: dict[str, str] = {}


@pytest.mark.parametrize(
    ("errors", "total", "verdict", "value"),
    [
        ({"": "4"}, {"": "20"}, "breach", "4/20"),
        ({"": "2"}, {"": "20"}, "ok", "2/20"),
        (NOBODY, {"": "20"}, "ok", "0/20"),  # errors that are absent while the total exists are 0
        ({"": "4"}, {"": "10"}, "breach", "4/10"),  # `at_least` is enough
        ({"": "4"}, {"": "9.9"}, "low_traffic", "4/9.9"),
        ({"": "4"}, {"": "NaN"}, "no_data", "4/NaN"),
        ({"": "NaN"}, {"": "20"}, "no_data", "NaN/20"),
        ({"": "4"}, NOBODY, "no_data", None),
        (NOBODY, NOBODY, None, None),
    ],
)
def test_a_ratio(
    errors: dict[str, str], total: dict[str, str], verdict: str | None, value: str | None
) -> None:
    condition = Condition("errors", Limit(">", 0.1), total="total", traffic="total", at_least=10.0)
    found = judge(condition, (Series((errors,)), Series((total,))), 0, START)
    assert not isinstance(found, Unreachable)
    assert (found.verdicts.get(""), found.value("")) == (verdict, value)


def test_a_ratio_of_nothing_is_no_reading() -> None:
    condition = Condition("errors", Limit(">", 0.1), total="total", traffic="total", at_least=0.0)
    found = judge(condition, (Series(({"": "0"},)), Series(({"": "0"},))), 0, START)
    assert not isinstance(found, Unreachable)
    assert found.verdicts == {"": "no_data"}


@pytest.mark.parametrize(
    ("newest", "uncovered"),
    [
        ({"a": "1", "b": "1"}, {"a", "b"}),
        ({"a": "10", "b": "10.1"}, {"a"}),  # at the window's begin is before it
        ({"*": "10.1"}, set()),
        ({"*": "10.1", "a": "9"}, {"a"}),
        ({"*": "9", "a": "10.1"}, {"b"}),
        ({"b": "10.1"}, {"a"}),
        (NOBODY, {"a", "b"}),
    ],
)
def test_whose_decisive_samples_lie_inside_the_window(newest: dict[str, str], uncovered: set[str]) -> None:
    """W14: a selector without the `per` labels speaks for everyone it does not name."""
    condition = Condition("errors", Limit(">", 1.0), coverage=("newest",))
    found = judge(condition, (Series(({"a": "2", "b": "0"},)), Series((newest,))), 0, 10_000)
    assert not isinstance(found, Unreachable)
    assert found.uncovered == uncovered
