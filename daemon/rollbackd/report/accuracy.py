"""How much of the plan was done as it was written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from rollbackd.core import events as e
from rollbackd.report.words import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rollbackd.core.model import Step
    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Life

BY_ITSELF = frozenset({"run", "probe"})
"""Whose word a program's step is done by, where no person gave it."""


class Accuracy(Struct, frozen=True):
    """`planned`: steps of the plan, or the part of it, that the rollback began with, each region's for
    itself, clean-up and what `--from` passed over included. `changed`: those not done as written, and why.

    A step was executed unchanged if it is done by its own program (within the retries the plan allows, or
    as its probe says), or, being a gate or by hand, by the person it asks. It was changed if it failed, was
    skipped, was never run, was done by a person's word alone, was run again because a person said so, or came
    only with a wider part of the plan."""

    planned: int
    changed: dict[str, str]

    @property
    def share(self) -> float | None:
        return round(1 - len(self.changed) / self.planned, 4) if self.planned else None


def accuracy(life: Life, events: Iterable[Recorded]) -> Accuracy | None:
    """None where nothing began, or it is under way."""
    if life.ended is None:
        return None
    planned: dict[str, Step] | None = None
    changed: dict[str, str] = {}
    for row in events:
        event = row.event
        if not isinstance(event, e.LifeEvent) or event.life != life.id:
            continue
        match event:
            case e.RollbackBegan():
                planned = {step.name: step for _, step in event.plan.steps()}
                changed = dict.fromkeys(planned, "not run")
            case e.ScopeWidened():
                break
            case e.StepSettled() if planned is not None and event.step in planned:
                why = _why(planned[event.step], event)
                again = changed.get(event.step, "")
                if why or again.startswith("run again"):
                    changed[event.step] = why or again
                else:
                    changed.pop(event.step, None)
            case e.StepConfirmed(answer="retry"):
                changed[event.step] = f"run again on the word of {event.by}"
    return None if planned is None else Accuracy(len(planned), changed)


def _why(step: Step, settled: e.StepSettled) -> str:
    if settled.result != "done":
        return plain(settled.result) + (f" by {settled.by}" if settled.by not in BY_ITSELF else "")
    if step.run is not None and settled.by not in BY_ITSELF:
        return f"done by the word of {settled.by}"
    return ""
