"""Lives of triggers that are composed of several conditions (W10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest
from tests.fakes import made
from tests.fakes.made import INTERVAL, MINUTE, START
from tests.fakes.story import Found, Story, World, tape

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.model import Condition, Limit, NoData, composed
from rollbackd.core.state import Firing
from rollbackd.report import markdown

A, B = Condition("a", Limit(">", 1.0)), Condition("b", Limit(">", 1.0))
RATIO = Condition("errors", Limit(">", 0.01), total="total", traffic="total", at_least=5.0)


def own(no_data: NoData) -> Condition:
    return Condition("b", Limit(">", 1.0), no_data=no_data)


def story(how: Literal["all", "any"], parts: Sequence[Condition], **changes: Any) -> Story:
    trigger = made.trigger(**{"action": "shadow", "condition": composed(how, parts), **changes})
    return Story(made.config(trigger), World())


def played(one: Story, *tapes: str, after: str = ".") -> Firing | None:
    """Each part's windows; who fired."""
    for name, glyphs in zip("ab", tapes, strict=True):
        one.world.readings[name] = tape(glyphs, START + INTERVAL, INTERVAL, after)
    one.run(span=(len(tapes[0]) + 3) * INTERVAL)
    firings = [firing for life in one.of(e.LifeOpened) for firing in life.firings]
    return firings[0] if firings else None


def at(found: Firing | None) -> int | None:
    return None if found is None else (found.end - START) // INTERVAL


@pytest.mark.parametrize(
    ("how", "a", "b", "fires"),
    [
        ("all", "BBB", "BBB", 3),
        ("all", "BBB", "BB.", None),
        ("all", "BBBBB", "..BBB", 5),
        ("all", "BBBB", "BB_B", 4),  # missing: kept
        ("all", "BB.BBB", "BB_BBB", 6),  # ok whatever the other would have said: the streak ends
        ("all", "BBBB", "B?BB", 4),
        ("any", "BBB", "...", 3),
        ("any", "B.B", ".B.", 3),  # one streak, of the composition
        ("any", "BBB", "___", 3),
        ("any", "BBB", "UUU", 3),
        ("any", "BB.B", ".._.", 4),  # neither ok nor breach: kept
        ("any", "BB.B", "....", None),
    ],
)
def test_where_it_fires(how: Any, a: str, b: str, fires: int | None) -> None:
    assert at(played(story(how, [A, B]), a, b)) == fires


@pytest.mark.parametrize(
    ("how", "no_data", "a", "b", "fires"),
    [
        ("all", "breach", "BBB", "B__", 3),
        ("all", "ok", "BBBB", "BB_B", None),
        ("all", "reset", "BBBB", "BB_B", None),
        ("all", "reset", "BBBB_B", "BBB.BB", 3),
        ("all", "keep", "BBBB", "BB_B", 4),
        ("any", "breach", "...", "___", 3),
        ("any", "breach", "___", "___", 3),  # nothing is told, and that counts
        ("any", "ok", "BB.B", "BB_B", None),
    ],
)
def test_a_parts_own_no_data(how: Any, no_data: NoData, a: str, b: str, fires: int | None) -> None:
    assert at(played(story(how, [A, own(no_data)]), a, b)) == fires


def test_the_triggers_no_data_is_for_what_no_part_settles() -> None:
    assert at(played(story("all", [A, B], no_data="breach"), "BBB", "___")) == 3
    assert at(played(story("all", [A, own("ok")], no_data="breach"), "BBB", "___")) is None


def test_a_query_that_times_out_holds_up_nobody_whom_it_does_not_decide() -> None:
    """For whom it decides the window is asked again until the next, and is then without its data."""
    one = story("any", [A, B], per=("cohort",))
    lost = s.Unreachable("refused")
    one.world.readings["a"] = lambda end: {"x": "2", "y": "0"} if end > START else {"x": "0", "y": "0"}
    one.world.readings["b"] = lambda end: lost if end > START else {"x": "0", "y": "0"}
    one.run(START + 3 * INTERVAL + one.world.latency)
    (life,) = one.of(e.LifeOpened)
    assert [(found.subject, at(found)) for found in life.firings] == [("x", 3)]
    one.run(span=6 * MINUTE)
    second = [j.counts for j in one.judged if j.end == START + 2 * INTERVAL and j.counts]
    assert second == [{"breach": 1}, {"no_data": 1}]
    assert one.titles() == []  # of x enough is known: the trigger is not blind


