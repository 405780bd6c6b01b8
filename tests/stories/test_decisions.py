"""From a breach to a decision: waits, people, and everything that lowers an action (D1–D10)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fakes import made
from tests.fakes.made import HOUR, INTERVAL, MINUTE, SECOND, START
from tests.fakes.story import Found, Story, World

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.model import Action, Limits, Ms, ReversibleWhile, Trigger

WARNED: dict[str, Any] = {"severity": "high", "action": "auto_with_warning", "veto": 5 * MINUTE}
ASKED: dict[str, Any] = {"severity": "medium", "action": "ask", "expires": 15 * MINUTE}


def story(*triggers: Trigger, breach: str = "BBB", after: str = "B", **config: Any) -> Story:
    """Every trigger breaches from the first window on, until the rollback heals it or for ever."""
    one = Story(made.config(*triggers, **config))
    for trigger in triggers:
        one.tape(trigger, breach, after)
    return one


def heal(one: Story, trigger: Trigger) -> None:
    one.world.readings[trigger.condition.expr] = lambda _: {"": "0"}


def test_the_happy_path_from_breach_to_verified() -> None:
    trigger = made.trigger()
    one = story(trigger, breach="BBB", after=".")
    one.run(span=10 * MINUTE)
    assert one.states() == {"api-1": "verified"}
    assert one.ran() == ["drain", "revert", "open"]
    fired = one.of(e.LifeOpened)[0].firings[0]
    assert (fired.streak, fired.began, fired.end) == (3, START, START + 3 * INTERVAL)
    assert [seen.verdict for seen in fired.windows] == ["breach"] * 3
    assert one.state.lives == {}
    assert {page.title for _, page in one.world.taken if page.kind == "tell"} == {
        "api: rolls back now (api-1)",
        "api: rollback began (api-1)",
        "api: recovery verified (api-1)",
        "api: rolled back and verified (api-1)",
    }


@pytest.mark.parametrize(
    ("action", "state", "tells"),
    [
        ("auto", "running", 0),
        ("auto_with_warning", "waiting_veto", 1),
        ("ask", "waiting_approval", 1),
        ("notify", "notified", 1),
        ("shadow", "shadowed", 0),
    ],
)
def test_each_action_does_what_it_says(action: Action, state: str, tells: int) -> None:
    one = story(made.trigger(action=action))
    one.run(span=3 * INTERVAL + SECOND)
    assert one.state_of("api-1") == state
    assert len(one.titles()) == tells


@pytest.mark.parametrize("ceiling", ["auto_with_warning", "ask", "notify", "shadow"])
def test_the_instance_lowers_every_action(ceiling: Action) -> None:
    one = story(made.trigger(), max_action=ceiling)
    one.run(span=3 * INTERVAL + SECOND)
    assert one.lowered("api-1") == ["max_action"]
    assert one.ran() == []


# Veto


def test_the_veto_window_opens_when_a_receiver_took_the_page() -> None:
    trigger = made.trigger(**WARNED)
    one = story(trigger)
    one.run_to_state("api-1", "waiting_veto")
    one.run_to(lambda: bool(one.of(e.VetoOpened)))
    assert one.life("api-1").veto_until == one.now + 5 * MINUTE
    one.run(span=5 * MINUTE - SECOND)
    assert one.state_of("api-1") == "waiting_veto"
    one.run_to(lambda: bool(one.of(e.RollbackBegan)), within=2 * INTERVAL)
    over = next(x.at for x in one.of(e.WaitEnded) if x.wait == "veto")
    assert one.of(e.RollbackBegan)[0].firings[0].end > over - INTERVAL, "D7: judged after the wait"


def test_a_warning_nobody_accepts_within_60_s_asks_instead() -> None:
    one = Story(made.config(made.trigger(**WARNED)))
    one.world.receivers = dict.fromkeys(("sre", "am", "hook"), lambda _: False)
    one.tape(made.trigger(), "", "B")
    one.run(span=3 * INTERVAL + 59 * SECOND)
    assert one.state_of("api-1") == "waiting_veto"
    one.run(span=3 * SECOND)
    assert one.state_of("api-1") == "waiting_approval"
    assert one.lowered("api-1") == ["page_undelivered"]


def test_a_page_of_an_earlier_matter_does_not_open_the_veto_window() -> None:
    """D8: what was accepted must be the warning."""
    first, second = made.trigger("one", "one"), made.trigger("two", "two", **WARNED)
    plans = (made.plan("one", services=("db",)), made.plan("two", services=("db",)))
    one = Story(made.config(first, second, plans=plans))
    one.world.steps["drain"] = [{"outcome": "in_doubt"}]
    one.tape(first, "BBB")
    one.tape(second, "..BBB", "B")
    one.run(span=20 * MINUTE)  # the blocked one climbs its ladder to the second rung
    assert one.state_of("two-1") == "waiting_lock"
    one.world.receivers = dict.fromkeys(("sre", "am", "hook"), lambda _: False)
    one.say(s.Abort("one-1"))
    one.say(s.Resolve("one-1", "by hand", "done"))
    one.say(s.Rearm(plan="two"))
    one.run(span=30 * SECOND)
    assert one.of(e.VetoOpened) == []


def test_a_veto_ends_it_and_the_next_breach_asks() -> None:
    trigger = made.trigger(cooldown=MINUTE, **WARNED)
    one = story(trigger)
    one.run_to_state("api-1", "waiting_veto")
    assert one.say(s.Veto("api-1")).accepted
    assert one.state_of("api-1") == "vetoed"
    assert one.state.spent == {}
    assert one.state.rate == ()


@pytest.mark.parametrize(
    ("second", "rollout", "lowered"),
    [("...BBB", False, ["vetoed"]), ("...BBB", True, []), ("." * 14 + "BBB", False, [])],
)
def test_another_breach_of_a_vetoed_plan_asks_until_the_cooldown_or_a_rollout(
    second: str, rollout: bool, lowered: list[str]
) -> None:
    """D2."""
    first, other = made.trigger("first", cooldown=2 * MINUTE, **WARNED), made.trigger("second")
    one = Story(made.config(first, other))
    one.tape(first, "BBB")
    one.tape(other, "..." + second, "B")
    one.run_to_state("api-1", "waiting_veto")
    one.say(s.Veto("api-1"))
    if rollout:
        one.say(s.BeginRollout("api", "v1", "v2"))
    one.run_to(lambda: "api-2" in one.state.lives)
    assert one.lowered("api-2") == lowered


def test_approve_ends_the_veto_window_at_once() -> None:
    one = story(made.trigger(**WARNED))
    one.run_to(lambda: bool(one.of(e.VetoOpened)))
    assert one.say(s.Approve("api-1")).accepted
    assert one.state_of("api-1") == "running"
    assert one.of(e.RollbackBegan)[0].decided == one.now


def test_healing_during_the_veto_window_stands_down() -> None:
    trigger = made.trigger(**WARNED)
    one = story(trigger, breach="BBBBB", after=".")
    one.run(span=10 * MINUTE)
    assert one.states() == {"api-1": "stood_down"}
    assert one.ran() == []
    assert (one.state.spent, one.state.rate) == ({}, ())
    assert one.state.matters == {}


@pytest.mark.parametrize("after", ["_", "N"])
def test_no_data_after_a_wait_asks(after: str) -> None:
    trigger = made.trigger(windows=3, veto=20 * SECOND, severity="high", action="auto_with_warning")
    one = story(trigger, breach="BBBB", after=after)
    one.run(span=2 * MINUTE)
    assert one.state_of("api-1") == "waiting_approval"
    assert one.lowered("api-1") == ["no_fresh_breach"]


def test_a_joining_critical_trigger_takes_over_from_a_running_veto() -> None:
    """D10: the highest trigger's action counts."""
    warned, critical = made.trigger("slow", **WARNED), made.trigger("errors")
    one = Story(made.config(warned, critical))
    one.tape(warned, "BBB", "B")
    one.tape(critical, "...BBB", "B")
    one.run_to_state("api-1", "waiting_veto")
    one.run(START + 6 * INTERVAL + SECOND)
    assert one.state_of("api-1") == "running"
    assert one.states() == {"api-1": "running"}
    assert one.life("api-1").trigger == "errors"


