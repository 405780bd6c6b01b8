"""Steps that people do: gates and what is done by hand (X1, X4, X9, E3)."""

from __future__ import annotations

import pytest
from tests.fakes import made
from tests.fakes.made import MINUTE, SECOND, phase, step
from tests.fakes.story import Story

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.model import Gate, Limit, Manual, Phase, Query, ReversibleWhile, Step, StepVerify

GATE = Step("sign-off", gate=Gate("the release owner"))
DNS = Step("flip-dns", manual=Manual("Point api.example to the old pool", "netops"))
PASSING = (made.query_check("well"),)


def story(*phases: Phase, guard: ReversibleWhile | None = None) -> Story:
    plan = made.plan(phases=phases, verify_windows=0, verification=PASSING, reversible_while=guard)
    one = Story(made.config(plans=(plan,)))
    one.say(s.Start("api", "by hand"), actor="ann")
    return one


@pytest.mark.parametrize(("person", "cause"), [(GATE, "gate"), (DNS, "manual")])
def test_the_plan_waits_for_a_person_for_as_long_as_it_takes(person: Step, cause: str) -> None:
    one = story(phase("only", "drain", person, "revert"))
    one.run(span=60 * MINUTE)
    assert (one.state_of("api-1"), one.ran()) == ("parked", ["drain"])
    assert one.state.matters["life/api-1"].cause == cause
    assert len(one.of(e.LifeParked)) == 1


def test_an_approved_gate_lets_the_plan_go_on() -> None:
    one = story(phase("only", "drain", GATE, "revert"))
    one.run(span=30 * MINUTE)
    assert one.say(s.Approve("api-1", comment="looks right"), actor="bob").accepted
    one.run(span=MINUTE)
    assert one.ran() == ["drain", "revert"]
    passed = [(x.step, x.by, x.comment) for x in one.of(e.GateApproved)]
    assert passed == [("sign-off", "bob", "looks right")]
    assert [(x.step, x.result, x.by) for x in one.of(e.StepSettled)][1] == ("sign-off", "done", "bob")
    assert "life/api-1" not in one.state.matters


def test_the_wait_at_a_gate_does_not_count_against_the_plans_timeout() -> None:
    """X9."""
    one = story(phase("only", "drain", GATE, "revert"))
    one.run(span=120 * MINUTE)
    one.say(s.Approve("api-1"), actor="bob")
    one.run(span=MINUTE)
    assert [x.reason for x in one.of(e.LifeParked)] == ["gate"]


def test_a_gate_survives_a_restart_and_pages_on() -> None:
    one = story(phase("only", "drain", GATE, "revert"))
    one.run(span=MINUTE)
    one.restart(down=10 * MINUTE)
    one.run(span=MINUTE)
    assert one.state_of("api-1") == "parked"
    one.say(s.Approve("api-1"), actor="bob")
    one.run(span=MINUTE)
    assert one.ran() == ["drain", "revert"]


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        (s.Resume("api-1"), "rollbackd approve api-1"),
        (s.Confirm("api-1", "sign-off", "done"), "no step waits to be confirmed"),
        (s.Approve("api-1", revision=1), "moved on"),
    ],
)
def test_only_an_approval_opens_a_gate(verb: s.Verb, says: str) -> None:
    one = story(phase("only", "drain", GATE))
    one.run(span=MINUTE)
    reply = one.say(verb)
    assert not reply.accepted
    assert says in reply.text
    assert one.state_of("api-1") == "parked"


def test_whoever_asked_for_it_does_not_open_a_gate_past_the_point_of_no_return() -> None:
    point = step("drop", irreversible=True, interrupt="never")
    one = story(phase("only", point, GATE, "revert"))
    one.run(span=MINUTE)
    refused = one.say(s.Approve("api-1"), actor="ann")
    assert refused.conflict
    assert "somebody else approves" in refused.text
    assert one.say(s.Approve("api-1"), actor="bob").accepted


def test_before_the_point_of_no_return_whoever_asked_may_approve() -> None:
    one = story(phase("only", "drain", GATE, step("drop", irreversible=True, interrupt="never")))
    one.run(span=MINUTE)
    assert one.say(s.Approve("api-1"), actor="ann").accepted


