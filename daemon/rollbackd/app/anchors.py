"""Publishes where the chain ends, so that a cut or a new history can be shown from outside (I13).

Each `EACH_ROWS` rows, each hour in which something was recorded, and at the end: in the log, and to the file
and the URL that the configuration names. One that cannot be told is told later, of the newest head alone.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import msgspec
import structlog

from rollbackd.journal import files
from rollbackd.journal.anchors import line
from rollbackd.world.client import origin
from rollbackd.world.receivers.post import Patience, Reserve
from rollbackd.world.receivers.webhook import VERSION, Webhook, moment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rollbackd.core.model import Ms
    from rollbackd.core.record import Head
    from rollbackd.settings import AuditSettings

    Place = Literal["file", "url"]
    Told = Callable[[Place, bool], None]

log = structlog.get_logger()

EACH_ROWS = 1_000
EACH = 3600.0
AGAIN = 60.0
"""s"""

LAST_GETS = 5.0
"""s: how long the last heads may take at the end."""


class Anchors:
    """One journal's. `seen` is called with every head; `told` hears how each publication went."""

    def __init__(
        self,
        uuid: str,
        settings: AuditSettings,
        wall: Callable[[], Ms],
        told: Told,
        wait: Callable[[Awaitable[object], float], Awaitable[object]] = asyncio.wait_for,
    ) -> None:
        self._uuid = uuid
        self._wall = wall
        self._told = told
        self._wait = wait
        self._head: Head | None = None
        self._logged = 0
        self._at: dict[Place, int] = {}  # the last row published there
        self._due = asyncio.Event()
        self._settings = settings
        self._hook = self._made()

    def seen(self, head: Head) -> None:
        self._head = head
        self._logged = self._logged or head.seq - 1
        if head.seq - self._logged >= EACH_ROWS:
            self._due.set()

    async def renew(self, settings: AuditSettings) -> None:
        """Publish there from now on."""
        if settings == self._settings:
            return
        old, self._settings = self._hook, settings
        self._hook = self._made()
        self._at = {}
        if old is not None:
            await old.close()

    async def run(self) -> None:
        """For ever."""
        pause = EACH
        while True:
            with suppress(TimeoutError):
                await self._wait(self._due.wait(), pause)
            self._due.clear()
            pause = EACH if await self.publish() else AGAIN

    async def publish(self) -> bool:
        """Wherever the newest head is not yet; whether it is everywhere now."""
        head = self._head
        if head is None:
            return True
        if self._logged < head.seq:
            self._logged = head.seq
            log.info("anchor", journal=self._uuid, head=str(head))
        places: list[tuple[Place, Awaitable[None]]] = []
        if self._settings.anchor_file is not None and self._at.get("file") != head.seq:
            places.append(("file", asyncio.to_thread(self._write, self._settings.anchor_file, head)))
        if self._hook is not None and self._at.get("url") != head.seq:
            places.append(("url", self._hook.send(self._document(head))))
        done = await asyncio.gather(*(work for _, work in places), return_exceptions=True)
        for (place, _), error in zip(places, done, strict=True):
            if isinstance(error, asyncio.CancelledError):
                raise error
            if isinstance(error, BaseException):
                log.error("anchor not published", to=place, error=origin(error))
            else:
                self._at[place] = head.seq
            self._told(place, error is None)
        return not any(done)

    async def close(self) -> None:
        """The last heads, as far as they get out in time."""
        try:
            async with asyncio.timeout(LAST_GETS):
                await self.publish()
        except TimeoutError:
            log.error("anchor not published", to="all in time")
        if self._hook is not None:
            await self._hook.close()

    def _made(self) -> Webhook | None:
        said = self._settings.anchor_url
        return None if said is None else Webhook(said, self._wall, Patience(), Reserve(0))

    def _document(self, head: Head) -> bytes:
        return msgspec.json.encode(
            {
                "version": VERSION,
                "kind": "anchor",
                "journal": self._uuid,
                "seq": head.seq,
                "hash": head.hash,
                "at": moment(self._wall()),
            }
        )

    def _write(self, file: str, head: Head) -> None:
        files.append_line(file, line(moment(self._wall()), self._uuid, head))
