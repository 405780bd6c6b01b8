"""Captures: what was put aside before changes, until it is removed (C1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from rollbackd.core import events as e
from rollbackd.core.fold.mapping import drop, put
from rollbackd.core.state import Capture, Captured

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollbackd.core.state import State

_OfOne = e.CaptureTaken | e.CaptureFailed | e.CaptureCompleted | e.CapturePruned


def _began(state: State, event: e.CaptureBegan) -> State:
    plan = event.plan
    capture = Capture(
        id=event.capture,
        plan=plan.name,
        hash=plan.hash,
        services=plan.services,
        wanted=plan.capture,
        env=plan.env,
        began=event.at,
        by=event.by,
        channel=event.channel,
        comment=event.comment,
        asked=event.rollout,
    )
    number = state.capture_numbers.get(plan.name, 0) + 1
    return replace(
        state,
        captures=put(state.captures, capture.id, capture),
        capture_numbers=put(state.capture_numbers, plan.name, number),
    )


def _went_on(state: State, event: _OfOne) -> State:
    capture = state.captures.get(event.capture)
    return state if capture is None else _keep(state, _after(capture, event))


def _after(capture: Capture, event: _OfOne) -> Capture:
    match event:
        case e.CaptureTaken():
            taken = Captured(event.item, event.at, event.artifacts, event.value, event.said)
            return replace(capture, items=(*capture.items, taken))
        case e.CaptureFailed():
            return replace(capture, state="failed", ended=event.at, failed=event.item, detail=event.detail)
        case e.CaptureCompleted():
            return replace(capture, state="complete", ended=event.at, detail=event.refused)
        case e.CapturePruned():
            return replace(capture, state="pruned")


def _removed(state: State, event: e.CaptureRemoved) -> State:
    return replace(state, captures=drop(state.captures, event.capture))


def with_rollout(state: State, capture_id: str | None, rollout: str) -> State:
    """The rollout that this capture is of has begun."""
    capture = state.captures.get(capture_id or "")
    return state if capture is None else _keep(state, replace(capture, rollout=rollout))


def _keep(state: State, capture: Capture) -> State:
    return replace(state, captures=put(state.captures, capture.id, capture))


HANDLERS: dict[type[e.Event], Callable[..., State]] = {
    e.CaptureBegan: _began,
    e.CaptureTaken: _went_on,
    e.CaptureFailed: _went_on,
    e.CaptureCompleted: _went_on,
    e.CapturePruned: _went_on,
    e.CaptureRemoved: _removed,
}
