"""Reports and impact, by the real daemon on a real Prometheus (S5, E6)."""

from __future__ import annotations

import json
from typing import Any

from tests.daemon.rig import Rig
from tests.servers import wait_for


def written(rig: Rig) -> dict[str, Any]:
    path = rig.state_dir / "reports" / "api-1.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def test_an_ended_rollback_is_measured_and_reported_on_the_disk(rig: Rig) -> None:
    impact = {
        "downtime_seconds": {"expr": "max(sum_over_time(bad[$span]))"},
        "failed_requests": {"expr": "sum(increase(nothing_of_that_name[$span]))"},
    }
    rig.write(impact=impact)
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    assert rig.wait_state("api-1", "verified") == "verified"
    folder = rig.state_dir / "reports"
    wait_for(lambda: (folder / "api-1.json").exists(), what="the report at its end")
    assert written(rig)["rollback_metrics"]["impact_metrics"]["downtime_seconds"] is None

    def measured() -> bool:
        return written(rig)["rollback_metrics"]["impact_metrics"]["downtime_seconds"] is not None

    wait_for(measured, seconds=60, what="the report with its impact")
    found = written(rig)["rollback_metrics"]["impact_metrics"]
    assert found["downtime_seconds"] > 0
    assert found["failed_requests"] is None
    assert found["unanswered"]["failed_requests"]
    wait_for(lambda: rig.log().count("event=report_written") == 2, what="both rows")
    for form in ("md", "html", "json"):
        body = (folder / f"api-1.{form}").read_bytes()
        assert rig.cli("report", "api-1", "--format", form).stdout.encode() == body
