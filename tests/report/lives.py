"""Lives worth a report, each with its rows; all of them played by the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from tests.fakes import made
from tests.fakes.made import MINUTE, SECOND, phase
from tests.fakes.story import Story

from rollbackd.config.instance import default_ladder
from rollbackd.core import signals as s
from rollbackd.core.fold import fold_life
from rollbackd.core.model import (
    ALL,
    Gate,
    ImpactQuery,
    Item,
    Limit,
    Manual,
    Plan,
    Scope,
    Step,
    Trigger,
)
from rollbackd.core.record import Recorded
from rollbackd.core.state import Life

WORDS = (
    '<script>alert("x")</script>',
    '"><img src=x onerror=alert(1)>',
    "</style><style>body{display:none}",
    "</title></svg><a href='javascript:alert(1)'>",
    "{{ 7 * 7 }}{% raw %}",
    "\x1b[2J\x1b]0;owned\x07",
    "right\u202eto left\u2066",
    "nul\x00 and \r\n lines \u2028",
    "long " + "w" * 10_000,
)
IMPACT = (
    ImpactQuery("downtime_seconds", "down[$span]"),
    ImpactQuery("failed_requests", "failed[$span]"),
    ImpactQuery("customer_impact", "cost[$span]", {"minimal": Limit("<", 0.01), "severe": Limit(">=", 0.01)}),
    ImpactQuery("revenue_impact_usd", "revenue[$span]"),
)
SAID = {
    "downtime_seconds": {"answer": "pass", "output": "180"},
    "failed_requests": {"answer": "pass", "output": "71"},
    "customer_impact": {"answer": "pass", "output": "0.002"},
    "revenue_impact_usd": {"answer": "cannot_tell", "detail": "no series"},
}


class Told(Struct, frozen=True):
    life: Life
    rows: list[Recorded]


def told(one: Story, name: str = "api-1") -> Told:
    rows = [row for row in one.journal.replay() if row.life == name]
    life = fold_life([row.event for row in rows if row.event is not None], name)
    assert life is not None
    return Told(life, rows)


def trigger(**changes: Any) -> Trigger:
    annotations = {"summary": "More than 1 % of the API's requests fail"}
    fields: dict[str, Any] = {"per": ("cohort",), "annotations": annotations, "category": "metric"}
    return made.trigger("ApiErrorRatioHigh", **{**fields, **changes})


def plan(**changes: Any) -> Plan:
    fields: dict[str, Any] = {
        "operation": "Deploy API v2.1",
        "services": ("api", "auth"),
        "permit": "permit-xyz789",
        "phases": (
            phase("preparation", "notify", estimate=30 * SECOND),
            phase("stop-traffic", "drain", "scale-down", estimate=MINUTE),
            phase("database", "restore", estimate=3 * MINUTE),
            phase("application", "deploy-api", "deploy-auth", estimate=2 * MINUTE),
            phase("clean-up", "tidy", after_verified=True),
        ),
        "impact": IMPACT,
        "verification": (made.query_check("healthy"),),
    }
    return made.plan(**{**fields, **changes})


def story(of: Plan, fires: Trigger | None = None, slow: int = 1, **config: Any) -> Story:
    """`slow`: how many times longer its steps take."""
    fires = fires if fires is not None else trigger()
    settings = {"ladders": {"default": default_ladder(("sre", "am"))}, **config}
    one = Story(made.config(fires, plans=(of,), **settings))
    for name, answer in SAID.items():
        one.world.checks[name] = [answer]
    for name, after in {"notify": 4, "drain": 11, "scale-down": 24, "restore": 95, "deploy-api": 48}.items():
        one.world.steps[name] = [{"after": slow * after * SECOND, "output": f"{name}: done\n"}]
    return one


def breaching(one: Story, subjects: Mapping[str, str], until: Callable[[], bool]) -> None:
    """These readings from the next window on, until something is so; then well again."""
    fires, begin, over = one.config.triggers[0], one.now, [1 << 62]
    well = dict.fromkeys(subjects, "0.2")
    one.world.readings[fires.condition.expr] = lambda end: dict(subjects) if begin < end <= over[0] else well
    one.run_to(until)
    over[0] = one.now


def verified(slow: int = 1) -> Told:
    """By a trigger, at once; one step needs two attempts."""
    phases = tuple(
        phase(one.name, *(Step("deploy-api", made.command("deploy-api"), attempts=2), "deploy-auth"))
        if one.name == "application"
        else one
        for one in plan().phases
    )
    one = story(plan(phases=phases), slow=slow)
    one.say(s.BeginRollout("api", "v2.0.8", "v2.1.0"))
    one.run(span=MINUTE)
    one.world.steps["deploy-api"].insert(
        0, {"status": 1, "after": 9 * SECOND, "output": "connection refused\n"}
    )
    breaching(one, {"canary": "2.5", "eu": "0.4"}, lambda: one.state_of("api-1") == "running")
    one.run(span=20 * MINUTE)
    return told(one)


def failed() -> Told:
    """Climbs three levels; people act, and resolve it with lessons."""
    one = story(plan())
    one.world.steps["restore"] = [
        {
            "status": 1,
            "after": 40 * SECOND,
            "output": "restoring\npg_restore: error: could not read: end of file\n",
        }
    ]
    breaching(one, {"canary": "2.5"}, lambda: one.state_of("api-1") == "failed")
    one.run(span=7 * MINUTE)
    one.say(s.Ack("api-1", "senior SRE looks at the backup"), "bob")
    one.run(span=32 * MINUTE)
    one.say(s.Ack("api-1", "forward-fix decided"), "carol")
    one.run(span=15 * MINUTE)
    lessons = ("verify backups when they are taken", "keep more than one")
    one.say(s.Resolve("api-1", "forward-fix", "compensating migration, v2.1.1", lessons=lessons), "carol")
    one.run(span=MINUTE)
    return told(one)


def regional() -> Told:
    """Regions one after the other; a gate before the second, work by hand, a hold."""
    each = Step("revert", made.command("revert"), each="serial")
    phases = (
        phase("go", Step("approve", gate=Gate("release manager"))),
        phase("revert", each),
        phase("dns", Step("switch", manual=Manual("Point DNS back", "network"))),
    )
    regions = ("eu", "us", "ap")
    one = story(
        plan(phases=phases, regions=regions, level=4, sla=2 * MINUTE, target=MINUTE, verify_windows=1)
    )
    one.world.steps["revert@eu"] = [{"after": 45 * SECOND}]
    one.world.steps["revert@us"] = [{"after": 150 * SECOND}]
    one.world.steps["revert@ap"] = [{"after": 30 * SECOND}]
    one.say(s.Start("api", "customers call"))
    one.run(span=90 * SECOND)
    one.say(s.Approve("api-1", comment="eu first"), "dora")
    one.run(span=20 * SECOND)
    one.say(s.Hold("api-1", "wait for eu"), "dora")
    one.run(span=MINUTE)
    one.say(s.Resume("api-1"), "dora")
    one.run(span=4 * MINUTE)
    one.say(s.Confirm("api-1", "switch", "done", comment="done, TTL 60"), "eve")
    one.run(span=10 * MINUTE)
    return told(one)


SCOPES = (
    Scope("application", ("application",), ("api", "auth"), widen_to=ALL),
    Scope("database", ("database",), ("api", "auth")),
)


def widened() -> Told:
    """The application alone does not do; the whole plan follows."""
    one = story(plan(scopes=SCOPES), trigger(scope="application"))
    one.world.steps["deploy-auth"] = [{"status": 2, "after": 13 * SECOND, "output": "image not found\n"}]
    breaching(one, {"canary": "2.5"}, lambda: "deploy-api" in one.ran()[3:])
    one.run(span=20 * MINUTE)
    return told(one)


def part(scope: str) -> Told:
    one = story(plan(scopes=SCOPES))
    one.say(s.Start("api", "by hand", scope=scope))
    one.run(span=20 * MINUTE)
    return told(one)


def looked_at() -> Told:
    """Under way: items for people are open."""
    items = (Item("User login works", "support"), Item("No complaints", "support"))
    one = story(plan(manual_verification=items))
    breaching(one, {"canary": "2.5"}, lambda: one.state_of("api-1") == "running")
    one.run(span=6 * MINUTE)
    one.say(s.Tick("api-1", "1", "as ever"), "sue")
    one.run(span=MINUTE)
    return told(one)


def hostile() -> Told:
    """Every word in labels, values, outputs, names of people, comments."""
    one = story(plan(operation=WORDS[0], services=("<b>",), permit=WORDS[1]))
    output = "\n".join(WORDS)
    one.world.steps["restore"] = [{"status": 1, "detail": WORDS[1], "output": output}]
    subjects = {f"{word} {place}": "2.5" for place, word in enumerate(WORDS)}
    breaching(one, subjects, lambda: one.state_of("api-1") == "failed")
    for word in WORDS:
        one.say(s.Ack("api-1", word), word)
    one.say(s.Resolve("api-1", WORDS[0], WORDS[3], lessons=WORDS), WORDS[1])
    one.run(span=MINUTE)
    return told(one)


def crowd() -> Told:
    """A thousand subjects, which is the most."""
    one = story(plan(), trigger(windows=3))
    subjects = {f"pod-{number:04d}": "2.5" for number in range(1_000)}
    breaching(one, subjects, lambda: one.state_of("api-1") == "running")
    one.run(span=20 * MINUTE)
    return told(one)


def shadowed() -> Told:
    one = story(plan(), trigger(action="shadow"))
    breaching(one, {"canary": "2.5"}, lambda: one.state_of("api-1") == "shadowed")
    return told(one)


LIVES: Mapping[str, Callable[[], Told]] = {
    "verified": verified,
    "failed": failed,
    "regional": regional,
    "widened": widened,
    "looked_at": looked_at,
    "hostile": hostile,
    "crowd": crowd,
    "shadowed": shadowed,
}
