"""The JSON of rollbacks: in a list, and one in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollbackd.core import sla
from rollbackd.core.model import STAGES
from rollbackd.report import never_ordered, runs, timeline, unsettled
from rollbackd.web.views import matters, rfc3339, rollout

if TYPE_CHECKING:
    from rollbackd.core.model import Ms
    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Current, Firing, Life, State, StepRecord
    from rollbackd.report import Run

    Json = dict[str, Any]


def rollback(life: Life) -> Json:
    """One row of the list."""
    return {
        "id": life.id,
        "plan": life.plan.name,
        "scope": life.plan.scope,
        "state": life.shown(),
        "trigger": life.trigger or None,
        "subjects": _subjects(life),
        "action": life.action,
        "would": life.would() if life.action == "shadow" else None,
        "lowered_by": [{"reason": low.reason, "to": low.to, "detail": low.detail} for low in life.lowered],
        "opened": rfc3339(life.opened),
        "began": rfc3339(life.began),
        "decided": rfc3339(life.decided),
        "verified": rfc3339(life.verified),
        "ended": rfc3339(life.ended),
        "sla": {
            "seconds": life.plan.allowed() / 1000,
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
        "approval": None
        if life.approval is None
        else {
            "by": life.approval.by,
            "channel": life.approval.channel,
            "at": rfc3339(life.approval.at),
            "reasons": life.approval.reasons,
        },
        "resolution": _resolution(life),
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
MOST_ENTRIES = 2_000
LONGEST_VALUE = 200


def in_full(life: Life, state: State, rows: list[Recorded]) -> Json:
    """Everything about one life; `rows` are those of the journal."""
    change = state.rollouts.get(life.plan.name)
    entries = timeline(life.id, rows)
    return {
        **rollback(life),
        "summary": life.plan.summary,
        "owner": life.plan.owner,
        "level": life.plan.level,
        "services": life.plan.services,
        "holds_services": life.holds_services,
        "processes_gone": life.processes_gone,
        "versions": {"previous": life.previous, "next": life.next},
        "capture": life.capture,
        "rollout": rollout(change)
        if change is not None and change.id == life.rollout
        else {"id": life.rollout}
        if life.rollout
        else None,
        "firings": [_firing(firing) for firing in life.firings[:MOST_SUBJECTS]],
        "firing_count": len(life.firings),
        "checks": [_check(slot, life) for slot in life.checks],
        "steps": _steps(life, runs(life.id, rows)),
        "verification": _verification(life),
        "validation": _validation(life),
        "items": _items(life),
        "abort": life.abort,
        "cleanup_failed": life.cleanup_failed,
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
            for entry in entries[-MOST_ENTRIES:]
        ],
        "timeline_count": len(entries),
    }


def _firing(firing: Firing) -> Json:
    return {
        "trigger": firing.trigger,
        "labels": firing.labels,
        "value": _short(firing.value),
        "limit": firing.limit,
        "began": rfc3339(firing.began),
        "end": rfc3339(firing.end),
        "streak": firing.streak,
        "left": firing.left,
        "windows": [
            {"end": rfc3339(seen.end), "verdict": seen.verdict, "value": _short(seen.value)}
            for seen in firing.windows
        ],
    }


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"


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


def _steps(life: Life, known: dict[str, Run]) -> list[Json]:
    """Every step of the plan in its order: what is behind, at hand, in doubt, to come and not run."""
    behind = {record.step: record for record in life.steps}
    loose, current = unsettled(life, known), life.current
    rows: list[Json] = []
    for phase, step in life.plan.steps():
        row: Json = {"phase": phase.name, "step": step.name, "after_verified": phase.after_verified}
        record, run = behind.get(step.name), known.get(step.name)
        if record is not None:
            row |= _settled(record)
        elif current is not None and current.step == step.name:
            row |= _at_hand(current, run)
        elif step.name in loose:
            row |= _loose(loose[step.name])
        else:
            row |= _step(never_ordered(life, step.name))
        row["said"] = "" if run is None else shortened(run.said)
        rows.append(row)
    return rows


def _settled(record: StepRecord) -> Json:
    return _step(
        record.result,
        by=record.by,
        attempts=record.attempts,
        executions=record.executions,
        detail=record.detail,
        began=record.began,
        ended=record.ended,
    )


def _at_hand(current: Current, run: Run | None) -> Json:
    """A step in doubt ended with its last execution: what a person takes to look is not its time."""
    found = _step(
        current.stage,
        attempts=current.attempt,
        executions=current.ran,
        detail=current.detail,
        began=current.began,
        ended=run.ended if run is not None and current.stage == "doubtful" else None,
    )
    return {**found, "overdue": current.overdue}


def _loose(run: Run) -> Json:
    return _step(
        run.fate(),
        attempts=run.attempts,
        executions=run.executions,
        detail=run.detail,
        began=run.began,
        ended=run.ended,
    )


def _step(
    state: str,
    *,
    by: str | None = None,
    attempts: int = 0,
    executions: tuple[int, ...] = (),
    detail: str = "",
    began: Ms | None = None,
    ended: Ms | None = None,
) -> Json:
    return {
        "state": state,
        "by": by,
        "attempts": attempts,
        "executions": executions,
        "detail": detail,
        "began": rfc3339(began),
        "ended": rfc3339(ended),
    }


MOST_SAID = 500


def shortened(line: str) -> str:
    return line if len(line) <= MOST_SAID else f"{line[:MOST_SAID]}…"


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


def _validation(life: Life) -> Json | None:
    found = life.validation
    if found is None:
        return None
    stages = life.plan.stages()
    return {
        "began": rfc3339(found.began),
        "stage": stages[found.stage].name if found.stage < len(stages) else None,
        "until": rfc3339(found.began + STAGES[stages[-1].name][0]),
        "failing": [{"check": check, "detail": detail} for check, detail in found.failing.items()],
        "relapses": found.relapses,
        "ended": rfc3339(found.ended),
    }


def _items(life: Life) -> list[Json]:
    rows: list[Json] = []
    for number, item in enumerate(life.plan.items(), 1):
        tick = life.ticks.get(item.item)
        ticked = None if tick is None else {"by": tick.by, "at": rfc3339(tick.at), "comment": tick.comment}
        rows.append({"number": number, "item": item.item, "owner": item.owner, "ticked": ticked})
    return rows


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
