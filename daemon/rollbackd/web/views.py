"""The JSON of the API: pure functions of hard and soft state. Moments are RFC 3339, durations seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

import msgspec

from rollbackd.core.glance import armed, blind, disarmed_subjects
from rollbackd.core.permit import permit as ask_permit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rollbackd.core.model import Ms, Plan, Trigger
    from rollbackd.core.soft import Soft
    from rollbackd.core.state import Capture, Delivery, Disarmed, Evidence, Matter, Paused, Rollout, State
    from rollbackd.core.windows import Watch
    from rollbackd.report.scorecard import Scorecard

    Json = dict[str, Any]

MOST_SUBJECTS = 200

_WORST_FIRST = {"breach": 0, "unknown": 1, "no_data": 2, "low_traffic": 3, "ok": 4}


def rfc3339(at: Ms | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# Triggers


def triggers(state: State, soft: Soft) -> Iterator[Json]:
    disarmed = disarmed_subjects(state)
    for trigger in state.config.triggers if state.config is not None else ():
        yield _trigger(state, trigger, soft.watch(trigger), disarmed.get(trigger.name, {}))


def _trigger(state: State, trigger: Trigger, watch: Watch | None, disarmed: Mapping[str, Disarmed]) -> Json:
    verdicts = watch.verdicts if watch is not None else {}
    problem = None
    if watch is not None:
        problem = watch.unreachable[1] if watch.unreachable is not None else watch.lost or watch.problem
    return {
        "name": trigger.name,
        "group": trigger.group,
        "plan": trigger.plan,
        "severity": trigger.severity,
        "category": trigger.category,
        "action": trigger.action,
        "arm": trigger.arm,
        "interval_seconds": trigger.interval / 1000,
        "align_seconds": (watch.align if watch is not None else trigger.align) / 1000,
        "windows": trigger.windows,
        "limit": trigger.condition.limit,
        "armed": armed(state, trigger, verdicts, disarmed),
        "blind": blind(state, trigger.name),
        "subjects": _subjects(trigger, watch, disarmed),
        "subject_count": len(verdicts.keys() | disarmed.keys()),
        "last_window": rfc3339(watch.judged) if watch is not None and watch.judged else None,
        "problem": problem,
        "source": trigger.source,
    }


def _subjects(trigger: Trigger, watch: Watch | None, disarmed: Mapping[str, Disarmed]) -> list[Json]:
    verdicts = watch.verdicts if watch is not None else {}
    streaks = watch.streaks if watch is not None else {}
    found = []
    for subject in (*verdicts, *(subject for subject in disarmed if subject not in verdicts)):
        streak = streaks.get(subject)
        count = streak.count if streak is not None else 0
        verdict = verdicts.get(subject, "no_data")
        found.append((_WORST_FIRST[verdict], -count, subject))
    rows = []
    for _, negative, subject in nsmallest(MOST_SUBJECTS, found):
        entry = disarmed.get(subject)
        rows.append(
            {
                "labels": _labels(trigger, subject),
                "verdict": verdicts.get(subject, "no_data"),
                "streak": -negative,
                "disarmed": entry.cause if entry is not None else None,
            }
        )
    return rows


def _labels(trigger: Trigger, subject: str) -> dict[str, str]:
    """A subject that was disarmed under another `per` has no labels any more."""
    try:
        return trigger.subject_labels(subject)
    except ValueError:
        return {}


# Plans, rollouts, pauses, matters


def plans(state: State) -> Iterator[Json]:
    for plan in state.config.plans if state.config is not None else ():
        yield _plan(plan, state)


def _plan(plan: Plan, state: State) -> Json:
    return {
        "name": plan.name,
        "hash": plan.hash,
        "owner": plan.owner,
        "level": plan.level,
        "type": plan.type,
        "summary": plan.summary,
        "services": plan.services,
        "sla_seconds": plan.allowed() / 1000,
        "target_seconds": plan.target / 1000,
        "timeout_seconds": plan.timeout / 1000,
        "phases": [
            {
                "phase": phase.name,
                "after_verified": phase.after_verified,
                "estimate_seconds": phase.estimate / 1000 if phase.estimate is not None else None,
                "steps": [step.name for step in phase.steps],
            }
            for phase in plan.phases
        ],
        "captures": [item.name for item in plan.capture],
        "spent": [service for service in plan.services if service in state.spent],
    }


def evidence(state: State, plan: Plan) -> Json:
    """`current`: of the plan as it is; `earlier`: of what it was. The newest of each kind and hash."""
    known = state.evidence.get(plan.name, ())
    return {
        "plan": plan.name,
        "hash": plan.hash,
        "sla_seconds": plan.allowed() / 1000,
        "current": [_evidence(each, plan) for each in known if each.plan_hash == plan.hash],
        "earlier": [_evidence(each, plan) for each in known if each.plan_hash != plan.hash],
    }


def _evidence(found: Evidence, plan: Plan) -> Json:
    took = found.took
    return {
        "kind": found.evidence,
        "hash": found.plan_hash,
        "took_seconds": took / 1000 if took is not None else None,
        "within_sla": took <= plan.allowed() if took is not None else None,
        "by": found.by,
        "at": rfc3339(found.at),
        "actor": found.actor,
        "channel": found.channel,
        "artifact": found.artifact or None,
        "sha256": found.sha256 or None,
        "size": found.size if found.artifact else None,
        "comment": found.comment,
    }


def permit(state: State, plan: Plan) -> Json:
    """Whether the plan may grant a change its permit (P1). `open` is null where that cannot be told."""
    found = ask_permit(state, plan)
    sums = found.totals
    return {
        "gate": "permit",
        "plan": plan.name,
        "hash": plan.hash,
        "level": plan.level,
        "open": None if state.finish_only is not None else found.granted,
        "cannot_tell": state.finish_only,
        "reasons": [{"about": x.about, "what": x.what, "remedy": x.remedy} for x in found.reasons],
        "exceptions": found.excepted,
        "totals": {
            "work_seconds": sums.work / 1000,
            "verification_seconds": sums.verification / 1000,
            "sla_seconds": sums.sla / 1000,
            "buffer_seconds": sums.buffer / 1000,
        },
        "evidence": [_evidence(each, plan) for each in found.evidence],
    }


def rollouts(state: State) -> Iterator[Json]:
    newest = sorted(state.rollouts.values(), key=lambda found: (found.state != "open", -found.began))
    yield from map(rollout, newest)


def rollout(found: Rollout) -> Json:
    return {
        "id": found.id,
        "plan": found.plan,
        "previous": found.previous,
        "next": found.next,
        "state": found.state,
        "began": rfc3339(found.began),
        "until": rfc3339(found.until),
        "ended": rfc3339(found.ended),
        "by": found.by,
        "permit": found.permit,
        "capture": found.capture,
        "without_capture": found.without_capture or None,
    }


def captures(state: State, plan: str | None = None) -> Iterator[Json]:
    """The newest first; of one plan, if it is named."""
    for found in reversed(state.captures.values()):
        if plan is None or found.plan == plan:
            yield _capture(found)


def _capture(found: Capture) -> Json:
    now = found.next_item() if found.state == "running" else None
    return {
        "id": found.id,
        "plan": found.plan,
        "state": found.state,
        "began": rfc3339(found.began),
        "ended": rfc3339(found.ended),
        "by": found.by,
        "comment": found.comment,
        "rollout": found.rollout,
        "waits": found.asked is not None and found.state == "running",
        "taking": now.name if now is not None else None,
        "failed": found.failed or None,
        "detail": found.detail,
        "items": [
            {
                "name": item.item,
                "at": rfc3339(item.at),
                "value": item.value,
                "said": item.said,
                "artifacts": [
                    {"path": artifact.path, "size": artifact.size, "sha256": artifact.sha256}
                    for artifact in item.artifacts
                ],
            }
            for item in found.items
        ],
    }


def scorecard(card: Scorecard) -> Json:
    found: Json = msgspec.to_builtins(card)
    return {**found, "since": rfc3339(card.since)}


def pauses(found: Iterable[Paused]) -> Iterator[Json]:
    for pause in found:
        yield {
            "service": pause.service,
            "trigger": pause.trigger,
            "by": pause.by,
            "at": rfc3339(pause.at),
            "until": rfc3339(pause.until),
            "comment": pause.comment,
        }


def matters(state: State) -> Iterator[Json]:
    deliveries: dict[str, list[Delivery]] = {}
    for page in state.pages.values():
        if page.matter is not None:
            deliveries.setdefault(page.matter, []).extend(page.deliveries)
    for found in sorted(state.matters.values(), key=lambda matter: matter.opened):
        yield _matter(found, deliveries.get(found.key, []))


def _matter(found: Matter, deliveries: list[Delivery]) -> Json:
    acked = found.acked
    return {
        "key": found.key,
        "kind": found.kind,
        "cause": found.cause,
        "title": found.title,
        "text": found.text,
        "opened": rfc3339(found.opened),
        "life": found.life,
        "plan": found.plan,
        "trigger": found.trigger,
        "rungs_reached": found.rung,
        "rungs": len(found.ladder),
        "acked": None
        if acked is None
        else {"by": acked.by, "at": rfc3339(acked.at), "until": rfc3339(acked.until)},
        "deliveries": [
            {
                "receiver": delivery.receiver,
                "status": delivery.status,
                "tries": delivery.tries,
                "detail": delivery.detail,
            }
            for delivery in deliveries
        ],
    }
