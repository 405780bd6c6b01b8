"""When a breach may act: rollouts, standing streaks, first boots, pauses, re-arming (W8, W9, W13)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fakes import made
from tests.fakes.made import HOUR, INTERVAL, MINUTE, SECOND, START
from tests.fakes.story import Readings, Story, World, tape

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.model import Condition, Limit

SHORT = (made.plan(phases=(made.phase("only", "a"),)),)


def watched(breach: str, after: str = ".", *, fresh: bool = False, **trigger: Any) -> Story:
    made_trigger = made.trigger(**{"arm": "rollout", **trigger})
    one = Story(made.config(made_trigger, plans=SHORT), fresh=fresh)
    one.tape(made_trigger, breach, after)
    return one


def begin(one: Story, **changes: Any) -> None:
    assert one.say(s.BeginRollout("api", "v1", "v2", **changes)).accepted


def test_a_breach_outside_a_rollout_only_pages() -> None:
    one = watched("BBB")
    one.run(span=MINUTE)
    assert one.states() == {"api-1": "notified"}
    assert one.lowered("api-1") == ["no_rollout"]
    assert any("nothing to undo" in title for title in one.titles())


def test_a_breach_inside_a_rollout_rolls_back_and_ends_it() -> None:
    one = watched("BBB")
    begin(one)
    one.run(span=2 * MINUTE)
    assert one.states() == {"api-1": "verified"}
    assert one.state.rollouts["api"].state == "rolled_back"
    opened = one.of(e.LifeOpened)[0]
    assert (opened.previous, opened.next, opened.rollout) == ("v1", "v2", "api-r1")


def test_a_streak_from_before_the_rollout_is_standing() -> None:
    one = watched("BB", "B")
    one.run(span=2 * INTERVAL + SECOND)
    begin(one)
    one.run(span=2 * MINUTE)
    assert one.ran() == []
    assert any("does not act" in title for title in one.titles())
    one.tape(made.trigger(), ".BBBB")  # the window in which it is armed does not count (W13)
    one.run(span=2 * MINUTE)
    assert one.states() == {"api-1": "verified"}, "armed by one ok window"
    assert one.state.matters == {}


def test_what_was_notified_before_the_rollout_is_standing_too() -> None:
    one = watched("BBB", "B")
    one.run(span=MINUTE)
    begin(one)
    one.run(span=2 * MINUTE)
    assert one.ran() == []


def test_windows_inside_the_initial_delay_never_count() -> None:
    """Fault 28."""
    one = watched("BBBB", "B", initial_delay=30 * SECOND)
    begin(one)
    one.run(span=2 * MINUTE)
    assert one.of(e.LifeOpened)[0].firings[0].began == START + 3 * INTERVAL


def test_an_expired_rollout_is_told_and_acts_no_more() -> None:
    one = watched("." * 12 + "BBB", "B")
    begin(one, open_for=MINUTE)
    one.run(span=4 * MINUTE)
    assert one.state.rollouts["api"].state == "expired"
    assert any("expired" in page.title for _, page in one.world.taken)
    assert one.ran() == []


def test_a_rollout_that_ends_during_a_wait_asks() -> None:
    one = watched("BBB", "B", action="auto_with_warning", veto=MINUTE)
    begin(one)
    one.run_to_state("api-1", "waiting_veto")
    one.say(s.FinishRollout("api"))
    one.run(span=2 * MINUTE)
    assert one.lowered("api-1") == ["rollout_ended"]
    assert one.state_of("api-1") == "waiting_approval"


def test_one_rollout_is_open_a_plan() -> None:
    one = watched("")
    begin(one)
    assert one.say(s.BeginRollout("api", "v2", "v3")).conflict
    assert one.say(s.FinishRollout("api")).accepted
    assert one.say(s.FinishRollout("api")).accepted, "verbs are idempotent"
    begin(one)
    assert one.state.rollouts["api"].id == "api-r2"


def test_a_new_rollout_ends_cooldowns_and_freshens_the_services() -> None:
    one = watched("BBB" + "." * 12 + "BBB", ".")
    begin(one)
    one.run(span=2 * MINUTE)
    begin(one)
    assert one.state.spent == {}
    one.run(span=2 * MINUTE)
    assert one.states() == {"api-1": "verified", "api-2": "verified"}


# Arming again: the table of ends


@pytest.mark.parametrize(
    ("action", "after", "armed_after"),
    [
        ("shadow", "BBBBB.", 50 * SECOND + 2 * MINUTE),
        ("notify", "BBBBB.", 50 * SECOND + 2 * MINUTE),
    ],
)
def test_cooldown_runs_from_the_streaks_end(action: str, after: str, armed_after: int) -> None:
    trigger = made.trigger(action=action, cooldown=2 * MINUTE)
    one = Story(made.config(trigger))
    one.tape(trigger, after, ".")
    one.run_to(lambda: bool(one.of(e.SubjectArmed)))
    ended = one.of(e.StreakEnded)[0].at
    assert one.now == ended + 2 * MINUTE
    assert ended > START + armed_after - 2 * MINUTE


def test_after_a_bad_end_only_a_person_arms() -> None:
    one = Story(made.config(made.trigger(cooldown=SECOND)))
    one.world.steps["drain"] = [{"status": 1}]
    one.tape(made.trigger(), "BBB")
    one.run(span=HOUR)
    assert one.states() == {"api-1": "failed"}
    assert "errors/" in one.state.disarmed
    one.say(s.Resolve("api-1", "by hand", "done"))
    assert one.state.disarmed == {}


def test_rearm_arms_from_now() -> None:
    trigger = made.trigger(action="shadow", cooldown=HOUR)
    one = Story(made.config(trigger))
    one.tape(trigger, "BBB", "B")
    one.run(span=MINUTE)
    assert one.say(s.Rearm(trigger="errors")).accepted
    one.run(span=MINUTE)
    assert list(one.states()) == ["api-1", "api-2"]
    assert one.of(e.LifeOpened)[1].firings[0].began >= START + MINUTE


def test_a_deleted_trigger_forgets_its_cooldown() -> None:
    trigger = made.trigger(action="shadow", cooldown=HOUR)
    one = Story(made.config(trigger))
    one.tape(trigger, "BBB")
    one.run(span=MINUTE)
    one.turn(s.ConfigurationLoaded(made.config(made.trigger("other"), hash="config-2")))
    assert one.state.disarmed == {}
    assert list(one.state.counting) == ["other"]


# W13


def booted(readings: Readings, world: World | None = None, **trigger: Any) -> Story:
    """The very first start, on an empty journal."""
    world = world or World()
    world.readings["errors"] = readings
    return Story(made.config(made.trigger(**trigger), plans=SHORT), world, fresh=True)


def test_a_first_boot_in_a_breach_does_not_act() -> None:
    one = booted(lambda _: {"": "2"})
    one.run(span=2 * MINUTE)
    assert one.ran() == []
    assert any("first looked" in page.text for _, page in one.world.taken)
    one.tape(made.trigger(), ".BBBB", ".")
    one.run(span=2 * MINUTE)
    assert one.states() == {"api-1": "verified"}


def test_a_person_arms_what_breached_at_the_first_boot() -> None:
    one = booted(lambda _: {"": "2"})
    one.run(span=MINUTE)
    one.say(s.Rearm(trigger="errors"))
    one.run(span=MINUTE)
    assert one.ran() == ["a"]
    assert not any(key.startswith("breach/") for key in one.state.matters)


def test_one_that_appears_after_the_first_window_is_armed() -> None:
    one = booted(lambda end: {} if end <= START + INTERVAL else {"new": "2"}, per=("pod",))
    one.run(span=MINUTE)
    assert one.ran() == ["a"]


def test_late_samples_belong_to_the_first_window() -> None:
    """W13 with W14: the breach is seen only when its samples are in."""
    condition = Condition("errors", Limit(">", 1.0), coverage=("newest",))
    world = World()
    late = {"first": True}

    def newest(end: int) -> dict[str, str]:
        behind = 11_000 if late.pop("first", False) else 1_000
        return {"": str((end - behind) / 1000)}

    world.readings["newest"] = newest
    one = booted(lambda _: {"": "2"}, world, condition=condition)
    one.run(span=2 * MINUTE)
    assert one.ran() == []


def test_windows_nobody_could_ask_for_are_not_the_first() -> None:
    world = World()
    world.silent = [(START - 1, START + 35 * SECOND)]
    one = booted(lambda _: {"": "2"}, world)
    one.run(span=3 * MINUTE)
    assert one.ran() == []


def test_on_a_journal_with_history_a_breach_acts() -> None:
    one = Story(made.config(plans=SHORT))
    one.world.readings["errors"] = lambda _: {"": "2"}
    one.run(span=MINUTE)
    assert one.ran() == ["a"]


@pytest.mark.parametrize("changed", [True, False])
def test_windows_count_anew_after_a_change_of_their_meaning(changed: bool) -> None:
    one = Story(made.config(plans=SHORT))
    one.tape(made.trigger(), "BBB", "B")
    one.run(START + 2 * INTERVAL + SECOND)
    fingerprint = "errors-2" if changed else "errors-1"
    trigger = made.trigger(fingerprint=fingerprint, labels={"team": "x"})
    one.turn(s.ConfigurationLoaded(made.config(trigger, plans=SHORT, hash="config-2")))
    one.run(START + 3 * INTERVAL + SECOND)
    assert bool(one.of(e.LifeOpened)) is not changed
    one.run(START + 6 * INTERVAL + SECOND)
    assert one.of(e.LifeOpened)[0].firings[0].began == START + (3 * INTERVAL if changed else 0)


# Pauses


@pytest.mark.parametrize("what", [{}, {"service": "api"}, {"trigger": "errors"}])
def test_a_pause_stops_automatic_starts(what: dict[str, Any]) -> None:
    one = Story(made.config(plans=SHORT))
    one.tape(made.trigger(), "", "B")
    assert one.say(s.Pause(comment="freeze", **what)).accepted
    one.run(span=MINUTE)
    assert one.lowered("api-1") == ["paused"]
    assert one.ran() == []
    assert one.say(s.Approve("api-1")).accepted, "never a person"
    one.run(span=SECOND)
    assert one.ran() == ["a"]


def test_a_pause_never_stops_a_started_rollback() -> None:
    one = Story(made.config())
    one.tape(made.trigger(), "BBB")
    one.run_to_state("api-1", "running")
    one.say(s.Pause())
    one.run(span=5 * MINUTE)
    assert one.states() == {"api-1": "verified"}


def test_a_pause_runs_out_and_windows_count_from_then() -> None:
    one = Story(made.config(plans=SHORT))
    one.tape(made.trigger(), "..", "B")
    one.say(s.Pause(duration=25 * SECOND))
    one.run(span=MINUTE + SECOND)
    assert one.state.pauses == ()
    assert one.of(e.LifeOpened)[0].firings[0].began == START + 3 * INTERVAL


@pytest.mark.parametrize("skew", [-90 * SECOND, -3 * SECOND, 4 * SECOND, 90 * SECOND])
def test_a_skewed_prometheus_fires_in_the_same_windows(skew: int) -> None:
    """T2, fault 17: windows are Prometheus' time."""
    world = World()
    world.skew = skew
    first = (START + skew) // INTERVAL * INTERVAL + 2 * INTERVAL
    world.readings["errors"] = tape("BBB", first, INTERVAL)
    one = Story(made.config(plans=SHORT), world)
    one.run(span=5 * MINUTE)
    assert one.states() == {"api-1": "verified"}
    fired = one.of(e.LifeOpened)[0]
    assert fired.firings[0].end == first + 2 * INTERVAL
    assert fired.at == fired.firings[0].end - skew + world.latency


