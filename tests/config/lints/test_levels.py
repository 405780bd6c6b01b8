"""Lints of plans: what one lacks for its level, and exceptions (P1)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.fake import rollbackd
from tests.config.lints.files import PLAN, TODAY, entry, lay, lints

from rollbackd.config import Checked, examine

THREE = PLAN.replace("level: 2", "level: 3")
TRIGGER = entry('expr: "sum(rate(x_errors_total[1m]))"\n')


def checked(folder: Path, plan: str) -> Checked:
    return examine([lay(folder, TRIGGER, plan=plan)], TODAY)


def told(folder: Path, plan: str) -> list[str]:
    return [f"{each.key}: {each.what} [{each.lint}]" for each in checked(folder, plan).problems]


def test_what_a_plan_of_level_three_is_without_is_told_with_its_remedy(tmp_path: Path) -> None:
    problems = checked(tmp_path, THREE).problems
    assert {(each.severity, each.lint) for each in problems} == {("warning", "plan-level")}
    assert sorted((each.key, each.what) for each in problems) == [
        ("manual_verification", "level 3, checklist: people have nothing to go through"),
        ("scopes", "level 3, scopes: no part of it can be rolled back by itself"),
        ("verification", "level 3, data_consistency: nothing checks the data"),
    ]
    assert all(each.remedy.endswith(", or say in `exceptions` why not") for each in problems)


def test_an_exception_is_heeded(tmp_path: Path) -> None:
    assert (
        told(tmp_path, THREE + "exceptions: {scopes: one, data_consistency: none, checklist: nobody}\n") == []
    )


def test_an_exception_from_nothing_is_told(tmp_path: Path) -> None:
    assert told(tmp_path, PLAN + "exceptions: {scopes: one phase, verification: none}\n") == [
        "scopes: scopes: level 2 does not ask for it [plan-exception]",
        "verification: verification: the plan has it [plan-exception]",
    ]


def test_a_comment_disables_it_for_a_while(tmp_path: Path) -> None:
    found = checked(tmp_path, "# rollbackd: disable plan-level until 2026-12-31 because it is new\n" + THREE)
    assert found.problems == []
    assert {each.problem.lint for each in found.disabled} == {"plan-level"}


def test_a_plan_by_itself_may_tell_whoever_an_instance_names(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yml"
    plan.write_text(PLAN.replace("level: 2", "level: 4"))
    found = examine([plan], TODAY)
    assert not any("communication" in each.what for each in found.problems)
    assert set(lints(found)) == {"plan-level"}


def test_a_plan_that_cannot_be_used_is_not_linted(tmp_path: Path) -> None:
    found = checked(tmp_path, THREE.replace("owner: oncall", "owner: 5"))
    assert {each.lint for each in found.problems} == {""}
    assert found.promises == []


@pytest.mark.parametrize(("plan", "sla"), [(PLAN, 1800.0), (PLAN + "sla: 10m\n", 600.0)])
def test_check_shows_total_sla_and_buffer(tmp_path: Path, plan: str, sla: float) -> None:
    lay(tmp_path, TRIGGER, plan=plan)
    (found,) = json.loads(rollbackd("check", str(tmp_path), "--format", "json").stdout)["plans"]
    assert found.pop("file").endswith("plans/p/plan.yml")
    proof = found["verification_seconds"]
    assert proof > 60  # the range that its trigger reads, and windows
    assert found == {
        "plan": "p",
        "level": 2,
        "work_seconds": 60.0,
        "verification_seconds": proof,
        "sla_seconds": sla,
        "buffer_seconds": sla - 60 - proof,
        "evidence": ["staging", "time-measured", "review"],
        "exceptions": {},
    }
    said = rollbackd("check", str(tmp_path), "--plans").stdout
    assert "plan.yml: p: level 2, total" in said
    assert "to be shown: staging, time-measured, review\n" in said
    assert "to be shown" not in rollbackd("check", str(tmp_path)).stdout
