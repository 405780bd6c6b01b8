"""What is put aside before a change, and what becomes of it (C1, D2): baselines, hashes, keeping."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.fakes import made
from tests.fakes.made import HOUR, INTERVAL, MINUTE, SECOND
from tests.fakes.story import Story

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.effects import RunCapture
from rollbackd.core.model import (
    Artifact,
    Baseline,
    CaptureItem,
    Captures,
    Check,
    HttpGet,
    Limit,
    Plan,
    Query,
)

DUMP = CaptureItem("dump", run=made.command("dump.sh"))
ERRORS = CaptureItem("errors", expr="errors")
SCHEMA = CaptureItem("schema", run=made.command("schema.sh"))
FILE = Artifact("dump/shop.sql", 7, "ab" * 32)
BEGIN = s.BeginRollout("api", "v1", "v2")
KEEP = HOUR


def plan(**changes: Any) -> Plan:
    return made.plan(**{"phases": (made.phase("only", "a"),), "capture": (DUMP, ERRORS), **changes})


def story(*, keep: int = 30 * HOUR, **changes: Any) -> Story:
    config = made.config(made.trigger(arm="rollout"), plans=(plan(**changes),), captures=Captures(keep=keep))
    one = Story(config)
    one.world.captures["dump"] = [{"artifacts": (FILE,), "said": "done"} for _ in range(9)]
    one.world.captures["errors"] = [{"value": 0.2, "said": "0.2"} for _ in range(9)]
    return one


def begun(**changes: Any) -> Story:
    """With a rollout open, as it was asked for."""
    one = story(**changes)
    assert one.say(BEGIN).capture == "api-c1"
    one.run_to(lambda: "api" in one.state.rollouts)
    return one


def breach(one: Story, after: str = ".") -> None:
    one.tape(made.trigger(), ".BBBB", after)  # armed in the first (W13), decided after the last (D7)


# Taking


def test_a_rollout_begins_once_everything_is_put_aside() -> None:
    one = story()
    reply = one.say(BEGIN, "ann")
    assert reply.text == "api-c1 is being captured; the rollout begins once it is complete"
    one.run(span=SECOND + 1)
    assert "api" not in one.state.rollouts, "one item is still to come"
    one.run(span=SECOND)
    rollout = one.state.rollouts["api"]
    assert (rollout.id, rollout.capture, rollout.by) == ("api-r1", "api-c1", "ann")
    assert [(item.item, item.value) for item in one.state.captures["api-c1"].items] == [
        ("dump", None),
        ("errors", 0.2),
    ]
    assert one.state.captures["api-c1"].rollout == "api-r1"
    assert rollout.until == rollout.began + BEGIN.open_for, "its time begins with it"


def test_what_a_command_is_told() -> None:
    one = begun(env={"PGHOST": "db"})
    env = one.world.captured[0][1].env
    assert env["ROLLBACK_CAPTURE"] == "api-c1"
    assert (env["ROLLBACK_PREVIOUS_VERSION"], env["ROLLBACK_NEXT_VERSION"], env["PGHOST"]) == (
        "v1",
        "v2",
        "db",
    )


@pytest.mark.parametrize("item", ["dump", "errors"])
def test_an_item_that_fails_lets_no_rollout_begin(item: str) -> None:
    """Fault 71."""
    one = story()
    one.world.captures[item] = [{"ok": False, "detail": "pg_dump: exit 1: no space"}]
    one.say(BEGIN)
    one.run(span=MINUTE)
    assert one.state.rollouts == {}
    capture = one.state.captures["api-c1"]
    assert (capture.state, capture.failed, capture.detail) == ("failed", item, "pg_dump: exit 1: no space")
    told = [page for _, page in one.world.taken if page.receiver == "chat"]
    assert [page.title for page in told] == ["api: capture failed (api-c1)"]
    assert "The rollout of v2 has not begun" in told[0].text
    assert one.say(BEGIN).capture == "api-c2", "and it may be asked for again"


def test_without_capture_is_on_record() -> None:
    one = story()
    reply = one.say(replace(BEGIN, without_capture="the dump host is down"))
    assert reply.accepted
    assert reply.capture is None
    rollout = one.state.rollouts["api"]
    assert (rollout.capture, rollout.without_capture) == (None, "the dump host is down")
    assert one.world.captured == []


def test_a_plan_that_captures_nothing_begins_at_once() -> None:
    one = story(capture=())
    assert one.say(BEGIN).text.startswith("rollout api-r1 is open")
    refused = one.say(s.TakeCapture("api"))
    assert not refused.accepted
    assert "captures nothing" in refused.text


@pytest.mark.parametrize("first", [BEGIN, s.TakeCapture("api")])
@pytest.mark.parametrize("second", [BEGIN, s.TakeCapture("api"), replace(BEGIN, without_capture="now")])
def test_one_at_a_time(first: s.Verb, second: s.Verb) -> None:
    one = story()
    assert one.say(first, "ann").accepted
    reply = one.say(second, "bob")
    assert reply.conflict
    assert "api-c1 is being captured since" in reply.text
    assert "for ann" in reply.text
    one.run(span=MINUTE)
    assert list(one.state.captures) == ["api-c1"]


def test_a_capture_by_hand_begins_no_rollout() -> None:
    one = story()
    assert one.say(s.TakeCapture("api", "nightly")).capture == "api-c1"
    one.run(span=MINUTE)
    assert one.state.captures["api-c1"].state == "complete"
    assert one.state.rollouts == {}


@pytest.mark.parametrize("at", [0, 500, 1_500])
def test_a_daemon_that_dies_takes_the_item_at_hand_again(at: int) -> None:
    """Fault 73."""
    one = story()
    one.say(BEGIN)
    one.run(span=at)
    one.restart(down=MINUTE)
    one.run(span=MINUTE)
    assert one.state.rollouts["api"].capture == "api-c1"
    names = [effect.item.name for _, effect in one.world.captured]
    assert names == (["dump", "dump", "errors"] if at < 1_000 else ["dump", "errors", "errors"])


def test_an_answer_for_another_item_changes_nothing() -> None:
    one = story()
    one.say(BEGIN)
    one.turn(s.CaptureTaken("api-c1", "errors", True, value=1.0))
    one.turn(s.CaptureTaken("api-c7", "dump", True))
    assert one.state.captures["api-c1"].items == ()


def test_a_rollback_meanwhile_spoils_it() -> None:
    """What is put aside then is neither the state before the change nor after it."""
    one = story()
    one.world.captures["dump"] = [{"after": 5 * SECOND}]
    one.say(BEGIN)
    one.say(s.Start("api", "by hand"))
    one.run(span=SECOND)
    capture = one.state.captures["api-c1"]
    assert (capture.state, capture.detail) == ("failed", "api-1 began meanwhile on a service of api")
    assert not any(isinstance(effect, RunCapture) for effect in one.driver.under_way.values())
    one.run(span=MINUTE)
    assert one.state.rollouts == {}


def test_nothing_is_captured_beside_a_rollback() -> None:
    one = story()
    one.say(s.Start("api", "by hand"))
    one.run(span=500)
    reply = one.say(s.TakeCapture("api"))
    assert reply.conflict
    assert "api-1 holds a service of api" in reply.text


def test_a_plan_that_is_gone_meanwhile() -> None:
    one = story()
    one.say(BEGIN)
    one.config = made.config(made.trigger("other", plan="web"), plans=(made.plan("web"),), hash="config-2")
    one.turn(s.ConfigurationLoaded(one.config))
    one.run(span=MINUTE)
    capture = one.state.captures["api-c1"]
    assert (capture.state, capture.rollout) == ("complete", None)
    assert capture.detail == "plan api is gone from the configuration"


# Using


def test_a_life_has_what_its_rollout_put_aside() -> None:
    one = begun()
    breach(one)
    one.run(span=2 * MINUTE)
    assert one.states() == {"api-1": "verified"}
    assert one.of(e.LifeOpened)[0].capture == "api-c1"
    assert one.world.orders[0][1].env["ROLLBACK_CAPTURE"] == "api-c1"
    (asked,) = (question for _, question in one.world.questions if question.check.stored is not None)
    assert asked.check.stored is not None
    assert (asked.check.stored.capture, asked.check.stored.artifacts) == ("api-c1", (FILE,))


@pytest.mark.parametrize(
    ("answer", "detail"),
    [("fail", "dump/shop.sql is missing"), ("cannot_tell", "Input/output error"), ("pass", "")],
)
def test_a_capture_that_is_not_what_it_was_asks(answer: str, detail: str) -> None:
    """Fault 72."""
    one = begun()
    one.world.checks["capture"] = [{"answer": answer, "detail": detail}]
    breach(one, "B")
    one.run(span=MINUTE)
    if answer == "pass":
        assert one.ran() == ["a"]
        return
    assert one.state_of("api-1") == "waiting_approval"
    assert one.lowered("api-1") == ["capture"]
    assert any(f"capture api-c1: {detail}" in page.text for _, page in one.world.taken)
    assert one.say(s.Approve("api-1")).accepted
    one.run(span=MINUTE)
    assert one.ran() == ["a"]


def test_a_rollback_without_anything_put_aside_asks() -> None:
    one = story()
    one.say(replace(BEGIN, without_capture="in a hurry"))
    breach(one, "B")
    one.run(span=MINUTE)
    assert one.lowered("api-1") == ["capture"]
    assert any("api-r1 began without a capture: in a hurry" in page.text for _, page in one.world.taken)


def test_whoever_starts_by_hand_is_told_and_asked() -> None:
    one = begun()
    one.world.checks["capture"] = [{"answer": "fail", "detail": "dump/shop.sql was changed since"}]
    one.say(s.Start("api", "by hand"), "ann")
    one.run(span=MINUTE)
    assert one.state_of("api-1") == "waiting_approval"
    assert any("dump/shop.sql was changed since" in page.text for _, page in one.world.taken)
    assert not any("rolls back now" in page.title for _, page in one.world.taken)
    one.restart(down=SECOND)
    assert one.say(s.Approve("api-1", comment="from the other backup"), "ann").accepted
    one.run(span=MINUTE)
    assert one.ran() == ["a"]


def test_nobody_answers_whoever_started_by_hand() -> None:
    one = begun()
    one.world.checks["capture"] = ["fail"]
    one.say(s.Start("api", "by hand"))
    one.run(span=HOUR)
    assert one.states() == {"api-1": "expired"}
    assert one.ran() == []


def test_starting_by_hand_says_that_there_is_nothing() -> None:
    one = story()
    assert one.say(s.Start("api", "by hand")).text == "api-1 starts; nothing was captured before the change"
    one.run(span=MINUTE)
    assert one.ran() == ["a"], "people win (D5)"


def start(one: Story, number: int) -> str | None:
    """Which capture a life has that is started now."""
    one.say(s.Start("api", "by hand"))
    one.run(span=10 * MINUTE)
    one.say(s.Resolve(f"api-{number}", "by hand", "done"))
    return one.of(e.LifeOpened)[-1].capture


def test_which_capture_a_life_goes_back_to() -> None:
    """Its rollout's own, or one since that ended; never one from before another change."""
    one = story(verify_windows=0)
    one.say(s.TakeCapture("api"))
    one.run(span=MINUTE)
    assert start(one, 1) == "api-c1", "no rollout is known: the newest"
    one.say(replace(BEGIN, without_capture="in a hurry"))
    assert start(one, 2) is None, "what is older than this change is not of it"
    one.say(s.TakeCapture("api"))
    one.run(span=MINUTE)
    assert start(one, 3) == "api-c2", "the rollout is over, and this is newer"
    one.say(BEGIN)
    one.run(span=MINUTE)
    one.say(s.TakeCapture("api"))
    one.run(span=MINUTE)
    assert start(one, 4) == "api-c3", "while it is open, what is captured holds the change"


