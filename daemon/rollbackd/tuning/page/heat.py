"""A sweep as tables of colour: rows and columns are two keys, one table for each setting of the others."""

from __future__ import annotations

from itertools import product
from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct

from rollbackd.core.notation import visible
from rollbackd.tuning import figures

if TYPE_CHECKING:
    from rollbackd.tuning.sweep import Cell, Sweep

SHADES = (
    (0.0, "none"),
    (7 / 30, "≤ 1 a month"),
    (1.0, "≤ 1 a week"),
    (3.0, "≤ 3 a week"),
    (7.0, "≤ 1 a day"),
    (inf, "more"),
)
"""False fires a week, up to which a shade reaches."""
MOST_TABLES = 12
_WEEK = 7 * 86_400_000


class Square(Struct, frozen=True):
    """`main` is large, `small` are the lines beneath it; `says` for a pointer."""

    shade: int
    main: str
    small: tuple[str, ...]
    says: str
    current: bool
    knee: bool


class Row(Struct, frozen=True):
    value: str
    squares: tuple[Square, ...]


class Heat(Struct, frozen=True):
    """`fixed`: what the other keys are here."""

    fixed: str
    down: str
    across: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def heats(sweep: Sweep) -> list[Heat]:
    """All of them; whoever shows them shows `MOST_TABLES`. Rows are the first key's, columns the last's."""
    down, others, across = sweep.axes[0], sweep.axes[1:-1], sweep.axes[1:][-1:]
    index = {cell.values: at for at, cell in enumerate(sweep.cells)}
    lasts: list[tuple[str, ...]] = [(value,) for axis in across for value in axis.values] or [()]
    found = []
    for fixed in product(*(axis.values for axis in others)):
        rows = [
            Row(value, tuple(_square(sweep, index[(value, *fixed, *last)]) for last in lasts))
            for value in down.values
        ]
        named = ", ".join(f"{axis.key} {value}" for axis, value in zip(others, fixed, strict=True))
        columns = tuple("".join(last) for last in lasts)
        found.append(Heat(named, down.key, "".join(axis.key for axis in across), columns, tuple(rows)))
    return found


def _false(cell: Cell) -> int:
    """Where no incidents are known, every fire."""
    return cell.fires if cell.score is None else len(cell.score.false)


def _a_week(sweep: Sweep, cell: Cell) -> float:
    if cell.score is not None:
        return cell.score.false_a_week
    return cell.fires * _WEEK / max(figures.covered(sweep.outcome), 1)


def _square(sweep: Sweep, at: int) -> Square:
    cell = sweep.cells[at]
    false = _false(cell)
    return Square(
        shade=shade(_a_week(sweep, cell)),
        main=f"{false:,}",
        small=_beneath(cell),
        says=setting(sweep, at) + ": " + _told(cell),
        current=at == sweep.current,
        knee=at == sweep.knee,
    )


def shade(a_week: float) -> int:
    """0 for none at all."""
    return sum(a_week > most for most, _ in SHADES)


def _beneath(cell: Cell) -> tuple[str, ...]:
    if cell.score is None:
        return ()
    caught = f"{len(cell.score.caught)}/{len(cell.score.caught) + len(cell.score.missed)}"
    return (caught,) if cell.lead is None else (caught, signed(cell.lead))


def signed(lead: int) -> str:
    """`+4m`: so much before the start; `−2m`: after it."""
    return f"+{figures.lasting(lead)}" if lead > 0 else figures.lasting(lead).replace("-", "−")


def _told(cell: Cell) -> str:
    fires = f"{figures.count(cell.fires, 'fire')}, {cell.hidden:,} hidden, longest streak {cell.longest:,}"
    score = cell.score
    if score is None:
        return fires
    known = len(score.caught) + len(score.missed)
    return (
        f"{fires}; {len(score.caught)} of {known} caught, {len(score.false):,} false "
        f"({figures.rate(score.false_a_week)} a week), precision {figures.ratio(score.precision)}, "
        f"median lead {figures.lead(cell.lead)}"
    )


def setting(sweep: Sweep, at: int) -> str:
    pairs = zip(sweep.axes, sweep.cells[at].values, strict=True)
    return ", ".join(f"{axis.key} {visible(value, 80)}" for axis, value in pairs)


WHY = (
    "The knee, of the settings that catch anything, is the one with the fewest false fires; of several, the "
    "one that catches the most incidents, then the earliest, then the one with the fewest windows."
)


class Choice(Struct, frozen=True):
    """One of the settings worth comparing, as the cells of a row."""

    what: str
    setting: str
    cells: tuple[str, ...]


def choices(sweep: Sweep) -> list[Choice]:
    """The current one and the suggested one."""
    if sweep.current is not None and sweep.current == sweep.knee:
        return [_choice(sweep, "current, and the knee", sweep.current)]
    known = (("current", sweep.current), ("knee: suggested", sweep.knee))
    return [_choice(sweep, what, at) for what, at in known if at is not None]


def _choice(sweep: Sweep, what: str, at: int) -> Choice:
    cell = sweep.cells[at]
    score = cell.score
    cells = [f"{cell.fires:,}", f"{cell.hidden:,}"]
    if score is not None:
        cells += [f"{len(score.caught)} of {len(score.caught) + len(score.missed)}", f"{len(score.false):,}"]
        cells += [figures.ratio(score.precision), figures.lead(cell.lead)]
    return Choice(what, setting(sweep, at), tuple(cells))
