"""Whole stories, for what must hold in all of them: crashes, restarts, determinism."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes import made
from tests.fakes.made import INTERVAL, MINUTE, SECOND, START, phase, step
from tests.fakes.story import Found, Readings, Story, World

from rollbackd.core import signals as s
from rollbackd.core.model import Config, ReversibleWhile, Step


@dataclass(frozen=True)
class Plot:
    """A configuration, a world, and a person who answers what needs an answer."""

    config: Config
    breach: dict[str, tuple[int, str]]  # trigger → its first bad window, and the step that heals it
    ends: dict[str, str]
    steps: dict[str, list[dict[str, object]]]
    approves: bool = False
    checks: dict[str, list[dict[str, object] | str]] = field(default_factory=dict)
    phase: int | None = None  # of the interval, where the only target is scraped

    def world(self) -> World:
        world = World()
        for name, (first, cure) in self.breach.items():
            world.readings[name] = _sick(world, START + first * INTERVAL, cure)
        world.steps = {name: [dict(fields) for fields in script] for name, script in self.steps.items()}
        world.checks = {name: list(answers) for name, answers in self.checks.items()}
        phase = self.phase
        if phase is not None:
            world.scrapes = lambda at: {"": s.Scrape((at - phase) // INTERVAL * INTERVAL + phase, 20)}
        return world

    def play(self, one: Story, *, span: int = 8 * MINUTE) -> None:
        """Let it go its way; the person approves what waits for it."""
        end = one.now + span
        while one.now < end:
            one.run(min(one.now + 5 * SECOND, end))
            for life in list(one.state.lives.values()):
                if self.approves and life.state == "waiting_approval":
                    one.say(s.Approve(life.id))


def _sick(world: World, since: int, step: str) -> Readings:
    """Breaching from the window that ends at `since` until the step took effect."""

    def at(end: int) -> Found:
        healed = world.machine.done.get(step)
        return {"": "2" if end >= since and (healed is None or end < healed) else "0"}

    return at


def plots() -> dict[str, Callable[[], Plot]]:
    return {
        "auto": lambda: Plot(made.config(), {"errors": (1, "revert")}, {"api-1": "verified"}, {}),
        "repeatable": _repeatable,
        "checked": _checked,
        "veto": _veto,
        "ask": _ask,
        "failed": lambda: Plot(
            made.config(), {"errors": (1, "revert")}, {"api-1": "failed"}, {"revert": [{"status": 1}] * 9}
        ),
        "shared": _shared,
        "aligned": _aligned,
    }


def _repeatable() -> Plot:
    steps: list[str | Step] = [
        step("a", repeatable=True),
        step("b", probe=made.command("p"), attempts=2, backoff=SECOND),
    ]
    plan = made.plan(phases=(phase("only", *steps),))
    return Plot(
        made.config(plans=(plan,)),
        {"errors": (1, "b")},
        {"api-1": "verified"},
        {"b": [{"status": 1}, {"after": 3 * SECOND}]},
        checks={"b probe": [{"answer": "fail", "status": 20}]},
    )


def _checked() -> Plot:
    guard = ReversibleWhile(made.command("before"), ("revert",))
    plan = made.plan(
        phases=(
            phase("drain", "drain"),
            phase("revert", "revert"),
            phase("tidy", "tidy", after_verified=True),
        ),
        safety_checks=(made.query_check("backup"),),
        verification=(made.query_check("well"),),
        release=made.command("which"),
        reversible_while=guard,
    )
    return Plot(made.config(plans=(plan,)), {"errors": (1, "revert")}, {"api-1": "verified"}, {})


def _veto() -> Plot:
    trigger = made.trigger(action="auto_with_warning", severity="high", veto=30 * SECOND)
    return Plot(made.config(trigger), {"errors": (1, "revert")}, {"api-1": "verified"}, {})


def _ask() -> Plot:
    trigger = made.trigger(action="ask", severity="medium")
    return Plot(made.config(trigger), {"errors": (1, "revert")}, {"api-1": "verified"}, {}, approves=True)


def _aligned() -> Plot:
    config = made.config(made.trigger(auto_align=True), groups=(made.group(),))
    return Plot(config, {"errors": (9, "revert")}, {"api-1": "verified"}, {}, phase=3 * SECOND)


def _shared() -> Plot:
    triggers = made.trigger("one", "one"), made.trigger("two", "two")
    plans = tuple(
        made.plan(name, services=("db",), phases=(phase("only", name, f"{name}-b"),))
        for name in ("one", "two")
    )
    breach = {"one": (1, "one"), "two": (2, "two")}
    ends = {"one-1": "verified", "two-1": "verified"}
    return Plot(made.config(*triggers, plans=plans), breach, ends, {}, approves=True)
