"""Fires against the incidents that people remember, or that an alert recorded."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from msgspec import Struct

from rollbackd.core.model import Ms
from rollbackd.sim.replay.outcome import Fire, Hidden

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollbackd.sim.replay.outcome import Outcome

WEEK: Ms = 7 * 86_400_000

EARLY: Ms = 15 * 60_000


class Incident(Struct, frozen=True):
    """Something was wrong from `start` until `end` (ms, Prometheus' time)."""

    start: Ms
    end: Ms
    note: str = ""


class Caught(Struct, frozen=True):
    """`fire`: the first that belongs to the incident. `lead`: ms by which it came before the incident's
    start; negative where it came later."""

    incident: Incident
    fire: Fire
    lead: Ms


class Masked(Struct, frozen=True):
    """An incident that was missed because a fire before it had disarmed the subject: `hidden` would have
    caught it."""

    incident: Incident
    hidden: Hidden


class Score(Struct, frozen=True):
    """`precision`: fires that belong to an incident, of all; `recall`: incidents caught, of all that lie in
    the windows at least partly. None where they would be 0/0. `lead`: the median of those caught.
    `masked`: why some of those in `missed` were. `outside`: what cannot be judged, for want of windows."""

    caught: tuple[Caught, ...]
    missed: tuple[Incident, ...]
    false: tuple[Fire, ...]
    precision: float | None
    recall: float | None
    false_a_week: float
    lead: Ms | None
    masked: tuple[Masked, ...] = ()
    outside: tuple[Incident, ...] = ()


def score(outcome: Outcome, incidents: Sequence[Incident], *, early: Ms = EARLY) -> Score:
    """A fire belongs to each incident that it lies in, or in the `early` before it."""

    def belongs(end: Ms, incident: Incident) -> bool:
        return incident.start - early <= end <= incident.end

    first, last = outcome.ends[0] - outcome.trigger.interval, outcome.ends[1]
    within: list[Incident] = []
    outside: list[Incident] = []
    for incident in incidents:
        (within if incident.end >= first and incident.start <= last else outside).append(incident)
    caught, missed, masked = [], [], []
    for incident in within:
        fire = next((fire for fire in outcome.fires if belongs(fire.end, incident)), None)
        if fire is not None:
            caught.append(Caught(incident, fire, incident.start - fire.end))
            continue
        missed.append(incident)
        hidden = next((each for each in outcome.hidden if belongs(each.end, incident)), None)
        masked += [] if hidden is None else [Masked(incident, hidden)]
    false = [fire for fire in outcome.fires if not any(belongs(fire.end, each) for each in incidents)]
    fires = len(outcome.fires)
    return Score(
        caught=tuple(caught),
        missed=tuple(missed),
        false=tuple(false),
        precision=(fires - len(false)) / fires if fires else None,
        recall=len(caught) / len(within) if within else None,
        false_a_week=len(false) * WEEK / (outcome.windows * outcome.trigger.interval),
        lead=round(median(each.lead for each in caught)) if caught else None,
        masked=tuple(masked),
        outside=tuple(outside),
    )
