"""The webhook receiver: what is posted, signed, tried again and given up."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import resource
import socket
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from tests.adapters.receivers.paging import TEXT, Slept, page, receivers, wall
from tests.servers import Recorder, Reply, wait_for

from rollbackd.core.effects import KeepAlert
from rollbackd.core.signals import PageAnswered
from rollbackd.settings import AlertmanagerSettings, Authorization, HttpSettings, WebhookSettings
from rollbackd.world.receivers import Patience, Receivers
from rollbackd.world.receivers.webhook import signature

ACCEPTED = PageAnswered("p1", "hook", True)


async def test_the_document() -> None:
    """Fault 68: odd text arrives as it is."""
    with Recorder() as server:
        async with receivers(WebhookSettings("hook", server.url + "/hook")) as made:
            assert await made.deliver(page(began=1_767_225_600_250)) == ACCEPTED
        (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/hook")
    assert request.headers["content-type"] == "application/json"
    assert "x-rollbackd-signature" not in request.headers
    assert request.json() == {
        "version": "rollbackd/v1",
        "kind": "page",
        "status": "firing",
        "dedup": "uuid/api-1/0",
        "alert": "RollbackdRollback",
        "title": "api: rollback failed",
        "text": TEXT,
        "labels": {"instance": "prod", "plan": "api", "rung": "0", "cohort": TEXT},
        "annotations": {"link": "https://rollbackd.example/rollbacks/api-1"},
        "began": "2026-01-01T00:00:00.250Z",
    }


async def test_the_signature_covers_timestamp_and_body_and_follows_the_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    with Recorder() as server:
        async with receivers(WebhookSettings("hook", server.url, secret_file=str(file))) as made:
            for secret in (b"first", b"second\n"):
                file.write_bytes(secret)
                assert await made.deliver(page()) == ACCEPTED
    for secret, request in zip((b"first", b"second"), server.requests, strict=True):
        timestamp = request.headers["x-rollbackd-timestamp"]
        assert abs(int(timestamp) * 1000 - wall()) < 60_000
        mac = hmac.new(secret, timestamp.encode() + b"." + request.body, hashlib.sha256)
        assert request.headers["x-rollbackd-signature"] == "sha256=" + mac.hexdigest()
        assert signature(b"other", timestamp, request.body) != request.headers["x-rollbackd-signature"]


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), (b"\n", "is empty")])
async def test_without_its_secret_nothing_is_sent(tmp_path: Path, content: bytes | None, reason: str) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with Recorder() as server:
        async with receivers(WebhookSettings("hook", server.url, secret_file=str(file))) as made:
            answer = await made.deliver(page())
        assert server.requests == []
    assert not answer.accepted
    assert str(file) in answer.detail
    assert reason in answer.detail


def _in(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("3", 3.0, 3.0),
        ("0", 0.0, 0.0),
        ("86400", 10.0, 10.0),
        (_in(8 * 3600), 10.0, 10.0),
        (_in(-60), 0.0, 0.0),
        ("soon", 0.5, 1.0),
    ],
    ids=["seconds", "now", "a day", "a late date", "a past date", "nonsense"],
)
async def test_47_retry_after_is_honoured_within_reason(value: str, least: float, most: float) -> None:
    slept = Slept()
    with Recorder(Reply(429, headers={"Retry-After": value}), Reply()) as server:
        async with receivers(WebhookSettings("hook", server.url), slept=slept) as made:
            assert await made.deliver(page()) == ACCEPTED
        assert len(server.requests) == 2
    assert least <= slept.seconds[0] <= most


@pytest.mark.parametrize(
    "value",
    [
        "soon",
        "",
        "-1",
        "1e999",
        "9" * 5_000,
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
        "Mon, 01 Jan 2026 00:00:00 +99999999999999",
        ",,,",
    ],
)
async def test_47_a_retry_after_that_means_nothing_stops_no_page(value: str) -> None:
    slept = Slept()
    with Recorder(Reply(429, headers={"Retry-After": value}), Reply()) as server:
        async with receivers(WebhookSettings("hook", server.url), slept=slept) as made:
            assert await made.deliver(page()) == ACCEPTED
    assert 0 <= slept.seconds[0] <= 10


async def test_a_receiver_that_breaks_is_one_that_does_not_accept() -> None:
    async def broken(_: float) -> None:
        raise OverflowError("https://hooks.example/secret-token")

    with Recorder(Reply(500)) as server:
        made = Receivers([WebhookSettings("hook", server.url)], wall, wall, Patience(sleep=broken))
        answer = await made.deliver(page())
        await made.close()
    assert answer == PageAnswered("p1", "hook", False, "failed inside rollbackd: OverflowError")


@pytest.mark.parametrize("status", [500, 503, 408, 429])
async def test_48_again_with_the_same_key_and_longer_pauses_then_the_next_receiver(status: int) -> None:
    slept = Slept()
    with Recorder(Reply(status, b"try later")) as server:
        async with receivers(WebhookSettings("hook", server.url), slept=slept) as made:
            answer = await made.deliver(page())
        assert len({request.body for request in server.requests}) == 1
        assert len(server.requests) == 4
    assert answer == PageAnswered("p1", "hook", False, f"status {status}: try later")
    assert len(slept.seconds) == 3
    assert all(0.5 <= pause <= limit for pause, limit in zip(slept.seconds, (1, 2, 4), strict=True))


async def test_48_a_timeout_is_tried_again() -> None:
    with Recorder(Reply(after=60), Reply()) as server:
        async with receivers(WebhookSettings("hook", server.url, timeout=300)) as made:
            assert await made.deliver(page()) == ACCEPTED
        assert len(server.requests) == 2


async def test_49_accepted_is_all_that_is_known() -> None:
    """Whether anybody reads it is the ladder's business: nothing is kept, nothing is sent again."""
    with Recorder(Reply(202)) as server:
        async with receivers(WebhookSettings("hook", server.url)) as made:
            assert (await made.deliver(page())).accepted
            made.keep(KeepAlert(page()))
            made.drop(KeepAlert(page()).key)
        assert len(server.requests) == 1


