"""Evidence and the permit's gate over the API, and its metric (P1)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.web.conftest import Served
from tests.web.scene import plan

from rollbackd.core import signals as s

GATE = "/api/v1/gates/permit/api"
EVIDENCE = "/api/v1/plans/api/evidence"


async def gate_open(served: Served) -> float:
    async with served.tcp.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    (line,) = [line for line in lines if line.startswith('rollbackd_gate_open{gate="permit",plan="api"}')]
    return float(line.split()[-1])


async def test_a_closed_gate_says_every_reason(served: Served) -> None:
    found = await served.get(GATE)
    assert (found["open"], found["hash"], found["level"]) == (False, "c0ffee", 3)
    about = [reason["about"] for reason in found["reasons"]]
    assert about[:3] == ["estimates", "verification", "scopes"]
    assert "rehearsal" in about
    assert all(reason["what"] and reason["remedy"] for reason in found["reasons"])
    assert found["totals"]["sla_seconds"] == 900.0
    assert await gate_open(served) == 0.0


async def test_evidence_is_kept_and_listed(served: Served) -> None:
    body = {
        "kind": "staging",
        "by": "bob",
        "took": "20m",
        "artifact": "run.log",
        "sha256": "a" * 64,
        "size": 7,
    }
    status, document = await served.post(EVIDENCE, body)
    assert status == 200
    assert "over the SLA of 15m" in document["data"]["text"]
    found = await served.get(EVIDENCE)
    (kept,) = found["current"]
    assert (kept["kind"], kept["by"], kept["took_seconds"], kept["within_sla"]) == (
        "staging",
        "bob",
        1200.0,
        False,
    )
    assert (kept["artifact"], kept["sha256"], kept["size"]) == ("run.log", "a" * 64, 7)
    assert found["earlier"] == []
    assert (await served.get(GATE))["evidence"] == [kept]


async def test_an_open_gate(served: Served) -> None:
    from msgspec.structs import replace
    from tests.fakes.made import query_check
    from tests.web.scene import config

    phases = tuple(replace(phase, estimate=60_000) for phase in plan().phases)
    whole = plan(level=2, phases=phases, verification=(query_check("errors"),))
    served.scene.take(s.ConfigurationLoaded(config(hash="h2", plans=(whole,))))
    for body in (
        {"kind": "staging", "by": "bob"},
        {"kind": "review", "by": "bob"},
        {"kind": "time-measured", "by": "bob", "took": "9m"},
    ):
        assert await gate_open(served) == 0.0
        assert (await served.post(EVIDENCE, body))[0] == 200
    found = await served.get(GATE)
    assert (found["open"], found["reasons"]) == (True, [])
    assert await gate_open(served) == 1.0


async def test_files_that_cannot_be_used_cannot_tell(served: Served) -> None:
    """J2."""
    served.scene.take(s.DaemonStarted(None, problem="rollbackd.yml:1:1: no"))
    found = await served.get(GATE)
    assert (found["open"], found["cannot_tell"]) == (None, "rollbackd.yml:1:1: no")


@pytest.mark.parametrize("path", ["/api/v1/gates/permit/nope", "/api/v1/plans/nope/evidence"])
async def test_an_unknown_plan(served: Served, path: str) -> None:
    assert await served.problem(path) == (404, "not_found", "there is no plan nope; the plans are api")


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "hearsay", "by": "bob"},
        {"kind": "staging"},
        {"kind": "staging", "by": "b\nob"},
        {"kind": "staging", "by": "bob", "took": "0s"},
        {"kind": "staging", "by": "bob", "hash": "not hex"},
        {"kind": "staging", "by": "bob", "artifact": "run.log"},
        {"kind": "staging", "by": "bob", "sha256": "0" * 64},
        {"kind": "staging", "by": "bob", "artifact": "run.log", "sha256": "0" * 63},
        {"kind": "staging", "by": "bob", "size": -1},
        {"kind": "staging", "by": "bob", "plan": "other"},
    ],
)
async def test_what_is_no_evidence_reaches_no_engine(served: Served, body: dict[str, Any]) -> None:
    assert (await served.post(EVIDENCE, body))[0] == 400
    assert served.scene.spoken == []
