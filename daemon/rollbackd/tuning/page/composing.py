"""What the template shows, gathered; bounded, so that the page is sent by mail and read on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from msgspec import Struct

from rollbackd.core.judging import window_queries
from rollbackd.core.notation import span, visible
from rollbackd.core.wording import moment
from rollbackd.tuning import figures
from rollbackd.tuning.page import chart, heat, strip
from rollbackd.tuning.page.chart import Chart, Mark, Shade
from rollbackd.tuning.page.details import MOST_CELLS, Detail, details
from rollbackd.tuning.page.scale import Times
from rollbackd.tuning.page.scatter import scatter
from rollbackd.tuning.page.tracks import Track, track, window_ends, worst

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

    from rollbackd.core.model import Ms
    from rollbackd.sim.replay.outcome import Subject
    from rollbackd.tuning.backtest import Backtest, Tested

MOST_SUBJECTS = 12
MOST_DETAILS = 20
MOST_ROWS = 100
COLUMNS = 960
"""Of an overview; where a page shows many triggers, each gets less."""


class Bounds(Struct, frozen=True):
    """How much of each trigger is drawn."""

    subjects: int
    details: int
    columns: int
    rows: int


def bounds(triggers: int) -> Bounds:
    """All of it for one or two; a page of forty is still a page."""
    part = max(1.0, triggers / 2)

    def some(most: int, least: int) -> int:
        return max(least, int(most / part))

    return Bounds(some(MOST_SUBJECTS, 2), some(MOST_DETAILS, 1), some(COLUMNS, 240), some(MOST_ROWS, 20))


class Signs(Struct, frozen=True):
    """What stands on all the charts of a trigger: marks by subject, shades."""

    marks: dict[str, list[Mark]]
    shades: list[Shade]


class Drawn(Struct, frozen=True):
    """A figure: an <svg> with its caption."""

    anchor: str
    title: str
    says: str
    svg: Markup


def page(found: Backtest) -> str:
    """A whole HTML document. Labels, notes and annotations in it are text, whatever they hold."""
    much = bounds(len(found.tested))
    sections = [_section(tested, f"t{at + 1}", much) for at, tested in enumerate(found.tested)]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(found=found, sections=sections, most_rows=much.rows)
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        moment=figures.when,
        visible=lambda text: visible(text, 400),
        lasting=figures.lasting,
        span=span,
        words=figures.action,
    )
    environment.globals.update(
        figures=figures,
        glyphs=strip.GLYPHS,
        verdicts=figures.VERDICTS,
        signs=chart.SIGNS,
        lanes=strip.LANES,
        why=heat.WHY,
        shades=heat.SHADES,
        units=_units,
    )
    return environment


def _units(tested: Tested) -> str:
    """What stands upright, where it can be said."""
    found = filter(None, map(figures.unit, tested.outcome.trigger.condition.leaves()))
    return ", ".join(dict.fromkeys(found))


def _section(tested: Tested, anchor: str, much: Bounds) -> Mapping[str, object]:
    outcome = tested.outcome
    order = figures.worst_first(outcome)
    ends = window_ends(tested) if outcome.windows else ()
    tracks = [track(tested, subject, ends) for subject in order[: much.subjects]]
    shown, left_out = details(tested, much.details)
    signs = Signs(_marks(tested), _shades(tested))
    drawn = [_detail(tested, detail, tracks, signs, anchor) for detail in shown] if outcome.windows else []
    return {
        "anchor": anchor,
        "tested": tested,
        "outcome": outcome,
        "trigger": outcome.trigger,
        "fates": figures.fates(tested),
        "order": order,
        "dark": sum(map(figures.blind, order)),
        "judged": sum(map(figures.judged, order)),
        "queries": [query.expr for query in window_queries(outcome.trigger.condition)],
        "overview": _overview(tested, tracks, signs, anchor, much) if outcome.windows else [],
        "details": [each for each in drawn if each is not None],
        "left_out": left_out,
        "with_detail": {detail.anchor for detail in shown},
        "heats": heat.heats(tested.sweep) if tested.sweep is not None else [],
        "most_heats": heat.MOST_TABLES,
        "choices": heat.choices(tested.sweep) if tested.sweep is not None else [],
        "scatter": scatter(tested.sweep, f"{anchor}-scatter") if tested.sweep is not None else "",
        "bent": any(values.bent for values in chart.scales(outcome.trigger, tracks)),
        "columns": min(much.columns, len(ends)),
    }


def _overview(
    tested: Tested, tracks: Sequence[Track], signs: Signs, anchor: str, much: Bounds
) -> list[Drawn]:
    outcome = tested.outcome
    trigger = outcome.trigger
    times = Times(outcome.ends[0] - trigger.interval, outcome.ends[1])
    values = chart.scales(trigger, tracks)
    drawn = []
    for at, one in enumerate(tracks):
        marks = signs.marks.get(one.subject.key, ())
        name, title = f"{anchor}-s{at + 1}", figures.name(one.subject.labels)
        says = _says(tested, one.subject, len(marks))
        picture = Chart(
            name, title, says, times, one, values, trigger, marks, signs.shades, much.columns, most=much.rows
        )
        drawn.append(Drawn(name, title, says, chart.draw(picture)))
    return drawn


def _says(tested: Tested, subject: Subject, marks: int) -> str:
    trigger = tested.outcome.trigger
    fires = sum(subject.key in fire.subjects for fire in tested.outcome.fires)
    dark = figures.blind(subject)
    said = [f"fired {figures.times(fires)}" if fires else "did not fire"]
    if marks > fires:
        said.append(f"{marks - fires:,} hidden")
    said.append(f"longest streak {figures.count(subject.longest, 'window')}")
    if dark:
        part = figures.share(dark, figures.judged(subject))
        said.append(f"blind {figures.lasting(dark * trigger.interval)} ({part})")
    return " · ".join(said)


def _shades(tested: Tested) -> list[Shade]:
    score = tested.score
    if score is None:
        return []
    return [Shade(caught.incident, False) for caught in score.caught] + [
        Shade(incident, True) for incident in score.missed
    ]


def _marks(tested: Tested) -> dict[str, list[Mark]]:
    """By subject, hidden ones first, so that a fire stands above them."""
    fates, marks = figures.fates(tested), dict[str, list[Mark]]()
    for hidden in tested.outcome.hidden:
        says = f"hidden, {moment(hidden.end)}: {figures.hidden_why(hidden)}"
        marks.setdefault(hidden.subject, []).append(Mark(hidden.end, "hidden", says))
    for fire in tested.outcome.fires:
        fate = fates.get(fire)
        says = f"would have fired, {moment(fire.end)}: " + (figures.fate(fate) or figures.came(fire))
        for subject in fire.subjects:
            marks.setdefault(subject, []).append(Mark(fire.end, fate.kind if fate else "fire", says))
    return marks


def _detail(
    tested: Tested, detail: Detail, tracks: Sequence[Track], signs: Signs, anchor: str
) -> Drawn | None:
    outcome, trigger = tested.outcome, tested.outcome.trigger
    if detail.subject is None:
        one = worst(outcome, tracks, detail.first, detail.last)
    else:
        one = _of(tested, detail.subject, tracks, detail.first, detail.last)
    if one is None or not one.ends:
        return None
    name = f"{anchor}-{detail.anchor}"
    many = (detail.last - detail.first) // trigger.interval + 1
    title = (
        detail.title if detail.subject is not None else f"{detail.title} · {figures.name(one.subject.labels)}"
    )
    picture = Chart(
        name,
        title,
        detail.says,
        Times(one.ends[0] - trigger.interval, one.ends[-1]),
        one,
        chart.scales(trigger, [one]),
        trigger,
        signs.marks.get(one.subject.key, ()),
        signs.shades,
        cells=many <= MOST_CELLS,
    )
    return Drawn(name, title, detail.says, chart.draw(picture))


def _of(tested: Tested, key: str, tracks: Sequence[Track], first: Ms, last: Ms) -> Track | None:
    """Of a subject that is drawn above, or else of one that is not."""
    for one in tracks:
        if one.subject.key == key:
            return one.between(first, last)
    for subject in tested.outcome.subjects:
        if subject.key == key:
            return track(tested, subject, window_ends(tested)).between(first, last)
    return None
