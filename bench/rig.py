"""A daemon to be measured: its files, its process, and what /proc and /metrics say of it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import yaml

READY_WITHIN = 240  # s; the first start of all with ten thousand triggers, on a busy machine
TICK = 1 / os.sysconf("SC_CLK_TCK")


def write(
    folder: Path,
    url: str,
    groups: Sequence[Mapping[str, Any]],
    plans: Sequence[str],
    script: str = "#!/bin/sh\n",
    env: Mapping[str, str] | None = None,
    *,
    hook: str = "http://127.0.0.1:9/hook",
    plan: Mapping[str, Any] | None = None,
) -> Path:
    """A configuration with these groups of triggers; every plan has one step, the script. Who is paged
    answers at `hook`; `plan` adds to each plan, or changes it."""
    settings = {
        "version": "rollbackd/v1",
        "instance": "bench",
        "prometheus": {"urls": [url]},
        "triggers": ["triggers.yml"],
        "plans": ["plans/*/plan.yml"],
        "state_dir": str(folder / "state"),
        "web": {"listen": "127.0.0.1:0"},
        "limits": {"rollbacks_per_hour": 1000, "per_service_per_hour": 1000, "brake": 1000},
        "receivers": [{"name": "hook", "webhook": {"url": hook}}],
    }
    (folder / "rollbackd.yml").write_text(json.dumps(settings))
    document = {"version": "rollbackd/v1", "groups": list(groups)}
    (folder / "triggers.yml").write_text(yaml.safe_dump(document))
    for name in plans:
        place = folder / "plans" / name
        place.mkdir(parents=True, exist_ok=True)
        (place / "step.sh").write_text(script)
        (place / "step.sh").chmod(0o755)
        (place / "plan.yml").write_text(json.dumps({**_plan(name, env or {}), **(plan or {})}))
    return folder / "rollbackd.yml"


def _plan(name: str, env: Mapping[str, str]) -> dict[str, Any]:
    step = {"step": "go", "run": ["./step.sh"], "timeout": "20s"}
    return {
        "version": "rollbackd/v1",
        "plan": name,
        "owner": "bench",
        "level": 3,
        "services": [name],
        "summary": "back to the previous version",
        "env": dict(env),
        "phases": [{"phase": "revert", "estimate": "1s", "steps": [step]}],
        "verification": [{"check": "well", "expr": 'max(well{n="0"})', "pass": ">= 0"}],
        "verify_windows": 1,
        "settle": "1s",
    }


def trigger(name: str, expr: str, plan: str, **changes: Any) -> dict[str, Any]:
    return {
        "trigger": name,
        "category": "metric",
        "severity": "critical",
        "expr": expr,
        "breach": "> 0.5",
        "windows": 1,
        "arm": "always",
        "plan": plan,
        **changes,
    }


class Daemon:
    """A running `rollbackd run`. `ready_after`: seconds from its start to /-/ready."""

    def __init__(self, main: Path, process: subprocess.Popen[bytes], began: float) -> None:
        self.folder = main.parent
        self._process = process
        self._await_ready()
        self.ready_after = time.perf_counter() - began

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the daemon is not ready:\n{self.log()}")
            time.sleep(0.002)

    def _is_ready(self) -> bool:
        try:
            return self.get("/-/ready")[0] == 200
        except OSError:
            return False

    def log(self) -> str:
        return (self.folder / "daemon.log").read_text(errors="replace")[-2000:]

    def get(self, path: str) -> tuple[int, str]:
        connection = _Unix(str(self.folder / "state/rollbackd.sock"))
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metric(self, prefix: str) -> dict[str, float]:
        """The samples of /metrics whose lines begin so: name and labels → value."""
        lines = self.get("/metrics")[1].splitlines()
        samples = (line.rpartition(" ") for line in lines if line.startswith(prefix))
        return {name: float(value) for name, _, value in samples}

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu(self) -> float:
        """Seconds of CPU that the daemon's own process has used (user and system)."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK

    def memory(self) -> dict[str, dict[str, float]]:
        """MB of the daemon and of its helper: {"daemon": {"Rss": …, "Pss": …}, …}."""
        pids = [self._process.pid, *_children(self._process.pid)]
        names = ["daemon", *(f"helper {index}" for index in range(1, len(pids)))]
        return {name: _rollup(pid) for name, pid in zip(names, pids, strict=True)}

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


def _children(pid: int) -> list[int]:
    """Of all its threads: the helper is started on one that is not the main one."""
    listings = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for listing in listings for child in listing.read_text().split()]


def _rollup(pid: int) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    rows = (line.split() for line in lines)
    return {name.rstrip(":"): int(size) * 1024 / 1e6 for name, size, _ in rows if name in ("Rss:", "Pss:")}


@contextmanager
def running(main: Path) -> Iterator[Daemon]:
    """Started, ready, and ended by its pid."""
    began = time.perf_counter()
    with (main.parent / "daemon.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rollbackd", "run", "--config", str(main)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        daemon = Daemon(main, process, began)
        yield daemon
        daemon.stop()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def p99(values: Sequence[float]) -> float:
    return sorted(values)[min(int(len(values) * 0.99), len(values) - 1)]


def show(name: str, values: Sequence[float], unit: str, aim: str = "") -> None:
    """One line: median and p99 beside the aim."""
    line = f"  {name:<44} median {median(values):8.2f}   p99 {p99(values):8.2f} {unit}"
    print(line + (f"   (aim {aim})" if aim else ""))


def figure(name: str, value: float, unit: str, aim: str = "") -> None:
    print(f"  {name:<44} {value:15.2f} {unit}" + (f"   (aim {aim})" if aim else ""))


def busy() -> None:
    """Say so where others use the machine: figures of a busy machine are worth less."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores * 0.6:
        print(f"  (noisy: load {load:.1f} on {cores} cores)")
