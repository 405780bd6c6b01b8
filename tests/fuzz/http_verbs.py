"""What arrives at the daemon's socket: an answer that is no defect of ours, or a closed connection.

The first byte chooses a route, of which the rest is the body; beyond the routes it is HTTP itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

from structlog.testing import capture_logs
from tests.web.scene import Scene

from rollbackd.metrics import Metrics
from rollbackd.web import bodies, serve
from rollbackd.web.daemon import Daemon

ROUTES = (
    *(f"/api/v1/rollbacks/api-1/{verb}" for verb in bodies.LIFE_VERBS),
    "/api/v1/rollouts",
    "/api/v1/rollouts/api/finish",
    "/api/v1/plans/api/start",
    "/api/v1/plans/api/rearm",
    "/api/v1/triggers/ApiErrors/rearm",
    "/api/v1/pauses",
    "/api/v1/pauses/end",
    "/-/reload",
)
SPOKEN = {200, 400, 404, 409}
"""What a verb is answered; anything else, 500 above all, is a defect."""

LARGEST = 1 << 20  # bytes of an answer


@dataclass
class _Renewed:
    """A daemon that is another for each input, behind one server."""

    scene: Scene = field(default_factory=Scene)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.scene, name)


class _Served(logging.Handler):
    """The server on a socket of its own, and what it and its loop complained of."""

    def __init__(self) -> None:
        super().__init__()
        self.complaints: list[str] = []
        self.daemon = _Renewed()
        self.path = Path(tempfile.mkdtemp(prefix="rollbackd-fuzz-")) / "d.sock"
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(repr(context)))
        logging.getLogger("rollbackd.web").addHandler(self)
        daemon, metrics = cast("Daemon", self.daemon), Metrics()
        self.loop.run_until_complete(serve(daemon, listen=None, socket=self.path, metrics=metrics))

    def emit(self, record: logging.LogRecord) -> None:
        self.complaints.append(self.format(record))

    async def exchange(self, sent: bytes, *, whole: bool) -> bytes:
        """What comes back until the server closes. Not `whole`: no more will follow, and we say so."""
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        try:
            writer.write(sent)
            if not whole:
                writer.write_eof()
            return await reader.read(LARGEST)
        except ConnectionError:
            return b""
        finally:
            writer.close()


@cache
def _served() -> _Served:
    return _Served()


def one(data: bytes) -> None:
    served = _served()
    served.daemon.scene = Scene()
    served.daemon.scene.fire()
    choice, body = (data[0] if data else 0), data[1:]
    spoken = choice < 2 * len(ROUTES)
    request = _request(choice, body) if spoken else body
    with capture_logs() as logs:
        answer = served.loop.run_until_complete(served.exchange(request, whole=spoken))
    told, served.complaints = served.complaints, []
    assert not logs, logs
    assert not told, told
    assert len(answer) < LARGEST
    if spoken:
        status = _status(answer)
        assert status in SPOKEN, answer
        document = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert document["status"] == ("success" if status == 200 else "error"), document
    else:
        assert not answer or _status(answer) != 500, answer


def _request(choice: int, body: bytes) -> bytes:
    seen = "If-Match: 1\r\n" if choice >= len(ROUTES) else ""
    head = f"POST {ROUTES[choice % len(ROUTES)]} HTTP/1.1\r\nHost: r\r\nContent-Length: {len(body)}\r\n{seen}"
    return f"{head}Connection: close\r\n\r\n".encode() + body


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])
