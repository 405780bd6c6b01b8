"""A kernel that refuses the daemon's own calls from now on: strace changes what they return."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.servers import wait_for


@contextmanager
def refusing(pid: int, calls: str, error: str, log: Path, *paths: Path) -> Iterator[None]:
    """While the block lasts, these calls of the process (on `paths`, if any) fail with `error`; `log`
    holds one line for each. Skips where nobody may trace."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt-get install strace")
    only = [part for path in paths for part in ("-P", str(path))]
    injected = ["-e", f"trace={calls}", "-e", f"inject={calls}:error={error}"]
    command = ["strace", "-f", "-y", "-q", "-o", str(log), *only, *injected, "-p", str(pid)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr is not None
        try:
            wait_for(lambda: traced(pid, tracer.pid) or tracer.poll() is not None, what="strace")
            if tracer.poll() is not None:
                pytest.skip(f"strace: {tracer.stderr.read().decode().strip()}")
            yield
        finally:
            if tracer.poll() is None:
                tracer.send_signal(signal.SIGINT)
            tracer.wait(10)


def traced(pid: int, tracer: int) -> bool:
    """Whether every thread of the process is."""
    tasks = list(Path(f"/proc/{pid}/task").glob("*/status"))
    return bool(tasks) and all(f"TracerPid:\t{tracer}\n" in task.read_text() for task in tasks)
