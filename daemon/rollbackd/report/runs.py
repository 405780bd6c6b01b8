"""What the record has of each step's executions, also of those that no settled step keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from rollbackd.core import events as e

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rollbackd.core.model import Ms
    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Life


class Run(Struct, frozen=True):
    """A step that was ordered at least once. `ended` is that of its last execution, None while it runs;
    `said` the last line of that execution's output, whole and as it came."""

    began: Ms
    ended: Ms | None = None
    attempts: int = 0
    executions: tuple[int, ...] = ()
    outcome: str | None = None
    detail: str = ""
    said: str = ""

    def fate(self) -> str:
        """Where nothing settled it: `in_doubt`, or why nothing ran."""
        nothing_ran = self.outcome in ("refused", "unstarted")
        return self.outcome if nothing_ran and self.outcome else "in_doubt"


def runs(life: str, events: Iterable[Recorded]) -> dict[str, Run]:
    """By the step's name; `events` may hold others' rows too."""
    reached: dict[str, Ms] = {}
    found: dict[str, Run] = {}
    for row in events:
        event = row.event
        if not isinstance(event, e.LifeEvent) or event.life != life:
            continue
        match event:
            case e.StepReached():
                reached[event.step] = event.at
            case e.StepOrdered():
                before = found.get(event.step)
                executions = (*(before.executions if before is not None else ()), event.execution)
                began = reached.get(event.step, event.at)
                found[event.step] = Run(began, attempts=event.attempt, executions=executions)
            case e.StepEnded() if event.step in found:
                found[event.step] = replace(
                    found[event.step],
                    ended=event.at,
                    outcome=event.outcome,
                    detail=event.detail,
                    said=last_line(event.output),
                )
    return found


def last_line(output: str) -> str:
    return next((line for line in reversed(output.splitlines()) if line.strip()), "")


def unsettled(life: Life, known: dict[str, Run]) -> dict[str, Run]:
    """Of those `known`, the steps that are neither behind nor at hand."""
    settled = {record.step for record in life.steps}
    if life.current is not None:
        settled.add(life.current.step)
    return {step: run for step, run in known.items() if step not in settled}


Missing = Literal["to_come", "not_run"]


def never_ordered(life: Life, step: str) -> Missing:
    """What becomes of a step that was not ordered: those before `--from` are passed over (X9)."""
    names = [each.name for _, each in life.plan.steps()]
    first = names.index(life.from_step) if life.from_step in names else 0
    return "not_run" if life.ended is not None or names.index(step) < first else "to_come"
