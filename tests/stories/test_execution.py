"""Running a plan: order, doubt, parking, people (X1–X9)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fakes import made
from tests.fakes.made import MINUTE, SECOND, phase, step
from tests.fakes.story import Story

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.effects import RunStep
from rollbackd.core.model import Limit, Phase, Plan, Query, ReversibleWhile, Step, StepVerify


def running(*steps: Step | str, phases: tuple[Phase, ...] = (), script: Any = None, **changes: Any) -> Story:
    """A rollback started by hand; `script` is how the steps' executions end."""
    plan: Plan = made.plan(phases=phases or (phase("only", *steps),), verify_windows=0, **changes)
    one = Story(made.config(plans=(plan,)))
    one.world.steps.update(script or {})
    one.say(s.Start("api", "by hand"))
    return one


def settled(one: Story) -> list[tuple[str, str, str]]:
    return [(x.step, x.result, x.by) for x in one.of(e.StepSettled)]


PASSING = (made.query_check("well"),)


def test_phases_and_steps_run_in_order_and_clean_up_last() -> None:
    phases = (phase("tidy", "tidy", after_verified=True), phase("a", "one", "two"), phase("b", "three"))
    one = running(phases=phases, verification=PASSING)
    one.run(span=5 * MINUTE)
    assert one.ran() == ["one", "two", "three", "tidy"]
    assert one.states() == {"api-1": "verified"}
    order = [type(x).__name__ for x in one.events if isinstance(x, e.StepSettled | e.RollbackVerified)]
    assert order == ["StepSettled"] * 3 + ["RollbackVerified", "StepSettled"]


def test_a_failed_clean_up_pages_and_does_not_unverify() -> None:
    phases = (phase("a", "one"), phase("tidy", "tidy", "more", after_verified=True))
    one = running(phases=phases, verification=PASSING, script={"tidy": [{"status": 1}]})
    one.run(span=5 * MINUTE)
    assert one.states() == {"api-1": "verified"}
    assert one.ran() == ["one", "tidy"]
    assert one.state.matters["life/api-1"].cause == "cleanup_failed"
    assert one.say(s.Resolve("api-1", "by hand", "tidied")).accepted
    assert one.state.lives == {}


@pytest.mark.parametrize(
    ("attempts", "script", "runs", "state"),
    [
        (1, [{"status": 1}], 1, "failed"),
        (3, [{"status": 1}, {"status": 1}, {}], 3, "verifying"),
        (3, [{"status": 1}] * 3, 3, "failed"),
        (2, [{"expect_matched": False}, {}], 2, "verifying"),
        (2, [{"outcome": "unstarted", "after": 0}, {}], 1, "verifying"),
    ],
)
def test_attempts(attempts: int, script: list[dict[str, Any]], runs: int, state: str) -> None:
    one = running(
        step("a", attempts=attempts, backoff=SECOND),
        script={"a": script},
        verification=PASSING,
        settle=MINUTE,
    )
    one.run(span=30 * SECOND)
    assert (one.state_of("api-1"), len(one.ran())) == (state, runs)


def test_the_backoff_doubles() -> None:
    one = running(step("a", attempts=4, backoff=SECOND), script={"a": [{"status": 1, "after": 0}] * 4})
    one.run(span=MINUTE)
    waits = [x.until - x.at for x in one.of(e.StepStaged) if x.stage == "backing_off" and x.until]
    assert waits == [SECOND, 2 * SECOND, 4 * SECOND]


@pytest.mark.parametrize(
    ("answer", "attempts", "state"),
    [("pass", 1, "verifying"), ("fail", 1, "failed"), ("cannot_tell", 1, "failed")],
)
def test_exit_0_without_verify_is_failed(answer: str, attempts: int, state: str) -> None:
    """Fault 39."""
    verify = StepVerify(Query("gone", Limit("==", 0.0)), 30 * SECOND)
    plan_step = step("a", verify=verify, attempts=attempts)
    plan = made.plan(phases=(phase("only", plan_step),), verification=PASSING, settle=MINUTE)
    one = Story(made.config(plans=(plan,)))
    one.world.checks["a verify"] = [answer]
    one.say(s.Start("api", "by hand"))
    one.run(span=20 * SECOND)
    assert one.state_of("api-1") == state


