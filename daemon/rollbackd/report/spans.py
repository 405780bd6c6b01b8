"""When what ran and what waited: a life's steps, waits and stops as stretches of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from rollbackd.core import events as e
from rollbackd.report.words import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rollbackd.core.model import Ms
    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Life


class Stretch(Struct, frozen=True):
    """`end` None: it goes on. `kind`: of a step its result, or `running`; of a wait what is waited for."""

    begin: Ms
    end: Ms | None
    kind: str
    says: str
    phase: str = ""
    step: str = ""
    region: str = ""


def steps(life: Life, events: Iterable[Recorded]) -> list[Stretch]:
    """Each time that a step was at hand, in the order of beginning; before a life was widened, too."""
    regions = {step.name: step.region for _, step in (life.whole or life.plan).steps()}
    begun: dict[str, e.StepReached] = {}
    found: list[Stretch] = []
    for event in _mine(life, events):
        match event:
            case e.StepReached():
                begun[event.step] = event
            case e.StepSettled() if event.step in begun:
                began = begun.pop(event.step).at
                found.append(_step(began, event.at, event.result, event.phase, event.step, regions))
            case e.LifeEnded() | e.ScopeWidened():
                for one in begun.values():
                    found.append(_step(one.at, event.at, "failed", one.phase, one.step, regions))
                begun = {}
    found += [_step(one.at, None, "running", one.phase, one.step, regions) for one in begun.values()]
    return sorted(found, key=lambda one: one.begin)


def _step(begin: Ms, end: Ms | None, result: str, phase: str, step: str, regions: dict[str, str]) -> Stretch:
    return Stretch(begin, end, result, f"{step}: {result}", phase, step, regions.get(step, ""))


_PARKED = {"gate": "gate", "manual": "manual"}


def waits(life: Life, events: Iterable[Recorded]) -> list[Stretch]:
    """Before it began: veto, approval, lock, checks. After: parked, held, at a gate, for a person's work."""
    return sorted([*_before(life, events), *_stops(life, events)], key=lambda one: one.begin)


def _before(life: Life, events: Iterable[Recorded]) -> Iterator[Stretch]:
    began, kind = life.opened, "checking"
    for event in _mine(life, events):
        if isinstance(event, e.WaitBegan | e.RollbackBegan | e.LifeEnded):
            if event.at > began:
                yield Stretch(began, event.at, f"wait-{kind}", f"waited: {plain(kind)}")
            if not isinstance(event, e.WaitBegan):
                return
            began, kind = event.at, event.wait
    yield Stretch(began, None, f"wait-{kind}", f"waits: {plain(kind)}")


def _stops(life: Life, events: Iterable[Recorded]) -> Iterator[Stretch]:
    open_: tuple[Ms, str, str] | None = None
    for event in _mine(life, events):
        match event:
            case e.LifeParked():
                open_ = (event.at, _PARKED.get(event.reason, "parked"), event.detail)
            case e.LifeHeld() if open_ is None:
                open_ = (event.at, "held", f"held by {event.by}")
            case e.LifeResumed() | e.StepConfirmed() | e.GateApproved() | e.LifeEnded() if open_ is not None:
                yield Stretch(open_[0], event.at, open_[1], open_[2])
                open_ = None
    if open_ is not None:
        yield Stretch(open_[0], None, open_[1], open_[2])


def _mine(life: Life, events: Iterable[Recorded]) -> Iterator[e.LifeEvent]:
    for row in events:
        if isinstance(row.event, e.LifeEvent) and row.event.life == life.id:
            yield row.event
