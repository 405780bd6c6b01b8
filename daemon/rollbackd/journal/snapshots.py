"""A snapshot beside the journal: a cache, for a quick start (rule J3)."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import msgspec

from rollbackd.core.record import JournalBroken, JournalFull, Snapshot
from rollbackd.journal import files

_DIGEST = 32


def path_of(journal: Path) -> Path:
    """Where the snapshot of a journal lies."""
    return journal.with_suffix(".snapshot")


def encode(snapshot: Snapshot) -> bytes:
    content = msgspec.msgpack.encode(snapshot)
    return sha256(content).digest() + content


def decode(content: bytes) -> Snapshot | None:
    """None: torn, damaged, or of another shape."""
    digest, body = content[:_DIGEST], content[_DIGEST:]
    if sha256(body).digest() != digest:
        return None
    try:
        return msgspec.msgpack.decode(body, type=Snapshot)
    except msgspec.MsgspecError:
        return None


def read(path: Path) -> Snapshot | None:
    """None: there is none, or it cannot be read. It can always be done without."""
    try:
        return decode(path.read_bytes())
    except OSError:
        return None


def write(path: Path, snapshot: Snapshot) -> None:
    """Replace it at once or not at all. JournalFull, JournalBroken: the old one stands."""
    try:
        files.replace(path, encode(snapshot))
    except OSError as error:
        refused = JournalFull if error.errno in files.NO_ROOM else JournalBroken
        raise refused(f"{path}: {error.strerror}") from error


def usable(snapshot: Snapshot | None, code: str, row_hash: str | None) -> Snapshot | None:
    """The snapshot, if this code made it. `row_hash` is that of the row at its seq, if there is one.

    JournalBroken: rows that it was made from are gone or others: an old backup was restored (14).
    """
    if snapshot is None:
        return None
    if row_hash != snapshot.head.hash:
        what = "is missing" if row_hash is None else "is another one"
        raise JournalBroken(
            f"row {snapshot.head.seq}, which the snapshot was made from, {what}: the journal was cut, or an "
            "old backup was restored; restore the newest one, or remove the snapshot to go on from this"
        )
    return snapshot if snapshot.code == code else None