# Baselines


def relative(pass_: Limit, **baseline: Any) -> Check:
    return Check("errors", query=Query("after", pass_), baseline=Baseline("errors", **baseline))


def asked(one: Story, name: str) -> Check:
    return next(question.check for _, question in one.world.questions if question.check.name == name)


@pytest.mark.parametrize(
    ("baseline", "limit"),
    [({}, 0.2), ({"times": 1.5}, 0.3), ({"times": 2.0, "plus": 1.0}, 1.4), ({"plus": -0.1}, 0.1)],
)
@pytest.mark.parametrize("kind", ["verification", "safety_checks"])
def test_a_limit_out_of_the_baseline(baseline: dict[str, Any], limit: float, kind: str) -> None:
    one = begun(**{kind: (relative(Limit("<=", 0.0), **baseline),)})
    breach(one)
    one.run(span=2 * MINUTE)
    assert one.states() == {"api-1": "verified"}
    query = asked(one, "errors").query
    assert query is not None
    assert query.passes.op == "<="
    assert query.passes.value == pytest.approx(limit)


def test_without_a_baseline_nobody_can_tell() -> None:
    one = story(safety_checks=(relative(Limit("<=", 0.0)),))
    one.say(replace(BEGIN, without_capture="in a hurry"))
    breach(one, "B")
    one.run(span=MINUTE)
    assert asked(one, "errors").unknown == "no errors was captured"


