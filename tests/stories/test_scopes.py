"""Parts of a plan: chosen, run by themselves, widened (X7, D3, D10)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fakes import made
from tests.fakes.made import MINUTE, SECOND, phase, step
from tests.fakes.story import Story

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.model import ALL, Plan, Scope, Step

PASSING = (made.query_check("well"),)
PHASES = (phase("stop", "drain"), phase("database", "restore"), phase("application", "deploy"))


API = ("api",)


def scope(name: str, *phases: str, services: tuple[str, ...] = API, widen_to: str | None = None) -> Scope:
    return Scope(name, phases, services, widen_to)


def plan(*scopes: Scope, **changes: Any) -> Plan:
    settings: dict[str, Any] = {"phases": PHASES, "verify_windows": 0, "verification": PASSING}
    return made.plan(services=("api", "db"), scopes=scopes, **(settings | changes))


def started(*scopes: Scope, of: str, script: Any = None, **changes: Any) -> Story:
    one = Story(made.config(plans=(plan(*scopes, **changes),)))
    one.world.steps.update(script or {})
    one.say(s.Start("api", "by hand", scope=of))
    return one


def test_a_part_runs_its_phases_on_its_services() -> None:
    one = started(scope("application", "application"), of="application")
    assert one.life("api-1").plan.services == ("api",)
    one.run(span=5 * MINUTE)
    assert one.ran() == ["deploy"]
    assert one.states() == {"api-1": "verified"}
    assert list(one.state.spent) == ["api"]


def test_an_unknown_scope_is_refused_with_those_there_are() -> None:
    one = Story(made.config(plans=(plan(scope("application", "application")),)))
    reply = one.say(s.Start("api", "by hand", scope="app"))
    assert not reply.accepted
    assert "all, application" in reply.text


@pytest.mark.parametrize("widen_to", [ALL, "most"])
def test_a_failed_part_goes_on_as_the_wider_plan_from_its_beginning(widen_to: str) -> None:
    most = scope("most", "stop", "application", services=("api", "db"))
    one = started(
        scope("application", "application", widen_to=widen_to),
        most,
        of="application",
        script={"deploy": [{"status": 1}]},
    )
    one.run(span=5 * MINUTE)
    wider = ["drain", "restore", "deploy"] if widen_to == ALL else ["drain", "deploy"]
    assert one.ran() == ["deploy", *wider]
    assert one.states() == {"api-1": "verified"}
    assert set(one.state.spent) == {"api", "db"}
    assert len(one.of(e.ScopeWidened)) == 1
    assert one.of(e.LifeEnded)[0].end == "verified"


def test_widening_goes_on_step_by_step() -> None:
    scopes = (
        scope("application", "application", widen_to="most"),
        scope("most", "stop", "application", widen_to=ALL, services=("api", "db")),
    )
    one = started(*scopes, of="application", script={"deploy": [{"status": 1}, {"status": 1}]})
    one.run(span=5 * MINUTE)
    assert one.ran() == ["deploy", "drain", "deploy", "drain", "restore", "deploy"]
    assert [x.plan.scope for x in one.of(e.ScopeWidened)] == ["most", ALL]


def test_it_is_not_widened_on_to_a_service_that_another_life_holds() -> None:
    """D3."""
    database = scope("database", "database", services=("db",))
    one = started(
        scope("application", "application", widen_to=ALL),
        database,
        of="application",
        script={"deploy": [{"after": 2 * MINUTE, "status": 1}], "restore": [{"after": 4 * MINUTE}]},
    )
    assert one.say(s.Start("api", "both", scope="database")).accepted
    one.run(span=3 * MINUTE)
    assert one.state_of("api-1") == "failed"
    assert "not widened to all: api-2 holds a service of it" in one.of(e.LifeEnded)[0].detail


def test_two_parts_run_beside_each_other_where_they_share_no_service() -> None:
    database = scope("database", "database", services=("db",))
    one = started(scope("application", "application"), database, of="application")
    assert one.say(s.Start("api", "both", scope="database")).accepted
    one.run(span=5 * MINUTE)
    assert one.states() == {"api-1": "verified", "api-2": "verified"}


def test_an_aborted_part_is_not_widened() -> None:
    one = started(
        scope("application", "application", widen_to=ALL),
        of="application",
        script={"deploy": [{"after": MINUTE, "status": 1}]},
    )
    one.say(s.Abort("api-1"))
    one.run(span=5 * MINUTE)
    assert one.state_of("api-1") == "failed"
    assert one.ran() == ["deploy"]


def test_what_is_left_of_a_step_stands_against_widening() -> None:
    one = started(
        scope("application", "application", widen_to=ALL),
        of="application",
        script={"deploy": [{"status": 1, "tree_gone": False}]},
    )
    one.run(span=MINUTE)
    assert one.state_of("api-1") == "failed"
    assert one.ran() == ["deploy"]


def test_a_trigger_chooses_its_part_and_each_part_is_a_life_of_its_own() -> None:
    """D10."""
    parts = plan(scope("application", "application"), scope("database", "database", services=("db",)))
    triggers = (made.trigger("app", scope="application"), made.trigger("data", scope="database"))
    one = Story(made.config(*triggers, plans=(parts,)))
    for each in triggers:
        one.tape(each, "", "B")
    one.run(span=5 * MINUTE)
    began = {(x.life, x.plan.scope, x.plan.services) for x in one.of(e.RollbackBegan)}
    assert began == {("api-1", "application", ("api",)), ("api-2", "database", ("db",))}


def test_a_part_started_by_hand_leaves_what_waits_on_other_services_alone() -> None:
    parts = plan(
        scope("application", "application"), scope("database", "database", services=("db",)), verify_windows=0
    )
    trigger = made.trigger("app", scope="application", action="ask")
    one = Story(made.config(trigger, plans=(parts,)))
    one.tape(trigger, "", "B")
    one.run_to_state("api-1", "waiting_approval")
    assert one.say(s.Start("api", "the data", scope="database")).accepted
    assert one.state_of("api-1") == "waiting_approval"
    one.run_to_state("api-2", "verified")
    assert one.say(s.Start("api", "all of it")).accepted
    assert one.state_of("api-1") == "superseded"


def test_a_part_that_does_not_cure_it_widens() -> None:
    """Its steps ran, and the subject breached on: seen, not guessed."""
    parts = plan(scope("application", "application", widen_to=ALL), verify_windows=3)
    trigger = made.trigger(scope="application")
    one = Story(made.config(trigger, plans=(parts,)))
    one.tape(trigger, "", "B")
    one.run(span=20 * MINUTE)
    assert [x.plan.scope for x in one.of(e.ScopeWidened)] == [ALL]
    assert one.ran() == ["deploy", "drain", "restore", "deploy"]
    assert one.state_of("api-1") == "unverified"


def test_silence_widens_nothing() -> None:
    parts = plan(scope("application", "application", widen_to=ALL), verify_windows=3)
    trigger = made.trigger(scope="application")
    one = Story(made.config(trigger, plans=(parts,)))
    one.tape(trigger, "BBB", "_")
    one.run(span=20 * MINUTE)
    assert one.of(e.ScopeWidened) == []


def test_a_widened_life_survives_a_restart() -> None:
    one = started(
        scope("application", "application", widen_to=ALL),
        of="application",
        script={"deploy": [{"status": 1}], "drain": [{"after": 2 * MINUTE}]},
    )
    one.run(span=MINUTE)
    one.restart(down=30 * SECOND)
    one.run(span=5 * MINUTE)
    assert one.ran() == ["deploy", "drain", "restore", "deploy"]
    assert one.states() == {"api-1": "verified"}


# A failed phase that the plan goes on without (X7)


def lenient(*steps: Step | str) -> tuple[Any, ...]:
    return (phase("warm", *steps, on_failure="continue"), phase("application", "deploy"))


def test_the_plan_goes_on_without_the_rest_of_a_failed_phase_and_people_are_told() -> None:
    one = started(of=ALL, phases=lenient("flush", "prefetch"), script={"flush": [{"status": 1}]})
    one.run(span=5 * MINUTE)
    assert one.ran() == ["flush", "deploy"]
    assert one.states() == {"api-1": "verified"}
    assert one.state.matters["life/api-1"].cause == "phase_failed"
    assert one.say(s.Resolve("api-1", "by hand", "flushed")).accepted
    assert one.state.lives == {}


def test_a_failed_phase_does_not_hold_an_abort_up() -> None:
    slow = step("flush")
    one = started(of=ALL, phases=lenient(slow), script={"flush": [{"after": MINUTE, "status": 1}]})
    one.say(s.Abort("api-1"))
    one.run(span=5 * MINUTE)
    assert one.ran() == ["flush"]
    assert one.state_of("api-1") == "aborted"


def test_only_the_very_first_step_of_a_life_has_a_last_moment() -> None:
    """W7: when a part failed, something has run; the wider plan cannot be too late."""
    parts = plan(scope("application", "application", widen_to=ALL), verify_windows=3)
    trigger = made.trigger(scope="application")
    one = Story(made.config(trigger, plans=(parts,)))
    one.world.steps["deploy"] = [{"after": 5 * MINUTE, "status": 1}]
    one.tape(trigger, "BBB", ".")
    one.run(span=20 * MINUTE)
    assert [x.not_after is not None for x in one.of(e.StepOrdered)] == [True, False, False, False]
    assert one.ran() == ["deploy", "drain", "restore", "deploy"]


@pytest.mark.parametrize("answer", ["done", "skip"])
def test_what_is_left_of_a_step_that_a_person_called_over_stands_against_widening(answer: Any) -> None:
    """The wider plan would run it again beside itself (X4)."""
    one = started(
        scope("application", "stop", "application", widen_to=ALL),
        of="application",
        script={"drain": [{"outcome": "timed_out", "tree_gone": False}], "deploy": [{"status": 1}]},
    )
    one.run(span=MINUTE)
    assert one.say(s.Confirm("api-1", "drain", answer)).accepted
    one.run(span=MINUTE)
    assert one.state_of("api-1") == "failed"
    assert one.ran() == ["drain", "deploy"]


def test_what_is_widened_to_counts_as_rolled_back_as_often_and_is_spent_anew() -> None:
    """D2, D6; also where a person rearmed the plan meanwhile."""
    one = started(
        scope("application", "application", widen_to=ALL),
        of="application",
        script={"deploy": [{"after": MINUTE, "status": 1}]},
    )
    one.run(span=30 * SECOND)
    assert one.say(s.Rearm(plan="api", comment="looked at it")).accepted
    one.run(span=5 * MINUTE)
    assert set(one.state.spent) == {"api", "db"}
    assert [mark.services for mark in one.state.rate] == [("api", "db")]
