"""A small, fast stand-in for Prometheus' query API, on a thread of its own.

    with Stub(answers) as stub:
        … stub.url …

`answers(expr, at)` gives the samples of an expression at a moment (s): label pairs → value. The same
body may be answered again and again without being made anew: see `Answer`.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Self
from urllib.parse import parse_qs

Labels = tuple[tuple[str, str], ...]
Answers = Callable[[str, float], "Mapping[Labels, float] | bytes"]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
SUCCESS = b'{"status":"success","data":{"resultType":"%s","result":%s}}'


def vector(samples: Mapping[Labels, float], at: float) -> bytes:
    """The body that answers an instant query."""
    result = [
        {"metric": dict(labels), "value": [round(at, 3), f"{value:.15g}"]}
        for labels, value in samples.items()
    ]
    return SUCCESS % (b"vector", json.dumps(result, separators=(",", ":")).encode())


class Stub:
    """Use it as a context manager. `written[expr, ms]`: when (s, wall clock) that window's answer left."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="stub", daemon=True)
        self._listening = threading.Event()
        self.written: dict[tuple[str, int], float] = {}
        self.asked = 0
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        )
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._listening.set()
        try:
            self._loop.run_forever()
        finally:
            server.close()
            self._loop.close()

    def answer(self, path: str, form: dict[str, list[str]]) -> tuple[bytes, tuple[str, int] | None]:
        """The body, and which window it was; the clock (`time()`) is none."""
        expr = form["query"][0]
        if expr == "time()":
            now = time.time()
            return SUCCESS % (b"scalar", b'[%.3f,"%.3f"]' % (now, now)), None
        self.asked += 1
        if path == "/api/v1/query_range":
            return self._matrix(expr, form), None
        at = float(form["time"][0]) if "time" in form else time.time()
        found = self._answers(expr, at)
        return found if isinstance(found, bytes) else vector(found, at), (expr, round(at * 1000))

    def _matrix(self, expr: str, form: dict[str, list[str]]) -> bytes:
        start, end = (float(form[name][0]) for name in ("start", "end"))
        step = float(form["step"][0].removesuffix("ms")) / 1000  # as rollbackd writes it
        series: dict[Labels, list[tuple[float, str]]] = {}
        for index in range(round((end - start) / step) + 1):
            at = start + index * step
            found = self._answers(expr, at)
            if isinstance(found, bytes):
                raise TypeError("a prepared body answers one moment alone")
            for labels, value in found.items():
                series.setdefault(labels, []).append((at, f"{value:.15g}"))
        result = [{"metric": dict(labels), "values": values} for labels, values in series.items()]
        return SUCCESS % (b"matrix", json.dumps(result).encode())


class _Connection(asyncio.Protocol):
    """HTTP/1.1, as far as one client needs it."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            request, *lines = head.split(b"\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(b":") for line in lines)}
            length = int(headers.get(b"content-length", b"0"))
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self._respond(request.split(b" ")[1].decode(), rest[:length].decode())

    def _respond(self, path: str, form: str) -> None:
        body, window = self._stub.answer(path, parse_qs(form))
        self._transport.write(HEAD % len(body) + body)
        if window is not None:
            self._stub.written[window] = time.time()
