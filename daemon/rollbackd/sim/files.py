"""The configurations of simulated lives: what people write as YAML, in its JSON form, since
that is made in no time, read by the daemon's own loader.

A *shape* is a small installation; its *editions* are what a reload brings: the same files with one
thing changed.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from rollbackd.config import load
from rollbackd.sim.chance import Chance
from rollbackd.sim.happenings import Files, Reloads, part_of

if TYPE_CHECKING:
    from rollbackd.core.model import Config
    from rollbackd.sim.happenings import Scenario

SHAPES = 160
SLOW = 144
"""From this shape on windows are far apart, so that days pass cheaply; plans are looked at for a day (S4)."""

EDITIONS = 6
STAGES = ("immediate", "short_term", "long_term")
REGIONS = ("eu", "us", "ap")
RECEIVERS = ("sre", "am", "hook", "chat")


@lru_cache(SHAPES * EDITIONS)
def configuration(shape: int, edition: int = 0) -> Config:
    """What the daemon makes of the files of a shape; edition 0 is how it starts."""
    return read(write(shape, edition))


def of(scenario: Scenario, edition: int) -> Config:
    """The edition of a scenario: of its own files, where it brings them."""
    own = scenario.files.get(str(edition))
    return configuration(scenario.shape, edition) if own is None else read(own)


def keeping_its_files(scenario: Scenario) -> Scenario:
    """The same life, whatever becomes of the shapes."""
    editions = {0} | {one.edition for one in scenario.happenings if isinstance(one, Reloads)}
    files = {str(edition): write(scenario.shape, edition) for edition in sorted(editions) if edition >= 0}
    return replace(scenario, files=files)


def read(files: Files) -> Config:
    """What the daemon's own loader makes of them."""
    with TemporaryDirectory(prefix="rollbackd-sim-") as place:
        folder = Path(place)
        for name, document in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"version": "rollbackd/v1", **document}))
        return load(folder / "rollbackd.yml").core


def write(shape: int, edition: int) -> Files:
    chance = Chance("shape", shape)
    plans = [_plan(chance, number) for number in range(chance.between(1, 3, "plans"))]
    groups = [_group(chance, number, plans) for number in range(chance.between(1, 2, "groups"))]
    if shape >= SLOW:
        _slow(chance, plans, groups)
    files: Files = {"rollbackd.yml": _main(chance), "triggers/all.yml": {"groups": groups}}
    files |= {f"plans/{plan['plan']}/plan.yml": plan for plan in plans}
    if edition:
        _edit(files, edition)
    return files


def _main(chance: Chance) -> dict[str, Any]:
    return {
        "instance": "sim",
        "prometheus": {"urls": ["http://127.0.0.1:9090"]},
        "triggers": ["triggers/*.yml"],
        "plans": ["plans/*/plan.yml"],
        "state_dir": "state",
        "max_action": chance.pick(["auto"] * 9 + ["auto_with_warning", "ask", "shadow"], "ceiling"),
        "actions": {
            "high": {"action": "auto_with_warning", "veto": chance.pick(["30s", "2m"], "veto")},
            "medium": {"action": "ask", "expires": chance.pick(["1m", "5m"], "expires")},
        },
        "limits": {
            "rollbacks_per_hour": chance.pick([1, 1, 2, 6], "per hour"),
            "per_service_per_hour": chance.pick([1, 2, 2, 3], "per service"),
            "brake": chance.pick([2, 2, 3, 4], "brake"),
        },
        "receivers": [
            {"name": "sre", "webhook": {"url": "http://127.0.0.1:9/sre"}},
            {"name": "am", "alertmanager": {"urls": ["http://127.0.0.1:9093"]}},
            {"name": "hook", "webhook": {"url": "http://127.0.0.1:9/hook"}},
            {"name": "chat", "webhook": {"url": "http://127.0.0.1:9/chat"}},
        ],
        "notify": ["chat"],
        "ladders": {
            "default": [
                {"after": "0s", "receivers": ["sre"]},
                {"after": "2m", "receivers": ["am"], "repeat": "3m", "until": "acked"},
                {"after": "6m", "receivers": ["hook", "sre"], "repeat": "5m", "until": "resolved"},
            ]
        },
    }


