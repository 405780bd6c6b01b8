"""How what is watched grows, beside Prometheus' own rule manager.

python bench/bench_scale.py [MOST] [WINDOWS]

The same expressions over the same series, each interval: a real Prometheus that scrapes every subject
evaluates them as alerting rules, then answers rollbackd, which has them as triggers. Compared is CPU for a
tick, beyond the scrapes: of Prometheus with its rules; of rollbackd, and of Prometheus answering it.

    one for all   `sum by (service) (rate(x[1m])) > 1000`
    one each      `sum(rate(x{service="s17"}[1m])) > 1000`, and so on

Draws `bench/pictures/scale.svg`.
"""

from __future__ import annotations

import http.client
import http.server
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from picture import line_chart
from rig import Daemon, busy, running, trigger, write

PICTURE = Path(__file__).parent / "pictures" / "scale.svg"


class Cost(NamedTuple):
    """ms of CPU a tick, of Prometheus beyond its scrapes; `took`: how long its rules took, as it says."""

    server: float
    daemon: float = 0.0
    took: float = 0.0

    @property
    def both(self) -> float:
        return self.server + self.daemon


class Exporter(http.server.BaseHTTPRequestHandler):
    """Counters of so many services; each grows by one a second."""

    services = 0

    def do_GET(self) -> None:
        now = int(time.time())
        lines = [f'x{{service="s{number}"}} {now}\n' for number in range(self.services)]
        body = "".join(lines).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Not a word."""


@contextmanager
def exporter(services: int) -> Iterator[str]:
    handler = type("Services", (Exporter,), {"services": services})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="exporter", daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(10)


class Prometheus:
    """A real one, whose rules can be changed; ended by its pid."""

    def __init__(self, folder: Path, target: str, interval: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._rules = folder / "rules.yml"
        self._interval = interval
        self._write([])
        document = {
            "global": {"scrape_interval": f"{interval}s"},
            "rule_files": [str(self._rules)],
            "scrape_configs": [{"job_name": "x", "static_configs": [{"targets": [target]}]}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(document))
        command = [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--log.level=error",
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def _write(self, rules: Sequence[str]) -> None:
        named = [{"alert": f"A{number}", "expr": expr, "for": "1h"} for number, expr in enumerate(rules)]
        groups = [{"name": "g", "interval": f"{self._interval}s", "rules": named}] if named else []
        self._rules.write_text(json.dumps({"groups": groups}))

    def evaluate(self, rules: Sequence[str]) -> None:
        """From now on these rules, each interval; returns when they have been evaluated."""
        self._write(rules)
        self._process.send_signal(signal.SIGHUP)
        _await(lambda: bool(self.took()) == bool(rules), "rules")

    def _get(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def has_rate(self) -> bool:
        """Two scrapes: `rate` has a value."""
        try:
            return bool(json.loads(self._get("/api/v1/query?query=count(rate(x[1m]))"))["data"]["result"])
        except (OSError, ValueError, KeyError):
            return False

    def took(self) -> float:
        """ms that the last evaluation of the rules took."""
        name = "prometheus_rule_group_last_duration_seconds"
        lines = (line for line in self._get("/metrics").splitlines() if line.startswith(name))
        return sum(float(line.rpartition(" ")[2]) for line in lines) * 1e3

    def cpu(self) -> float:
        return cpu(self._process.pid)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


def cpu(pid: int) -> float:
    """ms that all its threads have run."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[0]) for file in files) / 1e6


def _await(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"no {what} within two minutes")
        time.sleep(0.5)


@contextmanager
def prometheus(folder: Path, target: str, interval: int) -> Iterator[Prometheus]:
    server = Prometheus(folder, target, interval)
    try:
        _await(server.has_rate, "samples")
        yield server
    finally:
        server.stop()