def test_a_baseline_that_is_no_number() -> None:
    one = story(safety_checks=(relative(Limit("<=", 0.0)),))
    one.world.captures["errors"] = [{"said": "v2.0.8"}]
    one.say(BEGIN)
    one.run(span=MINUTE)
    breach(one, "B")
    one.run(span=MINUTE)
    assert asked(one, "errors").unknown == "what was captured of errors is no number: v2.0.8"


VERSION = Check("version", run=made.command("version.sh"), prints="api:$previous")
HEALTH = Check("version", http=HttpGet("http://x", json={"v": "$previous", "bad": "$next", "n": 1}))
SAME = Check("version", run=made.command("schema.sh"), prints="$baseline", baseline=Baseline("schema"))


def test_versions_and_what_was_printed_are_filled_in() -> None:
    for check, wanted in (
        (VERSION, "api:v1"),
        (SAME, "20251201"),
        (HEALTH, {"v": "v1", "bad": "v2", "n": 1}),
    ):
        one = story(safety_checks=(check,), capture=(SCHEMA,))
        one.world.captures["schema"] = [{"said": "20251201"}]
        one.say(BEGIN)
        one.run(span=MINUTE)
        breach(one)
        one.run(span=2 * MINUTE)
        found = asked(one, "version")
        assert (found.http.json if found.http is not None else found.prints) == wanted


