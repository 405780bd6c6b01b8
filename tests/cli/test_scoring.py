"""What `scorecard` prints of what the daemon answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cli.fake import FakeDaemon, rollbackd

from rollbackd.cli.scoring import percent


def share(hits: int | None, of: int, target: float, verdict: str, why: str = "") -> dict[str, Any]:
    known = None if hits is None or not of else hits / of
    return {"of": of, "hits": hits, "share": known, "target": target, "verdict": verdict, "why": why}


def score(service: str | None, rollbacks: int, **more: Any) -> dict[str, Any]:
    return {
        "service": service,
        "rollbacks": rollbacks,
        "per_week": 1.5,
        "shares": {
            "sla_met": share(rollbacks, rollbacks, 0.95, "met"),
            "success": share(2, 2, 0.95, "too_few", "2 of 2: too few to judge"),
            "automated": share(1, 3, 0.8, "missed"),
            "rehearsed": share(None, 3, 1.0, "unknown", "no rehearsal is on record"),
        },
        "incidents": 0,
        "unresolved": 0,
        "seconds": {"average": 252.5, "p95": 600.0},
        "triggers": {"errors": 2, "\x1b[2Jlag": 1},
        **more,
    }


def card(**more: Any) -> dict[str, Any]:
    whole = score(None, 3, incidents=1, unresolved=1)
    found = {"days": 30, "since": "2026-11-01T00:00:00.000Z", "recorded": 9}
    return {**found, "all": whole, "services": [score("web", 1), score("api", 2)], **more}


def asked(daemon: FakeDaemon, *more: str, query: str = "days=30", answer: Any = None) -> tuple[int, str]:
    daemon.get(f"scorecard?{query}", card() if answer is None else answer)
    result = rollbackd("scorecard", "--socket", str(daemon.socket), *more)
    return result.exit_code, result.stdout


def test_a_card_for_people(daemon: FakeDaemon) -> None:
    code, said = asked(daemon)
    assert code == 0
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert lines == [
        "THE LAST 30 DAYS",
        "measure target",
        "SLA met 100 % 95 % 3 of 3: met",
        "verified 100 % 95 % 2 of 2: too few to judge",
        "automated 33.3 % 80 % 1 of 3: missed",
        "rehearsed before unknown 100 % no rehearsal is on record",
        "incidents from failed rollbacks 1 0 missed",
        "rollbacks 3 1.5 a week",
        "time, on average 4m12s 95 % within 10m",
        "the record is 9 days old",
        "not resolved yet: 1",
        r"most often by: errors 2, \x1b[2Jlag 1",
        "",
        "BY SERVICE",
        "service rollbacks a week SLA met verified automated rehearsed before incidents average 95 % within",
        "api 2 1.5 100 % 2 of 2 33.3 % unknown 0 4m12s 10m",
        "web 1 1.5 100 % 2 of 2 33.3 % unknown 0 4m12s 10m",
    ]


def test_no_rollback_is_no_zero(daemon: FakeDaemon) -> None:
    none = {name: share(0, 0, 0.95, "unknown", "there was no rollback") for name in ("sla_met", "success")}
    times = {"average": None, "p95": None}
    empty = score(None, 0, shares=none, seconds=times, triggers={})
    code, said = asked(daemon, answer=card(all=empty, services=[], recorded=30))
    assert code == 0
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert "SLA met unknown 95 % there was no rollback" in lines
    assert "time, on average unknown 95 % within unknown" in lines


def test_of_one_service_and_as_json(daemon: FakeDaemon) -> None:
    one = card(all=score("api", 2))
    code, said = asked(daemon, "--days", "7", "--service", "api", query="days=7&service=api", answer=one)
    assert (code, said.startswith("THE LAST 30 DAYS OF API")) == (0, True)
    code, said = asked(daemon, "--json")
    assert (code, json.loads(said)) == (0, card())


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.0, "100 %"),
        (0.99999, "99.9 %"),
        (0.95, "95 %"),
        (0.9499, "94.9 %"),
        (0.0, "0 %"),
        (None, "unknown"),
    ],
)
def test_a_share_is_never_rounded_up(number: float, text: str) -> None:
    assert percent(number) == text