def test_a_joining_critical_trigger_needs_no_approval() -> None:
    asked, critical = made.trigger("slow", **ASKED), made.trigger("errors")
    one = Story(made.config(asked, critical))
    one.tape(asked, "BBB", "B")
    one.tape(critical, "...BBB", "B")
    one.run_to_state("api-1", "waiting_approval")
    one.run(START + 6 * INTERVAL + SECOND)
    assert one.states() == {"api-1": "running"}


def test_a_joining_warned_trigger_does_not_restart_the_veto() -> None:
    triggers = made.trigger("slow", **WARNED), made.trigger("slower", **WARNED)
    one = Story(made.config(*triggers))
    one.tape(triggers[0], "", "B")
    one.tape(triggers[1], "...BBB", "B")
    one.run(START + MINUTE + 10 * SECOND)
    assert len(one.of(e.VetoOpened)) == 1
    assert len(one.life("api-1").firings) == 2


def test_the_life_stands_down_when_no_subject_remains() -> None:
    trigger = made.trigger(per=("pod",), **WARNED)
    one = Story(made.config(trigger))

    def readings(end: int) -> Found:
        window = (end - START) // INTERVAL
        return {"a": "2" if window <= 4 else "0", "b": "2" if window <= 7 else "0"}

    one.world.readings["errors"] = readings
    one.run(START + 6 * INTERVAL)
    assert [found.subject for found in one.life("api-1").present()] == ["b"]
    one.run(span=MINUTE)
    assert one.states() == {"api-1": "stood_down"}


