"""One trigger under many settings, from one fetch of its data."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from rollbackd.core.model import Ms
from rollbackd.sim.replay.outcome import Outcome
from rollbackd.tuning.scoring import Score

Key = Literal["windows", "for", "breach", "min_total", "at_least", "no_data", "cooldown"]
"""What can be varied without asking Prometheus anything else."""


class Axis(Struct, frozen=True):
    """One key and its values, as people write them."""

    key: Key
    values: tuple[str, ...]


class Cell(Struct, frozen=True):
    """One setting. `score`: None where no incidents are known; then every fire is just a fire."""

    values: tuple[str, ...]  # one for each axis
    fires: int
    hidden: int
    longest: int
    score: Score | None
    lead: Ms | None


class Sweep(Struct, frozen=True):
    """`current`: the index of the cell that the file says, where it is one; `knee`: of the one suggested:
    the fewest false fires, then the most caught, then the earliest, then the fewest windows."""

    axes: tuple[Axis, ...]
    cells: tuple[Cell, ...]  # the last axis varies fastest
    current: int | None
    knee: int | None
    outcome: Outcome  # of the file's own setting
