"""`rollbackd test`: what it prints, and how it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.cli.fake import rollbackd

TRIGGERS = """version: rollbackd/v1
groups:
  - name: api
    triggers:
      - trigger: QueueOld
        category: metric
        severity: high
        expr: max(queue_age_seconds)
        breach: "> 60"
        traffic: {expr: 'sum(rate(done_total[1m]))', at_least: 5}
        windows: 3
        plan: api
"""
HEAD = "version: rollbackd/v1\ntriggers: [api.yml]\ntests:\n"
PASSES = '  - {name: old jobs fire, trigger: QueueOld, readings: "1 99x2", expect: {fires: [4]}}\n'
FAILS = """  - name: it comes back
    trigger: QueueOld
    readings: 99 99 1
    traffic: 9 9 9
    expect:
      fires: [3]
      streak: 0
"""
SERIES = """  - name: through Prometheus
    trigger: QueueOld
    input_series:
      - {series: queue_age_seconds, values: 99x4}
      - {series: done_total, values: 0+1000x4}
    expect: {verdicts: no_data breachx4, fires: [4]}
"""
BROKEN = "version: rollbackd/v1\ntriggers: [api.yml]\ntests: [{name: a}]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "api.yml").write_text(TRIGGERS)
    (tmp_path / "api.test.yml").write_text(HEAD + PASSES)
    return tmp_path


COVERAGE = """
COVERAGE
trigger   tests  fires  recovers  no data  low traffic
QueueOld  {tests}      yes    NO TEST   NO TEST  NO TEST

