"""One cell's world: a service with a metric, a real Prometheus, steps that leave marks, and a pager."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from io import RawIOBase
from pathlib import Path
from typing import Any, Self

import yaml
from judge import STEPS, Evidence, Run
from tests.servers import Exporter, Prometheus, Recorder, wait_for

MARKER = "KILL_MATRIX"
STEP_SECONDS = 1.5
ECHO = 12.0  # the metric shows the breach for so long after it is over, as a rate over minutes does
RESEND = "5s"  # of alerts by Prometheus, 1m unless shortened: as ECHO stands for minutes

STEP = """\
#!/bin/bash
# STEP: leaves a mark when it begins and ends, and does between what the situation asked of it.
export {marker}={folder}
step=$1
mark() {{ printf '%s %s %d %s %s\\n' "$step" "$1" "$2" "$EPOCHREALTIME" "${{3-0}}" >> {folder}/marks; }}
mark start $$
if [ -e {folder}/hang-$step ]; then
    step=$step.child setsid bash -c '
        printf "%s start %d %s 0\\n" "$step" $$ "$EPOCHREALTIME" >> {folder}/marks
        exec sleep 600' &
    exec sleep 600
fi
sleep "$(cat {folder}/seconds-$step)"
[ -e {folder}/fail-$step ] && {{ mark end $$ 1; exit 1; }}
mark end $$
"""


@dataclass(frozen=True)
class Mark:
    step: str
    kind: str  # start or end
    pid: int
    at: float
    status: int


class Service(Exporter):
    """`bad` is 1 while the service is ill and for ECHO afterwards; a revert that ended well has cured it."""

    def __init__(self, reverted: Callable[[], float | None]) -> None:
        super().__init__()
        self._reverted = reverted
        self._spells: list[tuple[float, float | None]] = []

    def fall_ill(self) -> None:
        self._spells.append((time.time(), None))

    def recover(self) -> None:
        self._spells[-1] = (self._spells[-1][0], time.time())

    def ill(self) -> list[tuple[float, float | None]]:
        return [(began, ended or self._reverted()) for began, ended in self._spells]

    def text(self) -> str:
        now = time.time()
        shown = any(ended is None or now < ended + ECHO for _, ended in self.ill())
        return f"bad {int(shown)}\n"


class Pager(Recorder):
    """People: when each page came. What is sent to /chat is read by nobody at night."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[float] = []

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/page":
            self.pages.append(time.time())
        super().respond(handler)


