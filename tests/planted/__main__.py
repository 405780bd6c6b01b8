"""`python -m tests.planted`: plants every bug in turn, and says which rule finds it after how many lives."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import click
import msgspec
from tests.planted.bugs import Bug, every_bug
from tests.planted.hunt import Hunt


def hunted(bug: Bug, seeds: int, seconds: float) -> Hunt:
    """In a fresh process, which imports the bug."""
    command = [sys.executable, "-m", "tests.planted.hunt", bug.name, str(seeds), str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=Hunt)


@click.command()
@click.argument("names", nargs=-1)
@click.option("--seeds", default=1_500, show_default=True, help="lives for each, at most")
@click.option("--seconds", default=90.0, show_default=True, help="seconds of CPU for each, at most")
@click.option("--jobs", default=2, show_default=True, help="processes")
def main(names: tuple[str, ...], seeds: int, seconds: float, jobs: int) -> None:
    """Plant the bugs, or those named, or of the modules named; exit 1 if any is missed."""
    bugs = [bug for bug in every_bug() if not names or {bug.name, bug.module.partition(".")[2]} & set(names)]
    missed: list[Bug] = []
    with ThreadPoolExecutor(jobs) as pool:
        hunts = pool.map(lambda bug: hunted(bug, seeds, seconds), bugs)
        for bug, hunt in zip(bugs, hunts, strict=True):
            print(f"{bug.module.partition('.')[2]:18} {bug.name:44} {_told(hunt)}", flush=True)
            if not hunt.rule:
                missed.append(bug)
    for bug in missed:
        print(f"missed: {bug.module}, {bug.name}: {bug.does}")
    print(f"{len(bugs) - len(missed)}/{len(bugs)} found")
    sys.exit(1 if missed else 0)


def _told(hunt: Hunt) -> str:
    crashes = f" and {hunt.crashes} crashes" if hunt.crashes else ""
    after = f"{hunt.played} lives{crashes}, {hunt.seconds:.1f} s"
    return f"{hunt.rule:6} after {after}: {hunt.text}"[:150] if hunt.rule else f"MISSED after {after}"


if __name__ == "__main__":
    main()
