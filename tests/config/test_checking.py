"""`check_paths`: what may be named, and what is then looked at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rollbackd.config import check_paths

HERE = Path(__file__).parent


@pytest.fixture
def base(tmp_path: Path) -> Path:
    shutil.copytree(HERE / "base", tmp_path / "base")
    return tmp_path / "base"


def whats(*paths: Path) -> list[str]:
    return [f"{problem.key}: {problem.what}" for problem in check_paths(paths)]


def test_every_kind_of_path(base: Path) -> None:
    for path in (
        "",
        "rollbackd.yml",
        "triggers",
        "triggers/ok.yml",
        "plans",
        "plans/ok",
        "plans/ok/plan.yml",
    ):
        assert whats(base / path) == []


def test_a_trigger_file_alone_cannot_know_the_plans(base: Path) -> None:
    triggers = base / "triggers" / "ok.yml"
    triggers.write_text(triggers.read_text().replace("plan: ok", "plan: nope"))
    assert whats(triggers) == []
    assert whats(base) == ["plan: there is no plan `nope`"]


def test_loose_files_are_compared_as_far_as_they_go(base: Path) -> None:
    triggers, plan = base / "triggers" / "ok.yml", base / "plans" / "ok" / "plan.yml"
    plan.write_text(plan.read_text().replace("timeout: 1m", "timeout: 29m"))
    triggers.write_text(triggers.read_text().replace("name: ok", "name: ok\n    interval: 30s", 1))
    assert whats(triggers) == whats(plan) == []
    wanted = f"phases: takes 29m and 1m30s to verify (trigger Fine, {triggers}:6), over its SLA of 30m"
    assert whats(triggers, plan) == [wanted]


def test_plans_do_not_share_the_names_within_them(base: Path) -> None:
    """Loose files, none of them below a rollbackd.yml: each is called plan.yml."""
    plans = [base / "plans" / name / "plan.yml" for name in ("ok", "another")]
    shutil.copytree(plans[0].parent, plans[1].parent)
    plans[1].write_text(plans[0].read_text().replace("plan: ok", "plan: another"))
    assert whats(*plans) == []


def test_a_file_given_twice_is_told_once(base: Path) -> None:
    triggers = base / "triggers" / "ok.yml"
    triggers.write_text(triggers.read_text().replace("windows: 3", "windows: 0"))
    assert whats(triggers, base, base / "triggers", triggers) == ["windows: is 0"]


def test_other_programs_yaml_is_left_alone(base: Path, tmp_path: Path) -> None:
    (base / "rollbackd.yml").unlink()
    (base / "compose.yml").write_text("services: {a: [}")
    (base / "rules.yml").write_text("groups: [{name: a, rules: []}]")
    (base / "later.yml").write_text("version: rollbackd/v1\nthings: []\n")
    (base / "triggers" / "ok.test.yml").write_text("not: ours")
    assert whats(base) == ["file: is neither triggers, nor a plan, nor rollbackd.yml"]
    (tmp_path / "empty").mkdir()
    assert whats(tmp_path / "empty") == ["file: holds no configuration"]


def test_problems_come_in_the_order_of_the_files(base: Path) -> None:
    for name in ("b.yml", "a.yml"):
        text = (base / "triggers" / "ok.yml").read_text()
        (base / "triggers" / name).write_text(text.replace("windows: 3", "windows: 0, per: [-]"))
    found = [(problem.file, problem.line, problem.column) for problem in check_paths([base])]
    assert found == sorted(found)
    assert len(found) == 8


def test_what_the_repository_ships_is_sound() -> None:
    root = HERE.parents[1]
    paths = [root / name for name in ("triggers", "plans")]
    assert [problem for problem in check_paths(paths) if problem.severity == "error"] == []