# Doubt (X4)


@pytest.mark.parametrize(
    ("made_step", "script", "probe", "runs", "state"),
    [
        (step("a"), [{"outcome": "in_doubt"}], None, 1, "parked"),
        (step("a", repeatable=True), [{"outcome": "in_doubt"}], None, 2, "verifying"),
        (step("a", repeatable=True), [{"outcome": "in_doubt"}] * 9, None, 4, "parked"),
        (step("a", probe=made.command("p")), [{"outcome": "in_doubt"}], 0, 1, "verifying"),
        (step("a", probe=made.command("p")), [{"outcome": "in_doubt"}], 20, 2, "verifying"),
        (step("a", probe=made.command("p")), [{"outcome": "in_doubt"}] * 9, 20, 4, "parked"),
        (step("a", probe=made.command("p")), [{"outcome": "in_doubt"}], 1, 1, "parked"),
        (step("a", probe=made.command("p")), [{"outcome": "in_doubt", "tree_gone": False}], 0, 1, "parked"),
        (step("a"), [{"outcome": "timed_out"}], None, 1, "parked"),
        (step("a", attempts=2), [{"outcome": "timed_out"}], None, 1, "parked"),
        (step("a", repeatable=True), [{"outcome": "timed_out"}], None, 1, "failed"),
        (step("a", repeatable=True, attempts=2), [{"outcome": "timed_out"}], None, 2, "verifying"),
        (step("a", probe=made.command("p")), [{"outcome": "timed_out"}], 0, 1, "verifying"),
        (step("a", probe=made.command("p")), [{"outcome": "timed_out"}], 20, 1, "failed"),
        (step("a", probe=made.command("p"), attempts=2), [{"outcome": "timed_out"}], 20, 2, "verifying"),
        (step("a", probe=made.command("p"), attempts=2), [{"outcome": "timed_out"}], 3, 1, "parked"),
        (step("a", repeatable=True), [{"outcome": "timed_out", "tree_gone": False}], None, 1, "parked"),
    ],
)
def test_a_step_in_doubt(
    made_step: Step, script: list[dict[str, Any]], probe: int | None, runs: int, state: str
) -> None:
    """Fault 40."""
    plan = made.plan(phases=(phase("only", made_step),), verification=PASSING, settle=10 * MINUTE)
    one = Story(made.config(plans=(plan,)))
    one.world.steps["a"] = list(script)
    if probe is not None:
        one.world.checks["a probe"] = [{"answer": "pass" if probe == 0 else "fail", "status": probe}]
    one.say(s.Start("api", "by hand"))
    one.run(span=MINUTE)
    assert (one.state_of("api-1"), len(one.ran())) == (state, runs)
    if state == "parked":
        assert one.state.matters["life/api-1"].cause == "in_doubt"
        assert one.titles()


def test_a_crash_is_no_attempt_and_a_timeout_is_one() -> None:
    one = running(
        step("a", repeatable=True, attempts=2, backoff=0),
        script={"a": [{"outcome": "in_doubt"}, {"outcome": "timed_out"}, {"status": 0}]},
        verification=PASSING,
    )
    one.run(span=30 * SECOND)
    assert [(x.attempt, x.doubts) for x in one.of(e.StepOrdered)] == [(1, 0), (1, 1), (2, 0)]


