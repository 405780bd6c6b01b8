"""What the read API tells, over both ways in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.web.conftest import Served
from tests.web.scene import MINUTE, Scene, config, plan, trigger

from rollbackd.core import signals as s
from rollbackd.core.model import Action
from rollbackd.web.views import rfc3339


async def test_triggers_show_the_worst_subjects_first(served: Served) -> None:
    served.scene.window({"stable": "0.001", "canary": "0.02"})
    (found,) = await served.get("/api/v1/triggers")
    assert found["subjects"] == [
        {"labels": {"cohort": "canary"}, "verdict": "breach", "streak": 1, "disarmed": None},
        {"labels": {"cohort": "stable"}, "verdict": "ok", "streak": 0, "disarmed": None},
    ]
    assert found["armed"] is True
    assert found["blind"] is None
    assert found["last_window"] == "2025-12-09T20:00:15.000Z"
    assert {"name", "group", "plan", "severity", "action", "windows", "problem"} <= found.keys()
    assert (found["interval_seconds"], found["align_seconds"]) == (15, 0)


async def test_at_most_200_subjects_are_shown(served: Served) -> None:
    served.scene.window({f"c{number:03}": "0.001" for number in range(300)} | {"z": "0.02"})
    (found,) = await served.get("/api/v1/triggers")
    assert len(found["subjects"]) == 200
    assert found["subjects"][0]["labels"] == {"cohort": "z"}
    assert found["subject_count"] == 301


async def test_a_subject_that_fired_is_disarmed(served: Served) -> None:
    served.scene.fire()
    (found,) = await served.get("/api/v1/triggers")
    assert found["subjects"][0]["disarmed"] == "fired"
    assert found["armed"] is False


async def test_an_open_rollback(served: Served) -> None:
    life = served.scene.fire()
    served.scene.run_step(life)
    (row,) = await served.get("/api/v1/rollbacks")
    assert row["id"] == "api-1"
    assert row["scope"] == "all"
    assert row["state"] == "running"
    assert row["subjects"] == [{"cohort": "canary"}]
    assert row["sla"] == {
        "seconds": 900,
        "target_seconds": 600,
        "deadline": "2025-12-09T20:15:30.200Z",
        "breached": False,
    }
    full = await served.get("/api/v1/rollbacks/api-1")
    assert {name: full[name] for name in row} == row
    assert [(step["step"], step["state"]) for step in full["steps"]] == [
        ("drain", "done"),
        ("revert", "running"),
        ("tidy", "to_come"),
    ]
    assert [window["value"] for window in full["firings"][0]["windows"]] == ["0.025", "0.025"]
    assert "rollback began: services taken" in [entry["text"] for entry in full["timeline"]]


async def test_ended_rollbacks_come_from_the_journal(served: Served) -> None:
    life = served.scene.roll_back()
    assert life not in served.scene.state.lives
    (row,) = await served.get("/api/v1/rollbacks")
    assert (row["id"], row["state"], row["sla"]["deadline"]) == (life, "verified", None)
    assert row["ended"] is not None
    full = await served.get(f"/api/v1/rollbacks/{life}")
    assert full["state"] == "verified"
    assert full["timeline"][-1]["kind"] in ("life_ended", "page_promised")
    assert await served.get("/api/v1/rollbacks?limit=0") == []


def steps(full: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(step["step"], step["state"], step["attempts"]) for step in full["steps"]]


async def test_steps_before_from_are_not_run(served: Served) -> None:
    served.scene.take(s.OperatorSpoke(0, s.Start("api", "go on", from_step="revert"), "ann", "socket"))
    full = await served.get("/api/v1/rollbacks/api-1")
    assert steps(full) == [("drain", "not_run", 0), ("revert", "running", 1), ("tidy", "to_come", 0)]


async def test_a_step_in_doubt_takes_no_longer_than_it_ran(served: Served) -> None:
    scene = served.scene
    life = scene.fire()
    scene.run_step(life, outcome="timed_out", status=None, output="draining 3 of 7\n")
    over = scene.now
    scene.pass_time(5 * MINUTE)
    full = await served.get(f"/api/v1/rollbacks/{life}")
    assert steps(full) == [("drain", "doubtful", 1), ("revert", "to_come", 0), ("tidy", "to_come", 0)]
    assert full["steps"][0]["ended"] == rfc3339(over)
    assert full["steps"][0]["said"] == "draining 3 of 7"


async def test_an_abort_keeps_what_is_known_of_the_step_in_doubt(served: Served) -> None:
    scene = served.scene
    life = scene.fire()
    began = rfc3339(scene.now)
    scene.take(s.OperatorSpoke(0, s.Abort(life, now=True), "ann", "socket"))
    scene.run_step(life, outcome="stopped", status=None, output="draining\n")
    full = await served.get(f"/api/v1/rollbacks/{life}")
    assert steps(full) == [("drain", "in_doubt", 1), ("revert", "not_run", 0), ("tidy", "not_run", 0)]
    drain = full["steps"][0]
    assert (drain["began"], drain["ended"], drain["executions"]) == (began, rfc3339(scene.now), [1])
    assert drain["said"] == "draining"


@pytest.mark.parametrize("ceiling", ["shadow", "ask"])
async def test_what_a_shadowed_rollback_would_have_done(served: Served, ceiling: Action) -> None:
    scene = served.scene
    scene.take(s.ConfigurationLoaded(config(hash="h2", max_action=ceiling)))
    scene.take(s.OperatorSpoke(0, s.Pause(service="api", comment="load test"), "ann", "socket"))
    scene.fire()
    (row,) = await served.get("/api/v1/rollbacks")
    assert (row["action"], row["would"]) == (ceiling, "ask" if ceiling == "shadow" else None)


async def test_a_resolution_is_in_the_list(served: Served) -> None:
    scene = served.scene
    life = scene.fire()
    scene.run_step(life, status=1)
    scene.take(s.OperatorSpoke(0, s.Resolve(life, "by hand", "fine"), "ann", "socket"))
    (row,) = await served.get("/api/v1/rollbacks")
    assert row["resolution"]["by"] == "ann"


async def test_a_wrong_path_is_told_the_right_ones(served: Served) -> None:
    status, kind, text = await served.problem("/api/v1/nothing")
    assert (status, kind) == (404, "not_found")
    for path in ("/-/ready", "/metrics", "/api/v1/rollbacks/{id}/report", "/api/v1/triggers"):
        assert path in text.split(", ")


async def test_open_ones_come_first(served: Served) -> None:
    first = served.scene.roll_back()
    served.scene.take(s.OperatorSpoke(0, s.Start("api", "again"), "ann", "socket"))
    rows = await served.get("/api/v1/rollbacks")
    assert [row["id"] for row in rows] == ["api-2", first]


@pytest.mark.parametrize(
    ("target", "status", "kind"),
    [
        ("api-9", 404, "not_found"),
        ("nope", 404, "not_found"),
        ("api-01", 404, "not_found"),
        ("%0a%1b[31m", 404, "not_found"),
        ("ap", 400, "bad_data"),
        ("api-", 400, "bad_data"),
    ],
)
async def test_ids_that_fit_nothing_or_too_much(served: Served, target: str, status: int, kind: str) -> None:
    for _ in range(2):
        served.scene.take(s.OperatorSpoke(0, s.Start("api", "by hand"), "ann", "socket"))
        served.scene.take(s.OperatorSpoke(0, s.Abort("api", now=True), "ann", "socket"))
        for life in list(served.scene.state.lives):
            served.scene.run_step(life, outcome="stopped", status=None)
            served.scene.take(s.OperatorSpoke(0, s.Resolve(life, "by hand", "fine"), "ann", "socket"))
    assert served.scene.state.numbers == {"api": 2}
    answered = await served.problem(f"/api/v1/rollbacks/{target}")
    assert answered[:2] == (status, kind)


async def test_a_unique_prefix_is_enough(served: Served) -> None:
    life = served.scene.roll_back()
    assert (await served.get("/api/v1/rollbacks/ap"))["id"] == life


@pytest.mark.parametrize(
    ("form", "kind", "begins"),
    [
        ("md", "text/markdown", "# Rollback report"),
        ("html", "text/html", "<!doctype html>"),
        ("json", "application/json", '{\n  "version": 1'),
    ],
)
async def test_the_report_in_each_form(served: Served, form: str, kind: str, begins: str) -> None:
    life = served.scene.roll_back()
    async with served.tcp.get(f"/api/v1/rollbacks/{life}/report?format={form}") as answer:
        assert (answer.status, answer.content_type) == (200, kind)
        styled = "style-src 'unsafe-inline'" in answer.headers["Content-Security-Policy"]
        assert styled is (form == "html")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert (await answer.text()).lstrip().startswith(begins)


async def test_a_report_in_no_known_form(served: Served) -> None:
    life = served.scene.roll_back()
    async with served.tcp.get(f"/api/v1/rollbacks/{life}/report?format=pdf") as answer:
        assert answer.status == 400
        assert "md, html, json" in await answer.text()


async def test_the_report_is_markdown(served: Served) -> None:
    life = served.scene.roll_back()
    async with served.tcp.get(f"/api/v1/rollbacks/{life}/report") as answer:
        assert answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
        assert (await answer.text()).startswith("# Rollback report: api (api-1)\n")


async def test_plans_rollouts_pauses_matters(served: Served) -> None:
    scene = served.scene
    scene.take(s.OperatorSpoke(0, s.BeginRollout("api", "v1", "v2"), "ann", "socket"))
    scene.take(
        s.OperatorSpoke(0, s.Pause(service="api", duration=MINUTE, comment="load test"), "ann", "socket")
    )
    scene.fire()
    (found,) = await served.get("/api/v1/plans")
    assert [phase["phase"] for phase in found["phases"]] == ["stop-traffic", "revert", "clean-up"]
    (rollout,) = await served.get("/api/v1/rollouts")
    assert (rollout["state"], rollout["previous"], rollout["next"]) == ("open", "v1", "v2")
    (pause,) = await served.get("/api/v1/pauses")
    assert (pause["service"], pause["by"], pause["comment"]) == ("api", "ann", "load test")
    (matter,) = await served.get("/api/v1/matters")
    assert (matter["key"], matter["cause"]) == ("life/api-1", "approval")
    assert matter["deliveries"][0]["receiver"] == "am"
    (row,) = await served.get("/api/v1/rollbacks")
    assert [low["reason"] for low in row["lowered_by"]] == ["paused"]
    assert row["state"] == "waiting_approval"


async def test_the_scorecard(served: Served) -> None:
    scene = served.scene
    scene.roll_back()
    card = await served.get("/api/v1/scorecard?days=7")
    assert (card["days"], card["all"]["rollbacks"], card["all"]["incidents"]) == (7, 1, 0)
    share = {"of": 1, "hits": 1, "share": 1.0, "target": 0.95, "verdict": "too_few"}
    assert card["all"]["shares"]["sla_met"] == {**share, "why": "1 of 1: too few to judge"}
    assert card["all"]["shares"]["rehearsed"]["share"] is None
    assert [score["service"] for score in card["services"]] == list(scene.state.config.plans[0].services)  # type: ignore[union-attr]
    assert (await served.get("/api/v1/scorecard?service=nobody"))["all"]["rollbacks"] == 0


@pytest.mark.parametrize("days", ["0", "-1", "x", "1e3"])
async def test_a_scorecard_of_no_days(served: Served, days: str) -> None:
    async with served.tcp.get(f"/api/v1/scorecard?days={days}") as answer:
        assert answer.status == 400
        assert "a whole number from" in (await answer.json())["error"]


async def test_status(served: Served) -> None:
    assert await served.get("/api/v1/status/config") == {"yaml": "instance: test-1\n"}
    assert await served.get("/api/v1/status/buildinfo") == {"instance": "test-1", "version": "0.0-test"}


async def test_health_and_readiness(served: Served) -> None:
    async with served.tcp.get("/-/ready") as ready, served.tcp.get("/-/healthy") as healthy:
        assert (ready.status, healthy.status) == (200, 200)
    served.scene.reasons = ["configuration: none", "not judged yet: A"]
    served.scene.halted = "no room"
    async with served.tcp.get("/-/ready") as ready, served.tcp.get("/-/healthy") as healthy:
        assert (ready.status, healthy.status) == (503, 503)
        assert await ready.text() == "configuration: none\nnot judged yet: A\n"


async def test_reading_changes_nothing(served: Served) -> None:
    """E4."""
    served.scene.fire()
    before, head = served.scene.state, served.scene.journal.head()
    for path in ("triggers", "plans", "rollouts", "rollbacks", "rollbacks/api-1", "rollbacks/api-1/report"):
        async with served.tcp.get(f"/api/v1/{path}") as answer:
            assert answer.status == 200
    async with served.tcp.get("/metrics") as answer:
        assert answer.status == 200
    assert served.scene.state is before
    assert served.scene.journal.head() == head


async def test_a_hostile_label_stays_data(served: Served) -> None:
    """Fault 68."""
    served.scene.window({"<script>\n\x1b[31m$(id)": "0.02"})
    async with served.tcp.get("/api/v1/triggers") as answer:
        raw = await answer.read()
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert b"\x1b" not in raw
    assert b"\n" not in raw
    found = json.loads(raw)["data"][0]["subjects"][0]
    assert found["labels"] == {"cohort": "<script>\n\x1b[31m$(id)"}


async def test_a_thousand_triggers_are_listed_in_slices(served: Served) -> None:
    many = config(
        hash="many",
        plans=(plan(),),
        triggers=tuple(trigger(f"T{number}", fingerprint=f"f{number}") for number in range(1_000)),
    )
    served.scene.take(s.ConfigurationLoaded(many))
    assert len(await served.get("/api/v1/triggers")) == 1_000


def test_the_scene_is_a_daemon() -> None:
    from rollbackd.web import Daemon

    daemon: Daemon = Scene()
    assert daemon.instance == "test-1"
