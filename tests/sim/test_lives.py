"""Simulated lives: seeds, found lives that are kept, crashes at every append."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from rollbackd.sim.coverage import Coverage
from rollbackd.sim.crashes import crashed
from rollbackd.sim.generator import draw
from rollbackd.sim.happenings import Dies, Scenario
from rollbackd.sim.shrink import shrink
from rollbackd.sim.soak import tally
from rollbackd.sim.tell import scenario_text
from rollbackd.sim.trial import attempt

SEEDS = 300
PARTS = 12
CORPUS = sorted((Path(__file__).parents[1] / "journals" / "corpus").glob("*.json"))
DIGEST = """
import hashlib
from rollbackd.sim.generator import draw
from rollbackd.sim.play import Play
digest = hashlib.sha256()
for seed in range(12):
    play = Play(draw(seed), lambda record: None)
    play.play()
    digest.update(play.disk.journal.dump())
print(digest.hexdigest())
"""


@pytest.mark.parametrize("part", range(PARTS))
def test_the_rules_hold_whatever_goes_wrong(part: int) -> None:
    found = tally(draw(seed) for seed in range(part, SEEDS, PARTS))
    assert [(one.scenario.seed, one.rule, one.text) for one in found.failures] == []


def test_every_kind_of_event_and_every_state_is_reached() -> None:
    """A new kind or state needs a happening that brings it about: see `sim/generator.py`."""
    coverage = Coverage()
    for seed in range(1_000):
        coverage.merge(attempt(draw(seed)).coverage)
        if not coverage.kinds_never() and not coverage.states_never():
            break
    assert (coverage.kinds_never(), coverage.states_never()) == ([], [])


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_what_was_found_once_stays_mended(file: Path) -> None:
    violation = attempt(msgspec.json.decode(file.read_bytes(), type=Scenario)).violation
    assert violation is None


@pytest.mark.parametrize("seed", [1, 3, 12])
def test_crashes_at_appends_and_in_the_recovery_from_them(seed: int) -> None:
    """A part of them; `make soak` tries every one."""
    scenario = draw(seed)
    calm = tuple(one for one in scenario.happenings if not isinstance(one, Dies))
    scenario = replace(scenario, happenings=calm)
    every = list(crashed(scenario, attempt(scenario).appends))
    found = tally(every[:: max(1, len(every) // 40)])
    assert [(one.scenario.crashes, one.rule, one.text) for one in found.failures] == []


def test_a_seed_gives_the_same_journal_whatever_the_hash_seed() -> None:
    digests = {_digest(sys.executable, hash_seed) for hash_seed in ("0", "1", "4711")}
    assert len(digests) == 1


def test_a_scenario_survives_its_file() -> None:
    scenario = draw(5)
    assert msgspec.json.decode(scenario_text(scenario), type=Scenario) == scenario


def test_a_failing_life_is_shrunk_to_what_makes_it_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: the daemon that dies twice forgets; only the deaths must be left."""
    from rollbackd.sim import shrink as shrinking
    from rollbackd.sim import tape
    from rollbackd.sim.trial import Verdict

    def twice_dead(scenario: Scenario) -> Verdict:
        deaths = sum(isinstance(one, Dies) for one in scenario.happenings)
        return Verdict(scenario, tape.Violation("I3", "twice") if deaths >= 2 else None)

    monkeypatch.setattr(shrinking, "attempt", twice_dead)
    scenario = next(s for s in map(draw, range(2_000)) if twice_dead(s).violation is not None)
    smallest = shrink(scenario, "I3")
    assert [type(one) for one in smallest.happenings] == [Dies, Dies]
    assert (smallest.steps, smallest.crashes) == ((), ())


def _digest(python: str, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([python, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()