async def test_51_no_such_host_is_refused_after_the_attempts() -> None:
    slept = Slept()
    async with receivers(WebhookSettings("hook", "http://rollbackd.invalid/"), slept=slept) as made:
        answer = await made.deliver(page())
    assert not answer.accepted
    assert answer.detail.startswith("cannot connect: ")
    assert len(slept.seconds) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_52_a_wrong_key_or_address_is_refused_at_once(status: int) -> None:
    slept = Slept()
    with Recorder(Reply(status, b"bad\x1b[31m key")) as server:
        async with receivers(WebhookSettings("hook", server.url), slept=slept) as made:
            answer = await made.deliver(page())
        assert len(server.requests) == 1
    assert answer == PageAnswered("p1", "hook", False, rf"status {status}: bad\x1b[31m key")
    assert slept.seconds == []


async def test_a_redirect_is_refused_and_takes_nothing_along() -> None:
    with Recorder() as other, Recorder(Reply(307, headers={"Location": other.url})) as server:
        settings = WebhookSettings(
            "hook", server.url, http=HttpSettings(authorization=Authorization(credentials="hush"))
        )
        async with receivers(settings) as made:
            answer = await made.deliver(page())
        assert other.requests == []
        assert server.requests[0].headers["authorization"] == "Bearer hush"
    assert not answer.accepted
    assert "hush" not in repr(settings) + answer.detail


async def test_secrets_in_the_address_are_not_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        settings = WebhookSettings("hook", f"http://127.0.0.1:{unused.getsockname()[1]}/T0/hush?token=hush")
        async with receivers(settings) as made:
            answer = await made.deliver(page())
    assert not answer.accepted
    assert "hush" not in answer.detail + repr(settings)


async def test_a_long_answer_does_not_undo_the_acceptance() -> None:
    replies = (Reply(200, b"x" * (4 << 20)), Reply(200, b"short", {"Content-Length": "5000"}))
    with Recorder(*replies) as server:
        async with receivers(WebhookSettings("hook", server.url)) as made:
            assert await made.deliver(page()) == ACCEPTED
            assert await made.deliver(page()) == ACCEPTED
        assert len(server.requests) == 2


async def test_closing_does_not_lose_a_page() -> None:
    """What is cut off by a reload is answered as not accepted, so that it is delivered anew."""
    with Recorder(Reply(after=60)) as server:
        hook = WebhookSettings("hook", server.url, timeout=60_000)
        am = AlertmanagerSettings("am", (server.url,), timeout=60_000)
        async with receivers(hook, am) as made:
            sending = [asyncio.create_task(made.deliver(page(name))) for name in ("hook", "am")]
            await asyncio.to_thread(wait_for, lambda: len(server.requests) == 2)
            await made.close()
            async with asyncio.timeout(10):
                answers = await asyncio.gather(*sending)
    assert [answer.accepted for answer in answers] == [False, False]
    assert all("new configuration" in answer.detail for answer in answers)


async def test_an_unknown_receiver_is_an_answer() -> None:
    async with receivers() as made:
        assert await made.deliver(page("gone")) == PageAnswered(
            "p1", "gone", False, "no receiver is called 'gone'"
        )


def _take_all() -> list[int]:
    """Every descriptor that can be had."""
    taken: list[int] = []
    with suppress(OSError):
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    return taken


async def test_7_a_page_gets_out_when_no_descriptors_are_left() -> None:
    with Recorder() as server:
        async with receivers(WebhookSettings("hook", server.url)) as made:
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
            taken = _take_all()
            try:
                answer = await made.deliver(page())
            finally:
                for one in taken:
                    os.close(one)
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert answer == ACCEPTED
