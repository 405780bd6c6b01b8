"""Where a trigger's windows ended, by what the daemon learned and journalled (rule W1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core.events import AlignmentLearned
from rollbackd.core.state import Alignment
from rollbackd.core.windows import Watch
from rollbackd.journal.audit import events_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rollbackd.core.model import Ms, Trigger

MOST = 10_000
"""Alignments that are read; a group that finds a new one every minute has a week of them."""


def learned(journal: Path) -> tuple[AlignmentLearned, ...]:
    """All that was learned of any group, oldest first. Whoever writes the journal may be running.
    JournalBroken: it cannot be read. OSError: there is none, or it is not ours to read."""
    found = events_of(journal, AlignmentLearned.kind(), MOST)
    return tuple(event for event in found if isinstance(event, AlignmentLearned))


def applies(trigger: Trigger, one: AlignmentLearned) -> bool:
    return trigger.auto_align and one.group == trigger.group and one.interval == trigger.interval


def grids(trigger: Trigger, alignments: Sequence[AlignmentLearned], begin: Ms, end: Ms) -> tuple[range, ...]:
    """The ends of the windows that lie between `begin` and `end`, as the live daemon had them: a grid for
    each alignment that was in force."""
    found = []
    watch, since = _watch(trigger, None), begin
    for one in alignments:
        if applies(trigger, one):
            found.append(_ends(watch, since, min(one.since, end)))
            watch, since = _watch(trigger, one), max(begin, one.since)
    found.append(_ends(watch, since, end))
    return tuple(ends for ends in found if ends)


def _watch(trigger: Trigger, one: AlignmentLearned | None) -> Watch:
    known = None if one is None else Alignment(one.interval, one.align, one.since, one.targets)
    return Watch("", trigger, trigger.condition, 0, known)


def _ends(watch: Watch, since: Ms, until: Ms) -> range:
    return range(watch.first_end(since), until + 1, watch.interval)
