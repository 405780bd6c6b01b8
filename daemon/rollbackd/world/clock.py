"""Steady UTC (rule T1)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rollbackd.core.model import Ms
from rollbackd.core.record import Stamp

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def _wall() -> Ms:
    return time.time_ns() // 1_000_000


def _boottime() -> Ms:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def _boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()


class Clock:
    """`now` runs with CLOCK_BOOTTIME, suspend included, from the last recorded moment (T1).

    On the boot of `last` it goes on from there, whatever the wall clock says by now. After a reboot,
    on another machine, or where CLOCK_BOOTTIME went backwards (a restored container), it starts at
    the later of the wall clock and `last`: recorded time never runs backwards.
    """

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
        self._base_boottime = boottime()
        if last is None:
            self._base = wall()
        elif last.boot == self.boot_id and last.boottime <= self._base_boottime:
            self._base = last.steady + self._base_boottime - last.boottime
        else:
            self._base = max(wall(), last.steady)

    def now(self) -> Ms:
        """Steady UTC."""
        return self._base + self._boottime() - self._base_boottime

    def wall(self) -> Ms:
        """The wall clock, for display only."""
        return self._wall()

    def boottime_of(self, steady: Ms) -> Ms:
        """CLOCK_BOOTTIME of this boot at that moment; negative for moments before it began."""
        return self._base_boottime + steady - self._base

    def stamp(self, epoch: int, actor: str) -> Stamp:
        boottime = self._boottime()
        steady = self._base + boottime - self._base_boottime
        return Stamp(steady, self._wall(), boottime, self.boot_id, epoch, actor)
