"""What a plan of its level must have, and whether it can meet its own SLA (rules P1, S1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from rollbackd.core.notation import span
from rollbackd.core.verification import HAND_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rollbackd.core.model import Check, Ms, Phase, Plan, Requirement, Step, Trigger

Loc: TypeAlias = "tuple[int | str, ...]"

DATA = "data_consistency"

WANTED: dict[Requirement, tuple[int, str]] = {
    "estimates": (2, "every phase says how long it takes"),
    "verification": (2, "a check that can fail proves it, beside the trigger"),
    "automation": (3, "a trigger starts it, and no step of it is done by hand"),
    "scopes": (3, "parts of it can be rolled back by themselves"),
    "data_consistency": (3, "a check of the data"),
    "checklist": (3, "what people look at afterwards, item by item"),
    "regions": (4, "it goes through its regions, each within the SLA"),
    "gates": (4, "a person approves before it goes on"),
    "communication": (4, "somebody is told of each turn"),
    "data_integrity": (4, "a check of the data that can fail, and one that looks on after success"),
}
"""Each requirement: from which level on, and what it means. Summary, owner and SLA no plan is without."""


class Lack(NamedTuple):
    """What a plan is without. `key`: where in its file it would be."""

    requirement: Requirement
    key: Loc
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"level {WANTED[self.requirement][0]}, {self.requirement}: {self.what}"


class Totals(NamedTuple):
    """How long a plan takes by what it says, and how long it may."""

    work: Ms
    verification: Ms
    sla: Ms

    @property
    def buffer(self) -> Ms:
        """Below 0: it cannot meet its own SLA."""
        return self.sla - self.work - self.verification

    def __str__(self) -> str:
        left = span(self.buffer) if self.buffer >= 0 else f"-{span(-self.buffer)}"
        takes = f"{span(self.work)} and {span(self.verification)} to verify"
        return f"total {span(self.work + self.verification)} ({takes}), SLA {span(self.sla)}, buffer {left}"


def totals(plan: Plan, triggers: Iterable[Trigger]) -> Totals:
    """Of the whole plan, with the trigger that takes longest to verify; without triggers as if by hand.
    Clean-up is outside the SLA (X1)."""
    work = sum(estimate(plan, phase) for phase in plan.phases if not phase.after_verified)
    by_hand = (plan.settle or 0) + max(plan.verify_windows, 1) * HAND_INTERVAL
    proofs = [proof(plan, trigger) for trigger in triggers]
    return Totals(work, max(proofs, default=by_hand), plan.allowed())


def proof(plan: Plan, trigger: Trigger) -> Ms:
    """How long it takes at least to verify after this trigger fired (S3)."""
    settle = trigger.recovery().longest_range if plan.settle is None else plan.settle
    return settle + plan.verify_windows * trigger.interval


def estimate(plan: Plan, phase: Phase) -> Ms:
    if phase.estimate is not None:
        return phase.estimate
    return sum(step.timeout * _rounds(plan, step) for step in phase.steps)


def _rounds(plan: Plan, step: Step) -> int:
    """How often the step runs, one after the other."""
    regions = len([region for region in step.regions or plan.regions if region in plan.regions])
    if step.each == "once":
        return 1
    return regions if step.each == "serial" else -(-regions // (plan.at_once or regions or 1))


def lacks(plan: Plan, notify: Sequence[str] = ()) -> list[Lack]:
    """What the plan's level asks for, what it is without, and what it does not except itself from. `notify`:
    who is told where the plan names nobody. Of triggers and evidence it knows nothing (`permit`)."""
    found = [lack for lack in _lacks(plan, notify) if WANTED[lack.requirement][0] <= plan.level]
    return [lack for lack in found if lack.requirement not in plan.exceptions]


def idle_exceptions(plan: Plan, notify: Sequence[str] = ()) -> list[Requirement]:
    """Exceptions from what the level does not ask for, or the plan has. `automation` may be about triggers,
    which are not part of the plan."""
    lacking = {lack.requirement for lack in _lacks(plan, notify)} | {"automation"}
    said = (name for name in WANTED if name in plan.exceptions)
    return [name for name in said if name not in lacking or WANTED[name][0] > plan.level]


def _lacks(plan: Plan, notify: Sequence[str]) -> Iterator[Lack]:
    yield from _of_phases(plan)
    if not any(check.on_fail == "fail" for check in plan.verification):
        remedy = "add a check to `verification`"
        yield Lack("verification", ("verification",), "no check can fail", remedy)
    if not plan.scopes:
        yield Lack("scopes", ("scopes",), "no part of it can be rolled back by itself", "add `scopes`")
    checks = [check for check in plan.verification if check.kind == DATA]
    if not checks:
        remedy = f"say `kind: {DATA}` of the check in `verification` that compares the data"
        yield Lack("data_consistency", ("verification",), "nothing checks the data", remedy)
    if not plan.manual_verification:
        remedy = "add `manual_verification`; `rollbackd init plan` writes the ten items"
        yield Lack("checklist", ("manual_verification",), "people have nothing to go through", remedy)
    if not plan.regions:
        yield Lack("regions", ("regions",), "it names no regions", "add `regions`, and `each` to its steps")
    if not any(step.gate is not None for _, step in _within_sla(plan)):
        remedy = "add a step `gate: approve`"
        yield Lack("gates", ("phases",), "it goes through without a person's approval", remedy)
    if not (plan.notify or notify):
        remedy = "name receivers in `notify`"
        yield Lack("communication", ("notify",), "nobody is told of its turns", remedy)
    yield from _of_integrity(plan, checks)


def _of_phases(plan: Plan) -> Iterator[Lack]:
    for index, phase in enumerate(plan.phases):
        if phase.after_verified:
            continue
        if phase.estimate is None:
            takes = span(estimate(plan, phase))
            what = f"phase {phase.name} says no estimate: the timeouts of its steps count, {takes}"
            yield Lack("estimates", ("phases", index), what, "add `estimate:`")
        for at, step in enumerate(phase.steps):
            if step.manual is not None:
                what = f"step {step.name} is done by hand"
                yield Lack("automation", ("phases", index, "steps", at), what, "write a program for it")


def _of_integrity(plan: Plan, checks: Sequence[Check]) -> Iterator[Lack]:
    if checks and not any(check.on_fail == "fail" for check in checks):
        what = "a difference in the data does not count: `on_fail: warn`"
        yield Lack("data_integrity", ("verification",), what, "say `on_fail: fail` of one")
    if not any(check.kind == DATA for stage in plan.validation for check in stage.checks):
        what = "nobody looks at the data after success"
        remedy = f"add a check with `kind: {DATA}` to `validation`"
        yield Lack("data_integrity", ("validation",), what, remedy)


def _within_sla(plan: Plan) -> Iterator[tuple[Phase, Step]]:
    return ((phase, step) for phase in plan.phases if not phase.after_verified for step in phase.steps)
