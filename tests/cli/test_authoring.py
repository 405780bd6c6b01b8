"""`init`, `import` and `schema`: what is written, where, and what is said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.cli.fake import rollbackd

RULES = Path(__file__).parents[1] / "authoring" / "rules" / "service.yml"
MONITOR = Path(__file__).parents[1] / "authoring" / "auto" / "service.json"


def test_init_writes_a_set_that_check_likes_and_says_what_is_next(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    result = rollbackd("init", str(folder))
    assert result.exit_code == 0
    assert f"cd '{folder}'" in result.stdout
    assert "rollbackd check" in result.stdout
    assert rollbackd("check", "--strict", str(folder)).exit_code == 0


def test_init_writes_over_nothing(tmp_path: Path) -> None:
    (tmp_path / "triggers").mkdir()
    (tmp_path / "triggers" / "app.yml").write_text("mine")
    result = rollbackd("init", str(tmp_path))
    assert result.exit_code == 1
    assert (
        result.stderr
        == f"rollbackd: {tmp_path}/triggers/app.yml is there already; move it, or name another folder\n"
    )
    assert [path.name for path in tmp_path.rglob("*")] == ["triggers", "app.yml"]


def test_init_is_for_the_folder_here_where_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = rollbackd("init")
    assert result.exit_code == 0
    assert "  cd " not in result.stdout
    assert rollbackd("check", "--strict").exit_code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_init_where_nothing_may_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    result = rollbackd("init", str(tmp_path / "x"))
    assert result.exit_code == 1
    assert "Permission denied; name another folder" in result.stderr


def test_rules_go_to_standard_output_and_the_sum_to_standard_error(tmp_path: Path) -> None:
    result = rollbackd("import", "prometheus-rules", str(RULES), "--plan", "api")
    assert result.exit_code == 0
    assert result.stdout.startswith("# yaml-language-server: $schema=../schema/trigger.json\n")
    assert "plan: api" in result.stdout
    assert f"{RULES}:45: Queue: not carried: " in result.stderr
    assert "\n13 rules: 2 carried, 4 partly, 7 not\n" in result.stderr


def test_rules_go_to_a_file_beside_the_schema_and_never_over_one(tmp_path: Path) -> None:
    rollbackd("init", str(tmp_path))
    out = tmp_path / "triggers" / "rules.yml"
    command = ["import", "prometheus-rules", str(RULES), "-o", str(out), "--plan", "app", "--interval", "30s"]
    result = rollbackd(*command)
    assert (result.exit_code, result.stdout) == (0, "")
    assert out.read_text().startswith("# yaml-language-server: $schema=../schema/trigger.json\n")
    assert "windows: 20" in out.read_text()
    assert rollbackd("check", str(tmp_path)).exit_code == 0
    out.write_text("mine")
    assert rollbackd(*command).stderr == f"rollbackd: {out} is there already; --force writes over it\n"
    assert out.read_text() == "mine"
    assert rollbackd(*command, "--force").exit_code == 0
    assert out.read_text() != "mine"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--plan", "a b"], 2, "'a b' is no name"),
        (["--interval", "10"], 2, "'10' is not a duration"),
        (["--interval", "30s1m"], 2, "'30s1m' is not within 1s to 1d"),
        (["--interval", "2d"], 2, "'2d' is not within 1s to 1d"),
        (["-o", "/nowhere/at/all.yml"], 2, "there is no folder '/nowhere/at'"),
        (["-o", "/dev/full", "--force"], 1, "/dev/full: No space left on device; name another --output"),
    ],
)
def test_wrong_options_are_said_in_one_line(arguments: list[str], code: int, says: str) -> None:
    result = rollbackd("import", "prometheus-rules", str(RULES), *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("kind", ["prometheus-rules", "auto-rollback"])
def test_a_file_of_another_kind_is_one_line(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "x\x1b[31m"
    file.write_text("scrape_configs: []\n")
    out = tmp_path / "out"
    for path in (file, tmp_path / "none", tmp_path):
        result = rollbackd("import", kind, str(path), "-o", str(out))
        assert result.exit_code in (1, 2)
        assert result.stderr.count("\n") == 1
        assert "\x1b" not in result.stderr
        assert not out.exists()


def test_rules_of_which_none_can_be_carried_write_nothing(tmp_path: Path) -> None:
    file, out = tmp_path / "rules.yml", tmp_path / "out.yml"
    file.write_text("groups: [{name: a, rules: [{record: x, expr: y}]}]")
    result = rollbackd("import", "prometheus-rules", str(file), "-o", str(out))
    assert result.exit_code == 1
    assert "1 rule: 0 carried, 0 partly, 1 not" in result.stderr
    assert result.stderr.endswith("none of its rules could be carried, so nothing was written\n")
    assert not out.exists()


def test_a_monitor_becomes_files_that_check_likes(tmp_path: Path) -> None:
    command = ["import", "auto-rollback", str(MONITOR), "--service", "api", "-o", str(tmp_path / "set")]
    result = rollbackd(*command)
    assert result.exit_code == 0
    assert "set/plans/op-12345/plan.yml" in result.stdout
    assert "rollbackd.yml must have the receivers slack, pagerduty, email" in result.stderr
    assert rollbackd("check", "--strict", str(tmp_path / "set")).exit_code == 0
    again = rollbackd(*command)
    assert again.exit_code == 1
    assert "op-12345.yml (and 5 more) is there already" in again.stderr


def test_a_monitor_beside_a_first_set_keeps_its_schemas(tmp_path: Path) -> None:
    rollbackd("init", str(tmp_path))
    result = rollbackd("import", "auto-rollback", str(MONITOR), "-o", str(tmp_path))
    assert result.exit_code == 0
    assert "schema/" not in result.stdout
    said = rollbackd("check", str(tmp_path)).stdout
    assert "notify: there is no receiver `slack`" in said


@pytest.mark.parametrize("kind", ["trigger", "plan", "config", "test", "incidents", "library"])
def test_schema(kind: str) -> None:
    result = rollbackd("schema", kind)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["$schema"].endswith("2020-12/schema")


def test_schema_of_what_is_none() -> None:
    assert rollbackd("schema", "card").exit_code == 2


def test_init_plan_writes_one_more_plan_and_never_over_another(tmp_path: Path) -> None:
    assert rollbackd("init", str(tmp_path)).exit_code == 0
    result = rollbackd("init", "plan", "pay", str(tmp_path))
    assert result.exit_code == 0
    assert "schema/" not in result.stdout
    assert f"rollbackd check --plans {tmp_path / 'plans' / 'pay'}" in result.stderr
    assert rollbackd("check", "--strict", str(tmp_path)).exit_code == 0
    again = rollbackd("init", "plan", "pay", str(tmp_path))
    assert (again.exit_code, "is there already" in again.stderr) == (1, True)


@pytest.mark.parametrize("args", [("plan",), ("plan", "a b"), ("plan", "../x"), ("--plan", "x"), ("a", "b")])
def test_init_of_what_is_none(args: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert rollbackd("init", *args).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_first_set_in_a_folder_called_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert rollbackd("init", "./plan").exit_code == 0
    assert (tmp_path / "plan" / "rollbackd.yml").exists()