@pytest.mark.parametrize(
    ("answer", "result", "ran"),
    [
        ("done", ("a", "done", "ann"), ["a", "b"]),
        ("retry", ("a", "done", "run"), ["a", "a", "b"]),
        ("skip", ("a", "skipped", "ann"), ["a", "b"]),
    ],
)
def test_a_person_confirms_a_step_in_doubt(answer: Any, result: tuple[str, str, str], ran: list[str]) -> None:
    one = running("a", "b", script={"a": [{"outcome": "in_doubt"}]}, verification=PASSING)
    one.run_to_state("api-1", "parked")
    assert one.say(s.Resume("api-1")).conflict, "what is in doubt is confirmed, not resumed"
    assert one.say(s.Confirm("api-1", "b", answer)).conflict
    assert one.say(s.Confirm("api-1", "a", answer)).accepted
    assert "life/api-1" not in one.state.matters
    one.run(span=3 * MINUTE)
    assert settled(one)[0] == result
    assert one.ran() == ran
    assert one.states() == {"api-1": "verified"}


def test_done_by_a_person_still_runs_verify() -> None:
    verify = StepVerify(Query("gone", Limit("==", 0.0)), 30 * SECOND)
    one = running(step("a", verify=verify), script={"a": [{"outcome": "in_doubt"}]})
    one.world.checks["a verify"] = ["fail"]
    one.run_to_state("api-1", "parked")
    one.say(s.Confirm("api-1", "a", "done"))
    one.run(span=MINUTE)
    assert one.state_of("api-1") == "failed"


# Hold, abort


def test_hold_lets_the_running_step_end_and_resume_goes_on() -> None:
    one = running("a", "b", verification=PASSING)
    one.run(span=100)
    assert one.say(s.Hold("api-1")).accepted
    assert one.state_of("api-1") == "running"
    one.run(span=MINUTE)
    assert (one.state_of("api-1"), one.ran()) == ("held", ["a"])
    before = one.life("api-1").overrun_at
    one.say(s.Resume("api-1"))
    after = one.life("api-1").overrun_at
    assert before is not None
    assert after is not None
    assert after - before == MINUTE, "held time does not count (X9)"
    one.run(span=MINUTE)
    assert one.states() == {"api-1": "verified"}


def test_a_hold_after_the_last_step_does_not_eat_the_time_to_verify() -> None:
    one = running("a", verification=PASSING)
    one.run(span=100)
    one.say(s.Hold("api-1"))
    one.run(span=60 * MINUTE)
    one.say(s.Resume("api-1"))
    one.run(span=2 * MINUTE)
    assert one.states() == {"api-1": "verified"}


def test_a_hold_while_verifying_does_not_eat_the_time_to_verify() -> None:
    one = running("a", verification=PASSING, settle=20 * SECOND)
    one.run_to_state("api-1", "verifying")
    one.say(s.Hold("api-1"))
    one.run(span=60 * MINUTE)
    one.say(s.Resume("api-1"))
    one.run(span=2 * MINUTE)
    assert one.states() == {"api-1": "verified"}


def test_abort_lets_the_running_step_end_and_starts_no_other() -> None:
    one = running("a", "b")
    one.run(span=100)
    assert one.say(s.Abort("api-1")).accepted
    one.run(span=MINUTE)
    assert (one.state_of("api-1"), one.ran()) == ("aborted", ["a"])
    assert one.world.machine.stopped == []
    assert one.life("api-1").holds_services


def test_abort_now_stops_the_running_step() -> None:
    one = running("a", "b", script={"a": [{"after": MINUTE}]})
    one.run(span=100)
    one.say(s.Abort("api-1", now=True))
    one.run(span=SECOND)
    assert one.state_of("api-1") == "aborted"
    assert one.world.machine.stopped == [("api-1", 1)]


def test_abort_now_after_abort_stops_it_too() -> None:
    one = running("a", script={"a": [{"after": MINUTE}]})
    one.run(span=100)
    one.say(s.Abort("api-1"))
    one.say(s.Abort("api-1", now=True))
    one.run(span=SECOND)
    assert one.world.machine.stopped == [("api-1", 1)]


