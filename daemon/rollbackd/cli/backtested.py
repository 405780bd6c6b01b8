"""A backtest as a terminal shows it. What is many is cut, and says so: `--format json` has all."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from rollbackd.cli import output
from rollbackd.cli.output import note
from rollbackd.core.notation import span, visible
from rollbackd.tuning import figures
from rollbackd.tuning.figures import VERDICTS, count, lasting, name, share, when

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from rollbackd.sim.replay.outcome import Outcome
    from rollbackd.tuning.backtest import Backtest, Tested
    from rollbackd.tuning.scoring import Incident, Score
    from rollbackd.tuning.sweep import Cell, Sweep

    Rows: TypeAlias = Iterator[tuple[list[str], str]]
    """The cells of each row, and its style."""

MOST_ROWS = 20
MOST_CELLS = 60

_SCORED = ["caught", "false", "false a week", "precision", "recall", "median lead"]
_STYLES = {"false": "red", "caught": "green", "again": ""}


def report(found: Backtest) -> RenderableType:
    """For a console without markup and highlighting."""
    from rich.console import Group

    parts: list[RenderableType] = [note(figures.verdict(each), "bold") for each in found.tested]
    parts.append(note(f"{visible(found.file)} over {visible(found.source)}, {_span(found)}", "dim"))
    parts += [note(visible(remark, 400), "yellow") for remark in found.remarks]
    for each in found.tested:
        parts += _trigger(each)
    return Group(*parts)


def _span(found: Backtest) -> str:
    return f"{when(found.begin)} to {when(found.end)} UTC"


def _trigger(tested: Tested) -> Iterator[RenderableType]:
    outcome = tested.outcome
    trigger = outcome.trigger
    yield note("")
    yield note(visible(trigger.name), "bold underline")
    rule = f"fires at {trigger.windows} windows of {span(trigger.interval)} in a row with a reading "
    rule += f"{trigger.condition.limit}; its action is {figures.action(trigger.action)}"
    yield note(rule, "dim")
    for said in figures.besides(tested):
        yield note(said, "")
    if outcome.partial:
        yield note(f"{count(outcome.partial, 'window')} lacked the samples that decide (W14).", "yellow")
    yield from _fires(tested)
    yield from _hidden(outcome)
    yield from _peaks(outcome)
    if tested.score is not None:
        yield from _score(tested, tested.score)
    yield from _time(outcome)
    if tested.sweep is not None:
        yield from _sweep(tested.sweep)


def _fires(tested: Tested) -> Iterator[RenderableType]:
    outcome, fates = tested.outcome, figures.fates(tested)
    trigger = outcome.trigger

    def rows() -> Rows:
        for fire in outcome.fires[:MOST_ROWS]:
            fate = fates.get(fire)
            cells = [when(fire.end), figures.names(trigger, fire.subjects), figures.readings(fire)]
            cells += [trigger.condition.limit, figures.came(fire)]
            yield cells + ([figures.fate(fate)] if fates else []), _STYLES[fate.kind] if fate else ""

    head = ["at (UTC)", "subjects", "reading", "limit", "would have come of it"]
    yield from _table("would have fired", head + (["incident"] if fates else []), rows(), len(outcome.fires))


def _hidden(outcome: Outcome) -> Iterator[RenderableType]:
    def rows() -> Rows:
        for hidden in outcome.hidden[:MOST_ROWS]:
            subject = figures.names(outcome.trigger, (hidden.subject,))
            yield [when(hidden.end), subject, when(hidden.by), figures.hidden_why(hidden)], ""

    yield from _table(
        "hidden fires", ["at (UTC)", "subject", "by the fire at", "because"], rows(), len(outcome.hidden)
    )


def _peaks(outcome: Outcome) -> Iterator[RenderableType]:
    near = figures.near(outcome)

    def rows() -> Rows:
        for peak in near[:MOST_ROWS]:
            subject = figures.names(outcome.trigger, (peak.subject,))
            yield [when(peak.end), f"{peak.count} of {outcome.trigger.windows} windows", subject], ""

    yield from _table("near misses", ["at (UTC)", "streak", "subject"], rows(), len(near))


def _score(tested: Tested, score: Score) -> Iterator[RenderableType]:
    def rows() -> Rows:
        for caught in score.caught[:MOST_ROWS]:
            yield _incident(caught.incident, "caught", figures.lead(caught.lead)), "green"
        for missed in score.missed[:MOST_ROWS]:
            yield _incident(missed, "MISSED", figures.missed(tested, missed)), "bold red"

    known = len(score.caught) + len(score.missed)
    shown = min(len(score.caught), MOST_ROWS) + min(len(score.missed), MOST_ROWS)
    yield from _table("incidents", ["began (UTC)", "lasted", "", "fired", "note"], rows(), known, shown)
    yield note(
        f"precision {figures.ratio(score.precision)}, recall {figures.ratio(score.recall)}, "
        f"{figures.rate(score.false_a_week)} false fires a week, median lead {figures.lead(score.lead)}",
        "",
    )


def _incident(incident: Incident, what: str, lead: str) -> list[str]:
    lasted = lasting(incident.end - incident.start)
    return [when(incident.start), lasted, what, lead, visible(incident.note, 200)]


def _time(outcome: Outcome) -> Iterator[RenderableType]:
    interval = outcome.trigger.interval

    def rows() -> Rows:
        for subject in figures.worst_first(outcome)[:MOST_ROWS]:
            whole, dark = figures.judged(subject), figures.blind(subject)
            cells = [name(subject.labels), f"{subject.longest:,}"]
            cells += [lasting(subject.verdicts.get(verdict, 0) * interval) for verdict in VERDICTS]
            cells.append(f"{lasting(dark * interval)} ({share(dark, whole)})" if dark else "none")
            yield cells, ""

    head = [
        "subject",
        f"longest streak (fires at {outcome.trigger.windows:,})",
        *(verdict.replace("_", " ") for verdict in VERDICTS),
        "blind",
    ]
    yield from _table("time in each verdict", head, rows(), len(outcome.subjects))


def _sweep(sweep: Sweep) -> Iterator[RenderableType]:
    scored = any(cell.score is not None for cell in sweep.cells)
    shown = _cells_shown(sweep)

    def rows() -> Rows:
        for index in shown:
            yield _cell(sweep, index, scored)

    head = [axis.key for axis in sweep.axes] + ["fires", "hidden"]
    head += _SCORED if scored else ["longest"]
    yield from _table("sweep", [*head, ""], rows(), len(sweep.cells), len(shown))


def _cells_shown(sweep: Sweep) -> list[int]:
    """The first, and always the current one and the knee."""
    marked = {index for index in (sweep.current, sweep.knee) if index is not None}
    first = [index for index in range(len(sweep.cells)) if index not in marked][: MOST_CELLS - len(marked)]
    return sorted([*first, *marked])


def _cell(sweep: Sweep, index: int, scored: bool) -> tuple[list[str], str]:
    cell = sweep.cells[index]
    marks = [mark for mark, at in (("← current", sweep.current), ("← knee", sweep.knee)) if at == index]
    cells = [*map(visible, cell.values), f"{cell.fires}", f"{cell.hidden}"]
    cells += _scored(cell) if scored else [f"{cell.longest}"]
    return [*cells, " ".join(marks)], "bold" if marks else ""


def _scored(cell: Cell) -> list[str]:
    score = cell.score
    if score is None:
        return ["–"] * len(_SCORED)
    caught = f"{len(score.caught)}/{len(score.caught) + len(score.missed)}"
    rates = [figures.rate(score.false_a_week), figures.ratio(score.precision), figures.ratio(score.recall)]
    return [caught, f"{len(score.false)}", *rates, figures.lead(cell.lead)]


def _table(
    title: str, columns: Sequence[str], rows: Rows, whole: int, shown: int = MOST_ROWS
) -> Iterator[RenderableType]:
    """Nothing where there is nothing; where not all is shown, how much is not."""
    if not whole:
        return
    yield note("")
    table = output.table(title, *columns)
    for cells, style in rows:
        output.row(table, cells, style)
    yield table
    if whole > shown:
        yield note(f"… and {whole - shown:,} more (--format json has all)", "dim")
