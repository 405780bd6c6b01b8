"""Incidents: from a file that people keep, or from an alert that was on."""

from __future__ import annotations

from itertools import compress, pairwise
from math import isnan
from typing import TYPE_CHECKING

from rollbackd.config.models.incidents import IncidentsFileModel
from rollbackd.config.problem import ConfigErrors, errors, in_order
from rollbackd.config.validate import validate
from rollbackd.config.yaml_source import read
from rollbackd.tuning.scoring import Incident

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rollbackd.config.yaml_source import Document
    from rollbackd.core.history import Column, History
    from rollbackd.core.model import Ms

JOINED: Ms = 5 * 60_000
"""An alert that is off for no longer than this, or two steps, was one incident."""


def read_incidents(path: Path) -> tuple[Incident, ...]:
    """The incidents of a file, by their starts. ConfigErrors with all that is wrong with it."""
    document = read(path, str(path), path.name)
    found = _incidents(document) if document.data is not None else []
    if errors(document.problems):
        raise ConfigErrors(in_order(document.problems))
    return tuple(sorted(found, key=_start))


def _incidents(document: Document) -> list[Incident]:
    file = validate(IncidentsFileModel, document, document.data)
    if file is None:
        return []
    for number, each in enumerate(file.incidents):
        if each.end <= each.start:
            document.problem(("incidents", number, "end"), "is not after the start", "correct one of them")
    return [Incident(each.start, each.end, each.note) for each in file.incidents]


def from_series(history: History) -> tuple[Incident, ...]:
    """When a series like `ALERTS{…}` was on: there, and not 0. Each series by itself; its key is the note.
    An incident lasts until the first step at which it is off."""
    step = history.ends.step
    found = [
        Incident(first, last + step, note)
        for note, column in history.columns[0].items()
        for first, last in _spells(history.ends, column)
    ]
    return tuple(sorted(found, key=_start))


def _spells(ends: range, column: Column) -> Iterator[tuple[Ms, Ms]]:
    """The first and the last moment of each time it was on."""
    longest = max(JOINED, 2 * ends.step)
    on = compress(zip(ends, column.values, strict=True), column.there)
    moments = [end for end, value in on if value != 0 and not isnan(value)]
    if not moments:
        return
    first = moments[0]
    for moment, following in pairwise(moments):
        if following - moment - ends.step > longest:
            yield first, moment
            first = following
    yield first, moments[-1]


def _start(incident: Incident) -> tuple[Ms, Ms, str]:
    return incident.start, incident.end, incident.note
