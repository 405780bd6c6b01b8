"""What each region took, against its own SLA (S1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from rollbackd.core.model import Ms
    from rollbackd.core.state import Life


class Region(Struct, frozen=True):
    """`took`: from its first step's beginning to the end of its last; None: its steps are not all done."""

    region: str
    took: Ms | None
    sla: Ms
    breached: bool
    results: dict[str, str]


def regions(life: Life) -> tuple[Region, ...]:
    """Those of the plan, in its order; clean-up is outside the SLA."""
    steps = [(step.name, step.region) for phase, step in life.plan.steps() if not phase.after_verified]
    behind = {record.step: record for record in life.steps}
    found = []
    for region in life.plan.regions:
        mine = [name for name, where in steps if where == region]
        records = [behind[name] for name in mine if name in behind]
        done = bool(mine) and len(records) == len(mine) and all(one.result != "failed" for one in records)
        took = max(one.ended for one in records) - min(one.began for one in records) if done else None
        results = {name: behind[name].result if name in behind else "not run" for name in mine}
        found.append(Region(region, took, life.plan.sla, region in life.regions_breached, results))
    return tuple(found)
