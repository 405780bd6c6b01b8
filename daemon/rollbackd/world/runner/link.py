"""The daemon's end of the helper: started once, started again when it dies."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import rollbackd
from rollbackd.world.runner.helper import PACKET_BYTES

PATIENCE = 5.0  # s, for a helper to take a request, or to end

_PROGRAM = (
    "import sys; sys.path.append(sys.argv[2]); "
    "from rollbackd.world.runner.helper import main; main(int(sys.argv[1]))"
)
_PACKAGES = os.fspath(Path(rollbackd.__file__).parents[1])


class Helper:
    """Asks for wrappers. Its environment is what a step may see of the daemon's: PATH, HOME, LANG."""

    def __init__(self, env: dict[str, str]) -> None:
        self._env = env
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = asyncio.Lock()
        self._closed = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        async with self._lock:
            await self._start()

    async def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = await asyncio.to_thread(self._spawn, theirs.fileno())
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * PACKET_BYTES)
        self._socket = ours
        return ours

    def _spawn(self, fd: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, str(fd), _PACKAGES],
            pass_fds=[fd],
            env=self._env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at the daemon's terminal is not for it
        )

    async def ask(self, request: bytes) -> socket.socket:
        """Have a wrapper made for the request: the connection to it, whose end means that it died.

        OSError where that cannot be done now. ValueError: the request is over 128 KiB.
        """
        if len(request) > PACKET_BYTES:
            raise ValueError(f"{len(request)} bytes of arguments and environment; at most {PACKET_BYTES}")
        async with self._lock:
            if self._closed:
                raise OSError("the runner is closed")
            requests = self._socket or await self._start()
            try:
                async with asyncio.timeout(PATIENCE):
                    return await _send(requests, request)
            except (ConnectionError, TimeoutError):
                await self._drop(patience=0)
                return await _send(await self._start(), request)

    async def replace(self) -> None:
        """End a helper that does not answer; the next request starts another."""
        async with self._lock:
            await self._drop(patience=0)

    async def _drop(self, patience: float) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None
        if self._process:
            process, self._process = self._process, None
            await asyncio.to_thread(_end, process, patience)

    async def close(self) -> None:
        """What was asked for is still done: the helper ends when it has read all of its socket."""
        self._closed = True
        async with self._lock:
            await self._drop(PATIENCE)


async def _send(requests: socket.socket, request: bytes) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with theirs:
        try:
            while True:
                try:
                    socket.send_fds(requests, [request], [theirs.fileno()])
                    return ours
                except BlockingIOError:
                    await _writable(requests)
        except BaseException:
            ours.close()
            raise


def _end(process: subprocess.Popen[bytes], patience: float) -> None:
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def _writable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(sock, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_writer(sock)
