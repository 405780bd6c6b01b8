"""What a trigger looks like from outside, for the page and the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core.arming import open_rollout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rollbackd.core.model import Trigger
    from rollbackd.core.state import Disarmed, State


def disarmed_subjects(state: State) -> dict[str, dict[str, Disarmed]]:
    """Trigger → its disarmed subjects."""
    found: dict[str, dict[str, Disarmed]] = {}
    for entry in state.disarmed.values():
        found.setdefault(entry.trigger, {})[entry.subject] = entry
    return found


def armed(
    state: State, trigger: Trigger, subjects: Iterable[str], disarmed: Mapping[str, Disarmed] | None
) -> bool:
    """Whether a breach of some subject could open a life now (W8, W9, W13). `subjects` are those known;
    a trigger that has seen none yet is armed."""
    if state.finish_only is not None:
        return False
    if trigger.arm == "rollout" and open_rollout(state, trigger.plan) is None:
        return False
    if not disarmed:
        return True
    known = list(subjects)
    return not known or any(subject not in disarmed for subject in known)


def blind(state: State, trigger: str) -> str | None:
    """Why it sees nothing: sparse, unusable or absent (W5, W14)."""
    matter = state.matters.get(f"blind/{trigger}")
    return matter.cause if matter is not None else None