# Approval


def test_approve_starts_and_expiry_does_not() -> None:
    one = story(made.trigger(**ASKED))
    one.run_to_state("api-1", "waiting_approval")
    assert one.say(s.Approve("api-1", revision=one.life("api-1").revision)).accepted
    assert one.state_of("api-1") == "running"


def test_an_approval_shown_an_older_revision_conflicts() -> None:
    """Fault 66."""
    one = story(made.trigger(**ASKED))
    one.run_to_state("api-1", "waiting_approval")
    reply = one.say(s.Approve("api-1", revision=0))
    assert (reply.accepted, reply.conflict) == (False, True)


def test_approving_an_ok_window_is_refused_as_a_conflict() -> None:
    """Two subjects: one left the life, one has an `ok` it has not been told of."""
    trigger = made.trigger(**ASKED)
    one = story(trigger, breach="BBB", after=".")
    one.run_to_state("api-1", "waiting_approval")
    one.run(span=INTERVAL)
    assert one.states() == {"api-1": "stood_down"}
    assert one.say(s.Approve("api-1")).conflict


def test_an_expired_approval_climbs_until_the_breach_ends() -> None:
    trigger = made.trigger(**ASKED)
    one = story(trigger)
    one.run_to_state("api-1", "expired")
    assert "life/api-1" in one.state.matters
    one.run(span=6 * MINUTE)
    heal(one, trigger)
    one.run(span=INTERVAL + SECOND)
    assert one.state.matters == {}
    assert one.state.lives == {}


@pytest.mark.parametrize(("action", "wait"), [("ask", "expires"), ("auto_with_warning", "veto")])
def test_a_wait_ends_on_time_whatever_prometheus_does(action: Action, wait: str) -> None:
    waits: dict[str, Any] = {"action": action, wait: 123_457}
    one = story(made.trigger(**waits))
    one.world.silent = [(START + 3 * INTERVAL + SECOND, START + HOUR)]
    begins: type[e.Event] = e.VetoOpened if wait == "veto" else e.WaitBegan
    one.run_to(lambda: bool(one.of(begins)))
    began = one.of(begins)[0].at
    one.run_to(lambda: any(x.at == began + 123_457 for x in (*one.of(e.WaitEnded), *one.of(e.LifeEnded))))


def test_a_life_whose_rollout_was_replaced_asks() -> None:
    """W9: it would undo another change than the one it was opened for."""
    warned = made.trigger(arm="rollout", **WARNED)
    one = Story(made.config(warned))
    one.say(s.BeginRollout("api", "v1", "v2"))
    one.tape(warned, "", "B")
    one.run_to_state("api-1", "waiting_veto")
    one.say(s.FinishRollout("api"))
    one.say(s.BeginRollout("api", "v2", "v3"))
    one.run(span=6 * MINUTE)
    assert one.lowered("api-1") == ["rollout_ended"]
    assert one.ran() == []


@pytest.mark.parametrize("said", [s.Veto("api-1"), s.Resolve("api-1", "known", "leave it")])
def test_whoever_answers_an_expired_life_hears_no_more_of_this_breach(said: s.Verb) -> None:
    """D5, W8: the next one, within the cooldown, is a relapse."""
    trigger = made.trigger(action="ask", expires=MINUTE, cooldown=HOUR)
    one = story(trigger)
    one.run_to_state("api-1", "expired")
    assert one.say(said).accepted
    one.run(span=10 * MINUTE)
    assert one.state.matters == {}
    assert one.of(e.Relapsed) == []
    one.tape(trigger, ".BBB", "B")
    one.run(span=MINUTE)
    assert list(one.state.matters) == ["relapse/api-1"]


def test_an_expired_life_of_two_subjects_pages_until_both_recovered() -> None:
    trigger = made.trigger(per=("pod",), **ASKED)
    one = Story(made.config(trigger))
    one.world.readings["errors"] = lambda _: {"a": "2", "b": "2"}
    one.run_to_state("api-1", "expired")
    one.world.readings["errors"] = lambda _: {"a": "0", "b": "2"}
    one.run(span=MINUTE)
    assert "life/api-1" in one.state.matters
    one.world.readings["errors"] = lambda _: {"a": "0", "b": "0"}
    one.run(span=MINUTE)
    assert one.state.matters == {}


