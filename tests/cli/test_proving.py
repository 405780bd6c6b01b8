"""`evidence` and `gate permit`: what is asked, what is said, and how it ends (P1)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.fake import FakeDaemon, Reply, refusal, rollbackd, success

from rollbackd.cli.proving import KINDS
from rollbackd.config.promises import hash_of
from rollbackd.core import evidence as core

PERMIT = "GET /api/v1/gates/permit/api"
EVIDENCE = "/api/v1/plans/api/evidence"
REASON = {"about": "review", "what": "review: nothing on record", "remedy": "do it"}
PLAN = """\
version: rollbackd/v1
plan: api
owner: oncall
level: 2
services: [api]
summary: back
phases: [{phase: revert, steps: [{step: go, run: ["true"], timeout: 1m}]}]
"""


def test_the_kinds_are_those_that_the_daemon_knows() -> None:
    assert tuple(core.KINDS) == KINDS


def answer(**changes: Any) -> dict[str, Any]:
    said = {"gate": "permit", "plan": "api", "hash": "a" * 64, "level": 3, "open": True, "cannot_tell": None}
    return {**said, "reasons": [], "exceptions": {}, "totals": {}, "evidence": [], **changes}


def ask(daemon: FakeDaemon, *args: str) -> tuple[int, str, str]:
    found = rollbackd("gate", "permit", "api", "--socket", str(daemon.socket), *args)
    return found.exit_code, found.stdout, found.stderr


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({}, 0, "api (aaaaaaaaaaaa), level 3: permit: yes\n"),
        (
            {"open": False, "reasons": [REASON], "exceptions": {"scopes": "one phase"}},
            1,
            "api (aaaaaaaaaaaa), level 3: permit: no\n"
            "  review: nothing on record; do it\n"
            "  without scopes: one phase\n",
        ),
        (
            {"open": None, "cannot_tell": "the files cannot be used"},
            4,
            "api (aaaaaaaaaaaa), level 3: permit: cannot tell\n  the files cannot be used\n",
        ),
    ],
)
def test_the_permit_is_an_exit_status_and_every_reason_has_its_remedy(
    daemon: FakeDaemon, changes: dict[str, Any], code: int, says: str
) -> None:
    daemon.answers[PERMIT] = success(answer(**changes))
    assert ask(daemon) == (code, says, "")
    shown = ask(daemon, "--json")
    assert (shown[0], json.loads(shown[1])) == (code, answer(**changes))


@pytest.mark.parametrize(
    "reply",
    [
        refusal(404, "not_found", "there is no plan api; the plans are none"),
        refusal(503, "unavailable", "no configuration is loaded yet"),
        Reply(200, b"<html>"),
    ],
)
def test_what_the_daemon_does_not_answer_is_never_a_no_nor_a_yes(daemon: FakeDaemon, reply: Reply) -> None:
    daemon.answers[PERMIT] = reply
    assert ask(daemon)[0] == 4


def test_no_daemon_cannot_tell(tmp_path: Path) -> None:
    assert rollbackd("gate", "permit", "api", "--socket", str(tmp_path / "none.sock")).exit_code == 4


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "set" / "plans" / "api"
    folder.mkdir(parents=True)
    (folder / "plan.yml").write_text(PLAN)
    main = tmp_path / "set" / "rollbackd.yml"
    main.write_text("version: rollbackd/v1\nplans: [plans/*/plan.yml]\n")
    return main


@pytest.mark.parametrize("named", [".", "rollbackd.yml", "plans/api", "plans/api/plan.yml"])
def test_files_that_are_another_plan_than_the_daemons_cannot_tell(
    daemon: FakeDaemon, files: Path, named: str
) -> None:
    path = files.parent / named
    here = hash_of("api", path)
    daemon.answers[PERMIT] = success(answer(hash=here))
    assert ask(daemon, "--files", str(path))[0] == 0
    with (files.parent / "plans" / "api" / "plan.yml").open("a") as plan:
        plan.write("risk: low\n")
    code, said, _ = ask(daemon, "--files", str(path))
    assert code == 4
    assert f"the daemon {here[:12]}; `rollbackd reload` first" in said


def test_the_configuration_that_is_named_is_compared_too(daemon: FakeDaemon, files: Path) -> None:
    daemon.answers[PERMIT] = success(answer())
    code, said, _ = ask(daemon, "--config", str(files))
    assert code == 4
    assert "rollbackd reload" in said


def test_files_without_the_plan_cannot_tell(daemon: FakeDaemon, files: Path) -> None:
    (files.parent / "plans" / "api" / "plan.yml").unlink()
    daemon.answers[PERMIT] = success(answer())
    code, said, _ = ask(daemon, "--files", str(files))
    assert (code, "there is no plan api" in said) == (4, True)


def test_an_artifact_is_hashed_here_and_stays_where_it_is(daemon: FakeDaemon, tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_bytes(b"rolled back\n" * 10_000)
    daemon.answers[f"POST {EVIDENCE}"] = success({"text": "staging of api is on record"})
    command = ("evidence", "add", "api", "--kind", "staging", "--by", "bob", "--artifact", str(log))
    assert rollbackd(*command, "--socket", str(daemon.socket)).exit_code == 0
    digest = hashlib.sha256(log.read_bytes()).hexdigest()
    sent = {"kind": "staging", "by": "bob", "artifact": "run.log", "sha256": digest, "size": 120_000}
    assert [request.body for request in daemon.requests] == [sent]


@pytest.mark.parametrize(
    "args",
    [
        ("--kind", "hearsay", "--by", "bob"),
        ("--kind", "staging"),
        ("--kind", "staging", "--by", "bob", "--took", "soon"),
        ("--kind", "staging", "--by", "bob", "--artifact", "/nowhere/at/all"),
    ],
)
def test_what_is_no_evidence_is_not_sent(daemon: FakeDaemon, args: tuple[str, ...]) -> None:
    assert rollbackd("evidence", "add", "api", *args, "--socket", str(daemon.socket)).exit_code == 2
    assert daemon.requests == []


def row(**changes: Any) -> dict[str, Any]:
    said = {"kind": "staging", "hash": "a" * 64, "took_seconds": None, "within_sla": None, "by": "bob"}
    said |= {"at": "2026-03-01T12:00:00.000Z", "actor": "ann", "channel": "socket", "artifact": None}
    return {**said, "sha256": None, "size": None, "comment": "", **changes}


def test_the_list_tells_what_counts_from_what_does_not(daemon: FakeDaemon) -> None:
    slow = row(kind="rehearsal", took_seconds=1020.0, within_sla=False, artifact="log", sha256="c" * 64)
    older = row(hash="b" * 64)
    found = {"plan": "api", "hash": "a" * 64, "sla_seconds": 900.0, "current": [slow], "earlier": [older]}
    daemon.answers[f"GET {EVIDENCE}"] = success(found)
    shown = rollbackd("evidence", "list", "api", "--socket", str(daemon.socket)).stdout.splitlines()
    assert shown[2].split() == [
        *("rehearsal", "aaaaaaaaaaaa", "17m,", "over", "the", "SLA", "bob"),
        *("2026-03-01T12:00:00.000Z", "log", "cccccccccccc"),
    ]
    assert "bbbbbbbbbbbb (changed since)" in shown[3]


def test_of_a_plan_without_evidence_the_list_says_so(daemon: FakeDaemon) -> None:
    found: dict[str, Any] = {"plan": "api", "hash": "a", "sla_seconds": 1.0, "current": [], "earlier": []}
    daemon.answers[f"GET {EVIDENCE}"] = success(found)
    said = rollbackd("evidence", "list", "api", "--socket", str(daemon.socket))
    assert said.stdout == "nothing was shown of api\n"
