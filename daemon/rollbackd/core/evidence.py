"""What was shown of a plan before anybody relies on it, and by whom (rule P1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import events as e
from rollbackd.core.notation import span
from rollbackd.core.rollout import plan_names
from rollbackd.core.turn import Refused
from rollbackd.core.wording import moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rollbackd.core.model import EvidenceKind, Plan
    from rollbackd.core.signals import AddEvidence
    from rollbackd.core.state import Evidence, State
    from rollbackd.core.turn import Turn

KINDS: Mapping[EvidenceKind, tuple[int, str]] = {
    "staging": (2, "rolled back on staging"),
    "production-like": (3, "rolled back where it is like production"),
    "automatic-triggers": (3, "its triggers started it"),
    "manual": (3, "a person started it"),
    "partial": (3, "each of its parts was rolled back by itself"),
    "time-measured": (2, "took no longer than the SLA"),
    "verification": (3, "its checks told good from bad"),
    "rehearsal": (3, "rehearsed with whoever takes part"),
    "multi-region": (4, "rolled back in more than one region"),
    "training": (3, "whoever takes part knows how"),
    "review": (2, "somebody else than the owner read it"),
}
"""Each kind: from which level on it is wanted, and what it shows."""

OF_THE_WHOLE: frozenset[EvidenceKind] = frozenset(
    (
        "staging",
        "production-like",
        "automatic-triggers",
        "manual",
        "time-measured",
        "rehearsal",
        "multi-region",
    )
)
"""Kinds in which all of the plan ran, so that how long it took says how long it takes."""


def wanted(plan: Plan, *, automatic: bool) -> list[EvidenceKind]:
    """What its level asks for, of what there is: parts and triggers that it lacks cannot be tried."""
    without = {"partial": not plan.scopes, "automatic-triggers": not automatic}
    return [kind for kind, (level, _) in KINDS.items() if level <= plan.level and not without.get(kind)]


def current(state: State, plan: Plan) -> dict[EvidenceKind, Evidence]:
    """What was shown of the plan as it is: a changed one is another."""
    known = state.evidence.get(plan.name, ())
    return {each.evidence: each for each in known if each.plan_hash == plan.hash}


def timed(found: Mapping[EvidenceKind, Evidence]) -> list[Evidence]:
    return [each for kind, each in found.items() if kind in OF_THE_WHOLE and each.took is not None]


def beyond_sla(plan: Plan, evidence: Evidence) -> bool:
    return evidence.took is not None and evidence.took > plan.allowed()


def by_owner(plan: Plan, evidence: Evidence) -> bool:
    return plan.owner.strip().casefold() in (
        evidence.by.strip().casefold(),
        evidence.actor.strip().casefold(),
    )


def add(turn: Turn, verb: AddEvidence) -> str:
    plan = turn.config.plan(verb.plan)
    if plan is None:
        raise Refused(f"there is no plan {verb.plan}; the plans are {plan_names(turn)}")
    _check(plan, verb)
    known = current(turn.state, plan).get(verb.evidence)
    if known is not None and _same(turn, verb, known):
        return f"{verb.evidence} of {plan.name} was recorded at {moment(known.at)}"
    turn.emit(
        e.EvidenceAdded(
            at=turn.now,
            plan=plan.name,
            plan_hash=plan.hash,
            evidence=verb.evidence,
            took=verb.took,
            said_by=verb.by,
            by=turn.actor,
            channel=turn.channel,
            artifact=verb.artifact,
            sha256=verb.sha256,
            size=verb.size,
            comment=verb.comment,
        )
    )
    added = current(turn.state, plan)[verb.evidence]
    return f"{verb.evidence} of {plan.name} ({plan.hash[:12]}) is on record{_doubt(plan, added)}"


def _check(plan: Plan, verb: AddEvidence) -> None:
    if verb.plan_hash and not plan.hash.startswith(verb.plan_hash):
        raise Refused(
            f"{plan.name} is {plan.hash[:12]} here, not {verb.plan_hash[:12]}: it has changed since; "
            "show it of the plan as it is, or `rollbackd reload`",
            conflict=True,
        )
    if verb.evidence == "time-measured" and verb.took is None:
        raise Refused("time-measured: how long did it take? add --took 9m")
    if verb.evidence == "partial" and not plan.scopes:
        raise Refused(f"{plan.name} has no scopes: there is no part of it to show")
    if verb.evidence == "multi-region" and not plan.regions:
        raise Refused(f"{plan.name} has no regions to show it in")


def _same(turn: Turn, verb: AddEvidence, known: Evidence) -> bool:
    said = (verb.took, verb.by, verb.artifact, verb.sha256, verb.size, verb.comment, turn.actor)
    had = (known.took, known.by, known.artifact, known.sha256, known.size, known.comment, known.actor)
    return said == had


def _doubt(plan: Plan, evidence: Evidence) -> str:
    """What of it will not count, said at once."""
    if beyond_sla(plan, evidence):
        took, allowed = span(evidence.took or 0), span(plan.allowed())
        return f"; it took {took}, over the SLA of {allowed}: it does not count as time-measured"
    if evidence.evidence == "review" and by_owner(plan, evidence):
        return f"; {evidence.by} owns the plan: a review by somebody else is still to come"
    return ""
