"""The machine's clocks (rule T1)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rollbackd.core.model import Ms
from rollbackd.core.record import Stamp
from rollbackd.core.steady import Steady

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def _wall() -> Ms:
    return time.time_ns() // 1_000_000


def _boottime() -> Ms:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def _boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()


class Clock:
    """`now` runs with CLOCK_BOOTTIME, suspend included, from the last recorded moment (see `Steady`)."""

    def __init__(
        self,
        last: Stamp | None = None,
        *,
        wall: Callable[[], Ms] = _wall,
        boottime: Callable[[], Ms] = _boottime,
        boot_id: Callable[[], str] = _boot_id,
    ) -> None:
        self._wall = wall
        self._boottime = boottime
        self.boot_id = boot_id()
        self._steady = Steady.after(last, boot=self.boot_id, boottime=boottime(), wall=wall())

    def now(self) -> Ms:
        """Steady UTC."""
        return self._steady.at(self._boottime())

    def wall(self) -> Ms:
        """The wall clock, for display only."""
        return self._wall()

    def boottime_of(self, steady: Ms) -> Ms:
        """CLOCK_BOOTTIME of this boot at that moment; negative for moments before it began."""
        return self._steady.boottime_of(steady)

    def stamp(self, epoch: int, actor: str) -> Stamp:
        boottime = self._boottime()
        return Stamp(self._steady.at(boottime), self._wall(), boottime, self.boot_id, epoch, actor)
