"""`init plan`: a plan with every part, that does nothing until its scripts are written."""

from __future__ import annotations

import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest

from rollbackd.authoring.first import first_set
from rollbackd.authoring.folders import place
from rollbackd.authoring.plan_template import plan_template
from rollbackd.config import examine, load
from rollbackd.core.levels import lacks
from rollbackd.core.model import STAGES, Plan

TODAY = date(2026, 11, 1)


def laid(folder: Path, name: str = "api") -> Plan:
    """Beside a first set; the plan as the daemon reads it."""
    place(folder, [*first_set(TODAY), *plan_template(name)])
    plan = load(folder / "rollbackd.yml").core.plan(name)
    assert plan is not None
    return plan


@pytest.mark.parametrize(
    "name", ["api", "api-v2.1", "no", "12", "1e5", "null", "x" * 100, "DATABASE", "NAME-x"]
)
def test_passes_every_check_and_every_lint_whatever_its_name(tmp_path: Path, name: str) -> None:
    assert laid(tmp_path, name).name == name
    assert examine([tmp_path], TODAY).problems == []
    assert examine([tmp_path / "plans" / name], TODAY).problems == []


def test_it_has_every_part_that_a_plan_may_have(tmp_path: Path) -> None:
    plan = laid(tmp_path)
    assert lacks(plan, ()) == []
    assert (plan.level, len(plan.phases), plan.phases[-1].after_verified) == (3, 7, True)
    assert [scope.name for scope in plan.scopes] == ["application", "database"]
    assert {check.kind for check in plan.verification} == {
        *("version", "schema", "health", "metrics", "functional", "data_consistency")
    }
    assert (len(plan.manual_verification), len(plan.safety_checks)) == (10, 3)
    assert [stage.name for stage in plan.validation] == list(STAGES)
    assert all(stage.checks and len(stage.items) == 3 for stage in plan.validation)
    assert all(item.owner for item in plan.items())
    assert plan.reversible_while is not None
    assert plan.release is not None


def test_its_scripts_are_all_used_and_fail_with_a_line(tmp_path: Path) -> None:
    """And the point of no return cannot tell: neither 0 nor 20."""
    laid(tmp_path)
    folder = tmp_path / "plans" / "api"
    scripts = sorted((folder / "scripts").rglob("*.sh"))
    text = (folder / "plan.yml").read_text()
    assert [str(script) for script in scripts if f"./{script.relative_to(folder)}" not in text] == []
    for script in scripts:
        done = subprocess.run(
            [script], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}
        )
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"to be written: {script}\n")


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_its_scripts_pass_shellcheck(tmp_path: Path) -> None:
    laid(tmp_path)
    scripts = sorted((tmp_path / "plans" / "api").rglob("*.sh"))
    found = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert found.stdout == ""
