"""The hash chain (rules J1, I13), the same for every journal.

    hash = SHA-256(previous hash ‖ every column but the body)

`body_hash` is among the columns, so an old body can be pruned and the chain still verifies. Before the
first row stands SHA-256 of the state directory's UUID: a journal from elsewhere does not verify.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from rollbackd.core.events import Checkpoint, Event
from rollbackd.core.record import Head, JournalBroken, Recorded, Stamp, VerifyResult
from rollbackd.journal.codec import Codec


class Row(NamedTuple):
    """One stored row, its columns as they lie on disk."""

    seq: int
    batch: int
    life: str | None
    kind: str
    version: int
    steady: int
    wall: int
    boot: str
    boottime: int
    epoch: int
    actor: str
    body: bytes | None  # None: pruned
    body_hash: bytes
    hash: bytes

    @property
    def head(self) -> Head:
        return Head(seq=self.seq, hash=self.hash.hex())

    @property
    def stamp(self) -> Stamp:
        return Stamp(
            steady=self.steady,
            wall=self.wall,
            boottime=self.boottime,
            boot=self.boot,
            epoch=self.epoch,
            actor=self.actor,
        )


_BODY = Row._fields.index("body")
_LENGTH = 4
_INTEGER = 8


def genesis(origin: str) -> bytes:
    """What stands before row 1. `origin` is the state directory's UUID."""
    return sha256(origin.encode()).digest()


def link(previous: bytes, row: Row) -> bytes:
    """The hash of a row that follows `previous`. TypeError: a column is of no type we ever stored."""
    columns = (*row[:_BODY], row.body_hash)
    return sha256(previous + b"".join(map(_column, columns))).digest()


def _column(value: object) -> bytes:
    """Type, length, bytes: no two lists of columns give the same bytes."""
    match value:
        case None:
            return b"n"
        case int():
            return b"i" + value.to_bytes(_INTEGER, "big", signed=True)
        case str():
            text = value.encode()
            return b"s" + len(text).to_bytes(_LENGTH, "big") + text
        case bytes():
            return b"b" + len(value).to_bytes(_LENGTH, "big") + value
        case _:
            raise TypeError(f"a column of type {type(value).__name__}")


def rows_of(
    events: Sequence[Event], stamp: Stamp, seq: int, batch: int, previous: bytes, codec: Codec
) -> list[Row]:
    """The rows of one batch; `seq` and `previous` are those of the row before it.

    ValueError: something in it cannot be stored.
    """
    rows: list[Row] = []
    for number, document in enumerate(map(codec.encode, events), start=seq + 1):
        row = Row(
            seq=number,
            batch=batch,
            life=document.life,
            kind=document.kind,
            version=document.version,
            steady=stamp.steady,
            wall=stamp.wall,
            boot=stamp.boot,
            boottime=stamp.boottime,
            epoch=stamp.epoch,
            actor=stamp.actor,
            body=document.body,
            body_hash=sha256(document.body).digest(),
            hash=b"",
        )
        try:
            previous = link(previous, row)
        except OverflowError as error:
            raise ValueError(f"{document.kind}: a number of more than 64 bits: {stamp}") from error
        rows.append(row._replace(hash=previous))
    return rows


def recorded(row: Row, codec: Codec) -> Recorded:
    return Recorded(
        seq=row.seq,
        batch=row.batch,
        stamp=row.stamp,
        event=None if row.body is None else codec.decode(row.kind, row.version, row.body),
        kind=row.kind,
        version=row.version,
        life=row.life,
        hash=row.hash.hex(),
    )


def _whole(row: Row) -> bool:
    """Whether the body, if it is there, is the one that was stored."""
    body: object = row.body
    return body is None or (isinstance(body, bytes) and sha256(body).digest() == row.body_hash)


class Behind(msgspec.Struct, frozen=True):
    """What lies behind the newest checkpoint, and may lack its body (J4). `seq`: the checkpoint's own."""

    seq: int = 0
    upto: int = 0
    kept: frozenset[str] = frozenset()

    def lets_go(self, row: Row) -> bool:
        old = row.seq <= self.upto and row.life not in self.kept
        return old or (row.kind == CHECKPOINT and row.seq < self.seq)


class _Says(msgspec.Struct, frozen=True):
    """The part of a checkpoint that is read without the state in it, whichever version wrote that."""

    upto: int
    kept: frozenset[str]


CHECKPOINT = Checkpoint.kind()
NOTHING_BEHIND = Behind()


def behind(checkpoint: Row | None) -> Behind:
    """What the newest checkpoint lets go; nothing, where it cannot be read."""
    if checkpoint is None or not checkpoint.body:
        return NOTHING_BEHIND
    try:
        says = msgspec.json.decode(checkpoint.body, type=_Says)
        return Behind(checkpoint.seq, min(says.upto, checkpoint.seq - 1), says.kept)
    except (msgspec.MsgspecError, TypeError, ValueError):  # a column holds what we never stored
        return NOTHING_BEHIND


class Walker:
    """Follows the chain row by row.

    `before` is the row walked from (None: the beginning). A body may be missing `behind` the newest
    checkpoint alone; missing elsewhere, it was cut. (Whether that checkpoint is of the chain is seen when the
    walk comes to it.)
    """

    def __init__(self, origin: str, before: Row | None, behind: Behind = NOTHING_BEHIND) -> None:
        self.seq = before.seq if before else 0
        self.previous = before.hash if before else genesis(origin)
        self.pruned = 0
        self.behind = behind

    def step(self, row: Row) -> str | None:
        """Why this row does not follow, or None."""
        if row.seq != self.seq + 1:
            return f"row {self.seq + 1} is missing: row {row.seq} comes next"
        if not _whole(row):
            return f"row {row.seq}: its body does not match its hash"
        try:
            if row.body is None and not self.behind.lets_go(row):
                return f"row {row.seq}: its body is missing, and no checkpoint has let it go"
            follows = link(self.previous, row) == row.hash
        except (TypeError, OverflowError) as error:
            return f"row {row.seq}: {error}"
        if not follows:
            return f"row {row.seq} ({row.kind}) does not follow from the row before it"
        self.seq, self.previous = row.seq, row.hash
        self.pruned += row.body is None
        return None

    def checked(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows as they come. JournalBroken at the first that does not follow."""
        for row in rows:
            why = self.step(row)
            if why is not None:
                raise JournalBroken(f"{why}; do not start from it: keep it aside and restore a backup")
            yield row

    def result(self, after: int, why: str = "", bad: int | None = None) -> VerifyResult:
        """`bad`: the row at fault, where it is not the next one."""
        return VerifyResult(
            after=after,
            upto=self.seq,
            hash=self.previous.hex(),
            pruned=self.pruned,
            bad=(bad or self.seq + 1) if why else None,
            why=why,
        )


def missing(origin: str, anchor: Head, row: Row | None) -> str:
    """Why a head that was kept elsewhere is not in this journal, or nothing. `row`: the one at its seq."""
    held = row.hash if row else None if anchor.seq else genesis(origin)
    if held is not None and held.hex() == anchor.hash:
        return ""
    what = "is missing" if held is None else "is another one"
    return f"row {anchor.seq} of the anchor {what}: the journal was cut, or an old backup was restored"