# What a restart judges again


def test_a_standing_streak_stays_standing_over_a_restart() -> None:
    """The ok windows before it are judged again; they are not the ok that arms."""
    one = watched("..BB", "B")
    one.run(span=4 * INTERVAL + SECOND)
    begin(one)
    one.restart(down=SECOND)
    one.run(span=2 * MINUTE)
    assert one.ran() == []


def test_a_cooldown_is_not_shortened_by_a_restart() -> None:
    trigger = made.trigger(action="notify", cooldown=MINUTE)
    one = Story(made.config(trigger))
    one.tape(trigger, "..BBB", "B")
    one.run(span=MINUTE)
    one.restart(down=SECOND)
    one.run(span=10 * MINUTE)
    assert one.of(e.StreakEnded) == []
    assert one.states() == {"api-1": "notified"}


def test_a_waiting_life_does_not_stand_down_for_an_ok_before_its_breach() -> None:
    """I1."""
    trigger = made.trigger(action="auto_with_warning", severity="high", veto=MINUTE)
    one = Story(made.config(trigger))
    one.tape(trigger, "..BBB", "B")
    one.run_to_state("api-1", "waiting_veto")
    one.restart(down=SECOND)
    one.run(span=90 * SECOND)
    assert one.of(e.SubjectLeft) == []
    assert one.of(e.RollbackBegan)


