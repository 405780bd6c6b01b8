"""Stories for their words: together they open every kind of matter, and speak every verb."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from msgspec.structs import replace
from tests.fakes import made
from tests.fakes.made import HOUR, MINUTE, SECOND, phase, step
from tests.fakes.story import Story, World
from tests.stories.catalog import Plot, plots

from rollbackd.core import signals as s
from rollbackd.core.model import (
    Condition,
    Config,
    Limit,
    Limits,
    Query,
    ReversibleWhile,
    Rung,
    StepVerify,
    Trigger,
)

PODS = {"per": ("cohort", "pod"), "labels": {"team": "payments"}, "annotations": {"runbook": "https://r/1"}}
A, B = "canary\x1fa", "canary\x1fb"


def stories() -> Mapping[str, Callable[[], Story]]:
    return {
        **{name: partial(_played, make) for name, make in plots().items()},
        "acknowledged": _acknowledged,
        "refused_pages": _refused_pages,
        "blind": _blind,
        "sparse": _sparse,
        "silent": _silent,
        "relapsed": _relapsed,
        "standing": _standing,
        "first_window": _first_window,
        "rollouts": _rollouts,
        "vetoed": _vetoed,
        "expired": _expired,
        "stood_down": _stood_down,
        "paused": _paused,
        "held": _held,
        "aborted": _aborted,
        "in_doubt": _in_doubt,
        "overrun": _overrun,
        "late": _late,
        "unverified": _unverified,
        "by_hand": _by_hand,
        "braked": _braked,
        "limited": _limited,
        "shadowed": lambda: _acted("shadow"),
        "notified": lambda: _acted("notify"),
        "restarted": _restarted,
        "backing_off": _backing_off,
        "aborted_in_doubt": _aborted_in_doubt,
        "irreversible": _irreversible,
        "proven_step": _proven_step,
        "probed": lambda: _probed({"answer": "fail", "status": 20}),
        "probe_unsure": lambda: _probed({"answer": "cannot_tell", "status": 3, "detail": "exit 3"}),
        "verified_in_silence": _verified_in_silence,
        "verified_after_all": _verified_after_all,
        "joined": _joined,
        "released": _released,
        "checks_failed": _checks_failed,
        "cleanup_failed": _cleanup_failed,
    }


def states() -> Mapping[str, Callable[[], Story]]:
    """A life api-1 in each state in which people may find it."""
    return {
        "checking": _checking,
        "waiting_veto": lambda: _until("waiting_veto", action="auto_with_warning", veto=5 * MINUTE),
        "waiting_approval": lambda: _until("waiting_approval", action="ask", expires=HOUR),
        "waiting_lock": _waiting_lock,
        "running": lambda: _until("running"),
        "held": lambda: _said(_until("running"), s.Hold("api-1", "wait")),
        "parked": _parked,
        "verifying": lambda: _until("verifying"),
        "cleaning up": _cleaning_up,
        "failed": lambda: _until("failed", step={"status": 1}),
        "processes left": lambda: _until("failed", step={"status": 1, "tree_gone": False}),
        "aborted": lambda: _later(_said(_until("running"), s.Abort("api-1"))),
        "unverified": lambda: _until("unverified"),
        "expired": lambda: _until("expired", action="ask", expires=MINUTE),
        "expired and well": _expired_and_well,
        "vetoed": lambda: _said(_until("waiting_approval", action="ask"), s.Veto("api-1")),
        "two plans": _two_plans,
        "verified": lambda: _later(_healing(_until("verifying"))),
        "resolved": lambda: _said(_until("unverified"), s.Resolve("api-1", "by hand", "done")),
    }


def verbs() -> Mapping[str, s.Verb]:
    return {
        "ack": s.Ack("api-1"),
        "ack the matter": s.Ack("life/api-1"),
        "ack by its beginning": s.Ack("api"),
        "ack all": s.Ack(""),
        "hold what begins so": s.Hold("ap"),
        "hold nothing": s.Hold(""),
        "hold another": s.Hold("web-7"),
        "pause no service": s.Pause(service="nothing"),
        "pause no trigger": s.Pause(trigger="nothing"),
        "approve": s.Approve("api-1", comment="yes"),
        "approve what was": s.Approve("api-1", revision=0),
        "veto": s.Veto("api-1"),
        "veto, commented": s.Veto("api-1", "no"),
        "hold": s.Hold("api-1"),
        "resume": s.Resume("api-1"),
        "abort": s.Abort("api-1"),
        "abort --now": s.Abort("api-1", now=True),
        "confirm": s.Confirm("api-1", "drain", "done"),
        "confirm another": s.Confirm("api-1", "revert", "done"),
        "confirm what was": s.Confirm("api-1", "drain", "skip", revision=0),
        "resolve": s.Resolve("api-1", "by hand", "done"),
        "resolve, looked": s.Resolve("api-1", "by hand", "done", processes_gone=True),
        "start": s.Start("api", "now"),
        "start from": s.Start("api", "now", from_step="revert", dry_run=True),
        "rearm the plan": s.Rearm(plan="api"),
        "rearm no plan": s.Rearm(plan="nothing"),
        "rearm the trigger": s.Rearm(trigger="errors"),
        "rearm another subject": s.Rearm(trigger="errors", subject={"cohort": "wide"}),
        "rearm nothing": s.Rearm(),
        "finish the rollout": s.FinishRollout("api"),
        "begin a rollout": s.BeginRollout("api", "v1", "v2"),
    }


def _until(state: str, step: dict[str, Any] | None = None, **trigger: Any) -> Story:
    one = _breaching(_subjects(**trigger))
    one.world.steps["drain"] = [{"after": 5 * SECOND, **(step or {})}]
    one.run_to_state("api-1", state)
    return one


def _said(one: Story, verb: s.Verb) -> Story:
    one.say(verb)
    return one


def _later(one: Story) -> Story:
    one.run(span=2 * MINUTE)
    return one


def _healing(one: Story) -> Story:
    one.world.readings["errors"] = lambda _: {A: "0"}
    return one


def _checking() -> Story:
    one = _breaching(_subjects(), plans=(made.plan(safety_checks=(made.query_check("backup"),)),))
    one.world.checks["backup"] = [{"answer": "pass", "after": MINUTE}]
    one.run_to_state("api-1", "checking")
    return one


def _waiting_lock() -> Story:
    other = made.trigger("other", "other")
    plans = (made.plan(services=("db",)), made.plan("other", services=("db",)))
    one = _breaching(_subjects(windows=4), other, plans=plans)
    one.run_to_state("api-1", "waiting_lock")
    return one


def _two_plans() -> Story:
    other = made.trigger("other", "apt")
    plans = (made.plan(notify=("hook",)), made.plan("apt", ladder="other"))
    ladders = {"default": made.LADDER, "other": (Rung(MINUTE, ("hook",)),)}
    asked: dict[str, Any] = {"action": "ask", "expires": HOUR}
    one = _breaching(_subjects(**asked), replace(other, **asked), plans=plans, ladders=ladders)
    one.run(span=3 * MINUTE)
    return one


def _parked() -> Story:
    return _until("parked", step={"outcome": "in_doubt"})


def _cleaning_up() -> Story:
    plan = made.plan(phases=(phase("drain", "drain"), phase("tidy", "tidy", after_verified=True)))
    one = _breaching(_subjects(), plans=(plan,))
    one.world.steps["tidy"] = [{"after": 10 * MINUTE}]
    one.run_to_state("api-1", "verifying")
    _healing(one).run_to(lambda: "tidy" in one.ran())
    return one


def _expired_and_well() -> Story:
    one = _until("expired", action="ask", expires=MINUTE)
    return _later(_healing(one))


def _played(make: Callable[[], Plot]) -> Story:
    plot = make()
    one = Story(plot.config, plot.world())
    plot.play(one)
    return one


def _subjects(**changes: Any) -> Trigger:
    return made.trigger(**{**PODS, **changes})


def _breaching(*triggers: Trigger, **config: Any) -> Story:
    one = Story(made.config(*triggers, **config))
    for each in triggers:
        reading = {A: "2", B: "0.5"} if each.per else {"": "2"}
        one.world.readings[each.condition.expr] = lambda _, reading=reading: reading  # type: ignore[misc]
    return one


def _heal(one: Story, name: str = "errors") -> None:
    one.world.readings[name] = lambda _: {"": "0"}


def _failed(**config: Any) -> Story:
    plan = made.plan(phases=(phase("only", "a"),))
    one = Story(made.config(plans=(plan,), **config))
    one.world.steps["a"] = [{"status": 1, "detail": "no such host", "output": "oh no\n"}]
    one.say(s.Start("api", "by hand"))
    one.run_to_state("api-1", "failed")
    return one


def _acknowledged() -> Story:
    ladder = (
        Rung(0, ("sre",), title="Look", instructions="now"),
        Rung(5 * MINUTE, ("am",), until="resolved"),
    )
    one = _failed(ladders={"default": ladder})
    one.run(span=MINUTE)
    one.say(s.Ack("api-1", "on it"), "bob")
    one.run(span=40 * MINUTE)
    one.say(s.Resolve("api-1", "by hand", "put it back", processes_gone=True), "bob")
    one.run(span=MINUTE)
    return one


def _refused_pages() -> Story:
    one = _failed()
    one.world.receivers = dict.fromkeys(("sre", "am", "hook", "chat"), lambda _: False)
    one.run(span=12 * MINUTE)
    return one


def _blind() -> Story:
    one = Story(made.config(_subjects()))
    one.world.readings["errors"] = lambda _: s.Unusable("status 422: bad_data")
    one.run(span=11 * MINUTE)
    one.world.readings["errors"] = lambda _: {A: "0"}
    one.run(span=MINUTE)
    return one


def _sparse() -> Story:
    condition = Condition("errors", Limit(">", 1.0), coverage=("newest",))
    one = Story(made.config(made.trigger(condition=condition)))
    one.world.readings["newest"] = lambda end: {"": str((end - 1_000) // 30_000 * 30)}
    one.run(span=2 * MINUTE)
    return one


def _silent() -> Story:
    one = Story(made.config(made.trigger("one"), made.trigger("two")))
    one.run(span=MINUTE)
    one.world.silent = [(one.now, one.now + 10 * MINUTE)]
    one.run(span=12 * MINUTE)
    return one


def _relapsed() -> Story:
    one = Story(made.config(made.trigger(cooldown=30 * MINUTE)))
    one.tape(one.config.triggers[0], "BBB" + "." * 12, "B")
    one.run(span=10 * MINUTE)
    _heal(one)
    one.run(span=45 * MINUTE)
    return one


def _standing() -> Story:
    one = _breaching(_subjects(arm="rollout", initial_delay=30 * SECOND))
    one.run(span=MINUTE)
    one.say(s.BeginRollout("api", "v1", "v2", HOUR, "P-7"))
    one.run(span=2 * MINUTE)
    one.say(s.Rearm(trigger="errors", comment="it is new"))
    one.run(span=2 * MINUTE)
    return one


def _first_window() -> Story:
    world = World()
    world.readings["errors"] = lambda _: {A: "2", B: "3"}
    one = Story(made.config(_subjects()), world, fresh=True)
    one.run(span=2 * MINUTE)
    one.say(s.Rearm(trigger="errors", subject={"cohort": "canary", "pod": "a"}))
    one.run(span=3 * MINUTE)
    return one


def _rollouts() -> Story:
    one = Story(made.config(made.trigger(arm="rollout")))
    one.say(s.BeginRollout("api", "v1", "v2", 5 * MINUTE))
    one.run(span=6 * MINUTE)
    one.say(s.BeginRollout("api", "v2", "v3", HOUR))
    one.say(s.BeginRollout("api", "v3", "v4", HOUR))
    one.say(s.FinishRollout("api"))
    one.say(s.FinishRollout("api"))
    one.say(s.BeginRollout("nothing", "v3", "v4", HOUR))
    one.say(s.BeginRollout("api", "v4", "v5", HOUR))
    one.tape(one.config.triggers[0], "BBB")
    one.run(span=5 * MINUTE)
    return one


def _vetoed() -> Story:
    one = _breaching(_subjects(action="auto_with_warning", veto=5 * MINUTE, cooldown=10 * MINUTE))
    one.run_to_state("api-1", "waiting_veto")
    one.run(span=MINUTE)
    one.say(s.Veto("api-1", "a false alarm"))
    one.run(span=5 * MINUTE)
    _heal(one)
    one.run(span=15 * MINUTE)
    return one


def _expired() -> Story:
    one = _breaching(_subjects(action="ask", expires=3 * MINUTE))
    one.run(span=10 * MINUTE)
    one.say(s.Approve("api-1", comment="late, but yes"))
    one.run(span=3 * MINUTE)
    return one


def _stood_down() -> Story:
    one = _breaching(made.trigger(action="ask", expires=15 * MINUTE))
    one.run_to_state("api-1", "waiting_approval")
    _heal(one)
    one.run(span=5 * MINUTE)
    return one


def _paused() -> Story:
    one = _breaching(made.trigger(), made.trigger("two", "two"), plans=(made.plan(), made.plan("two")))
    one.say(s.Pause(service="api", duration=10 * MINUTE, comment="maintenance"))
    one.say(s.Pause(trigger="two"))
    one.run(span=5 * MINUTE)
    one.say(s.Unpause(trigger="two", comment="done"))
    one.say(s.Unpause(trigger="two"))
    one.say(s.Pause())
    one.say(s.Unpause())
    one.run(span=10 * MINUTE)
    return one


def _held() -> Story:
    one = _breaching(made.trigger())
    one.run_to(lambda: bool(one.ran()))
    one.say(s.Hold("api-1", "wait"))
    one.run(span=2 * MINUTE)
    one.say(s.Hold("api-1"))
    one.say(s.Resume("api-1", "go on"))
    _heal(one)
    one.run(span=3 * MINUTE)
    one.say(s.Resume("api-1"))
    return one


def _aborted() -> Story:
    one = _breaching(made.trigger())
    one.world.steps["drain"] = [{"after": 30 * SECOND}]
    one.run_to(lambda: bool(one.ran()))
    one.say(s.Abort("api-1", comment="let it end"))
    one.run(span=10 * SECOND)
    one.say(s.Abort("api-1", now=True))
    one.run(span=MINUTE)
    one.say(s.Resolve("api-1", "undone", "by hand"))
    one.say(s.Start("api", "again", from_step="revert"))
    one.run(span=MINUTE)
    return one


def _in_doubt() -> Story:
    plan = made.plan(phases=(phase("one", step("a"), step("b"), step("c", irreversible=True)),))
    one = _breaching(made.trigger(), plans=(plan,))
    one.world.steps["a"] = [{"outcome": "in_doubt"}, {"outcome": "timed_out"}]
    one.world.steps["b"] = [{"outcome": "unstarted", "detail": "no such file"}]
    one.run_to_state("api-1", "parked")
    one.run(span=6 * MINUTE)
    one.say(s.Confirm("api-1", "b", "done"))
    one.say(s.Confirm("api-1", "a", "retry", comment="it is safe"))
    one.run(span=30 * SECOND)
    one.say(s.Confirm("api-1", "a", "skip"))
    one.run(span=2 * MINUTE)
    return one


def _overrun() -> Story:
    plan = made.plan(phases=(phase("one", "a", "b"),), timeout=MINUTE)
    one = _breaching(made.trigger(), plans=(plan,))
    one.world.steps["a"] = [{"after": 90 * SECOND}]
    one.run(span=3 * MINUTE)
    one.say(s.Resume("api-1"))
    _heal(one)
    one.run(span=2 * MINUTE)
    return one


def _late() -> Story:
    plan = made.plan(phases=(phase("one", "a"),), level=4)
    one = _breaching(made.trigger(), plans=(plan,))
    one.world.steps["a"] = [{"after": 11 * MINUTE}]
    one.run(span=12 * MINUTE)
    _heal(one)
    one.run(span=3 * MINUTE)
    return one


def _unverified() -> Story:
    plan = made.plan(phases=(phase("one", "a"), phase("tidy", "t", after_verified=True)))
    one = _breaching(_subjects(), plans=(plan,))
    one.run(span=10 * MINUTE)
    return one


def _by_hand() -> Story:
    plan = made.plan(safety_checks=(made.query_check("backup"),), verification=(made.query_check("well"),))
    one = Story(made.config(_subjects(), plans=(plan,)))
    one.world.checks = {"backup": ["fail", "pass"], "well": ["fail", "pass"]}
    one.say(s.Start("api", "to see", subject={"cohort": "canary"}, dry_run=True))
    one.say(s.Start("nothing", "why"))
    one.say(s.Start("api", "why", from_step="nothing"))
    one.say(s.Start("api", "ticket 5", subject={"cohort": "canary", "pod": "a"}), "bob")
    one.run(span=30 * SECOND)
    one.say(s.Start("api", "twice"))
    one.say(s.Approve("api-1"))
    one.run(span=5 * MINUTE)
    one.say(s.Rearm(plan="api"))
    return one


def _braked() -> Story:
    names = ("one", "two", "three")
    triggers = [made.trigger(name, name) for name in names]
    one = _breaching(*triggers, plans=tuple(made.plan(name) for name in names))
    one.run(span=5 * MINUTE)
    return one


def _limited() -> Story:
    """One rollback an hour: the second asks. A rollout between them, or the plan would be spent."""
    one = _breaching(
        made.trigger(cooldown=MINUTE), limits=Limits(rollbacks_per_hour=1, per_service_per_hour=1)
    )
    one.run_to(lambda: bool(one.ran()))
    _heal(one)
    one.run(span=5 * MINUTE)
    one.say(s.BeginRollout("api", "v1", "v2", HOUR))
    one.tape(one.config.triggers[0], "BBB", "B")
    one.run(span=5 * MINUTE)
    return one


def _acted(action: Any) -> Story:
    one = _breaching(_subjects(action=action))
    one.run(span=3 * MINUTE)
    return one


def _restarted() -> Story:
    one = _breaching(made.trigger())
    one.run_to(lambda: bool(one.ran()))
    one.restart(down=30 * SECOND, lost=True)
    one.run(span=MINUTE)
    one.turn(s.ConfigurationRefused("triggers/api.yml:3:1: bad"))
    one.run(span=MINUTE)
    one.restart(unusable="plans/api: gone")
    one.run(span=MINUTE)
    other = Config("config-2", "test", (made.trigger("new"),), (made.plan(),), ladders=one.config.ladders)
    one.turn(s.ConfigurationLoaded(other))
    one.turn(s.DaemonStarted(other, unreadable="lane_opened"))
    one.run(span=MINUTE)
    return one


def _one_step(**step_settings: Any) -> Story:
    plan = made.plan(phases=(phase("only", step("a", **step_settings)), phase("next", "b")))
    return _breaching(made.trigger(), plans=(plan,))


def _backing_off() -> Story:
    one = _one_step(attempts=3, backoff=20 * SECOND)
    one.world.steps["a"] = [{"status": 1, "detail": "refused"}] * 3
    one.run_to(lambda: len(one.ran()) == 2)
    one.run(span=5 * SECOND)
    one.say(s.Abort("api-1", comment="stop"))
    one.run(span=6 * MINUTE)
    return one


def _aborted_in_doubt() -> Story:
    one = _one_step(repeatable=True)
    one.world.steps["a"] = [{"outcome": "in_doubt", "after": 20 * SECOND}]
    one.run_to(lambda: bool(one.ran()))
    one.say(s.Abort("api-1"))
    one.run(span=MINUTE)
    return one


def _irreversible() -> Story:
    guard = ReversibleWhile(made.command("before"), ("revert",), alternative_plan="forward")
    one = _breaching(made.trigger(), plans=(made.plan(reversible_while=guard),))
    one.world.checks["reversible_while"] = [
        {"answer": "pass", "status": 0},
        {"answer": "cannot_tell", "status": 20, "detail": "sold"},
    ]
    one.run(span=3 * MINUTE)
    return one


def _proven_step() -> Story:
    verify = StepVerify(query=Query("replicas", Limit("==", 3.0)), within=30 * SECOND)
    one = _one_step(verify=verify, attempts=2)
    one.world.checks["a verify"] = [{"answer": "fail", "detail": "2 of 3"}, "pass"]
    one.run_to(lambda: "b" in one.ran())
    _heal(one)
    one.run(span=3 * MINUTE)
    return one


def _probed(answer: dict[str, Any]) -> Story:
    one = _one_step(probe=made.command("probe"))
    one.world.steps["a"] = [{"outcome": "in_doubt"}] * 5
    one.world.checks["a probe"] = [answer]
    one.run(span=2 * MINUTE)
    return one


def _verified_in_silence() -> Story:
    one = _breaching(_subjects())
    one.run_to_state("api-1", "verifying")
    one.world.silent = [(one.now, one.now + HOUR)]
    one.run(span=5 * MINUTE)
    return one


def _verified_after_all() -> Story:
    """A later life of the plan proves what the first could not."""
    one = _breaching(_subjects(action="ask", expires=2 * MINUTE))
    one.run_to_state("api-1", "expired")
    one.run(span=MINUTE)
    one.say(s.Approve("api-1"))
    one.run_to_state("api-2", "verifying")
    one.world.readings["errors"] = lambda _: {A: "0", B: "0"}
    one.run(span=2 * MINUTE)
    return one


def _joined() -> Story:
    asked = made.trigger("errors", action="ask", severity="medium", per=("pod",))
    one = Story(made.config(asked, made.trigger("latency", windows=6)))
    one.world.readings["errors"] = lambda _: dict.fromkeys(("p0", "p1", "p2", "p3"), "2")
    one.world.readings["latency"] = lambda _: {"": "3"}
    one.run_to(lambda: bool(one.ran()))
    one.world.readings["errors"] = lambda _: {"p0": "0", "p1": "2"}
    one.world.readings["latency"] = lambda _: {"": "0"}
    one.run(span=3 * MINUTE)
    return one


def _released() -> Story:
    one = _breaching(made.trigger(cooldown=MINUTE), plans=(made.plan(release=made.command("which")),))
    releases = ("v2", "v1", "v3", "v1")
    one.world.checks["release"] = [{"answer": "pass", "status": 0, "output": name} for name in releases]
    for _ in range(2):
        ran = len(one.ran())
        one.run_to(lambda ran=ran: len(one.ran()) >= ran + 3)  # type: ignore[misc]
        _heal(one)
        one.run(span=3 * MINUTE)
        one.world.readings["errors"] = lambda _: {"": "2"}
    one.run(span=MINUTE)
    return one


def _checks_failed() -> Story:
    checks = (made.query_check("backup"), made.query_check("capacity", on_fail="warn"))
    plan = made.plan(safety_checks=checks, verification=(made.query_check("well", windows=2),))
    one = _breaching(made.trigger(expires=5 * MINUTE), plans=(plan,))
    one.world.checks = {
        "backup": [{"answer": "fail", "status": 1, "detail": "none since Monday"}],
        "capacity": ["cannot_tell"],
        "well": ["pass", {"answer": "fail", "detail": "3 is not < 1"}],
    }
    one.run_to_state("api-1", "waiting_approval")
    one.say(s.Approve("api-1", comment="known"))
    one.run_to_state("api-1", "verifying")
    _heal(one)
    one.run(span=4 * MINUTE)
    return one


def _cleanup_failed() -> Story:
    plan = made.plan(phases=(phase("only", "a"), phase("tidy", "t", "u", after_verified=True)))
    one = _breaching(made.trigger(), plans=(plan,))
    one.world.steps["t"] = [{"status": 4, "detail": "disk full"}]
    one.run_to(lambda: bool(one.ran()))
    _heal(one)
    one.run(span=4 * MINUTE)
    return one
