"""From `Runner.start` to `StepBegan`, beside the least that is durable: fdatasync, then posix_spawn.

python bench/bench_spawn.py [RUNS]
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rollbackd.core.effects import RunStep
from rollbackd.core.model import Command
from rollbackd.core.signals import StepBegan, StepExited
from rollbackd.world.runner.attempt import boot_id
from rollbackd.world.runner.steps import Runner


class Boot:
    boot_id = boot_id()

    def boottime_of(self, steady: int) -> int:
        return steady


async def runner_times(state_dir: Path, runs: int) -> tuple[list[float], list[float]]:
    """Seconds from asking to began, and of the event loop's own time in asking."""
    plan = state_dir / "plans" / "bench"
    plan.mkdir(parents=True)
    began: asyncio.Future[float]
    ended: asyncio.Future[None]

    def post(signal: StepBegan | StepExited) -> None:
        if isinstance(signal, StepBegan):
            began.set_result(time.perf_counter())
        else:
            ended.set_result(None)

    total, asking = [], []
    async with Runner(state_dir, Boot(), post) as runner:
        for execution in range(runs):
            began, ended = asyncio.Future(), asyncio.Future()
            start = time.perf_counter()
            runner.start(RunStep("bench-1", execution, "phase", "step", "bench", Command(("true",)), {}))
            asking.append(time.perf_counter() - start)
            total.append(await began - start)
            await ended
    return total, asking


def bare_times(folder: Path, runs: int) -> list[float]:
    times = []
    for run in range(runs):
        start = time.perf_counter()
        fd = os.open(folder / f"intent-{run}", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fd, b"intent")
        os.fdatasync(fd)
        os.close(fd)
        pid = os.posix_spawn("/bin/true", ["true"], {})
        times.append(time.perf_counter() - start)
        os.waitpid(pid, 0)
    return times


def show(name: str, times: list[float]) -> float:
    median = statistics.median(times)
    p99 = sorted(times)[int(len(times) * 0.99)]
    print(f"{name:<32} median {median * 1000:7.2f} ms   p99 {p99 * 1000:7.2f} ms")
    return median


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as folder:
        total, asking = asyncio.run(runner_times(Path(folder), runs))
        bare = show("fdatasync + posix_spawn", bare_times(Path(folder), runs))
    show("the loop's share of start()", asking)
    print(f"ratio {show('start() to StepBegan', total) / bare:.1f}")


if __name__ == "__main__":
    main()
