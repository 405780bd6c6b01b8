"""A state directory with one stored plan, and everything a runner posts about it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rollbackd.core.effects import RunStep, StopStep
from rollbackd.core.model import Command
from rollbackd.core.signals import StepBegan, StepExited
from rollbackd.world.runner.attempt import boot_id
from rollbackd.world.runner.process import boottime
from rollbackd.world.runner.steps import Runner

PATIENCE = 30.0  # s: a deadline for tests that fail, never a pause
PLAN = "0123abcd"
LIFE = "api-1"
GRACE = 300


class Boot:
    """Steady time is CLOCK_BOOTTIME here."""

    def __init__(self, boot: str | None = None) -> None:
        self.boot_id = boot or boot_id()

    def boottime_of(self, steady: int) -> int:
        return steady

    def now(self) -> int:
        return boottime()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.01)


class Stage:
    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.plan = state_dir / "plans" / PLAN
        self.plan.mkdir(parents=True)
        self.log = state_dir / "ran"
        self.posted: list[StepBegan | StepExited] = []

    def runner(self, boot: str | None = None, **options: Any) -> Runner:
        options.setdefault("grace", GRACE)
        return Runner(self.state_dir, Boot(boot), self.posted.append, **options)

    def script(self, text: str, name: str = "step.sh") -> str:
        path = self.plan / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return f"./{name}"

    def step(self, text: str, execution: int = 1, timeout: int = 20_000, **options: Any) -> RunStep:
        """A step whose script first leaves a line in the log: a line a start."""
        script = self.script(f"echo $$ >> {self.log}\n{text}")
        return self.effect([script], execution, timeout, **options)

    def effect(self, argv: list[str], execution: int = 1, timeout: int = 20_000, **options: Any) -> RunStep:
        run = Command(
            tuple(argv),
            shell=options.pop("shell", False),
            timeout=timeout,
            env=options.pop("plan_env", {}),
        )
        options.setdefault("env", {})
        return RunStep(LIFE, execution, "phase", "step", PLAN, run, **options)

    def stop(self, execution: int = 1) -> StopStep:
        return StopStep(LIFE, execution)

    def starts(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def directory(self, execution: int = 1) -> Path:
        return self.state_dir / "attempts" / LIFE / f"{execution:04d}-step"

    def began(self) -> bool:
        return any(isinstance(signal, StepBegan) for signal in self.posted)

    def exits(self) -> list[StepExited]:
        return [signal for signal in self.posted if isinstance(signal, StepExited)]

    async def exited(self, count: int = 1) -> StepExited:
        await until(lambda: len(self.exits()) >= count)
        return self.exits()[count - 1]

    async def run(self, effect: RunStep, **options: Any) -> StepExited:
        async with self.runner(**options) as runner:
            runner.start(effect)
            return await self.exited()


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def _line(file: Path) -> str:
    text = file.read_text() if file.exists() else ""
    return text if text.endswith("\n") else ""


async def pid_in(file: Path) -> int:
    """The process id a script writes into a file."""
    await until(lambda: _line(file))
    return int(_line(file))


def end(pid: int) -> None:
    if alive(pid):
        os.kill(pid, 9)
    deadline = time.monotonic() + PATIENCE
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
