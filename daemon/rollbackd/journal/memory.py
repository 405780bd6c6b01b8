"""A journal in memory: the same bytes and the same chain, and faults on demand. For tests and worlds
that are simulated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from rollbackd.core.events import Event
from rollbackd.core.record import Head, JournalBroken, JournalFull, Recorded, Snapshot, Stamp, VerifyResult
from rollbackd.journal import snapshots
from rollbackd.journal.chain import CHECKPOINT, Row, Walker, behind, genesis, missing, recorded, rows_of
from rollbackd.journal.codec import CODEC, Codec


@dataclass
class Faults:
    """What the disk does, until it is switched back.

    full     an append finds no room
    broken   an append is written but its fsync fails: whether it lasts is not known
    unsynced an append is acknowledged but does not survive a crash (a disk that lies)
    """

    full: bool = False
    broken: bool = False
    unsynced: bool = False


class MemoryJournal:
    """See `SqliteJournal` for the contract."""

    def __init__(self, *, origin: str = "memory", code: str = "memory", codec: Codec = CODEC) -> None:
        self.faults = Faults()
        self._origin = origin
        self._code = code
        self._codec = codec
        self._rows: list[Row] = []
        self._let_go = 0
        self._durable = 0  # how many rows a crash leaves
        self._snapshot: bytes | None = None
        self._broken = False

    def append(self, events: Sequence[Event], stamp: Stamp) -> Head:
        if self._broken:
            raise JournalBroken("an earlier append failed; end the process and start again")
        rows = rows_of(
            events,
            stamp,
            seq=len(self._rows),
            batch=(self._rows[-1].batch if self._rows else 0) + 1,
            previous=self._hash(),
            codec=self._codec,
        )
        if not rows:
            return self.head()
        if self.faults.full:
            raise JournalFull("no room")
        self._rows.extend(rows)
        if any(row.kind == CHECKPOINT for row in rows):
            self._let_go = 0
        if self.faults.broken:
            self._broken = True
            raise JournalBroken("fsync failed")
        if not self.faults.unsynced:
            self._durable = len(self._rows)
        return self.head()

    def replay(self, after: int = 0, *, verify: bool = True) -> Iterator[Recorded]:
        rows: Iterator[Row] = iter(self._rows[after:])
        before = self._before(after)
        if before is None and after:
            raise JournalBroken(f"row {after} is missing; restore a backup")
        if verify:
            rows = Walker(self._origin, before, behind(self._checkpoint())).checked(rows)
        for row in rows:
            yield recorded(row, self._codec)

    def checkpoint(self) -> Recorded | None:
        row = self._checkpoint()
        return None if row is None else recorded(row, self._codec)

    def prune(self, limit: int) -> bool:
        if self._broken:
            raise JournalBroken("an earlier append failed; end the process and start again")
        what = behind(self._checkpoint())
        end = max(what.upto, what.seq - 1)
        if self._let_go >= end:
            return False
        if self.faults.full:
            raise JournalFull("no room")
        upto = min(self._let_go + limit, end)
        for place, row in enumerate(self._rows[self._let_go : upto], self._let_go):
            if what.lets_go(row):
                self._rows[place] = row._replace(body=None)
        self._let_go = upto
        return upto < end

    def life(self, life: str) -> list[Recorded]:
        return [recorded(row, self._codec) for row in self._rows if row.life == life]

    def recent(self, kind: str, limit: int, before: int | None = None) -> list[Recorded]:
        end = len(self._rows) if before is None else max(0, before - 1)
        newest = (row for row in reversed(self._rows[:end]) if row.kind == kind)
        return [recorded(row, self._codec) for row, _ in zip(newest, range(limit), strict=False)]

    def events(self, after: int, limit: int) -> list[Recorded]:
        return [recorded(row, self._codec) for row in self._rows[after : after + limit]]

    def rows(self, after: int = 0) -> list[Row]:
        """The stored rows after a seq, as they lie."""
        return self._rows[after:]

    def head(self) -> Head:
        return Head(seq=len(self._rows), hash=self._hash().hex())

    def last_stamp(self) -> Stamp | None:
        return self._rows[-1].stamp if self._rows else None

    def snapshot(self) -> Snapshot | None:
        snapshot = None if self._snapshot is None else snapshots.decode(self._snapshot)
        row = self._before(snapshot.head.seq) if snapshot else None
        return snapshots.usable(snapshot, self._code, row.hash.hex() if row else None)

    def save_snapshot(self, head: Head, state: bytes) -> None:
        if self.faults.full:
            raise JournalFull("no room")
        self._snapshot = snapshots.encode(Snapshot(head=head, code=self._code, state=state))

    def verify(self, after: int = 0, upto: int | None = None, *, anchor: Head | None = None) -> VerifyResult:
        before = self._before(after)
        walker = Walker(self._origin, before, behind(self._checkpoint()))
        if before is None and after:
            return walker.result(after, f"row {after} is missing", bad=after)
        for row in self._rows[after:upto]:
            why = walker.step(row)
            if why is not None:
                return walker.result(after, why)
        if anchor is not None:
            why = missing(self._origin, anchor, self._before(anchor.seq))
            return walker.result(after, why, bad=anchor.seq)
        return walker.result(after)

    def close(self) -> None:
        """Nothing to release."""

    def dump(self) -> bytes:
        """All it holds, for `load`."""
        return msgspec.msgpack.encode((self._rows[: self._durable], self._snapshot))

    @classmethod
    def load(
        cls, content: bytes, *, origin: str = "memory", code: str = "memory", codec: Codec = CODEC
    ) -> MemoryJournal:
        """What a restart would find. Nothing is verified: see `replay` and `verify`."""
        journal = cls(origin=origin, code=code, codec=codec)
        held = msgspec.msgpack.decode(content, type=tuple[list[Row], bytes | None])
        journal._rows, journal._snapshot = held
        journal._durable = len(journal._rows)
        return journal

    def _checkpoint(self) -> Row | None:
        return next((row for row in reversed(self._rows) if row.kind == CHECKPOINT), None)

    def _hash(self) -> bytes:
        return self._rows[-1].hash if self._rows else genesis(self._origin)

    def _before(self, after: int) -> Row | None:
        return self._rows[after - 1] if 0 < after <= len(self._rows) else None
