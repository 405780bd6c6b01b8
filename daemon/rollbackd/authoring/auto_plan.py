"""The plan of an imported `auto_rollback`: what its script does, and its safety checks, which fail closed."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rollbackd.authoring.auto_triggers import INTERVAL
from rollbackd.authoring.folders import File
from rollbackd.authoring.names import Names, name_from
from rollbackd.authoring.writing import VERSION, comment, dump, modeline
from rollbackd.config.bundle import Bundle, judge
from rollbackd.config.problem import one_line
from rollbackd.config.yaml_source import parsed
from rollbackd.core.model import Condition, Limit, Ms, Trigger
from rollbackd.core.notation import span
from rollbackd.core.sla import SLA

_MOST_SCRIPT = 1024 * 1024
_TIMEOUT: Ms = 15 * 60_000
_VERIFY_WINDOWS = 3
_OPPOSITE: dict[str, Literal[">", ">=", "<", "<=", "==", "!="]] = {
    ">": "<=",
    ">=": "<",
    "<": ">=",
    "<=": ">",
    "==": "!=",
    "!=": "==",
}
_CHECKS = {
    "verify_backup_exists": "Pass where the backup that the rollback restores is there, whole and recent.",
    "verify_previous_version_healthy": "Pass where the version to go back to can be installed, and is well.",
    "verify_rollback_tested": "Pass where this rollback was tried, as on staging, since it last changed.",
}


class Wanted(NamedTuple):
    """What the file says of the rollback; empty texts where it says nothing."""

    path: Path
    plan: str
    service: str
    operation: str
    permit: str
    script: str
    seconds: float | None
    receivers: list[str]
    checks: dict[str, bool]


def plan_files(wanted: Wanted, triggers: str, notes: list[str], schema: str) -> list[File]:
    """The plan and its scripts. `triggers`: the text of those that name it. What is different is noted."""
    folder = f"plans/{wanted.plan}"
    run, script = _script(wanted, notes)
    on = [key for key, asked in wanted.checks.items() if asked]
    off = [key for key in wanted.checks if key not in on]
    notes += [f"the safety check {one_line(key)} is false there: left out" for key in off]
    names = Names()
    stubs = {names.take(key.replace("_", "-"), "check"): key for key in on}
    files = [File(f"{folder}/plan.yml", _text(wanted, _read(triggers), run, list(stubs), notes, schema))]
    for name, key in stubs.items():
        purpose = _CHECKS.get(key, f"Pass where {one_line(key)} holds.")
        files.append(File(f"{folder}/scripts/checks/{name}.sh", _stub(purpose), program=True))
    if script is not None:
        files.append(File(f"{folder}/{run[0].removeprefix('./')}", script, program=True))
    return files


def _read(text: str) -> list[Trigger]:
    bundle = Bundle(trigger_files=[parsed(text, Path("triggers.yml"), "", "triggers.yml")])
    judge(bundle)
    return [trigger for _, trigger in bundle.triggers]


def _stub(purpose: str) -> str:
    return (
        "#!/usr/bin/env bash\n"
        f"# {purpose}\n"
        "# It fails until it is written: what cannot tell must not let anything happen.\n"
        "set -euo pipefail\n"
        'echo "$0: not written yet" >&2\n'
        "exit 1\n"
    )


def _script(wanted: Wanted, notes: list[str]) -> tuple[list[str], str | None]:
    """The step's program, and the script to put into the plan's folder, where it is one."""
    try:
        argv = shlex.split(wanted.script)
    except ValueError:
        argv = [wanted.script]
    if not argv or not argv[0]:
        notes.append("no rollback_script is said: scripts/rollback.sh is to be written")
        return ["./scripts/rollback.sh"], _stub("Go back to the previous version.")
    if os.path.isabs(argv[0]) or "/" not in argv[0]:
        return argv, None
    name = name_from(Path(argv[0]).name, "rollback.sh")
    text = _copied(wanted.path.parent / argv[0])
    if text is None:
        notes.append(f"{one_line(argv[0])} is not to be had here: write scripts/{name} in the plan's folder")
    return [f"./scripts/{name}", *argv[1:]], text or _stub("Go back to the previous version.")


def _copied(path: Path) -> str | None:
    try:
        if not path.is_file() or path.stat().st_size > _MOST_SCRIPT:
            return None
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return None


def _text(
    wanted: Wanted, triggers: list[Trigger], run: list[str], checks: list[str], notes: list[str], schema: str
) -> str:
    timeout: Ms = round(wanted.seconds * 1000) if wanted.seconds is not None else _TIMEOUT
    settle = max((trigger.recovery().longest_range for trigger in triggers), default=0)
    proof = settle + _VERIFY_WINDOWS * INTERVAL
    sla = SLA[3] if timeout + proof <= SLA[3] else SLA[2]
    fits = timeout + proof <= sla
    about = [
        f"{wanted.path.name}, imported by rollbackd. Correct `owner`; level 3 asks for more.",
        f"Verified within {span(sla)} of the decision, or people are told.",
        *(f"import: {note}" for note in notes),
    ]
    if wanted.seconds is None:
        about.append(f"import: no rollback_timeout_seconds is said: {span(timeout)}")
    if not fits:
        about.append(
            f"import: {span(timeout)} is beyond the SLA: the estimate says that it seldom takes as long"
        )
    parts = [modeline(schema), comment(about), f"{VERSION}\n", dump(_head(wanted, sla, run))]
    if wanted.receivers:
        parts.append(comment(["Each must be the name of one of the `receivers:` of rollbackd.yml."]))
        parts.append(dump({"notify": wanted.receivers}))
    if checks:
        parts.append(
            comment(["One that fails lowers the action to `ask`. These fail until they are written."])
        )
        asked = [{"check": name, "run": [f"./scripts/checks/{name}.sh"]} for name in checks]
        parts.append(dump({"safety_checks": asked}))
    estimate = {"estimate": span(timeout if fits else sla - proof)}
    step = {"step": "rollback", "run": run, "timeout": span(timeout)}
    names = Names()
    for check in checks:
        names.take(check)
    proofs = [_proof(trigger, names) for trigger in triggers]
    verification = {"verification": proofs} if proofs else {}
    work = {"phases": [{"phase": "rollback", **estimate, "steps": [step]}], **verification}
    return "".join([*parts, dump({**work, "timeout": span(timeout)})])


def _head(wanted: Wanted, sla: Ms, run: list[str]) -> dict[str, Any]:
    head: dict[str, Any] = {
        "plan": wanted.plan,
        "owner": "whoever imported this",
        "level": 2,
        "sla": span(sla),
    }
    said = {"operation": wanted.operation, "permit": wanted.permit}
    head |= {key: text for key, text in said.items() if text}
    return {**head, "services": [name_from(wanted.service)], "summary": f"What {' '.join(run)[:150]} does"}


def _proof(trigger: Trigger, names: Names) -> dict[str, Any]:
    """What must hold beside the trigger, whose subjects may have no traffic, and then prove nothing (S3)."""
    condition: Condition = trigger.recovery()
    expr = condition.expr
    if condition.total is not None:
        total = condition.total
        expr = f"(({expr}) or 0 * ({total})) / ({total})"
    limit = Limit(_OPPOSITE[condition.breach.op], condition.breach.value)
    return {"check": names.take(f"{trigger.name}-is-over", "over"), "expr": expr, "pass": str(limit)}
