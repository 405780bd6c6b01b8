"""Small configurations for tests: a trigger, a plan, a ladder, with everything said or defaulted."""

from __future__ import annotations

from typing import Any

from rollbackd.core.model import (
    Check,
    Command,
    Condition,
    Config,
    Group,
    Limit,
    Limits,
    Ms,
    Phase,
    Plan,
    Query,
    Rung,
    Step,
    Trigger,
)

SECOND: Ms = 1_000
MINUTE: Ms = 60_000
HOUR: Ms = 3_600_000

INTERVAL: Ms = 10 * SECOND
START: Ms = 1_700_000_040_000
"""When the stories begin: a window of 10 s, 15 s, 20 s and 30 s ends here."""

LADDER = (Rung(0, ("sre",)), Rung(5 * MINUTE, ("am",)))


def command(name: str, **changes: Any) -> Command:
    return Command((f"./{name}",), **changes)


def step(name: str, **changes: Any) -> Step:
    return Step(name, command(name), **changes)


def phase(name: str, *steps: str | Step, **changes: Any) -> Phase:
    made = tuple(step(one) if isinstance(one, str) else one for one in steps)
    return Phase(name, made, **changes)


def plan(name: str = "api", **changes: Any) -> Plan:
    settings: dict[str, Any] = {
        "hash": f"hash-{name}",
        "owner": f"{name}-oncall",
        "level": 3,
        "services": (name,),
        "phases": (phase("drain", "drain"), phase("revert", "revert"), phase("open", "open")),
        "summary": f"{name} back to the previous version",
        "verify_windows": 2,
        "settle": 0,
    }
    return Plan(name, **{**settings, **changes})


def trigger(name: str = "errors", plan: str = "api", **changes: Any) -> Trigger:
    """Three windows of 10 s; `expr` is the trigger's name; a reading above 1 is a breach."""
    settings: dict[str, Any] = {
        "group": "main",
        "category": "metric",
        "severity": "critical",
        "action": "auto",
        "condition": Condition(name, Limit(">", 1.0)),
        "interval": INTERVAL,
        "windows": 3,
        "fingerprint": f"{name}-1",
        "arm": "always",
    }
    return Trigger(name, plan=plan, **{**settings, **changes})


def group(name: str = "main", **changes: Any) -> Group:
    """One that learns its alignment."""
    settings: dict[str, Any] = {"interval": INTERVAL, "delay": 0, "sampled": "sampled", "took": "took"}
    return Group(name, **{**settings, **changes})


def query_check(name: str, **changes: Any) -> Check:
    return Check(name, query=Query(name, Limit("<", 1.0)), **changes)


def config(*triggers: Trigger, plans: tuple[Plan, ...] = (), **changes: Any) -> Config:
    settings: dict[str, Any] = {
        "hash": "config-1",
        "instance": "test",
        "receivers": ("sre", "am", "hook"),
        "notify": ("chat",),
        "ladders": {"default": LADDER},
        "limits": Limits(),
    }
    return Config(triggers=triggers or (trigger(),), plans=plans or (plan(),), **{**settings, **changes})
