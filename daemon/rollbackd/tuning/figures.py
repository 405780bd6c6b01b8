"""What is derived from a backtest for whoever reads it: durations, shares, orders, the one sentence."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from rollbackd.core.notation import span, visible
from rollbackd.core.wording import moment, named, value
from rollbackd.tuning.scoring import EARLY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollbackd.core.model import Condition, Ms, Trigger, Verdict
    from rollbackd.sim.replay.outcome import Fire, Hidden, Outcome, Peak, Run, Subject
    from rollbackd.tuning.backtest import Tested
    from rollbackd.tuning.scoring import Incident, Score

VERDICTS: tuple[Verdict, ...] = ("breach", "ok", "no_data", "low_traffic", "unknown")
_LONGEST = 120  # characters of a name from outside


class Fate(Struct, frozen=True):
    """What a fire was worth. `again`: its incident was caught by an earlier one. `lead`: ms by which it came
    before its incident's start."""

    kind: Literal["caught", "again", "false"]
    incident: Incident | None = None
    lead: Ms | None = None


_UNIT = re.compile(r"_(seconds|milliseconds|bytes|ratio|celsius|volts|meters)(?:_bucket|_sum)?\b")


def unit(condition: Condition) -> str:
    """What its readings are, as far as the names of its metrics say: `errors / total`, `seconds`."""
    if condition.total is not None:
        return "errors / total"
    found = set(_UNIT.findall(condition.expr))
    return found.pop() if len(found) == 1 else ""


def lasting(ms: Ms) -> str:
    """`14d`, `3d4h`, `1m30s`: two units at most; `-45s` where it is below 0."""
    units = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000))
    if abs(ms) < 1_000:
        return span(abs(ms))
    rest, shown = abs(ms), []
    for name, size in units:
        count, rest = divmod(rest, size)
        if count:
            shown.append(f"{count}{name}")
        elif shown:
            break  # of 3d0h4m nobody needs the minutes
    return ("-" if ms < 0 else "") + "".join(shown[:2])


def nearly(ms: Ms) -> str:
    """The same of a long time, to a thousandth: of 30 days the last window is often not whole yet."""
    unit = next((unit for unit in (86_400_000, 3_600_000) if ms >= 10 * unit), 0)
    rounded = round(ms / unit) * unit if unit else ms
    return lasting(rounded if abs(rounded - ms) * 1_000 <= ms else ms)


def when(ms: Ms) -> str:
    """UTC, to the second; whoever shows it says that it is UTC."""
    return moment(ms).removesuffix(" UTC")


def share(part: int, whole: int) -> str:
    """`3.2 %`; `–` of nothing. What is there but rounds to nothing, or to all, says so."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.2g} %" if percent < 10 else f"{percent:.3g} %"


def rate(number: float) -> str:
    """Two digits, or all before the point."""
    return f"{number:.2g}" if number < 10 else f"{number:,.0f}"


def count(number: int, noun: str, many: str = "") -> str:
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"


def times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def covered(outcome: Outcome) -> Ms:
    """The time that was judged."""
    return outcome.windows * outcome.trigger.interval


def judged(subject: Subject) -> int:
    """Windows from the subject's first to the last."""
    return sum(subject.verdicts.values())


def blind(subject: Subject) -> int:
    """Windows in which nobody could tell."""
    return subject.verdicts.get("no_data", 0) + subject.verdicts.get("unknown", 0)


def name(labels: dict[str, str]) -> str:
    return visible(named(labels), _LONGEST) if labels else "the one series"


def names(trigger: Trigger, keys: Sequence[str], most: int = 3) -> str:
    """Subjects by their keys: `{cohort=canary} {cohort=stable} and 4 more`."""
    shown = " ".join(name(trigger.subject_labels(key)) for key in keys[:most])
    return shown if len(keys) <= most else f"{shown} and {len(keys) - most:,} more"


def readings(fire: Fire, most: int = 3) -> str:
    shown = ", ".join(value(text) for text in fire.values[:most])
    return shown if len(fire.values) <= most else f"{shown}, …"


def action(word: str) -> str:
    return word.replace("_", " ")


def came(fire: Fire) -> str:
    """What would have come of it: `ask (paused; spent)`."""
    return action(fire.action) + (f" ({visible('; '.join(fire.lowered), 400)})" if fire.lowered else "")


def hidden_why(hidden: Hidden) -> str:
    if hidden.why == "streak":
        return "the streak of an earlier fire had not ended"
    return "the cooldown of an earlier fire was not over"


def near(outcome: Outcome) -> list[Peak]:
    """The streaks that came at least half way, and two windows; the others are noise."""
    return [peak for peak in outcome.peaks if peak.count * 2 >= outcome.trigger.windows and peak.count > 1]


def worst_first(outcome: Outcome) -> list[Subject]:
    """Who fired most, then who came nearest, then who breached most."""
    fired: dict[str, int] = {}
    for fire in outcome.fires:
        for key in fire.subjects:
            fired[key] = fired.get(key, 0) + 1
    return sorted(
        outcome.subjects,
        key=lambda one: (-fired.get(one.key, 0), -one.longest, -one.verdicts.get("breach", 0), one.key),
    )


def fates(tested: Tested) -> dict[Fire, Fate]:
    """Of each fire; nothing where no incidents are known."""
    score = tested.score
    if score is None:
        return {}
    false = set(score.false)
    first = {caught.fire: Fate("caught", caught.incident, caught.lead) for caught in score.caught}
    return {
        fire: Fate("false") if fire in false else first.get(fire, Fate("again"))
        for fire in tested.outcome.fires
    }


