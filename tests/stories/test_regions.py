"""Steps that run in each region: serial, parallel, capped; the SLA of each (X1, S1)."""

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
REGIONS = ("eu", "us", "ap")


def plan(*steps: Step | str, **changes: Any) -> Plan:
    settings: dict[str, Any] = {
        "phases": (phase("only", *steps),),
        "verify_windows": 0,
        "verification": PASSING,
        "regions": REGIONS,
    }
    return made.plan(**(settings | changes))


def running(*steps: Step | str, script: Any = None, scope: str = ALL, **changes: Any) -> Story:
    one = Story(made.config(plans=(plan(*steps, **changes),)))
    one.world.steps.update(script or {})
    one.say(s.Start("api", "by hand", scope=scope))
    return one


def at_once(one: Story) -> int:
    """The most steps that ran at the same time."""
    most = open_ = 0
    for event in one.events:
        if isinstance(event, e.StepOrdered | e.StepEnded):
            open_ += 1 if isinstance(event, e.StepOrdered) else -1
            most = max(most, open_)
    return most


SERIAL, PARALLEL = step("go", each="serial"), step("go", each="parallel")
EVERYWHERE = ["go@eu", "go@us", "go@ap"]


@pytest.mark.parametrize(("each", "most"), [(SERIAL, 1), (PARALLEL, 3)])
def test_a_step_runs_in_each_region_before_the_next_step(each: Step, most: int) -> None:
    one = running("before", each, "after", script={name: [{"after": 10 * SECOND}] for name in EVERYWHERE})
    one.run(span=5 * MINUTE)
    assert one.ran() == ["before", *EVERYWHERE, "after"]
    assert at_once(one) == most
    assert one.states() == {"api-1": "verified"}


@pytest.mark.parametrize(("cap", "most"), [(1, 1), (2, 2), (5, 3)])
def test_a_cap_on_how_many_at_once(cap: int, most: int) -> None:
    script = {name: [{"after": 10 * SECOND}] for name in EVERYWHERE}
    one = running("before", PARALLEL, script=script, at_once=cap)
    one.run(span=5 * MINUTE)
    assert sorted(one.ran()) == sorted(["before", *EVERYWHERE])
    assert at_once(one) == most


def test_a_step_knows_its_region() -> None:
    one = running(step("go", each="parallel", regions=("us", "ap")))
    one.run(span=MINUTE)
    seen = [(x.env["ROLLBACK_REGION"], x.env["ROLLBACK_STEP"]) for _, x in one.world.orders]
    assert seen == [("us", "go@us"), ("ap", "go@ap")]


def test_one_that_fails_stops_the_rest_and_lets_run_what_runs() -> None:
    script: Any = {"go@eu": [{"after": 10 * SECOND, "status": 1}], "go@us": [{"after": MINUTE}]}
    one = running("before", PARALLEL, "after", script=script, at_once=2)
    one.run(span=30 * SECOND)
    assert one.state_of("api-1") == "running"
    one.run(span=2 * MINUTE)
    assert one.state_of("api-1") == "failed"
    assert one.ran() == ["before", "go@eu", "go@us"]
    assert [(x.step, x.result) for x in one.of(e.StepSettled)][1:] == [("go@eu", "failed"), ("go@us", "done")]
    assert "go@eu: exit 1" in one.of(e.LifeEnded)[0].detail


def test_two_that_fail_end_it_once() -> None:
    script: Any = {name: [{"after": 10 * SECOND, "status": 1}] for name in EVERYWHERE}
    one = running(PARALLEL, script=script)
    one.run(span=MINUTE)
    assert one.state_of("api-1") == "failed"
    assert len(one.of(e.LifeEnded)) == 1


def test_no_other_region_is_tried_again_once_one_failed() -> None:
    script: Any = {
        "go@eu": [{"after": 10 * SECOND, "status": 1}] * 2,
        "go@us": [{"after": 20 * SECOND, "status": 1}, {}],
    }
    one = running(
        step("go", each="parallel", regions=("eu", "us"), attempts=2, backoff=2 * SECOND), script=script
    )
    one.run(span=5 * MINUTE)
    assert one.state_of("api-1") == "failed"
    assert one.ran() == ["go@eu", "go@us", "go@eu"]


