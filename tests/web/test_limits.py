"""Faults 7 and 67: slow and huge requests, crowds, foreign names."""

from __future__ import annotations

import asyncio
import select
import socket
import zlib

import pytest
from tests.web.conftest import Served, until
from tests.web.scene import config, trigger

from rollbackd.core import signals as s
from rollbackd.web import Limits


@pytest.fixture
def limits() -> Limits:
    return Limits(idle=0.3, body_within=0.3, taken_within=0.3, connections=8)


async def raw(served: Served, text: bytes) -> bytes:
    """What the unix socket answers until it hangs up."""
    reader, writer = await asyncio.open_unix_connection(str(served.socket))
    try:
        writer.write(text)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


async def test_a_huge_body_is_refused(served: Served) -> None:
    served.scene.fire()
    async with served.unix.post("/api/v1/rollbacks/api-1/hold", data=b"x" * 70_000) as answer:
        assert answer.status == 413
        assert (await answer.json())["errorType"] == "bad_data"


async def test_a_huge_body_in_chunks_is_refused(served: Served) -> None:
    async def endless() -> object:
        for _ in range(100):
            yield b"x" * 1_000

    served.scene.fire()
    async with served.unix.post("/api/v1/rollbacks/api-1/hold", data=endless()) as answer:
        assert answer.status == 413


async def test_a_small_body_that_unpacks_to_a_huge_one_is_not_unpacked(served: Served) -> None:
    served.scene.fire()
    body = zlib.compress(b" " * 50_000_000)
    headers = {"Content-Encoding": "deflate"}
    async with served.unix.post("/api/v1/rollbacks/api-1/hold", data=body, headers=headers) as answer:
        assert answer.status == 400


async def test_headers_that_never_end(served: Served) -> None:
    assert await raw(served, b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nX-A: ") == b""


async def test_silence(served: Served) -> None:
    assert await raw(served, b"") == b""


async def test_a_body_that_never_comes(served: Served) -> None:
    served.scene.fire()
    head = b"POST /api/v1/rollbacks/api-1/hold HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"
    answer = await raw(served, head)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert served.scene.spoken == []


async def test_keep_alive_is_bounded(served: Served) -> None:
    answer = await raw(served, b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "text",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /-/reload HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["a huge header", "a huge path", "TLS", "two lengths"],
)
async def test_what_is_no_http(served: Served, caplog: pytest.LogCaptureFixture, text: bytes) -> None:
    answer = await raw(served, text)
    assert answer.split(b" ")[1] == b"400"
    assert b"Traceback" not in answer
    assert caplog.records == []


async def test_who_is_gone_before_the_answer(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = await asyncio.open_unix_connection(str(served.socket))
    writer.write(b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    assert caplog.records == []


async def test_a_crowd_is_turned_away_and_the_socket_stays_free(served: Served) -> None:
    assert served.web.url is not None
    host, port = served.web.url.removeprefix("http://").split(":")
    crowd = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
    ended = [asyncio.create_task(reader.read()) for reader, _ in crowd]
    try:
        await until(lambda: sum(task.done() for task in ended) >= 12)
        async with served.unix.get("/-/healthy") as answer:
            assert answer.status == 200
        await until(lambda: all(task.done() for task in ended))
    finally:
        for _, writer in crowd:
            writer.close()
        await asyncio.gather(*ended, return_exceptions=True)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:9797", 200),
        ("127.1.2.3", 200),
        ("[::1]:9797", 200),
        ("rollbackd.example", 200),
        ("ROLLBACKD.example:443", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
async def test_foreign_names_are_refused_over_tcp(served: Served, host: str, status: int) -> None:
    async with served.tcp.get("/api/v1/rollbacks", headers={"Host": host}) as answer:
        assert answer.status == status
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_what_is_not_there(served: Served) -> None:
    assert (await served.problem("/"))[:2] == (404, "not_found")
    assert (await served.problem("/api/v1/rollbacks?limit=x"))[:2] == (400, "bad_data")
    async with served.unix.post("/api/v1/triggers", json={}) as answer:
        assert answer.status == 405


async def test_an_answer_that_nobody_takes(served: Served) -> None:
    many = tuple(trigger(f"T{number}", fingerprint=f"f{number}") for number in range(3_000))
    served.scene.take(s.ConfigurationLoaded(config(hash="many", triggers=many)))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(served.socket))
        client.sendall(b"GET /api/v1/triggers HTTP/1.1\r\nHost: x\r\n\r\n")
        hung_up = select.poll()
        hung_up.register(client, 0)
        await until(lambda: hung_up.poll(0))


async def test_a_defect_shows_no_traceback(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(served.scene, "config_text", broken)
    status, kind, text = await served.problem("/api/v1/status/config")
    assert (status, kind) == (500, "internal")
    assert "secret" not in text
