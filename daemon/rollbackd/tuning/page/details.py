"""Which moments deserve a chart of their own: fires, missed incidents, near misses; the first of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from rollbackd.core.notation import visible
from rollbackd.core.wording import moment, value
from rollbackd.tuning import figures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.model import Ms
    from rollbackd.sim.replay.outcome import Fire, Peak
    from rollbackd.tuning.backtest import Tested
    from rollbackd.tuning.figures import Fate
    from rollbackd.tuning.scoring import Incident

MOST_CELLS = 48
"""Up to so many windows each has a cell with its glyph; beyond, it has a place in the strip's lanes."""
LONGEST = 480
"""Windows of one detail."""


class Detail(Struct, frozen=True):
    """`subject`: whose windows; None: whoever breached most in that time. `first`, `last`: window ends."""

    anchor: str
    title: str
    says: str
    subject: str | None
    first: Ms
    last: Ms


def details(tested: Tested, most: int) -> tuple[list[Detail], list[str]]:
    """At most `most` fires, half as many missed incidents and near misses; and what is left out, in words."""
    outcome, fates = tested.outcome, figures.fates(tested)
    missed = tested.score.missed if tested.score is not None else ()
    half = max(1, most // 2)
    found = [_fire(tested, at, fire, fates.get(fire)) for at, fire in enumerate(outcome.fires[:most])]
    found += [_missed(tested, at, incident) for at, incident in enumerate(missed[:half])]
    found += [_peak(tested, at, peak) for at, peak in enumerate(figures.near(outcome)[:half])]
    return found, list(_left_out(tested, most, half))


def _left_out(tested: Tested, most: int, half: int) -> Iterator[str]:
    outcome = tested.outcome
    missed = len(tested.score.missed) if tested.score is not None else 0
    for number, shown, noun in (
        (len(outcome.fires), most, "fire"),
        (missed, half, "missed incident"),
        (len(figures.near(outcome)), half, "near miss"),
    ):
        if number > shown:
            many = "near misses" if noun == "near miss" else ""
            yield figures.count(number - shown, f"more {noun}", f"more {many}" if many else "")


def _fire(tested: Tested, at: int, fire: Fire, fate: Fate | None) -> Detail:
    trigger = tested.outcome.trigger
    others = len(fire.subjects) - 1
    said = [f"reading {value(fire.values[0])}, limit {trigger.condition.limit}"]
    said += [figures.came(fire), figures.fate(fate)]
    said.append(f"{figures.count(others, 'more subject')} fired with it" if others else "")
    return Detail(
        f"fire-{at + 1}",
        f"Fire {at + 1}: {moment(fire.end)}, {figures.names(trigger, fire.subjects[:1])}",
        "; ".join(filter(None, said)),
        fire.subjects[0],
        *_around(tested, fire.end - (trigger.windows - 1) * trigger.interval, fire.end),
    )


def _missed(tested: Tested, at: int, incident: Incident) -> Detail:
    note = f": {visible(incident.note, 200)}" if incident.note else ""
    return Detail(
        f"missed-{at + 1}",
        f"Missed incident {at + 1}: {moment(incident.start)}{note}",
        f"it lasted {figures.lasting(incident.end - incident.start)}; drawn is who came nearest then",
        None,
        *_around(tested, incident.start, incident.end),
    )


def _peak(tested: Tested, at: int, peak: Peak) -> Detail:
    trigger = tested.outcome.trigger
    return Detail(
        f"near-{at + 1}",
        f"Near miss {at + 1}: {moment(peak.end)}, {figures.names(trigger, (peak.subject,))}",
        f"{peak.count} of the {trigger.windows} windows that fire",
        peak.subject,
        *_around(tested, peak.end - (peak.count - 1) * trigger.interval, peak.end),
    )


def _around(tested: Tested, first: Ms, last: Ms) -> tuple[Ms, Ms]:
    """With as much again on both sides, ten windows at least; bounded, and inside what was judged."""
    trigger, ends = tested.outcome.trigger, tested.outcome.ends
    margin = max((last - first) // 2, 10 * trigger.interval)
    begin = max(first - margin, ends[0])
    return begin, min(last + margin, ends[1], begin + (LONGEST - 1) * trigger.interval)