def test_approving_an_expired_life_begins_its_successor() -> None:
    one = story(made.trigger(**ASKED))
    one.run_to_state("api-1", "expired")
    assert one.say(s.Approve("api-1")).accepted
    assert one.state_of("api-2") == "running"
    assert "life/api-1" not in one.state.matters


def test_a_notified_page_ends_with_its_breach() -> None:
    trigger = made.trigger(action="notify")
    one = story(trigger)
    one.run(span=MINUTE)
    assert "life/api-1" in one.state.matters
    heal(one, trigger)
    one.run(span=MINUTE)
    assert one.state.matters == {}
    assert one.state.lives == {}, "a finished life leaves the state (I16)"


# Checks before deciding


@pytest.mark.parametrize("answer", ["fail", "cannot_tell"])
def test_a_safety_check_that_does_not_pass_asks(answer: str) -> None:
    plan = made.plan(safety_checks=(made.query_check("backup"),))
    one = Story(made.config(plans=(plan,)))
    one.world.checks["backup"] = [answer]
    one.tape(made.trigger(), "", "B")
    one.run(span=MINUTE)
    assert one.state_of("api-1") == "waiting_approval"
    assert one.lowered("api-1") == ["safety_check"]
    assert "safety check backup" in one.world.pages[-1][1].text


def test_hold_and_resume_while_checking_does_not_skip_the_checks() -> None:
    """D2: a check that has not answered is no pass."""
    plan = made.plan(safety_checks=(made.query_check("backup"),))
    one = Story(made.config(plans=(plan,)))
    one.world.checks["backup"] = [{"answer": "fail", "after": 25 * SECOND}]
    one.tape(made.trigger(), "", "B")
    one.run_to_state("api-1", "checking")
    one.say(s.Hold("api-1"))
    one.run(span=SECOND)
    one.say(s.Resume("api-1"))
    one.run(span=MINUTE)
    assert one.ran() == []
    assert one.lowered("api-1") == ["safety_check"]


@pytest.mark.parametrize(
    ("status", "state"),
    [(0, "running"), (20, "notified"), (1, "waiting_approval"), (None, "waiting_approval")],
)
def test_the_point_of_no_return_is_asked_before_deciding(status: int | None, state: str) -> None:
    guard = ReversibleWhile(made.command("before"), ("revert",), alternative_plan="forward")
    one = Story(made.config(plans=(made.plan(reversible_while=guard),)))
    one.world.checks["reversible_while"] = [{"answer": "cannot_tell" if status else "pass", "status": status}]
    one.tape(made.trigger(), "", "B")
    one.run(span=3 * INTERVAL + 11 * SECOND)
    assert one.state_of("api-1") == state
    if status == 20:
        assert "forward" in one.of(e.LifeEnded)[0].detail


def test_irreversibility_binds_a_person_too() -> None:
    guard = ReversibleWhile(made.command("before"), ("revert",), alternative_plan="forward")
    one = Story(made.config(plans=(made.plan(reversible_while=guard),)))
    one.world.checks["reversible_while"] = [{"answer": "fail", "status": 20}]
    one.say(s.Start("api", "by hand"))
    one.run(span=MINUTE)
    assert one.states() == {"api-1": "notified"}
    assert one.ran() == []
    assert "plan forward" in one.state.matters["life/api-1"].text
    assert "plan forward" in one.of(e.LifeEnded)[0].detail


GUARD = ReversibleWhile(made.command("before"), ("revert",), alternative_plan="forward")


def paused_before_the_point() -> Story:
    """It waits for approval, and could still be undone when it was decided."""
    one = Story(made.config(plans=(made.plan(reversible_while=GUARD),), max_action="ask"))
    one.world.checks["reversible_while"] = ["pass"]
    one.tape(made.trigger(), "", "B")
    one.run_to_state("api-1", "waiting_approval")
    return one


@pytest.mark.parametrize(("status", "state"), [(0, "running"), (20, "notified"), (1, "waiting_approval")])
def test_an_approval_looks_for_the_point_again(status: int, state: str) -> None:
    one = paused_before_the_point()
    one.world.checks["reversible_while"] = [{"answer": "fail" if status else "pass", "status": status}]
    one.run(span=10 * MINUTE)
    assert one.say(s.Approve("api-1")).accepted
    one.run(span=SECOND)
    assert one.state_of("api-1") == state
    assert ("drain" in one.ran()) is (status == 0), "nothing of it runs before it is known"
    if status == 1:
        assert one.lowered("api-1") == ["max_action", "reversibility_unknown"]
        assert one.say(s.Approve("api-1")).accepted, "now it answers that, too"
        one.run(span=SECOND)
        assert one.ran() == ["drain"]


