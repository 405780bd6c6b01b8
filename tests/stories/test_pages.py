"""Ladders, acknowledgements, deliveries; blind triggers and a silent Prometheus (E1–E5, W5, W6, W14)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from tests.fakes import made
from tests.fakes.made import INTERVAL, MINUTE, SECOND, START
from tests.fakes.story import Found, Story

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.model import Condition, Limit, Rung


def failed(*rungs: Rung, receivers: Mapping[str, Callable[[int], bool]] | None = None) -> Story:
    """A rollback by hand that fails at once: its ladder climbs from here."""
    plan = made.plan(phases=(made.phase("only", "a"),))
    one = Story(made.config(plans=(plan,), ladders={"default": rungs or made.LADDER}, notify=()))
    one.world.receivers = dict(receivers or {})
    one.world.steps["a"] = [{"status": 1, "after": 0}]
    one.say(s.Start("api", "by hand"))
    one.run_to_state("api-1", "failed")
    return one


def rang(one: Story) -> list[tuple[int, int]]:
    """(minutes after the failure, rung) of each rung reached."""
    ended = one.of(e.LifeEnded)[0].at
    return [((x.at - ended) // MINUTE, x.rung) for x in one.of(e.RungReached) if x.matter == "life/api-1"]


SRE, AM = ("sre",), ("am",)
NOBODY = dict.fromkeys(("sre", "am", "hook"), lambda _: False)


@pytest.mark.parametrize(
    ("rungs", "ack", "expected"),
    [
        ((Rung(0, SRE), Rung(5 * MINUTE, AM)), None, [(0, 0), (5, 1)]),
        ((Rung(0, SRE, repeat=10 * MINUTE),), None, [(0, 0), (10, 0), (20, 0), (30, 0), (40, 0)]),
        ((Rung(0, SRE), Rung(5 * MINUTE, AM)), 1, [(0, 0), (31, 0), (31, 1)]),
        ((Rung(0, SRE, repeat=10 * MINUTE),), 15, [(0, 0), (10, 0), (45, 0)]),
        ((Rung(0, SRE), Rung(5 * MINUTE, AM, until="resolved")), 1, [(0, 0), (5, 1)]),
        # The acknowledged rung comes after one that only resolving ends.
        (
            (Rung(0, SRE), Rung(5 * MINUTE, AM), Rung(15 * MINUTE, SRE, until="resolved")),
            1,
            [(0, 0), (15, 2), (31, 1)],
        ),
    ],
)
def test_a_ladder_climbs(rungs: tuple[Rung, ...], ack: int | None, expected: list[tuple[int, int]]) -> None:
    """Fault 49."""
    one = failed(*rungs)
    if ack is not None:
        one.run(span=ack * MINUTE)
        assert one.say(s.Ack("api-1")).accepted
    one.run(until=one.of(e.LifeEnded)[0].at + 45 * MINUTE + SECOND)
    assert rang(one) == expected
    reached = [x.rung for x in one.of(e.RungReached) if x.matter == "life/api-1"]
    again = [x.repeat for x in one.of(e.RungReached) if x.matter == "life/api-1"]
    assert again == [rung in reached[:place] for place, rung in enumerate(reached)]


def test_acknowledging_is_not_approving_and_lapses() -> None:
    one = Story(made.config(made.trigger(action="ask", expires=60 * MINUTE)))
    one.tape(made.trigger(), "", "B")
    one.run_to_state("api-1", "waiting_approval")
    one.say(s.Ack("api-1"))
    one.run(span=29 * MINUTE)
    assert one.state_of("api-1") == "waiting_approval"
    pages = len(one.titles())
    one.run(span=2 * MINUTE)
    assert len(one.titles()) > pages


def test_resolving_tells_those_who_were_paged() -> None:
    one = failed()
    one.run(span=6 * MINUTE)
    assert len(one.world.alerts) == 2
    one.say(s.Resolve("api-1", "by hand", "done"))
    one.run(span=SECOND)
    assert sorted(p.receiver for _, p in one.world.taken if p.status == "resolved") == ["am", "sre"]
    assert one.world.alerts == {}
    assert one.state.pages == {}


def test_a_new_rung_has_a_dedup_key_of_its_own() -> None:
    one = failed()
    one.run(span=6 * MINUTE)
    assert len({p.dedup for _, p in one.world.taken}) == 2


def test_a_refusing_receiver_falls_through_to_the_next_and_is_tried_again() -> None:
    """Fault 48."""
    one = failed(receivers={"sre": lambda at: at > START + MINUTE, "am": lambda _: False})
    one.run(span=10 * SECOND)
    assert [p.receiver for _, p in one.world.taken] == ["hook"]
    one.run(span=3 * MINUTE)
    assert "sre" in [p.receiver for _, p in one.world.taken]
    assert len({p.dedup for _, p in one.world.pages if p.receiver == "sre"}) == 1, "the same key"


def test_who_took_a_page_in_anothers_place_is_told_of_the_end_too() -> None:
    """E2: the page is repeated, and the one it was meant for takes it this time."""
    late = {"sre": lambda at: at > START + 10 * MINUTE, "am": lambda _: False}
    one = failed(Rung(0, SRE, repeat=10 * MINUTE), receivers=late)
    one.run(span=MINUTE)
    assert {p.receiver for _, p in one.world.taken} == {"hook"}
    one.run(span=15 * MINUTE)
    one.say(s.Resolve("api-1", "by hand", "done"))
    one.run(span=SECOND)
    told = {p.receiver for _, p in one.world.taken if p.status == "resolved"}
    assert told == {"sre", "hook"}
    assert one.state.pages == {}


def test_an_undelivered_page_is_sent_again_after_a_restart() -> None:
    one = failed(receivers=NOBODY)
    one.run(span=MINUTE)
    one.world.receivers = {}
    one.restart(down=MINUTE)
    one.run(span=MINUTE)
    assert {p.receiver for _, p in one.world.taken} == {"sre", "am", "hook"}


def test_a_page_is_owed_until_somebody_took_it() -> None:
    """I6."""
    one = failed(receivers=NOBODY)
    one.run(span=120 * MINUTE)
    page = one.state.pages["life/api-1/failed/0"]
    assert {d.status for d in page.deliveries} == {"owed"}


def test_a_tell_is_given_up_in_the_end() -> None:
    plan = made.plan(phases=(made.phase("only", "a"),))
    one = Story(made.config(plans=(plan,)))
    one.world.receivers = {"chat": lambda _: False, "sre": lambda _: False, "am": lambda _: False}
    one.say(s.Start("api", "by hand"))
    one.run(span=90 * MINUTE)
    assert not any(page.kind == "tell" for page in one.state.pages.values())


def test_relapse_pages_once_and_reopens_the_ladder() -> None:
    trigger = made.trigger(cooldown=30 * MINUTE)
    one = Story(made.config(trigger, plans=(made.plan(phases=(made.phase("only", "a"),)),)))
    one.tape(trigger, "BBB" + "." * 10, "B")
    one.run(span=10 * MINUTE)
    assert one.states() == {"api-1": "verified"}
    assert len(one.of(e.Relapsed)) == 1
    assert one.state.matters["relapse/api-1"].kind == "relapse"
    one.world.readings["errors"] = lambda _: {"": "0"}
    one.run(span=45 * MINUTE)
    assert one.state.matters == {}


# Knowing that nothing is known


@pytest.mark.parametrize(("glyph", "reason"), [("_", "absent"), ("N", "absent"), ("U", "unusable")])
def test_a_blind_trigger_pages_once_and_resolves_by_itself(glyph: str, reason: str) -> None:
    one = Story(made.config())
    one.tape(made.trigger(), "..", glyph)
    one.run(span=11 * MINUTE)
    assert one.state.matters["blind/errors"].cause == reason
    assert len([t for t in one.titles() if "blind" in t]) == 2, "rung 0 and rung 1 of one page"
    one.world.readings["errors"] = lambda _: {"": "0"}
    one.run(span=MINUTE)
    assert one.state.matters == {}


def test_low_traffic_never_pages() -> None:
    condition = Condition("errors", Limit(">", 1.0), traffic="traffic", at_least=5.0)
    one = Story(made.config(made.trigger(condition=condition)))
    one.world.readings = {"errors": lambda _: {"": "2"}, "traffic": lambda _: {"": "1"}}
    one.run(span=30 * MINUTE)
    assert one.state.matters == {}
    assert one.states() == {}


def test_a_subject_that_goes_while_its_siblings_answer_retires_quietly() -> None:
    one = Story(made.config(made.trigger(per=("pod",))))

    def readings(end: int) -> Found:
        return {"a": "0", "b": "0"} if end < START + MINUTE else {"b": "0"}

    one.world.readings["errors"] = readings
    one.run(span=20 * MINUTE)
    assert one.state.matters == {}


def test_a_matter_that_has_another_cause_rings_under_another_key() -> None:
    """And what was told before is told to be over (E2)."""
    one = Story(made.config())
    one.tape(one.config.triggers[0], "_" * 60 + "U" * 60)
    one.run(span=30 * MINUTE)
    pages = [page for _, page in one.world.pages if page.alert == "RollbackdBlind"]
    rang = {(page.dedup, page.title) for page in pages if page.status == "firing" and page.receiver == "sre"}
    assert len(rang) == len({dedup for dedup, _ in rang}) >= 2
    over = [page.dedup for page in pages if page.status == "resolved" and page.receiver == "sre"]
    assert set(over) == {dedup for dedup, _ in rang}


def test_targets_scraped_less_often_than_the_interval_are_blind_at_once() -> None:
    condition = Condition("errors", Limit(">", 1.0), coverage=("newest",))
    one = Story(made.config(made.trigger(condition=condition)))
    one.world.readings = {
        "errors": lambda _: {"": "0"},
        "newest": lambda end: {"": str((end - 1_000) // 30_000 * 30)},
    }
    one.run(span=2 * MINUTE)
    assert one.state.matters["blind/errors"].cause == "sparse"


@pytest.mark.parametrize("triggers", [1, 4])
def test_a_silent_prometheus_is_one_page(triggers: int) -> None:
    """Fault 30, W6: for the source, not one a trigger, also when it comes back."""
    names = [f"t{number}" for number in range(triggers)]
    made_triggers = [made.trigger(name) for name in names]
    one = Story(made.config(*made_triggers))
    one.run(span=MINUTE)
    one.world.silent = [(one.now, one.now + 10 * MINUTE)]
    one.run(span=2 * MINUTE - SECOND)
    assert one.state.matters == {}
    one.run(span=8 * MINUTE)
    assert list(one.state.matters) == ["source/prometheus"]
    one.run(span=5 * MINUTE)
    assert one.state.matters == {}
    assert {x.matter for x in one.of(e.MatterOpened)} == {"source/prometheus"}


def test_a_trigger_whose_query_alone_never_answers_is_blind() -> None:
    one = Story(made.config(made.trigger("errors"), made.trigger("heavy")))
    one.world.readings["heavy"] = lambda _: s.Unreachable("timed out")
    one.run(span=10 * MINUTE)
    assert one.state.matters["blind/heavy"].cause == "unreachable"
    one.world.readings["heavy"] = lambda _: {"": "0"}
    one.run(span=MINUTE)
    assert one.state.matters == {}


def test_a_bad_reload_pages_and_changes_nothing() -> None:
    """Fault 63."""
    one = Story(made.config())
    before = one.state.config
    one.turn(s.ConfigurationRefused("triggers/api.yml:3:1: bad"))
    assert one.state.config is before
    assert "configuration/files" in one.state.matters
    one.turn(s.ConfigurationLoaded(one.config))
    assert one.state.matters == {}


def test_an_unreadable_journal_only_pages() -> None:
    """J2, fault 8."""
    one = Story(made.config())
    one.tape(made.trigger(), "", "B")
    one.turn(s.DaemonStarted(one.config, unreadable="lane_opened"))
    one.run(span=10 * MINUTE)
    assert one.ran() == []
    assert one.titles()


def test_every_answer_of_a_stranger_is_ignored() -> None:
    one = Story(made.config())
    before = one.state
    for signal in (
        s.StepExited("api-9", 1, "exited", 0),
        s.StepBegan("api-9", 1),
        s.CheckAnswered("check/api-9/safety/x", "pass"),
        s.PageAnswered("life/api-9/0", "sre", True),
        s.WindowsAnswered("nobody", (START,), (s.Series(({},)),)),
    ):
        one.turn(signal)
    assert one.state == before


def test_verbs_about_nothing_are_refused_and_change_nothing() -> None:
    one = Story(made.config())
    before = one.state
    for verb in (s.Ack("x"), s.Approve("x"), s.Veto("x"), s.Hold("x"), s.Resume("x"), s.Abort("x")):
        assert not one.say(verb).accepted
    assert one.state == before


def test_the_ladder_survives_a_restart() -> None:
    one = failed(Rung(0, SRE), Rung(5 * MINUTE, AM))
    one.run(span=2 * MINUTE)
    one.restart(down=MINUTE)
    one.run(span=10 * MINUTE)
    assert rang(one) == [(0, 0), (5, 1)]
    assert one.now > INTERVAL


def test_every_verb_has_its_handler_and_every_event_its_fold() -> None:
    """What is forgotten in a new verb or a new kind shows here."""
    from typing import get_args

    from rollbackd.core import fold, operators

    assert set(get_args(s.Verb)) == set(operators._VERBS)
    folded = {*fold._HANDLERS, *fold.standing.COUNTERS} | {
        kind for kind in e.EVENTS if issubclass(kind, e.LifeEvent)
    }
    assert set(e.EVENTS) - folded == {e.ConfigurationRefused, e.JournalRecovered}
