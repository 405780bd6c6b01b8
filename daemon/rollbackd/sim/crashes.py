"""Crashes enumerated: at every append to the journal, before, in the middle of and after it, and again
during the recovery from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from rollbackd.sim.coverage import KINDS, Coverage
from rollbackd.sim.generator import draw
from rollbackd.sim.happenings import Crash, Dies
from rollbackd.sim.trial import attempt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.sim.happenings import Scenario

MOST_SEEDS = 600
RECOVERY = 3
"""How many appends after a crash are tried for a second one."""


def cast() -> list[Scenario]:
    """A few lives without crashes that together reach every kind of event."""
    found: list[Scenario] = []
    missing = set(KINDS)
    for seed in range(MOST_SEEDS):
        scenario = calm(draw(seed))
        verdict = attempt(scenario)
        reached = {kind for kind, _, _ in verdict.coverage.cells}
        if verdict.violation is None and reached & missing:
            missing -= reached
            found.append(scenario)
        if not missing:
            break
    return found


def calm(scenario: Scenario) -> Scenario:
    """The same life without the deaths that were drawn."""
    kept = tuple(one for one in scenario.happenings if not isinstance(one, Dies))
    return replace(scenario, happenings=kept)


def crashed(scenario: Scenario, appends: int) -> Iterator[Scenario]:
    """The scenario with every crash, then with every second crash during the recovery. A torn write needs
    a power cut; the journal's transaction loses all of it."""
    for number in range(1, appends + 1):
        for first in _at(number):
            yield replace(scenario, crashes=(first,))
            for later in range(number + 1, number + 1 + RECOVERY):
                for second in _at(later):
                    yield replace(scenario, crashes=(first, second))


def _at(number: int) -> tuple[Crash, ...]:
    return Crash(number, "before"), Crash(number, "torn", machine=True), Crash(number, "after")


def points(scenario: Scenario) -> tuple[int, Coverage]:
    """How many appends this life makes, and what it reaches."""
    verdict = attempt(scenario)
    return verdict.appends, verdict.coverage