def test_a_daemon_that_dies_after_the_approval_looks_again() -> None:
    one = paused_before_the_point()
    assert one.say(s.Approve("api-1")).accepted
    one.restart(down=SECOND)
    one.run(span=2 * SECOND)
    assert one.ran()[0] == "drain"
    assert len(one.of(e.RollbackBegan)) == 1
    asked = [question.key for _, question in one.world.questions if question.key.endswith("/reversible")]
    assert len(asked) == 3, "for the decision, for the approval, and by the daemon that heard no answer"


def test_what_is_past_its_point_cannot_be_approved() -> None:
    one = paused_before_the_point()
    one.world.checks["reversible_while"] = [{"answer": "fail", "status": 20}]
    one.say(s.Approve("api-1"))
    one.run(span=SECOND)
    again = one.say(s.Approve("api-1"))
    assert again.conflict
    assert again.text == (
        "api-1 is past the point of no return; the way forward is `rollbackd start forward`"
    )


# Locks (D3)


def shared(*, second: dict[str, Any] | None = None) -> tuple[Story, Trigger, Trigger]:
    first, other = made.trigger("one", "one"), made.trigger("two", "two", **(second or {}))
    plans = (made.plan("one", services=("db", "a")), made.plan("two", services=("db", "b")))
    one = Story(made.config(first, other, plans=plans))
    return one, first, other


def test_plans_that_share_a_service_run_one_after_the_other() -> None:
    one, first, other = shared()
    one.world.steps["drain"] = [{"after": 30 * SECOND}]
    one.tape(first, "BBB")
    one.tape(other, ".BBB", "B")
    one.run_to_state("two-1", "waiting_lock")
    assert one.life("two-1").blocked_by == "one-1"
    one.run_to_state("one-1", "verified")
    one.run(span=MINUTE)
    assert one.state_of("two-1") == "waiting_approval"
    assert one.lowered("two-1") == ["spent"]


def test_waiting_behind_a_parked_life_pages_and_names_it() -> None:
    one, first, other = shared()
    one.world.steps["drain"] = [{"outcome": "in_doubt"}]
    one.tape(first, "BBB")
    one.tape(other, "..BBB", "B")
    one.run_to_state("two-1", "waiting_lock")
    one.run(span=SECOND)
    page = next(page for _, page in one.world.taken if page.page.startswith("life/two-1/"))
    assert "one-1" in page.text


def test_the_page_names_who_holds_the_service_now() -> None:
    """The first holder is gone; the second one parks."""
    names = ("one", "two", "three")
    triggers = [made.trigger(name, name) for name in names]
    one = Story(made.config(*triggers, plans=tuple(made.plan(name, services=("db",)) for name in names)))
    one.world.steps["drain"] = [{"after": 40 * SECOND}, {"outcome": "in_doubt"}]
    one.tape(triggers[0], "BBB")
    one.run_to_state("one-1", "running")
    one.say(s.Start("two", "by hand"))
    one.say(s.Start("three", "by hand"))
    assert one.life("three-1").blocked_by == "one-1"
    one.run_to_state("two-1", "parked")
    one.run(span=SECOND)
    assert one.life("three-1").blocked_by == "two-1"
    page = next(page for _, page in one.world.taken if page.page.startswith("life/three-1/"))
    assert "two-1" in page.text


# Spent, rate, brake


def test_a_second_trigger_after_the_rollback_asks() -> None:
    """D6: or it would undo the undo."""
    first, second = made.trigger("errors"), made.trigger("latency")
    one = Story(made.config(first, second))
    one.tape(first, "BBB")
    one.tape(second, "." * 20 + "BBB", "B")
    one.run(span=5 * MINUTE)
    assert one.states() == {"api-1": "verified", "api-2": "waiting_approval"}
    assert one.lowered("api-2") == ["spent"]
    one.restart()
    assert one.lowered("api-2") == ["spent"]


def test_another_release_makes_the_services_fresh() -> None:
    first, second = made.trigger("errors"), made.trigger("latency")
    plan = made.plan(release=made.command("which"))
    one = Story(made.config(first, second, plans=(plan,)))
    one.world.checks["release"] = [
        {"answer": "pass", "status": 0, "output": name} for name in ("v2", "v1", "v3", "v1")
    ]
    one.tape(first, "BBB", "B")
    one.tape(second, "." * 20 + "BBB", "B")
    one.run_to(lambda: "open" in one.ran())
    heal(one, first)
    one.run(START + 25 * INTERVAL)
    assert one.state_of("api-1") == "verified"
    assert one.lowered("api-2") == []
    assert one.of(e.ServicesUnspent)[0].why == "release"


