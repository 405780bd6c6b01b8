"""Checks answer pass, fail, or cannot tell."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.servers import Recorder, Reply

from rollbackd.core.effects import RunCheck
from rollbackd.core.model import Baseline, Check, Command, HttpGet, Limit, Measure, Ms, Query
from rollbackd.core.signals import CheckAnswered
from rollbackd.world.checks import Checks
from rollbackd.world.prometheus import NoValue
from rollbackd.world.runner.commands import CommandResult

COMMAND = Check("backup", run=Command(("./exists.sh", "--all"), timeout=2_000))


@dataclass
class Stage:
    """What the checks ask, in the test's hands."""

    result: CommandResult = field(default_factory=lambda: CommandResult("exited", 0))
    values: list[float | str] = field(default_factory=lambda: [0.0])
    ran: list[tuple[Command, str, dict[str, str], bool]] = field(default_factory=list)
    queried: list[str] = field(default_factory=list)

    async def run_command(
        self, command: Command, plan_hash: str, env: dict[str, str], *, capture: bool
    ) -> CommandResult:
        self.ran.append((command, plan_hash, env, capture))
        return self.result

    async def query(self, expr: str, at: Ms | None = None) -> float:
        if at is not None:
            expr = f"{expr} @ {at}"
        self.queried.append(expr)
        value = self.values.pop(0) if len(self.values) > 1 else self.values[0]
        if isinstance(value, str):
            raise NoValue(value)
        return value


def now() -> int:
    return time.time_ns() // 1_000_000


async def answer(stage: Stage, check: Check, **more: int) -> CheckAnswered:
    checks = Checks(stage.run_command, stage.query, now)
    try:
        return await checks.answer(RunCheck("key", check, "hash", {"ROLLBACK_ID": "api-1"}, **more))
    finally:
        await checks.close()


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (
            CommandResult("exited", 0, "v1.2.3"),
            CheckAnswered("key", "pass", 0, "./exists.sh: exit 0", "v1.2.3"),
        ),
        (
            CommandResult("exited", 1, "out", "no\nsuch \x1b[31mbackup"),
            CheckAnswered("key", "fail", 1, r"./exists.sh: exit 1: such \x1b[31mbackup", "out"),
        ),
        (CommandResult("exited", 20), CheckAnswered("key", "fail", 20, "./exists.sh: exit 20")),
        (CommandResult("exited", 137), CheckAnswered("key", "fail", 137, "./exists.sh: exit 137")),
        (
            CommandResult("timed_out", output="half"),
            CheckAnswered("key", "cannot_tell", None, "./exists.sh: timed out after 2 s", "half"),
        ),
        (
            CommandResult("unstarted", detail="not executable"),
            CheckAnswered("key", "cannot_tell", None, "./exists.sh: not executable"),
        ),
    ],
)
async def test_a_command(result: CommandResult, expected: CheckAnswered) -> None:
    stage = Stage(result)
    assert await answer(stage, COMMAND) == expected
    assert stage.ran == [(COMMAND.run, "hash", {"ROLLBACK_ID": "api-1"}, True)]


@pytest.mark.parametrize(
    ("value", "expected", "detail"),
    [
        (0.0004, "pass", "0.0004, wanted < 0.001"),
        (0.001, "fail", "0.001, wanted < 0.001"),
        ("the query yields nothing", "cannot_tell", "the query yields nothing"),
        ("two\nlines", "cannot_tell", r"two\nlines"),
    ],
)
async def test_a_query(value: float | str, expected: str, detail: str) -> None:
    stage = Stage(values=[value])
    found = await answer(stage, Check("errors", query=Query("ratio", Limit("<", 0.001))))
    assert (found.answer, found.detail, found.status) == (expected, detail, None)
    assert stage.queried == ["ratio"]


HEALTH = {"status": "up", "queue": {"depth": 3, "ready": True}, "nodes": [{"name": "a"}, None], "ratio": 0.5}


@pytest.mark.parametrize(
    ("wanted", "expected", "detail"),
    [
        ({}, "pass", "status 200"),
        ({"status": "up"}, "pass", "the fields are as wanted"),
        ({"queue.depth": 3, "queue.ready": True, "nodes.0.name": "a", "nodes.1": None}, "pass", ""),
        ({"queue.depth": 3.0, "ratio": 0.5}, "pass", ""),
        ({"status": "down"}, "fail", 'status is "up", wanted "down"'),
        ({"queue.depth": "3"}, "fail", 'queue.depth is 3, wanted "3"'),
        ({"queue.ready": 1}, "fail", "queue.ready is true, wanted 1"),
        ({"queue.length": 3}, "fail", "queue.length is missing, wanted 3"),
        ({"nodes.2": None}, "fail", "nodes.2 is missing, wanted null"),
        ({"status.up": 1}, "fail", "status.up is missing, wanted 1"),
    ],
)
async def test_http_fields(wanted: dict[str, Any], expected: str, detail: str) -> None:
    with Recorder(Reply(200, json.dumps(HEALTH).encode())) as server:
        found = await answer(Stage(), Check("health", http=HttpGet(server.url + "/health", json=wanted)))
        assert [(request.method, request.path) for request in server.requests] == [("GET", "/health")]
    assert found.answer == expected
    assert detail in found.detail


