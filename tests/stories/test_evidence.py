"""What was shown of a plan, and whether it is enough for a permit (P1, S1)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.fakes import made
from tests.fakes.made import HOUR, MINUTE, phase
from tests.fakes.story import Story

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.evidence import KINDS, wanted
from rollbackd.core.levels import WANTED, idle_exceptions, lacks, totals
from rollbackd.core.model import (
    Check,
    EvidenceKind,
    Gate,
    Item,
    Manual,
    Plan,
    Requirement,
    Scope,
    Shown,
    Step,
    ValidationStage,
)
from rollbackd.core.permit import Permit, permit
from rollbackd.core.state import MOST_HASHES

DAY = 24 * HOUR
LOOKS_ON = Check("rows-later", run=made.command("rows"), kind="data_consistency")
GATE = Step("sign-off", gate=Gate("the release owner"))


def whole(level: int = 4, **changes: Any) -> Plan:
    """A plan without anything to be said against it, whatever its level."""
    settings: dict[str, Any] = {
        "level": level,
        "phases": (
            phase("stop", "drain", estimate=MINUTE),
            phase("revert", GATE, Step("deploy", made.command("deploy"), each="parallel"), estimate=MINUTE),
            phase("clean-up", "tidy", after_verified=True),
        ),
        "scopes": (Scope("application", ("revert",), ("api",)),),
        "regions": ("eu", "us"),
        "notify": ("chat",),
        "verification": (made.query_check("rows", kind="data_consistency"),),
        "manual_verification": (Item("Sign-in works", "support"),),
        "validation": (ValidationStage("immediate", (LOOKS_ON,)),),
    }
    return made.plan(**{**settings, **changes})


def story(plan: Plan) -> Story:
    return Story(made.config(plans=(plan,)))


def asked(one: Story) -> Permit:
    return permit(one.state, one.config.plans[0])


def why_not(one: Story) -> set[str]:
    return {reason.about for reason in asked(one).reasons}


def show(one: Story, *kinds: EvidenceKind, **said: Any) -> None:
    for kind in kinds:
        assert one.say(s.AddEvidence("api", kind, "bob", **said)).accepted


def show_all(one: Story) -> None:
    for kind in KINDS:
        show(one, kind, took=5 * MINUTE if kind == "time-measured" else None)


# Levels


@pytest.mark.parametrize("level", [2, 3, 4])
def test_a_whole_plan_lacks_nothing(level: int) -> None:
    assert lacks(whole(level)) == []


WITHOUT: list[tuple[Requirement, dict[str, Any]]] = [
    ("estimates", {"phases": (phase("stop", "drain"), *whole().phases[1:])}),
    ("verification", {"verification": (made.query_check("rows", on_fail="warn", kind="data_consistency"),)}),
    (
        "automation",
        {"phases": (phase("dns", Step("flip", manual=Manual("flip", "ops")), GATE, estimate=MINUTE),)},
    ),
    ("scopes", {"scopes": ()}),
    ("data_consistency", {"verification": (made.query_check("errors"),)}),
    ("checklist", {"manual_verification": ()}),
    ("regions", {"regions": ()}),
    ("gates", {"phases": (phase("stop", "drain", estimate=MINUTE),)}),
    ("communication", {"notify": ()}),
    ("data_integrity", {"validation": ()}),
]


@pytest.mark.parametrize(("requirement", "changes"), WITHOUT, ids=[name for name, _ in WITHOUT])
def test_each_requirement_is_asked_for_from_its_level_on(
    requirement: Requirement, changes: dict[str, Any]
) -> None:
    first = WANTED[requirement][0]
    for level in (2, 3, 4):
        found = [lack.requirement for lack in lacks(whole(level, **changes))]
        assert (requirement in found) == (level >= first)


@pytest.mark.parametrize(("requirement", "changes"), WITHOUT, ids=[name for name, _ in WITHOUT])
def test_an_exception_says_why_and_is_idle_where_nothing_lacks(
    requirement: Requirement, changes: dict[str, Any]
) -> None:
    said = {requirement: "because"}
    without = whole(exceptions=said, **changes)
    assert requirement not in [lack.requirement for lack in lacks(without)]
    assert idle_exceptions(without) == []
    assert idle_exceptions(whole(exceptions=said)) == ([requirement] if requirement != "automation" else [])


def test_every_requirement_is_tested_here() -> None:
    assert {name for name, _ in WITHOUT} == set(WANTED)


def test_what_warns_of_the_data_is_enough_for_three_and_not_for_four() -> None:
    checks = (
        made.query_check("errors"),
        made.query_check("rows", on_fail="warn", kind="data_consistency"),
    )
    assert lacks(whole(3, verification=checks)) == []
    assert [lack.requirement for lack in lacks(whole(4, verification=checks))] == ["data_integrity"]


def test_who_is_told_by_the_instance_is_told() -> None:
    assert lacks(whole(notify=()), notify=("chat",)) == []


def test_the_totals_are_those_of_the_slowest_trigger() -> None:
    """Two phases of a minute; two windows of 10 s, or of 60 s. Clean-up is outside the SLA."""
    plan = whole()
    slow = made.trigger("slow", interval=MINUTE)
    assert totals(plan, [made.trigger(), slow])[:3] == (2 * MINUTE, 2 * MINUTE, plan.sla)
    assert totals(plan, [made.trigger()]).verification == 20_000
    assert totals(plan, ()).verification == 30_000  # by hand: two of 15 s


@pytest.mark.parametrize(
    ("each", "at_once", "work", "sla"),
    [("once", 0, 1, 15), ("serial", 0, 4, 60), ("parallel", 0, 1, 15), ("parallel", 3, 2, 15)],
)
def test_a_step_in_each_region_takes_as_long_as_its_rounds(
    each: Any, at_once: int, work: int, sla: int
) -> None:
    step = Step("deploy", made.command("deploy", timeout=MINUTE), each=each)
    plan = made.plan(phases=(phase("only", step),), regions=("a", "b", "c", "d"), at_once=at_once)
    assert totals(plan, ())[0::2] == (work * MINUTE, sla * MINUTE)


# Evidence


def test_it_is_journalled_with_who_showed_it_and_who_told() -> None:
    one = story(whole())
    said = s.AddEvidence("api", "staging", "bob", 9 * MINUTE, "", "run.log", "ab" * 32, 12, "twice")
    reply = one.say(said, actor="ann")
    assert reply.text == "staging of api (hash-api) is on record"
    (event,) = one.of(e.EvidenceAdded)
    assert (event.plan_hash, event.said_by, event.by, event.channel) == ("hash-api", "bob", "ann", "test")
    (kept,) = one.state.evidence["api"]
    assert (kept.by, kept.actor, kept.took, kept.artifact, kept.size) == (
        "bob",
        "ann",
        9 * MINUTE,
        "run.log",
        12,
    )
    one.restart()
    assert one.state.evidence["api"] == (kept,)


def test_said_twice_it_is_recorded_once_and_anew_it_takes_the_others_place() -> None:
    """E3."""
    one = story(whole())
    show(one, "staging", "staging")
    assert len(one.of(e.EvidenceAdded)) == 1
    show(one, "staging", comment="once more")
    assert [x.comment for x in one.state.evidence["api"]] == ["once more"]


REFUSED: list[tuple[s.AddEvidence, dict[str, Any], bool, str]] = [
    (s.AddEvidence("nope", "staging", "bob"), {}, False, "there is no plan nope; the plans are api"),
    (s.AddEvidence("api", "time-measured", "bob"), {}, False, "add --took"),
    (s.AddEvidence("api", "partial", "bob"), {"scopes": ()}, False, "has no scopes"),
    (s.AddEvidence("api", "multi-region", "bob"), {"regions": ()}, False, "has no regions"),
    (s.AddEvidence("api", "staging", "bob", plan_hash="other"), {}, True, "it has changed since"),
]


@pytest.mark.parametrize(("verb", "changes", "conflict", "says"), REFUSED, ids=[row[3] for row in REFUSED])
def test_what_cannot_be_is_refused(
    verb: s.AddEvidence, changes: dict[str, Any], conflict: bool, says: str
) -> None:
    one = story(whole(**changes))
    reply = one.say(verb)
    assert (reply.accepted, reply.conflict) == (False, conflict)
    assert says in reply.text
    assert one.state.evidence == {}


def test_of_many_versions_the_newest_are_kept() -> None:
    """I16."""
    one = story(whole())
    for version in range(MOST_HASHES + 3):
        plan = msgspec.structs.replace(whole(), hash=f"hash-{version}")
        one.turn(s.ConfigurationLoaded(made.config(plans=(plan,), hash=f"config-{version}")))
        show(one, "staging", "training")
    hashes = list(dict.fromkeys(x.plan_hash for x in one.state.evidence["api"]))
    assert hashes == [f"hash-{version}" for version in range(3, MOST_HASHES + 3)]


# The permit


@pytest.mark.parametrize("level", [2, 3, 4])
def test_it_takes_each_kind_that_the_level_wants(level: int) -> None:
    one = story(whole(level))
    kinds = wanted(one.config.plans[0], automatic=True)
    assert why_not(one) == set(kinds)
    show_all(one)
    assert asked(one).granted


def test_the_higher_the_level_the_more_is_to_be_shown() -> None:
    two, three, four = (set(wanted(whole(level), automatic=True)) for level in (2, 3, 4))
    assert two == {"staging", "time-measured", "review"}
    assert three == set(KINDS) - {"multi-region"}
    assert four == set(KINDS)


def test_what_there_is_not_cannot_be_shown() -> None:
    kinds = wanted(whole(3, scopes=()), automatic=False)
    assert not {"partial", "automatic-triggers"} & set(kinds)


def test_a_changed_plan_is_shown_anew_and_the_old_one_again_is_not() -> None:
    plan = whole(2)
    one = story(plan)
    show_all(one)
    changed = made.config(plans=(msgspec.structs.replace(plan, hash="hash-2"),), hash="config-2")
    one.turn(s.ConfigurationLoaded(changed))
    found = permit(one.state, changed.plans[0])
    assert {reason.about for reason in found.reasons} == {"staging", "time-measured", "review"}
    assert "since the plan changed (it was by bob" in found.reasons[0].what
    one.turn(s.ConfigurationLoaded(one.config))
    assert asked(one).granted


def test_what_took_longer_than_the_sla_does_not_count_until_it_is_measured_anew() -> None:
    one = story(whole(2))
    show(one, "review")
    reply = one.say(s.AddEvidence("api", "staging", "bob", 17 * MINUTE))
    assert "it took 17m, over the SLA of 15m: it does not count as time-measured" in reply.text
    show(one, "time-measured", took=9 * MINUTE)
    (reason,) = asked(one).reasons
    assert (reason.about, reason.what) == ("time-measured", "staging took 17m, over the SLA of 15m")
    show(one, "staging", took=12 * MINUTE)
    assert asked(one).granted


def test_a_timed_run_of_the_whole_is_a_measurement_and_one_of_a_part_is_not() -> None:
    one = story(whole(2))
    show(one, "review", "staging")
    show(one, "partial", took=MINUTE)
    assert why_not(one) == {"time-measured"}
    show(one, "staging", took=MINUTE)
    assert asked(one).granted


@pytest.mark.parametrize(("by", "actor"), [("API-oncall ", "ann"), ("bob", "api-oncall")])
def test_the_owners_own_review_is_said_and_does_not_count(by: str, actor: str) -> None:
    one = story(whole(2))
    show(one, "staging", took=MINUTE)
    reply = one.say(s.AddEvidence("api", "review", by), actor=actor)
    assert "a review by somebody else is still to come" in reply.text
    assert why_not(one) == {"review"}
    show(one, "review")
    assert asked(one).granted


def test_a_plan_that_cannot_meet_its_own_sla_gets_none() -> None:
    slow = (phase("revert", "revert", estimate=30 * MINUTE),)
    one = story(whole(2, phases=slow))
    show_all(one)
    (reason,) = asked(one).reasons
    assert reason.about == "sla"
    assert reason.what.startswith("it cannot meet its own SLA: total 30m20s")
    assert reason.what.endswith("SLA 15m, buffer -15m20s")


@pytest.mark.parametrize(
    ("changes", "granted"),
    [
        ({"action": "auto"}, True),
        ({"action": "auto_with_warning"}, True),
        ({"action": "shadow", "enforced": "auto"}, True),
        ({"action": "ask"}, False),
        ({"action": "shadow", "enforced": "notify"}, False),
        ({"plan": "another"}, False),
    ],
)
def test_level_three_is_started_by_a_trigger(changes: dict[str, Any], granted: bool) -> None:
    plan = whole(3)
    trigger = made.trigger(**changes)
    one = Story(made.config(trigger, plans=(plan, made.plan("another"))))
    show_all(one)
    assert why_not(one) == (set() if granted else {"automation"})


def test_an_exception_is_shown_and_is_no_reason() -> None:
    one = story(whole(3, scopes=(), exceptions={"scopes": "one service, one phase", "regions": "one"}))
    for kind in KINDS:
        if kind != "partial":
            show(one, kind, took=MINUTE if kind == "time-measured" else None)
    found = asked(one)
    assert found.granted
    assert found.excepted == {"scopes": "one service, one phase"}


# A safety check that the record answers (D2)


@pytest.mark.parametrize(
    ("shown_before", "plan_changed", "action", "why"),
    [
        (None, False, "ask", "no rehearsal of the plan as it is is on record"),
        (29 * DAY, False, "auto", ""),
        (31 * DAY, False, "ask", "and counts for 4w2d"),
        (DAY, True, "ask", "no rehearsal of the plan as it is is on record"),
    ],
)
def test_what_was_not_rehearsed_lately_asks(
    shown_before: int | None, plan_changed: bool, action: str, why: str
) -> None:
    check = Check("rehearsed", shown=Shown("rehearsal", 30 * DAY))
    plan = made.plan(safety_checks=(check,))
    trigger = made.trigger(interval=HOUR)
    one = Story(made.config(trigger, plans=(plan,)))
    one.tape(trigger, "", ".")
    if shown_before is not None:
        show(one, "rehearsal")
        one.run(span=shown_before)
    if plan_changed:
        changed = msgspec.structs.replace(plan, hash="another")
        one.turn(s.ConfigurationLoaded(made.config(trigger, plans=(changed,), hash="config-2")))
    one.tape(trigger, "", "B")
    one.run_to(lambda: bool(one.of(e.LifeOpened)), within=10 * HOUR)
    one.run(span=MINUTE)
    life = one.life("api-1")
    assert life.action == action
    assert any(why in lowering.detail for lowering in life.lowered) is bool(why)
