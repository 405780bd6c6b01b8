"""What the situations ask of a peer, and the parts most of them share."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from judge import STEPS
from tests.servers import wait_for
from world import Cell, below, environment

# One at a time, each step bounded, people told if it does not get to its end.
ROLLBACK = """\
#!/bin/bash
{output}
trap '[ "$over" ] || {page}' EXIT
trap 'exit 143' TERM INT HUP
exec 9>{state}/rollback.lock
flock --nonblock 9 || {{ over=elsewhere; exit 0; }}
set -e
for step in {steps}; do
    timeout --kill-after=2 {timeout} {step} "$step" 9>&-
done
over=yes
"""
PAGE = """\
#!/bin/sh
exec curl --silent --show-error --max-time 5 --retry 3 --retry-connrefused --data '{{}}' {url}/page
"""
CHECK = """\
#!/bin/sh
# As a monitoring plugin: 0 well, 2 critical, 3 cannot tell.
query='query=bad > 0.5'
answer=$(curl --silent --fail --max-time 2 --get --data-urlencode "$query" {url}/api/v1/query) || exit 3
case $answer in
*'"result":[]'*) echo well ;;
*'"status":"success"'*) echo bad; exit 2 ;;
*) exit 3 ;;
esac
"""


class Unit:
    """One service as its unit would run it. `kill_mode` is its unit's: what becomes of the rest of its
    processes when the main one was killed (process: nothing; control-group: SIGTERM; mixed: SIGKILL)."""

    def __init__(
        self,
        cell: Cell,
        name: str,
        argv: Sequence[str],
        kill_mode: str,
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.cell, self.name, self.argv, self.kill_mode = cell, name, list(argv), kill_mode
        self.env = environment(cell, env or {})
        self.folder = folder or cell.folder
        self.process: subprocess.Popen[bytes] | None = None
        self.log = cell.folder / f"{name}.log"

    def spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.argv, env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def start(self, ready: Callable[[], object]) -> None:
        assert self.process is None, f"{self.name} runs"
        self.process = self.spawn()
        wait_for(lambda: self._up() and ready(), 90, f"{self.name}, see {self.log}")

    def _up(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended: {self.log.read_text(errors='replace')[-1500:]}")
        return True

    def kill(self, mode: str | None = None) -> None:
        """As its unit says, or as `mode` does."""
        mode = mode or self.kill_mode
        assert self.process is not None, f"{self.name} does not run"
        rest = set(self.cell.belonging()) | set(below(self.process.pid))  # before they are orphans
        self.process.kill()
        self.process.wait()
        rest.discard(self.process.pid)
        self.process = None
        if mode != "process":
            number = {"control-group": signal.SIGTERM, "mixed": signal.SIGKILL}[mode]
            for pid in rest:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


class Peer:
    """Most are one service that watches and runs; who is two overrides the halves."""

    key: str
    title: str
    note: str  # how it is configured
    runner: Unit
    output = ""  # what its script does with its own

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.page = self.script("page.sh", PAGE.format(url=cell.pager.url))

    @classmethod
    def missing(cls) -> str:
        """Why it cannot be run here; empty if it can."""
        raise NotImplementedError

    @classmethod
    def version(cls) -> str:
        raise NotImplementedError

    def start(self) -> None:
        """Everything, the healthy metric seen by it."""
        raise NotImplementedError

    def start_runner(self) -> None:
        raise NotImplementedError

    def kill_runner(self, mode: str | None = None) -> None:
        self.runner.kill(mode)

    def start_alerting(self) -> None:
        self.start_runner()

    def kill_alerting(self) -> None:
        self.kill_runner()

    def second(self) -> Unit:
        """The runner once more, by the same command."""
        return Unit(self.cell, "second", self.runner.argv, "process", self.runner.env, self.runner.folder)

    def stop(self) -> None:
        self.runner.stop()

    # For those below

    def script(self, name: str, text: str) -> Path:
        path = self.cell.folder / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def rollback(self) -> Path:
        cell = self.cell
        return self.script(
            "rollback.sh",
            ROLLBACK.format(
                output=self.output,
                page=self.page,
                state=cell.state,
                steps=" ".join(STEPS),
                timeout=cell.needs.step_timeout,
                step=cell.script,
            ),
        )

    def check(self) -> Path:
        return self.script("check.sh", CHECK.format(url=self.cell.url))


def absent(*programs: str) -> str:
    missing = [program for program in programs if shutil.which(program) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def packages(*names: str) -> str:
    """Debian's versions of what is installed."""
    shown = ["dpkg-query", "--show", "--showformat=${Package} ${Version}, ", *names]
    return subprocess.run(shown, capture_output=True, text=True, check=True).stdout.rstrip(", ")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=1) as response:
        return bool(response.status == 200)
    return False
