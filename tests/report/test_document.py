"""The figures of a life as JSON: every field, unknown is null, and never 0."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.fakes import made
from tests.fakes.made import MINUTE, SECOND, phase
from tests.report import lives
from tests.report.lives import LIVES, Told, told
from tests.report.test_page import told as cached

from rollbackd.core import signals as s
from rollbackd.core.model import ALL, Phase, Scope, Step
from rollbackd.report.accuracy import accuracy
from rollbackd.report.document import VERSION, encoded
from rollbackd.report.parts import Earlier, earlier, faster, parts
from rollbackd.world.runner.recovery import valid_name

FIELDS = {
    "rollback_execution": (
        "triggered_at trigger_type trigger_reason trigger_value trigger_threshold completed_at "
        "total_duration_seconds sla_seconds sla_met sla_buffer_seconds"
    ),
    "rollback_success": "success attempts verification_passed all_services_healthy",
    "impact_metrics": "downtime_seconds affected_requests failed_requests customer_impact revenue_impact_usd",
    "quality_metrics": (
        "rollback_tested_before automated_rollback manual_intervention_required "
        "rollback_documentation_followed rollback_plan_accuracy"
    ),
}
FAILURE = (
    "operation_id permit_id rollback_attempted_at rollback_failed_at failure_reason failure_details "
    "escalation_timeline resolution lessons_learned"
)
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")


def document(one: Told, before: tuple[Earlier, ...] = ()) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encoded(one.life, one.rows, before))
    return found


@pytest.mark.parametrize("name", LIVES)
def test_every_field_is_there_whatever_is_known(name: str) -> None:
    found = document(cached(name))
    assert found["version"] == VERSION
    metrics = found["rollback_metrics"]
    assert {"operation_id", "permit_id", "phase_timings"} <= set(metrics)
    for part, fields in FIELDS.items():
        assert set(fields.split()) <= set(metrics[part]), part
    if found["rollback_failure"] is not None:
        assert set(FAILURE.split()) <= set(found["rollback_failure"])


def test_a_verified_rollback() -> None:
    metrics = document(cached("verified"))["rollback_metrics"]
    execution = metrics["rollback_execution"]
    assert execution["trigger_type"] == "automatic"
    assert (execution["trigger_reason"], execution["trigger_value"]) == ("ApiErrorRatioHigh", 2.5)
    assert (execution["trigger_threshold"], execution["sla_seconds"]) == (1, 900)
    assert MOMENT.fullmatch(execution["triggered_at"])
    assert execution["sla_met"] is True
    took = execution["total_duration_seconds"]
    assert execution["sla_buffer_seconds"] == round(900 - took, 3)
    assert metrics["phase_timings"]["database"] == 95
    assert metrics["rollback_success"] == {
        "success": True,
        "attempts": 2,
        "verification_passed": True,
        "all_services_healthy": True,
        "outcome": "verified",
    }
    assert metrics["impact_metrics"] == {
        "downtime_seconds": 180,
        "affected_requests": None,
        "failed_requests": 71,
        "customer_impact": "minimal",
        "revenue_impact_usd": None,
        "unanswered": {"revenue_impact_usd": "no series"},
    }
    assert metrics["quality_metrics"] == {
        "rollback_tested_before": None,
        "automated_rollback": True,
        "manual_intervention_required": False,
        "rollback_documentation_followed": True,
        "rollback_plan_accuracy": 1.0,
    }


def test_what_never_began_measured_nothing() -> None:
    metrics = document(cached("shadowed"))["rollback_metrics"]
    assert metrics["rollback_success"]["success"] is None
    assert metrics["rollback_execution"]["sla_met"] is None
    assert set(metrics["phase_timings"].values()) == {None}
    assert set(metrics["quality_metrics"].values()) == {None}


def test_the_failure_record() -> None:
    one = cached("failed")
    found = document(one)["rollback_failure"]
    assert found["failure_details"] == {
        "phase": "database",
        "step": "restore",
        "error_message": "pg_restore: error: could not read: end of file",
        "logs": f"attempts/api-1/0004-{valid_name('restore')}/output",
    }
    levels = [(level["level"], level["action"], level["outcome"]) for level in found["escalation_timeline"]]
    assert levels[:3] == [
        (1, None, "escalated"),
        (2, "bob: senior SRE looks at the backup", "escalated"),
        (3, None, "escalated"),
    ]
    assert levels[3][0] == 4
    assert levels[3][2] == "resolved"
    assert found["resolution"]["approach"] == "forward-fix"
    assert found["resolution"]["total_incident_duration_minutes"] == 55.3
    assert found["lessons_learned"] == ["verify backups when they are taken", "keep more than one"]
    assert document(one)["blank"] == ["root_cause", "prevention_measures", "follow_up_actions"]


def test_a_failure_that_nobody_resolved_is_open() -> None:
    one = lives.story(lives.plan())
    one.world.steps["drain"] = [{"status": 1}]
    one.say(s.Start("api", "now"))
    one.run(span=MINUTE)
    found = document(told(one))
    assert found["rollback_failure"]["resolution"] is None
    assert found["rollback_failure"]["lessons_learned"] is None
    assert found["rollback_failure"]["escalation_timeline"][-1]["outcome"] is None
    assert "lessons_learned" in found["blank"]


def test_regions_have_an_SLA_each() -> None:
    found = document(cached("regional"))
    took = {region["region"]: (region["took"], region["breached"]) for region in found["regions"]}
    assert took == {"eu": (45_000, False), "us": (150_000, True), "ap": (30_000, False)}
    assert found["rollback_metrics"]["rollback_execution"]["sla_met"] is False
    assert found["rollback_metrics"]["quality_metrics"]["manual_intervention_required"] is True


# Plan accuracy


def phases(**changes: Any) -> tuple[Phase, ...]:
    return (
        phase("one", Step("drain", made.command("drain"), **changes), "revert"),
        phase("two", "open"),
    )


def run(script: dict[str, Any], *verbs: s.Verb, **changes: Any) -> Told:
    plan = made.plan(phases=phases(**changes), verify_windows=0, verification=(made.query_check("well"),))
    one = lives.story(plan)
    one.world.steps.update(script)
    one.say(s.Start("api", "now"))
    for verb in verbs:
        one.run(span=2 * MINUTE)
        reply = one.say(verb)
        assert reply.accepted, reply.text
    one.run(span=10 * MINUTE)
    return told(one)


def doubt() -> dict[str, Any]:
    return {"drain": [{"outcome": "in_doubt"}]}


@pytest.mark.parametrize(
    ("one", "changed", "share"),
    [
        (lambda: run({}), {}, 1.0),
        (lambda: run({"drain": [{"status": 1}]}, attempts=2), {}, 1.0),
        (
            lambda: run({"revert": [{"status": 1}]}),
            {"revert": "failed", "open": "not run"},
            0.3333,
        ),
        (
            lambda: run(doubt(), s.Confirm("api-1", "drain", "skip", comment="gone")),
            {"drain": "skipped by ann"},
            0.6667,
        ),
        (
            lambda: run(doubt(), s.Confirm("api-1", "drain", "done", comment="looked")),
            {"drain": "done by the word of ann"},
            0.6667,
        ),
        (
            lambda: run(doubt(), s.Confirm("api-1", "drain", "retry", comment="again")),
            {"drain": "run again on the word of ann"},
            0.6667,
        ),
        (lambda: cached("widened"), {"deploy-auth": "failed"}, 0.5),
        (lambda: cached("regional"), {}, 1.0),
    ],
    ids=["as planned", "a planned retry", "failed", "skipped", "confirmed", "again", "widened", "by people"],
)
def test_plan_accuracy(one: Any, changed: dict[str, str], share: float) -> None:
    story = one()
    found = accuracy(story.life, story.rows)
    assert found is not None
    assert (found.changed, found.share) == (changed, share)


def test_accuracy_of_what_never_began_is_unknown() -> None:
    one = cached("shadowed")
    assert accuracy(one.life, one.rows) is None


# Parts of a plan


def known(scope: str, took: int, **phases: int) -> Earlier:
    return Earlier("api-9", "h", scope, took * SECOND, {name: time * SECOND for name, time in phases.items()})


@pytest.mark.parametrize(
    ("before", "measured", "whole_is"),
    [
        ([], None, "unknown"),
        ([known(ALL, 200), known("application", 100)], 50.0, "measured"),
        ([known(ALL, 100), known(ALL, 300), known("application", 100)], 50.0, "measured"),
        ([known("application", 250), known(ALL, 200)], -25.0, "measured"),
        (
            [known("application", 60, application=50), known("database", 100, database=150)],
            70.0,
            "the sum of its phases",
        ),
        ([known("application", 60, application=50)], None, "unknown"),
    ],
)
def test_parts_against_the_whole(before: list[Earlier], measured: float | None, whole_is: str) -> None:
    scopes = (
        Scope("application", ("application",), ("api",)),
        Scope("database", ("database",), ("api",)),
        Scope("auth", ("application",), ("auth",)),
        Scope("config-only", ("application",), ("api", "auth")),
        Scope("eu", ("application",), ("api", "auth"), regions=("eu",)),
        Scope("some", ("application",), ("api", "auth")),
    )
    life = cached("failed").life
    plan = made.plan(
        services=("api", "auth"),
        scopes=scopes,
        regions=("eu", "us"),
        phases=(phase("application", "a", estimate=50_000), phase("database", "d", estimate=150_000)),
    )
    found = {part.scope: part for part in parts(replace(life, plan=plan), before)}
    expected = {name: part.expected for name, part in found.items()}
    assert expected == {
        "application": 40, "database": 30, "auth": 60, "config-only": 70, "eu": 50, "some": None
    }  # fmt: skip
    assert found["application"].estimated == 75.0
    assert found["application"].measured == measured
    assert found["application"].whole_is == whole_is


def test_what_was_widened_or_never_verified_proves_no_time() -> None:
    assert earlier(cached("widened").life) is None
    assert earlier(cached("failed").life) is None
    found = earlier(cached("verified").life)
    assert found is not None
    assert found.phases["database"] == 95_000


@pytest.mark.parametrize(
    ("percent", "said"), [(None, "unknown"), (40, "40 % faster"), (-25.5, "25.5 % slower"), (0, "0 % faster")]
)
def test_faster(percent: float | None, said: str) -> None:
    assert faster(percent) == said


def test_the_document_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reports.md").read_text()
    found = document(cached("failed"))
    names = {*found, *found["rollback_metrics"], *found["rollback_failure"], *found["rollback"]}
    for part in found["rollback_metrics"].values():
        names |= set(part) if isinstance(part, dict) and "database" not in part else set()
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []
