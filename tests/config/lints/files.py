"""Trigger files around a few keys, and what is said of them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from textwrap import indent

from rollbackd.config import Checked, examine

TODAY = date(2026, 11, 21)
HEAD = "version: rollbackd/v1\ngroups:\n  - name: api\n    triggers:\n"
KEYS = {
    "trigger": "T",
    "category": "metric",
    "severity": "medium",
    "breach": '"> 0.5"',
    "windows": "30",
    "plan": "p",
}
MAIN = """\
version: rollbackd/v1
instance: test
prometheus: {urls: ["http://127.0.0.1:9090"]}
receivers: [{name: hook, webhook: {url: "http://127.0.0.1:9/"}}]
"""
PLAN = """\
version: rollbackd/v1
plan: p
owner: oncall
level: 2
services: [s]
summary: Back to the previous version
phases: [{phase: revert, estimate: 1m, steps: [{step: go, run: ["true"], timeout: 1m}]}]
verification: [{check: errors, expr: 'sum(rate(x_errors_total[1m]))', pass: "< 1"}]
"""
RELEASE = "release: {run: [echo, v1]}\n"


def body(keys: str) -> str:
    """A trigger of these keys and of what else one needs."""
    said = {line.split(":")[0] for line in keys.splitlines() if not line.startswith((" ", "#"))}
    if said & {"all", "any"}:
        said.add("breach")  # of the parts
    rest = [f"{key}: {value}" for key, value in KEYS.items() if key not in said]
    first = [] if "trigger" in said else [rest.pop(0)]
    return "\n".join([*first, keys.strip("\n"), *rest, ""])


def entry(keys: str) -> str:
    """The same as an entry of a group."""
    text = indent(body(keys), " " * 8)
    return f"      - {text[8:]}"


def lay(folder: Path, *triggers: str, head: str = HEAD, plan: str = PLAN) -> Path:
    """A configuration of these entries, whose triggers are called T and are tested."""
    (folder / "triggers").mkdir(parents=True)
    (folder / "plans/p").mkdir(parents=True)
    (folder / "rollbackd.yml").write_text(MAIN)
    (folder / "plans/p/plan.yml").write_text(plan)
    (folder / "triggers/api.yml").write_text(head + "".join(triggers))
    (folder / "triggers/api.test.yml").write_text("tests: [{trigger: T}, {trigger: U}]\n")
    return folder / "rollbackd.yml"


def lints(checked: Checked) -> list[str]:
    """Their IDs; everything else that is said, whole."""
    return [problem.lint or str(problem) for problem in checked.problems]


def found(folder: Path, keys: str, **around: str) -> list[str]:
    return lints(examine([lay(folder, entry(keys), **around)], TODAY))
