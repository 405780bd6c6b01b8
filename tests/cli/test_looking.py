"""What the commands that look print, and what they answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.fake import (
    FakeDaemon,
    Reply,
    ended,
    entry,
    life,
    matter,
    refusal,
    rollbackd,
    trigger,
)

HOSTILE = "\x1b[2J\x1b]0;owned\x07[red]bold[/red] a\nb\r\u202e\x9b31m<b>$(reboot)"
STEPS: list[dict[str, Any]] = [
    {
        "phase": "stop-traffic",
        "step": "drain",
        "state": "done",
        "by": "run",
        "attempts": 1,
        "detail": "",
        "began": "2026-03-01T12:00:00.000Z",
        "ended": "2026-03-01T12:03:45.000Z",
    },
    {
        "phase": "revert",
        "step": "flip",
        "state": "failed",
        "by": "alice",
        "attempts": 2,
        "detail": "exit 1",
        "began": "2026-03-01T12:03:45.000Z",
        "ended": "2026-03-01T12:05:00.000Z",
    },
    {
        "phase": "tidy",
        "step": "sweep",
        "state": "not_run",
        "by": None,
        "attempts": 0,
        "detail": "",
        "began": None,
        "ended": None,
    },
]


def test_status_says_first_what_needs_you(daemon: FakeDaemon) -> None:
    daemon.overview(
        rollbacks=[life(state="waiting_approval"), ended("verified", id="api-6")],
        triggers=[trigger()],
        rollouts=[{"id": "api-r1", "plan": "api", "previous": "v1", "next": "v2", "state": "open"}],
        pauses=[{"service": "api", "trigger": None, "by": "bob", "until": None, "comment": "freeze"}],
        matters=[matter(acked={"by": "carol"}), matter(key="source", title="Prometheus is silent")],
    )
    result = rollbackd("status", "--socket", str(daemon.socket))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "NEEDS YOU"
    order = ["Prometheus is silent", "approve a rollback? (api-7)", "acknowledged by carol", "ROLLBACKS"]
    order += ["ROLLOUTS", "v1 → v2", "PAUSED", "service api", "TRIGGERS", "3/8", "X breach"]
    found = [next(at for at, line in enumerate(lines) if text in line) for text in order]
    assert found == sorted(found)
    assert "`rollbackd approve api-7` or `rollbackd veto api-7`" in result.stdout
    assert "more" not in result.stdout


NEEDS = [
    ({"state": "waiting_veto"}, "`rollbackd veto api-7` stops it"),
    ({"state": "held"}, "`rollbackd resume api-7` goes on"),
    (
        {"state": "parked", "detail": "step drain is in doubt"},
        "step drain is in doubt; `rollbackd show api-7`",
    ),
    ({"state": "running"}, None),
    ({"state": "verifying"}, None),
]


@pytest.mark.parametrize(("changes", "todo"), NEEDS)
def test_a_rollback_that_waits_needs_you(
    daemon: FakeDaemon, changes: dict[str, Any], todo: str | None
) -> None:
    daemon.overview(rollbacks=[life(**changes)])
    said = rollbackd("status", "--socket", str(daemon.socket)).stdout
    assert (todo or "nothing needs you") in said


def test_status_of_a_daemon_that_is_not_ready(daemon: FakeDaemon) -> None:
    daemon.overview()
    daemon.answers["GET /-/ready"] = Reply(503, b"no full evaluation yet\nstate not recovered\n")
    said = rollbackd("status", "--socket", str(daemon.socket)).stdout
    assert said.index("no full evaluation yet") < said.index("state not recovered")
    assert "nothing needs you" not in said


def test_rows_stay_on_one_line_off_a_terminal(daemon: FakeDaemon) -> None:
    daemon.overview(rollbacks=[life(id=f"api-{n}", detail="long " * 30) for n in range(3)])
    lines = rollbackd("status", "--socket", str(daemon.socket)).stdout.splitlines()
    assert sum("long long" in line for line in lines) == 3
    assert all(line == line.rstrip() for line in lines)


def test_show_tells_the_life(daemon: FakeDaemon) -> None:
    window = {"end": "2026-03-01T12:00:00.000Z", "verdict": "breach", "value": "0.2"}
    firing = {"trigger": "T", "labels": {"cohort": "canary"}, "value": "0.2", "limit": "> 0.01", "streak": 8}
    check = {"name": "previous-healthy", "answer": "cannot_tell", "at": "2026-03-01T12:00:00.000Z"}
    lowered = [{"reason": "spent", "to": "ask", "detail": "api was rolled back by api-6"}]
    found = ended(
        "failed",
        steps=STEPS,
        firings=[{**firing, "windows": [window, {**window, "verdict": "no_data"}]}],
        checks=[{**check, "detail": "timed out"}],
        lowered_by=lowered,
        timeline=[entry("12:00:00", "api-7 opened"), entry("12:01:00", "held", "alice")],
    )
    daemon.get("rollbacks/api-7", found)
    result = rollbackd("show", "api-7", "--socket", str(daemon.socket))
    assert result.exit_code == 0
    for text in (
        "api-7  failed",
        "previous v1, next v2",
        "to ask: api was rolled back by api-6",
        "5m of 15m",
        "drain  done",
        "failed by alice",
        "X_",
        "timed out",
        "2026-03-01 12:01:00Z held (alice)",
    ):
        assert text in result.stdout


def test_shadow_shows_what_would_have_been(daemon: FakeDaemon) -> None:
    lowered = [
        {"reason": "max_action", "to": "shadow", "detail": "max_action is shadow"},
        {"reason": "paused", "to": "ask", "detail": "api is paused by bob"},
    ]
    found = ended("shadowed", action="shadow", would="ask", lowered_by=lowered)
    daemon.overview(rollbacks=[found])
    daemon.get("rollbacks/api-7", found)
    for command in ("status", "show api-7"):
        said = rollbackd(*command.split(), "--socket", str(daemon.socket)).stdout
        assert "shadow (would: ask)" in said
    assert "lowered   to ask: api is paused by bob" in said
    assert "max_action is shadow" not in said


def test_ended_rollbacks_take_a_line_each(daemon: FakeDaemon) -> None:
    resolution = {"by": "alice", "channel": "socket", "approach": "by hand"}
    found = [
        ended("failed", id=f"api-{number}", detail="long " * 30, resolution=resolution) for number in range(7)
    ]
    daemon.overview(rollbacks=[life(id="api-9"), *found])
    lines = rollbackd("status", "--socket", str(daemon.socket)).stdout.splitlines()
    told = [line for line in lines if "  failed  " in line]
    assert len(told) == 5
    assert all("resolved by alice" in line and "5m of 15m" in line for line in told)
    assert lines.index("ROLLBACKS") < lines.index("ENDED ROLLBACKS")


def test_rollouts_that_are_over_show_no_deadline(daemon: FakeDaemon) -> None:
    rollout = {"plan": "api", "previous": "v1", "next": "v2", "until": "2026-03-01T14:00:00.000Z"}
    daemon.get(
        "rollouts",
        [
            {**rollout, "id": "api-r2", "state": "open"},
            {**rollout, "id": "api-r1", "state": "finished"},
        ],
    )
    lines = rollbackd("rollout", "list", "--socket", str(daemon.socket)).stdout.splitlines()
    shown = {line.split()[0]: "14:00:00Z" in line for line in lines if line.startswith("api-")}
    assert shown == {"api-r2": True, "api-r1": False}


def test_approved_and_held_needs_a_resume(daemon: FakeDaemon) -> None:
    asked = matter(key="life/api-7", life="api-7", cause="approval", text="Decide.", title="approve?")
    for cause, needed in (("approval", True), ("in_doubt", False)):
        held = life(state="held", held={"by": "bob"}, approval={"by": "carol"})
        daemon.overview(rollbacks=[held], matters=[{**asked, "cause": cause}])
        said = rollbackd("status", "--socket", str(daemon.socket)).stdout
        assert ("approved and held (api-7)  `rollbackd resume api-7` goes on" in said) == needed
        assert ("Decide." in said) != needed


def test_deadlines_are_told_from_now_too(daemon: FakeDaemon) -> None:
    far = "9999-03-01 12:00:00 UTC"
    daemon.overview(matters=[matter(text=f"Decide by {far}: `rollbackd approve api-7`.")])
    said = rollbackd("status", "--socket", str(daemon.socket)).stdout
    assert re.search(rf"Decide by {far} \(in \d+d(\d+h)?\): `rollbackd approve", said)


def test_a_ratio_is_shown_as_its_quotient(daemon: FakeDaemon) -> None:
    firing = {"trigger": "T", "labels": {}, "value": "10/20", "limit": "> 0.01", "streak": 8}
    daemon.get("rollbacks/api-7", life(firings=[firing]))
    assert "0.5 (10/20)" in rollbackd("show", "api-7", "--socket", str(daemon.socket)).stdout


def test_a_step_that_went_wrong_says_its_last_words(daemon: FakeDaemon) -> None:
    doubtful = {**STEPS[0], "state": "doubtful", "said": "waiting for lock 7"}
    failing = {**STEPS[1], "detail": "exit 1: no such release", "said": "no such release"}
    daemon.get("rollbacks/api-7", life(steps=[doubtful, failing, {**STEPS[2], "said": "quiet"}]))
    said = rollbackd("show", "api-7", "--socket", str(daemon.socket)).stdout
    assert "drain: its last line: waiting for lock 7\n" in said
    assert "flip: exit 1: no such release\n" in said
    assert "quiet" not in said
    assert "`rollbackd report api-7`" in said


def test_phases_stand_against_the_sla(daemon: FakeDaemon) -> None:
    daemon.get("rollbacks/api-7", ended("failed", steps=STEPS))
    said = rollbackd("show", "api-7", "--socket", str(daemon.socket)).stdout.splitlines()
    at = said.index("PHASES")
    # 40 cells are 15 minutes: drain takes ten of them, flip three; the target is at 27, the SLA at 40
    drain, flip, tidy = (
        line.removeprefix(name)
        for name, line in zip(
            ("stop-traffic  ", "revert        ", "tidy          "), said[at + 2 : at + 5], strict=True
        )
    )
    assert drain == "=" * 10 + " " * 17 + "+" + " " * 12 + "|  3m45s"
    assert flip == " " * 10 + "=" * 3 + " " * 14 + "+" + " " * 12 + "|  1m15s"
    assert tidy == " " * 27 + "+" + " " * 12 + "|"
    assert "+ target 10m   | SLA 15m" in said[at + 5]


ENDINGS = [
    ("verified", 0),
    ("failed", 1),
    ("unverified", 1),
    ("aborted", 1),
    ("stood_down", 1),
    ("vetoed", 1),
]


@pytest.mark.parametrize(("state", "code"), ENDINGS)
def test_until_verified_waits_for_the_end(daemon: FakeDaemon, state: str, code: int) -> None:
    daemon.get("rollbacks/api-7", life(), life(state="verifying"), ended(state))
    result = rollbackd("show", "api-7", "--until", "verified", "--socket", str(daemon.socket))
    assert result.exit_code == code
    assert f"api-7  {state}" in result.stdout


def test_until_verified_does_not_wait_for_the_clean_up(daemon: FakeDaemon) -> None:
    daemon.get("rollbacks/api-7", life(state="running", verified="2026-03-01T12:05:00.000Z"))
    assert rollbackd("show", "api-7", "--until", "verified", "--socket", str(daemon.socket)).exit_code == 0


def test_a_prefix_that_fits_none(daemon: FakeDaemon) -> None:
    result = rollbackd("show", "zz", "--socket", str(daemon.socket))
    assert (result.exit_code, result.stdout) == (1, "")


def test_a_prefix_is_followed_by_its_id(daemon: FakeDaemon) -> None:
    daemon.get("rollbacks/api", life())
    daemon.get("rollbacks/api-7", ended("verified"))
    assert rollbackd("show", "api", "--until", "verified", "--socket", str(daemon.socket)).exit_code == 0


def test_tables_are_json_too(daemon: FakeDaemon) -> None:
    daemon.overview(rollbacks=[life(reason=HOSTILE)], triggers=[trigger()], matters=[matter()])
    daemon.get("rollbacks/api-7", life(reason=HOSTILE))
    daemon.get("rollouts", [{"id": "api-r1", "plan": HOSTILE}])
    picks: list[tuple[str, Callable[[Any], object]]] = [
        ("status", lambda found: found["rollbacks"][0]["reason"]),
        ("show api-7", lambda found: found["reason"]),
        ("rollout list", lambda found: found[0]["plan"]),
    ]
    for command, pick in picks:
        result = rollbackd(*command.split(), "--json", "--socket", str(daemon.socket))
        assert (result.exit_code, pick(json.loads(result.stdout))) == (0, HOSTILE)
        assert "".join(result.stdout.split("\n")).isprintable()


def test_fault_68_hostile_text_is_shown_escaped(daemon: FakeDaemon) -> None:
    subject = {"labels": {HOSTILE: HOSTILE}, "verdict": "breach", "streak": 1, "disarmed": HOSTILE}
    found = life(
        reason=HOSTILE,
        trigger=HOSTILE,
        subjects=[{"cohort": HOSTILE}],
        detail=HOSTILE,
        waits_for=HOSTILE,
        versions={"previous": HOSTILE, "next": [HOSTILE]},
        lowered_by=[{"reason": HOSTILE, "to": HOSTILE, "detail": HOSTILE}],
        steps=[{**STEPS[0], "detail": HOSTILE, "by": HOSTILE, "phase": HOSTILE}],
        checks=[{"name": HOSTILE, "answer": HOSTILE, "at": HOSTILE, "detail": HOSTILE}],
        firings=[{"trigger": HOSTILE, "labels": {"a": HOSTILE}, "value": HOSTILE, "limit": HOSTILE}],
        timeline=[{**entry("12:00:00", HOSTILE, HOSTILE), "comment": HOSTILE}],
    )
    daemon.overview(
        rollbacks=[found],
        triggers=[trigger(name=HOSTILE, subjects=[subject]), trigger(blind=HOSTILE, problem=HOSTILE)],
        rollouts=[{"id": HOSTILE, "plan": HOSTILE, "previous": HOSTILE, "by": HOSTILE, "until": HOSTILE}],
        pauses=[{"service": HOSTILE, "by": HOSTILE, "comment": HOSTILE, "until": HOSTILE}],
        matters=[matter(title=HOSTILE, text=HOSTILE, key=HOSTILE, acked={"by": HOSTILE})],
    )
    daemon.get("rollbacks/api-7", found)
    daemon.answers["GET /api/v1/rollbacks/api-7/report"] = Reply(200, HOSTILE.encode())
    for command in ("status", "show api-7", "rollout list", "report api-7"):
        result = rollbackd(*command.split(), "--socket", str(daemon.socket))
        assert result.exit_code == 0
        assert all(line.isprintable() for line in result.stdout.split("\n")), command
        assert "\\x1b[2J" in result.stdout
        assert "[red]bold[/red]" in result.stdout


def test_fault_68_hostile_refusals(daemon: FakeDaemon) -> None:
    daemon.answers["GET /api/v1/rollbacks/api-7"] = refusal(404, "not_found", HOSTILE)
    result = rollbackd("show", "api-7", "--socket", str(daemon.socket))
    assert result.stderr.count("\n") == 1
    assert result.stderr.rstrip("\n").isprintable()


@pytest.mark.parametrize("form", ["html", "json"])
def test_report_in_another_form(daemon: FakeDaemon, form: str) -> None:
    daemon.answers[f"GET /api/v1/rollbacks/api-7/report?format={form}"] = Reply(200, b"whole")
    result = rollbackd("report", "api-7", "--format", form, "--socket", str(daemon.socket))
    assert (result.exit_code, result.stdout) == (0, "whole\n")


def test_report_goes_to_the_terminal_or_a_file(daemon: FakeDaemon, tmp_path: Path) -> None:
    text = "# api-7\n\n| a | b |\n"
    daemon.answers["GET /api/v1/rollbacks/api-7/report"] = Reply(200, text.encode())
    assert rollbackd("report", "api-7", "--socket", str(daemon.socket)).stdout == text
    file = tmp_path / "report.md"
    result = rollbackd("report", "api-7", "-o", str(file), "--socket", str(daemon.socket))
    assert (result.exit_code, result.stdout, file.read_text()) == (0, "", text)
    result = rollbackd("report", "api-7", "-o", str(tmp_path / "no" / "f"), "--socket", str(daemon.socket))
    assert result.exit_code == 1
    assert "name a file that can be written" in result.stderr
