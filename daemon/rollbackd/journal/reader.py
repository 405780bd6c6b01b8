"""Reads the journal of a running daemon beside its writer (rule E4).

Whatever is read, and however long it takes: the writer's thread is never asked. The log lets readers go
on while a batch is written, and shows them only what is durable.
"""

from __future__ import annotations

import asyncio
import heapq
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

from rollbackd.core.record import Fact, Head, JournalBroken, Recorded
from rollbackd.journal.chain import Row, genesis, recorded
from rollbackd.journal.codec import CODEC, Codec
from rollbackd.journal.table import check_format, last_row, newest, of_kind, of_life, rows_after

T = TypeVar("T")

THREAD = "journal-reader"
_BUSY = 1.0  # s


class Reader:
    """A connection that cannot write, on a thread of its own. For a journal that its writer has open.

    JournalBroken, from any method: the file cannot be read. Close it before the writer: the last one
    to go puts the log back into the database, and this one may not.
    """

    def __init__(self, path: Path, *, origin: str, codec: Codec = CODEC) -> None:
        """Nothing is opened yet. `origin` is the state directory's UUID."""
        self._path = path
        self._origin = origin
        self._codec = codec
        self._db: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, THREAD)

    async def life(self, life: str) -> list[Recorded]:
        """As `SqliteJournal.life`."""
        return await self._read(lambda db: self._recorded(of_life(db, life)))

    async def recent(self, kind: str, limit: int, before: int | None = None) -> list[Recorded]:
        """As `SqliteJournal.recent`."""
        return await self._read(lambda db: self._recorded(newest(db, kind, limit, before)))

    async def events(self, after: int, limit: int) -> list[Recorded]:
        """As `SqliteJournal.events`."""
        return await self._read(lambda db: self._recorded(rows_after(db, after, limit=limit)))

    async def facts(self, kinds: Sequence[str], after: int, limit: int) -> list[Fact]:
        """At most `limit` rows that are of these kinds, ascending; not those whose body is gone or
        cannot be read."""
        return await self._read(lambda db: self._facts(db, kinds, after, limit))

    def _facts(self, db: sqlite3.Connection, kinds: Sequence[str], after: int, limit: int) -> list[Fact]:
        rows = heapq.merge(*(of_kind(db, kind, after) for kind in kinds), key=lambda row: row.seq)
        return [
            Fact(row.seq, row.steady, row.kind, row.life or "", body)
            for row in islice(rows, limit)
            if row.body is not None
            and (body := self._codec.of_today(row.kind, row.version, row.body)) is not None
        ]

    async def head(self) -> Head:
        """As `SqliteJournal.head`."""
        row = await self._read(last_row)
        return row.head if row is not None else Head(seq=0, hash=genesis(self._origin).hex())

    async def close(self) -> None:
        """End the thread; what waits for it is cancelled, the read under way is broken off."""
        if self._db is not None:
            self._db.interrupt()
        self._thread.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._thread.shutdown)
        if self._db is not None:
            self._db.close()
            self._db = None

    async def _read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, question)

    def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._db is None:
                self._db = self._open()
            return question(self._db)
        except sqlite3.Error as error:
            raise JournalBroken(f"{self._path}: cannot be read: {error}; look at the disk") from error

    def _recorded(self, rows: Iterator[Row]) -> list[Recorded]:
        return [recorded(row, self._codec) for row in rows]

    def _open(self) -> sqlite3.Connection:
        # Only this thread uses it; another closes it, once the thread is gone.
        db = sqlite3.connect(
            f"{self._path.resolve().as_uri()}?mode=ro",
            uri=True,
            timeout=_BUSY,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            db.execute("PRAGMA query_only=ON")
            check_format(db, self._path)
        except BaseException:
            db.close()
            raise
        return db
