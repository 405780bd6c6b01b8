"""The record of a rollback that ended badly: what failed, which levels it climbed, how it was put right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from rollbackd.core import events as e
from rollbackd.core.state import AUTOMATIC, BAD_ENDS
from rollbackd.report.runs import last_line
from rollbackd.report.timeline import timeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollbackd.core.model import Ms, Rung
    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Life, Resolution
    from rollbackd.report.timeline import Entry


class Level(Struct, frozen=True):
    """A rung that was reached, counted from 1. `said`: what people did while it was the highest. `until`:
    when the next was reached, or the rollback was resolved."""

    level: int
    at: Ms
    rung: Rung
    said: tuple[Entry, ...]
    until: Ms | None
    outcome: str | None


class Failure(Struct, frozen=True):
    """`logs`: where the output of the step that failed is kept, under the state directory."""

    attempted: Ms
    failed: Ms
    reason: str
    phase: str | None
    step: str | None
    error: str
    logs: str | None
    levels: tuple[Level, ...]
    resolution: Resolution | None

    @property
    def took(self) -> Ms | None:
        """From the attempt to the resolution."""
        return self.resolution.at - self.attempted if self.resolution is not None else None


def failure(life: Life, events: Sequence[Recorded]) -> Failure | None:
    """None for what did not end badly."""
    if life.ended is None or life.state not in BAD_ENDS:
        return None
    ended = _last_end(life, events)
    settled = _failed_step(life, events)
    step = settled.step if settled is not None else ended.step if ended is not None else None
    error = (last_line(ended.output) or ended.detail) if ended is not None else ""
    return Failure(
        attempted=life.began if life.began is not None else life.opened,
        failed=life.ended,
        reason=life.end_detail,
        phase=settled.phase if settled is not None else _phase_of(life, step),
        step=step,
        error=error or (settled.detail if settled is not None else "") or life.end_detail,
        logs=f"attempts/{life.id}/{ended.execution:04d}-{ended.step}/output" if ended is not None else None,
        levels=tuple(_levels(life, events)),
        resolution=life.resolution,
    )


def _failed_step(life: Life, events: Sequence[Recorded]) -> e.StepSettled | None:
    found = [
        row.event
        for row in events
        if isinstance(row.event, e.StepSettled) and row.event.life == life.id and row.event.result == "failed"
    ]
    return found[-1] if found else None


def _last_end(life: Life, events: Sequence[Recorded]) -> e.StepEnded | None:
    """The last execution that did not end well."""
    found = [
        row.event
        for row in events
        if isinstance(row.event, e.StepEnded)
        and row.event.life == life.id
        and (row.event.status != 0 or not row.event.expect_matched)
    ]
    failed = _failed_step(life, events)
    if failed is not None:
        found = [one for one in found if one.step == failed.step]
    return found[-1] if found else None


def _phase_of(life: Life, step: str | None) -> str | None:
    return next((phase.name for phase, one in life.plan.steps() if one.name == step), None)


def _levels(life: Life, events: Sequence[Recorded]) -> Iterator[Level]:
    reached = list(_reached(life, events))
    said = [
        entry
        for entry in timeline(life.id, events)
        if entry.channel and entry.actor not in ("", AUTOMATIC) and entry.at >= (life.ended or 0)
    ]
    said = list({(one.at, one.actor, one.kind, one.comment): one for one in said}.values())  # of two matters
    over = life.resolution.at if life.resolution is not None else None
    for place, (seq, level, at, rung) in enumerate(reached):
        after = reached[place + 1] if place + 1 < len(reached) else None
        mine = tuple(one for one in said if one.seq > seq and (after is None or one.seq < after[0]))
        until = after[2] if after is not None else over
        yield Level(level, at, rung, mine, until, _outcome(mine, after is not None, over is not None))


def _reached(life: Life, events: Sequence[Recorded]) -> Iterator[tuple[int, int, Ms, Rung]]:
    """The rungs of the life's own matter since it failed."""
    ladder: tuple[Rung, ...] = ()
    key, failed = f"life/{life.id}", False
    for row in events:
        match row.event:
            case e.MatterOpened(matter=matter) as opened if matter == key:
                ladder, failed = opened.ladder, opened.cause in BAD_ENDS
            case e.MatterChanged(matter=matter) as changed if matter == key:
                failed = changed.cause in BAD_ENDS
            case e.RungReached(matter=matter, repeat=False) as rung if matter == key and failed:
                if rung.rung < len(ladder):
                    yield row.seq, rung.rung + 1, rung.at, ladder[rung.rung]


def _outcome(said: tuple[Entry, ...], climbed: bool, over: bool) -> str | None:
    """What the record shows of it; None: nothing yet."""
    if climbed:
        return "escalated"
    if over:
        return "resolved"
    return "acknowledged" if any(entry.kind == "matter_acked" for entry in said) else None