@pytest.mark.parametrize("when", [100, 1_500])
def test_abort_is_refused_after_an_irreversible_step(when: int) -> None:
    one = running(step("a", irreversible=True), "b")
    one.run(span=when)
    reply = one.say(s.Abort("api-1"))
    assert (reply.accepted, reply.conflict) == (False, True)
    assert "a is irreversible" in reply.text


def test_abort_works_while_held() -> None:
    one = running("a", "b")
    one.run(span=100)
    one.say(s.Hold("api-1"))
    one.run(span=MINUTE)
    one.say(s.Abort("api-1"))
    assert one.state_of("api-1") == "aborted"


def test_services_are_kept_until_a_person_resolves() -> None:
    one = running("a", script={"a": [{"status": 1}]})
    one.run_to_state("api-1", "failed")
    assert one.say(s.Start("api", "again")).conflict
    assert one.say(s.BeginRollout("api", "1", "2")).conflict
    assert one.say(s.Resolve("api-1", "by hand", "done")).accepted
    assert one.state.lives == {}
    assert one.state.matters == {}
    assert one.say(s.BeginRollout("api", "1", "2")).accepted


def test_resolve_wants_processes_shown_gone() -> None:
    one = running("a", script={"a": [{"outcome": "timed_out", "tree_gone": False}]})
    one.run_to_state("api-1", "parked")
    one.say(s.Abort("api-1"))
    assert one.say(s.Resolve("api-1", "by hand", "done")).conflict
    assert one.say(s.Resolve("api-1", "by hand", "done", processes_gone=True)).accepted
    assert one.state.lives == {}
    assert one.say(s.Start("api", "again", from_step="a")).accepted


def test_what_a_person_called_done_and_is_not_never_runs_beside_what_is_left_of_it() -> None:
    """X4: its processes may still be there."""
    verify = StepVerify(Query("gone", Limit("==", 0.0)), 30 * SECOND)
    one = running(
        step("a", verify=verify, attempts=3), script={"a": [{"outcome": "timed_out", "tree_gone": False}, {}]}
    )
    one.world.checks["a verify"] = ["fail", "pass"]
    one.run_to_state("api-1", "parked")
    one.say(s.Confirm("api-1", "a", "done"))
    one.run(span=MINUTE)
    assert (one.state_of("api-1"), one.ran()) == ("parked", ["a"])
    assert [x.reason for x in one.of(e.LifeParked)] == ["in_doubt", "in_doubt"]
    one.say(s.Confirm("api-1", "a", "retry"))
    one.run(span=MINUTE)
    assert one.ran() == ["a", "a"]


# Overrun (X9)


def test_an_overrun_parks_and_resume_grants_one_more() -> None:
    one = running(
        "a", "b", "c", script={"a": [{"after": 3 * MINUTE}]}, timeout=2 * MINUTE, verification=PASSING
    )
    one.run(span=4 * MINUTE)
    assert (one.state_of("api-1"), one.ran()) == ("parked", ["a"])
    assert one.state.matters["life/api-1"].cause == "overrun"
    one.run(span=60 * MINUTE)
    one.say(s.Resume("api-1"))
    assert one.life("api-1").overrun_at == one.now + 2 * MINUTE
    one.run(span=2 * MINUTE)
    assert one.states() == {"api-1": "verified"}


def test_held_time_is_counted_once_when_the_daemon_was_away_meanwhile() -> None:
    one = running("a", "b")
    one.run(span=100)
    one.say(s.Hold("api-1"))
    one.run(span=10 * SECOND)
    before, held = one.life("api-1").overrun_at, one.now
    one.restart(down=5 * MINUTE)
    one.say(s.Resume("api-1"))
    after = one.life("api-1").overrun_at
    assert before is not None
    assert after is not None
    assert after - before == one.now - (held - 10 * SECOND)


