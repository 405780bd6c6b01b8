"""Looking on for a day after success: stages, relapses, what people tick (S4)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fakes import made
from tests.fakes.made import HOUR, MINUTE, SECOND, phase
from tests.fakes.story import Story

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.model import Item, ValidationStage

PASSING = (made.query_check("well"),)
WATCHED = (
    ValidationStage("immediate", (made.query_check("errors"),), (Item("no error spikes", "oncall"),)),
    ValidationStage("short_term", (made.query_check("orders"),)),
    ValidationStage("long_term", (made.query_check("errors"),), (Item("customers were told", "support"),)),
)


def verified(*errors: str, **changes: Any) -> Story:
    """A life that was verified a moment ago; `errors`: what the check of that name goes on to answer."""
    settings: dict[str, Any] = {"verify_windows": 0, "verification": PASSING, "validation": WATCHED}
    plan = made.plan(phases=(phase("only", "a"),), notify=("chat",), **(settings | changes))
    one = Story(made.config(made.trigger(interval=10 * MINUTE), plans=(plan,)))
    one.world.checks["errors"] = list(errors) or ["pass"]
    one.say(s.Start("api", "by hand"))
    one.run_to(lambda: bool(one.of(e.LifeEnded)))
    return one


def at(one: Story) -> int:
    return one.of(e.RollbackVerified)[0].at


def test_the_stages_end_a_quarter_of_an_hour_an_hour_and_a_day_after_verified() -> None:
    one = verified()
    assert one.of(e.LifeEnded)[0].end == "verified"
    assert one.life("api-1").validating()
    one.run(span=25 * HOUR)
    ended = [(x.stage, (x.at - at(one)) // MINUTE) for x in one.of(e.StageEnded)]
    assert ended == [("immediate", 15), ("short_term", 60), ("long_term", 24 * 60)]
    assert one.state.lives == {}
    assert not one.state.disarmed


def test_each_stage_asks_its_checks_at_its_pace() -> None:
    one = verified()
    one.run(span=25 * HOUR)
    asked: dict[str, int] = {}
    for answered in one.of(e.CheckAnswered):
        slot = answered.check.split("/", 2)[-1]
        asked[slot] = asked.get(slot, 0) + slot.startswith("validate/")
    assert asked["validate/immediate/errors"] == pytest.approx(15, abs=1)
    assert asked["validate/short_term/orders"] == pytest.approx(9, abs=1)
    assert asked["validate/long_term/errors"] == pytest.approx(46, abs=1)


def test_a_check_that_fails_twice_pages_and_is_over_once_it_passes() -> None:
    one = verified("fail", "fail", "fail", "pass")
    one.run(span=90 * SECOND)
    assert "relapse/api-1/errors" in one.state.matters
    assert "not well any more" in one.state.matters["relapse/api-1/errors"].title
    one.run(span=5 * MINUTE)
    assert one.state.matters == {}
    assert (len(one.of(e.ValidationFailed)), len(one.of(e.ValidationRecovered))) == (1, 1)


def test_once_is_chance() -> None:
    one = verified("fail", "pass", "fail", "pass")
    one.run(span=10 * MINUTE)
    assert one.of(e.ValidationFailed) == []


def test_who_cannot_tell_has_not_failed_and_proved_nothing() -> None:
    one = verified(*["cannot_tell"] * 40)
    one.run(span=16 * MINUTE)
    assert one.of(e.ValidationFailed) == []
    assert one.of(e.StageEnded)[0].unproven == ("errors",)


def test_what_fails_to_the_end_waits_for_a_person() -> None:
    one = verified(*["fail"] * 500)
    one.run(span=25 * HOUR)
    assert one.life("api-1").validating()
    assert "relapse/api-1/errors" in one.state.matters
    assert one.say(s.Resolve("api-1", "forward fix", "2.1.1 is out")).accepted
    assert one.state.matters == {}
    assert one.state.lives == {}


def test_it_goes_on_after_a_restart() -> None:
    one = verified()
    one.run(span=5 * MINUTE)
    one.restart(down=30 * MINUTE)
    one.run(span=HOUR)
    assert [x.stage for x in one.of(e.StageEnded)] == ["immediate", "short_term"]


def test_a_newer_rollout_ends_it() -> None:
    one = verified(*["fail"] * 500)
    one.run(span=5 * MINUTE)
    assert one.say(s.BeginRollout("api", "1", "3")).accepted
    one.run(span=SECOND)
    assert [x.why for x in one.of(e.ValidationEnded)] == ["api-r1 began"]
    assert one.state.matters == {}
    assert one.state.lives == {}


def test_a_newer_rollback_ends_it() -> None:
    one = verified()
    one.say(s.Start("api", "again"))
    one.run(span=MINUTE)
    assert [(x.life, x.why) for x in one.of(e.ValidationEnded)] == [("api-1", "api-2 began")]


# What people tick


def test_an_item_is_ticked_by_number_by_its_beginning_or_whole() -> None:
    one = verified()
    assert one.say(s.Tick("api-1", "2"), actor="ann").accepted
    assert one.say(s.Tick("api-1", "no err", comment="looked"), actor="bob").accepted
    ticks = one.life("api-1").ticks
    assert {item: tick.by for item, tick in ticks.items()} == {
        "customers were told": "ann",
        "no error spikes": "bob",
    }
    again = one.say(s.Tick("api-1", "no error spikes"), actor="cem")
    assert "ticked by bob" in again.text


@pytest.mark.parametrize("item", ["", "3", "0", "nothing like it"])
def test_an_unknown_item_is_refused_with_those_there_are(item: str) -> None:
    reply = verified().say(s.Tick("api-1", item))
    assert not reply.accepted
    assert "1 no error spikes; 2 customers were told" in reply.text


def test_what_nobody_looked_at_is_told_at_the_end_of_its_stage() -> None:
    one = verified()
    one.run(span=16 * MINUTE)
    told = [page.text for _, page in one.world.taken if "nobody has looked" in page.title]
    assert told == ["- no error spikes (oncall)\n`rollbackd tick api-1 ITEM`"]


def test_items_to_verify_by_hand_are_looked_at_within_the_first_stage() -> None:
    one = verified(validation=(), manual_verification=(Item("login works", "qa"),))
    one.say(s.Tick("api-1", "login"), actor="qa")
    one.run(span=20 * MINUTE)
    assert [x.unticked for x in one.of(e.StageEnded)] == [()]
    assert one.state.lives == {}


def test_a_plan_without_validation_is_over_with_its_end() -> None:
    assert verified(validation=()).state.lives == {}


def test_what_is_failing_is_asked_beyond_its_stage_until_it_passes() -> None:
    """A page that nobody can end but by hand would climb for a day."""
    stages = (
        ValidationStage("immediate", (made.query_check("errors"),)),
        ValidationStage("short_term", (made.query_check("orders"),)),
    )
    one = verified(*["fail"] * 17, "pass", validation=stages)
    one.run(span=16 * MINUTE)
    assert [x.failing for x in one.of(e.StageEnded)] == [("errors",)]
    assert "relapse/api-1/errors" in one.state.matters
    one.run(span=10 * MINUTE)
    assert [(x.stage, x.check) for x in one.of(e.ValidationRecovered)] == [("immediate", "errors")]
    assert one.state.matters == {}
    asked = [x.at for x in one.of(e.CheckAnswered) if x.check.endswith("validate/immediate/errors")]
    assert asked[-1] == one.of(e.ValidationRecovered)[0].at
