"""Telling people that nothing is done any more, because the record fails (E5)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

from rollbackd.core.effects import Page
from rollbackd.world.clock import Clock
from rollbackd.world.receivers import Receivers

if TYPE_CHECKING:
    from rollbackd.app.lastgood import WorldSettings
    from rollbackd.core.model import Ms
    from rollbackd.journal.statedir import StateDir

log = structlog.get_logger()

PAGES_GET = 5.0
"""s: how long pages about a broken journal may take before the process ends."""

REPEAT = 15 * 60.0
"""s: a service manager starts us every second; who ends as the one before did pages no more often."""

FULL = "rollbackd has stopped acting: its journal cannot be written"
BROKEN = "rollbackd has stopped acting: its journal failed"


def page_of(receiver: str, title: str, text: str, instance: str, began: Ms) -> Page:
    return Page(
        page="halt/journal",
        receiver=receiver,
        status="firing",
        dedup="halt/journal",
        alert="RollbackdHalt",
        title=title,
        text=f"{text}\nIf nobody acts: no rollback begins and none goes on.",
        labels={"instance": instance, "severity": "critical", "rung": "0"},
        annotations={},
        began=began,
    )


def tell_of_a_start(state_dir: StateDir, settings: WorldSettings, instance: str, reason: str) -> None:
    """Page every receiver that nothing can start on this journal, if that is `due`."""
    log.critical("halt", reason=reason)
    if not due(state_dir, reason):
        return
    asyncio.run(_tell(state_dir, settings, instance, reason))


def due(state_dir: StateDir, reason: str) -> bool:
    """Whether people are to be told of this end: not of the same one within `REPEAT`."""
    try:
        told, age = state_dir.halt.read_text(errors="replace"), time.time() - state_dir.halt.stat().st_mtime
    except OSError:
        told, age = "", 0.0
    if told == reason and 0 <= age < REPEAT:
        return False
    try:
        state_dir.halt.write_text(reason)
    except OSError as error:
        log.error("nothing will keep the next one from paging again", error=str(error))
    return True


async def _tell(state_dir: StateDir, settings: WorldSettings, instance: str, reason: str) -> None:
    clock = Clock()
    receivers = Receivers(settings.receivers, clock.now, clock.wall)
    told = [
        asyncio.create_task(receivers.deliver(_addressed(state_dir, receiver.name, instance, reason, clock)))
        for receiver in settings.receivers
    ]
    if told:
        done, late = await asyncio.wait(told, timeout=PAGES_GET)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for answer in (task.result() for task in done):
            if not answer.accepted:
                log.error("halt page refused", receiver=answer.receiver, detail=answer.detail)
    await receivers.close()


def _addressed(state_dir: StateDir, receiver: str, instance: str, reason: str, clock: Clock) -> Page:
    page = page_of(receiver, BROKEN, f"It cannot start on {state_dir.path}: {reason}", instance, clock.now())
    return replace(page, dedup=f"{state_dir.uuid}/{page.dedup}")
