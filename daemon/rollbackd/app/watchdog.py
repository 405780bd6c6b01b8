"""Feeding systemd's watchdog (fault 4): a loop that is stuck must starve it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from rollbackd.core.signals import Ticked

if TYPE_CHECKING:
    from rollbackd.core.model import Ms
    from rollbackd.driver import Loop


class Manager(Protocol):
    def watchdog(self) -> bool: ...

    def watchdog_interval(self) -> int | None: ...


async def feed(loop: Loop, manager: Manager) -> None:
    """For ever, where a manager wants it: only what the loop itself has done since counts, a signal
    taken, decided and, if need be, journalled."""
    interval = manager.watchdog_interval()
    if interval is None:
        return
    fed: Ms = 0
    while True:
        loop.post(Ticked())
        await asyncio.sleep(interval / 2000)
        if loop.progressed_at > fed:
            fed = loop.progressed_at
            manager.watchdog()
