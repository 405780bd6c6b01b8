"""Parts of a plan against the whole: what was expected, what the plan estimates, what it was."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from msgspec import Struct

from rollbackd.core.model import ALL
from rollbackd.report.words import elapsed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rollbackd.core.model import Ms, Phase, Plan, Scope
    from rollbackd.core.state import Life

EXPECTED = {"application": 40, "database": 30, "service": 60, "configuration": 70, "region": 50}
"""% that such a part is expected to be faster than the whole plan."""


class Earlier(Struct, frozen=True):
    """A rollback that was verified: how long it took, and its phases."""

    life: str
    plan_hash: str
    scope: str
    took: Ms
    phases: dict[str, Ms]


class Part(Struct, frozen=True):
    """One scope of a plan. `expected`, `estimated`, `measured`: % faster than the whole (negative: slower),
    None where it is not known. `took`, `whole`: the medians that `measured` rests on; `runs`: of the part."""

    scope: str
    kind: str | None
    expected: int | None
    estimated: float | None
    measured: float | None
    took: Ms | None
    whole: Ms | None
    whole_is: str
    runs: int


def earlier(life: Life) -> Earlier | None:
    """None for what proves no time: it was not verified, passed steps over, or was widened on its way."""
    took = elapsed(life)
    if life.verified is None or took is None or life.from_step is not None or life.widenings:
        return None
    return Earlier(life.id, life.plan.hash, life.plan.scope, took, phase_times(life))


def phase_times(life: Life) -> dict[str, Ms]:
    """From its first step's beginning to its last's end."""
    found: dict[str, Ms] = {}
    for phase in life.plan.phases:
        records = [record for record in life.steps if record.phase == phase.name]
        if records:
            found[phase.name] = max(one.ended for one in records) - min(one.began for one in records)
    return found


def parts(life: Life, before: Iterable[Earlier]) -> tuple[Part, ...]:
    """Each scope of the life's plan, from what earlier lives of it and this one took."""
    plan = life.whole or life.plan
    mine = earlier(life)
    known = [*before, *([mine] if mine is not None else [])]
    whole, whole_is = _whole(plan, known)
    return tuple(_part(plan, scope, known, whole, whole_is) for scope in plan.scopes)


def _part(plan: Plan, scope: Scope, known: Sequence[Earlier], whole: Ms | None, whole_is: str) -> Part:
    times = [one.took for one in known if one.scope == scope.name]
    took = round(median(times)) if times else None
    kind = _kind(plan, scope)
    return Part(
        scope=scope.name,
        kind=kind,
        expected=EXPECTED[kind] if kind is not None else None,
        estimated=_estimated(plan, scope),
        measured=_faster(took, whole) if took is not None and whole else None,
        took=took,
        whole=whole,
        whole_is=whole_is,
        runs=len(times),
    )


def faster(percent: float | None) -> str:
    """For people."""
    if percent is None:
        return "unknown"
    return f"{abs(percent):g} % {'slower' if percent < 0 else 'faster'}"


def _faster(part: Ms, whole: Ms) -> float:
    return round(100 * (1 - part / whole), 1)


def _whole(plan: Plan, known: Sequence[Earlier]) -> tuple[Ms | None, str]:
    """What the whole plan takes: its own median, else the sum of its phases', where each has run."""
    times = [one.took for one in known if one.scope == ALL]
    if times:
        return round(median(times)), "measured"
    medians = []
    for phase in _counted(plan):
        seen = [one.phases[phase.name] for one in known if phase.name in one.phases]
        if not seen:
            return None, "unknown"
        medians.append(median(seen))
    return round(sum(map(int, medians))), "the sum of its phases"


def _counted(plan: Plan) -> list[Phase]:
    return [phase for phase in plan.phases if not phase.after_verified]


def _estimated(plan: Plan, scope: Scope) -> float | None:
    whole = [_estimate(phase, 1.0) for phase in _counted(plan)]
    share = len(scope.regions or plan.regions) / len(plan.regions) if plan.regions else 1.0
    part = [_estimate(phase, share) for phase in _counted(plan) if phase.name in scope.phases]
    known = [time for time in whole if time is not None]
    if len(known) < len(whole) or not sum(map(int, known)):
        return None
    return _faster(sum(round(time) for time in part if time is not None), sum(map(int, known)))


def _estimate(phase: Phase, share: float) -> float | None:
    """Of fewer regions, one after the other, a phase takes less."""
    if phase.estimate is None:
        return None
    serial = any(step.each == "serial" for step in phase.steps)
    return phase.estimate * (share if serial else 1.0)


def _kind(plan: Plan, scope: Scope) -> str | None:
    if scope.regions and set(scope.regions) < set(plan.regions):
        return "region"
    for kind in EXPECTED:
        if scope.name.casefold().startswith(kind[:6]):
            return kind
    return "service" if len(scope.services) == 1 < len(plan.services) else None
