"""A journal whose rows were tampered with: it verifies only if nothing that counts was changed (I13).

The input is a list of edits: row, column, how long the value is, and the value (msgpack, or bytes).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec

from rollbackd.core import events as e
from rollbackd.core.record import Head, JournalBroken, Stamp
from rollbackd.core.state import State
from rollbackd.journal.chain import CHECKPOINT, Behind, Row, Walker, behind, recorded, rows_of
from rollbackd.journal.chain import genesis as before_all
from rollbackd.journal.codec import CODEC

ORIGIN = "fuzz"
COLUMNS = len(Row._fields)
LET_GO = 3
"""Rows that the checkpoint, which is the fifth, lets go."""


@cache
def _rows() -> tuple[Row, ...]:
    told: list[e.Event] = [e.TriggerForgotten(at=n, trigger=f"T{n}") for n in range(6)]
    told[4] = e.Checkpoint(at=4, upto=LET_GO, kept=(), state=State())
    stamp = Stamp(1, 2, 3, "boot", 0, "ann")
    return tuple(rows_of(told, stamp, 0, 1, before_all(ORIGIN), CODEC))


def one(data: bytes) -> None:
    rows = list(_rows())
    for place, column, value in _edits(data):
        rows[place] = rows[place]._replace(**{Row._fields[column]: value})
    walker = Walker(ORIGIN, None, _behind(rows))
    whys = [why for why in (walker.step(row) for row in rows) if why is not None]
    whole = _untouched(rows)
    assert (not whys) == whole, (whys, rows)
    told = _broken(rows)
    assert bool(told) == bool(whys)
    assert len(told) < 500 + len(data)
    if whole:
        assert walker.result(0).hash == Head(6, _rows()[-1].hash.hex()).hash


def _behind(rows: list[Row]) -> Behind:
    return behind(next((row for row in reversed(rows) if row.kind == CHECKPOINT), None))


def _broken(rows: list[Row]) -> str:
    try:
        for row in Walker(ORIGIN, None, _behind(rows)).checked(rows):
            recorded(row, CODEC)
    except JournalBroken as error:
        return str(error)
    return ""


def _edits(data: bytes) -> Iterator[tuple[int, int, Any]]:
    at = 0
    while at + 3 <= len(data):
        row, column, length = data[at : at + 3]
        raw = data[at + 3 : at + 3 + length]
        at += 3 + length
        yield row % 6, column % COLUMNS, _value(raw)


def _value(raw: bytes) -> Any:
    """What a column can hold: True is 1 there."""
    try:
        found = msgspec.msgpack.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return raw
    return int(found) if isinstance(found, bool) else found


def _untouched(rows: list[Row]) -> bool:
    """Whether nothing differs but bodies that are gone behind the checkpoint."""
    again = [
        row._replace(body=original.body) if row.body is None and number < LET_GO else row
        for number, (row, original) in enumerate(zip(rows, _rows(), strict=True))
    ]
    return repr(again) == repr([*_rows()])
