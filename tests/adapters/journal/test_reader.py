"""Reading beside the writer: the same answers, another thread, and no way to write (E4)."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.adapters.journal.conftest import CODE, ORIGIN, forgotten, stamp

from rollbackd.core.events import LifeHeld
from rollbackd.core.record import JournalBroken
from rollbackd.journal import reader as module
from rollbackd.journal.chain import Row
from rollbackd.journal.reader import THREAD, Reader
from rollbackd.journal.sqlite import SqliteJournal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    found = SqliteJournal(tmp_path / "journal.db", origin=ORIGIN, code=CODE)
    yield found
    found.close()


@pytest.fixture
async def reader(journal: SqliteJournal, tmp_path: Path) -> AsyncIterator[Reader]:
    found = Reader(tmp_path / "journal.db", origin=ORIGIN)
    yield found
    await found.close()


def held(number: int) -> LifeHeld:
    return LifeHeld(at=number, life="api-1", by="ann", channel="socket")


async def test_it_answers_as_the_writer_does_batch_after_batch(
    journal: SqliteJournal, reader: Reader
) -> None:
    assert await reader.head() == journal.head()
    for number in range(1, 6):
        head = journal.append([forgotten(number), held(number)], stamp())
        assert await reader.head() == head
        assert await reader.life("api-1") == journal.life("api-1")
        assert await reader.recent("life_held", 3) == journal.recent("life_held", 3)
        assert await reader.recent("life_held", 3, before=4) == journal.recent("life_held", 3, before=4)
        assert await reader.events(2, 4) == journal.events(2, 4)


async def test_a_read_that_hangs_holds_up_no_append(
    journal: SqliteJournal, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append([held(1)], stamp())
    reached, release = threading.Event(), threading.Event()
    threads: list[str] = []

    def stuck(db: sqlite3.Connection, life: str) -> Iterator[Row]:
        """In the middle of a read: the log is being read as it was."""
        threads.append(threading.current_thread().name)
        rows = db.execute("SELECT * FROM entries WHERE life = ?", (life,))
        first = rows.fetchone()
        reached.set()
        assert release.wait(30)
        yield Row._make(first)

    monkeypatch.setattr(module, "of_life", stuck)
    reads = [asyncio.create_task(reader.life("api-1")) for _ in range(50)]
    try:
        assert await asyncio.to_thread(reached.wait, 30)
        heads = [journal.append([forgotten(number)], stamp()) for number in range(2, 30)]
        assert [head.seq for head in heads] == list(range(2, 30))
        assert not any(read.done() for read in reads)
    finally:
        release.set()
    assert [len(rows) for rows in await asyncio.gather(*reads)] == [1] * 50
    assert {name.rsplit("_", 1)[0] for name in threads} == {THREAD}


async def test_it_cannot_write(journal: SqliteJournal, reader: Reader) -> None:
    head = journal.append([forgotten(1)], stamp())
    with pytest.raises(JournalBroken, match="readonly"):
        await reader._read(lambda db: db.execute("DELETE FROM entries"))
    assert await reader.head() == head


async def test_what_is_no_journal_says_where(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"something else" * 100)
    found = Reader(tmp_path / "journal.db", origin=ORIGIN)
    with pytest.raises(JournalBroken, match=r"journal\.db: cannot be read"):
        await found.head()
    await found.close()
