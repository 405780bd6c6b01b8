"""`audit verify` with anchors and exports, and `audit export`, on a real journal."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.cli.fake import rollbackd

from rollbackd.core.events import LifeHeld, TriggerForgotten
from rollbackd.core.record import Head, Stamp
from rollbackd.journal.sqlite import SqliteJournal
from rollbackd.journal.statedir import StateDir, read_uuid

HOUR = 3_600_000
NOON = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp() * 1000)
ROWS = 6


def stamp(at: int, actor: str = "rollbackd") -> Stamp:
    return Stamp(steady=at, wall=at, boottime=1, boot="b", epoch=0, actor=actor)


@pytest.fixture
def heads(tmp_path: Path) -> list[Head]:
    folder = StateDir.open(tmp_path / "state", reserve=0)
    journal = SqliteJournal(folder.journal, origin=folder.uuid, code="test")
    heads = [journal.append([TriggerForgotten(at=n, trigger="T")], stamp(NOON + n * HOUR)) for n in range(5)]
    held = LifeHeld(at=1, life="api-1", by="ann", channel="unix")
    heads.append(journal.append([held], stamp(NOON + 5 * HOUR, "ann")))
    journal.close()
    folder.close()
    return heads


@pytest.fixture
def state(tmp_path: Path, heads: list[Head]) -> Path:
    return tmp_path / "state"


@pytest.fixture
def kept(tmp_path: Path, heads: list[Head]) -> Path:
    """A log with the heads of rows 2 and 5 in it."""
    file = tmp_path / "daemon.log"
    file.write_text(f"level=info event=started\nlevel=info event=anchor head={heads[1]}\n{heads[4]} said\n")
    return file


def cut(state: Path, left: int) -> None:
    with closing(sqlite3.connect(state / "journal.db")) as db, db:
        db.execute("DELETE FROM entries WHERE seq > ?", (left,))


def verify(state: Path, *more: str | Path) -> tuple[int, str, str]:
    result = rollbackd("audit", "verify", "--state-dir", str(state), *map(str, more))
    return result.exit_code, result.stdout, result.stderr


def test_anchors_that_match(state: Path, kept: Path, heads: list[Head]) -> None:
    code, said, _ = verify(state, "--anchors", kept)
    assert code == 0
    assert said.splitlines()[2:] == [f"anchor {heads[1]} matches", f"anchor {heads[4]} matches"]


def test_a_tail_that_was_cut(state: Path, kept: Path, heads: list[Head]) -> None:
    cut(state, 3)
    assert verify(state)[0] == 0  # the chain itself does not show it
    code, said, why = verify(state, "--anchors", kept)
    assert code == 1
    assert f"anchor {heads[4]} CUT OFF: rows 4 on are missing" in said
    assert "1 of 2 anchors are not in the chain" in why


def test_a_history_that_was_written_anew(state: Path, kept: Path, heads: list[Head]) -> None:
    cut(state, 3)
    journal = SqliteJournal(state / "journal.db", origin=read_uuid(state), code="test")
    for number in range(3):
        journal.append([TriggerForgotten(at=number, trigger="forged")], stamp(NOON + number))
    journal.close()
    assert verify(state)[0] == 0
    code, said, _ = verify(state, "--anchors", kept)
    assert code == 1
    assert f"anchor {heads[1]} matches" in said
    assert f"anchor {heads[4]} REWRITTEN: another row is there; what follows row 2 may be" in said


def test_anchors_of_a_file_without_any_cannot_tell(state: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("nothing\n")
    code, _, why = verify(state, "--anchors", tmp_path / "empty")
    assert (code, "no SEQ:HASH is in it" in why) == (4, True)


# Exports


@pytest.fixture
def exported(state: Path, tmp_path: Path) -> Path:
    file = tmp_path / "export.jsonl"
    result = rollbackd("audit", "export", "--state-dir", str(state), "-o", str(file))
    assert (result.exit_code, result.stdout) == (0, f"rows {ROWS}\n")
    return file


def test_an_export_is_verified_without_the_journal(
    state: Path, exported: Path, kept: Path, heads: list[Head]
) -> None:
    (state / "journal.db").unlink()
    result = rollbackd("audit", "verify", "--export", str(exported), "--whole", "--anchors", str(kept))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"rows {ROWS}, from 1 to {ROWS}",
        f"head {heads[-1]}",
        f"anchor {heads[1]} matches",
        f"anchor {heads[4]} matches",
    ]


@pytest.mark.parametrize(
    ("keep", "code", "said"),
    [
        ([0, 1, 4, 5], 1, "not in it: rows 3 to 4"),
        ([0, 1, 2, 3], 1, "CUT OFF: rows 5 on are missing"),
        ([2, 3], 1, "CUT OFF"),
        ([5], 4, "none of the anchors' rows is in it"),
    ],
)
def test_an_export_that_was_cut(exported: Path, kept: Path, keep: list[int], code: int, said: str) -> None:
    lines = exported.read_text().splitlines(keepends=True)
    exported.write_text("".join(lines[number] for number in keep))
    result = rollbackd("audit", "verify", "--export", str(exported), "--whole", "--anchors", str(kept))
    assert (result.exit_code, said in result.output) == (code, True), result.output


def test_an_export_that_was_edited(exported: Path) -> None:
    exported.write_text(exported.read_text().replace('"ann"', '"bob"'))
    result = rollbackd("audit", "verify", "--export", str(exported))
    assert result.exit_code == 1
    assert f"{exported}:6: row 6" in result.stderr


@pytest.mark.parametrize(
    ("options", "seqs"),
    [
        (["--since", "2026-11-20T14:00Z"], [3, 4, 5, 6]),
        (["--since", "2026-11-20T15:00+02:00", "--until", "2026-11-20T15:00:00"], [2, 3]),
        (["--since", "2026-11-20", "--until", "2026-11-21"], [1, 2, 3, 4, 5, 6]),
        (["--since", "90000w"], [1, 2, 3, 4, 5, 6]),
        (["--life", "api-1"], [6]),
        (["--kind", "life_held"], [6]),
    ],
)
def test_a_part_of_the_record(state: Path, options: list[str], seqs: list[int]) -> None:
    result = rollbackd("audit", "export", "--state-dir", str(state), *options)
    assert result.exit_code == 0
    assert [json.loads(line)["seq"] for line in result.stdout.splitlines()] == seqs


def test_nothing_to_export_is_said(state: Path) -> None:
    result = rollbackd("audit", "export", "--state-dir", str(state), "--life", "nobody-1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no row is of that" in result.stderr


@pytest.mark.parametrize("when", ["yesterday", "2026-13-01", ""])
def test_what_is_no_time(state: Path, when: str) -> None:
    result = rollbackd("audit", "export", "--state-dir", str(state), "--since", when)
    assert result.exit_code == 2
    assert "is no time; write 2026-11-30" in result.stderr