@pytest.mark.parametrize("unseen", ["restart", "outage"])
def test_a_streak_that_was_not_known_when_the_rollout_began_is_standing(unseen: str) -> None:
    """A breach older than the rollout never rolls it back."""
    one = watched(".BB", "B")
    if unseen == "outage":
        one.world.silent = [(START + 15 * SECOND, START + 45 * SECOND)]
    one.run(span=3 * INTERVAL + SECOND)
    if unseen == "restart":
        one.restart(down=SECOND)
    begin(one)
    one.run(span=2 * MINUTE)
    assert one.ran() == []
    assert any("does not act" in title for title in one.titles())


def test_what_was_ok_since_the_rollout_began_acts_also_after_a_restart() -> None:
    one = watched("BB.B", "B")
    one.run(span=2 * INTERVAL + SECOND)
    begin(one)
    one.run(span=2 * INTERVAL)
    one.restart(down=SECOND)
    one.run(span=MINUTE)
    assert one.ran() == ["a"]


def test_what_was_before_a_change_does_not_count_after_a_restart_either() -> None:
    """W13: the windows of the old meaning are asked again, and are history."""
    one = Story(made.config(made.trigger(fingerprint="old")))
    one.tape(one.config.triggers[0], "", "B")
    one.run(span=2 * INTERVAL + SECOND)
    one.config = made.config(made.trigger(fingerprint="new"), hash="config-2")
    one.turn(s.ConfigurationLoaded(one.config))
    changed = one.now
    assert [(x.why, x.fingerprint) for x in one.of(e.TriggerCounted)] == [
        ("loaded", "old"),
        ("changed", "new"),
    ]
    one.restart(down=SECOND)
    one.run_to(lambda: bool(one.of(e.LifeOpened)))
    [firing] = one.of(e.LifeOpened)[0].firings
    assert firing.began >= changed
    assert firing.streak == 3
