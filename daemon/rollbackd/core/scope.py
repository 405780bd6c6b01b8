"""Parts of a plan: which one a life runs, and the wider one that follows if that was not enough (X7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import events as e
from rollbackd.core.ladder import tell
from rollbackd.core.state import holders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.model import Phase, Plan, Step
    from rollbackd.core.state import Life
    from rollbackd.core.turn import Turn


def irreversible_step(life: Life) -> str | None:
    """X8: the last irreversible step that has started."""
    irreversible = {step.name for _, step in life.plan.steps() if step.irreversible}
    begun = [record.step for record in life.steps if record.result != "skipped"]
    begun += [current.step for current in life.currents if current.ran]
    return next((step for step in reversed(begun) if step in irreversible), None)


def processes_gone(life: Life) -> bool:
    """Whether nothing is left of what it stopped in or failed at."""
    failed = all(record.tree_gone for record in life.steps if record.result == "failed")
    return failed and all(current.tree_gone for current in life.currents)


def ahead(life: Life) -> Iterator[tuple[tuple[Phase, Step], ...]]:
    """What is left of each batch, in their order; not what a failed phase would have done (X1, X7)."""
    behind = {record.step for record in life.steps}
    skipping = life.from_step is not None
    for batch in life.plan.batches():
        skipping = skipping and life.from_step not in {step.name for _, step in batch}
        rest = tuple(one for one in batch if one[1].name not in behind)
        if rest and not skipping and rest[0][0].name not in life.failed_phases:
            yield rest


def or_wider(turn: Turn, life: Life, why: str) -> str | None:
    """What a life failed for, where it ends with that. None where it goes on with the wider plan instead,
    from its beginning: its steps count on their order."""
    wider = _wider(life)
    if wider is None:
        return why
    against = _obstacle(turn, life, wider)
    if against is not None:
        return f"{why}; not widened to {wider.scope}: {against}"
    overrun_at = turn.now + wider.timeout
    turn.emit(e.ScopeWidened(at=turn.now, life=life.id, plan=wider, overrun_at=overrun_at, why=why))
    widened = turn.state.lives[life.id]
    tell(turn, widened, f"{life.plan.name}: widened to {wider.scope} ({life.id})", why)
    return None


def _wider(life: Life) -> Plan | None:
    if life.whole is None:
        return None
    part = next((scope for scope in life.whole.scopes if scope.name == life.plan.scope), None)
    return life.whole.narrowed(part.widen_to) if part is not None and part.widen_to is not None else None


def _obstacle(turn: Turn, life: Life, wider: Plan) -> str | None:
    if life.abort is not None:
        return f"aborted by {life.aborted_by}"
    if not processes_gone(life) or not all(record.tree_gone for record in life.steps):
        return "processes of a step could not be shown gone"
    point = irreversible_step(life)
    if point is not None:
        return f"step {point} is irreversible and has run"
    holding = holders(turn.state, wider.services, but=life.id)
    return f"{holding[0].id} holds a service of it" if holding else None
