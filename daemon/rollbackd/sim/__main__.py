"""`python -m rollbackd.sim`: soak, enumerated crashes, one seed, a kept life."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import click
import msgspec

from rollbackd.sim.crashes import cast
from rollbackd.sim.files import keeping_its_files
from rollbackd.sim.generator import draw
from rollbackd.sim.happenings import Scenario
from rollbackd.sim.shrink import shrink
from rollbackd.sim.soak import Failure, Tally, in_parallel, of_crashes, seed_chunks
from rollbackd.sim.tell import lines, scenario_text
from rollbackd.sim.trial import attempt

YEAR = 365.25 * 24 * 3_600_000
TAIL = 60


@click.group()
def main() -> None:
    """Simulated lives, full of faults, judged by the rules."""


def _jobs() -> int:
    return len(os.sched_getaffinity(0))


@main.command()
@click.option("--seeds", type=click.IntRange(1), default=10_000, show_default=True, help="how many")
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="the first of them")
@click.option("--jobs", type=click.IntRange(1), default=_jobs, help="processes")
@click.option("--seconds", default=3_600.0, show_default=True, help="stop after")
@click.option("--cells", is_flag=True, help="list the cells never reached")
def soak(seeds: int, first: int, jobs: int, seconds: float, cells: bool) -> None:
    """Play many seeds; exit 1 if a rule was broken."""
    began = time.monotonic()
    total = in_parallel(seed_chunks(first, seeds), jobs, seconds, lambda done: _progress(done, seeds))
    _told(total, time.monotonic() - began, cells)


@main.command()
@click.option("--jobs", type=click.IntRange(1), default=_jobs, help="processes")
@click.option("--seconds", default=3_600.0, show_default=True, help="stop after")
@click.option("--lives", type=click.IntRange(1), default=100, show_default=True, help="at most as many lives")
@click.option("--parts", type=click.IntRange(1), default=1, show_default=True, help="one crash in so many")
def crashes(jobs: int, seconds: float, lives: int, parts: int) -> None:
    """Crash lives that reach every kind of event at each of their appends, and again while they recover."""
    began = time.monotonic()
    chosen = cast()[:lives]
    pieces = 8
    work = (
        (of_crashes, (scenario, part * parts, pieces * parts))
        for scenario in chosen
        for part in range(pieces)
    )
    total = in_parallel(work, jobs, seconds, lambda done: _progress(done, 0))
    print(f"\n{len(chosen)} lives, each crashed at every append, and again in each recovery")
    _told(total, time.monotonic() - began, cells=False)


@main.command()
@click.argument("seed", type=int)
@click.option("--windows", is_flag=True, help="show what Prometheus was asked, too")
def seed(seed: int, windows: bool) -> None:
    """Play one seed and print its tape."""
    sys.exit(_show(draw(seed), windows=windows, tail=None))


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--windows", is_flag=True, help="show what Prometheus was asked, too")
def replay(file: Path, windows: bool) -> None:
    """Play a kept scenario and print its tape."""
    try:
        scenario = msgspec.json.decode(file.read_bytes(), type=Scenario)
    except msgspec.MsgspecError as error:
        raise click.ClickException(f"{file} is no kept scenario: {error}") from None
    sys.exit(_show(scenario, windows=windows, tail=None))


@main.command()
@click.argument("seed", type=int)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def keep(seed: int, file: Path) -> None:
    """Shrink a seed that fails and keep it, best under tests/journals/corpus."""
    scenario = draw(seed)
    violation = attempt(scenario).violation
    if violation is None:
        raise click.ClickException(f"seed {seed} breaks no rule")
    smallest = keeping_its_files(shrink(scenario, violation.rule))
    file.write_text(scenario_text(smallest) + "\n", encoding="utf-8")
    print(f"{file}: {violation}")


def _progress(done: Tally, seeds: int) -> None:
    if sys.stderr.isatty():
        of = f" of {seeds}" if seeds else ""
        print(f"\r{done.scenarios}{of}, {len(done.failures)} failed", end="", file=sys.stderr, flush=True)


def _told(total: Tally, seconds: float, cells: bool) -> None:
    for failure in total.failures[:3]:
        _explain(failure)
    for failure in total.failures[3:]:
        print(f"seed {failure.scenario.seed}: {failure.rule}: {failure.text.splitlines()[-1]}")
    report = list(total.coverage.report())
    print("\n".join(report if cells else report[:3]))
    print(f"ends: {' '.join(f'{end} {count}' for end, count in total.coverage.ends.most_common())}")
    never = [*total.coverage.kinds_never(), *total.coverage.states_never()]
    print(f"kinds and states never reached: {' '.join(never) or 'none'}")
    print(f"asserted: {' '.join(f'{rule} {count}' for rule, count in sorted(total.asserted.items()))}")
    print(
        f"{total.scenarios} seeds, {total.lives} lives, {total.appends} appends, "
        f"{total.spent / YEAR:.2f} simulated years, {total.crash_points} crashes, in {seconds:.0f} s: "
        f"{total.scenarios / seconds:.0f} seeds and {total.lives / seconds:.0f} lives a second"
    )
    print(f"failed: {len(total.failures)}")
    sys.exit(1 if total.failures else 0)


def _explain(failure: Failure) -> None:
    print(f"\nseed {failure.scenario.seed}, commit {_commit()}: {failure.rule}: {failure.text}")
    smallest = shrink(failure.scenario, failure.rule)
    print("the shortest life that still fails:")
    _show(smallest, windows=False, tail=TAIL)


def _show(scenario: Scenario, *, windows: bool, tail: int | None) -> int:
    verdict = attempt(scenario, keep_tape=True)
    print(scenario_text(scenario))
    told = list(lines(verdict.tape, windows=windows))
    print("\n".join(told if tail is None else told[-tail:]))
    if verdict.violation is not None:
        print(f"{verdict.violation}")
    return 1 if verdict.violation is not None else 0


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
