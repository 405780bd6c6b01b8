"""Whoever asks for a capture, or for a rollout that has one, waits for it and hears how it ended."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cli.fake import FakeDaemon, Reply, rollbackd, success

from rollbackd.cli import captures

BEGIN = "rollout begin api --previous v1 --next v2"
BEGUN = success({"text": "api-c3 is being captured", "capture": "api-c3"})


def capture(state: str, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": "api-c3",
        "plan": "api",
        "state": state,
        "began": "2026-03-01T10:00:00.000Z",
        "ended": None,
        "by": "ann",
        "comment": "",
        "rollout": None,
        "waits": False,
        "taking": "dump" if state == "running" else None,
        "failed": None,
        "detail": "",
        "items": [],
    }
    return {**made, **changes}


ITEM = {
    "name": "dump",
    "at": "2026-03-01T10:00:05.000Z",
    "value": None,
    "said": "done",
    "artifacts": [{"path": "dump/shop.sql", "size": 3 << 20, "sha256": "ab" * 32}],
}
OLDER = capture("failed", id="api-c2", failed="dump", detail="exit 1")


def run(daemon: FakeDaemon, command: str, *answers: Any) -> Any:
    daemon.answers["POST /api/v1/rollouts"] = BEGUN
    daemon.answers["POST /api/v1/plans/api/capture"] = BEGUN
    daemon.get("captures?plan=api", *answers)
    return rollbackd(*command.split(), ROLLBACKD_SOCKET=str(daemon.socket))


@pytest.mark.parametrize("command", [BEGIN, "capture api -c nightly"])
def test_it_is_waited_for(daemon: FakeDaemon, command: str) -> None:
    running = capture("running")
    then = capture("complete", items=[ITEM], rollout="api-r2" if command == BEGIN else None)
    result = run(daemon, command, [running, OLDER], [capture("running", taking="errors")], [then, OLDER])
    lines = ["api-c3 is being captured", "api-c3: taking dump", "api-c3: taking errors"]
    lines += ["api-c3 is complete: 1 items, 1 files, 3145728 bytes"]
    lines += ["rollout api-r2 is open"] if command == BEGIN else []
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == lines


ENDS = [
    (
        capture("failed", failed="dump", detail="exit 1"),
        1,
        "api-c3 failed: item dump: exit 1",
    ),
    (capture("failed", detail="api-1 began meanwhile"), 1, "api-c3 failed: api-1 began meanwhile"),
    (capture("complete", detail="api-1 holds a service"), 5, "no rollout has begun: api-1 holds a service"),
    (OLDER, 4, "api-c3 is no longer kept"),
]


@pytest.mark.parametrize(("end", "code", "said"), ENDS, ids=[said for _, _, said in ENDS])
def test_how_it_ends_is_the_exit_status(daemon: FakeDaemon, end: Any, code: int, said: str) -> None:
    result = run(daemon, BEGIN, [capture("running")], [end])
    assert (result.exit_code, result.stderr) == (code, f"rollbackd: {said}\n")


def test_without_a_capture_nothing_is_waited_for(daemon: FakeDaemon) -> None:
    daemon.answers["POST /api/v1/rollouts"] = success({"text": "rollout api-r1 is open"})
    result = rollbackd(*BEGIN.split(), ROLLBACKD_SOCKET=str(daemon.socket))
    assert (result.exit_code, result.stdout) == (0, "rollout api-r1 is open\n")
    assert len(daemon.requests) == 1


def test_why_it_is_done_without_is_sent(daemon: FakeDaemon) -> None:
    run(daemon, f"{BEGIN} --without-capture -c urgent", [OLDER, capture("complete")])
    body = daemon.posts()[0].body
    assert body is not None
    assert body["without_capture"] == "urgent"


def test_a_daemon_that_restarts_is_waited_for(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Reply(503, b'{"status": "error", "errorType": "unavailable", "error": "starting"}')
    daemon.answers["POST /api/v1/plans/api/capture"] = BEGUN
    daemon.answers["GET /api/v1/captures?plan=api"] = [busy, busy, success([capture("complete")])]
    found = rollbackd("capture", "api", ROLLBACKD_SOCKET=str(daemon.socket))
    assert (found.exit_code, found.stderr) == (0, "")
    monkeypatch.setattr(captures, "PATIENCE", 0.05)
    daemon.answers["GET /api/v1/captures?plan=api"] = busy
    gone = rollbackd("capture", "api", ROLLBACKD_SOCKET=str(daemon.socket))
    assert gone.exit_code == 4
    assert "api-c3 goes on there" in gone.stderr


def test_they_are_listed(daemon: FakeDaemon) -> None:
    daemon.get("captures", [capture("complete", items=[ITEM], rollout="api-r2"), OLDER])
    table = rollbackd("capture", "--list", ROLLBACKD_SOCKET=str(daemon.socket))
    assert table.exit_code == 0
    assert "api-c3" in table.stdout
    assert "1, 3.0 MiB" in table.stdout
    listed = rollbackd("capture", "--list", "--json", ROLLBACKD_SOCKET=str(daemon.socket))
    assert '"api-c2"' in listed.stdout


@pytest.mark.parametrize(
    "command", ["capture", "capture api --json", f"{BEGIN} --without-capture", f"{BEGIN} -c why"]
)
def test_what_makes_no_sense(daemon: FakeDaemon, command: str) -> None:
    result = rollbackd(*command.split(), ROLLBACKD_SOCKET=str(daemon.socket))
    assert (result.exit_code, daemon.requests) == (2, [])
