"""What one backtest found, as a whole. Text, JSON and page are made of it."""

from __future__ import annotations

from msgspec import Struct

from rollbackd.core.history import History
from rollbackd.core.model import Ms
from rollbackd.sim.replay.outcome import Outcome
from rollbackd.tuning.scoring import Score
from rollbackd.tuning.sweep import Sweep


class Tested(Struct, frozen=True):
    """One trigger. `stretches`: the answers it was replayed over, in order; only the page draws them.
    `score`: None where no incidents were given."""

    outcome: Outcome
    stretches: tuple[History, ...] = ()
    score: Score | None = None
    sweep: Sweep | None = None


class Backtest(Struct, frozen=True):
    """`source`: the server or the file that answered; `begin`, `end`: the span asked for (ms, Prometheus'
    time); `made`: when, by the wall clock; `incidents`: where they came from; `remarks`: sentences on what
    was not covered."""

    file: str
    source: str
    begin: Ms
    end: Ms
    made: Ms
    tested: tuple[Tested, ...]
    incidents: str = ""
    remarks: tuple[str, ...] = ()