@pytest.mark.parametrize(
    ("answers", "fresh"),
    [
        (("v2", "v1", "v3"), True),
        (("v2", "v1", "v1"), False),
        (("v2", "v1", "v2"), False),
        ((None, "v1", "v3"), False),  # what was bad is not known, so neither is what differs from it
        (("v2", None, "v3"), False),
        (("v2", "v1", None), False),
    ],
)
def test_which_release_makes_the_services_fresh(answers: tuple[str | None, ...], fresh: bool) -> None:
    """D6: neither the bad one nor the restored one, and all three known."""
    first, second = made.trigger("errors"), made.trigger("latency")
    one = Story(made.config(first, second, plans=(made.plan(release=made.command("which")),)))
    one.world.checks["release"] = [
        "cannot_tell" if name is None else {"answer": "pass", "status": 0, "output": name} for name in answers
    ]
    one.tape(first, "BBB", "B")
    one.tape(second, "." * 20 + "BBB", "B")
    one.run_to(lambda: "open" in one.ran())
    heal(one, first)
    one.run(START + 23 * INTERVAL + 5 * SECOND)
    assert [x.why for x in one.of(e.ServicesUnspent)] == ["release"] * fresh
    assert one.lowered("api-2") == ([] if fresh else ["spent"])


@pytest.mark.parametrize(("others", "known"), [(2, 3), (4, 5), (6, 5)])
def test_the_brake_names_five_plans_at_most(others: int, known: int) -> None:
    names = [f"p{number}" for number in range(others + 1)]
    triggers = [made.trigger(name, name) for name in names]
    one = Story(made.config(*triggers, plans=tuple(made.plan(name) for name in names)))
    for trigger in triggers:
        one.tape(trigger, "BBB", "B")
    one.run(span=MINUTE)
    [detail] = {low.detail for x in one.of(e.ActionChanged) for low in x.lowered}
    assert detail.startswith(f"{len(names)} plans")
    assert [name for name in names if name in detail] == names[:known]


@pytest.mark.parametrize("subjects", [1, 3, 4])
def test_the_reason_names_three_subjects_at_most(subjects: int) -> None:
    one = Story(made.config(made.trigger(per=("pod",))))
    one.world.readings["errors"] = lambda _: {f"p{n}": f"{2 + n}" for n in range(subjects)}
    one.run(span=MINUTE)
    [opened] = one.of(e.LifeOpened)
    named = [n for n in range(subjects) if f"errors{{pod=p{n}}}: {2 + n} (" in opened.reason]
    assert named == list(range(min(subjects, 3)))
    assert opened.reason.endswith("; and 1 more") == (subjects == 4)
    assert len(opened.firings) == subjects


def test_what_is_armed_by_hand_is_what_was_named() -> None:
    world = World()
    world.readings["errors"] = lambda _: dict.fromkeys(("a", "b", "c"), "2")
    one = Story(made.config(made.trigger(per=("pod",))), world, fresh=True)
    one.run(span=INTERVAL)
    assert sorted(entry.subject for entry in one.state.disarmed.values()) == ["a", "b", "c"]
    assert one.say(s.Rearm(trigger="errors", subject={"pod": "b"})).text.startswith("1 subject ")
    assert sorted(entry.subject for entry in one.state.disarmed.values()) == ["a", "c"]
    assert list(one.state.subject_counting) == ["errors/b"]


@pytest.mark.parametrize(
    ("a", "per"), [("BBB", ("pod",)), ("BBB.BBBBBB", ("pod",)), ("BBB.BBBBBB", ())], ids=str
)
def test_a_streak_that_ends_before_its_fire_is_decided_has_ended(a: str, per: tuple[str, ...]) -> None:
    """W8, where answers come later than the next windows end: gone, or `ok` for one window."""
    trigger = made.trigger(per=per, action="shadow", delay=25 * SECOND, cooldown=0)
    world = World()
    subjects = {"a": a, "b": "." * 20} if per else {"": a}

    def readings(end: Ms) -> Found:
        window = (end - START) // INTERVAL - 1
        known = {subject: tape[window] for subject, tape in subjects.items() if 0 <= window < len(tape)}
        return {subject: {"B": "2", ".": "0"}[glyph] for subject, glyph in known.items()}

    world.readings["errors"] = readings
    one = Story(made.config(trigger), world)
    one.run(span=5 * INTERVAL)
    assert not one.of(e.LifeOpened)
    one.run(span=2 * INTERVAL)
    assert [opened.firings[0].end for opened in one.of(e.LifeOpened)] == [START + 3 * INTERVAL]
    ended, armed = one.of(e.StreakEnded), one.of(e.SubjectArmed)
    assert [event.at - START for event in ended] == [4 * INTERVAL + trigger.delay + 5]
    assert [event.at for event in armed] == [event.at for event in ended]
    one.restart(down=INTERVAL)
    one.run(span=INTERVAL)
    assert one.of(e.StreakEnded) == ended


