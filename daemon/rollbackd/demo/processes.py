"""Programs the demo runs: each in a session of its own, its output in a file, ended by its process id."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

END_WITHIN = 8.0  # seconds, then it is killed


class Failure(Exception):
    """The demo cannot go on: what went wrong, in a line or a few."""


class TimedOut(Failure):
    """It took too long."""


async def until(condition: Callable[[], Awaitable[bool]], what: str, within: float = 30.0) -> None:
    """Return once the condition holds; TimedOut, with `what` is still not so, after `within` seconds."""
    try:
        async with asyncio.timeout(within):
            while True:
                if await condition():
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise TimedOut(f"{what} after {within:g} s") from None


def environment() -> dict[str, str]:
    """Ours, without what would lead to another rollbackd than the demo's."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ROLLBACKD_") and name != "NOTIFY_SOCKET"
    }


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


class Program:
    """One program at a time: it may be killed and started again."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment(),
                    start_new_session=True,
                )
            except OSError as error:
                raise Failure(f"{self.name}: {self._command[0]}: {error.strerror}") from error

    async def wait(self) -> int:
        return await self._process.wait() if self._process is not None else 0

    async def kill(self) -> None:
        """SIGKILL: it gets no chance to notice."""
        self._signal(signal.SIGKILL)
        await self.wait()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL where that is not enough."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(END_WITHIN):
                await self.wait()
        except TimeoutError:
            await self.kill()

    async def until(self, condition: Callable[[], Awaitable[bool]], what: str, within: float = 30.0) -> None:
        """Return once the condition holds; Failure where the program ends first, or it takes too long."""

        async def holds_or_ended() -> bool:
            if await condition():
                return True
            if not self.running:
                raise Failure(f"{self.name} ended before {what}:\n{self.last_lines()}")
            return False

        try:
            await until(holds_or_ended, f"{self.name}: not {what}", within)
        except TimedOut as error:
            raise Failure(f"{error}\n{self.last_lines()}") from None

    def last_lines(self, most: int = 12) -> str:
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError as error:
            return f"{self.log}: {error.strerror}"
        return "\n".join(lines[-most:])

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)


class Kept:
    """A program that is started again whenever it ends, as systemd would; its process id is in a file."""

    def __init__(self, program: Program, pid_file: Path) -> None:
        self.program = program
        self._pid_file = pid_file
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._start_once()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.program.name}")

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self.program.stop()

    async def _start_once(self) -> None:
        await self.program.start()
        self._pid_file.write_text(f"{self.program.pid}\n")

    async def _keep(self) -> None:
        while True:
            await self.program.wait()
            await self._start_once()
            await asyncio.sleep(0.2)  # one that cannot start does not spin
