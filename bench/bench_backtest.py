"""What a replay of a month costs once its answers are there: `python bench/bench_backtest.py`.

30 days at 15 s, a ratio with its samples' times, ten subjects: 1.7 million windows × subjects. Each case is a
process of its own. CPU is without the making of the history, memory with it.
"""

from __future__ import annotations

import os
import random
import resource
import time
from collections.abc import Callable
from multiprocessing import get_context
from statistics import median
from typing import NamedTuple

from rig import busy, figure

from rollbackd.core.history import Column, History, no_answers, windows
from rollbackd.core.judging import window_queries
from rollbackd.core.model import Condition, Limit, Trigger
from rollbackd.core.signals import Unreachable
from rollbackd.sim.replay.replaying import replay
from rollbackd.tuning.axes import parse_axes
from rollbackd.tuning.sweep import sweep

INTERVAL = 15_000
MONTH = 30 * 86_400_000 // INTERVAL
SUBJECTS = 10
FIRST = 1_700_000_055_000
ROUNDS = 3

CONDITION = Condition(
    'sum by (pod) (rate(http_requests_total{code=~"5.."}[1m]))',
    Limit(">", 0.01),
    total="sum by (pod) (rate(http_requests_total[1m]))",
    traffic="sum by (pod) (rate(http_requests_total[1m]))",
    at_least=1.0,
    coverage=("max by (pod) (timestamp(http_requests_total))",),
    longest_range=60_000,
)
TRIGGER = Trigger(
    "ErrorRatio",
    group="api",
    plan="api",
    category="metric",
    severity="critical",
    action="auto",
    condition=CONDITION,
    interval=INTERVAL,
    windows=8,
    fingerprint="bench",
    per=("pod",),
)


class Kind(NamedTuple):
    """How bad a month is. `noise`: so often a single window breaches; `gaps`: so often one is unreachable."""

    name: str
    incidents: int
    noise: float
    gaps: float
    always: bool = False


KINDS = [
    Kind("a usual month", 12, 0.0005, 0.0002),
    Kind("noisy: 1 window in 50 of each breaches", 12, 0.02, 0.001),
    Kind("worst: one subject always breaches", 12, 0.0005, 0.0002, always=True),
]


def month(kind: Kind) -> History:
    chance = random.Random(kind.name)
    found = no_answers(window_queries(CONDITION), windows(FIRST, FIRST + (MONTH - 1) * INTERVAL, INTERVAL))
    bad = [(chance.randrange(MONTH), chance.randrange(SUBJECTS)) for _ in range(kind.incidents)]
    for number in range(SUBJECTS):
        columns = [Column(MONTH) for _ in found.queries]
        incidents = {at for begin, whose in bad if whose == number for at in range(begin, begin + 120)}
        for window, end in enumerate(found.ends):
            breach = window in incidents or chance.random() < kind.noise or (kind.always and number == 0)
            total = 40 + 20 * chance.random()
            columns[0].put(window, total * (0.05 if breach else 0.002 * chance.random()))
            columns[1].put(window, total)
            columns[2].put(window, (end - chance.randrange(INTERVAL)) / 1000)
        for query, column in zip(found.columns, columns, strict=True):
            query[f"api-{number}"] = column
    found.failed.update(
        {window: Unreachable("refused") for window in range(MONTH) if chance.random() < kind.gaps}
    )
    return found


def one(kind: Kind) -> tuple[float, int]:
    """CPU seconds, fires."""
    history = month(kind)
    began = time.process_time()
    outcome = replay(TRIGGER, [history])
    return time.process_time() - began, len(outcome.fires)


def grid(kind: Kind) -> tuple[float, int]:
    """Seconds on all cores, cells."""
    history = month(kind)
    axes = parse_axes(["windows=2,4,8", "breach=0.005:0.05:10"], TRIGGER)
    began = time.perf_counter()
    found = sweep(TRIGGER, [history], axes)
    return time.perf_counter() - began, len(found.cells)


def alone(work: Callable[[Kind], tuple[float, int]], kind: Kind) -> tuple[tuple[float, int], float]:
    """In a process of its own, with the MiB it took."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (work, kind))


def _measured(work: Callable[[Kind], tuple[float, int]], kind: Kind) -> tuple[tuple[float, int], float]:
    found = work(kind)
    return found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    print(f"{MONTH:,} windows × {SUBJECTS} subjects; windows: {TRIGGER.windows}")
    for kind in KINDS:
        found = [alone(one, kind) for _ in range(ROUNDS)]
        figure(kind.name, median(took for (took, _), _ in found), f"s of CPU, {found[0][0][1]} fires", "20 s")
        figure("  its memory", max(memory for _, memory in found), "MiB", "500 MiB")
    took, cells = grid(KINDS[0])
    figure(f"sweep of {cells} settings", took, f"s on {len(os.sched_getaffinity(0))} cores")
    busy()


if __name__ == "__main__":
    main()
