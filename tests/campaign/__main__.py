"""Long campaigns against the real daemon.

    python -m tests.campaign kill --kills 1000 --minutes 25   SIGKILLs at random moments of real rollbacks
    python -m tests.campaign hardship --minutes 10            faults of all kinds, on disks of 16 MB that fill

Prints what was done and every violation; exits 1 where there is one, and keeps that lane's folder.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.campaign.runs import Report, hardship, kill
from tests.disks import NoDisk

ROUND = 60.0
"""s of faults on one disk: as long as what a daemon keeps of its rollbacks fits there beside its reserve."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("campaign", choices=("kill", "hardship"))
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=10.0, help="of faults, or at most so many of kills")
    parser.add_argument("--lanes", type=int, default=4, help="daemons at once")
    parser.add_argument("--seed", type=int, default=None, help="default: drawn, and printed")
    parser.add_argument("--folder", type=Path, default=None, help="where lanes live; default: a new one")
    wanted = parser.parse_args()
    seed = wanted.seed if wanted.seed is not None else random.SystemRandom().randrange(1 << 32)
    folder = wanted.folder or Path(tempfile.mkdtemp(prefix="rollbackd-campaign-"))
    runs: list[Callable[[Path, str], Report]] = []
    if wanted.campaign == "kill":
        shares = [len(range(lane, wanted.kills, wanted.lanes)) for lane in range(wanted.lanes)]
        runs = [partial(kill, kills=share, seconds=wanted.minutes * 60) for share in shares]
    else:
        rounds = max(1, round(wanted.minutes * 60 * wanted.lanes / ROUND))
        seconds = wanted.minutes * 60 * wanted.lanes / rounds
        runs = [partial(hardship, seconds=seconds) for _ in range(rounds)]
    print(f"{wanted.campaign}: seed {seed}, {wanted.lanes} lanes in {folder}", flush=True)
    try:
        reports = _run(runs, folder, seed, wanted.lanes)
    except NoDisk as error:
        print(f"skipped: {error}")
        return 0
    return _tell(reports, seed)


def _run(runs: list[Callable[[Path, str], Report]], folder: Path, seed: int, lanes: int) -> list[Report]:
    def one(number: int) -> Report:
        place = folder / f"lane-{number}"
        report = runs[number](place, f"{seed}/{number}")
        print(f"lane {number}: {_line(report.counts)}; {_line(report.outcomes)}", flush=True)
        if not report.violations:
            shutil.rmtree(place)
        return report

    with ThreadPoolExecutor(lanes) as pool:
        return list(pool.map(one, range(len(runs))))


def _line(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items()) if number) or "nothing"


def _tell(reports: list[Report], seed: int) -> int:
    counts, outcomes = Counter[str](), Counter[str]()
    for report in reports:
        counts += report.counts
        outcomes += report.outcomes
    violations = [violation for report in reports for violation in report.violations]
    print(f"in all: {_line(counts)}")
    print(f"outcomes: {_line(outcomes)}")
    print(f"violations: {len(violations)}")
    for violation in violations:
        print(f"  {violation}")
    if violations:
        print(f"again: --seed {seed}; kept: " + ", ".join(str(r.folder) for r in reports if r.violations))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
