"""Verbs: over the unix socket alone, checked before the engine hears of them."""

from __future__ import annotations

import os
import pwd
import stat
from typing import Any

import pytest
from tests.web.conftest import Served

from rollbackd.core import signals as s

ME = pwd.getpwuid(os.getuid()).pw_name

VERBS: list[tuple[str, dict[str, Any], s.Verb]] = [
    ("rollbacks/api-1/ack", {"comment": "on it"}, s.Ack("api-1", "on it")),
    ("rollbacks/blind%2FApiErrors/ack", {}, s.Ack("blind/ApiErrors")),
    ("rollbacks/api-1/approve", {}, s.Approve("api-1")),
    ("rollbacks/api-1/veto", {"comment": "no"}, s.Veto("api-1", "no")),
    ("rollbacks/api-1/hold", {}, s.Hold("api-1")),
    ("rollbacks/api-1/resume", {}, s.Resume("api-1")),
    ("rollbacks/api-1/abort", {"now": True}, s.Abort("api-1", True)),
    ("rollbacks/api-1/confirm", {"step": "drain", "answer": "skip"}, s.Confirm("api-1", "drain", "skip")),
    (
        "rollbacks/api-1/resolve",
        {"approach": "by hand", "description": "d", "processes_gone": True},
        s.Resolve("api-1", "by hand", "d", True),
    ),
    (
        "rollbacks/api-1/resolve",
        {"approach": "by hand", "description": "d", "lessons": ["one", "two"]},
        s.Resolve("api-1", "by hand", "d", lessons=("one", "two")),
    ),
    (
        "plans/api/start",
        {"reason": "r", "from_step": "drain", "subject": {"cohort": "x"}, "dry_run": True},
        s.Start("api", "r", "drain", {"cohort": "x"}, True),
    ),
    ("plans/api/rearm", {"comment": "c"}, s.Rearm(plan="api", comment="c")),
    (
        "plans/api/evidence",
        {"kind": "staging", "by": "bob", "took": "9m", "hash": "abcdef", "artifact": "l", "sha256": "0" * 64},
        s.AddEvidence("api", "staging", "bob", 540_000, "abcdef", "l", "0" * 64),
    ),
    ("triggers/T/rearm", {"subject": {"a": "b"}}, s.Rearm(trigger="T", subject={"a": "b"})),
    (
        "rollouts",
        {"plan": "api", "previous": "v1", "next": "v2", "for": "1h30m", "permit": "P-1"},
        s.BeginRollout("api", "v1", "v2", 5_400_000, "P-1"),
    ),
    ("rollouts", {"plan": "api", "previous": "v1", "next": "v2"}, s.BeginRollout("api", "v1", "v2")),
    (
        "rollouts",
        {"plan": "api", "previous": "v1", "next": "v2", "without_capture": " why "},
        s.BeginRollout("api", "v1", "v2", without_capture="why"),
    ),
    ("plans/api/capture", {"comment": "nightly"}, s.TakeCapture("api", "nightly")),
    ("rollouts/api/finish", {}, s.FinishRollout("api")),
    ("pauses", {"service": "api", "for": "90s", "comment": "c"}, s.Pause("api", None, 90_000, "c")),
    ("pauses/end", {"trigger": "T"}, s.Unpause(None, "T")),
]


@pytest.mark.parametrize(("path", "body", "verb"), VERBS, ids=[row[0] for row in VERBS])
async def test_each_verb_reaches_the_engine(
    served: Served, path: str, body: dict[str, Any], verb: s.Verb
) -> None:
    served.scene.fire()
    await served.post(f"/api/v1/{path}", body)
    assert served.scene.spoken == [(verb, ME, "socket")]


@pytest.mark.parametrize("path", sorted({row[0] for row in VERBS}))
async def test_tcp_only_reads(served: Served, path: str) -> None:
    async with served.tcp.post(f"/api/v1/{path}", json={}) as answer:
        assert answer.status == 403
        assert "unix socket" in (await answer.json())["error"]
    assert served.scene.spoken == []


@pytest.mark.parametrize(
    "path", ["rollbacks/api-1/approve", "rollbacks/api-1/abort", "pauses/end", "../../-/reload"]
)
async def test_get_never_acts(served: Served, path: str) -> None:
    served.scene.fire()
    for session in (served.unix, served.tcp):
        async with session.get(f"/api/v1/{path}") as answer:
            assert answer.status == 405
            assert answer.headers["Allow"] == "POST"
    assert served.scene.spoken == []