class Server(Prometheus):
    """Scrapes and evaluates every second; with an Alertmanager it has a rule, as strict as the others."""

    def __init__(self, folder: Path, target: str, alertmanager: str | None) -> None:
        super().__init__(folder, "1s", [target])
        config = folder / "prometheus.yml"
        document: dict[str, Any] = yaml.safe_load(config.read_text())
        document["global"]["evaluation_interval"] = "1s"
        if alertmanager:
            rule = {"alert": "Bad", "expr": "bad > 0.5", "for": "2s", "labels": {"severity": "critical"}}
            (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
            document["rule_files"] = ["rules.yml"]
            document["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
        config.write_text(yaml.safe_dump(document))

    def command(self) -> list[str]:
        return [*super().command(), f"--rules.alert.resend-delay={RESEND}"]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


@dataclass(frozen=True)
class Needs:
    """What a situation asks of the configuration. Seconds."""

    renotify: float | None = None
    step_timeout: float = 30
    disk: bool = False


class Cell:
    """Use it as a context manager; everything that ran in it is ended, by pid."""

    def __init__(self, folder: Path, needs: Needs) -> None:
        self.folder, self.needs = folder, needs
        self.state = folder / "state"
        self.script = folder / "step.sh"
        self.pager = Pager()
        self.service = Service(self._reverted)
        self.servers: set[int] = set()
        self.due: tuple[str, ...] = ()
        self.fault: float | None = None
        self.notes: list[str] = []
        self.prometheus: Server | None = None
        self._gone: dict[int, float] = {}
        self._over = threading.Event()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.state.mkdir(parents=True)
        if self.needs.disk:
            self._stack.enter_context(small_disk(self.state))
        self._stack.callback(self._end_all)
        (self.folder / "marks").touch()
        self.script.write_text(STEP.format(marker=MARKER, folder=self.folder))
        self.script.chmod(0o755)
        for step in STEPS:
            self.step(step, STEP_SECONDS)
        self._stack.enter_context(self.service)
        self._stack.enter_context(self.pager)
        witness = threading.Thread(target=self._witness, daemon=True)
        witness.start()
        self._stack.callback(witness.join)
        self._stack.callback(self._over.set)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def watched(self, alertmanager: str | None = None) -> None:
        """Start Prometheus; returns once the healthy metric is to be seen."""
        server = self.prometheus = Server(self.folder / "prometheus", self.service.target, alertmanager)
        self._stack.callback(server.stop)
        server.start()
        self.servers.add(server.pid)
        wait_for(lambda: server.value("bad") == 0, what="the first scrape")

    @property
    def url(self) -> str:
        """Of Prometheus."""
        assert self.prometheus is not None
        return self.prometheus.url

    # What the situation does

    def step(self, name: str, seconds: float) -> None:
        (self.folder / f"seconds-{name}").write_text(str(seconds))

    def set(self, what: str) -> None:
        """`fail-STEP` or `hang-STEP`."""
        (self.folder / what).touch()

    def harm(self) -> None:
        """From now on people can know that something is wrong with the rollback itself."""
        self.fault = time.time()

    def until(self, condition: Callable[[], object], seconds: float = 45) -> bool:
        """Whether it came true; a peer that never gets there is judged, not an error."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def began(self, step: str) -> bool:
        return self.until(lambda: self._marks(step, "start"))

    def ended(self, step: str) -> bool:
        return self.until(lambda: self.marked(step))

    def marked(self, step: str) -> bool:
        return bool(self._marks(step, "end"))

    # What is seen

    def evidence(self) -> Evidence:
        return Evidence(self.runs(), self.service.ill(), tuple(self.pager.pages), self.due, self.fault)

    def runs(self) -> list[Run]:
        marks = self._all()
        ends = {mark.pid: mark for mark in marks if mark.kind == "end"}
        return [
            self._run(mark, ends.get(mark.pid), marks)
            for mark in marks
            if mark.step in STEPS and mark.kind == "start"
        ]

    def _run(self, start: Mark, end: Mark | None, marks: Sequence[Mark]) -> Run:
        """One that left no mark of its end lasted as long as its longest-lived process that was marked."""
        if end is not None:
            return Run(start.step, start.at, end.at, end.status == 0)
        family = [start.pid, *(mark.pid for mark in marks if mark.step == f"{start.step}.child")]
        lived = [self._gone.get(pid) for pid in family]
        known = [at for at in lived if at is not None]
        return Run(start.step, start.at, max(known) if len(known) == len(lived) else None, ok=False)

    def _reverted(self) -> float | None:
        return min((mark.at for mark in self._marks("revert", "end") if mark.status == 0), default=None)

    def _marks(self, step: str, kind: str) -> list[Mark]:
        return [mark for mark in self._all() if mark.step == step and mark.kind == kind]

    def _all(self) -> list[Mark]:
        rows = (line.split() for line in (self.folder / "marks").read_text().splitlines())
        return [Mark(step, kind, int(pid), float(at), int(status)) for step, kind, pid, at, status in rows]

    def _witness(self) -> None:
        """Note when each marked process was seen to be gone: what is killed leaves no mark of its end."""
        while not self._over.wait(0.05):
            for mark in self._all():
                if mark.kind == "start" and mark.pid not in self._gone and not alive(mark.pid):
                    self._gone[mark.pid] = time.time()

    def belonging(self) -> list[int]:
        """Every process of this cell that is none of its servers."""
        needle = str(self.folder).encode()
        return [pid for pid in pids() if pid not in self.servers and needle in told_of(pid)]

    def _end_all(self) -> None:
        for pid in self.belonging():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and int(entry) != os.getpid()]


def below(pid: int) -> list[int]:
    """Its children, and theirs."""
    listings = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for listing in listings for child in _read(listing).split()]
    return [each for child in children for each in (child, *below(child))]


def _read(path: Path) -> str:
    """Empty where the process is gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


def told_of(pid: int) -> bytes:
    """Its command line and first environment; nothing of one that is gone."""
    found = b""
    for name in ("cmdline", "environ"):
        with suppress(OSError):
            found += Path(f"/proc/{pid}/{name}").read_bytes()
    return found


def alive(pid: int) -> bool:
    """A zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class MountRefused(Exception):
    pass


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """16 MB of its own; MountRefused where this user or machine may not."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MountRefused(done.stderr.strip() or "mount failed")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Not one byte more goes on its disk, and what is freed is taken at once, as by a log gone wild."""
    filler = folder / "filler"
    over = threading.Event()
    with filler.open("wb", buffering=0) as file:
        _fill(file)
        hog = threading.Thread(target=lambda: _fill(file, over), daemon=True)
        hog.start()
        try:
            yield
        finally:
            over.set()
            hog.join()
    filler.unlink()


def _fill(file: RawIOBase, over: threading.Event | None = None) -> None:
    """Once, or until it is over."""
    while True:
        for size in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)
        if over is None or over.wait(0.02):
            return


def environment(cell: Cell, extra: Mapping[str, str]) -> dict[str, str]:
    """For whatever runs the plan: its temporary files are state like any other."""
    return {**os.environ, MARKER: str(cell.folder), "TMPDIR": str(cell.state), **extra}
