"""State from events: total, and it never refuses the past (I12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import events as e
from rollbackd.core.fold import captures, matters, standing
from rollbackd.core.fold.lives import apply_to_life, owe_report, prune
from rollbackd.core.fold.mapping import Own
from rollbackd.core.state import Life, State

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Own", "apply", "fold_life"]

_HANDLERS = {**standing.HANDLERS, **captures.HANDLERS, **matters.HANDLERS}


def apply(state: State, event: e.Event, own: Own | None = None) -> State:
    """The state after `event`. An event about something that is gone changes nothing.

    `own`: of the batch that the event is part of, which alone has `state` then; without it, `state` stays
    the value it is."""
    if isinstance(event, e.LifeEvent):
        return prune(owe_report(apply_to_life(state, event), event), event.life)
    handler = _HANDLERS.get(type(event))
    if handler is not None:
        return handler(state, event)
    counter = standing.COUNTERS.get(type(event))
    return state if counter is None else counter(state, event, Own() if own is None else own)


def fold_life(events: Iterable[e.Event], life: str) -> Life | None:
    """One life from its own events, also after it has left the state: for reports and lists."""
    state = State()
    for event in events:
        if isinstance(event, e.LifeEvent):
            state = apply_to_life(state, event)
    return state.lives.get(life)