async def test_what_the_engine_answers(served: Served) -> None:
    life = served.scene.fire()
    status, document = await served.post(f"/api/v1/rollbacks/{life}/hold")
    assert (status, document["status"]) == (200, "success")
    assert document["data"]["text"].startswith(f"{life} held")
    status, document = await served.post(f"/api/v1/rollbacks/{life}/veto")
    assert (status, document["errorType"]) == (409, "conflict")
    assert "too late" in document["error"]
    status, document = await served.post("/api/v1/plans/nope/start", {"reason": "r"})
    assert (status, document["errorType"]) == (400, "bad_data")
    status, document = await served.post("/api/v1/rollbacks/api-7/hold")
    assert (status, document["errorType"]) == (404, "not_found")


async def test_a_revision_that_moved_on_conflicts(served: Served) -> None:
    """E3, fault 66."""
    scene = served.scene
    scene.take(s.OperatorSpoke(0, s.Pause(comment="all"), "ann", "socket"))
    life = scene.fire()
    revision = scene.state.lives[life].revision
    stale = {"If-Match": f'"{revision - 1}"'}
    assert (await served.post(f"/api/v1/rollbacks/{life}/approve", {}, **stale))[0] == 409
    seen = {"If-Match": str(revision)}
    assert (await served.post(f"/api/v1/rollbacks/{life}/approve", {}, **seen))[0] == 200
    assert (await served.post(f"/api/v1/rollbacks/{life}/approve", {}, **{"If-Match": "x"}))[0] == 400


async def test_a_halted_journal_is_unavailable(served: Served) -> None:
    """E5."""
    life = served.scene.fire()
    served.scene.halted = "no room"
    status, document = await served.post(f"/api/v1/rollbacks/{life}/hold")
    assert (status, document["errorType"]) == (503, "unavailable")


async def test_reload(served: Served) -> None:
    assert await served.post("/-/reload") == (200, {"status": "success", "data": {"hash": "h2"}})
    served.scene.problems = ["a.yml:1:2: x: bad; mend it", "b.yml:3:4: y: bad; mend it"]
    status, document = await served.post("/-/reload")
    assert (status, document["errorType"]) == (400, "bad_data")
    assert document["error"].splitlines() == served.scene.problems
    async with served.tcp.post("/-/reload") as answer:
        assert answer.status == 403


def test_the_socket_is_for_owner_and_group(served: Served) -> None:
    assert stat.S_IMODE(served.socket.stat().st_mode) == 0o660


HOSTILE: list[tuple[str, str, bytes]] = [
    ("not JSON", "rollbacks/api-1/hold", b"{"),
    ("a list", "rollbacks/api-1/hold", b"[]"),
    ("null", "rollbacks/api-1/hold", b"null"),
    ("text after it", "rollbacks/api-1/hold", b"{} {}"),
    ("invalid UTF-8", "rollbacks/api-1/hold", b'{"comment":"\xff\xfe"}'),
    ("a lone surrogate", "rollbacks/api-1/hold", b'{"comment":"\\ud800"}'),
    ("an unknown key", "rollbacks/api-1/hold", b'{"comments":"x"}'),
    ("a wrong type", "rollbacks/api-1/hold", b'{"comment":1}'),
    ("a number for a truth", "rollbacks/api-1/abort", b'{"now":1}'),
    ("deeply nested", "rollbacks/api-1/hold", b'{"comment":' + b"[" * 30_000),
    ("deeply nested unknown", "rollbacks/api-1/hold", b'{"x":' + b'{"a":' * 10_000),
    ("NUL for a step's environment", "plans/api/start", b'{"reason":"a\\u0000b"}'),
    ("no reason", "plans/api/start", b"{}"),
    ("a blank reason", "plans/api/start", b'{"reason":"  "}'),
    ("a newline in a version", "rollouts", b'{"plan":"api","previous":"v1\\n","next":"v2"}'),
    ("an empty version", "rollouts", b'{"plan":"api","previous":"","next":"v2"}'),
    ("no duration", "rollouts", b'{"plan":"api","previous":"1","next":"2","for":""}'),
    ("nothing", "rollouts", b'{"plan":"api","previous":"1","next":"2","for":"0s"}'),
    ("a duration without end", "rollouts", b'{"plan":"api","previous":"1","next":"2","for":"999999999w"}'),
    ("units that climb", "pauses", b'{"for":"1s2h"}'),
    ("both", "pauses", b'{"service":"api","trigger":"T"}'),
    ("an answer we do not know", "rollbacks/api-1/confirm", b'{"step":"drain","answer":"maybe"}'),
    ("gzip", "rollbacks/api-1/hold", b"\x1f\x8b\x08\x00\x00"),
]


@pytest.mark.parametrize(("path", "body"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
async def test_bodies_that_mean_nothing(served: Served, path: str, body: bytes) -> None:
    served.scene.fire()
    async with served.unix.post(f"/api/v1/{path}", data=body) as answer:
        document = await answer.json()
        assert (answer.status, document["errorType"]) == (400, "bad_data"), document
        assert "Traceback" not in document["error"]
    assert served.scene.spoken == []
