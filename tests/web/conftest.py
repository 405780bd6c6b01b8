"""The real server on a unix socket and on loopback, in front of a scene."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.web.scene import Scene

from rollbackd.web import Limits, Web, serve


@dataclass
class Served:
    scene: Scene
    web: Web
    unix: aiohttp.ClientSession
    tcp: aiohttp.ClientSession
    socket: Path

    async def get(self, path: str) -> Any:
        """The data of a successful answer, the same over both ways in."""
        async with self.unix.get(path) as one, self.tcp.get(path) as other:
            assert (one.status, other.status) == (200, 200), await one.text()
            document = await one.json()
            assert document == await other.json()
            assert document["status"] == "success"
            return document["data"]

    async def problem(self, path: str) -> tuple[int, str, str]:
        async with self.unix.get(path) as answer:
            document = await answer.json()
            assert document["status"] == "error"
            return answer.status, document["errorType"], document["error"]

    async def post(self, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        async with self.unix.post(path, json={} if body is None else body, headers=headers) as answer:
            return answer.status, await answer.json()


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
async def served(tmp_path: Path, scene: Scene, limits: Limits) -> AsyncIterator[Served]:
    socket = tmp_path / "d.sock"
    web = await serve(
        scene,
        listen=("127.0.0.1", 0),
        socket=socket,
        metrics=scene.metrics,
        external_url="https://rollbackd.example",
        limits=limits,
    )
    scene.web = web
    assert web.url is not None
    connector = aiohttp.UnixConnector(path=str(socket))
    async with (
        aiohttp.ClientSession("http://rollbackd", connector=connector) as unix,
        aiohttp.ClientSession(web.url) as tcp,
    ):
        yield Served(scene, web, unix, tcp, socket)
    await web.close()
    assert not socket.exists()


async def until(true: Callable[[], object], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
