"""Steady UTC, reckoned from what was recorded last (rule T1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from rollbackd.core.model import Ms
    from rollbackd.core.record import Stamp


class Steady(Struct, frozen=True):
    """Runs with CLOCK_BOOTTIME from one moment on, at which it said `base`."""

    base: Ms
    boottime: Ms

    @classmethod
    def after(cls, last: Stamp | None, *, boot: str, boottime: Ms, wall: Ms) -> Steady:
        """On the boot of `last` it goes on from there, whatever the wall clock says by now. After a
        reboot, on another machine, or where CLOCK_BOOTTIME went backwards (a restored container), it
        starts at the later of the wall clock and `last`: recorded time never runs backwards."""
        if last is None:
            return cls(wall, boottime)
        if last.boot == boot and last.boottime <= boottime:
            return cls(last.steady + boottime - last.boottime, boottime)
        return cls(max(wall, last.steady), boottime)

    def at(self, boottime: Ms) -> Ms:
        return self.base + boottime - self.boottime

    def boottime_of(self, steady: Ms) -> Ms:
        """CLOCK_BOOTTIME of this boot at that moment; negative for moments before it began."""
        return self.boottime + steady - self.base
