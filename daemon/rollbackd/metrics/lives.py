"""The durations of lives, from the facts in the journal: a restart changes none of them (S1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from rollbackd.core import events as e
from rollbackd.core.state import AUTOMATIC

if TYPE_CHECKING:
    from rollbackd.core.model import Ms, Plan
    from rollbackd.core.state import Firing, Life


class Facts(Struct):
    """What is known of one open life; kept apart from `State`, which a life may leave in the very
    batch that ends it."""

    plan: Plan
    by: str
    trigger: str
    action: str
    opened: Ms
    approved: bool = False
    decided: Ms | None = None
    began: bool = False
    verified: Ms | None = None
    phase_began: dict[str, Ms] = {}

    @property
    def automatic(self) -> bool:
        return self.by == AUTOMATIC and not self.approved


def of_life(life: Life) -> Facts:
    """After a restart: from the state that the journal was folded into."""
    facts = Facts(
        plan=life.plan,
        by=life.by,
        trigger=life.trigger,
        action=life.action,
        opened=life.opened,
        approved=life.approval is not None,
        decided=life.decided,
        began=life.began is not None,
        verified=life.verified,
    )
    for record in life.steps:
        facts.phase_began.setdefault(record.phase, record.began)
    if life.current is not None:
        facts.phase_began.setdefault(life.current.phase, life.current.began)
    return facts


def opened(event: e.LifeOpened) -> Facts:
    return Facts(
        plan=event.plan,
        by=event.by,
        trigger=event.trigger,
        action=event.action,
        opened=event.at,
        decided=event.at if event.by != AUTOMATIC else None,
    )


def follow(facts: Facts, event: e.Event) -> None:
    match event:
        case e.ActionChanged():
            facts.action = event.action
            facts.trigger = event.trigger or facts.trigger
        case e.LifeApproved():
            facts.approved = True
            facts.decided = event.at
        case e.RollbackBegan():
            facts.began = True
            facts.decided = event.decided
        case e.ScopeWidened():
            facts.plan, facts.phase_began = event.plan, {}
        case e.StepReached():
            facts.phase_began.setdefault(event.phase, event.at)
        case e.RollbackVerified():
            facts.verified = event.at


def detection(firings: tuple[Firing, ...], decided: Ms) -> Ms | None:
    """From the start of the earliest breach to `decided`; None where nothing fired."""
    starts = [firing.began for firing in firings]
    return max(decided - min(starts), 0) if starts else None


def duration(facts: Facts, ended: Ms) -> Ms | None:
    """From the decision to verified, or to the end where it never was (S1)."""
    if facts.decided is None:
        return None
    return (facts.verified if facts.verified is not None else ended) - facts.decided


def phase_duration(facts: Facts, event: e.StepSettled) -> Ms | None:
    """How long a phase took, once its last step is behind us."""
    names = [step.name for phase, step in facts.plan.steps() if phase.name == event.phase]
    began = facts.phase_began.get(event.phase)
    if began is None or event.result == "failed" or not names or names[-1] != event.step:
        return None
    return event.at - began


def attempt_outcome(event: e.StepEnded) -> str:
    """The word for one execution: done, failed, or why it has no exit status."""
    if event.outcome != "exited":
        return event.outcome
    return "done" if event.status == 0 and event.expect_matched else "failed"