"""


def test_all_pass(folder: Path) -> None:
    result = rollbackd("test", "api.test.yml")
    assert result.stdout == f"ok    old jobs fire\n{COVERAGE.format(tests=1)}1 test: 1 passed\n"
    assert result.exit_code == 0


def test_a_failure_is_a_line_with_its_place(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "b.test.yml").write_text(HEAD.replace("api.yml", "../api.yml") + FAILS)
    result = rollbackd("test", ".", "--junit", "out.xml")
    told = "it comes back: fires: expected [3], got [] (breachx2 ok)"
    assert result.stdout == (
        f"ok    old jobs fire\nFAIL  sub/b.test.yml:9: {told}\n{COVERAGE.format(tests=2)}"
        "2 tests: 1 passed, 1 failed\n"
    )
    assert result.exit_code == 1
    suites = ElementTree.parse(folder / "out.xml").getroot()
    assert [(each.attrib["name"], each.attrib["failures"]) for each in suites] == [
        ("api.test.yml", "0"),
        ("sub/b.test.yml", "1"),
    ]
    annotated = rollbackd("test", ".", "--format", "github").stdout
    assert annotated.startswith(f"::error file=sub/b.test.yml,line=9,col=1::{told}\n")
    assert annotated.endswith("2 tests: 1 passed, 1 failed\n")


def test_errors_of_files_are_told_and_the_others_run(folder: Path) -> None:
    (folder / "b.test.yml").write_text(BROKEN)
    result = rollbackd("test", ".", "--junit", "out.xml")
    lines = result.stdout.splitlines()
    assert lines[0] == "ok    old jobs fire"
    assert [line.split("; ")[0] for line in lines[1:4]] == [
        "b.test.yml:3:9: expect: is missing",
        "b.test.yml:3:9: readings: is missing",
        "b.test.yml:3:9: trigger: is missing",
    ]
    assert lines[-1] == "1 test: 1 passed, 3 errors, 1 file not run"
    assert result.exit_code == 1
    assert "<error " in (folder / "out.xml").read_text()


def test_as_json(folder: Path) -> None:
    (folder / "b.test.yml").write_text(HEAD + FAILS)
    result = rollbackd("test", ".", "--format", "json")
    said = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [(one["name"], one["result"]) for one in said["tests"]] == [
        ("old jobs fire", "passed"),
        ("it comes back", "failed"),
    ]
    assert said["tests"][1]["mismatches"] == [
        {"key": "fires", "line": 9, "what": "expected [3], got [] (breachx2 ok)"}
    ]
    assert said["coverage"] == [
        {"trigger": "QueueOld", "tests": 2, "seen": ["fires"], "gaps": ["recovers", "no data", "low traffic"]}
    ]
    assert said["problems"] == []


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
def test_series_are_asked_of_a_real_prometheus(folder: Path) -> None:
    (folder / "api.test.yml").write_text(HEAD + PASSES + SERIES)
    result = rollbackd("test", "api.test.yml")
    assert result.stdout.splitlines()[:2] == ["ok    old jobs fire", "ok    through Prometheus"]
    assert result.exit_code == 0


NONE = "there is no `prometheus` on the PATH; install it (Debian: apt install prometheus)"


@pytest.mark.parametrize(
    ("tests", "options", "code", "total"),
    [
        (PASSES + SERIES, [], 4, "2 tests: 1 passed, 1 skipped"),
        (PASSES + SERIES, ["--allow-skips"], 0, "2 tests: 1 passed, 1 skipped"),
        (FAILS + SERIES, [], 1, "2 tests: 0 passed, 1 failed, 1 skipped"),
        (PASSES, [], 0, "1 test: 1 passed"),
    ],
)
def test_without_a_prometheus_it_cannot_tell(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    tests: str,
    options: list[str],
    code: int,
    total: str,
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    (folder / "api.test.yml").write_text(HEAD + tests)
    result = rollbackd("test", "api.test.yml", "--junit", "out.xml", *options)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (code, total)
    assert (NONE in result.stdout) == (SERIES in tests)
    assert (f'<skipped message="{NONE}"' in (folder / "out.xml").read_text()) == (SERIES in tests)


def test_only_some_by_their_name(folder: Path) -> None:
    (folder / "api.test.yml").write_text(HEAD + PASSES + FAILS)
    result = rollbackd("test", ".", "-k", "OLD")
    assert (result.exit_code, result.stdout) == (0, "ok    old jobs fire\n1 test: 1 passed\n")
    result = rollbackd("test", ".", "-k", "nothing")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "rollbackd: no test has `nothing` in its name; leave out -k to see them all\n"


def test_actions_are_the_instances(folder: Path) -> None:
    case = PASSES.replace("fires: [4]", "actions: [NAMED]")
    (folder / "rollbackd.yml").write_text(
        "version: rollbackd/v1\ninstance: a\nprometheus: {urls: [http://a:9090]}\nactions: {high: ask}\n"
    )
    (folder / "api.test.yml").write_text(HEAD + case.replace("NAMED", "ask"))
    assert rollbackd("test", ".", "--config", "rollbackd.yml").exit_code == 0
    assert rollbackd("test", ".").exit_code == 1
    (folder / "api.test.yml").write_text(HEAD + case.replace("NAMED", "auto_with_warning"))
    assert rollbackd("test", ".").exit_code == 0


REFUSED: list[tuple[list[str], int, str]] = [
    ([], 2, "test: Missing argument 'FILE...'; see `rollbackd test --help`"),
    (["empty"], 1, "empty holds no *.test.yml; name files of tests, or their folder"),
    ([".", "--config", "bad.yml"], 1, "bad.yml:1:1: instance: is missing; add `instance:`"),
    ([".", "--config", "none.yml"], 2, "File 'none.yml' does not exist"),
    ([".", "--junit", "no/out.xml"], 2, "there is no folder 'no'"),
]


@pytest.mark.parametrize(("arguments", "code", "says"), REFUSED)
def test_bad_input_is_one_line(folder: Path, arguments: list[str], code: int, says: str) -> None:
    (folder / "empty").mkdir()
    (folder / "bad.yml").write_text("version: rollbackd/v1\n")
    result = rollbackd("test", *arguments)
    assert result.exit_code == code
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_what_is_wrong_with_triggers_is_told_once(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "b.test.yml").write_text(HEAD.replace("api.yml", "../api.yml") + FAILS)
    (folder / "api.yml").write_text(TRIGGERS.replace("windows: 3", "windows: 0"))
    result = rollbackd("test", ".")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "api.yml:11:18: windows: is 0; write a number from 1 to 10000",
        "0 tests: 0 passed, 1 error, 2 files not run",
    ]


def test_files_that_cannot_be_read(folder: Path) -> None:
    result = rollbackd("test", "none.test.yml")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "none.test.yml:1:1: file: cannot be read (No such file or directory); create it or correct the path",
        "0 tests: 0 passed, 1 error, 1 file not run",
    ]


def test_a_file_is_run_once(folder: Path) -> None:
    assert rollbackd("test", "api.test.yml", ".", "./api.test.yml").stdout.endswith("1 test: 1 passed\n")