def test_a_trigger_that_is_gone_leaves_nothing_and_its_namesakes_stay() -> None:
    kept, gone = made.trigger("errors", per=("pod",)), made.trigger("err", per=("pod",))
    world = World()
    for name in ("errors", "err"):
        world.readings[name] = lambda _: {"a": "2"}
    one = Story(made.config(kept, gone), world, fresh=True)
    one.run(span=INTERVAL)
    for name in ("errors", "err"):
        one.say(s.Rearm(trigger=name))
    assert sorted(one.state.subject_counting) == ["err/a", "errors/a"]
    one.turn(s.ConfigurationLoaded(made.config(kept, hash="config-2")))
    assert list(one.state.subject_counting) == ["errors/a"]
    assert list(one.state.counting) == ["errors"]


def test_the_rate_limit_asks_and_survives_a_restart() -> None:
    triggers = [made.trigger(name, name) for name in ("one", "two")]
    plans = tuple(made.plan(name) for name in ("one", "two"))
    one = Story(made.config(*triggers, plans=plans, limits=Limits(rollbacks_per_hour=1)))
    one.tape(triggers[0], "BBB")
    one.tape(triggers[1], "." * 12 + "BBB", "B")
    one.run(span=MINUTE)
    one.restart(down=SECOND)
    one.run(span=3 * MINUTE)
    assert one.lowered("two-1") == ["rate_limit"]


@pytest.mark.parametrize(("plans", "lowered"), [(2, []), (3, ["brake"]), (4, ["brake"])])
def test_many_plans_at_once_draw_the_brake(plans: int, lowered: list[str]) -> None:
    """D9, fault 30."""
    names = [f"svc{number}" for number in range(plans)]
    triggers = [made.trigger(name, name) for name in names]
    one = Story(made.config(*triggers, plans=tuple(made.plan(name) for name in names)))
    for trigger in triggers:
        one.tape(trigger, "", "B")
    one.run(span=MINUTE)
    assert [one.lowered(f"{name}-1") for name in names] == [lowered] * plans


def test_the_decision_waits_at_most_a_second_for_other_plans() -> None:
    triggers = made.trigger("one", "one"), made.trigger("two", "two", delay=5 * SECOND)
    one = Story(made.config(*triggers, plans=(made.plan("one"), made.plan("two"))))
    one.tape(triggers[0], "", "B")
    one.run_to(lambda: bool(one.of(e.LifeOpened)))
    judged = START + 3 * INTERVAL + one.world.latency
    assert one.now == judged + SECOND


