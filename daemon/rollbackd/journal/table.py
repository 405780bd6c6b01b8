"""The table a SQLite journal is, and the questions put to it. No question scans it whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from rollbackd.core.record import Head, JournalBroken, VerifyResult
from rollbackd.journal.chain import Row, Walker, missing

FORMAT = 1
_APPLICATION = 0x726C6264  # "rlbd"
_CHUNK = 200

CREATE = f"""
PRAGMA application_id={_APPLICATION};
CREATE TABLE entries (
  seq INTEGER PRIMARY KEY,
  batch INTEGER NOT NULL,
  life TEXT,
  kind TEXT NOT NULL,
  version INTEGER NOT NULL,
  steady INTEGER NOT NULL,
  wall INTEGER NOT NULL,
  boot TEXT NOT NULL,
  boottime INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  actor TEXT NOT NULL,
  body BLOB,
  body_hash BLOB NOT NULL,
  hash BLOB NOT NULL
);
CREATE INDEX entries_life ON entries (life) WHERE life IS NOT NULL;
CREATE INDEX entries_kind ON entries (kind);
"""
INSERT = f"INSERT INTO entries VALUES ({', '.join('?' * len(Row._fields))})"  # noqa: S608
_SELECT = f"SELECT {', '.join(Row._fields)} FROM entries"  # noqa: S608


def check_format(db: sqlite3.Connection, path: Path) -> int:
    """The file's format; 0: it is empty. JournalBroken: it is not ours, or of a newer rollbackd."""
    application: int = db.execute("PRAGMA application_id").fetchone()[0]
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if (application, version) == (0, 0) and not db.execute("SELECT 1 FROM sqlite_schema").fetchone():
        return 0
    if application != _APPLICATION:
        raise JournalBroken(f"{path}: not a journal of rollbackd; move it away")
    if version != FORMAT:
        raise JournalBroken(f"{path}: format {version}, this rollbackd reads {FORMAT}; upgrade rollbackd")
    return version


def _rows(found: Iterable[tuple[object, ...]]) -> Iterator[Row]:
    return map(Row._make, found)


def last_row(db: sqlite3.Connection) -> Row | None:
    return next(_rows(db.execute(f"{_SELECT} ORDER BY seq DESC LIMIT 1")), None)


def row_at(db: sqlite3.Connection, seq: int) -> Row | None:
    return next(_rows(db.execute(f"{_SELECT} WHERE seq = ?", (seq,))), None)


def rows_after(
    db: sqlite3.Connection, after: int, *, upto: int | None = None, limit: int | None = None
) -> Iterator[Row]:
    """Ascending. Read in pieces: a long read would keep the log from being put back."""
    left = limit
    last = 1 << 62 if upto is None else upto
    while left is None or left > 0:
        chunk = _CHUNK if left is None else min(left, _CHUNK)
        question = f"{_SELECT} WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        rows = list(_rows(db.execute(question, (after, last, chunk))))
        yield from rows
        if len(rows) < chunk:
            return
        after = rows[-1].seq
        left = None if left is None else left - len(rows)


def of_life(db: sqlite3.Connection, life: str) -> Iterator[Row]:
    return _rows(db.execute(f"{_SELECT} WHERE life = ? ORDER BY seq", (life,)).fetchall())


def newest(db: sqlite3.Connection, kind: str, limit: int, before: int | None) -> Iterator[Row]:
    question = f"{_SELECT} WHERE kind = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
    return _rows(db.execute(question, (kind, 1 << 62 if before is None else before, limit)).fetchall())


def walk(
    db: sqlite3.Connection, origin: str, after: int, upto: int | None, anchor: Head | None = None
) -> VerifyResult:
    """See `SqliteJournal.verify`."""
    before = row_at(db, after) if after else None
    walker = Walker(origin, before)
    if before is None and after:
        return walker.result(after, f"row {after} is missing", bad=after)
    if not after and db.execute("SELECT 1 FROM entries WHERE seq < 1 LIMIT 1").fetchone():
        return walker.result(after, "there are rows before row 1")
    try:
        for row in rows_after(db, after, upto=upto):
            why = walker.step(row)
            if why is not None:
                return walker.result(after, why)
    except sqlite3.DatabaseError as error:
        return walker.result(after, f"row {walker.seq + 1} or later cannot be read: {error}")
    if anchor is not None:
        return walker.result(after, missing(origin, anchor, row_at(db, anchor.seq)), bad=anchor.seq)
    return walker.result(after)