def _plan(chance: Chance, number: int) -> dict[str, Any]:
    def yes(percent: int, what: str) -> bool:
        return chance.yes(percent, "plan", number, what)

    name = f"p{number}"
    services = [f"s{number}"] + (["shared"] if yes(55, "shared") else [])
    phases = [_phase(chance, name, index) for index in range(chance.between(1, 3, name, "phases"))]
    plan: dict[str, Any] = {
        "plan": name,
        "owner": f"{name}-oncall",
        "level": chance.pick([2, 3, 3], name, "level"),
        "services": services,
        "summary": f"{name} back to the previous version",
        "phases": phases,
        "verify_windows": chance.between(1, 3, name, "verify"),
        "settle": chance.pick(["0s", "10s", "30s"], name, "settle"),
        "verify_within": "3m",
        "timeout": chance.pick(["1m", "3m", "6m"], name, "timeout"),
        "verification": [{"check": "healthy", "expr": f'healthy{{of="{name}"}}', "pass": "> 0.5"}],
    }
    if yes(30, "clean-up"):
        plan["phases"].append({**_phase(chance, name, 9), "after": "verified"})
    if yes(35, "previous"):
        plan["needs_previous"] = True
    if yes(40, "release"):
        plan["release"] = {"run": ["true", "release"]}
    if yes(45, "safety"):
        plan["safety_checks"] = [{"check": "backup", "run": ["true", "backup"]}]
    if yes(35, "guard"):
        guarded = [phases[-1]["phase"]]
        plan["reversible_while"] = {"run": ["true", "reversible"], "guards": guarded, "description": "gone"}
    if yes(25, "more checks"):
        plan["verification"].append(
            {"check": "smoke", "run": ["true", "smoke"], "on_fail": chance.pick(["fail", "warn"], name, "w")}
        )
    if yes(35, "regions"):
        _everywhere(chance, plan)
    if yes(30, "people"):
        _by_people(chance, plan)
    if yes(45, "scopes"):
        _parts(chance, plan)
    if yes(25, "validation"):
        _looked_at(chance, plan)
    if yes(30, "impact"):
        plan["impact"] = {"failed_requests": {"expr": f'healthy{{of="{name}"}}'}}
    return plan


def _everywhere(chance: Chance, plan: dict[str, Any]) -> None:
    """Some of its steps run in each region (X1)."""
    name = plan["plan"]
    plan["regions"] = list(REGIONS[: chance.between(2, 3, name, "regions")])
    if chance.yes(40, name, "cap"):
        plan["at_once"] = chance.between(1, 2, name, "at once")
    if chance.yes(40, name, "short"):
        plan["sla"] = chance.pick(["130s", "130s", "3m"], name, "sla")
    steps = [step for phase in plan["phases"] for step in phase["steps"]]
    for number, step in enumerate(steps):
        if number == 0 or chance.yes(50, name, step["step"], "each"):
            step["each"] = chance.pick(["parallel", "parallel", "serial"], name, step["step"], "how")


def _by_people(chance: Chance, plan: dict[str, Any]) -> None:
    """Gates, and what is done by hand; often before what cannot be undone, or is guarded (X1)."""
    name = plan["plan"]
    for number, phase in enumerate(plan["phases"]):
        if chance.yes(45, name, number, "gate"):
            at = chance.between(0, len(phase["steps"]), name, number, "gate at")
            phase["steps"].insert(at, {"step": f"gate{number}", "gate": "approve", "from": "the lead"})
        if chance.yes(35, name, number, "by hand"):
            step: dict[str, Any] = {
                "step": f"hand{number}",
                "manual": "Turn it round.",
                "owner": f"{name}-oncall",
            }
            if chance.yes(40, name, number, "proven"):
                step["verify"] = {"expr": f'verify{{of="{name}"}}', "pass": "== 0", "within": "15s"}
            if plan.get("regions") and chance.yes(40, name, number, "each"):
                step["each"] = "serial"
            if chance.yes(20, name, number, "for good"):
                step["irreversible"] = True
            phase["steps"].insert(chance.between(0, len(phase["steps"]), name, number, "hand at"), step)


