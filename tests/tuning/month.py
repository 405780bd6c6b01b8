"""A month that might have been: error ratios of ten cohorts, three incidents, twitches, gaps."""

from __future__ import annotations

from collections.abc import Sequence
from math import sin
from random import Random

from tests.tuning.plainly import INTERVAL, START, Story, outcome, score, trigger

from rollbackd.core.history import Column, History, no_answers, windows
from rollbackd.core.judging import window_queries
from rollbackd.core.model import Ms, Trigger, Verdict, subject_key
from rollbackd.sim.replay.outcome import Outcome
from rollbackd.tuning.backtest import Backtest, Tested
from rollbackd.tuning.scoring import Incident
from rollbackd.tuning.sweep import Axis, Cell, Sweep

DAY: Ms = 86_400_000
COHORTS = ("canary", "eu-1", "eu-2", "eu-3", "us-1", "us-2", "us-3", "ap-1", "ap-2", "internal")

WRONG = (  # day, minutes, reading, cohorts, note: "" is no incident
    (4.42, 38, 0.06, ("canary",), "Checkout fails for new sessions"),
    (11.61, 95, 0.35, ("canary", "eu-1", "eu-2"), "Payment provider's certificate expired"),
    (15.3, 1.3, 0.02, ("us-2",), ""),
    (19.18, 2.2, 0.02, ("eu-3",), ""),
    (21.02, 1.6, 0.03, ("eu-1", "eu-2"), ""),
    (23.87, 26, 0.004, ("us-1",), "Slow database, few errors"),
    (26.33, 6, 0.018, ("canary",), ""),
)


def history(days: float, cohorts: Sequence[str] = COHORTS, seed: int = 7) -> History:
    """Errors and totals; the `internal` cohort sleeps at night, `ap-2` is lost for some hours."""
    many = int(days * DAY) // INTERVAL
    ends = windows(START + INTERVAL, START + many * INTERVAL, INTERVAL)
    found = no_answers(window_queries(trigger().condition), ends)
    for at, cohort in enumerate(cohorts):
        draw, key = Random(seed + at).random, subject_key((cohort,))
        errors, totals = Column(many), Column(many)
        for window in range(many):
            day = window * INTERVAL / DAY
            if cohort == "ap-2" and 15.2 < day < 15.5:
                continue
            total = 4.0 if cohort == "internal" and day % 1 < 0.25 else 80.0 + 40 * draw()
            totals.put(window, total)
            errors.put(window, total * _ratio(cohort, day, draw()))
        found.columns[0][key], found.columns[1][key] = errors, totals
    return found


def _ratio(cohort: str, day: float, drawn: float) -> float:
    for begin, minutes, ratio, who, _ in WRONG:
        if cohort in who and begin <= day <= begin + minutes / 1440:
            return ratio * (0.7 + 0.6 * drawn)
    spike = 0.02 if drawn > 0.99996 else 0.0
    return (0.0012 + 0.001 * sin(6.3 * day)) * drawn**3 + spike


def incidents(days: float) -> tuple[Incident, ...]:
    """Those who noticed were two minutes late."""
    return tuple(
        Incident(START + int(day * DAY) + 120_000, START + int(day * DAY) + int(minutes * 60_000), note)
        for day, minutes, _, _, note in WRONG
        if note and day < days
    )


def judged(of: Trigger, answered: History) -> Outcome:
    stories, readings = [], {}
    for key, totals in answered.columns[1].items():
        errors = answered.columns[0][key]
        stories.append(Story(of, key, _verdicts(of, errors, totals)))
        readings[key] = {
            window: f"{errors.values[window]:.6g}/{totals.values[window]:.6g}" for window in stories[-1].fires
        }
    return outcome(of, stories, readings)


def _verdicts(of: Trigger, errors: Column, totals: Column) -> list[Verdict]:
    least, holds = of.condition.at_least, of.condition.breach.holds

    def verdict(window: int) -> Verdict:
        if not totals.there[window]:
            return "no_data"
        if totals.values[window] < least:
            return "low_traffic"
        return "breach" if holds(errors.values[window] / totals.values[window]) else "ok"

    return [verdict(window) for window in range(len(totals.values))]


def sweep(answered: History, own: Outcome, known: Sequence[Incident]) -> Sweep:
    axes = (
        Axis("windows", ("2", "4", "8", "12", "20")),
        Axis("breach", ("> 0.002", "> 0.005", "> 0.01", "> 0.02", "> 0.05")),
    )
    cells = []
    for count in axes[0].values:
        for limit in axes[1].values:
            found = judged(trigger(int(count), bound=float(limit[2:]), cooldown=1_800_000), answered)
            scored = score(found, known)
            longest = max(subject.longest for subject in found.subjects)
            cells.append(
                Cell((count, limit), len(found.fires), len(found.hidden), longest, scored, scored.lead)
            )
    best = min(range(len(cells)), key=lambda at: _rank(cells[at]))
    return Sweep(axes, tuple(cells), 2 * 5 + 2, best, own)


def _rank(cell: Cell) -> tuple[int, int, int, int]:
    assert cell.score is not None
    lead = cell.lead if cell.lead is not None else -DAY
    return len(cell.score.false), -len(cell.score.caught), -lead, int(cell.values[0])


def backtest(days: float = 30.0, *, swept: bool = False, cohorts: Sequence[str] = COHORTS) -> Backtest:
    """`days` of it with 8 windows and `> 0.01`; where `swept`, under 24 other settings too."""
    answered, known = history(days, cohorts), incidents(days)
    found = judged(trigger(8, cooldown=1_800_000), answered)
    own = Tested(found, (answered,), score(found, known), sweep(answered, found, known) if swept else None)
    return shown(own, end=START + int(days * DAY))


def shown(*tested: Tested, end: Ms = START + DAY, remarks: tuple[str, ...] = ()) -> Backtest:
    source = "http://prometheus.example:9090"
    return Backtest("triggers/api.yml", source, START, end, end + DAY, tested, "incidents.yml", remarks)
