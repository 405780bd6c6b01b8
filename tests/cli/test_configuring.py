"""`check`, on the configuration's real reader, and `audit verify`, on a real journal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from tests.cli.fake import rollbackd
from tests.journals.examples import example

from rollbackd import config
from rollbackd.cli import where
from rollbackd.config import Checked
from rollbackd.config.problem import Problem
from rollbackd.core.events import EVENTS
from rollbackd.core.record import Head, Stamp
from rollbackd.journal.sqlite import SqliteJournal
from rollbackd.journal.statedir import StateDir, read_uuid

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
    ([], [], 0, "no errors, no warnings: 5 triggers and 1 plan in 3 files"),
    (["warning"], [], 0, "0 errors, 1 warning in 1 file; read: 5 triggers and 1 plan in 3 files"),
    (["warning"], ["--strict"], 3, "0 errors, 1 warning in 1 file; read: 5 triggers and 1 plan in 3 files"),
    (["error", "warning"], ["--strict"], 1, "1 error, 1 warning in 2 files"),
    (["error", "error"], [], 1, "2 errors, 0 warnings in 2 files"),
]


@pytest.mark.parametrize(("severities", "options", "code", "total"), CASES)
def test_warnings_count_with_strict(
    monkeypatch: pytest.MonkeyPatch, severities: Sequence[str], options: list[str], code: int, total: str
) -> None:
    found = [problem(severity, f"{number}.yml") for number, severity in enumerate(severities)]
    monkeypatch.setattr(config, "examine", lambda *_: Checked(found, 3, 5, 1, True))
    result = rollbackd("check", "x", *options)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (code, total)
    result = rollbackd("check", "x", "--format", "json", *options)
    said = json.loads(result.stdout)
    assert result.exit_code == code
    assert said["errors"] + said["warnings"] == len(said["problems"]) == len(severities)


MAIN = """version: rollbackd/v1
instance: a
prometheus: {urls: [http://127.0.0.1:9090]}
max_action: shadow
triggers: []
"""


def test_a_configuration_without_triggers_is_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "rollbackd.yml"
    file.write_text(MAIN)
    result = rollbackd("check", str(file), "--strict")
    assert result.exit_code == 3
    assert f"{file}:1:1: triggers: NO TRIGGER was read: nothing is watched; " in result.stdout
    assert result.stdout.splitlines()[-1].endswith("read: 0 triggers and 0 plans in 1 file")


def test_annotations_of_a_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [problem("error"), problem("warning", "b,c:d\n::error::.yml")]
    monkeypatch.setattr(config, "examine", lambda *_: Checked(found, 3, 5, 1, True))
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


@pytest.fixture
def kept(state: Path) -> Head:
    """The head of a snapshot beside the three rows."""
    journal = SqliteJournal(state / "journal.db", origin=read_uuid(state), code="test")
    head = journal.head()
    journal.save_snapshot(head, b"state")
    journal.close()
    return head


def test_audit_takes_the_snapshots_head_for_an_anchor(state: Path, kept: Head) -> None:
    result = rollbackd("audit", "verify", "--state-dir", str(state))
    last = f"anchor 3:{kept.hash}, the snapshot's head, is in the chain"
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, last)


@pytest.mark.parametrize("left", [2, 0])
def test_audit_sees_that_the_tail_was_cut(state: Path, kept: Head, left: int) -> None:
    with closing(sqlite3.connect(state / "journal.db")) as db, db:
        db.execute("DELETE FROM entries WHERE seq > ?", (left,))
    result = rollbackd("audit", "verify", "--state-dir", str(state))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "row 3 of the anchor is missing" in result.stderr
    assert "the snapshot's head" in result.stderr
    genesis = f"0:{sha256(read_uuid(state).encode()).hexdigest()}"
    named = rollbackd("audit", "verify", "--state-dir", str(state), "--anchor", genesis)
    assert (named.exit_code, named.stdout.splitlines()[-1]) == (0, f"anchor {genesis} is in the chain")


@pytest.mark.parametrize(("left", "code"), [(3, 0), (0, 1)])
def test_audit_says_that_a_damaged_snapshot_is_no_anchor(
    state: Path, kept: Head, left: int, code: int
) -> None:
    (state / "journal.snapshot").write_bytes(b"torn")
    with closing(sqlite3.connect(state / "journal.db")) as db, db:
        db.execute("DELETE FROM entries WHERE seq > ?", (left,))
    result = rollbackd("audit", "verify", "--state-dir", str(state))
    assert result.exit_code == code
    assert ("there are no rows" if code else "no anchor: ") in result.stderr


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