def test_absence_does_not_count_against_the_timeout() -> None:
    one = running("a", "b", script={"a": [{"after": 10 * SECOND}]}, timeout=MINUTE, verification=PASSING)
    one.run(span=SECOND)
    one.restart(down=10 * MINUTE)
    one.run(span=2 * MINUTE)
    assert one.states() == {"api-1": "verified"}


def test_a_step_that_may_not_be_interrupted_only_pages() -> None:
    slow = step("a", irreversible=True, interrupt="never")
    one = running(slow, script={"a": [{"after": 10 * MINUTE}]})
    one.run(span=MINUTE)
    assert (one.state_of("api-1"), one.world.machine.stopped) == ("running", [])
    assert one.state.matters["life/api-1"].cause == "step_overdue"
    run = next(x for x in one.driver.under_way.values() if isinstance(x, RunStep))
    assert not run.interruptible


# The point of no return before a guarded phase


@pytest.mark.parametrize(
    ("status", "state"), [(0, "verifying"), (20, "failed"), (1, "parked"), (None, "parked")]
)
def test_the_guard_is_asked_before_its_phase(status: int | None, state: str) -> None:
    guard = ReversibleWhile(made.command("before"), ("b",), alternative_plan="forward")
    phases = (phase("a", "one"), phase("b", "two", "three"))
    plan = made.plan(phases=phases, reversible_while=guard, settle=MINUTE, verification=PASSING)
    one = Story(made.config(plans=(plan,)))
    one.world.checks["reversible_while"] = ["pass", {"answer": "cannot_tell", "status": status}]
    one.say(s.Start("api", "by hand"))
    one.run(span=10 * SECOND)
    assert one.state_of("api-1") == state
    assert one.ran() == (["one", "two", "three"] if status == 0 else ["one"])
    assert len([q for _, q in one.world.questions if q.check.name == "reversible_while"]) == 2


def test_resume_asks_the_guard_again() -> None:
    guard = ReversibleWhile(made.command("before"), ("b",))
    phases = (phase("a", "one"), phase("b", "two"))
    plan = made.plan(phases=phases, reversible_while=guard, verification=PASSING)
    one = Story(made.config(plans=(plan,)))
    one.world.checks["reversible_while"] = ["pass", "cannot_tell", "pass"]
    one.say(s.Start("api", "by hand"))
    one.run_to_state("api-1", "parked")
    assert one.say(s.Resume("api-1")).accepted
    one.run(span=2 * MINUTE)
    assert one.states() == {"api-1": "verified"}


# By hand


def test_a_hand_start_takes_over_a_waiting_life() -> None:
    trigger = made.trigger(action="ask")
    one = Story(made.config(trigger))
    one.tape(trigger, "BBBB")
    one.run_to_state("api-1", "waiting_approval")
    one.say(s.Start("api", "now"))
    assert one.states() == {"api-1": "superseded", "api-2": "running"}
    assert [x.trigger for x in one.life("api-2").firings] == ["errors"]
    one.run(span=5 * MINUTE)
    assert one.states()["api-2"] == "verified"


def test_a_dry_run_starts_nothing() -> None:
    one = Story(made.config())
    reply = one.say(s.Start("api", "look", from_step="revert", dry_run=True))
    assert reply.accepted
    assert "revert, open" in reply.text
    assert one.states() == {}


def test_a_start_from_a_step_leaves_out_what_is_before() -> None:
    one = Story(made.config(plans=(made.plan(verification=PASSING, verify_windows=0),)))
    one.say(s.Start("api", "rest", from_step="revert"))
    one.run(span=2 * MINUTE)
    assert one.ran() == ["revert", "open"]


def test_a_breach_that_clears_mid_rollback_finishes_it() -> None:
    """Fault 46."""
    one = Story(made.config())
    one.tape(made.trigger(), "BBB", ".")
    one.world.steps["drain"] = [{"after": MINUTE}]
    one.run(span=10 * MINUTE)
    assert one.states() == {"api-1": "verified"}
