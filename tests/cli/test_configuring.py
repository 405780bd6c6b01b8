"""`check`, on the configuration's real reader, and `audit verify`, on a real journal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.cli.fake import rollbackd
from tests.journals.examples import example

from rollbackd import config
from rollbackd.cli import where
from rollbackd.config.problem import Problem
from rollbackd.core.events import EVENTS
from rollbackd.core.record import Stamp
from rollbackd.journal.sqlite import SqliteJournal
from rollbackd.journal.statedir import StateDir

BAD = "version: rollbackd/v1\ninstance: a\nnonsense: 1\nprometheus: {urls: []}\n"


def test_every_error_in_one_pass_then_the_sum(tmp_path: Path) -> None:
    file = tmp_path / "rollbackd.yml"
    file.write_text(BAD)
    result = rollbackd("check", str(file))
    assert result.exit_code == 1
    *problems, total = result.stdout.splitlines()
    assert any(line.startswith(f"{file}:3:1: nonsense: ") for line in problems)
    assert any(line.startswith(f"{file}:4:") and "urls" in line for line in problems)
    assert all("; " in line for line in problems)
    assert total == f"{len(problems)} errors, 0 warnings in 1 file"


def test_the_default_is_here_then_the_usual_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, usual = tmp_path / "here", tmp_path / "etc" / "rollbackd.yml"
    here.mkdir()
    usual.parent.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(where, "CONFIG", usual)
    result = rollbackd("check")
    assert result.exit_code == 2
    assert "name a PATH" in result.stderr
    usual.write_text(BAD)
    assert str(usual) in rollbackd("check").stdout
    (here / "rollbackd.yml").write_text(BAD)
    assert rollbackd("check").stdout.startswith("rollbackd.yml:3:1: ")


def problem(severity: str, file: str = "a.yml") -> Problem:
    return Problem(file, 3, 7, "windows", "is 100% wrong", "write 8", severity)  # type: ignore[arg-type]


CASES: list[tuple[list[str], list[str], int, str]] = [
    ([], [], 0, "no errors, no warnings"),
    (["warning"], [], 0, "0 errors, 1 warning in 1 file"),
    (["warning"], ["--strict"], 3, "0 errors, 1 warning in 1 file"),
    (["error", "warning"], ["--strict"], 1, "1 error, 1 warning in 2 files"),
    (["error", "error"], [], 1, "2 errors, 0 warnings in 2 files"),
]


@pytest.mark.parametrize(("severities", "options", "code", "total"), CASES)
def test_warnings_count_with_strict(
    monkeypatch: pytest.MonkeyPatch, severities: Sequence[str], options: list[str], code: int, total: str
) -> None:
    found = [problem(severity, f"{number}.yml") for number, severity in enumerate(severities)]
    monkeypatch.setattr(config, "check_paths", lambda paths: found)
    result = rollbackd("check", "x", *options)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (code, total)
    result = rollbackd("check", "x", "--format", "json", *options)
    said = json.loads(result.stdout)
    assert result.exit_code == code
    assert said["errors"] + said["warnings"] == len(said["problems"]) == len(severities)


def test_annotations_of_a_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [problem("error"), problem("warning", "b,c:d\n::error::.yml")]
    monkeypatch.setattr(config, "check_paths", lambda paths: found)
    said = rollbackd("check", "x", "--format", "github").stdout.splitlines()
    assert said == [
        "::error file=a.yml,line=3,col=7::windows: is 100%25 wrong; write 8",
        "::warning file=b%2Cc%3Ad%0A%3A%3Aerror%3A%3A.yml,line=3,col=7::windows: is 100%25 wrong; write 8",
        "1 error, 1 warning in 2 files",
    ]


STAMP = Stamp(steady=1, wall=1, boottime=1, boot="b", epoch=1, actor="rollbackd")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with a journal of three rows; nobody has it open."""
    folder = StateDir.open(tmp_path / "state", reserve=0)
    journal = SqliteJournal(folder.journal, origin=folder.uuid, code="test")
    for event in EVENTS[:3]:
        journal.append([example(event)], STAMP)
    journal.close()
    folder.close()
    return tmp_path / "state"


def test_audit_prints_a_head_that_can_be_kept_as_an_anchor(state: Path, tmp_path: Path) -> None:
    result = rollbackd("audit", "verify", "--state-dir", str(state))
    assert result.exit_code == 0
    rows, head = result.stdout.splitlines()
    assert rows == "rows 3"
    anchor = head.removeprefix("head ")
    assert anchor.startswith("3:")
    (tmp_path / "rollbackd.yml").write_text("state_dir: state\n")
    found = rollbackd("audit", "verify", "--config", str(tmp_path / "rollbackd.yml"), "--anchor", anchor)
    assert (found.exit_code, found.stdout.splitlines()[-1]) == (0, f"anchor {anchor} is in the chain")


@pytest.mark.parametrize("seq", ["3", "9"])
def test_audit_finds_what_the_anchor_misses(state: Path, seq: str) -> None:
    result = rollbackd("audit", "verify", "--state-dir", str(state), "--anchor", f"{seq}:{'ab' * 32}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"row {seq} of the anchor" in result.stderr


def test_audit_of_nothing_cannot_tell(tmp_path: Path, state: Path) -> None:
    result = rollbackd("audit", "verify", "--state-dir", str(tmp_path))
    assert result.exit_code == 4
    assert "uuid" in result.stderr
    (state / "journal.db").unlink()
    result = rollbackd("audit", "verify", "--state-dir", str(state))
    assert result.exit_code == 4
    assert f"{state}/journal.db: No such file" in result.stderr


def test_audit_of_something_else_says_no(state: Path) -> None:
    (state / "journal.db").write_bytes(b"no journal" * 1000)
    result = rollbackd("audit", "verify", "--state-dir", str(state))
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
