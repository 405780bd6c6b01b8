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
from rollbackd.journal.chain import Row, Walker, recorded, rows_of
from rollbackd.journal.chain import genesis as before_all
from rollbackd.journal.codec import CODEC

ORIGIN = "fuzz"
COLUMNS = len(Row._fields)


@cache
def _rows() -> tuple[Row, ...]:
    told = [e.TriggerForgotten(at=n, trigger=f"T{n}") for n in range(6)]
    stamp = Stamp(1, 2, 3, "boot", 0, "ann")
    return tuple(rows_of(told, stamp, 0, 1, before_all(ORIGIN), CODEC))


def one(data: bytes) -> None:
    rows = list(_rows())
    for place, column, value in _edits(data):
        rows[place] = rows[place]._replace(**{Row._fields[column]: value})
    walker = Walker(ORIGIN, None)
    whys = [why for why in (walker.step(row) for row in rows) if why is not None]
    whole = _untouched(rows)
    assert (not whys) == whole, (whys, rows)
    told = _broken(rows)
    assert bool(told) == bool(whys)
    assert len(told) < 500 + len(data)
    if whole:
        assert walker.result(0).hash == Head(6, _rows()[-1].hash.hex()).hash


def _broken(rows: list[Row]) -> str:
    try:
        for row in Walker(ORIGIN, None).checked(rows):
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
    """Whether nothing differs but bodies that are gone, from the first row on without a gap (pruned)."""
    gone = [row.body is None for row in rows]
    again = [
        row._replace(body=original.body) if row.body is None else row
        for row, original in zip(rows, _rows(), strict=True)
    ]
    return repr(again) == repr([*_rows()]) and gone == sorted(gone, reverse=True)
