"""docs/testing-triggers.md shows what is so, and the tests of what is shipped pass and leave no gap."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from tests.cli.fake import rollbackd

from rollbackd.config.library import shipped
from rollbackd.config.models import tests
from rollbackd.config.models.base import Model
from rollbackd.config.suites import files_of_tests, read_instance, read_suite
from rollbackd.tuning.cases import covered, run

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "testing-triggers.md").read_text()
MODELS: dict[str, type[Model]] = {
    "test file": tests.TestFileModel,
    "tests": tests.CaseModel,
    "input_series": tests.InputSeriesModel,
    "expect": tests.ExpectModel,
}

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed: apt-get install prometheus"
)


@needs_prometheus
def test_what_the_page_shows_is_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", TEXT, re.DOTALL))
    assert set(files) == {"api.yml", "api.test.yml"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    ((command, output),) = re.findall(r"```console\n\$ rollbackd (.*?)\n(.*?)```", TEXT, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    assert rollbackd(*command.split()).stdout == output


def test_every_key_is_on_the_page_in_its_own_words() -> None:
    sections = re.split(r"^##+ (.+)$", TEXT, flags=re.MULTILINE)[1:]
    found = {
        title: body for title, body in zip(sections[::2], sections[1::2], strict=True) if title in MODELS
    }
    assert list(found) == list(MODELS)
    for title, model in MODELS.items():
        rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", found[title], re.MULTILINE)
        said = [(info.alias or name, info.description) for name, info in model.model_fields.items()]
        assert rows == said


@needs_prometheus
def test_the_tests_of_what_is_shipped_pass_and_leave_no_gap() -> None:
    instance = read_instance(None)
    suites = [read_suite(path, str(path), instance) for path in files_of_tests(ROOT / "triggers")]
    assert [str(problem) for suite in suites for problem in suite.problems()] == []
    results = run([case for suite in suites for case in suite.cases], instance)
    assert [(one.case.name, one.mismatches or one.skipped) for one in results if not one.passed] == []
    triggers = {name: trigger for suite in suites for name, trigger in suite.triggers.items()}
    assert {f"library/{name}" for name in shipped()} <= set(triggers)
    assert {each.trigger: each.gaps for each in covered(triggers, results) if each.gaps} == {}
