"""Whether a plan is complete and proven enough for its level to grant a change its permit (rule P1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from rollbackd.core.evidence import KINDS, beyond_sla, by_owner, current, timed, wanted
from rollbackd.core.levels import WANTED, Totals, lacks, totals
from rollbackd.core.notation import span
from rollbackd.core.wording import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.model import EvidenceKind, Plan, Trigger
    from rollbackd.core.state import Evidence, State


class Reason(Struct, frozen=True):
    """Why not. `about`: a requirement, `sla`, or a kind of evidence."""

    about: str
    what: str
    remedy: str


class Permit(Struct, frozen=True):
    """`excepted`: what the plan says it does without, and why: it is no reason, and is shown."""

    plan: Plan
    totals: Totals
    reasons: tuple[Reason, ...]
    evidence: tuple[Evidence, ...]
    excepted: dict[str, str]

    @property
    def granted(self) -> bool:
        return not self.reasons


def permit(state: State, plan: Plan) -> Permit:
    """Of a plan of the configuration in force."""
    config = state.config
    triggers = [trigger for trigger in config.triggers if trigger.plan == plan.name] if config else []
    found = current(state, plan)
    sums = totals(plan, triggers)
    reasons = (
        *_incomplete(plan, triggers, config.notify if config else ()),
        *_too_slow(sums),
        *_unproven(state, plan, triggers, found),
    )
    asked = (name for name, (level, _) in WANTED.items() if level <= plan.level)
    excepted: dict[str, str] = {name: plan.exceptions[name] for name in asked if name in plan.exceptions}
    return Permit(plan, sums, reasons, tuple(found.values()), excepted)


def _incomplete(plan: Plan, triggers: list[Trigger], notify: tuple[str, ...]) -> Iterator[Reason]:
    for lack in lacks(plan, notify):
        yield Reason(lack.requirement, str(lack), lack.remedy)
    automatic = any(_acts(trigger) for trigger in triggers)
    if plan.level >= WANTED["automation"][0] and not automatic and "automation" not in plan.exceptions:
        what = f"level {WANTED['automation'][0]}, automation: no trigger that acts by itself names it"
        yield Reason("automation", what, "write a trigger for it; its severity or `action` says that it acts")


def _acts(trigger: Trigger) -> bool:
    """Whether it acts by itself, or will once it is no longer in shadow."""
    means = trigger.enforced if trigger.action == "shadow" else trigger.action
    return means in ("auto", "auto_with_warning")


def _too_slow(sums: Totals) -> Iterator[Reason]:
    if sums.buffer < 0:
        remedy = "shorten estimates, settle or verify_windows"
        yield Reason("sla", f"it cannot meet its own SLA: {sums}", remedy)


def _unproven(
    state: State, plan: Plan, triggers: list[Trigger], found: dict[EvidenceKind, Evidence]
) -> Iterator[Reason]:
    for kind in wanted(plan, automatic=bool(triggers)):
        evidence = found.get(kind)
        add = f"`rollbackd evidence add {plan.name} --kind {kind} --by NAME`"
        if kind == "time-measured":
            yield from _unmeasured(plan, found)
        elif evidence is None:
            what = f"{kind}: {KINDS[kind][1]}: nothing on record{_before(state, plan, kind)}"
            yield Reason(kind, what, f"do it, then {add}")
        elif kind == "review" and by_owner(plan, evidence):
            what = f"review: {evidence.by} owns the plan, and said so of themselves"
            yield Reason(kind, what, f"have somebody else look, then {add}")


def _unmeasured(plan: Plan, found: dict[EvidenceKind, Evidence]) -> Iterator[Reason]:
    """One within the SLA is enough, and one beyond it too much: the newest of each kind counts."""
    remedy = f"`rollbackd evidence add {plan.name} --kind time-measured --took 9m --by NAME`"
    slow = [evidence for evidence in timed(found) if beyond_sla(plan, evidence)]
    for evidence in slow:
        what = f"{evidence.evidence} took {span(evidence.took or 0)}, over the SLA of {span(plan.allowed())}"
        yield Reason("time-measured", what, f"make it faster, measure anew, then {remedy}")
    if not slow and not timed(found):
        yield Reason(
            "time-measured", f"time-measured: {KINDS['time-measured'][1]}: nothing on record", remedy
        )


def _before(state: State, plan: Plan, kind: EvidenceKind) -> str:
    """Whether it was shown of what the plan was before."""
    older = [each for each in state.evidence.get(plan.name, ()) if each.evidence == kind]
    if not older:
        return ""
    return f" since the plan changed (it was by {older[-1].by}, {moment(older[-1].at)})"
