"""Heads of the chain reach the log, a file and a URL, and failures are made up for (I13)."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from rollbackd.app.anchors import AGAIN, EACH, EACH_ROWS, Anchors
from rollbackd.core.record import Head
from rollbackd.journal.anchors import found_in
from rollbackd.settings import AuditSettings, WebhookSettings

UUID = "7f0c2a4e-5a3b-4d57-9a53-6c5ce3b1f001"
FIRST, SECOND = Head(7, "ab" * 32), Head(8, "cd" * 32)


class Place:
    """Where anchors are posted."""

    def __init__(self) -> None:
        self.status = 200
        self.bodies: list[bytes] = []
        self.signed: list[bool] = []

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        text = request.headers["X-Rollbackd-Timestamp"].encode() + b"." + body
        expected = "sha256=" + hmac.new(b"key", text, "sha256").hexdigest()
        self.signed.append(request.headers["X-Rollbackd-Signature"] == expected)
        return web.Response(status=self.status)


def anchors(settings: AuditSettings, told: list[tuple[str, bool]]) -> Anchors:
    return Anchors(UUID, settings, lambda: 1_000, lambda place, well: told.append((place, well)))


async def test_a_head_is_logged_once_and_appended_to_the_file(tmp_path: Path) -> None:
    file, told = tmp_path / "anchors", []  # type: ignore[var-annotated]
    publisher = anchors(AuditSettings(anchor_file=str(file)), told)
    assert await publisher.publish()
    assert not file.exists()
    with capture_logs() as logs:
        for head in (FIRST, FIRST, SECOND):
            publisher.seen(head)
            assert await publisher.publish()
    assert [line["head"] for line in logs if line["event"] == "anchor"] == [str(FIRST), str(SECOND)]
    lines = file.read_text().splitlines()
    assert list(found_in(lines)) == [FIRST, SECOND]
    assert lines[0] == f"1970-01-01T00:00:01.000Z {UUID} {FIRST}"
    assert told == [("file", True)] * 2
    await publisher.close()


async def test_a_head_is_posted_with_a_signature(tmp_path: Path) -> None:
    place, told = Place(), []  # type: ignore[var-annotated]
    app = web.Application()
    app.router.add_post("/", place.take)
    (tmp_path / "key").write_text("key\n")
    async with TestServer(app) as server:
        hook = WebhookSettings("anchor_url", str(server.make_url("/")), str(tmp_path / "key"))
        publisher = anchors(AuditSettings(anchor_url=hook), told)
        publisher.seen(FIRST)
        place.status = 403
        assert not await publisher.publish()
        place.status = 200
        publisher.seen(SECOND)  # of what could not be told the newest alone is
        assert await publisher.publish()
        await publisher.close()
    assert told == [("url", False), ("url", True)]
    assert place.signed == [True, True]
    assert list(found_in([place.bodies[1].decode()])) == [SECOND]
    assert json.loads(place.bodies[1]) == {
        "version": "rollbackd/v1",
        "kind": "anchor",
        "journal": UUID,
        "seq": 8,
        "hash": SECOND.hash,
        "at": "1970-01-01T00:00:01.000Z",
    }


async def test_a_file_that_cannot_be_written_is_tried_again_and_nothing_else_waits(tmp_path: Path) -> None:
    folder, told = tmp_path / "elsewhere", []  # type: ignore[var-annotated]
    publisher = anchors(AuditSettings(anchor_file=str(folder / "anchors")), told)
    publisher.seen(FIRST)
    with capture_logs() as logs:
        assert not await publisher.publish()
    assert [line["to"] for line in logs if line["log_level"] == "error"] == ["file"]
    folder.mkdir()
    assert await publisher.publish()
    assert told == [("file", False), ("file", True)]
    await publisher.close()


async def test_the_last_head_is_published_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "anchors"
    publisher = anchors(AuditSettings(anchor_file=str(file)), [])
    publisher.seen(FIRST)
    await publisher.close()
    assert list(found_in(file.read_text().splitlines())) == [FIRST]


async def test_another_file_gets_the_head_at_once(tmp_path: Path) -> None:
    publisher = anchors(AuditSettings(anchor_file=str(tmp_path / "one")), [])
    publisher.seen(FIRST)
    assert await publisher.publish()
    await publisher.renew(AuditSettings(anchor_file=str(tmp_path / "two")))
    assert await publisher.publish()
    assert [str(FIRST) in (tmp_path / name).read_text() for name in ("one", "two")] == [True, True]
    await publisher.close()


async def test_when_it_looks(tmp_path: Path) -> None:
    """Each hour, after a failure sooner, and as soon as there are a thousand rows more."""
    waits: list[float] = []
    steps = iter(["late", "failed", "due"])
    folder = tmp_path / "elsewhere"

    async def wait(due: Awaitable[object], seconds: float) -> object:
        waits.append(seconds)
        step = next(steps, None)
        if step is None:
            due.close()  # type: ignore[attr-defined]
            raise asyncio.CancelledError
        if step == "due":
            publisher.seen(Head(FIRST.seq + EACH_ROWS - 2, "cd" * 32))
            assert not publisher._due.is_set()
            folder.mkdir()
            publisher.seen(Head(FIRST.seq + EACH_ROWS, "ef" * 32))
            return await due
        due.close()  # type: ignore[attr-defined]
        raise TimeoutError

    publisher = Anchors(
        UUID, AuditSettings(anchor_file=str(folder / "x")), lambda: 1, lambda _place, _well: None, wait
    )
    publisher.seen(FIRST)
    with pytest.raises(asyncio.CancelledError):
        await publisher.run()
    assert waits == [EACH, AGAIN, AGAIN, EACH]
    assert len(list(found_in((folder / "x").read_text().splitlines()))) == 1
