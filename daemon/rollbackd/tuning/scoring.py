"""Fires against the incidents that people remember, or that an alert recorded."""

from __future__ import annotations

from msgspec import Struct

from rollbackd.core.model import Ms
from rollbackd.sim.replay.outcome import Fire


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


class Score(Struct, frozen=True):
    """`precision`, `recall`: None where they would be 0/0. `lead`: the median of those caught."""

    caught: tuple[Caught, ...]
    missed: tuple[Incident, ...]
    false: tuple[Fire, ...]
    precision: float | None
    recall: float | None
    false_a_week: float
    lead: Ms | None