def test_whose_sample_is_late_is_waited_for_where_it_decides() -> None:
    covered = Condition("b", Limit(">", 1.0), coverage=("newest",))
    one = story("any", [A, covered], per=("cohort",))
    late = (START + 2 * INTERVAL, START + 2 * INTERVAL + INTERVAL // 2)

    def newest(end: int) -> Found:
        unseen = late[0] <= end and one.now < late[1]
        return dict.fromkeys("xy", f"{(end - (INTERVAL if unseen else 1_000)) / 1000}")

    one.world.readings["a"] = lambda _: {"x": "2", "y": "0"}
    one.world.readings["b"] = lambda _: {"x": "0", "y": "0"}
    one.world.readings["newest"] = newest
    one.run(START + 3 * INTERVAL)
    second = [dict(j.counts) for j in one.judged if j.end == late[0] and j.counts]
    assert second == [{"breach": 1}, {"ok": 1}]  # x at once, y half an interval later


def test_a_sample_that_never_comes_leaves_its_part_without_data() -> None:
    covered = Condition("b", Limit(">", 1.0), coverage=("newest",), no_data="breach")
    one = story("all", [A, covered])
    one.world.readings["newest"] = lambda end: {"": f"{(START - INTERVAL) / 1000}"}
    one.world.readings["b"] = lambda _: {"": "0"}
    one.world.readings["a"] = lambda _: {"": "2"}
    one.run(span=MINUTE)
    (life,) = one.of(e.LifeOpened)
    assert [(seen.verdict, seen.value) for seen in life.firings[0].windows] == [("breach", "2, -")] * 3


def test_a_subject_that_is_gone_from_every_part_retires_whatever_they_say() -> None:
    one = story("any", [A, own("ok")], per=("cohort",))
    for name in "ab":
        one.world.readings[name] = lambda end: {"x": "0", "y": "0"} if end <= START + INTERVAL else {"x": "0"}
    one.run(span=4 * INTERVAL)
    watch = one.driver.engine.soft.watch(one.config.triggers[0])
    assert watch is not None
    assert list(watch.verdicts) == ["x"]


def test_a_subject_of_one_part_alone_stays() -> None:
    """It has no data in the other, and its siblings have."""
    one = story("all", [A, B], per=("cohort",))
    one.world.readings["a"] = lambda _: {"x": "2", "y": "2"}
    one.world.readings["b"] = lambda _: {"x": "0"}
    one.run(span=4 * INTERVAL)
    watch = one.driver.engine.soft.watch(one.config.triggers[0])
    assert watch is not None
    assert watch.verdicts == {"x": "ok", "y": "no_data"}


def test_what_people_and_scripts_are_told() -> None:
    condition = composed("all", [RATIO, composed("any", [A, B])])
    one = Story(made.config(made.trigger(action="ask", condition=condition)))
    one.world.readings.update(
        errors=lambda _: {"": "1"}, total=lambda _: {"": "40"}, a=lambda _: {"": "0.123456"}, b=lambda _: {}
    )
    one.world.readings["b"] = lambda _: {"": "7"}
    one.world.readings["a"] = lambda _: {"": "NaN"}
    one.run(span=MINUTE)
    (life,) = one.of(e.LifeOpened)
    assert life.firings[0].value == "1/40, -, 7"
    assert life.reason == "errors: 0.025 (1/40), -, 7 (limit all(> 0.01, any(> 1, > 1)), 3 windows in a row)"
    one.say(s.Approve("api-1"))
    one.run(span=5_000)
    env = one.world.orders[0][1].env
    text = markdown(one.life("api-1"), list(one.journal.replay()))
    assert "`all((errors) / (total) > 0.01, any(a > 1, b > 1))`" in text
    assert "`errors` = `1/40, -, 7` (limit `all(> 0.01, any(> 1, > 1))`)" in text
    assert "| breach | `1/40, -, 7` | `all(> 0.01, any(> 1, > 1))` |" in text
    assert (env["ROLLBACK_VALUE"], env["ROLLBACK_THRESHOLD"]) == ("0.025, -, 7", "all(> 0.01, any(> 1, > 1))")


def test_it_is_verified_by_the_whole_of_it() -> None:
    """By its own condition as by `recovered:`, if that is composed too (S3)."""
    ends = {}
    for name, recovered in (
        ("own", None),
        ("recovered", composed("any", [A, Condition("calm", Limit(">", 1.0))])),
    ):
        trigger = made.trigger(condition=composed("all", [A, B]), recovered=recovered)
        one = Story(made.config(trigger))
        for expr in "ab":
            one.world.readings[expr] = tape("BBB", START + INTERVAL, INTERVAL, after="B")
        one.run_to(lambda one=one: "open" in one.ran())  # type: ignore[misc]
        one.world.readings["b"] = lambda _: {"": "0"}
        one.run(span=10 * MINUTE)
        ends[name] = one.state_of("api-1")
    assert ends == {"own": "verified", "recovered": "unverified"}


def test_a_restart_judges_the_windows_it_missed_the_same_way() -> None:
    one = story("all", [A, B])
    for name, glyphs in (("a", "BBBB"), ("b", "BB_B")):
        one.world.readings[name] = tape(glyphs, START + INTERVAL, INTERVAL)
    one.run(START + INTERVAL + 1_000)
    one.restart(down=25_000)
    one.run(span=3 * INTERVAL)
    (life,) = one.of(e.LifeOpened)
    assert at(life.firings[0]) == 4
    assert [seen.value for seen in life.firings[0].windows] == ["2, 2", "2, 2", None, "2, 2"]


@pytest.mark.parametrize(
    ("no_data", "told", "state"),
    [
        ("breach", {}, "running"),
        ("breach", s.Unusable("422"), "running"),
        ("breach", s.Unreachable("refused"), "waiting_approval"),  # nothing was judged since
        ("ok", {}, "waiting_approval"),
        ("ok", s.Unusable("422"), "waiting_approval"),
    ],
)
def test_a_wait_that_ends_without_data_goes_by_what_the_parts_say(
    no_data: NoData, told: Found, state: str
) -> None:
    """D7: a window that counts as a breach lets it begin."""
    condition = composed("any", [A, own(no_data)])
    one = Story(made.config(made.trigger(action="auto_with_warning", condition=condition)))
    for name, glyphs in (("a", "BBB"), ("b", "...")):
        one.world.readings[name] = tape(glyphs, START + INTERVAL, INTERVAL, after="B")
    one.run_to_state("api-1", "waiting_veto")
    for name in "ab":
        one.world.readings[name] = lambda _: told
    one.run_to(lambda: bool(one.of(e.RollbackBegan)) or one.state_of("api-1") == "waiting_approval")
    assert one.state_of("api-1") == state


def test_it_is_blind_where_what_is_missing_decides_for_all() -> None:
    one = story("any", [A, B])
    one.world.readings["b"] = lambda _: s.Unreachable("timed out")
    one.run(span=6 * MINUTE)
    (matter,) = [x for x in one.of(e.MatterOpened) if x.matter_kind == "blind"]
    assert matter.cause == "unreachable"
    assert "timed out" in matter.text
    one.world.readings["b"] = lambda _: {"": "0"}
    one.run(span=MINUTE)
    assert "blind/errors" not in one.state.matters


def test_targets_of_any_part_that_are_scraped_too_rarely_blind_it() -> None:
    covered = Condition("b", Limit(">", 1.0), coverage=("newest",))
    one = story("all", [A, covered])
    one.world.readings["newest"] = lambda end: {"": f"{end // (2 * INTERVAL) * 2 * INTERVAL / 1000}"}
    one.run(span=MINUTE)
    assert [x.cause for x in one.of(e.MatterOpened)] == ["sparse"]
