"""What ten thousand subjects of one trigger cost, window by window: `python bench/bench_subjects.py`.

The daemon is asked for /metrics each second meanwhile, and for /-/healthy all the time: what holds up
the loop holds up that answer. CPU is that beyond the same daemon with ten subjects.
"""

from __future__ import annotations

import gc
import http.client
import socket
import sys
import tempfile
import threading
import time
import tracemalloc
from pathlib import Path
from statistics import median

from rig import Daemon, busy, figure, p99, running, show, trigger, write
from stub import Labels, Stub, vector

from rollbackd.core.engine import Engine
from rollbackd.core.model import Condition, Config, Limit, Trigger
from rollbackd.core.signals import DaemonStarted, Series, Ticked, WindowsAnswered

SUBJECTS = 10_000
NEWEST = 1_234_567_890.125  # stands in the prepared body for the newest sample's time


def subject(number: int) -> str:
    return f"cohort-{number:05}"


class Service:
    """Bodies are made once; only the samples' time is put in."""

    def __init__(self, subjects: int) -> None:
        labels: list[Labels] = [(("cohort", subject(number)),) for number in range(subjects)]
        self._values = vector({each: number / 1e6 for number, each in enumerate(labels)}, 0)
        self._newest = vector(dict.fromkeys(labels, NEWEST), 0)

    def __call__(self, expr: str, at: float) -> bytes:
        if "timestamp" not in expr:
            return self._values
        return self._newest.replace(b"%.15g" % NEWEST, b"%.3f" % (at - 0.01))


class Probe(threading.Thread):
    """Asks for /-/healthy every few ms over one connection, and for /metrics each second.

    `waits`: (when, ms until the answer).
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(name="probe", daemon=True)
        self._path = str(folder / "state/rollbackd.sock")
        self._end = threading.Event()
        self.waits: list[tuple[float, float]] = []

    def run(self) -> None:
        scraper = threading.Thread(target=self._scrape, name="scraper", daemon=True)
        scraper.start()
        connection = self._connect()
        while not self._end.wait(0.004):
            began = time.perf_counter()
            self._get(connection, "/-/healthy")
            self.waits.append((began, (time.perf_counter() - began) * 1e3))
        connection.close()
        scraper.join(10)

    def _scrape(self) -> None:
        connection = self._connect()
        while not self._end.wait(1):
            self._get(connection, "/metrics")
        connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.connect(self._path)
        return connection

    @staticmethod
    def _get(connection: http.client.HTTPConnection, path: str) -> None:
        connection.request("GET", path)
        connection.getresponse().read()

    def stop(self) -> None:
        self._end.set()
        self.join(10)


class Measured:
    """`cpu`: ms a window. `worst`: the longest wait of each window, ms. `memory`: MB."""

    def __init__(self, subjects: int, seconds: int) -> None:
        rule = trigger("Bad", "max by (cohort) (bad)", "api", per=["cohort"], windows=3)
        with tempfile.TemporaryDirectory() as place, Stub(Service(subjects)) as stub:
            groups = [{"name": "g", "interval": "1s", "triggers": [rule]}]
            with running(write(Path(place), stub.url, groups, ["api"])) as daemon:
                self._measure(daemon, seconds)

    def _measure(self, daemon: Daemon, seconds: int) -> None:
        time.sleep(2)
        cpu, windows = daemon.cpu(), judged(daemon)
        for _ in range(seconds):
            time.sleep(1)
            daemon.get("/metrics")
        self.windows = judged(daemon) - windows
        self.cpu = (daemon.cpu() - cpu) * 1e3 / self.windows
        probe = Probe(daemon.folder)
        probe.start()
        began = time.perf_counter()
        time.sleep(seconds)
        probe.stop()
        self.waits = [wait for _, wait in probe.waits]
        by_second: dict[int, float] = {}
        for at, wait in probe.waits:
            second = int(at - began)
            by_second[second] = max(wait, by_second.get(second, 0))
        self.worst = list(by_second.values())
        self.memory = daemon.memory()["daemon"]
        self.sampled = quantile(daemon.metric("rollbackd_loop_block_seconds_bucket"), 0.99)


def judged(daemon: Daemon) -> int:
    (count,) = daemon.metric("rollbackd_window_lag_seconds_count").values()
    return int(count)


def quantile(buckets: dict[str, float], share: float) -> float:
    """The upper bound (ms) of the histogram's bucket in which the share lies."""
    wanted = share * max(buckets.values())
    for name, count in buckets.items():
        if count >= wanted:
            return float(name.partition('le="')[2].partition('"')[0]) * 1e3
    return float("inf")


def store(breaching: bool, windows: int) -> float:
    """Bytes a subject that the engine keeps between two windows."""
    small, large = (_kept(subjects, breaching, windows) for subjects in (10, SUBJECTS))
    return (large - small) / (SUBJECTS - 10)


def _kept(subjects: int, breaching: bool, windows: int) -> int:
    rule = Trigger(
        name="Bad",
        group="g",
        plan="api",
        category="metric",
        severity="critical",
        action="auto",
        condition=Condition("bad", Limit(">", 0.5), coverage=("newest",)),
        interval=1_000,
        windows=100,
        fingerprint="f",
        per=("cohort",),
    )
    engine = Engine()
    start = 1_700_000_000_000
    engine.advance(DaemonStarted(Config("hash", "bench", triggers=(rule,))), start)
    engine.commit()
    (watch,) = engine.soft.watches.values()
    value = "0.75" if breaching else "0.25"
    tracemalloc.start()
    for number in range(windows):
        end = start + number * 1_000
        answers = tuple(
            Series(({subject(index): "".join(text) for index in range(subjects)},))
            for text in (value, f"{end / 1000 - 0.01:.3f}")
        )
        engine.advance(Ticked(), end)
        engine.commit()
        engine.advance(WindowsAnswered(watch.key, (end,), answers, 0), end)
        engine.commit()
    del answers
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    if watch.judged != end:
        raise SystemExit("the windows were not judged")
    return kept


def run(seconds: int) -> None:
    few, many = Measured(10, max(seconds // 2, 10)), Measured(SUBJECTS, seconds)
    print(f"{SUBJECTS} subjects of one trigger, {many.windows} windows of 1 s, /metrics each second")
    figure("the daemon's CPU a window, beyond ten subjects'", many.cpu - few.cpu, "ms", "30")
    show("the loop's answer (/-/healthy every 4 ms)", many.waits, "ms", "20 p99")
    show("the longest wait of each window", many.worst, "ms")
    figure("loop_block_seconds, p99's bucket: at most", many.sampled, "ms", "20")
    print(f"  (with ten subjects: answer {median(few.waits):.2f}, p99 {p99(few.waits):.2f} ms)")
    figure("the windows' store, all well", store(False, 5), "bytes a subject", "150")
    figure("the same, all breaching for 3 windows", store(True, 3), "bytes a subject")
    figure("resident memory beyond ten subjects'", many.memory["Rss"] - few.memory["Rss"], "MB")
    busy()


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 21)