def test_a_version_that_nobody_knows() -> None:
    one = story(safety_checks=(VERSION,))
    one.say(s.Start("api", "by hand"))
    one.run(span=MINUTE)
    assert asked(one, "version").unknown == "$previous: no such version is known"


# Keeping


def test_it_is_removed_with_age() -> None:
    one = story(keep=KEEP)
    one.say(s.TakeCapture("api"))
    one.run(span=KEEP)
    assert one.world.removed == []
    one.run(span=MINUTE)
    assert one.world.removed == ["api-c1"]
    assert one.state.captures == {}
    one.say(s.TakeCapture("api"))
    assert list(one.state.captures) == ["api-c2"], "a name is given once"


def test_what_failed_is_removed_too() -> None:
    one = story(keep=KEEP)
    one.world.captures["dump"] = [{"ok": False, "detail": "exit 1"}]
    one.say(s.TakeCapture("api"))
    one.run(span=KEEP + MINUTE)
    assert one.world.removed == ["api-c1"]


def test_never_that_of_an_open_rollout() -> None:
    one = story(keep=KEEP)
    one.say(replace(BEGIN, open_for=3 * HOUR))
    one.run(span=2 * HOUR)
    assert one.world.removed == []
    one.say(s.FinishRollout("api"))
    one.run(span=MINUTE)
    assert one.world.removed == ["api-c1"]


def test_never_that_of_a_life_under_way() -> None:
    one = begun(keep=KEEP)
    one.world.steps["a"] = [{"status": 1}]
    breach(one)
    one.run(span=2 * HOUR)
    assert one.states() == {"api-1": "failed"}
    assert one.world.removed == [], "the life is still to be resolved"
    one.say(s.Resolve("api-1", "restored", "by hand"))
    one.run(span=MINUTE)
    assert one.world.removed == ["api-c1"]


def test_a_daemon_that_dies_before_it_is_removed() -> None:
    one = story(keep=KEEP)
    one.say(s.TakeCapture("api"))
    one.run(span=KEEP + SECOND)
    one.run_to(lambda: one.state.captures["api-c1"].state == "pruned")
    one.restart(down=SECOND)
    one.run(span=SECOND)
    assert one.world.removed == ["api-c1", "api-c1"]
    assert one.state.captures == {}


def test_a_plan_has_at_most_so_many() -> None:
    one = story(capture=(ERRORS,))
    for _ in range(53):
        one.say(s.TakeCapture("api"))
        one.run(span=INTERVAL)
    assert one.world.removed == ["api-c1", "api-c2", "api-c3"]
    assert len(one.state.captures) == 50