def test_a_guarded_phase_takes_two() -> None:
    guard = ReversibleWhile(made.command("before"), guards=("database",))
    one = story(phase("first", "drain"), phase("database", GATE, "restore"), guard=guard)
    one.run(span=MINUTE)
    assert one.state_of("api-1") == "parked"
    assert one.say(s.Approve("api-1"), actor="ann").conflict
    assert one.say(s.Approve("api-1"), actor="bob").accepted


def test_what_was_done_by_hand_is_confirmed_and_verified() -> None:
    verify = StepVerify(Query("dns", Limit("==", 0.0)), 30 * SECOND)
    by_hand = Step("flip-dns", manual=Manual("Point it back", "netops"), verify=verify)
    one = story(phase("only", by_hand, "revert"))
    one.run(span=MINUTE)
    assert one.say(s.Confirm("api-1", "flip-dns", "retry")).conflict
    one.say(s.Confirm("api-1", "flip-dns", "done"), actor="cem")
    one.run(span=MINUTE)
    assert next((x.step, x.by) for x in one.of(e.StepSettled)) == ("flip-dns", "cem")
    assert one.ran() == ["revert"]


def test_skipping_it_is_on_record() -> None:
    one = story(phase("only", DNS, "revert"))
    one.run(span=MINUTE)
    one.say(s.Confirm("api-1", "flip-dns", "skip", comment="the pool is gone"))
    one.run(span=MINUTE)
    assert [x.result for x in one.of(e.StepSettled)] == ["skipped", "done"]


@pytest.mark.parametrize("person", [GATE, DNS])
def test_abort_while_it_waits_ends_it(person: Step) -> None:
    one = story(phase("only", "drain", person, "revert"))
    one.run(span=MINUTE)
    one.say(s.Abort("api-1"))
    one.run(span=SECOND)
    assert one.state_of("api-1") == "aborted"


def test_a_gate_of_the_clean_up_waits_outside_the_sla() -> None:
    one = story(phase("only", "drain"), phase("tidy", GATE, "remove", after_verified=True))
    one.run(span=60 * MINUTE)
    assert one.of(e.SlaBreached) == []
    assert one.say(s.Approve("api-1"), actor="bob").accepted
    one.run(span=MINUTE)
    assert one.states() == {"api-1": "verified"}


def test_what_was_done_by_hand_and_is_not_so_has_failed() -> None:
    """Nobody tries it again by themselves: there is no program to run."""
    verify = StepVerify(Query("dns", Limit("==", 0.0)), 30 * SECOND)
    by_hand = Step("flip-dns", manual=Manual("Point it back", "netops"), verify=verify)
    one = story(phase("only", by_hand, "revert"))
    one.world.checks["flip-dns verify"] = ["fail"]
    one.run(span=MINUTE)
    assert one.say(s.Confirm("api-1", "flip-dns", "done"), actor="cem").accepted
    one.run(span=5 * MINUTE)
    assert (one.state_of("api-1"), one.ran()) == ("failed", [])


@pytest.mark.parametrize(("later", "state", "ran"), [(0, "verified", ["drop"]), (20, "failed", [])])
@pytest.mark.parametrize("person", [GATE, DNS])
def test_after_a_person_in_a_guarded_phase_the_point_is_looked_for_again(
    person: Step, later: int, state: str, ran: list[str]
) -> None:
    """D2: hours may have passed, and what could be undone then cannot be now."""
    guard = ReversibleWhile(made.command("before.sh"), ("data",), alternative_plan="api-forward")
    one = story(phase("data", person, step("drop")), guard=guard)
    one.run(span=MINUTE)
    assert one.state_of("api-1") == "parked"
    one.world.checks["reversible_while"] = [{"answer": "pass" if later == 0 else "fail", "status": later}]
    one.run(span=60 * MINUTE)
    if person is GATE:
        assert one.say(s.Approve("api-1"), actor="bob").accepted
    else:
        assert one.say(s.Confirm("api-1", "flip-dns", "done"), actor="bob").accepted
    one.run(span=MINUTE)
    assert (one.state_of("api-1"), one.ran()) == (state, ran)
    if later == 20:
        assert "the way forward is plan api-forward" in one.life("api-1").end_detail


def test_within_a_guarded_phase_the_point_is_looked_for_once() -> None:
    guard = ReversibleWhile(made.command("before.sh"), ("data",))
    one = story(phase("data", "one", "two"), guard=guard)
    one.run(span=MINUTE)
    asked = [question.key for _, question in one.world.questions if "guard/" in question.key]
    assert asked == ["check/api-1/guard/data"]