def _parts(chance: Chance, plan: dict[str, Any]) -> None:
    """Scopes, one wider than the other (X7)."""
    name, services = plan["plan"], plan["services"]
    acting = [phase for phase in plan["phases"] if phase.get("after") is None]
    names = [phase["phase"] for phase in acting]
    few = [names[chance.below(len(names), name, "few")]]
    plan["scopes"] = {"few": {"phases": few, "services": services[:1]}}
    if len(names) > 2:
        more = [*few, *[each for each in names if each not in few][:1]]
        plan["scopes"]["more"] = {"phases": more, "services": services[:1]}
        plan["scopes"]["few"]["widen_to"] = chance.pick(["more", "more", "all"], name, "to")
    if plan.get("regions"):
        plan["scopes"]["here"] = {"phases": few, "services": services[:1], "regions": plan["regions"][:1]}
    for scope in plan["scopes"].values():
        points = [
            s for p in acting if p["phase"] in scope["phases"] for s in p["steps"] if "irreversible" in s
        ]
        less = set(scope["phases"]) != set(names) or len(scope["services"]) < len(services)
        less = less or "regions" in scope
        if points or not less:
            scope.pop("widen_to", None)
        elif chance.yes(85, name, "widens", *scope["phases"]):
            scope.setdefault("widen_to", "all")


def _looked_at(chance: Chance, plan: dict[str, Any]) -> None:
    """For a quarter of an hour, an hour, a day after success (S4)."""
    name = plan["plan"]
    stages = {}
    for stage in STAGES:
        if not chance.yes(70, name, stage):
            continue
        checks = [{"check": f"lasts-{stage[:4]}", "run": ["true", "lasting"]}]
        if chance.yes(50, name, stage, "another"):
            checks.append({"check": f"well-{stage[:4]}", "expr": f'healthy{{of="{name}"}}', "pass": "> 0.5"})
        if chance.yes(25, name, stage, "warns"):
            checks.append({"check": f"odd-{stage[:4]}", "run": ["true", "smoke"], "on_fail": "warn"})
        stages[stage] = {"checks": checks}
        if chance.yes(50, name, stage, "items"):
            stages[stage]["items"] = [{"item": f"looked at it, {stage}", "owner": f"{name}-oncall"}]
    if stages:
        plan["validation"] = stages
    if chance.yes(50, name, "by hand") or not stages:
        plan["manual_verification"] = [{"item": "somebody logged in", "owner": f"{name}-oncall"}]


def _slow(chance: Chance, plans: list[dict[str, Any]], groups: list[dict[str, Any]]) -> None:
    """Verified by their checks alone."""
    for plan in plans:
        plan["verify_windows"] = 0
        _looked_at(chance, plan)
    for group in groups:
        group["interval"], group["align"] = "30m", "0s"
        for trigger in group["triggers"]:
            trigger.pop("initial_delay", None)


def _phase(chance: Chance, plan: str, index: int) -> dict[str, Any]:
    steps = [
        _step(chance, plan, f"{index}{letter}")
        for letter in "ab"[: chance.between(1, 2, plan, index, "steps")]
    ]
    phase: dict[str, Any] = {"phase": f"phase{index}", "estimate": "10s", "steps": steps}
    if index != 9 and chance.yes(20, plan, index, "lenient"):
        phase["on_failure"] = "continue"
    return phase


def _step(chance: Chance, plan: str, name: str) -> dict[str, Any]:
    def yes(percent: int, what: str) -> bool:
        return chance.yes(percent, plan, name, what)

    step: dict[str, Any] = {
        "step": f"step{name}",
        "run": ["true", name],
        "timeout": chance.pick(["20s", "40s"], plan, name, "timeout"),
    }
    if yes(12, "irreversible"):
        return {**step, "irreversible": True}
    if yes(50, "retry"):
        step["retry"] = {
            "attempts": chance.between(2, 3, plan, name, "attempts"),
            "backoff": chance.pick(["1s", "5s"], plan, name, "backoff"),
        }
    if yes(35, "repeatable"):
        step["repeatable"] = True
    if yes(45, "probe"):
        step["probe"] = ["true", f"probe-{name}"]
    if yes(20, "expect"):
        step["expect"] = "drained"
    if yes(35, "verify"):
        step["verify"] = {"expr": f'verify{{of="{plan}"}}', "pass": "== 0", "within": "15s"}
    if yes(10, "never"):
        step["interrupt"] = "never"
    return step


