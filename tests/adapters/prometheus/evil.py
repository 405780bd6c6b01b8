"""A server that claims to be Prometheus and misbehaves as the test says."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs

Form = dict[str, list[str]]
Behave = Callable[[Form, asyncio.StreamWriter], Awaitable[None]]


def http(body: bytes, status: int = 200, **headers: str) -> bytes:
    """A whole response; `headers` with underscores for dashes."""
    fields = {"Content_Type": "application/json", "Content_Length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return f"HTTP/1.1 {status} X\r\n".encode() + "\r\n".join([*lines, "", ""]).encode() + body


def vector(*series: tuple[dict[str, str], str], **more: Any) -> bytes:
    result = [{"metric": labels, "value": [1.0, value]} for labels, value in series]
    data = {"resultType": "vector", "result": result}
    return json.dumps({"status": "success", "data": data, **more}).encode()


def failure(kind: str, text: str) -> bytes:
    return json.dumps({"status": "error", "errorType": kind, "error": text}).encode()


def says(response: bytes) -> Behave:
    async def behave(_: Form, writer: asyncio.StreamWriter) -> None:
        writer.write(response)
        await writer.drain()

    return behave


def cuts(response: bytes) -> Behave:
    """Sends it and closes the connection."""

    async def behave(_: Form, writer: asyncio.StreamWriter) -> None:
        writer.write(response)
        await writer.drain()
        writer.close()

    return behave


@dataclass
class Evil:
    """`behave` answers every query but `time()`, which tells the time plus `skew` seconds, unless
    `clock` answers it."""

    behave: Behave
    skew: float = 0.0
    clock: Behave | None = None
    tls: ssl.SSLContext | None = None
    asked: list[str] = field(default_factory=list)
    forms: list[Form] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        port = self._server.sockets[0].getsockname()[1]
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    int(line.split(":")[1])
                    for line in head.split("\r\n")
                    if line.lower().startswith("content-length")
                )
                await self._answer(head, parse_qs((await reader.readexactly(length)).decode()), writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return  # the client, or the test, has seen enough
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, head: str, form: Form, writer: asyncio.StreamWriter) -> None:
        expr = form["query"][0]
        self.asked.append(expr)
        self.forms.append(form)
        self.heads.append(head)
        if expr == "time()":
            await (self.clock or self._tell_time)(form, writer)
            return
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await self.behave(form, writer)
        finally:
            self.at_once -= 1

    async def _tell_time(self, _: Form, writer: asyncio.StreamWriter) -> None:
        now = time.time() + self.skew
        data = {"resultType": "scalar", "result": [now, f"{now:.3f}"]}
        writer.write(http(json.dumps({"status": "success", "data": data}).encode()))
        await writer.drain()
