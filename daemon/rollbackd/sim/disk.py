"""The disk under the journal: slow, full, lying, or gone in the middle of a write (faults 1, 10-12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from rollbackd.core.record import JournalBroken, JournalFull
from rollbackd.journal.memory import MemoryJournal
from rollbackd.sim import tape

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from rollbackd.core.model import Ms
    from rollbackd.journal.chain import Row
    from rollbackd.sim.chance import Chance
    from rollbackd.sim.happenings import Crash
    from rollbackd.sim.loop import SimulatedLoop

RESERVE = 40
"""Batches that the reserve file makes room for."""


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
    ) -> None:
        self._loop = loop
        self._chance = chance
        self._troubles = troubles
        self._crashes = {crash.append: crash for crash in crashes}
        self._durable = durable
        self._power_cut = power_cut
        self._bytes = MemoryJournal().dump()
        self._told = 0  # rows whose being durable was told
        self._room = 0
        self.reserve = True
        self.appends = 0
        self.refusals = 0
        self.pid = 0
        self.journal = MemoryJournal()

    def open(self) -> MemoryJournal:
        """The journal as the next daemon process finds it."""
        self.pid += 1
        self.journal = MemoryJournal.load(self._bytes)
        return self.journal

    def power_off(self) -> None:
        """Keep what is durable."""
        self._bytes = self.journal.dump()

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
            self.refusals += 1
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
