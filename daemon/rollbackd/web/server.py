"""Listens: over TCP for reading, on the unix socket for reading and acting (fault 67)."""

from __future__ import annotations

import asyncio
import logging
import os
import socket as sockets
import stat
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog
from aiohttp import ClientConnectionResetError, web
from aiohttp.http_exceptions import HttpProcessingError

from rollbackd.web.answers import HEADERS, POLICY, ErrorType, Problem, failure
from rollbackd.web.reading import Reading
from rollbackd.web.speaking import Speaking
from rollbackd.web.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiohttp.typedefs import Handler, Middleware

    from rollbackd.core.engine import Advance
    from rollbackd.core.record import Head
    from rollbackd.metrics import Metrics
    from rollbackd.web.daemon import Daemon

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may take. Seconds, bytes."""

    idle: float = 15.0  # a connection that sends no whole request for so long is closed
    body_within: float = 5.0
    taken_within: float = 30.0  # an answer that is not taken by then is cut off
    body: int = 64 * 1024
    connections: int = 128  # on each listener


class Web:
    """The running server. `url` is None where it does not listen on TCP."""

    def __init__(self, *streams: Stream) -> None:
        self.url: str | None = None
        self._streams = streams
        self._runners: list[web.AppRunner] = []
        self._servers: list[asyncio.Server] = []
        self._socket: tuple[Path, int] | None = None

    def committed(self, advance: Advance, head: Head | None) -> None:
        """Tell those who listen to the events; the driver's observer calls it after each batch."""
        for stream in self._streams:
            stream.committed(advance, head)

    async def close(self) -> None:
        """Accept nothing more, end the streams, let running requests finish shortly."""
        for server in self._servers:
            server.close()
        for stream in self._streams:
            stream.close()
        for runner in self._runners:
            await runner.cleanup()
        if self._socket is not None:
            _unlink(*self._socket)

    async def listen_tcp(self, runner: web.AppRunner, host: str, port: int, limits: Limits) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(await self._crowd(runner, limits), host, port)
        self._servers.append(server)
        bound = server.sockets[0].getsockname()
        name = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        self.url = f"http://{name}:{bound[1]}"

    async def listen_unix(self, runner: web.AppRunner, path: Path, limits: Limits) -> None:
        sock, inode = bind_unix(path)
        self._socket = (path, inode)
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(await self._crowd(runner, limits), sock=sock)
        self._servers.append(server)

    async def _crowd(self, runner: web.AppRunner, limits: Limits) -> Callable[[], asyncio.Protocol]:
        """Connections up to the limit; more are closed at once, so that descriptors are left (fault 7)."""
        await runner.setup()
        self._runners.append(runner)
        server = runner.server
        if server is None:
            raise RuntimeError("the runner was set up and has no server")

        def protocol() -> asyncio.Protocol:
            return server() if len(server.connections) < limits.connections else _TurnedAway()

        return protocol


class _TurnedAway(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


async def serve(
    daemon: Daemon,
    *,
    listen: tuple[str, int] | None,
    socket: Path,
    metrics: Metrics,
    external_url: str | None = None,
    limits: Limits | None = None,
) -> Web:
    """Listen until `close`. OSError: an address is taken or may not be used; says which."""
    limits = limits or Limits()
    local, remote = Stream(daemon, outputs=True), Stream(daemon, outputs=False)
    served = Web(local, remote)
    try:
        acting = _application(daemon, metrics, local, limits, verbs=True, hosts=None)
        await served.listen_unix(_runner(acting, limits), socket, limits)
        if listen is not None:
            host, port = listen
            hosts = _hosts(host, external_url)
            reading = _application(daemon, metrics, remote, limits, verbs=False, hosts=hosts)
            await served.listen_tcp(_runner(reading, limits), host, port, limits)
    except BaseException:
        await served.close()
        raise
    return served


def _application(
    daemon: Daemon,
    metrics: Metrics,
    stream: Stream,
    limits: Limits,
    *,
    verbs: bool,
    hosts: frozenset[str] | None,
) -> web.Application:
    app = web.Application(middlewares=[_guard(hosts, limits)], client_max_size=limits.body)
    app.add_routes(Reading(daemon, metrics).routes())
    app.add_routes([web.get("/api/v1/events", stream.handle)])
    app.add_routes(Speaking(daemon, limits.body_within).routes(allowed=verbs))
    return app


def _runner(app: web.Application, limits: Limits) -> web.AppRunner:
    return web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=limits.idle,
        lingering_time=1.0,
        shutdown_timeout=2.0,
        auto_decompress=False,  # a small body may hold a huge one
        logger=_quiet_logger(),
    )


