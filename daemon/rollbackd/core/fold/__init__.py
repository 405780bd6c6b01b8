"""State from events: total, and it never refuses the past (I12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import events as e
from rollbackd.core.fold import matters, standing
from rollbackd.core.fold.lives import apply_to_life, prune
from rollbackd.core.state import Life, State

if TYPE_CHECKING:
    from collections.abc import Iterable

_HANDLERS = {**standing.HANDLERS, **matters.HANDLERS}


def apply(state: State, event: e.Event) -> State:
    """The state after `event`. An event about something that is gone changes nothing."""
    if isinstance(event, e.LifeEvent):
        return prune(apply_to_life(state, event), event.life)
    handler = _HANDLERS.get(type(event))
    return state if handler is None else handler(state, event)


def fold_life(events: Iterable[e.Event], life: str) -> Life | None:
    """One life from its own events, also after it has left the state: for reports and lists."""
    state = State()
    for event in events:
        if isinstance(event, e.LifeEvent):
            state = apply_to_life(state, event)
    return state.lives.get(life)