def fate(found: Fate | None) -> str:
    match found:
        case None:
            return ""
        case Fate(kind="caught"):
            note = visible(found.incident.note, 80) if found.incident else ""
            return f"caught {lead(found.lead)}" + (f": “{note}”" if note else "")
        case Fate(kind="again"):
            return "again in the same incident"
        case _:
            return "false"


def lead(ms: Ms | None) -> str:
    """`4m early`: before the incident's start."""
    if ms is None:
        return "–"
    if ms == 0:
        return "at the start"
    return f"{lasting(abs(ms))} {'early' if ms > 0 else 'late'}"


def missed(tested: Tested, incident: Incident) -> str:
    """Why, as far as it can be told: `3 windows breached, 8 in a row fire`."""
    outcome, score = tested.outcome, tested.score
    for masked in score.masked if score else ():
        if masked.incident == incident:
            return f"hidden by the fire of {when(masked.hidden.by)}"
    late = [fire.end for fire in outcome.fires if incident.end < fire.end <= incident.end + EARLY]
    if late:
        return f"fired {lasting(late[0] - incident.end)} after its end"
    trigger, seen = outcome.trigger, [_within(one, outcome, incident) for one in outcome.subjects]
    all_of = sum(seen, Counter())
    if not all_of:
        return "nobody was seen"
    worst = max(each["breach"] for each in seen)
    if worst:
        whose = "of one subject " if len(seen) > 1 else ""
        return f"{count(worst, 'window')} {whose}breached, {trigger.windows:,} in a row fire"
    dark, little = all_of["no_data"] + all_of["unknown"], all_of["low_traffic"]
    for part, why in ((dark, "blind"), (little, "too little traffic")):
        if 2 * part >= all_of.total():
            return f"{why} for {share(part, all_of.total())} of it"
    return "no window breached"


def _within(subject: Subject, outcome: Outcome, incident: Incident) -> Counter[Verdict]:
    """Its windows that end in the incident, by verdict."""
    step = outcome.trigger.interval
    found: Counter[Verdict] = Counter()
    begin = max(bisect_right(subject.runs, incident.start, key=_first) - 1, 0)
    for run in islice(subject.runs, begin, None):
        if run.first > incident.end:
            break
        before = max(0, -(-(incident.start - run.first) // step))
        found[run.verdict] += max(0, min(run.windows, (incident.end - run.first) // step + 1) - before)
    return +found


def _first(run: Run) -> Ms:
    return run.first


def ratio(number: float | None) -> str:
    return "–" if number is None else f"{100 * number:.3g} %"


def incidents(score: Score) -> list[Incident]:
    found = [caught.incident for caught in score.caught] + list(score.missed)
    return sorted(found, key=lambda incident: (incident.start, incident.end))


def aligned(tested: Tested) -> list[str]:
    """Where windows ended, one sentence's part for each stretch."""
    interval = tested.outcome.trigger.interval
    found: list[str] = []
    for stretch in tested.stretches:
        past = stretch.ends.start % interval if len(stretch.ends) else 0
        said = f"{span(past)} past multiples of the interval" if past else "at multiples of the interval"
        if said not in found[-1:]:
            found.append(said)
    return found if len(found) <= 5 else [*found[:5], count(len(found) - 5, "other alignment")]


def verdict(tested: Tested) -> str:
    """What stands first: `X would have fired 3 times in 14d: 2 of 3 incidents caught, 1 false.`"""
    outcome = tested.outcome
    trigger, time = visible(outcome.trigger.name, _LONGEST), nearly(covered(outcome))
    if not outcome.subjects:
        return f"{trigger} saw no subject in {time}: nothing was judged, so this says nothing of it."
    if all(blind(one) == judged(one) for one in outcome.subjects):
        return f"{trigger} was blind for all of {time}: nothing was judged, so this says nothing of it."
    fires = len(outcome.fires)
    said = f"{trigger} would {'have fired ' + times(fires) if fires else 'not have fired'} in {time}"
    score = tested.score
    if score is None:
        return f"{said}; whether rightly, no incidents were given to tell."
    known = len(score.caught) + len(score.missed)
    parts = [f"{len(score.caught)} of {count(known, 'incident')} caught"] if known else ["no incidents"]
    if fires:
        parts.append(f"{len(score.false):,} false")
    return f"{said}: {', '.join(parts)}."


def besides(tested: Tested) -> list[str]:
    """The sentences after it: what was hidden, how near it came, how long it was blind."""
    outcome = tested.outcome
    said = []
    if outcome.hidden:
        said.append(
            f"{count(len(outcome.hidden), 'more fire')} would have been hidden: "
            "the subject was disarmed or cooling down."
        )
    if missed := near(outcome):
        nearest = missed[0]
        said.append(
            f"The nearest miss was {nearest.count} of {outcome.trigger.windows} windows, at "
            f"{name(outcome.trigger.subject_labels(nearest.subject))}."
        )
    windows = sum(map(judged, outcome.subjects))
    dark = sum(map(blind, outcome.subjects))
    if dark:
        most = max(outcome.subjects, key=blind)
        where = f", most at {name(most.labels)}: {lasting(blind(most) * outcome.trigger.interval)}"
        said.append(
            f"Blind (no data or unknown) for {share(dark, windows)} of the time"
            + (where if len(outcome.subjects) > 1 else f": {lasting(dark * outcome.trigger.interval)}")
            + "."
        )
    if outside := tested.score.outside if tested.score else ():
        said.append(f"{count(len(outside), 'incident')} before or after these windows: not counted.")
    return said
