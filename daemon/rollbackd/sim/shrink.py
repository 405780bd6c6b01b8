"""The shortest life that still fails: happenings are taken out as long as the same rule stays broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from rollbackd.sim.trial import attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollbackd.sim.happenings import Scenario

T = TypeVar("T")

MOST_TRIES = 400


def shrink(scenario: Scenario, rule: str) -> Scenario:
    """A scenario, no larger, that breaks the same rule."""
    tries = 0

    def fails(candidate: Scenario) -> bool:
        nonlocal tries
        tries += 1
        if tries > MOST_TRIES:
            return False
        violation = attempt(candidate).violation
        return violation is not None and violation.rule == rule

    smallest = scenario
    while True:
        before = smallest
        smallest = _without(smallest.happenings, smallest, lambda kept, s: replace(s, happenings=kept), fails)
        smallest = _without(smallest.steps, smallest, lambda kept, s: replace(s, steps=kept), fails)
        smallest = _without(smallest.crashes, smallest, lambda kept, s: replace(s, crashes=kept), fails)
        smallest = _plainer(smallest, fails)
        if smallest == before:
            return smallest


def _without(
    items: tuple[T, ...],
    scenario: Scenario,
    with_items: Callable[[tuple[T, ...], Scenario], Scenario],
    fails: Callable[[Scenario], bool],
) -> Scenario:
    """Take out halves, then quarters, then single ones."""
    size = len(items)
    while size:
        size = max(1, size // 2) if size > 1 else 1
        start = 0
        while start < len(items):
            fewer = items[:start] + items[start + size :]
            candidate = with_items(fewer, scenario)
            if fails(candidate):
                items, scenario = fewer, candidate
            else:
                start += size
        if size == 1:
            break
    return scenario


def _plainer(scenario: Scenario, fails: Callable[[Scenario], bool]) -> Scenario:
    for candidate in (
        replace(scenario, drift=0),
        replace(scenario, fresh=False),
        replace(scenario, faults_until=scenario.faults_until // 2),
    ):
        if candidate != scenario and fails(candidate):
            scenario = candidate
    return scenario
