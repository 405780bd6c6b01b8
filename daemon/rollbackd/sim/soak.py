"""Very many lives, on all cores, within a time."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from rollbackd.sim.coverage import Coverage
from rollbackd.sim.crashes import crashed, points
from rollbackd.sim.generator import draw
from rollbackd.sim.trial import attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from rollbackd.sim.happenings import Scenario

CHUNK = 50
MOST_FAILURES = 20


@dataclass
class Failure:
    scenario: Scenario
    rule: str
    text: str


@dataclass
class Tally:
    """What a number of lives came to."""

    scenarios: int = 0
    lives: int = 0
    appends: int = 0
    crash_points: int = 0
    spent: int = 0  # simulated ms
    coverage: Coverage = field(default_factory=Coverage)
    asserted: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.scenarios += other.scenarios
        self.lives += other.lives
        self.appends += other.appends
        self.crash_points += other.crash_points
        self.spent += other.spent
        self.coverage.merge(other.coverage)
        self.asserted.update(other.asserted)
        self.failures += other.failures


def tally(scenarios: Iterable[Scenario]) -> Tally:
    """Play them one after the other, in this process."""
    found = Tally()
    for scenario in scenarios:
        verdict = attempt(scenario)
        found.scenarios += 1
        found.lives += verdict.lives
        found.appends += verdict.appends
        found.crash_points += verdict.coverage.deaths
        found.spent += verdict.spent
        found.coverage.merge(verdict.coverage)
        found.asserted.update(verdict.asserted)
        if verdict.violation is not None:
            found.failures.append(Failure(scenario, verdict.violation.rule, verdict.violation.text))
    return found


def of_seeds(seeds: range) -> Tally:
    return tally(draw(seed) for seed in seeds)


def of_crashes(scenario: Scenario, part: int, parts: int) -> Tally:
    """Every `parts`-th crash of this life, from the `part`-th on."""
    appends, _ = points(scenario)
    return tally(islice(crashed(scenario, appends), part, None, parts))


def in_parallel(
    work: Iterator[tuple[Callable[..., Tally], tuple[object, ...]]],
    jobs: int,
    seconds: float,
    progress: Callable[[Tally], None],
) -> Tally:
    """Do the work in `jobs` processes until it is done, the time is up or too much has failed."""
    total = Tally()
    until = time.monotonic() + seconds
    with ProcessPoolExecutor(jobs) as pool:
        running: set[Future[Tally]] = {
            pool.submit(function, *arguments) for function, arguments in islice(work, 2 * jobs)
        }
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                total.add(future.result())
            progress(total)
            if time.monotonic() < until and len(total.failures) < MOST_FAILURES:
                running |= {
                    pool.submit(function, *arguments) for function, arguments in islice(work, len(done))
                }
    return total


def seed_chunks(first: int, count: int) -> Iterator[tuple[Callable[..., Tally], tuple[object, ...]]]:
    for start in range(first, first + count, CHUNK):
        yield of_seeds, (range(start, min(start + CHUNK, first + count)),)
