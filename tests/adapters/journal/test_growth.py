"""A start and the questions people ask cost the same whatever the journal holds (J3)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.adapters.journal.conftest import SqliteStore, stamp

from rollbackd.core.events import LifeEnded
from rollbackd.journal import sqlite


def steps_of_a_start(path: Path, lives: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many of SQLite's instructions a start takes, in tens; the tail is as long in both."""
    store = SqliteStore(path)
    journal = store.open()
    head = journal.append([LifeEnded(at=n, life=f"api-{n}", end="verified") for n in range(lives)], stamp())
    journal.save_snapshot(head, b"state")
    journal.close()
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    def connect(path: Path) -> sqlite3.Connection:
        db = original(path)
        db.set_progress_handler(count, 10)
        return db

    original = sqlite._connect
    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "_connect", connect)
        journal = store.open()
    snapshot = journal.snapshot()
    assert snapshot is not None
    assert list(journal.replay(snapshot.head.seq)) == []
    assert len(journal.recent("life_ended", 20)) == 20
    assert len(journal.recent("life_held", 20)) == 0
    assert len(journal.life("api-7")) == 1
    assert len(journal.events(lives - 5, 20)) == 5
    journal.append([LifeEnded(at=1, life="api-0", end="verified")], stamp())
    journal.close()
    return steps


def test_nothing_scans_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = steps_of_a_start(tmp_path / "few.db", 2 * sqlite.TAIL, monkeypatch)
    many = steps_of_a_start(tmp_path / "many.db", 20 * sqlite.TAIL, monkeypatch)
    assert many < few * 1.1
