"""One life as JSON: `rollback_metrics`, and `rollback_failure` where it ended badly (docs/reports.md).

What is not known is null, never 0. Fields only ever grow; anything else is a new `VERSION`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from rollbackd.core.notation import quotient
from rollbackd.core.state import AUTOMATIC, BAD_ENDS
from rollbackd.report.accuracy import accuracy
from rollbackd.report.execution import interventions
from rollbackd.report.failure import failure
from rollbackd.report.parts import parts, phase_times
from rollbackd.report.regions import regions
from rollbackd.report.runs import runs
from rollbackd.report.words import elapsed, target

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rollbackd.core.model import Ms
    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Life
    from rollbackd.report.failure import Failure, Level
    from rollbackd.report.parts import Earlier

VERSION = 1
BLANK = ("root_cause", "prevention_measures", "lessons_learned", "follow_up_actions")
"""What only people can fill in."""

IMPACT = ("downtime_seconds", "affected_requests", "failed_requests", "customer_impact", "revenue_impact_usd")


def document(life: Life, events: Sequence[Recorded], before: Iterable[Earlier] = ()) -> dict[str, Any]:
    """`events` as for `markdown`; `before`: verified rollbacks of the same plan."""
    before = list(before)
    found = failure(life, events)
    return {
        "version": VERSION,
        "rollback_metrics": _metrics(life, events, before),
        "rollback_failure": _failure(life, found) if found is not None else None,
        "rollback": _rollback(life, events),
        "accuracy": msgspec.to_builtins(accuracy(life, events)),
        "regions": [msgspec.to_builtins(region) for region in regions(life)],
        "scopes": [msgspec.to_builtins(part) for part in parts(life, before)],
        "blank": [name for name in BLANK if name != "lessons_learned" or not _lessons(life)],
    }


def encoded(life: Life, events: Sequence[Recorded], before: Iterable[Earlier] = ()) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document(life, events, before))) + b"\n"


def _metrics(life: Life, events: Sequence[Recorded], before: list[Earlier]) -> dict[str, Any]:
    return {
        "operation_id": life.rollout,
        "permit_id": life.plan.permit,
        "rollback_id": life.id,
        "rollback_execution": _execution(life),
        "phase_timings": _phases(life),
        "rollback_success": _success(life, events),
        "impact_metrics": _impact(life),
        "quality_metrics": _quality(life, events, before),
    }


def _execution(life: Life) -> dict[str, Any]:
    trigger = life.triggers.get(life.trigger)
    firing = next((one for one in life.firings if one.trigger == life.trigger), None)
    took, allowed = elapsed(life), life.plan.allowed()
    return {
        "triggered_at": moment(life.decided if life.decided is not None else life.opened),
        "trigger_type": "automatic" if life.by == AUTOMATIC else "manual",
        "trigger_reason": life.trigger or life.reason or None,
        "trigger_value": quotient(firing.value) if firing is not None else None,
        "trigger_threshold": trigger.condition.breach.value if trigger is not None else None,
        "completed_at": moment(life.verified),
        "ended_at": moment(life.ended),
        "total_duration_seconds": seconds(took),
        "sla_seconds": seconds(allowed),
        "target_seconds": seconds(target(life.plan)),
        "sla_met": sla_met(life),
        "sla_buffer_seconds": seconds(allowed - took) if took is not None and life.verified else None,
    }


def sla_met(life: Life) -> bool | None:
    """S1; None while it runs, and where nothing was decided."""
    took = elapsed(life)
    if life.began is None or (life.ended is None and life.verified is None and not life.sla_breached):
        return None
    in_time = took is not None and took <= life.plan.allowed()
    return life.verified is not None and in_time and not life.sla_breached and not life.regions_breached


def _phases(life: Life) -> dict[str, float | None]:
    """In seconds, by name; `verification` is the proof, where no phase has that name."""
    times = phase_times(life)
    found = {phase.name: seconds(times.get(phase.name)) for phase in life.plan.phases}
    proof = life.verification
    took = life.verified - proof.began if proof is not None and life.verified is not None else None
    return found if "verification" in found else {**found, "verification": seconds(took)}


def _success(life: Life, events: Sequence[Recorded]) -> dict[str, Any]:
    ended = life.ended is not None
    return {
        "success": life.state == "verified" if ended and life.began is not None else None,
        "attempts": _attempts(life, events),
        "verification_passed": _proven(life),
        "all_services_healthy": _healthy(life),
        "outcome": life.shown(),
    }


def _proven(life: Life) -> bool | None:
    if life.verified is not None:
        return True
    return False if life.verification is not None and life.ended is not None else None


def _attempts(life: Life, events: Sequence[Recorded]) -> int | None:
    """The most that any step took, and one more for each time it was widened; None: nothing was run."""
    most = [run.attempts for run in runs(life.id, events).values()]
    return max(most) + life.widenings if most else None


def _healthy(life: Life) -> bool | None:
    """By the newest answers of its checks after the steps; None where there are none, or one cannot tell."""
    said = [one.answer for slot, one in life.checks.items() if slot.startswith(("verify/", "validate/"))]
    if "fail" in said:
        return False
    return True if said and "cannot_tell" not in said else None


def _impact(life: Life) -> dict[str, Any]:
    """As asked once at its end (S5); `unanswered`: why a query the plan has said nothing."""
    found: dict[str, Any] = dict.fromkeys(IMPACT)
    unanswered: dict[str, str] = {}
    for one in life.impact or ():
        found[one.name] = (one.word or number(one.value)) if one.value is not None else None
        if one.value is None:
            unanswered[one.name] = one.detail
    return {**found, "unanswered": unanswered}


def _quality(life: Life, events: Sequence[Recorded], before: list[Earlier]) -> dict[str, Any]:
    found = accuracy(life, events)
    acts = interventions(life, events)
    began = life.began is not None
    tested = any(one.plan_hash == life.plan.hash and one.life != life.id for one in before)
    followed = None if found is None else not found.changed
    return {
        "rollback_tested_before": tested or None,
        "automated_rollback": life.by == AUTOMATIC and life.approval is None if began else None,
        "manual_intervention_required": bool(acts) if began else None,
        "rollback_documentation_followed": followed,
        "rollback_plan_accuracy": found.share if found is not None else None,
    }


def _failure(life: Life, found: Failure) -> dict[str, Any]:
    resolution = found.resolution
    return {
        "operation_id": life.rollout,
        "permit_id": life.plan.permit,
        "rollback_id": life.id,
        "rollback_attempted_at": moment(found.attempted),
        "rollback_failed_at": moment(found.failed),
        "failure_reason": found.reason or None,
        "failure_details": {
            "phase": found.phase,
            "step": found.step,
            "error_message": found.error or None,
            "logs": found.logs,
        },
        "escalation_timeline": [_level(level) for level in found.levels],
        "resolution": None
        if resolution is None
        else {
            "approach": resolution.approach,
            "description": resolution.description,
            "resolved_at": moment(resolution.at),
            "resolved_by": resolution.by,
            "total_incident_duration_minutes": round((found.took or 0) / 60_000, 1),
        },
        "lessons_learned": _lessons(life),
    }


def _level(level: Level) -> dict[str, Any]:
    said = [f"{one.actor}: {one.comment or one.text}" for one in level.said]
    return {
        "level": level.level,
        "timestamp": moment(level.at),
        "title": level.rung.title or None,
        "action": "; ".join(said) or None,
        "outcome": level.outcome,
    }


def _lessons(life: Life) -> list[str] | None:
    return list(life.resolution.lessons) or None if life.resolution is not None else None


def _rollback(life: Life, events: Sequence[Recorded]) -> dict[str, Any]:
    plan = life.plan
    return {
        "plan": plan.name,
        "plan_hash": plan.hash,
        "level": plan.level,
        "operation": plan.operation,
        "owner": plan.owner,
        "scope": plan.scope,
        "services": list(plan.services),
        "previous": life.previous,
        "next": life.next,
        "started_by": life.by,
        "opened_at": moment(life.opened),
        "state": life.shown(),
        "failed": life.state in BAD_ENDS,
        "detail": life.end_detail or None,
        "record": record(events),
    }


def record(events: Sequence[Recorded]) -> dict[str, Any] | None:
    """Which rows of the journal this rests on: where the chain was when it was written (I13). That a report
    was written is no fact of the life: what is asked for later says the same."""
    facts = [row for row in events if row.kind != "report_written"]
    if not facts:
        return None
    return {"first_row": facts[0].seq, "last_row": facts[-1].seq, "last_hash": facts[-1].hash}


# Units


def moment(at: Ms | None) -> str | None:
    """ISO 8601 in UTC, to the millisecond where that is not 0."""
    if at is None:
        return None
    fraction = "milliseconds" if at % 1_000 else "seconds"
    return datetime.fromtimestamp(at / 1_000, UTC).isoformat(timespec=fraction).replace("+00:00", "Z")


def seconds(duration: Ms | None) -> float | int | None:
    return None if duration is None else number(duration / 1_000)


def number(value: float) -> float | int:
    return int(value) if value == int(value) else value