def test_the_very_first_start_alone_is_looked_at_for_freshness() -> None:
    """W7: the other regions start once one of them has."""
    trigger = made.trigger()
    one = Story(made.config(trigger, plans=(plan(PARALLEL),)))
    one.tape(trigger, "", "B")
    one.run_to_state("api-1", "running")
    one.run(span=10 * SECOND)
    orders = one.of(e.StepOrdered)
    assert [x.not_after is not None for x in orders] == [True, False, False]
    started = next(x.at for x in one.of(e.StepStarted))
    assert all(x.at >= started for x in orders[1:])


def test_one_region_in_doubt_parks_the_life_and_the_others_end() -> None:
    script: Any = {"go@us": [{"outcome": "in_doubt"}], "go@ap": [{"after": MINUTE}]}
    one = running("before", PARALLEL, "after", script=script)
    one.run(span=5 * MINUTE)
    assert one.state_of("api-1") == "parked"
    assert one.ran() == ["before", *EVERYWHERE]
    refused = one.say(s.Confirm("api-1", "go@eu", "done"))
    assert refused.conflict
    assert one.say(s.Confirm("api-1", "go@us", "done"), actor="ann").accepted
    one.run(span=5 * MINUTE)
    assert one.ran()[-1] == "after"
    assert one.states() == {"api-1": "verified"}


def test_two_regions_in_doubt_are_asked_about_one_after_the_other() -> None:
    script: Any = {"go@eu": [{"outcome": "in_doubt"}], "go@us": [{"outcome": "in_doubt"}]}
    one = running(PARALLEL, script=script)
    one.run(span=MINUTE)
    for name in ("go@eu", "go@us"):
        assert one.life("api-1").parked is not None
        assert one.say(s.Confirm("api-1", name, "done")).accepted, name
    one.run(span=5 * MINUTE)
    assert one.states() == {"api-1": "verified"}


@pytest.mark.parametrize("now", [False, True])
def test_abort_ends_it_once_no_region_runs(now: bool) -> None:
    script: Any = {
        "go@eu": [{"after": 10 * SECOND}],
        "go@us": [{"after": MINUTE}],
        "go@ap": [{"after": MINUTE}],
    }
    one = running(PARALLEL, "after", script=script)
    one.run(span=5 * SECOND)
    one.say(s.Abort("api-1", now=now))
    one.run(span=2 * MINUTE)
    assert one.state_of("api-1") == "aborted"
    assert sorted(one.ran()) == sorted(EVERYWHERE)
    ended = {x.step for x in one.of(e.StepEnded)}
    assert ended == set(EVERYWHERE), "nothing was left running"


def test_a_hold_lets_what_runs_end_and_starts_nothing() -> None:
    one = running(SERIAL, script={"go@eu": [{"after": 10 * SECOND}]})
    one.run(span=5 * SECOND)
    one.say(s.Hold("api-1"))
    one.run(span=5 * MINUTE)
    assert one.ran() == ["go@eu"]
    one.say(s.Resume("api-1"))
    one.run(span=5 * MINUTE)
    assert one.ran() == EVERYWHERE


def test_a_restart_finds_every_region_again() -> None:
    script: Any = {name: [{"after": 2 * MINUTE}] for name in EVERYWHERE}
    one = running(PARALLEL, "after", script=script)
    one.run(span=10 * SECOND)
    one.restart(down=30 * SECOND)
    one.run(span=5 * MINUTE)
    assert one.ran() == [*EVERYWHERE, "after"]
    assert one.states() == {"api-1": "verified"}


def test_a_scope_is_one_region_alone_and_the_steps_of_no_region() -> None:
    one = running(
        "before",
        SERIAL,
        scope="eu",
        scopes=(Scope("eu", ("only",), ("api",), widen_to=ALL, regions=("eu",)),),
    )
    one.run(span=5 * MINUTE)
    assert one.ran() == ["before", "go@eu"]


def test_going_on_from_a_region() -> None:
    one = Story(made.config(plans=(plan("before", SERIAL),)))
    one.say(s.Start("api", "by hand", from_step="go@us"))
    one.run(span=5 * MINUTE)
    assert one.ran() == ["go@us", "go@ap"]


def test_the_sla_is_of_each_region() -> None:
    """S1: a slow region breaches its own; those that come one after the other have their time each."""
    script: Any = {
        "go@eu": [{"after": 8 * MINUTE}],
        "go@us": [{"after": 12 * MINUTE}],
        "go@ap": [{"after": MINUTE}],
    }
    long = Step("go", made.command("go", timeout=60 * MINUTE), each="serial")
    one = running(long, script=script, level=4, sla=10 * MINUTE, timeout=60 * MINUTE)
    one.run(span=25 * MINUTE)
    assert [(x.region, x.sla) for x in one.of(e.SlaBreached)] == [("us", 10 * MINUTE)]
    assert [m.labels.get("region") for m in one.state.matters.values() if m.kind == "sla"] in ([], ["us"])
    assert one.states() == {"api-1": "verified"}


