"""Rows of the journal as JSON lines, which prove themselves without it (I13).

A line holds all columns of a row, the hash of the row before, and its body as the bytes that were hashed:
who writes a line anew, with other spaces or another order of keys, breaks its proof.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from rollbackd.core.model import Ms
from rollbackd.core.state import AUTOMATIC
from rollbackd.journal.audit import opened
from rollbackd.journal.chain import Row, genesis, link
from rollbackd.journal.table import first_of_batch, first_since, of_kind, of_life, row_at, rows_after

_BATCH = 50
"""Rows of a batch that are looked at for the channel: a person's word comes first in it."""


class Selection(Struct, frozen=True):
    """Which rows: all that match. `since` and `until` (not included) are steady UTC."""

    since: Ms | None = None
    until: Ms | None = None
    life: str | None = None
    kind: str | None = None


class Line(Struct, frozen=True):
    """One row. `at` is steady UTC for people; `channel`: how the actor spoke, empty for the daemon itself."""

    journal: str
    seq: int
    batch: int
    at: str
    kind: str
    version: int
    life: str | None
    actor: str
    channel: str
    steady: Ms
    wall: Ms
    boot: str
    boottime: Ms
    epoch: int
    previous: str
    body_hash: str
    hash: str
    body: msgspec.Raw  # null: pruned


def export(path: Path, origin: str, what: Selection) -> Iterator[bytes]:
    """The lines, without their ends; nothing of them is verified. `origin`: the state directory's UUID.

    JournalBroken: the file cannot be read. FileNotFoundError.
    """
    encode = msgspec.json.Encoder().encode
    last: Row | None = None
    spoken: tuple[int, str] = (0, "")
    with opened(path) as db:
        for row in _selected(db, what):
            if last is None or last.seq != row.seq - 1:
                last = row_at(db, row.seq - 1)
            previous = last.hash if last is not None else genesis(origin)
            channel = ""
            if row.actor != AUTOMATIC:
                if spoken[0] != row.batch:
                    spoken = (row.batch, _channel(db, row))
                channel = _said(row).channel or spoken[1]
            yield encode(_line(row, origin, previous, channel))
            last = row


def _selected(db: sqlite3.Connection, what: Selection) -> Iterator[Row]:
    first = first_since(db, what.since) if what.since is not None else 1
    if what.life is not None:
        rows: Iterator[Row] = of_life(db, what.life)
    elif what.kind is not None:
        rows = of_kind(db, what.kind, first - 1)
    else:
        rows = rows_after(db, first - 1)
    until = what.until
    if until is not None:
        rows = takewhile(lambda row: row.steady < until, rows)
    return (row for row in rows if row.seq >= first and what.kind in (None, row.kind))


class _Said(Struct):
    channel: str = ""


def _said(row: Row) -> _Said:
    try:
        return msgspec.json.decode(row.body or b"{}", type=_Said)
    except msgspec.MsgspecError:
        return _Said()


def _channel(db: sqlite3.Connection, row: Row) -> str:
    """How the batch's actor spoke: what follows from a person's word need not repeat it."""
    found = rows_after(db, first_of_batch(db, row) - 1, limit=_BATCH)
    return next((said for each in found if each.batch == row.batch and (said := _said(each).channel)), "")


def _moment(steady: Ms) -> str:
    moment = datetime.fromtimestamp(steady / 1000, UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")


def _line(row: Row, origin: str, previous: bytes, channel: str) -> Line:
    return Line(
        journal=origin,
        seq=row.seq,
        batch=row.batch,
        at=_moment(row.steady),
        kind=row.kind,
        version=row.version,
        life=row.life,
        actor=row.actor,
        channel=channel,
        steady=row.steady,
        wall=row.wall,
        boot=row.boot,
        boottime=row.boottime,
        epoch=row.epoch,
        previous=previous.hex(),
        body_hash=row.body_hash.hex(),
        hash=row.hash.hex(),
        body=msgspec.Raw(b"null" if row.body is None else row.body),
    )


class Exported(Struct):
    """What an exported file proves. `gaps`: the rows between which others are missing; that may have been
    asked for. `why`: what is wrong with line `bad`, and nothing where all is well."""

    rows: int = 0
    first: int = 0
    last: int = 0
    hash: str = ""
    pruned: int = 0
    gaps: list[tuple[int, int]] = []
    bad: int = 0
    why: str = ""
    held: dict[int, str] = {}


_LINES = msgspec.json.Decoder(Line)


def verify(lines: Iterable[bytes], keep: Collection[int] = ()) -> Exported:
    """Walk an export: each row by its own hashes, and the chain wherever rows follow one another. `keep`: of
    which rows the hashes are wanted."""
    found = Exported()
    wanted = frozenset(keep)
    for number, text in enumerate(lines, 1):
        try:
            line = _LINES.decode(text)
            why = _fault(line, found)
        except (msgspec.MsgspecError, ValueError) as error:
            why = f"not a line of an export: {error}"
        if why:
            found.bad, found.why = number, why
            return found
        if found.rows and line.seq != found.last + 1:
            found.gaps.append((found.last, line.seq))
        found.first = found.first or line.seq
        found.rows, found.last, found.hash = found.rows + 1, line.seq, line.hash
        found.pruned += bytes(line.body) == b"null"
        if line.seq in wanted:
            found.held[line.seq] = line.hash
    return found


def _fault(line: Line, before: Exported) -> str:
    """What is wrong with a line, or nothing. ValueError: something in it is no hash."""
    row = Row(**{name: _column(line, name) for name in Row._fields})
    previous = bytes.fromhex(line.previous)
    if before.rows and row.seq <= before.last:
        return f"row {row.seq} comes after row {before.last}"
    if row.body is not None and sha256(row.body).digest() != row.body_hash:
        return f"row {row.seq}: its body does not match its hash"
    if line.at != _moment(line.steady) or _said(row).channel not in ("", line.channel):
        return f"row {row.seq}: its time or channel is not what was recorded"
    follows = before.rows and row.seq == before.last + 1
    if (follows and line.previous != before.hash) or (row.seq == 1 and previous != genesis(line.journal)):
        return f"row {row.seq} does not follow from the row before it"
    try:
        same = link(previous, row) == row.hash
    except OverflowError as error:
        return f"row {row.seq}: {error}"
    return "" if same else f"row {row.seq} ({row.kind}) does not match its hash"


def _column(line: Line, name: str) -> Any:
    value = getattr(line, name)
    match name:
        case "body":
            return None if bytes(value) == b"null" else bytes(value)
        case "body_hash" | "hash":
            return bytes.fromhex(value)
    return value
