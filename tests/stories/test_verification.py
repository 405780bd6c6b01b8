"""Was it undone, in time, and who was told (S1–S3)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from tests.fakes import made
from tests.fakes.made import INTERVAL, MINUTE, SECOND, START
from tests.fakes.story import Found, Story

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.model import Condition, Limit

SHORT = (made.phase("only", "a"),)  # begins at 30 s, ends at 31 s: the first window that counts ends at 50 s


@pytest.mark.parametrize(
    ("tape", "windows", "state"),
    [
        ("BBBB..", 2, "verified"),
        ("BBBBB..", 2, "verified"),  # the breach of window 5 began after the last step
        ("BBBB.B..", 2, "unverified"),
        ("BBBB._..", 2, "unverified"),  # only ok counts, in a row
        ("BBBB.N..", 2, "unverified"),
        ("BBBB______", 2, "unverified"),
        ("BBBB.", 1, "verified"),
        ("BBBB....", 3, "verified"),
    ],
)
def test_recovery_is_consecutive_ok_windows_after_the_last_step(tape: str, windows: int, state: str) -> None:
    plan = made.plan(phases=SHORT, verify_windows=windows)
    one = Story(made.config(plans=(plan,)))
    one.tape(made.trigger(), tape, tape[-1])
    one.run(span=10 * MINUTE)
    assert one.states()["api-1"] == state


def test_windows_that_began_before_the_last_step_plus_settle_prove_nothing() -> None:
    plan = made.plan(phases=SHORT, settle=30 * SECOND)
    one = Story(made.config(plans=(plan,)))
    one.tape(made.trigger(), "BBB", ".")
    one.run(span=10 * MINUTE)
    verified = one.of(e.RollbackVerified)[0]
    seen = verified.windows["errors/"]
    last = one.of(e.StepSettled)[-1].at
    assert all(one_seen.end - INTERVAL >= last + 30 * SECOND for one_seen in seen)
    assert [x.verdict for x in seen] == ["ok", "ok"]


def test_settle_is_the_longest_range_by_default() -> None:
    trigger = made.trigger(condition=Condition("errors", Limit(">", 1.0), longest_range=45 * SECOND))
    one = Story(made.config(trigger, plans=(made.plan(phases=SHORT, settle=None),)))
    one.tape(trigger, "BBB", ".")
    one.run(span=5 * MINUTE)
    began = one.of(e.VerificationBegan)[0]
    assert began.settled - began.at == 45 * SECOND
    assert began.deadline - began.at == 45 * SECOND + 2 * 2 * INTERVAL


def test_the_recovered_condition_is_what_must_be_ok() -> None:
    trigger = made.trigger(recovered=Condition("calm", Limit(">", 1.0)))
    one = Story(made.config(trigger, plans=(made.plan(phases=SHORT),)))
    one.tape(trigger, "BBB", ".")
    one.world.readings["calm"] = lambda end: {"": "2" if end < START + 6 * INTERVAL else "0"}
    one.run(span=5 * MINUTE)
    assert one.states()["api-1"] == "verified"
    assert one.of(e.RollbackVerified)[0].at > START + 7 * INTERVAL


@pytest.mark.parametrize(
    ("answers", "on_fail", "state"),
    [
        (["pass"], "fail", "verified"),
        (["fail"], "fail", "unverified"),
        (["fail"], "warn", "verified"),
        (["pass", "cannot_tell", "pass", "pass"], "fail", "verified"),
        (["pass", "fail", "pass", "fail"], "fail", "unverified"),
    ],
)
def test_every_check_must_pass_in_a_row(
    answers: list[dict[str, Any] | str], on_fail: str, state: str
) -> None:
    check = made.query_check("well", on_fail=on_fail)
    plan = made.plan(phases=SHORT, verification=(check,), verify_within=MINUTE)
    one = Story(made.config(plans=(plan,)))
    one.world.checks["well"] = list(answers)
    one.tape(made.trigger(), "BBB", ".")
    one.run(span=5 * MINUTE)
    assert one.states()["api-1"] == state


@pytest.mark.parametrize(("after", "heard"), [(40 * SECOND, "fail"), (10 * MINUTE, None)])
def test_a_check_that_warns_is_heard_before_the_proof_counts(after: int, heard: str | None) -> None:
    """It decides nothing, but it may be the slowest; whoever never answers is waited for no longer than
    `verify_within`."""
    checks = (made.query_check("well"), made.query_check("rows", on_fail="warn"))
    plan = made.plan(phases=SHORT, verification=checks, verify_within=2 * MINUTE)
    one = Story(made.config(plans=(plan,)))
    one.world.checks["rows"] = [{"answer": "fail", "status": 1, "after": after}]
    one.tape(made.trigger(), "BBB", ".")
    one.run(span=5 * MINUTE)
    assert one.states()["api-1"] == "verified"
    answered = [event.answer for event in one.of(e.CheckAnswered) if event.name == "rows"]
    assert answered == ([heard] if heard else [])


@pytest.mark.parametrize(
    ("after", "checks", "state"),
    [
        ("_", ["pass"], "verified"),  # gone, and the declared query proves it
        ("_", ["fail"], "unverified"),
        ("B_", ["pass"], "unverified"),  # it breached since: the substitute does not count
    ],
)
def test_a_subject_that_is_gone_needs_a_declared_query(
    after: str, checks: list[dict[str, Any] | str], state: str
) -> None:
    check = made.query_check("well", on_fail="warn")
    trigger = made.trigger(per=("pod",))
    plan = made.plan(phases=SHORT, verification=(check,), verify_within=MINUTE)
    one = Story(made.config(trigger, plans=(plan,)))
    one.world.checks["well"] = checks

    def readings(end: int) -> Found:
        window = (end - START) // INTERVAL
        glyph = "B" if window <= 4 else after[min(window - 5, len(after) - 1)]
        return {"b": "0"} if glyph == "_" else {"a": "2", "b": "0"}

    one.world.readings["errors"] = readings
    one.run(span=5 * MINUTE)
    assert one.states()["api-1"] == state


def test_a_life_by_hand_without_checks_is_unverified() -> None:
    one = Story(made.config(plans=(made.plan(phases=SHORT),)))
    one.say(s.Start("api", "by hand"))
    one.run(span=10 * MINUTE)
    assert one.states() == {"api-1": "unverified"}
    assert one.state.matters["life/api-1"].cause == "unverified"


def test_unverified_keeps_its_services_and_pages() -> None:
    one = Story(made.config(plans=(made.plan(phases=SHORT),)))
    one.tape(made.trigger(), "", "B")
    one.run(span=5 * MINUTE)
    assert one.states() == {"api-1": "unverified"}
    assert one.life("api-1").holds_services
    assert any("NOT proven" in title for title in one.titles())


def test_a_gap_longer_than_the_backfill_breaks_the_run_of_ok_windows() -> None:
    """S3: consecutive means consecutive, also across an outage."""
    trigger = made.trigger(windows=1)
    plan = made.plan(phases=SHORT, verify_windows=4, verify_within=60 * MINUTE)
    one = Story(made.config(trigger, plans=(plan,)))
    one.tape(trigger, "B", ".")
    one.run(START + 5 * INTERVAL + SECOND)
    one.world.silent = [(one.now, one.now + 5 * MINUTE)]
    one.run_to_state("api-1", "verified")
    seen = one.of(e.RollbackVerified)[0].windows["errors/"]
    ends = [x.end for x in seen[-4:]]
    assert [b - a for a, b in pairwise(ends)] == [INTERVAL] * 3


def test_a_restart_does_not_lose_what_was_proven() -> None:
    trigger = made.trigger(windows=1)
    plan = made.plan(phases=SHORT, verify_windows=8)
    one = Story(made.config(trigger, plans=(plan,)))
    one.tape(trigger, "B", ".")
    one.run(START + 8 * INTERVAL + SECOND)
    one.restart(down=SECOND)
    one.run_to_state("api-1", "verified")
    assert one.now < START + 11 * INTERVAL


def test_a_daemon_that_was_down_past_the_deadline_judges_what_it_missed() -> None:
    one = Story(made.config(plans=(made.plan(phases=SHORT),)))
    one.tape(made.trigger(), "BBB", ".")
    one.run_to_state("api-1", "verifying")
    one.restart(down=10 * MINUTE)
    one.run(span=MINUTE)
    assert one.states() == {"api-1": "verified"}


@pytest.mark.parametrize(
    ("level", "word"), [(2, "review the plan"), (3, "incident review"), (4, "executive review")]
)
def test_an_sla_breach_pages_when_it_happens_and_names_the_consequence(level: int, word: str) -> None:
    plan = made.plan(phases=SHORT, level=level, sla=2 * MINUTE)
    one = Story(made.config(plans=(plan,)))
    one.world.steps["a"] = [{"after": 3 * MINUTE}]
    one.tape(made.trigger(), "BBB", ".")
    one.run_to(lambda: bool(one.of(e.SlaBreached)))
    assert one.now - one.of(e.RollbackBegan)[0].decided == 2 * MINUTE
    assert word in one.of(e.SlaBreached)[0].consequence
    one.run(span=SECOND)
    assert any("SLA" in title for title in one.titles())
    one.run(span=10 * MINUTE)
    assert one.states() == {"api-1": "verified"}
    assert one.state.matters == {}


def test_a_trigger_deleted_while_verifying_stays_pinned() -> None:
    """Fault 65, I15."""
    one = Story(made.config(plans=(made.plan(phases=SHORT),)))
    one.tape(made.trigger(), "BBBB", ".")
    one.run_to_state("api-1", "verifying")
    other = made.trigger("other", "other")
    one.turn(s.ConfigurationLoaded(made.config(other, plans=(made.plan("other"),), hash="config-2")))
    one.run(span=5 * MINUTE)
    assert one.states() == {"api-1": "verified"}


def test_a_reload_during_a_life_changes_nothing_of_it() -> None:
    """I15."""
    one = Story(made.config())
    one.tape(made.trigger(), "BBBB", ".")
    one.run_to_state("api-1", "running")
    changed = made.plan(phases=(made.phase("other", "other"),), hash="new")
    trigger = made.trigger(windows=9, fingerprint="errors-2")
    one.turn(s.ConfigurationLoaded(made.config(trigger, plans=(changed,), hash="config-2")))
    one.run(span=5 * MINUTE)
    assert one.ran() == ["drain", "revert", "open"]
    assert one.states() == {"api-1": "verified"}


def test_finish_only_finishes_what_is_open_and_starts_nothing() -> None:
    """J2: the configuration cannot be used at start, while a life is open."""
    second = made.trigger("second", "second")
    one = Story(made.config(made.trigger(), second, plans=(made.plan(), made.plan("second"))))
    one.tape(made.trigger(), "BBBB", ".")
    one.tape(second, "." * 6, "B")
    one.run_to_state("api-1", "running")
    one.restart(unusable="triggers/api.yml:3:1: bad")
    one.run(span=5 * MINUTE)
    assert one.states() == {"api-1": "verified"}
    assert one.state.matters["configuration/files"].kind == "configuration"
    assert not one.say(s.Start("api", "more")).accepted
    one.turn(s.ConfigurationLoaded(one.config))
    assert "configuration/files" not in one.state.matters
    one.run(span=MINUTE)
    assert "second-1" in one.states()


def test_a_start_in_the_middle_of_the_proof_does_not_make_the_subject_gone() -> None:
    """Until Prometheus has answered the new daemon, nothing is known of the subject; and it is breaching."""
    plan = made.plan(phases=SHORT, verification=(made.query_check("well", windows=1),), verify_windows=1)
    one = Story(made.config(plans=(plan,)))
    one.tape(made.trigger(), "BBBB", "B")
    one.run_to(lambda: any("/verify/" in answered.check for answered in one.of(e.CheckAnswered)))
    assert one.state_of("api-1") == "verifying"
    one.restart()
    one.run(span=5 * MINUTE)
    assert one.states()["api-1"] == "unverified"


def test_time_held_does_not_count_against_the_proof() -> None:
    """S3, X9."""
    one = Story(made.config())
    one.world.readings["errors"] = lambda _: {"": "2"}
    one.run_to_state("api-1", "verifying")
    one.run(span=SECOND)
    deadline = one.of(e.VerificationBegan)[0].deadline
    one.say(s.Hold("api-1"))
    one.run(until=deadline + 5 * MINUTE)
    one.say(s.Resume("api-1"))
    one.world.readings["errors"] = lambda _: {"": "0"}
    one.run(span=MINUTE)
    assert one.states() == {"api-1": "verified"}


def test_each_trigger_of_a_life_is_proven_by_itself() -> None:
    asked: dict[str, Any] = {"action": "ask", "severity": "medium"}
    one = Story(made.config(made.trigger("errors", **asked), made.trigger("latency", **asked)))
    for name in ("errors", "latency"):
        one.world.readings[name] = lambda _: {"": "2"}
    one.run(span=MINUTE)
    one.say(s.Approve("api-1"))
    one.run_to_state("api-1", "verifying")
    assert len(one.life("api-1").firings) == 2
    one.world.readings["errors"] = lambda _: {"": "0"}
    one.run(span=15 * SECOND)
    one.world.readings["latency"] = lambda _: {"": "0"}
    one.run(span=MINUTE)
    assert one.states() == {"api-1": "verified"}


@pytest.mark.parametrize(("within", "deadline"), [(None, 40 * SECOND), (25 * SECOND, 25 * SECOND)])
def test_the_proof_has_as_long_as_the_plan_says(within: int | None, deadline: int) -> None:
    """S3: else settle + 2 · windows · I."""
    one = Story(made.config(plans=(made.plan(verify_within=within),)))
    one.tape(one.config.triggers[0], "", "B")
    one.run_to_state("api-1", "unverified")
    [began] = one.of(e.VerificationBegan)
    assert began.deadline == began.at + deadline
    assert one.of(e.LifeEnded)[0].at == began.deadline