def test_regions_at_once_share_one_clock() -> None:
    script: Any = {"go@us": [{"after": 12 * MINUTE}]}
    long = Step("go", made.command("go", timeout=60 * MINUTE), each="parallel")
    one = running(long, script=script, level=4, sla=10 * MINUTE, timeout=60 * MINUTE)
    one.run(span=20 * MINUTE)
    assert sorted(x.region for x in one.of(e.SlaBreached)) == ["", "us"]


def lenient(each: Step) -> tuple[Any, ...]:
    return (phase("warm", each, on_failure="continue"), phase("then", "deploy"))


def test_a_phase_that_may_fail_ends_in_every_region_before_the_next_begins() -> None:
    """X1, X7: what runs in the others ends, and nothing more of it is started; then the plan goes on."""
    script: Any = {
        "go@eu": [{"after": 10 * SECOND, "status": 1}],
        "go@us": [{"after": MINUTE, "status": 1}, {}],
    }
    retried = step("go", each="parallel", attempts=2)
    one = running(phases=lenient(retried), script={**script, "go@eu": script["go@eu"] * 2}, at_once=2)
    one.run(span=5 * MINUTE)
    assert one.ran() == ["go@eu", "go@us", "go@eu", "deploy"]
    assert at_once(one) == 2
    assert [(x.step, x.result) for x in one.of(e.StepSettled)] == [
        ("go@eu", "failed"),
        ("go@us", "failed"),
        ("deploy", "done"),
    ]
    assert len(one.of(e.PhaseFailed)) == 1
    assert one.states() == {"api-1": "verified"}


def test_what_pauses_in_a_region_is_given_up_when_another_failed_for_good() -> None:
    script: Any = {"go@eu": [{"status": 1}] * 2, "go@us": [{"after": 30 * SECOND, "status": 1}, {}]}
    retried = step("go", each="parallel", attempts=2, backoff=MINUTE, regions=("eu", "us"))
    one = running(phases=lenient(retried), script=script)
    one.run(span=5 * MINUTE)
    assert one.ran() == ["go@eu", "go@us", "go@eu", "deploy"]
    assert [x.result for x in one.of(e.StepSettled)] == ["failed", "failed", "done"]
    assert one.states() == {"api-1": "verified"}


def test_a_step_that_hangs_is_told_of_anew_once_another_region_was_answered() -> None:
    """X9: the pages of a life are one matter; it does not end while something hangs."""
    script: Any = {"go@eu": [{"after": 30 * MINUTE}], "go@us": [{"outcome": "in_doubt", "after": 2 * MINUTE}]}
    hangs = step("go", each="parallel", interrupt="never", regions=("eu", "us"))
    one = running(hangs, script=script, timeout=60 * MINUTE)
    one.run(span=3 * MINUTE)
    assert one.state.matters["life/api-1"].cause == "in_doubt"
    one.say(s.Confirm("api-1", "go@us", "done"))
    assert one.state.matters["life/api-1"].cause == "step_overdue"


def test_the_clock_of_a_region_ends_with_what_is_still_to_come_there() -> None:
    """S1: what a failed phase would have done, or what came before `--from`, never comes."""
    long = Step("slow", made.command("slow", timeout=60 * MINUTE))
    phases = (phase("warm", SERIAL, on_failure="continue"), phase("then", long))
    script: Any = {"go@eu": [{"status": 1}], "slow": [{"after": 15 * MINUTE}]}
    one = running(phases=phases, script=script, level=4, sla=10 * MINUTE, timeout=60 * MINUTE)
    one.run(span=20 * MINUTE)
    assert one.of(e.SlaBreached) == []


def test_what_is_in_doubt_is_not_run_again_once_another_region_failed_and_holds_nothing_up() -> None:
    script: Any = {"go@eu": [{"status": 1}], "go@us": [{"after": 10 * SECOND, "outcome": "in_doubt"}]}
    one = running(step("go", each="parallel", repeatable=True, regions=("eu", "us")), script=script)
    one.run(span=MINUTE)
    assert one.state_of("api-1") == "failed"
    assert one.ran() == ["go@eu", "go@us"]
    assert [x.result for x in one.of(e.StepSettled)] == ["failed", "failed"]
