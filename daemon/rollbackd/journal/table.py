"""The table a SQLite journal is, and the questions put to it. No question scans it whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from rollbackd.core.model import Ms
from rollbackd.core.record import Head, JournalBroken, VerifyResult
from rollbackd.journal.chain import CHECKPOINT, Behind, Row, Walker, behind, missing

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


def of_kind(db: sqlite3.Connection, kind: str, after: int) -> Iterator[Row]:
    """Ascending, in pieces as `rows_after`."""
    question = f"{_SELECT} WHERE kind = ? AND seq > ? ORDER BY seq LIMIT {_CHUNK}"
    while True:
        rows = list(_rows(db.execute(question, (kind, after))))
        yield from rows
        if len(rows) < _CHUNK:
            return
        after = rows[-1].seq


def first_since(db: sqlite3.Connection, steady: Ms) -> int:
    """The first row recorded then or later, or the one that will be: recorded time never runs backwards."""
    return _first(db, lambda row: row.steady >= steady)


def first_of_batch(db: sqlite3.Connection, of: Row) -> int:
    return _first(db, lambda row: row.batch >= of.batch)


def _first(db: sqlite3.Connection, holds: Callable[[Row], bool]) -> int:
    """The first row from which on it holds; the next one to come, where it does not yet. JournalBroken."""
    last = last_row(db)
    low, high = 1, (last.seq if last is not None else 0) + 1
    while low < high:
        middle = (low + high) // 2
        row = row_at(db, middle)
        if row is None:
            raise JournalBroken(f"row {middle} is missing; restore a backup")
        low, high = (low, middle) if holds(row) else (middle + 1, high)
    return low


def newest(db: sqlite3.Connection, kind: str, limit: int, before: int | None) -> Iterator[Row]:
    question = f"{_SELECT} WHERE kind = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
    return _rows(db.execute(question, (kind, 1 << 62 if before is None else before, limit)).fetchall())


def checkpoint(db: sqlite3.Connection) -> Row | None:
    """The newest one."""
    return next(newest(db, CHECKPOINT, 1, None), None)


def let_go(db: sqlite3.Connection, what: Behind, after: int, upto: int) -> int:
    """Remove bodies between two rows, as a checkpoint says; how many bytes went. Within a transaction."""
    lets_go = f"""FROM entries WHERE seq > ? AND seq <= ? AND body IS NOT NULL AND (
        (seq <= ? AND (life IS NULL OR life NOT IN (SELECT value FROM json_each(?))))
        OR (kind = '{CHECKPOINT}' AND seq < ?))"""  # noqa: S608
    kept = msgspec.json.encode(sorted(what.kept)).decode()
    bounds = (after, upto, what.upto, kept, what.seq)
    count, size = db.execute(f"SELECT count(*), sum(length(body)) {lets_go}", bounds).fetchone()
    if count:
        db.execute(f"UPDATE entries SET body = NULL WHERE seq IN (SELECT seq {lets_go})", bounds)  # noqa: S608
    return size or 0


def walk(
    db: sqlite3.Connection, origin: str, after: int, upto: int | None, anchor: Head | None = None
) -> VerifyResult:
    """See `SqliteJournal.verify`."""
    before = row_at(db, after) if after else None
    walker = Walker(origin, before, behind(checkpoint(db)))
    if before is None and after:
        return walker.result(after, f"row {after} is missing", bad=after)
    if not after and db.execute("SELECT 1 FROM entries WHERE seq < 1 LIMIT 1").fetchone():
        return walker.result(after, "there are rows before row 1")
    try:
        for row in rows_after(db, after, upto=upto):
            why = walker.step(row)
            if why is not None and row.body is None:  # let go since this walk began?
                walker.behind = behind(checkpoint(db))
                why = walker.step(row)
            if why is not None:
                return walker.result(after, why)
    except sqlite3.DatabaseError as error:
        return walker.result(after, f"row {walker.seq + 1} or later cannot be read: {error}")
    if anchor is not None:
        return walker.result(after, missing(origin, anchor, row_at(db, anchor.seq)), bad=anchor.seq)
    return walker.result(after)
