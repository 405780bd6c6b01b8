"""What is shipped can be used as it is: YAML, scripts, and what the documents show."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest
from tests.cli.fake import rollbackd

from rollbackd.authoring.first import first_set
from rollbackd.authoring.folders import place
from rollbackd.config import check_paths, examine, load
from rollbackd.core.model import Plan, Trigger
from rollbackd.demo.daemon import DEMO_DIR

ROOT = Path(__file__).parents[2]
TESTS = sorted(ROOT.glob("triggers/*.test.yml"))
YAML = sorted({*ROOT.glob("triggers/*.yml"), *ROOT.glob("plans/*/plan.yml")}.difference(TESTS))
SCRIPTS = sorted(ROOT.glob("plans/*/scripts/*"))
RULE = re.compile(r"\b[TWDXCSPEJ][1-9][0-9]?\b")
FAULTS = re.compile(r"\bfaults? +(\d+(?:(?:, | and |, and |–)\d+)*)", re.IGNORECASE)
# ruff's codes look like rules
NOQA = re.compile(r"# noqa: .*")


def shipped_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def everything(folder: Path) -> Path:
    """A rollbackd.yml beside copies of all that is shipped."""
    for name in ("triggers", "plans"):
        shutil.copytree(ROOT / name, folder / name)
    main = folder / "rollbackd.yml"
    main.write_text(
        "version: rollbackd/v1\n"
        "instance: shipped\n"
        'prometheus: {urls: ["http://127.0.0.1:9090"]}\n'
        "state_dir: state\n"
        'receivers: [{name: terminal, webhook: {url: "http://127.0.0.1:9/"}}]\n'
        "notify: [terminal]\n"
    )
    return main


@pytest.mark.parametrize("path", YAML, ids=shipped_id)
def test_every_file_passes_the_checks_by_itself(path: Path) -> None:
    assert [str(problem) for problem in check_paths([path])] == []


def test_the_lints_have_nothing_against_it(tmp_path: Path) -> None:
    found = examine([everything(tmp_path)], date(2026, 11, 21))
    assert ([str(problem) for problem in found.problems], found.disabled) == ([], [])


def test_all_of_it_together_loads_without_a_warning(tmp_path: Path) -> None:
    loaded = load(everything(tmp_path))
    assert loaded.warnings == ()
    assert loaded.core.plans
    assert {trigger.plan for trigger in loaded.core.triggers} == {"demo"}


def test_the_demo_fires_on_its_own_and_proves_recovery_in_time(tmp_path: Path) -> None:
    core = load(everything(tmp_path)).core
    plan, trigger = core.plan("demo"), core.trigger("DemoErrorRatioHigh")
    assert isinstance(plan, Plan)
    assert isinstance(trigger, Trigger)
    assert trigger.action == "auto"
    assert trigger.interval * trigger.windows <= 10_000
    assert plan.sla <= 120_000
    assert {check.on_fail for check in plan.verification} == {"fail"}


@pytest.mark.parametrize("path", SCRIPTS, ids=shipped_id)
def test_every_script_runs_strictly(path: Path) -> None:
    assert path.stat().st_mode & 0o111 == 0o111, "not executable"
    lines = path.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert "curl" not in path.read_text() or "plans/demo" not in shipped_id(path)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_every_script_passes_shellcheck() -> None:
    found = subprocess.run(["shellcheck", *map(str, SCRIPTS)], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_the_plan_names_the_demos_folder_once() -> None:
    assert (ROOT / "plans/demo/plan.yml").read_text().count(DEMO_DIR) == 1


def blocks(path: Path) -> dict[str, str]:
    """The YAML blocks of a document by the file that their first line names: `# triggers/api.yml`."""
    found = re.findall(r"```yaml\n# (\S+)[^\n]*\n(.*?)```", path.read_text(), re.DOTALL)
    return dict(found)


def test_the_readmes_triggers_can_be_used_in_the_first_set(tmp_path: Path) -> None:
    files = blocks(ROOT / "README.md")
    assert list(files) == ["triggers/app.yml", "triggers/app.test.yml"]
    place(tmp_path, first_set(date(2026, 11, 21)))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert examine([tmp_path], date(2026, 11, 21)).problems == []
    assert rollbackd("test", str(tmp_path)).exit_code == 0
    loaded = load(tmp_path / "rollbackd.yml")
    assert loaded.warnings == ()
    assert loaded.core.max_action == "shadow"
    assert {trigger.plan for trigger in loaded.core.triggers} == {plan.name for plan in loaded.core.plans}


def test_every_yaml_block_of_the_readme_is_one_of_them() -> None:
    text = (ROOT / "README.md").read_text()
    assert text.count("```yaml") == len(blocks(ROOT / "README.md"))
    assert len(text.splitlines()) < 200


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for document in [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("plans/*/README.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_every_rule_that_is_cited_is_written_down() -> None:
    known = set(
        re.findall(r"^\*\*([TWDXCSPEJ]\d+)\*\*", (ROOT / "docs/semantics.md").read_text(), re.MULTILINE)
    )
    cited: dict[str, str] = {}
    for folder in ("daemon", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for rule in RULE.findall(NOQA.sub("", path.read_text())):
                cited.setdefault(rule, shipped_id(path))
    assert {rule: path for rule, path in cited.items() if rule not in known} == {}


def cited_faults(path: Path) -> set[int]:
    """`fault 9`, `faults 19, 21–24 and 27`; in tests also `test_19_…`."""
    text = path.read_text()
    found: set[int] = set()
    for numbers in FAULTS.findall(text):
        for part in re.split(r", and |, | and ", numbers):
            first, _, last = part.partition("–")
            found.update(range(int(first), int(last or first) + 1))
    if path.is_relative_to(ROOT / "tests"):
        found.update(map(int, re.findall(r"def test_(\d\d?)_", text)))
    return found


def test_every_fault_that_is_cited_is_written_down() -> None:
    document = (ROOT / "docs/faults.md").read_text()
    numbers = [int(number) for number in re.findall(r"^- \*\*(\d+)\*\*", document, re.MULTILINE)]
    assert numbers == sorted(set(numbers))
    unknown: dict[int, str] = {}
    for folder in ("daemon", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for fault in cited_faults(path) - set(numbers):
                unknown.setdefault(fault, shipped_id(path))
    assert unknown == {}


def test_every_fault_names_tests_that_cite_it() -> None:
    document = (ROOT / "docs/faults.md").read_text()
    entries = re.findall(r"^- \*\*(\d+)\*\* (.*?)(?=^- |^$)", document, re.MULTILINE | re.DOTALL)
    assert entries
    for number, entry in entries:
        files = re.findall(r"`([\w/]+\.py)`", entry)
        assert files, f"fault {number} says no test"
        silent = [file for file in files if int(number) not in cited_faults(ROOT / "tests" / file)]
        assert silent == [], f"fault {number}"
