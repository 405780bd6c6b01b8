"""One scenario played before the auditor; what it reached, and what went wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rollbackd.sim import tape
from rollbackd.sim.audit import Auditor
from rollbackd.sim.coverage import Coverage
from rollbackd.sim.happenings import Scenario
from rollbackd.sim.loop import Restless
from rollbackd.sim.play import Play


@dataclass
class Verdict:
    """`violation` is None where every rule held. `tape` is kept only on request."""

    scenario: Scenario
    violation: tape.Violation | None = None
    coverage: Coverage = field(default_factory=Coverage)
    asserted: Counter[str] = field(default_factory=Counter)
    lives: int = 0
    appends: int = 0
    spent: tape.Ms = 0  # simulated time
    tape: list[tape.Record] = field(default_factory=list)


def attempt(scenario: Scenario, *, keep_tape: bool = False) -> Verdict:
    """Play it to its end or to the first violation. Never raises for what the daemon does."""
    verdict = Verdict(scenario)
    auditor = Auditor()

    def see(record: tape.Record) -> None:
        if keep_tape:
            verdict.tape.append(record)
        verdict.coverage.see(record)
        auditor.see(record)

    play = Play(scenario, see)
    began = play.loop.now
    try:
        play.play()
    except tape.Violation as violation:
        verdict.violation = violation
    except Restless as restless:
        verdict.violation = tape.Violation("I16", str(restless))
    verdict.asserted.update(auditor.asserted)
    verdict.lives = verdict.coverage.lives
    verdict.appends = play.disk.appends
    verdict.spent = play.loop.now - began
    return verdict