def _group(chance: Chance, number: int, plans: list[dict[str, Any]]) -> dict[str, Any]:
    triggers = [
        _trigger(chance, f"T{number}{index}", plans)
        for index in range(chance.between(1, 2, number, "triggers"))
    ]
    align = chance.pick(["0s", "3s", "auto"], number, "align")
    each_scrape = align == "auto" and chance.yes(40, number, "each scrape")
    return {
        "name": f"g{number}",
        "interval": "5s" if each_scrape else chance.pick(["10s", "15s", "20s"], number, "interval"),
        "align": align,
        "delay": chance.pick(["0s", "0s", "1s"], number, "delay"),
        "triggers": triggers,
    }


def _trigger(chance: Chance, name: str, plans: list[dict[str, Any]]) -> dict[str, Any]:
    def yes(percent: int, what: str) -> bool:
        return chance.yes(percent, name, what)

    trigger: dict[str, Any] = {
        "trigger": name,
        "category": "metric",
        "severity": chance.pick(["critical", "critical", "high", "high", "medium"], name, "severity"),
        "windows": chance.between(2, 4, name, "windows"),
        "no_data": chance.pick(["keep", "keep", "keep", "reset", "breach", "ok"], name, "no_data"),
        "arm": "rollout" if yes(40, "rollout") else "always",
        "plan": chance.pick([plan["plan"] for plan in plans], name, "plan"),
        "cooldown": chance.pick(["0s", "30s", "2m", "10m"], name, "cooldown"),
    }
    scopes = next(list(plan.get("scopes", ())) for plan in plans if plan["plan"] == trigger["plan"])
    if scopes and yes(60, "scope"):
        trigger["scope"] = chance.pick(scopes, name, "which")
    if trigger["arm"] == "rollout" and yes(50, "delay"):
        trigger["initial_delay"] = "30s"
    by = ""
    if yes(35, "per"):
        trigger["per"] = ["cohort"]
        by = "by (cohort) "
    if yes(25, "composed"):
        trigger |= _composed(chance, name, by)
    else:
        trigger |= _leaf(chance, name, by)
    if yes(20, "recovered"):
        trigger["recovered"] = {"expr": f'max {by}(calm{{of="{name}"}})', "breach": "> 1"}
        if yes(30, "recovered in parts"):
            also = _leaf(chance, part_of(name, 1), by)
            trigger["recovered"] = {"any": [trigger["recovered"], also]}
    if yes(10, "notify"):
        trigger["action"] = chance.pick(["notify", "shadow"], name, "action")
    return trigger


def _leaf(chance: Chance, name: str, by: str) -> dict[str, Any]:
    """What asks something: of a trigger, or of a part of one."""
    total = f'sum {by}(total{{of="{name}"}})'
    if chance.yes(40, name, "ratio"):
        ratio = {"errors": f'sum {by}(errors{{of="{name}"}})', "total": total, "min_total": 5}
        return {"ratio": ratio, "breach": "> 0.1"}
    leaf: dict[str, Any] = {"expr": f'max {by}(value{{of="{name}"}})', "breach": "> 1"}
    if chance.yes(30, name, "traffic"):
        leaf["traffic"] = {"expr": total, "at_least": 5}
    return leaf


def _composed(chance: Chance, name: str, by: str) -> dict[str, Any]:
    leaves = [_leaf(chance, part_of(name, n), by) for n in range(chance.between(2, 4, name, "parts"))]
    for n, leaf in enumerate(leaves):
        if chance.yes(35, name, n, "own no_data"):
            leaf["no_data"] = chance.pick(["keep", "reset", "breach", "ok"], name, n, "own")
    how = chance.pick(["all", "any"], name, "how")
    if len(leaves) > 2 and chance.yes(60, name, "nested"):
        return {how: [leaves[0], {"any" if how == "all" else "all": leaves[1:]}]}
    return {how: leaves}


def _edit(files: Files, edition: int) -> None:
    """What a reload brings."""
    groups = files["triggers/all.yml"]["groups"]
    first = groups[0]["triggers"][0]
    match edition:
        case 1:
            first["windows"] += 1
        case 2:
            while "breach" not in first:
                first = (first.get("all") or first["any"])[0]
            first["breach"] = "> 7" if "expr" in first else "> 0.7"
        case 3:
            files["rollbackd.yml"]["max_action"] = "ask"
        case 4:
            for name in [name for name in files if name.startswith("plans/")]:
                steps = files[name]["phases"][0]["steps"]
                next(step for step in steps if "run" in step)["run"] = ["true", "another"]
        case 5 if len(groups[0]["triggers"]) > 1:
            del groups[0]["triggers"][0]
        case _:
            first["cooldown"] = "1m"
