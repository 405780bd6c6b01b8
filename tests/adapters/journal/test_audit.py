"""Looking at a journal from outside: whether a daemon has it open or not, and without a trace (E4)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.adapters.journal.conftest import ORIGIN, SqliteStore, forgotten, stamp

from rollbackd.core.events import Checkpoint
from rollbackd.core.state import State
from rollbackd.journal.audit import verify_file
from rollbackd.journal.table import walk


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "journal.db")


def everything(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir()}


def test_while_a_daemon_appends(store: SqliteStore) -> None:
    journal = store.open()
    for number in range(1, 30):
        head = journal.append([forgotten(number)], stamp())
        found = verify_file(store.path, ORIGIN, anchor=head)
        assert (found.ok, found.upto, found.hash) == (True, number, head.hash)
    assert verify_file(store.path, ORIGIN, after=10, upto=20).upto == 20
    journal.close()


def test_of_a_stopped_daemon_without_a_trace(store: SqliteStore, tmp_path: Path) -> None:
    journal = store.open()
    head = journal.append([forgotten(1)], stamp())
    journal.close()
    before = everything(tmp_path)
    assert list(before) == ["journal.db"]
    assert verify_file(store.path, ORIGIN, anchor=head).ok
    assert everything(tmp_path) == before


def test_of_a_killed_daemon_its_database_and_log_are_untouched(store: SqliteStore, tmp_path: Path) -> None:
    journal = store.open()
    head = journal.append([forgotten(1)], stamp())
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        (copy / name).write_bytes((tmp_path / name).read_bytes())
    journal.close()
    before = everything(copy)
    assert verify_file(copy / "journal.db", ORIGIN, anchor=head).ok
    after = everything(copy)
    assert {name: after[name] for name in before} == before
    journal = SqliteStore(copy / "journal.db").open()
    assert journal.head() == head
    journal.close()


def test_what_is_no_journal_is_a_result(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"nonsense" * 1_000)
    found = verify_file(path, ORIGIN)
    assert (found.ok, found.bad) == (False, 1)
    assert "not a database" in found.why
    with pytest.raises(FileNotFoundError):
        verify_file(tmp_path / "none.db", ORIGIN)


def test_of_another_directory(store: SqliteStore) -> None:
    journal = store.open()
    journal.append([forgotten(1)], stamp())
    journal.close()
    assert verify_file(store.path, "another directory").bad == 1


def test_while_a_daemon_lets_bodies_go(store: SqliteStore) -> None:
    """A checkpoint comes when the walk has read the first rows, and the next ones are pruned (J4)."""
    journal = store.open()
    journal.append([forgotten(number) for number in range(1, 501)], stamp())

    def meanwhile(statement: str) -> None:
        if "seq > 200" in statement and journal.checkpoint() is None:
            journal.append([Checkpoint(at=1, upto=500, kept=(), state=State())], stamp())
            while journal.prune(1_000):
                pass

    with closing(sqlite3.connect(f"{store.path.as_uri()}?mode=ro", uri=True)) as db:
        db.set_trace_callback(meanwhile)
        found = walk(db, ORIGIN, 0, None)
    assert (found.ok, found.upto, found.pruned) == (True, 501, 300)
    journal.close()
