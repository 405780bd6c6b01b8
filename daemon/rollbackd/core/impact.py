"""What a rollback's time cost: the plan's own queries, asked once it is over (S5)."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from rollbackd.core import events as e
from rollbackd.core.model import SPAN, Check, Measure
from rollbackd.core.state import Measured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.model import ImpactQuery, Ms
    from rollbackd.core.state import Life
    from rollbackd.core.turn import Turn

SCRAPED_AFTER: Ms = 15_000
"""What the last seconds cost is scraped a little later."""


def spanned(life: Life) -> tuple[Ms, Ms]:
    """From the beginning of the breach, or the decision of whoever started it, to *verified* or the end."""
    opened = life.decided if life.decided is not None else life.opened
    since = min((firing.began for firing in life.firings), default=opened)
    until = life.verified if life.verified is not None else life.ended
    return min(since, opened), life.opened if until is None else until


def due(life: Life) -> Iterator[tuple[str, Check, Ms]]:
    """The slot of each query that was not answered yet, and when it is to be asked (steady)."""
    since, until = spanned(life)
    for query in life.plan.impact:
        slot = f"impact/{query.name}"
        if slot not in life.checks:
            measure = Measure(spelled(query.expr, until - since), until)
            yield slot, Check(query.name, measure=measure), until + SCRAPED_AFTER


def spelled(expr: str, span: Ms) -> str:
    """The expression over that time; whole seconds, at least one."""
    return expr.replace(SPAN, f"{max(-(-span // 1_000), 1)}s")


def progress(turn: Turn) -> None:
    for life in list(turn.state.lives.values()):
        if life.measuring() and not any(True for _ in due(life)):
            since, until = spanned(life)
            found = tuple(_measured(life, query) for query in life.plan.impact)
            turn.emit(e.ImpactMeasured(at=turn.now, life=life.id, since=since, until=until, found=found))


def _measured(life: Life, query: ImpactQuery) -> Measured:
    answered = life.checks[f"impact/{query.name}"]
    if answered.answer != "pass":
        return Measured(query.name, None, detail=answered.detail or "no answer")
    try:
        value = float(answered.output)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        return Measured(query.name, None, detail="no number")
    return Measured(query.name, value, query.word(value))
