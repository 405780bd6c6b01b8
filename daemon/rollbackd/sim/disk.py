"""The disk under the journal: slow, full, lying, or gone in the middle of a write (faults 1, 10-12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from rollbackd.core.record import JournalBroken, JournalFull, Snapshot
from rollbackd.journal import snapshots
from rollbackd.journal.chain import Row
from rollbackd.journal.memory import MemoryJournal
from rollbackd.sim import tape

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from rollbackd.core.model import Ms
    from rollbackd.sim.chance import Chance
    from rollbackd.sim.happenings import Crash
    from rollbackd.sim.loop import SimulatedLoop

RESERVE = 40
"""Batches that the reserve file makes room for."""


TAMPERING = (
    *("a body edited", "an actor changed", "two rows swapped", "a row cut out", "the end cut"),
    "an old backup",
)
NOTHING = b"\x80"
"""A state of which nothing is known."""

_Content = tuple[list[Row], bytes | None]


class Disk:
    """Holds the journal's bytes between daemons; `perform` is the journal thread."""

    def __init__(
        self,
        loop: SimulatedLoop,
        chance: Chance,
        troubles: dict[str, Ms],
        crashes: tuple[Crash, ...],
        durable: Callable[[tuple[tape.Row, ...], Row], None],
        power_cut: Callable[[Crash], None],
        refused: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._chance = chance
        self._troubles = troubles
        self._crashes = {crash.append: crash for crash in crashes}
        self._durable = durable
        self._power_cut = power_cut
        self._refused = refused
        self._bytes = MemoryJournal().dump()
        self._told = 0  # rows whose being durable was told
        self._room = 0
        self.reserve = True
        self.appends = 0
        self.pid = 0
        self.journal = MemoryJournal()

    def open(self) -> MemoryJournal:
        """The journal as the next daemon process finds it."""
        self.pid += 1
        self.journal = MemoryJournal.load(self._bytes)
        return self.journal

    def power_off(self, *, machine: bool = False) -> None:
        """Keep what is durable. With the machine a snapshot may be damaged, and the next daemon may be of
        another version, to which a snapshot means something else (J3)."""
        self._bytes = self.journal.dump()
        if machine:
            rows, snapshot = msgspec.msgpack.decode(self._bytes, type=_Content)
            self._bytes = msgspec.msgpack.encode((rows, self._spoilt(snapshot)))

    def _spoilt(self, snapshot: bytes | None) -> bytes | None:
        known = snapshots.decode(snapshot) if snapshot is not None else None
        if snapshot is None or known is None:
            return snapshot
        match self._chance.pick(("whole", "bit", "other"), "snapshot", self.appends):
            case "bit":
                place = len(snapshot) * 3 // 4
                return snapshot[:place] + bytes([snapshot[place] ^ 1]) + snapshot[place + 1 :]
            case "other":
                return snapshots.encode(Snapshot(known.head, "another version", NOTHING))
        return snapshot

    def tampered(self) -> tuple[str, bool]:
        """Change a copy of the journal as somebody might, or an old backup: how, and whether it is found."""
        content = self.journal.dump()
        rows, _ = msgspec.msgpack.decode(content, type=_Content)
        head, place = self.journal.head(), self._chance.between(1, len(rows) - 2, "tampered")
        how = self._chance.pick(TAMPERING, "tampering")
        one, other = rows[place], rows[place - 1]
        match how:
            case "a body edited":
                rows[place] = one._replace(body=(one.body or b"")[:-1] + b" }")
            case "an actor changed":
                rows[place] = one._replace(actor="somebody")
            case "two rows swapped":
                rows[place - 1 : place + 1] = [one._replace(seq=other.seq), other._replace(seq=one.seq)]
            case "a row cut out":
                later = [row._replace(seq=row.seq - 1) for row in rows[place + 1 :]]
                rows[place:] = later
            case "the end cut":
                del rows[place:]
        spoilt = MemoryJournal.load(msgspec.msgpack.encode((rows, None)))
        if how != "an old backup":
            return how, spoilt.verify(anchor=head if how == "the end cut" else None).bad is not None
        beside = snapshots.encode(Snapshot(head, "memory", NOTHING))
        backup = MemoryJournal.load(msgspec.msgpack.encode((rows[:place], beside)))
        try:
            backup.snapshot()
        except JournalBroken:
            return how, True
        return how, False

    def free_reserve(self) -> bool:
        had, self.reserve = self.reserve, False
        self._room += RESERVE * had
        return had

    def perform(self, loop: SimulatedLoop, work: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        future = loop.create_future()
        self.appends += 1
        latency = self._chance.between(0, 3, "latency", self.appends)
        if "disk_slow" in self._troubles:
            latency = self._chance.between(1_500, 4_000, "slow", self.appends)
        self._loop.at(loop.now + latency, self._write, self.pid, self.appends, future, work, arguments)
        return future

    def _write(
        self, pid: int, number: int, future: asyncio.Future[Any], work: Callable[..., Any], arguments: Any
    ) -> None:
        if pid != self.pid:
            return  # the process died before its write reached the disk
        crash = self._crashes.get(number)
        if crash is not None and crash.mode != "after":
            self._power_cut(crash)
            return
        try:
            result = self._append(number, work, arguments)
        except (JournalFull, JournalBroken) as error:
            if isinstance(error, JournalFull):
                self._refused()
            if not future.done():
                future.set_exception(error)
            return
        self._tell()
        if crash is not None:
            self._power_cut(crash)
        elif not future.done() and pid == self.pid:
            future.set_result(result)

    def _append(self, number: int, work: Callable[..., Any], arguments: Any) -> Any:
        faults = self.journal.faults
        faults.full = "disk_full" in self._troubles and self._room <= 0
        self._room -= 1
        if "disk_breaks" in self._troubles:
            faults.broken = self._chance.yes(50, "breaks", number)
            if not faults.broken:  # it lasted after all, and nobody knows
                work(*arguments)
                self._tell()
                raise JournalBroken("fsync failed")
        return work(*arguments)

    def _tell(self) -> None:
        rows = self.journal.rows(self._told)
        if not rows:
            return
        self._told = rows[-1].seq
        found = tuple(
            tape.Row(row.seq, row.kind, row.life, msgspec.json.decode(row.body or b"{}")) for row in rows
        )
        self._durable(found, rows[0])
