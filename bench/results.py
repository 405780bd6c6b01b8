"""Every `bench_*.py` in turn, and what they print as `bench/RESULTS.md`: `python bench/results.py [NAME…]`.

Bounded: a program over its time is stopped and reported as such. With names (`bench_idle`) these alone run,
and the document is printed in place of written.
"""

from __future__ import annotations

import ast
import os
import platform
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PICTURES = HERE / "pictures"
RESULTS = HERE / "RESULTS.md"

TOTAL = 19 * 60  # seconds, all of them
EACH = 9 * 60  # seconds, one of them
TRACEBACK = "Traceback (most recent call last):"
GRACE = 20  # seconds, to end what it started once it was told to


@dataclass
class Run:
    """One program's."""

    program: Path
    began: float = field(default_factory=time.time)
    printed: list[str] = field(default_factory=list)
    took: float = 0
    status: int = 0
    stopped_after: float | None = None

    @property
    def said(self) -> list[str]:
        """Where it was stopped, without Python's account of where."""
        lines = self.printed
        if self.stopped_after is None or TRACEBACK not in lines:
            return lines
        return lines[: lines.index(TRACEBACK)]

    @property
    def pictures(self) -> list[Path]:
        """Those it has drawn."""
        end = self.began + self.took
        return [each for each in sorted(PICTURES.glob("*.svg")) if self.began <= each.stat().st_mtime <= end]


def run(program: Path, cap: float) -> Run:
    """Run it in a session of its own, showing what it prints; over `cap` seconds it is interrupted."""
    this = Run(program)
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-u", str(program)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    watchdog = threading.Thread(target=_stop, args=(process, this, cap), daemon=True)
    watchdog.start()
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        this.printed.append(line.rstrip())
    this.status = process.wait()
    this.took = time.monotonic() - began
    watchdog.join()
    return this


def _stop(process: subprocess.Popen[str], this: Run, cap: float) -> None:
    """Interrupted, it ends what it has started; else its session is."""
    try:
        process.wait(cap)
    except subprocess.TimeoutExpired:
        this.stopped_after = cap
        process.send_signal(signal.SIGINT)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


# The document


def document(runs: list[Run]) -> str:
    sections = "\n".join(section(each) for each in runs)
    return scrubbed(
        "# Results\n\n"
        "Written by `make bench`. Ratios come from one run on one machine; the figures themselves are this "
        "machine's.\n\n"
        f"| | |\n|---|---|\n{machine()}\n{sections}"
    )


def machine() -> str:
    rows = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} cores, {_cpu()}, {_memory():.1f} GB, {_filesystem()}",
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "load before the first": f"{LOAD[0]:.1f}",
        "rollbackd": f"{version('rollbackd')}, commit {_commit()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "SQLite": sqlite3.sqlite_version,
        "Prometheus": _version("prometheus", "--version"),
        "Alertmanager": _version("prometheus-alertmanager", "--version"),
        "webhook": _version("webhook", "-version"),
    }
    return "".join(f"| {name} | {value} |\n" for name, value in rows.items())


def section(this: Run) -> str:
    name = this.program.relative_to(ROOT)
    lines = [f"## {this.program.stem}\n", _headline(this.program), ""]
    lines += [f"`.venv/bin/python {name}`, {this.took:.0f} s\n"]
    if this.stopped_after is not None:
        lines.append(f"**Stopped after {this.stopped_after:.0f} s**; until then it had printed:\n")
    elif this.status:
        lines.append(f"**Failed** with status {this.status}:\n")
    lines += ["```text", *this.said, "```", ""]
    lines += [f"![{picture.stem}](pictures/{picture.name})\n" for picture in this.pictures]
    return "\n".join(lines)


def scrubbed(text: str) -> str:
    """Nothing of where it ran: no paths of the machine, not its name."""
    text = text.replace(f"{ROOT}/", "").replace(str(ROOT), ".")
    text = re.sub(rf"{re.escape(tempfile.gettempdir())}/[\w.-]+", "TMP", text)
    text = text.replace(str(Path.home()) + "/", "~/")
    return re.sub(rf"\b{re.escape(socket.gethostname())}\b", "HOST", text)


def _headline(program: Path) -> str:
    """The first line of its docstring, without the command."""
    first = (ast.get_docstring(ast.parse(program.read_text())) or "").partition("\n")[0]
    return first.partition(": `")[0].rstrip(".") + "."


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _memory() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9


def _filesystem() -> str:
    """Of the temporary directory, where journals are written."""
    place = os.path.realpath(tempfile.gettempdir())
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    above = [(at, kind) for at, kind in mounts if at == "/" or f"{place}/".startswith(f"{at}/")]
    return max(above, key=lambda mount: len(mount[0]))[1]


def _commit() -> str:
    try:
        commit = _said("git", "rev-parse", "--short", "HEAD")
        changed = _said("git", "status", "--porcelain", "--", "daemon", "bench/*.py")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit} with changes" if changed else commit


def _version(program: str, option: str) -> str:
    if shutil.which(program) is None:
        return "not installed"
    found = re.search(r"version (\S+)", _said(program, option))
    return found[1] if found else "unknown"


def _said(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, check=True, text=True, capture_output=True, timeout=20)
    return (done.stdout + done.stderr).strip()


LOAD = os.getloadavg()


def main(names: list[str]) -> None:
    programs = [HERE / f"{name}.py" for name in names] or sorted(HERE.glob("bench_*.py"))
    until = time.monotonic() + TOTAL
    runs = []
    for program in programs:
        print(f"== {program.relative_to(ROOT)}", flush=True)
        runs.append(run(program, max(1.0, min(EACH, until - time.monotonic()))))
    text = document(runs)
    if names:
        print(f"\n{text}")
    else:
        RESULTS.write_text(text)
        print(f"== {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