def test_a_decision_computed_anew_waits_for_other_plans_too() -> None:
    """D7, D9: which answer comes first does not say whether the brake is drawn."""
    triggers = made.trigger("one", "one"), made.trigger("two", "two", delay=SECOND // 2)
    checked = made.plan("one", safety_checks=(made.query_check("backup"),))
    one = Story(made.config(*triggers, plans=(checked, made.plan("two")), limits=Limits(brake=2)))
    one.tape(triggers[0], "", "B")
    one.tape(triggers[1], "..", "B")
    one.run(span=5 * INTERVAL)
    assert one.lowered("one-1") == ["brake"]
    assert one.of(e.RollbackBegan) == []


def test_a_decision_computed_anew_waits_at_most_a_second() -> None:
    triggers = made.trigger("one", "one"), made.trigger("two", "two", delay=5 * SECOND)
    checked = made.plan("one", safety_checks=(made.query_check("backup"),))
    one = Story(made.config(*triggers, plans=(checked, made.plan("two"))))
    one.tape(triggers[0], "", "B")
    one.run_to(lambda: bool(one.of(e.RollbackBegan)))
    assert one.now == START + 4 * INTERVAL + one.world.latency + SECOND


def refuse(one: Story) -> None:
    """The first step's wrapper was too late: nothing ran (W7)."""
    one.world.cancel_posts("step/api-1/1")
    one.world.machine.began.clear()
    one.world.machine.named.clear()
    one.turn(s.StepExited("api-1", 1, "refused"))


def test_not_after_refused_goes_back_to_d7_with_the_services_held() -> None:
    trigger = made.trigger()
    one = story(trigger, breach="BBBBB", after=".")
    one.run_to(lambda: bool(one.of(e.StepOrdered)))
    execution = one.of(e.StepOrdered)[0]
    assert execution.not_after == START + 3 * INTERVAL + 2 * INTERVAL
    refuse(one)
    assert one.state_of("api-1") == "checking"
    assert one.life("api-1").holds_services
    one.run_to(lambda: len(one.of(e.StepOrdered)) == 2)
    assert one.now == START + 4 * INTERVAL + one.world.latency, "on the next window's breach"
    assert one.of(e.StepOrdered)[1].not_after == START + 6 * INTERVAL


def test_stood_down_before_its_first_step_is_unspent_and_uncounted() -> None:
    trigger = made.trigger()
    one = story(trigger, breach="BBB", after=".")
    one.run_to(lambda: bool(one.of(e.StepOrdered)))
    refuse(one)
    one.run(span=2 * INTERVAL)
    assert one.states() == {"api-1": "stood_down"}
    assert (one.state.spent, one.state.rate) == ({}, ())
    assert one.ran() == []


@pytest.mark.parametrize(
    ("verb", "end"), [(s.Abort("api-1"), "vetoed"), (None, "stood_down"), (s.Hold("api-1"), "checking")]
)
def test_a_refused_life_ends_as_people_said(verb: s.Verb | None, end: str) -> None:
    one = story(made.trigger(), breach="BBB", after="." if verb is None else "B")
    one.run_to(lambda: bool(one.of(e.StepOrdered)))
    refuse(one)
    if verb is not None:
        assert one.say(verb).accepted
    one.run(span=2 * INTERVAL)
    assert one.states()["api-1"] == ("held" if end == "checking" else end)
    assert one.ran() == []
    if end != "checking":
        assert one.of(e.LifeEnded)[0].detail
        assert one.state.lives == {}


def test_a_refused_life_that_asks_expires_in_its_time() -> None:
    """A pause came meanwhile: it asks, with its services held, and gives them back when it expires."""
    one = story(made.trigger(expires=5 * MINUTE))
    one.run_to(lambda: bool(one.of(e.StepOrdered)))
    one.say(s.Pause(service="api"))
    refuse(one)
    one.run_to_state("api-1", "waiting_approval", within=2 * INTERVAL)
    assert one.lowered("api-1") == ["paused"]
    asked = one.now
    one.run(until=asked + 5 * MINUTE - SECOND)
    assert one.state_of("api-1") == "waiting_approval"
    one.run(span=2 * SECOND)
    assert one.state_of("api-1") == "expired"
    assert one.of(e.LifeEnded)[0].at == asked + 5 * MINUTE, "to the millisecond, and not with the next window"
    assert not one.life("api-1").holds_services
    assert one.ran() == []


def test_a_refused_life_that_was_approved_goes_on() -> None:
    one = story(made.trigger(expires=5 * MINUTE))
    one.run_to(lambda: bool(one.of(e.StepOrdered)))
    one.say(s.Pause(service="api"))
    refuse(one)
    one.run_to_state("api-1", "waiting_approval", within=2 * INTERVAL)
    assert one.say(s.Approve("api-1")).accepted
    one.run(span=SECOND)
    assert one.of(e.StepOrdered)[1].not_after is None, "a person decided"
    assert one.ran()[0] == "drain"


def test_a_refused_life_that_was_held_goes_on_with_the_next_breach() -> None:
    one = story(made.trigger())
    one.run_to(lambda: bool(one.of(e.StepOrdered)))
    refuse(one)
    one.say(s.Hold("api-1"))
    one.run(span=MINUTE)
    assert len(one.of(e.StepOrdered)) == 1
    one.say(s.Resume("api-1"))
    resumed = one.now
    one.run_to(lambda: len(one.of(e.StepOrdered)) == 2)
    assert one.now - resumed <= INTERVAL + SECOND
    assert [x.attempt for x in one.of(e.StepOrdered)] == [1, 1], "what never ran is no attempt"


def test_a_refused_life_that_is_lowered_to_notify_does_not_run() -> None:
    one = story(made.trigger())
    one.run_to(lambda: bool(one.of(e.StepOrdered)))
    one.turn(s.ConfigurationLoaded(made.config(max_action="notify", hash="config-2")))
    refuse(one)
    one.run(span=MINUTE)
    assert one.states()["api-1"] == "notified"
    assert one.ran() == []


def test_a_ceiling_that_is_lowered_again_lowers_what_waits_again() -> None:
    """The reason is known; how low it takes the action is not (D2, I10)."""
    one = story(made.trigger(), max_action="auto_with_warning")
    one.run_to_state("api-1", "waiting_veto")
    one.turn(s.ConfigurationLoaded(made.config(max_action="ask", hash="config-2")))
    one.run_to_state("api-1", "waiting_approval")
    assert one.lowered("api-1") == ["max_action", "max_action"]


def test_an_old_streak_never_decides() -> None:
    """W7: after an outage the history is shown, the next fresh window acts."""
    one = story(made.trigger(), breach="BBBB", after="B")
    one.world.silent = [(START + 2 * INTERVAL + SECOND, START + 9 * INTERVAL)]
    one.run(span=3 * MINUTE)
    opened = one.of(e.LifeOpened)[0]
    assert opened.at >= START + 9 * INTERVAL
    assert opened.at - opened.firings[0].end < 2 * INTERVAL