@pytest.mark.parametrize(
    ("reply", "get", "expected", "detail"),
    [
        (Reply(503), {}, "fail", "status 503, wanted 200"),
        (Reply(204, b""), {"status": 204}, "pass", "status 204"),
        (Reply(302, headers={"Location": "http://127.0.0.1:1/"}), {}, "fail", "status 302, wanted 200"),
        (Reply(302, headers={"Location": "http://127.0.0.1:1/"}), {"status": 302}, "pass", "status 302"),
        (Reply(200, b"<html>"), {"json": {"a": 1}}, "cannot_tell", "not JSON"),
        (Reply(200, b'{"a":' * 50_000), {"json": {"a": 1}}, "cannot_tell", "not JSON"),
        (Reply(200, b" " * (2 << 20)), {}, "cannot_tell", "larger than"),
        (Reply(200, after=60), {"timeout": 200}, "fail", "timed out after 0.2 s"),
    ],
)
async def test_http_answers(reply: Reply, get: dict[str, Any], expected: str, detail: str) -> None:
    with Recorder(reply) as server:
        found = await answer(Stage(), Check("health", http=HttpGet(server.url, **get)))
        assert len(server.requests) == 1
    assert found.answer == expected
    assert detail in found.detail


async def test_http_nobody_answers() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://ann:hush@127.0.0.1:{unused.getsockname()[1]}/x?token=hush"
        found = await answer(Stage(), Check("health", http=HttpGet(url)))
    assert found.answer == "fail"
    assert "Connection refused" in found.detail
    assert "hush" not in found.detail


async def test_http_that_is_none() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ESMTP\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await answer(Stage(), Check("health", http=HttpGet(f"http://127.0.0.1:{port}")))
    assert found.answer == "cannot_tell"


@pytest.mark.parametrize(
    ("said", "expected", "output"),
    [(71.0, "pass", "71.0"), (0.0, "pass", "0.0"), ("no series", "cannot_tell", "")],
)
async def test_what_is_measured_is_one_number_as_of_its_moment(
    said: float | str, expected: str, output: str
) -> None:
    stage = Stage(values=[said])
    found = await answer(stage, Check("failed", measure=Measure("increase(x[9s])", 1_000)))
    assert (found.answer, found.output) == (expected, output)
    assert found.detail == (said if isinstance(said, str) else "")
    assert stage.queried == ["increase(x[9s]) @ 1000"]


async def test_nothing_is_asked_before_its_time() -> None:
    stage = Stage()
    not_before = now() + 150
    asked_at: list[int] = []
    query = _noting(stage.query, asked_at)
    checks = Checks(stage.run_command, query, now)
    check = Check("errors", query=Query("ratio", Limit("<", 1)))
    await checks.answer(RunCheck("key", check, "hash", {}, not_before=not_before))
    await checks.close()
    assert asked_at[0] >= not_before


def _noting(
    query: Callable[[str], Awaitable[float]], asked_at: list[int]
) -> Callable[[str], Awaitable[float]]:
    async def noted(expr: str) -> float:
        asked_at.append(now())
        return await query(expr)

    return noted


@pytest.mark.parametrize(
    ("values", "expected", "times"),
    [([5.0, "gone", 0.0], "pass", 3), ([0.0], "pass", 1), ([5.0], "fail", 3), (["gone"], "cannot_tell", 3)],
)
async def test_until_asks_again_each_second_and_answers_once(
    values: list[float | str], expected: str, times: int
) -> None:
    """X6: a step's `verify`."""
    stage = Stage(values=values)
    elapsed = 0

    def clock() -> int:
        return now() + elapsed

    async def query(expr: str) -> float:
        nonlocal elapsed
        elapsed += 1_000  # so that nothing is slept for
        return await stage.query(expr)

    checks = Checks(stage.run_command, query, clock)
    check = Check("drained", query=Query("rate", Limit("==", 0)))
    found = await checks.answer(RunCheck("key", check, "hash", {}, until=now() + 2_900))
    await checks.close()
    assert found.answer == expected
    assert len(stage.queried) == times


@pytest.mark.parametrize(
    ("prints", "output", "status", "wanted"),
    [
        ("v2.0.8", "v2.0.8", 0, ("pass", "./exists.sh: exit 0")),
        ("v2.0.8\n", "v2.0.8", 0, ("pass", "./exists.sh: exit 0")),
        ("v2.0.8", "v2.0.80", 0, ("fail", 'printed "v2.0.80", wanted "v2.0.8"')),
        ("v2.0.8", "v2.0.8\nand more", 0, ("fail", 'printed "v2.0.8\\nand more", wanted "v2.0.8"')),
        ("v2.0.8", "", 0, ("fail", 'printed "", wanted "v2.0.8"')),
        ("v2.0.8", "v2.0.8", 3, ("fail", "./exists.sh: exit 3: v2.0.8")),
    ],
)
async def test_what_a_command_must_print(
    prints: str, output: str, status: int, wanted: tuple[str, str]
) -> None:
    check = Check("version", run=COMMAND.run, prints=prints)
    answered = await answer(Stage(CommandResult("exited", status, output)), check)
    assert (answered.answer, answered.detail) == wanted


async def test_a_limit_out_of_a_baseline_says_so() -> None:
    check = Check("errors", query=Query("errors", Limit("<=", 0.22)), baseline=Baseline("error-rate", 1.1))
    answered = await answer(Stage(values=[0.3]), check)
    assert (answered.answer, answered.detail) == ("fail", "0.3, wanted <= 0.22 (baseline error-rate * 1.1)")


async def test_what_cannot_be_asked_is_not_asked() -> None:
    stage = Stage()
    check = Check("errors", query=Query("errors", Limit("<=", 0.0)), unknown="no errors was captured")
    answered = await answer(stage, check)
    assert (answered.answer, answered.detail) == ("cannot_tell", "no errors was captured")
    assert stage.queried == []
