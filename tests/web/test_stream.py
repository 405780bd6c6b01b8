"""The journal as events: live, resumable, and no client costs another anything."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from tests.web.conftest import Served

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.web import stream


async def frames(answer: aiohttp.ClientResponse, count: int) -> list[tuple[int, str, dict[str, Any]]]:
    """The next events: id, name, data."""
    found: list[tuple[int, str, dict[str, Any]]] = []
    block: dict[str, str] = {}
    async with asyncio.timeout(10):
        async for raw in answer.content:
            line = raw.decode().rstrip("\n")
            if line:
                key, _, value = line.partition(": ")
                block[key] = value
            elif "id" in block:
                found.append((int(block["id"]), block["event"], json.loads(block["data"])))
                block = {}
                if len(found) == count:
                    break
    return found


def journal(served: Served) -> list[tuple[int, str]]:
    return [(row.seq, row.kind) for row in served.scene.journal.replay()]


async def test_from_now_on(served: Served) -> None:
    before = served.scene.journal.head().seq
    async with served.unix.get("/api/v1/events") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        await answer.content.readline()
        served.scene.fire()
        expected = journal(served)[before:]
        found = await frames(answer, len(expected))
    assert [(seq, kind) for seq, kind, _ in found] == expected
    opened = next(data for _, kind, data in found if kind == "life_opened")
    assert opened["life"] == "api-1"
    assert opened["plan"] == "api"
    assert opened["triggers"] == ["ApiErrorRatioHigh"]
    assert opened["at"] == "2025-12-09T20:00:30.200Z"
    assert opened["actor"] == "rollbackd"


async def test_a_client_resumes_where_it_was(served: Served) -> None:
    served.scene.roll_back()
    expected = journal(served)
    async with served.unix.get("/api/v1/events", headers={"Last-Event-ID": "0"}) as answer:
        found = await frames(answer, len(expected))
    assert [(seq, kind) for seq, kind, _ in found] == expected
    last = expected[-3][0]
    async with served.tcp.get("/api/v1/events", headers={"Last-Event-ID": str(last)}) as answer:
        found = await frames(answer, 2)
    assert [(seq, kind) for seq, kind, _ in found] == expected[-2:]


async def test_whoever_falls_behind_the_tail_reads_the_journal(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BATCH", 3)
    async with served.unix.get("/api/v1/events?after=0") as answer:
        await answer.content.readline()
        served.scene.roll_back()
        expected = journal(served)
        found = await frames(answer, len(expected))
    assert [(seq, kind) for seq, kind, _ in found] == expected


async def test_too_many_listeners(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_CLIENTS", 1)
    async with served.unix.get("/api/v1/events"):
        status, kind, _ = await served.problem("/api/v1/events")
        assert (status, kind) == (503, "unavailable")


async def test_a_client_that_went_leaves_its_place(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_CLIENTS", 1)
    async with served.tcp.get("/api/v1/events") as answer:
        await answer.content.readline()
    async with asyncio.timeout(10):
        while True:
            async with served.tcp.get("/api/v1/events") as answer:
                if answer.status == 200:
                    break


async def test_an_id_that_is_none(served: Served) -> None:
    assert (await served.problem("/api/v1/events?after=-1"))[:2] == (400, "bad_data")


async def test_close_ends_the_streams(served: Served) -> None:
    async with served.unix.get("/api/v1/events") as answer:
        await answer.content.readline()
        await served.web.close()
        async with asyncio.timeout(10):
            await answer.content.read()


async def test_a_checkpoint_is_told_without_the_state_in_it(served: Served) -> None:
    """It is all there is, other people's environments included."""
    served.scene.fire()
    event = served.scene.take(s.CheckpointDue(3)).events[0]
    assert isinstance(event, e.Checkpoint)
    text = stream.frame(9, event.kind(), event, "rollbackd", outputs=True).decode()
    assert '"state":["api-1"]' in text
    assert len(text) < 300
