"""The journal as server-sent events, live and resumable."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import ClientConnectionResetError, web

from rollbackd.core.model import Config, Plan, Trigger
from rollbackd.core.state import State
from rollbackd.web.answers import HEADERS, Problem
from rollbackd.web.views import rfc3339

if TYPE_CHECKING:
    from rollbackd.core.engine import Advance
    from rollbackd.core.events import Event
    from rollbackd.core.record import Head
    from rollbackd.web.daemon import Daemon

MOST_CLIENTS = 64
KEPT = 1_000
"""Events kept at hand for those who listen; who is further behind reads the journal."""

OUTPUTS = frozenset({"output"})
BATCH = 200
HEARTBEAT = 15.0
WRITTEN_WITHIN = 30.0
"""s: a client that takes nothing for so long is cut off."""


class Stream:
    """Shared by all clients of one listener: each has only a place in it, so a slow one costs no memory."""

    def __init__(self, daemon: Daemon, *, outputs: bool) -> None:
        """`outputs`: with what checks and steps printed, which may hold secrets."""
        self._daemon = daemon
        self._outputs = outputs
        self._clients = 0
        self._tail: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self._changed = asyncio.Event()
        self._closing = False

    def committed(self, advance: Advance, head: Head | None) -> None:
        """A batch is durable; `head` is None where it was empty."""
        if head is None:
            return
        if not self._clients:
            self._tail.clear()
            return
        first = head.seq - len(advance.events) + 1
        for seq, event in enumerate(advance.events, first):
            self._tail.append((seq, self._frame(seq, event.kind(), event, advance.actor)))
        self._wake()

    def close(self) -> None:
        self._closing = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self._clients >= MOST_CLIENTS:
            raise Problem("unavailable", f"{MOST_CLIENTS} clients listen already; close one")
        after = _after(request)
        self._clients += 1
        try:
            place = after if after is not None else (await self._daemon.head()).seq
            response = web.StreamResponse(
                headers={**HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
            )
            await response.prepare(request)
            await self._send(request, response, place)
            return response
        finally:
            self._clients -= 1

    async def _send(self, request: web.Request, response: web.StreamResponse, place: int) -> None:
        """Until the client goes, or the daemon."""
        try:
            await _write(response, b"retry: 2000\n\n")
            while not self._closing:
                changed = self._changed
                place, frames = await self._next(place)
                if frames:
                    await _write(response, b"".join(frames))
                    continue
                try:
                    async with asyncio.timeout(HEARTBEAT):
                        await changed.wait()
                except TimeoutError:
                    await _write(response, b": still here\n\n")
        except (ClientConnectionResetError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()

    async def _next(self, place: int) -> tuple[int, list[bytes]]:
        """What comes after `place`: from the tail where it reaches back so far, else from the journal."""
        if self._tail and self._tail[0][0] <= place + 1:
            if self._tail[-1][0] <= place:
                return place, []
            found = [entry for entry in self._tail if entry[0] > place][:BATCH]
            return found[-1][0], [text for _, text in found]
        rows = await self._daemon.events(place, BATCH)
        if not rows:
            return place, []
        return rows[-1].seq, [self._frame(row.seq, row.kind, row.event, row.stamp.actor) for row in rows]

    def _frame(self, seq: int, kind: str, event: Event | None, actor: str) -> bytes:
        return frame(seq, kind, event, actor, outputs=self._outputs)


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITTEN_WITHIN):
        await response.write(data)


def _after(request: web.Request) -> int | None:
    text = request.headers.get("Last-Event-ID", request.query.get("after", ""))
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Problem("bad_data", "Last-Event-ID: expected the id of an event that was received")
    return int(text)


def frame(seq: int, kind: str, event: Event | None, actor: str, *, outputs: bool) -> bytes:
    """One event: `id`, `event` and one line of JSON."""
    name = re.sub(r"[^a-z0-9_]", "_", kind)
    return (
        f"id: {seq}\nevent: {name}\ndata: ".encode()
        + msgspec.json.encode({"seq": seq, "kind": kind, "actor": actor, **_fields(event, outputs)})
        + b"\n\n"
    )


def _fields(event: Event | None, outputs: bool) -> dict[str, Any]:
    """Its fields; whole documents by name: they are in the journal."""
    if event is None:
        return {"at": None, "life": None}
    names = (name for name in event.__struct_fields__ if outputs or name not in OUTPUTS)
    fields = {name: _brief(getattr(event, name)) for name in names}
    return {"life": None, **fields, "at": rfc3339(event.at)}


def _brief(value: object) -> object:
    match value:
        case Plan() | Trigger():
            return value.name
        case Config():
            return value.hash
        case State():
            return list(value.lives)
        case dict() if any(isinstance(one, Trigger) for one in value.values()):
            return list(value)
        case _:
            return value
