"""Two things at one moment: one comes first, and the other is told (faults 50, 66)."""

from __future__ import annotations

from tests.fakes import made
from tests.fakes.made import MINUTE
from tests.fakes.story import Story

from rollbackd.core import events as e
from rollbackd.core import signals as s


def asked() -> Story:
    trigger = made.trigger(severity="medium", action="ask", expires=15 * MINUTE)
    one = Story(made.config(trigger))
    one.tape(trigger, "BBB", "B")
    one.run_to(lambda: one.state_of("api-1") == "waiting_approval")
    return one


def test_50_an_acknowledgement_at_the_next_rungs_moment_has_one_winner() -> None:
    """Fault 50: the rung that was due is reached before, or not at all, and never twice."""
    one = asked()
    ladder = one.state.matters["life/api-1"].ladder
    one.run(until=one.state.matters["life/api-1"].opened + ladder[1].after)
    one.say(s.Ack("api-1"))
    rungs = [event.rung for event in one.of(e.RungReached)]
    assert rungs == sorted(set(rungs))
    reached = len(rungs)
    one.run(span=9 * MINUTE)  # not to the end of the approval, a new cause
    later = [event for event in one.of(e.RungReached)[reached:] if ladder[event.rung].until == "acked"]
    assert later == []


def test_approve_and_veto_at_once_have_one_winner() -> None:
    """Fault 66."""
    one = asked()
    one.say(s.Approve("api-1"))
    one.say(s.Veto("api-1"))
    assert one.of(e.RollbackBegan)
    assert (one.replies[-1].accepted, one.replies[-1].conflict) == (False, True)
    one.say(s.Approve("api-1"))
    assert one.replies[-1].accepted
    assert len(one.of(e.LifeApproved)) == 1
