"""Plays the daemon in a process that may be killed: `python -m …daemon STATE_DIR SCRIPT`.

Starts execution 1 of SCRIPT, prints its helper's process id, then each signal's kind as it is posted.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.adapters.runner.stage import GRACE, LIFE, PLAN, Boot

from rollbackd.core.effects import RunStep
from rollbackd.core.model import Command
from rollbackd.core.signals import StepBegan, StepExited
from rollbackd.world.runner.steps import Runner


async def main(state_dir: Path, script: str) -> None:
    done = asyncio.Event()

    def post(signal: StepBegan | StepExited) -> None:
        print(type(signal).__name__, flush=True)
        if isinstance(signal, StepExited):
            done.set()

    async with Runner(state_dir, Boot(), post, grace=GRACE) as runner:
        print(runner.helper_pid, flush=True)
        runner.start(RunStep(LIFE, 1, "phase", "step", PLAN, Command((script,), timeout=20_000), {}))
        await done.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
