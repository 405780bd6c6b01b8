"""Each verb: one request, one line, one exit status."""

from __future__ import annotations

import pytest
from tests.cli.fake import FakeDaemon, Request, refusal, rollbackd, success

LIFE = "/api/v1/rollbacks/api-7"
VERBS = [
    ("ack api-7", f"{LIFE}/ack", {}),
    ("ack api-7 -c mine", f"{LIFE}/ack", {"comment": "mine"}),
    ("ack blind/Api", "/api/v1/rollbacks/blind%2FApi/ack", {}),
    ("approve api-7", f"{LIFE}/approve", {}),
    ("veto api-7 -c no", f"{LIFE}/veto", {"comment": "no"}),
    ("hold api-7", f"{LIFE}/hold", {}),
    ("resume api-7", f"{LIFE}/resume", {}),
    ("abort api-7", f"{LIFE}/abort", {}),
    ("abort api-7 --now -c stop", f"{LIFE}/abort", {"now": True, "comment": "stop"}),
    (
        "confirm api-7 drain done -c seen",
        f"{LIFE}/confirm",
        {"step": "drain", "answer": "done", "comment": "seen"},
    ),
    (
        "resolve api-7 --approach hand --description fixed --processes-gone",
        f"{LIFE}/resolve",
        {"approach": "hand", "description": "fixed", "processes_gone": True},
    ),
    (
        "resolve api-7 --approach hand --description fixed --lesson one --lesson two",
        f"{LIFE}/resolve",
        {"approach": "hand", "description": "fixed", "lessons": ["one", "two"]},
    ),
    ("start api --reason bad", "/api/v1/plans/api/start", {"reason": "bad"}),
    (
        "start api --reason bad --from revert --subject cohort=canary --subject zone=a=b --dry-run",
        "/api/v1/plans/api/start",
        {
            "reason": "bad",
            "from_step": "revert",
            "subject": {"cohort": "canary", "zone": "a=b"},
            "dry_run": True,
        },
    ),
    (
        "rollout begin api --previous v1 --next v2",
        "/api/v1/rollouts",
        {"plan": "api", "previous": "v1", "next": "v2", "for": "2h"},
    ),
    (
        "rollout begin api --previous v1 --next v2 --for 30m --permit P-1",
        "/api/v1/rollouts",
        {"plan": "api", "previous": "v1", "next": "v2", "for": "30m", "permit": "P-1"},
    ),
    ("rollout finish api", "/api/v1/rollouts/api/finish", {}),
    ("pause -c freeze", "/api/v1/pauses", {"comment": "freeze"}),
    (
        "pause --service api -d 1h30m -c freeze",
        "/api/v1/pauses",
        {"service": "api", "for": "1h30m", "comment": "freeze"},
    ),
    ("unpause", "/api/v1/pauses/end", {}),
    ("unpause --trigger Api -c over", "/api/v1/pauses/end", {"trigger": "Api", "comment": "over"}),
    (
        "rearm Api --subject cohort=canary -c fixed",
        "/api/v1/triggers/Api/rearm",
        {"subject": {"cohort": "canary"}, "comment": "fixed"},
    ),
    (
        "evidence add api --kind rehearsal --by bob --took 9m --hash abcdef -c twice",
        "/api/v1/plans/api/evidence",
        {"kind": "rehearsal", "by": "bob", "took": "9m", "hash": "abcdef", "comment": "twice"},
    ),
    ("rearm --plan api -c fixed", "/api/v1/plans/api/rearm", {"comment": "fixed"}),
]


@pytest.mark.parametrize(("command", "path", "body"), VERBS, ids=[case[0] for case in VERBS])
def test_asks_once_and_says_the_answer(
    daemon: FakeDaemon, command: str, path: str, body: dict[str, object]
) -> None:
    daemon.answers[f"POST {path}"] = success({"text": "api-7 held"})
    result = rollbackd(*command.split(), "--socket", str(daemon.socket))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "api-7 held\n", "")
    assert daemon.requests == [Request("POST", path, body, None)]


@pytest.mark.parametrize("verb", ["approve api-7", "confirm api-7 drain skip -c gone"])
def test_a_revision_travels_as_if_match(daemon: FakeDaemon, verb: str) -> None:
    daemon.answers[f"POST {LIFE}/{verb.split()[0]}"] = success({"text": "ok"})
    assert rollbackd(*verb.split(), "--revision", "4", "--socket", str(daemon.socket)).exit_code == 0
    assert daemon.requests[0].if_match == "4"


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (409, "conflict", 5),
        (400, "bad_data", 1),
        (404, "not_found", 1),
        (403, "forbidden", 1),
        (503, "unavailable", 4),
        (500, "internal", 4),
    ],
)
def test_a_refusal_is_one_line_and_a_status(daemon: FakeDaemon, status: int, kind: str, code: int) -> None:
    daemon.answers[f"POST {LIFE}/approve"] = refusal(status, kind, "api-7 has moved on;\nlook \x1b[31magain")
    result = rollbackd("approve", "api-7", "--socket", str(daemon.socket))
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr == "rollbackd: api-7 has moved on; look \\x1b[31magain\n"


USAGE = [
    ("confirm api-7 drain done", "'-c' / '--comment'"),
    ("confirm api-7 drain perhaps -c x", "'perhaps' is not one of"),
    ("pause", "'-c' / '--comment'"),
    ("rearm Api", "'-c' / '--comment'"),
    ("rearm -c x", "either a TRIGGER or --plan"),
    ("rearm Api --plan api -c x", "either a TRIGGER or --plan"),
    ("rearm --plan api --subject a=b -c x", "--subject belongs to a TRIGGER"),
    ("pause --service a --trigger b -c x", "exclude each other"),
    ("pause -d 1x -c x", "write 30m, 2h or 1h30m"),
    ("pause -d 0s -c x", "write 30m, 2h or 1h30m"),
    ("start api", "'--reason'"),
    ("start api --reason x --subject cohort", "write name=value"),
    ("resolve api-7 --approach x", "'--description'"),
    ("rollout begin api --previous v1", "'--next'"),
    ("rollout", "Missing command"),
    ("nonsense", "No such command 'nonsense'"),
    ("status --watch --json", "leave out --watch"),
    ("status --url ftp://x", "not a URL"),
    ("audit verify --anchor 3", "is not SEQ:HASH"),
    ("status --config /nowhere/rollbackd.yml", "does not exist"),
]


@pytest.mark.parametrize(("command", "said"), USAGE, ids=[case[0] for case in USAGE])
def test_wrong_usage_is_one_line(daemon: FakeDaemon, command: str, said: str) -> None:
    result = rollbackd(*command.split(), ROLLBACKD_SOCKET=str(daemon.socket))
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert "--help`" in result.stderr
    assert daemon.requests == []


@pytest.mark.parametrize(
    "command", ["pause -c", "rearm Api -c", "confirm api-7 drain done -c", "start api --reason"]
)
def test_an_empty_comment_is_none(daemon: FakeDaemon, command: str) -> None:
    result = rollbackd(*command.split(), " ", ROLLBACKD_SOCKET=str(daemon.socket))
    assert (result.exit_code, daemon.requests) == (2, [])