class Measured:
    """One count of subjects, all ways, one after the other on one server."""

    def __init__(self, folder: Path, count: int, windows: int) -> None:
        self._folder, self._count, self._windows = folder, count, windows
        self.interval = 5 if count > 1_000 else 2
        whole = "sum by (service) (rate(x[1m]))"
        each = [f'sum(rate(x{{service="s{number}"}}[1m]))' for number in range(count)]
        grouped = [_trigger("Bad", whole, per=["service"])]
        single = [_trigger(f"T{number}", expr) for number, expr in enumerate(each)]
        with exporter(count) as target, prometheus(folder, target, self.interval) as server:
            self._server = server
            self._idle = self._spent()
            self.rule = self._of_rules([f"{whole} > 1000"])
            self.rules = self._of_rules([f"{expr} > 1000" for expr in each])
            server.evaluate([])
            self.one = self._of_triggers(grouped)
            self.triggers = self._of_triggers(single)

    def _spent(self, daemon: Daemon | None = None) -> Cost:
        server, ours = self._server.cpu(), cpu(daemon.pid) if daemon else 0.0
        time.sleep(self._windows * self.interval)
        server, ours = self._server.cpu() - server, (cpu(daemon.pid) if daemon else 0.0) - ours
        return Cost(server / self._windows, ours / self._windows)

    def _beyond_idle(self, cost: Cost, took: float = 0.0) -> Cost:
        return Cost(max(cost.server - self._idle.server, 0.5), cost.daemon, took)

    def _of_rules(self, rules: Sequence[str]) -> Cost:
        self._server.evaluate(rules)
        return self._beyond_idle(self._spent(), self._server.took())

    def _of_triggers(self, triggers: list[dict[str, Any]]) -> Cost:
        groups = [{"name": "g", "interval": f"{self.interval}s", "triggers": triggers}]
        shutil.rmtree(self._folder / "state", ignore_errors=True)
        with running(write(self._folder, self._server.url, groups, ["api"])) as daemon:
            _await(lambda: _judged_ok(daemon) >= 3 * self._count, "third window")
            return self._beyond_idle(self._spent(daemon))


def _judged_ok(daemon: Daemon) -> float:
    """How often a subject was ok. The first windows cost more: the journal keeps that they were seen."""
    return sum(daemon.metric('rollbackd_windows_evaluated_total{group="g",verdict="ok"').values())


def _trigger(name: str, expr: str, **changes: Any) -> dict[str, Any]:
    return trigger(name, expr, "api", windows=3, breach="> 1000", **changes)


def report(count: int, found: Measured) -> None:
    print(f"{count} subjects, each {found.interval} s; CPU a tick, ms")
    print(f"  {'':28} {'Prometheus':>10} {'rollbackd':>10} {'both':>8}")
    rows = {
        "one rule for all": found.rule,
        "one trigger for all": found.one,
        f"{count} rules": found.rules,
        f"{count} triggers": found.triggers,
    }
    for name, cost in rows.items():
        took = f"   (evaluated in {cost.took:.1f} ms)" if cost.took else ""
        print(f"  {name:28} {cost.server:10.1f} {cost.daemon:10.1f} {cost.both:8.1f}{took}")
    one, each = found.rule.server / found.one.daemon, found.rules.both / found.triggers.both
    print(f"  the one rule / the one trigger's daemon      {one:6.1f}   (aim 20)")
    print(f"  the rules / the triggers, server and daemon  {each:6.1f}   (aim 7)")
    one, each = found.rule.took / found.one.daemon, found.rules.took / found.triggers.both
    print(f"  the same by how long the rules took          {one:6.1f}   {each:6.1f}")


def draw(found: dict[int, Measured]) -> None:
    def line(value: Callable[[Measured], float]) -> list[tuple[float, float]]:
        return [(count, value(each)) for count, each in found.items()]

    lines = {
        "Prometheus, a rule each": line(lambda each: each.rules.both),
        "Prometheus, one rule for all": line(lambda each: each.rule.both),
        "rollbackd, a trigger each": line(lambda each: each.triggers.both),
        "its daemon alone": line(lambda each: each.triggers.daemon),
        "rollbackd, one trigger for all": line(lambda each: each.one.both),
        "the daemon alone": line(lambda each: each.one.daemon),
    }
    title = "CPU of a tick; rollbackd with the Prometheus that answers it"
    line_chart(PICTURE, title, "subjects", "ms of CPU", lines)
    print(f"drawn: bench/pictures/{PICTURE.name}")


def run(most: int, windows: int) -> None:
    if shutil.which("prometheus") is None:
        print("Prometheus is not installed: nothing to compare with")
        return
    found = {}
    for count in (100, 1_000, 10_000):
        if count <= most:
            with tempfile.TemporaryDirectory() as place:
                found[count] = Measured(Path(place), count, windows)
            report(count, found[count])
    draw(found)
    busy()


if __name__ == "__main__":
    arguments = [int(each) for each in sys.argv[1:]]
    run(*(arguments + [10_000, 3][len(arguments) :]))
