"""A life's charts, from its record: what ran when, which series fired, how far it escalated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from rollbackd.core import events as e
from rollbackd.core.notation import about
from rollbackd.core.state import AUTOMATIC
from rollbackd.core.wording import moment, named
from rollbackd.report.page import lanes, series
from rollbackd.report.page.lanes import Bar, Chart, Dot, Lane, Line
from rollbackd.report.page.scale import Times
from rollbackd.report.parts import phase_times
from rollbackd.report.regions import regions
from rollbackd.report.spans import Stretch, steps, waits
from rollbackd.report.words import target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markupsafe import Markup

    from rollbackd.core.model import Ms
    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Life, Seen
    from rollbackd.report.failure import Failure
    from rollbackd.report.timeline import Entry

MOST_LANES = 60
MOST_SERIES = 6
MOST_DOTS = 80
WORTH = 3
"""An SLA that is further off than so many times what it took is said, not drawn."""


class Drawn(Struct, frozen=True):
    """A figure: an <svg> with its caption."""

    title: str
    says: str
    svg: Markup


class Story(Struct, frozen=True):
    """What the charts are of. `until`: where the record ends, or the rollback."""

    life: Life
    events: Sequence[Recorded]
    entries: Sequence[Entry]
    ran: tuple[Stretch, ...]
    waited: tuple[Stretch, ...]
    until: Ms


def story(life: Life, events: Sequence[Recorded], entries: Sequence[Entry]) -> Story:
    last = max((entry.at for entry in entries), default=life.opened)
    until = life.ended if life.ended is not None else max(last, life.opened)
    return Story(life, events, entries, tuple(steps(life, events)), tuple(waits(life, events)), until)


# What ran when


def timeline(of: Story) -> Drawn:
    life = of.life
    end = max(of.until, life.opened + 1_000)
    marks = _limits(life)
    known = [line.at for line in marks if line.at - life.opened <= WORTH * (end - life.opened)]
    times = Times(life.opened, max([end, *known]) + (max([end, *known]) - life.opened) // 40)
    inside = [line for line in marks if times.holds(line.at)]
    beyond = [f"{line.says}: {moment(line.at)}" for line in marks if not times.holds(line.at)]
    says = f"from {moment(life.opened)}" + "".join(f" · {said}" for said in beyond)
    shades = [Bar(one.begin, one.end, one.kind, one.says) for one in of.waited]
    rows = list(_lanes(of))[:MOST_LANES]
    chart = Chart("timeline", "Timeline", says, times, rows, inside, shades)
    return Drawn("Timeline", says, lanes.draw(chart))


def _limits(life: Life) -> list[Line]:
    if life.decided is None or life.began is None:
        return []
    plan = life.plan
    found = [
        Line(life.decided + target(plan), "target", f"target {about(target(plan))}"),
        Line(life.decided + plan.allowed(), "sla", f"SLA {about(plan.allowed())}"),
    ]
    if life.verified is not None:
        found.append(Line(life.verified, "verified", "verified"))
    return sorted(found, key=lambda line: line.at)


def _lanes(of: Story) -> Iterator[Lane]:
    waited = [one for one in of.waited if one.kind.startswith("wait-")]
    if waited:
        bars = tuple(Bar(one.begin, one.end, "wait", one.says) for one in waited)
        yield Lane("before it began", bars, note=_note(waited[0].begin, waited[-1].end))
    yield from _phases(of)
    yield from _regions(of)
    yield from _proof(of.life)
    meanwhile = [one for one in of.entries if one.at <= of.until]
    people = [one for one in meanwhile if one.channel and one.actor not in ("", AUTOMATIC)]
    if people:
        yield Lane("people", dots=_dots([(one, f"{one.actor}: {one.text}", "") for one in people], "person"))
    rungs = [one for one in meanwhile if one.kind == "rung_reached"]
    if rungs:
        shown = [(one, one.text, _rung(one, of.events)) for one in rungs]
        yield Lane("escalation", dots=_dots(shown, "rung"), note="levels reached")


def _dots(found: list[tuple[Entry, str, str]], kind: str) -> tuple[Dot, ...]:
    return tuple(Dot(one.at, kind, f"{moment(one.at)} {says}", sign) for one, says, sign in found[:MOST_DOTS])


def _rung(entry: Entry, events: Sequence[Recorded]) -> str:
    found = next((row.event for row in events if row.seq == entry.seq), None)
    return str(found.rung + 1) if isinstance(found, e.RungReached) else ""


def _note(begin: Ms, end: Ms | None) -> str:
    return about(end - begin) if end is not None else "goes on"


def _phases(of: Story) -> Iterator[Lane]:
    """A lane a phase with all its steps, and one a step where it has several; a region has its own."""
    took, estimates = phase_times(of.life), {phase.name: phase.estimate for phase in of.life.plan.phases}
    names = dict.fromkeys(one.phase for one in of.ran)
    many = len(names) + len({one.step for one in of.ran}) > MOST_LANES - 4
    for name in names:
        mine = [one for one in of.ran if one.phase == name]
        estimate = estimates.get(name)
        note = about(took[name]) if name in took else ""
        if estimate is not None:
            note += f" of about {about(estimate)}"
        yield Lane(name, tuple(map(_bar, mine)), note=note.strip())
        loose = list(dict.fromkeys(one.step for one in mine if not one.region))
        if len(loose) > 1 and not many:
            for step in loose:
                runs = [one for one in mine if one.step == step]
                yield Lane(step, tuple(map(_bar, runs)), note=_took(runs), inner=True)


def _took(runs: list[Stretch]) -> str:
    if runs[-1].end is None:
        return "goes on"
    return about(sum(one.end - one.begin for one in runs if one.end is not None))


def _bar(one: Stretch) -> Bar:
    until = moment(one.end) if one.end is not None else "now"
    return Bar(one.begin, one.end, one.kind, f"{one.says}, {moment(one.begin)} to {until}")


def _regions(of: Story) -> Iterator[Lane]:
    for region in regions(of.life):
        mine = [one for one in of.ran if one.region == region.region]
        took = about(region.took) if region.took is not None else "not done"
        breached = " BREACHED" if region.breached else ""
        note = f"{took}, SLA {about(region.sla)}{breached}"
        yield Lane(f"region {region.region}", tuple(map(_bar, mine)), note=note)


def _proof(life: Life) -> Iterator[Lane]:
    proof = life.verification
    if proof is None:
        return
    end = life.verified if life.verified is not None else life.ended
    kind = "done" if life.verified is not None else "running" if life.ended is None else "failed"
    bar = Bar(
        proof.began, end, kind, f"verification: {'verified' if life.verified is not None else 'not verified'}"
    )
    yield Lane("verification", (bar,), note=_note(proof.began, end))


# The series that fired


def fired(of: Story) -> list[Drawn]:
    proved = _proved(of)
    found = []
    for place, firing in enumerate(of.life.firings[:MOST_SERIES]):
        after = proved.get(f"{firing.trigger}/{firing.subject}", ())
        trigger = of.life.triggers.get(firing.trigger)
        if trigger is None or not series.readings(firing.windows):
            continue
        title = f"{firing.trigger} {named(firing.labels)}".strip()
        says = f"{len(firing.windows)} windows before, {len(after)} that proved recovery"
        times = _around(of.life, firing.windows, after)
        ran = None if of.life.began is None else (of.life.began, of.life.last_step_ended or of.until)
        breach = trigger.condition.breach
        picture = series.Series(f"series-{place}", title, says, times, firing.windows, after, breach, ran)
        found.append(Drawn(title, says, series.draw(picture)))
    return found


def _proved(of: Story) -> dict[str, tuple[Seen, ...]]:
    for row in of.events:
        if isinstance(row.event, e.RollbackVerified) and row.event.life == of.life.id:
            return row.event.windows
    return {}


def _around(life: Life, before: Sequence[Seen], after: Sequence[Seen]) -> Times:
    ends = [seen.end for seen in (*before, *after)]
    first, last = min(ends), max([*ends, *([life.last_step_ended] if life.last_step_ended else [])])
    edge = max((last - first) // 30, 1_000)
    return Times(first - edge, last + edge)


# How far it escalated


def escalation(failure: Failure, until: Ms) -> Drawn | None:
    if not failure.levels:
        return None
    over = failure.resolution.at if failure.resolution is not None else None
    first = failure.levels[0].at
    last = max(over or 0, until, *(level.until or level.at for level in failure.levels))
    times = Times(first, last + max((last - first) // 40, 1_000))
    rows = [
        Lane(
            f"level {level.level}" + (f": {level.rung.title}" if level.rung.title else ""),
            (
                Bar(
                    level.at,
                    level.until,
                    level.outcome or "open",
                    f"level {level.level}: {level.outcome or 'open'}",
                ),
            ),
            tuple(Dot(one.at, "person", f"{moment(one.at)} {one.actor}: {one.text}") for one in level.said),
            note=level.outcome or "open",
        )
        for level in failure.levels
    ]
    lines = [Line(over, "verified", "resolved")] if over is not None else []
    says = f"from {moment(first)}"
    return Drawn("Escalation", says, lanes.draw(Chart("levels", "Escalation", says, times, rows, lines)))
