"""One lane from its first release to its judgement: under kills, or under faults of all kinds."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path

from tests.campaign.faults import TICK, Hardship, Kills
from tests.campaign.judge import judge
from tests.campaign.lane import STEPS, Lane
from tests.disks import small_disk

DISK = 16
"""Megabytes."""


@dataclass
class Report:
    folder: Path
    counts: Counter[str]
    outcomes: Counter[str]
    violations: list[str]


def kill(folder: Path, seed: str, *, kills: int, pace: float = 1.0, seconds: float = inf) -> Report:
    """So many SIGKILLs, or as many as `seconds` have room for; `pace` as in `Kills`."""
    until = time.monotonic() + seconds
    with Lane(folder, seed) as lane:
        faults = Kills(lane, pace)
        _drive(lane, faults.tick, lambda: lane.counts["kills"] >= kills or time.monotonic() > until)
        return _judged(lane)


def hardship(folder: Path, seed: str, *, seconds: float) -> Report:
    """So long of everything at once, the state directory on a disk of its own that fills. NoDisk."""
    with small_disk(folder / "state", DISK), Lane(folder, seed) as lane:
        lane.may_fail = True
        faults = Hardship(lane)
        until = time.monotonic() + seconds
        _drive(lane, faults.tick, lambda: time.monotonic() > until)
        faults.relief()
        report = _judged(lane)
        if report.violations:
            shutil.copytree(
                lane.state_dir, folder / "kept", ignore=shutil.ignore_patterns("*.sock", "control")
            )
        return report


def _drive(lane: Lane, fault: Callable[[], float], over: Callable[[], bool]) -> None:
    tended = 0.0
    while not over() and not lane.violations:
        pause = fault()
        if time.monotonic() - tended > 3 * TICK:
            lane.tend()
            tended = time.monotonic()
        time.sleep(pause)


def _judged(lane: Lane) -> Report:
    """Faults are over: what is open must come to its end."""
    lane.calm_since = time.monotonic()
    _drive(lane, lambda: 2 * TICK, lambda: lane.idle)
    lane.kill_daemon()
    lines = (lane.marks / "ran").read_text().splitlines() if (lane.marks / "ran").exists() else []
    lane.violations += judge(lane.state_dir, lines, STEPS)
    return Report(lane.folder, lane.counts, lane.outcomes, lane.violations)