def _quiet_logger() -> logging.Logger:
    """Clients that send what is no HTTP, or are gone before their answer, fill no log."""
    logger = logging.getLogger("rollbackd.web")
    if not logger.filters:
        logger.addFilter(_is_ours)
    return logger


def _is_ours(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], _THEIRS)


_THEIRS = (HttpProcessingError, ClientConnectionResetError)


# Every request


def _guard(hosts: frozenset[str] | None, limits: Limits) -> Middleware:
    """Problems become JSON, never tracebacks; `hosts` are the names we go by (DNS rebinding)."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            _admit(request, hosts, limits)
            response = await handler(request)
        except Problem as problem:
            response = failure(problem)
            if problem.status in (408, 413):
                response.force_close()
        except web.HTTPException as error:
            response = _failed(error, request.app)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            log.exception("request failed", method=request.method, path=request.path)
            response = failure(Problem("internal", "a defect; the daemon's log has the details"))
        if not response.prepared:
            await _deliver(request, response, limits)
        return response

    return guard


def _admit(request: web.Request, hosts: frozenset[str] | None, limits: Limits) -> None:
    if hosts is not None and not _known(request.headers.get("Host", ""), hosts):
        raise Problem(
            "bad_data", "unknown Host; use 127.0.0.1 or localhost, or set web.external_url to this name", 403
        )
    if request.content_length is not None and request.content_length > limits.body:
        raise Problem("bad_data", f"the body is over {limits.body} bytes", 413)


async def _deliver(request: web.Request, response: web.StreamResponse, limits: Limits) -> None:
    """Send it; whoever does not take it in time is cut off."""
    own = response.headers.get(POLICY)
    response.headers.update(HEADERS if own is None else {**HEADERS, POLICY: own})
    try:
        async with asyncio.timeout(limits.taken_within):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()


_KINDS: dict[int, ErrorType] = {404: "not_found"}


def _failed(error: web.HTTPException, app: web.Application) -> web.Response:
    paths = sorted(each.canonical for each in app.router.resources())
    text = {
        404: f"there is nothing here; there is {', '.join(dict.fromkeys(paths))}",
        405: "this method is not allowed here",
        413: "the body is too large",
    }.get(error.status, error.reason)
    response = failure(Problem(_KINDS.get(error.status, "bad_data"), text, error.status))
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


# Names and sockets


def _hosts(host: str, external_url: str | None) -> frozenset[str]:
    names = {"localhost", host.lower().strip("[]")}
    if external_url is not None:
        names.add((urlsplit(external_url).hostname or "").lower())
    return frozenset(names - {""})


def _known(header: str, hosts: frozenset[str]) -> bool:
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    if name in hosts:
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def bind_unix(path: Path) -> tuple[sockets.socket, int]:
    """A socket and its inode, for owner and group (0660) from its first moment on. One that a daemon left
    behind is replaced: who holds the state directory's lock is the only daemon."""
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()
        sock = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        try:
            before = os.umask(0o117)
            try:
                sock.bind(str(path))
            finally:
                os.umask(before)
            inode = path.stat().st_ino
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise OSError(error.errno, f"{path}: cannot listen: {error.strerror or error}") from error
    sock.setblocking(False)
    return sock, inode


def _unlink(path: Path, inode: int) -> None:
    """Remove our socket, and no other that has taken its place."""
    if path.exists() and path.stat().st_ino == inode:
        path.unlink()
