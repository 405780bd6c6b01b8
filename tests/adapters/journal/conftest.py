"""Both journals behind one set of handles, so that one suite holds for both."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pytest

from rollbackd.core.events import TriggerForgotten
from rollbackd.core.record import Head, Stamp, VerifyResult
from rollbackd.journal.audit import verify_file
from rollbackd.journal.chain import Row
from rollbackd.journal.memory import MemoryJournal
from rollbackd.journal.sqlite import SqliteJournal
from rollbackd.journal.table import INSERT

ORIGIN = "7f0c2a4e-5a3b-4d57-9a53-6c5ce3b1f001"
CODE = "the code under test"
Journal = SqliteJournal | MemoryJournal


class Store(Protocol):
    """Where a journal lies while nobody has it open."""

    def open(self, origin: str = ORIGIN, code: str = CODE) -> Journal: ...

    def rows(self) -> list[Row]: ...

    def rewrite(self, rows: Sequence[Row]) -> None: ...

    def verify(self, anchor: Head | None = None) -> VerifyResult: ...


class SqliteStore:
    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, origin: str = ORIGIN, code: str = CODE) -> SqliteJournal:
        return SqliteJournal(self.path, origin=origin, code=code)

    def rows(self) -> list[Row]:
        with closing(sqlite3.connect(self.path)) as db:
            return [Row._make(row) for row in db.execute("SELECT * FROM entries ORDER BY seq")]

    def rewrite(self, rows: Sequence[Row]) -> None:
        with closing(sqlite3.connect(self.path)) as db, db:
            db.execute("DELETE FROM entries")
            db.executemany(INSERT, rows)

    def verify(self, anchor: Head | None = None) -> VerifyResult:
        return verify_file(self.path, ORIGIN, anchor=anchor)


class MemoryStore:
    """Holds the bytes between two openings; a journal that is open writes through on `close`."""

    def __init__(self) -> None:
        self._journal = MemoryJournal(origin=ORIGIN, code=CODE)

    def open(self, origin: str = ORIGIN, code: str = CODE) -> MemoryJournal:
        self._journal = MemoryJournal.load(self._journal.dump(), origin=origin, code=code)
        return self._journal

    def rows(self) -> list[Row]:
        return list(self._journal._rows)

    def rewrite(self, rows: Sequence[Row]) -> None:
        self._journal._rows = list(rows)
        self._journal._durable = len(rows)

    def verify(self, anchor: Head | None = None) -> VerifyResult:
        return self._journal.verify(anchor=anchor)


@pytest.fixture(params=["sqlite", "memory"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Makes empty stores of one kind."""

    def make() -> Store:
        if request.param == "memory":
            return MemoryStore()
        made.append(tmp_path / f"{len(made)}.db")
        return SqliteStore(made[-1])

    made: list[Path] = []
    return make


@pytest.fixture
def store(stores: Callable[[], Store]) -> Store:
    return stores()


def stamp(steady: int = 1_000, actor: str = "rollbackd") -> Stamp:
    return Stamp(steady=steady, wall=steady + 7, boottime=steady // 2, boot="b-1", epoch=1, actor=actor)


def forgotten(number: int, size: int = 0) -> TriggerForgotten:
    """A small event that says which one it is."""
    return TriggerForgotten(at=number, trigger=f"T{number}" + "x" * size)
