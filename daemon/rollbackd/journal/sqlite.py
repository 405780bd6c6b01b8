"""The journal of one machine: SQLite, WAL, synchronous=FULL, one writer (rules J1, J3).

Danger: nothing else may write this file. SQLite before 3.51.3 can corrupt a write-ahead log that two
connections write; whoever wants to look uses `journal.reader` or `journal.audit`, which cannot write.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rollbackd.core.events import Event
from rollbackd.core.record import Head, JournalBroken, JournalFull, Recorded, Snapshot, Stamp, VerifyResult
from rollbackd.journal import files, snapshots, wal
from rollbackd.journal.chain import (
    CHECKPOINT,
    NOTHING_BEHIND,
    Row,
    Walker,
    behind,
    genesis,
    recorded,
    rows_of,
)
from rollbackd.journal.codec import CODEC, Codec
from rollbackd.journal.table import (
    CREATE,
    FORMAT,
    INSERT,
    check_format,
    checkpoint,
    last_row,
    let_go,
    newest,
    of_life,
    row_at,
    rows_after,
    walk,
)

TAIL = 1_000
"""How many rows are verified when a journal is opened; `replay` and `verify` see to the others."""

_BUSY = 1.0  # s; below the two seconds after which people are paged (E5)
_CHECKPOINT = 4 << 20  # bytes of log, about
_PAGE = 4096
_PAGES_PER_ROW = 3  # the table's and both indexes'


class SqliteJournal:
    """Used by one thread at a time, best by one thread for ever: a commit waits for the disk.

    `origin` is the state directory's UUID; `code` names the version of the code that folds states.
    JournalBroken, from any method: the record cannot be trusted or the disk failed, and the process
    must end. It is never tried again.
    """

    def __init__(self, path: Path, *, origin: str, code: str, codec: Codec = CODEC) -> None:
        """Open it, or create it durably. JournalFull: no room to open it in (free the reserve)."""
        self._path = path
        self._origin = origin
        self._code = code
        self._codec = codec
        self._broken = ""
        self._behind = NOTHING_BEHIND
        self._let_go = 0  # rows up to here lack every body that the newest checkpoint lets go
        self._pending = 0  # bytes written since the log was last put back into the database
        log = path.with_name(path.name + "-wal")
        damage = wal.damage(log)
        if damage:
            raise JournalBroken(f"{path}: {damage}; keep the directory aside and restore a backup")
        try:
            files.write_again(log)
            self._db = _connect(path)
        except (sqlite3.Error, OSError) as error:
            raise _failure(path, error) from error
        try:
            with self._reading():
                self._last = last_row(self._db)
                self._behind = behind(checkpoint(self._db))
                self._verify_ends()
            self._put_back("TRUNCATE")
        except BaseException:
            self._db.close()
            raise

    def append(self, events: Sequence[Event], stamp: Stamp) -> Head:
        """Record a batch in one transaction. On return it is durable.

        JournalFull: nothing was written, and the same call may work later. ValueError: an event cannot
        be stored; nothing was written.
        """
        if self._broken:
            raise JournalBroken(self._broken)
        rows = rows_of(
            events,
            stamp,
            seq=self._last.seq if self._last else 0,
            batch=(self._last.batch if self._last else 0) + 1,
            previous=self._hash(),
            codec=self._codec,
        )
        if not rows:
            return self.head()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(INSERT, rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._settle(error, rows[-1])
        finally:
            self._roll_back()
        self._last = rows[-1]
        for row in rows:
            if row.kind == CHECKPOINT:
                self._behind, self._let_go = behind(row), 0
        self._checkpoint(sum(_PAGES_PER_ROW * _PAGE + len(row.body or b"") for row in rows))
        return self.head()

    def replay(self, after: int = 0, *, verify: bool = True) -> Iterator[Recorded]:
        """The rows after a seq, ascending. JournalBroken: one does not follow, or `after` is gone.

        Appending meanwhile is allowed; whether that is seen is not said.
        """
        with self._reading():
            before = self._before(after)
            rows = rows_after(self._db, after)
            if verify:
                rows = Walker(self._origin, before, self._behind).checked(rows)
            for row in rows:
                yield recorded(row, self._codec)

    def checkpoint(self) -> Recorded | None:
        """The newest one. Its state is that of all rows before it."""
        with self._reading():
            row = checkpoint(self._db)
        return None if row is None else recorded(row, self._codec)

    def prune(self, limit: int) -> bool:
        """Remove bodies that the newest checkpoint lets go (J4), looking at the next `limit` rows; whether
        more are to be looked at. One transaction: of a crash in it nothing is seen.

        JournalFull: none was removed, and the same call may work later.
        """
        if self._broken:
            raise JournalBroken(self._broken)
        end = max(self._behind.upto, self._behind.seq - 1)
        after, upto = self._let_go, min(self._let_go + limit, end)
        if after >= end:
            return False
        try:
            self._db.execute("BEGIN IMMEDIATE")
            removed = let_go(self._db, self._behind, after, upto)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            failure = _failure(self._path, error)
            self._roll_back()
            if isinstance(failure, JournalFull) and not self._broken:
                raise failure from error
            self._broken = str(failure)
            raise JournalBroken(self._broken) from error
        self._let_go = upto
        if removed:
            self._checkpoint(removed + limit * _PAGE)
        return upto < end

    def life(self, life: str) -> list[Recorded]:
        """All rows of a life, ascending."""
        with self._reading():
            return [recorded(row, self._codec) for row in of_life(self._db, life)]

    def recent(self, kind: str, limit: int, before: int | None = None) -> list[Recorded]:
        """The newest rows of a kind, newest first; with `before`, only those of a lower seq."""
        with self._reading():
            return [recorded(row, self._codec) for row in newest(self._db, kind, limit, before)]

    def events(self, after: int, limit: int) -> list[Recorded]:
        """At most `limit` rows after a seq, ascending."""
        with self._reading():
            return [recorded(row, self._codec) for row in rows_after(self._db, after, limit=limit)]

    def head(self) -> Head:
        """The last row's; of an empty journal, seq 0 and the hash that stands before row 1."""
        return Head(seq=self._last.seq if self._last else 0, hash=self._hash().hex())

    def last_stamp(self) -> Stamp | None:
        return self._last.stamp if self._last else None

    def snapshot(self) -> Snapshot | None:
        """The snapshot, if this code made it and the chain goes through it.

        JournalBroken: it is whole, but the row it was made from is missing or another one (14).
        """
        snapshot = snapshots.read(self._snapshot_path)
        with self._reading():
            row = row_at(self._db, snapshot.head.seq) if snapshot else None
        return snapshots.usable(snapshot, self._code, row.hash.hex() if row else None)

    def save_snapshot(self, head: Head, state: bytes) -> None:
        """Replace the snapshot by that of the state as it was at `head`."""
        snapshots.write(self._snapshot_path, Snapshot(head=head, code=self._code, state=state))

    def verify(self, after: int = 0, upto: int | None = None, *, anchor: Head | None = None) -> VerifyResult:
        """Walk the chain from a seq (its row is trusted) to another. `anchor`: a head that was kept
        elsewhere, and must be in it."""
        with self._reading():
            return walk(self._db, self._origin, after, upto, anchor)

    def close(self) -> None:
        """The last connection to close puts the log back, and syncs. After a failure one that cannot
        write is the last."""
        if not self._broken:
            self._db.close()
            return
        try:
            last = sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=ro", uri=True)
            last.execute("SELECT 1 FROM entries LIMIT 1").fetchone()
        except sqlite3.Error:
            return  # left open: the process ends, and the log stays as it is
        self._db.close()
        last.close()

    @property
    def _snapshot_path(self) -> Path:
        return snapshots.path_of(self._path)

    def _hash(self) -> bytes:
        return self._last.hash if self._last else genesis(self._origin)

    def _before(self, after: int) -> Row | None:
        row = row_at(self._db, after) if after else None
        if row is None and after:
            raise JournalBroken(f"{self._path}: row {after} is missing; restore a backup")
        return row

    def _verify_ends(self) -> None:
        """The first row shows a journal from elsewhere; the last ones, what a crash may have done."""
        last = self._last.seq if self._last else 0
        for after, upto in ((0, 1), (max(0, last - TAIL), last)):
            result = walk(self._db, self._origin, after, upto)
            if not result.ok:
                raise JournalBroken(f"{self._path}: {result.why}; keep it aside and restore a backup")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise JournalBroken(f"{self._path}: {error}; keep it aside and restore a backup") from error

    def _roll_back(self) -> None:
        if not self._db.in_transaction:
            return
        try:
            self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._broken = f"{self._path}: {error}"

    def _settle(self, error: sqlite3.Error, last: Row) -> None:
        """After an error, find out whether the batch is there. Returns if it is, durably."""
        failure = _failure(self._path, error)
        self._roll_back()
        if isinstance(failure, JournalFull) and not self._broken:
            with self._reading():
                stored = last_row(self._db)
            if stored == last:
                return
            if stored == self._last:
                raise failure from error
        self._broken = self._broken or str(failure)
        raise JournalBroken(self._broken) from error

    def _checkpoint(self, written: int) -> None:
        """Put the log back into the database now and then.

        SQLite's own automatic checkpoint ignores an fsync that fails, and the next one would succeed
        without the data being on disk (fault 11).
        """
        self._pending += written
        if self._pending >= _CHECKPOINT:
            self._pending = 0
            self._put_back("PASSIVE")

    def _put_back(self, mode: str) -> None:
        """TRUNCATE, at a start: what was found is durable from here on, and the log empty. A SIGKILL may
        have left a transaction that was never synced, or a power cut the end of one; beside the next to be
        torn they would pass for durable ones that follow damage (`journal.wal`)."""
        try:
            self._db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except sqlite3.Error as error:
            failure = _failure(self._path, error)
            if isinstance(failure, JournalBroken):
                self._broken = str(failure)
                raise failure from error
            # No room to put it back: what was appended is durable in the log, and stays there.


def _connect(path: Path) -> sqlite3.Connection:
    created = not path.exists()
    if created:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    # The one thread that uses it need not be the one that opened it.
    db = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    try:
        if check_format(db, path) == 0:
            db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute("PRAGMA journal_size_limit=16777216")
        if check_format(db, path) == 0:
            db.executescript(f"BEGIN IMMEDIATE; {CREATE} PRAGMA user_version={FORMAT}; COMMIT;")
        files.sync_directory(path.parent)
    except BaseException:
        db.close()
        raise
    return db


_PASSING = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
    }
)
_SYNC = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})


def _failure(path: Path, error: sqlite3.Error | OSError) -> JournalFull | JournalBroken:
    """What an error means: nothing was written and it may pass, or the disk failed."""
    message = f"{path}: {error}"
    if isinstance(error, OSError):
        return JournalFull(message) if error.errno in files.NO_ROOM else JournalBroken(message)
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code & 0xFF in _PASSING:
        return JournalFull(message)
    if code & 0xFF == sqlite3.SQLITE_IOERR and code not in _SYNC and files.no_room(path.parent):
        return JournalFull(message)
    return JournalBroken(f"{message}; look at the disk, then start again")
