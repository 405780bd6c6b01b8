"""Looks at a journal from outside, whether a daemon has it open or not. Never writes (rule E4).

For the background verification, in pieces on a thread of its own, for `rollbackd audit verify`, and for what
was learned of where windows end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from rollbackd.core.events import Event
from rollbackd.core.record import Head, JournalBroken, VerifyResult
from rollbackd.journal import snapshots
from rollbackd.journal.anchors import Verdict, judge
from rollbackd.journal.chain import Walker, genesis, recorded
from rollbackd.journal.codec import CODEC
from rollbackd.journal.table import check_format, last_row, newest, row_at, walk


def verify_file(
    path: Path, origin: str, after: int = 0, upto: int | None = None, *, anchor: Head | None = None
) -> VerifyResult:
    """As `SqliteJournal.verify`. `origin` is the state directory's UUID.

    A file that cannot be read as a journal is a result too: its first row is bad. FileNotFoundError:
    there is none.
    """
    before = _stat(path)
    if _log(path).exists():
        return _verify(path, "mode=ro", origin, after, upto, anchor)
    # Nobody has it open. SQLite would create a log and an index to read it, unless told that nothing
    # changes; if a daemon started meanwhile, what was read may be half of a change.
    result = _verify(path, "mode=ro&immutable=1", origin, after, upto, anchor)
    if _log(path).exists() or _stat(path) != before:
        return _verify(path, "mode=ro", origin, after, upto, anchor)
    return result


def events_of(path: Path, kind: str, limit: int) -> list[Event]:
    """The newest events of one kind that can be read, oldest first. JournalBroken: the file cannot be read.
    FileNotFoundError: there is none."""
    before = _stat(path)
    if _log(path).exists():
        return _events_of(path, "mode=ro", kind, limit)
    found = _events_of(path, "mode=ro&immutable=1", kind, limit)
    if _log(path).exists() or _stat(path) != before:
        return _events_of(path, "mode=ro", kind, limit)
    return found


def _events_of(path: Path, mode: str, kind: str, limit: int) -> list[Event]:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, timeout=5)) as db:
            check_format(db, path)
            rows = [recorded(row, CODEC) for row in newest(db, kind, limit, None)]
    except sqlite3.DatabaseError as error:
        raise JournalBroken(f"{path}: cannot be read: {error}") from error
    return [row.event for row in reversed(rows) if row.event is not None]


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A journal to be read, whether a daemon has it open or not. JournalBroken: it cannot be read.
    FileNotFoundError: there is none."""
    _stat(path)
    mode = "mode=ro" if _log(path).exists() else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, timeout=5)) as db:
            check_format(db, path)
            yield db
    except (sqlite3.Error, msgspec.MsgspecError) as error:
        raise JournalBroken(f"{path}: cannot be read: {error}; look at the disk") from error


def judge_anchors(path: Path, origin: str, anchors: Iterable[Head]) -> list[Verdict]:
    """What heads kept elsewhere say of a journal that verifies. JournalBroken, FileNotFoundError."""
    with opened(path) as db:
        last = last_row(db)

        def held(seq: int) -> str | None:
            row = row_at(db, seq) if seq else None
            return row.hash.hex() if row is not None else None if seq else genesis(origin).hex()

        return judge(anchors, held, last.seq if last is not None else 0)


def snapshot_head(path: Path) -> Head | None:
    """Of which row the snapshot beside a journal was made: an anchor. Ask before the journal is walked,
    since a daemon may be running.

    None: there is no snapshot. JournalBroken: there is one that cannot be read.
    """
    beside = snapshots.path_of(path)
    try:
        snapshot = snapshots.decode(beside.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalBroken(f"{beside}: {error.strerror}") from error
    if snapshot is None:
        raise JournalBroken(f"{beside}: torn, damaged, or of another rollbackd")
    return snapshot.head


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _stat(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _verify(
    path: Path, mode: str, origin: str, after: int, upto: int | None, anchor: Head | None
) -> VerifyResult:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, timeout=5)) as db:
            check_format(db, path)
            return walk(db, origin, after, upto, anchor)
    except (sqlite3.DatabaseError, JournalBroken) as error:
        return Walker(origin, None).result(after, f"{path}: {error}", bad=after + 1)
