"""Windows follow the scrapes of their targets, between streaks and never during one (W1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.core.test_alignment import scraped
from tests.fakes import made
from tests.fakes.made import INTERVAL, MINUTE, SECOND, START
from tests.fakes.story import Story

from rollbackd.core import events as e
from rollbackd.core.alignment import LOST, NEEDED, rarely, slack
from rollbackd.core.effects import Ask
from rollbackd.core.model import Condition, Limit, Ms
from rollbackd.core.signals import Scrape

PHASE: Ms = 3_000
TOOK: Ms = 20
SLACK: Ms = slack(INTERVAL)
ALIGN: Ms = PHASE + TOOK + SLACK


def story(phase: Ms | None = PHASE, **trigger: Any) -> Story:
    """A trigger whose target is scraped once a window, at `phase`."""
    one = Story(made.config(made.trigger(auto_align=True, **trigger), groups=(made.group(),)))
    one.world.scrapes = scraped(INTERVAL, phase, TOOK) if phase is not None else lambda _: {}
    return one


def learned(one: Story) -> list[e.AlignmentLearned]:
    return one.of(e.AlignmentLearned)


def learn(one: Story) -> e.AlignmentLearned:
    count = len(learned(one))
    one.run_to(lambda: len(learned(one)) > count)
    return learned(one)[-1]


def ends(one: Story, since: Ms = 0) -> list[Ms]:
    return [judged.end for judged in one.judged if judged.end > since]


def test_windows_end_just_after_the_scrape() -> None:
    one = story()
    event = learn(one)
    assert (event.group, event.interval, event.align, event.why) == ("main", INTERVAL, ALIGN, "learned")
    assert (event.targets, event.observations, event.spread, event.took) == (1, NEEDED, 0, TOOK)
    one.run(span=5 * INTERVAL)
    after = ends(one, event.since)
    assert after[0] - INTERVAL >= event.since, "no window overlaps one of before"
    assert after[0] - INTERVAL < event.since + INTERVAL, "and none is left out"
    assert [end % INTERVAL for end in after] == [ALIGN] * len(after)
    assert len(after) >= 4
    for at, ask in one.world.asked:
        assert at >= ask.ends[-1], "never before its end"


def test_a_fixed_alignment_asks_nothing() -> None:
    one = Story(made.config(made.trigger()))
    one.world.scrapes = scraped(INTERVAL, PHASE)
    one.run(span=20 * INTERVAL)
    assert one.world.probed == []
    assert learned(one) == []


def test_without_a_single_phase_windows_stay_where_they_are() -> None:
    one = story(None)
    one.run(span=30 * MINUTE)
    assert learned(one) == []
    assert {end % INTERVAL for end in ends(one)} == {0}


def test_it_fires_as_before_only_sooner() -> None:
    one = story(action="shadow")
    event = learn(one)
    bad_from = event.since + 5 * INTERVAL
    one.world.readings["errors"] = lambda end: {"": "2" if end >= bad_from else "0"}
    one.run(span=12 * INTERVAL)
    (life,) = one.of(e.LifeOpened)
    assert [window.end % INTERVAL for window in life.firings[0].windows] == [ALIGN] * 3
    assert life.at - life.firings[0].end <= one.world.latency


def test_not_while_a_streak_counts_on_the_windows() -> None:
    """Any subject of any trigger of the group."""
    other = made.trigger("other", auto_align=True, per=("pod",), no_data="reset", windows=100)
    one = Story(made.config(made.trigger(auto_align=True), other, groups=(made.group(),)))
    one.world.scrapes = scraped(INTERVAL, PHASE, TOOK)
    until = START + 10 * MINUTE
    one.world.readings["other"] = lambda end: {"a": "0", "b": "2" if end < until else "0"}
    one.run(until - SECOND)
    assert learned(one) == []
    event = learn(one)
    assert event.at < until + 2 * rarely(INTERVAL, odd=False)
    one.run(span=3 * INTERVAL)
    assert {judged.trigger for judged in one.judged if judged.end % INTERVAL == ALIGN} == {"errors", "other"}


def test_not_while_a_life_counts_on_them() -> None:
    """Its proof is thirty windows of `ok` in a row: no streak, and yet they count (S3)."""
    one = Story(
        made.config(
            made.trigger(auto_align=True, windows=1),
            plans=(made.plan(verify_windows=30),),
            groups=(made.group(),),
        )
    )
    one.world.scrapes = scraped(INTERVAL, PHASE, TOOK)
    one.world.readings["errors"] = lambda _: {"": "0" if "revert" in one.world.machine.done else "2"}
    one.run_to_state("api-1", "verified")
    assert learned(one) == []
    assert one.of(e.LifeEnded)[0].at - START > 30 * INTERVAL
    learn(one)


def test_a_restart_keeps_it_and_asks_the_same_windows() -> None:
    one = story(action="shadow")
    event = learn(one)
    bad_from = event.since + 5 * INTERVAL
    one.world.readings["errors"] = lambda end: {"": "2" if end >= bad_from else "0"}
    one.run(bad_from + INTERVAL)
    one.restart(down=15 * SECOND)
    one.run(span=SECOND)
    (life,) = one.of(e.LifeOpened)
    assert [window.end % INTERVAL for window in life.firings[0].windows] == [ALIGN] * 3
    assert len(learned(one)) == 1


@pytest.mark.parametrize("after", [0, 5, 25])
def test_a_restart_after_the_change_asks_for_nothing_before_it(after: int) -> None:
    """`after`: tenths of a window. What ended since, or what a streak could reach, was judged otherwise."""
    one = story()
    event = learn(one)
    one.run(span=after * INTERVAL // 10)
    one.restart(down=10)
    asked = len(one.world.asked)
    one.run(span=3 * INTERVAL)
    ends = [end for _, ask in one.world.asked[asked:] for end in ask.ends]
    assert min(ends) - INTERVAL >= event.since
    assert {end % INTERVAL for end in ends} == {ALIGN}


def test_a_reload_that_says_where_windows_end_forgets_it() -> None:
    one = story()
    learn(one)
    fixed = made.trigger(fingerprint="fixed", align=1_000)
    one.config = made.config(fixed, hash="config-2")
    one.restart(down=10)
    assert one.state.alignments == {}
    begun = len(one.judged)
    one.run(span=3 * INTERVAL)
    assert {judged.end % INTERVAL for judged in one.judged[begun:]} == {1_000}
    one.config = made.config(made.trigger(auto_align=True), groups=(made.group(),), hash="config-3")
    one.restart(down=10)
    begun = len(one.judged)
    one.run(span=INTERVAL)
    assert {judged.end % INTERVAL for judged in one.judged[begun:]} == {0}, "it is learned anew"


def test_after_a_restart_it_is_looked_at_at_once() -> None:
    """Prometheus may have been reconfigured meanwhile."""
    one = story()
    learn(one)
    one.world.scrapes = scraped(INTERVAL, PHASE + 400, TOOK)
    one.restart(down=MINUTE)
    begun = one.now
    drifted = learn(one)
    assert (drifted.why, drifted.align) == ("drifted", ALIGN + 400)
    assert drifted.at - begun < (NEEDED + 2) * INTERVAL


def test_another_interval_forgets_it() -> None:
    one = story()
    learn(one)
    slower = made.trigger(auto_align=True, interval=2 * INTERVAL, fingerprint="slower")
    one.config = made.config(slower, groups=(made.group(interval=2 * INTERVAL),), hash="config-2")
    one.restart(down=10)
    assert one.state.alignments == {}


def test_sustained_drift_is_followed() -> None:
    one = story()
    first = learn(one)
    one.world.scrapes = scraped(INTERVAL, PHASE + 400, TOOK)
    drifted = learn(one)
    assert (drifted.why, drifted.align) == ("drifted", ALIGN + 400)
    assert drifted.at - first.at > (NEEDED - 1) * rarely(INTERVAL, odd=False)
    assert drifted.since > first.since
    one.world.scrapes = scraped(INTERVAL, PHASE + 396, TOOK)
    one.run(span=20 * MINUTE)
    assert learned(one)[-1] == drifted, "a few milliseconds are no drift"


def test_one_odd_scrape_is_no_drift() -> None:
    one = story()
    learn(one)
    steady = scraped(INTERVAL, PHASE, TOOK)
    odd = one.now + 5 * MINUTE

    def scrapes(at: Ms) -> dict[str, Scrape]:
        late = {"": Scrape(at - 200, TOOK)}
        return late if odd <= at < odd + rarely(INTERVAL, odd=False) else steady(at)

    one.world.scrapes = scrapes
    one.run(span=20 * MINUTE)
    assert len(learned(one)) == 1


@pytest.mark.parametrize(
    "scrapes",
    [
        lambda _: {},
        scraped(7_000, PHASE),
        scraped(INTERVAL, PHASE, dies=START + MINUTE),
        scraped(20_000, PHASE),
        scraped(INTERVAL, PHASE, jitter=(0, 300)),
    ],
)
def test_what_is_lost_for_long_is_given_up(scrapes: Callable[[Ms], dict[str, Scrape]]) -> None:
    one = story()
    learn(one)
    one.world.scrapes = scrapes
    lost = learn(one)
    assert (lost.why, lost.align, lost.targets) == ("lost", 0, 0)
    assert lost.at - START > LOST * rarely(INTERVAL, odd=False)
    begun = len(one.judged)
    one.run(span=3 * INTERVAL)
    assert {end % INTERVAL for end in ends(one) if end > lost.since} == {0}
    assert begun < len(one.judged)


def test_silence_says_nothing_about_the_scrapes() -> None:
    one = story()
    learn(one)
    one.world.scrapes = lambda _: None
    one.run(span=20 * MINUTE)
    assert len(learned(one)) == 1


def test_what_was_learned_is_asked_about_once_a_minute_for_all_triggers() -> None:
    triggers = [made.trigger(f"t{number}", auto_align=True) for number in range(5)]
    one = Story(made.config(*triggers, groups=(made.group(),)))
    one.world.scrapes = scraped(INTERVAL, PHASE, TOOK)
    event = learn(one)
    one.run(span=30 * MINUTE)
    later = [at for at, _ in one.world.probed if at > event.at]
    assert len(later) <= 30


def test_late_samples_are_asked_for_again_at_once() -> None:
    """W14 stays in force: nothing is judged before its sample is there."""
    condition = Condition("errors", Limit(">", 1.0), coverage=("newest",))
    one = story(condition=condition, action="shadow", windows=1)
    visible = {"after": 0}

    def newest(end: Ms) -> dict[str, str]:
        began = (end - PHASE) // INTERVAL * INTERVAL + PHASE
        there = one.now >= began + visible["after"]
        return {"": str((began if there else began - INTERVAL) / 1000)}

    one.world.readings["newest"] = newest
    one.world.latency = 0
    event = learn(one)
    visible["after"] = TOOK + SLACK + 60
    one.world.readings["errors"] = lambda end: {"": "2" if end > event.since else "0"}
    begun = len(one.world.asked)
    one.run_to(lambda: bool(one.of(e.LifeOpened)))
    (life,) = one.of(e.LifeOpened)
    asked = [at - life.firings[0].end for at, ask in one.world.asked[begun:] if _of(ask, life.firings[0].end)]
    assert asked == [0, 10, 30, 70]
    assert life.at - life.firings[0].end == 70


def test_samples_that_are_always_late_are_not_hurried() -> None:
    """A remote store shows them seconds after the scrape: a few asks a window, and no window is lost."""
    condition = Condition("errors", Limit(">", 1.0), coverage=("newest",))
    one = story(condition=condition)

    def newest(end: Ms) -> dict[str, str]:
        began = (end - PHASE) // INTERVAL * INTERVAL + PHASE
        there = one.now >= began + 3 * SECOND
        return {"": str((began if there else began - INTERVAL) / 1000)}

    one.world.readings["newest"] = newest
    event = learn(one)
    one.run(span=10 * INTERVAL)
    windows = [judged for judged in one.judged if judged.end > event.since and judged.counts]
    asks = [sum(_of(ask, judged.end) for _, ask in one.world.asked) for judged in windows]
    assert asks[:2] == [10, 10]
    assert set(asks[3:-1]) == {5}
    assert all(judged.counts == {"ok": 1} for judged in windows[:-1])


def _of(ask: Ask, end: Ms) -> bool:
    return ask.ends[0] == end
