"""The JSON of rollbacks: in a list, and one in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollbackd.core import sla
from rollbackd.report import timeline, unsettled
from rollbackd.web.views import matters, rfc3339, rollout

if TYPE_CHECKING:
    from rollbackd.core.model import Ms
    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Firing, Life, State

    Json = dict[str, Any]


def rollback(life: Life) -> Json:
    """One row of the list."""
    return {
        "id": life.id,
        "plan": life.plan.name,
        "scope": None,
        "state": life.shown(),
        "trigger": life.trigger or None,
        "subjects": _subjects(life),
        "action": life.action,
        "lowered_by": [{"reason": low.reason, "to": low.to, "detail": low.detail} for low in life.lowered],
        "opened": rfc3339(life.opened),
        "began": rfc3339(life.began),
        "decided": rfc3339(life.decided),
        "verified": rfc3339(life.verified),
        "ended": rfc3339(life.ended),
        "sla": {
            "seconds": life.plan.sla / 1000,
            "target_seconds": life.plan.target / 1000,
            "deadline": rfc3339(sla.deadline(life) if life.ended is None else None),
            "breached": life.sla_breached,
        },
        "revision": life.revision,
        "by": life.by,
        "reason": life.reason,
        "waits_for": life.blocked_by,
        "expires": rfc3339(life.expires),
        "veto_until": rfc3339(life.veto_until),
        "held": None if life.held is None else {"by": life.held.by, "at": rfc3339(life.held.at)},
        "parked": None
        if life.parked is None
        else {
            "reason": life.parked.reason,
            "detail": life.parked.detail,
            "at": rfc3339(life.parked.at),
        },
        "detail": life.end_detail or (life.parked.detail if life.parked is not None else ""),
    }


def _subjects(life: Life) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for labels in [firing.labels for firing in life.firings] or [life.subject]:
        if labels and labels not in rows:
            rows.append(labels)
        if len(rows) >= MOST_SUBJECTS:
            break
    return rows


MOST_SUBJECTS = 200


def in_full(life: Life, state: State, rows: list[Recorded]) -> Json:
    """Everything about one life; `rows` are those of the journal."""
    change = state.rollouts.get(life.plan.name)
    return {
        **rollback(life),
        "summary": life.plan.summary,
        "owner": life.plan.owner,
        "level": life.plan.level,
        "services": life.plan.services,
        "holds_services": life.holds_services,
        "processes_gone": life.processes_gone,
        "versions": {"previous": life.previous, "next": life.next},
        "rollout": rollout(change)
        if change is not None and change.id == life.rollout
        else {"id": life.rollout}
        if life.rollout
        else None,
        "firings": [_firing(firing) for firing in life.firings[:MOST_SUBJECTS]],
        "checks": [_check(slot, life) for slot in life.checks],
        "steps": _steps(life, unsettled(life, rows)),
        "verification": _verification(life),
        "approval": None
        if life.approval is None
        else {
            "by": life.approval.by,
            "channel": life.approval.channel,
            "at": rfc3339(life.approval.at),
            "reasons": life.approval.reasons,
        },
        "abort": life.abort,
        "cleanup_failed": life.cleanup_failed,
        "resolution": _resolution(life),
        "matters": [found for found in matters(state) if found["life"] == life.id],
        "timeline": [
            {
                "seq": entry.seq,
                "at": rfc3339(entry.at),
                "kind": entry.kind,
                "text": entry.text,
                "actor": entry.actor,
                "channel": entry.channel,
                "comment": entry.comment,
            }
            for entry in timeline(life.id, rows)
        ],
    }


def _firing(firing: Firing) -> Json:
    return {
        "trigger": firing.trigger,
        "labels": firing.labels,
        "value": firing.value,
        "limit": firing.limit,
        "began": rfc3339(firing.began),
        "end": rfc3339(firing.end),
        "streak": firing.streak,
        "left": firing.left,
        "windows": [
            {"end": rfc3339(seen.end), "verdict": seen.verdict, "value": seen.value}
            for seen in firing.windows
        ],
    }


def _check(slot: str, life: Life) -> Json:
    found = life.checks[slot]
    return {
        "check": slot,
        "name": found.name,
        "answer": found.answer,
        "at": rfc3339(found.at),
        "status": found.status,
        "detail": found.detail,
        "output": found.output,
    }


def _steps(life: Life, loose: dict[str, str]) -> list[Json]:
    """Every step of the plan in its order: what is behind, at hand and to come."""
    behind = {record.step: record for record in life.steps}
    rows: list[Json] = []
    for phase, step in life.plan.steps():
        row: Json = {"phase": phase.name, "step": step.name, "after_verified": phase.after_verified}
        record, current = behind.get(step.name), life.current
        if record is not None:
            row.update(
                state=record.result,
                by=record.by,
                attempts=record.attempts,
                executions=record.executions,
                detail=record.detail,
                **_times(record.began, record.ended),
            )
        elif current is not None and current.step == step.name:
            row.update(
                state=current.stage,
                by=None,
                attempts=current.attempt,
                executions=current.ran,
                detail=current.detail,
                overdue=current.overdue,
                **_times(current.began, None),
            )
        else:
            row.update(
                state=loose.get(step.name) or ("not_run" if life.ended is not None else "to_come"),
                by=None,
                attempts=0,
                executions=(),
                detail="",
                **_times(None, None),
            )
        rows.append(row)
    return rows


def _times(began: Ms | None, ended: Ms | None) -> Json:
    return {"began": rfc3339(began), "ended": rfc3339(ended)}


def _verification(life: Life) -> Json | None:
    found = life.verification
    if found is None:
        return None
    return {
        "began": rfc3339(found.began),
        "settled": rfc3339(found.settled),
        "deadline": rfc3339(found.deadline),
        "windows": life.plan.verify_windows,
        "checks": [
            {
                "check": check.name,
                "passes": found.passes.get(check.name, 0),
                "asked": found.asked.get(check.name, 0),
            }
            for check in life.plan.verification
        ],
    }


def _resolution(life: Life) -> Json | None:
    found = life.resolution
    if found is None:
        return None
    return {
        "by": found.by,
        "channel": found.channel,
        "at": rfc3339(found.at),
        "approach": found.approach,
        "description": found.description,
    }
