"""The contest that `bench_breach.py` reports on: who takes part, and how a run goes."""

from __future__ import annotations

import json
import random
import shlex
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import peers
from exporter import Exporter
from rig import Daemon, running, trigger, write

from rollbackd.core import events as e
from rollbackd.core.state import Firing
from rollbackd.journal.sqlite import SqliteJournal
from rollbackd.journal.statedir import read_uuid

TARGETS, RULE_GROUPS, FLAPPING, BAD = 10, 20, 20, 3
OURS, ALONE, SHIPPED = "rollbackd", "rules + Alertmanager", "… as shipped"
ROUTES = {
    ALONE: {"group_by": ["..."], "group_wait": "0s"},
    SHIPPED: {"group_by": ["alertname", "cluster", "service"], "group_wait": "30s", "group_interval": "5m"},
}
BREACHES_WITHIN = 45  # seconds, about: over how long the cohorts turn bad
GROUP_WAIT = 30

STOPPED = threading.Event()


@dataclass(frozen=True)
class Bench:
    """One run. `align`: of rollbackd's groups; a number of ms is counted from the target's scrapes."""

    scrape: int
    cohorts: int
    align: str
    folder: Path

    @property
    def names(self) -> list[str]:
        return [f"c{number:03d}" for number in range(self.cohorts)]

    @property
    def flapping(self) -> list[str]:
        return [f"f{number:03d}" for number in range(FLAPPING)]

    @property
    def everyone(self) -> list[str]:
        return self.names + self.flapping

    def target(self, name: str) -> int:
        return int(name[1:]) % TARGETS

    def rules(self, name: str) -> int:
        """Its rule group: every pair of a target's and a rule group's phases is met."""
        return int(name[1:]) // TARGETS % RULE_GROUPS

    @property
    def scrapes(self) -> int:
        """Over how many scrapes the breaches are spread."""
        return max(3, BREACHES_WITHIN // self.scrape)

    def begins(self, first: float) -> dict[str, float]:
        """When each cohort turns bad (s): phases evenly over the interval, in a fixed random order."""
        dice = random.Random(self.scrape)
        phases = [(number + dice.random()) / self.cohorts for number in range(self.cohorts)]
        dice.shuffle(phases)
        return {
            name: first + (index * self.scrapes // self.cohorts + phases[index]) * self.scrape
            for index, name in enumerate(self.names)
        }

    def marks(self, contender: str) -> Path:
        return self.folder / "marks" / str([OURS, *ROUTES].index(contender))


@dataclass
class Found:
    """What there is to report, once all is over. Moments in ms, by the one clock of the machine."""

    began: dict[str, float]
    samples: dict[str, list[tuple[int, bool]]]  # cohort → (time, bad) of every raw sample
    ran: dict[str, dict[str, list[float]]]  # contender → cohort → its script's starts
    served: dict[str, list[float]]  # cohort → when its target had answered a scrape
    stamps: dict[str, dict[str, float]]  # cohort → event → when it was handed to the journal
    firings: dict[str, Firing]
    answers: dict[int, list[tuple[str, float, float]]]  # a window's end → query, began, answered
    aligned: int  # groups
    cpu: float
    metrics: dict[str, float]

    def decisive(self, name: str) -> int:
        """The time of the third bad sample in a row."""
        return [at for at, bad in self.samples[name] if bad][BAD - 1]


# The contenders


def run(bench: Bench) -> Found:
    (bench.folder / "rules").mkdir()
    for contender in (OURS, *ROUTES):
        bench.marks(contender).mkdir(parents=True)
    targets = {name: bench.target(name) for name in bench.everyone}
    labels = {name: {"service": name, "rules": f"r{bench.rules(name)}"} for name in bench.everyone}
    with (
        Exporter(targets, labels, frozenset(bench.flapping), BAD - 1) as exporter,
        contest(bench, exporter.address) as url,
    ):
        main = configure(bench, url, exporter.address, phases(bench, url))
        with running(main) as daemon:
            aligned = settle(bench, daemon)
            exporter.begins = bench.begins(time.time() + 2)
            cpu, since = daemon.cpu(), time.monotonic()
            await_marks(bench, max(exporter.begins.values()))
            share = (daemon.cpu() - cpu) / (time.monotonic() - since)
            metrics = daemon.metric("rollbackd_")
        samples = {name: raw_samples(url, name) for name in bench.everyone}
    stamps, firings = journalled(bench.folder / "state")
    return Found(
        began={name: at * 1e3 for name, at in exporter.begins.items()},
        samples=samples,
        ran={contender: marks(bench.marks(contender)) for contender in (OURS, *ROUTES)},
        served={name: [at * 1e3 for at in exporter.served[targets[name]]] for name in bench.everyone},
        stamps=stamps,
        firings=firings,
        answers=query_log(bench.folder / "queries.log"),
        aligned=aligned,
        cpu=share,
        metrics=metrics,
    )


@contextmanager
def contest(bench: Bench, exporter: str) -> Iterator[str]:
    """Prometheus' URL, with its rules, both Alertmanagers and the script runner behind it."""
    scripts = {name: script(bench, name, f"hook{index}.sh") for index, name in enumerate(ROUTES)}
    with ExitStack() as stack:
        hooks = {f"hook{index}": scripts[name] for index, name in enumerate(ROUTES)}
        hook = stack.enter_context(peers.webhook(bench.folder, hooks, "alerts.0.labels.service"))
        managers = [
            stack.enter_context(
                peers.alertmanager(bench.folder, f"alertmanager{index}", route, f"{hook}/hook{index}")
            )
            for index, route in enumerate(ROUTES.values())
        ]
        yield stack.enter_context(
            peers.prometheus(bench.folder, prometheus_config(bench, exporter, managers))
        )


def script(bench: Bench, contender: str, name: str) -> Path:
    path = bench.folder / name
    path.write_text(mark(bench.marks(contender), "$1"))
    path.chmod(0o755)
    return path


def mark(folder: Path, name: str) -> str:
    """A script whose first act is to note the time."""
    return f'#!/bin/bash\nprintf "%s\\n" "$EPOCHREALTIME" >> {shlex.quote(str(folder))}/"{name}"\n'


def prometheus_config(bench: Bench, exporter: str, managers: Sequence[str]) -> dict[str, Any]:
    each = f"{bench.scrape}s"
    groups = [
        {
            "name": f"breaches-{number}",
            "rules": [
                {
                    "alert": "Bad",
                    "expr": f'bad{{rules="r{number}"}} > 0.5',
                    "for": f"{(BAD - 1) * bench.scrape}s",
                }
            ],
        }
        for number in range(RULE_GROUPS)
    ]
    (bench.folder / "rules/bad.yml").write_text(json.dumps({"groups": groups}))
    return {
        "global": {
            "scrape_interval": each,
            "scrape_timeout": each,
            "evaluation_interval": each,
            "query_log_file": str(bench.folder / "queries.log"),
        },
        "rule_files": ["rules/bad.yml"],
        "scrape_configs": [
            {
                "job_name": f"target{number}",
                "metrics_path": f"/metrics/{number}",
                "static_configs": [{"targets": [exporter]}],
            }
            for number in range(TARGETS)
        ],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(managers)}]}]},
    }


def configure(bench: Bench, url: str, exporter: str, phase: Mapping[int, int]) -> Path:
    """rollbackd's: a group for each target, as their scrapes have phases of their own."""

    def align(target: int) -> str:
        if not bench.align.isdigit():
            return bench.align
        return f"{(phase[target] + int(bench.align)) % (bench.scrape * 1000)}ms"

    groups = [
        {
            "name": f"target{target}",
            "interval": f"{bench.scrape}s",
            "align": align(target),
            "triggers": [
                trigger(f"Bad-{name}", f'max(bad{{target="{target}",service="{name}"}})', name, windows=BAD)
                for name in bench.everyone
                if bench.target(name) == target
            ],
        }
        for target in range(TARGETS)
    ]
    # Lives stay open until the end: what proves a rollback is another matter.
    return write(
        bench.folder,
        url,
        groups,
        bench.everyone,
        mark(bench.marks(OURS), "$ROLLBACK_PLAN"),
        hook=f"http://{exporter}/hook",
        plan={"settle": "10m"},
    )


# The run


def phases(bench: Bench, url: str) -> dict[int, int]:
    """Target → when within the interval it is scraped (ms), once Prometheus has scraped all."""
    deadline = time.monotonic() + 4 * bench.scrape + 20
    query = "max by (target) (timestamp(bad))"
    while time.monotonic() < deadline:
        found = peers.fetch(f"{url}/api/v1/query", query=query)["data"]["result"]
        if len(found) == TARGETS:
            moments = {each["metric"]["target"]: float(each["value"][1]) for each in found}
            return {int(target): round(at * 1000) % (bench.scrape * 1000) for target, at in moments.items()}
        pause(0.2)
    raise SystemExit("Prometheus has not scraped its targets")


def settle(bench: Bench, daemon: Daemon) -> int:
    """Until every group judges windows, and has learned where they end; how many have. One that has not
    after sixteen windows is not waited for: it ends them at whole multiples of the interval."""
    since = time.monotonic()
    while (passed := time.monotonic() - since) < 20 + 16 * bench.scrape:
        aligned = sum(daemon.metric("rollbackd_group_aligned").values())
        if aligned == TARGETS or (bench.align != "auto" and passed > 5 + 4 * bench.scrape):
            break
        pause(0.2)
    pause(2 * bench.scrape)  # the first windows that end there
    return int(sum(daemon.metric("rollbackd_group_aligned").values()))


def await_marks(bench: Bench, last: float) -> None:
    """Until everybody's scripts have run, or it is out of the question that more will."""
    deadline = last + (BAD + 2) * bench.scrape + GROUP_WAIT + 5
    while time.time() < deadline:
        if all(
            len(list(bench.marks(contender).glob("c*"))) == bench.cohorts for contender in (OURS, *ROUTES)
        ):
            break
        pause(0.5)
    pause(1)


def marks(folder: Path) -> dict[str, list[float]]:
    return {
        path.name: [float(line) * 1e3 for line in path.read_text().splitlines()] for path in folder.iterdir()
    }


def raw_samples(url: str, name: str) -> list[tuple[int, bool]]:
    query = f'bad{{service="{name}"}}[1h]'
    (series,) = peers.fetch(f"{url}/api/v1/query", query=query)["data"]["result"]
    return [(round(at * 1000), float(value) > 0.5) for at, value in series["values"]]


def journalled(state: Path) -> tuple[dict[str, dict[str, float]], dict[str, Firing]]:
    """Per plan: event → when it was handed to the journal (ms, wall clock); and what it fired on."""
    journal = SqliteJournal(state / "journal.db", origin=read_uuid(state), code="bench")
    stamps: dict[str, dict[str, float]] = {}
    firings: dict[str, Firing] = {}
    for row in journal.replay():
        if isinstance(row.event, e.LifeEvent):
            plan = row.event.life.rpartition("-")[0]
            stamps.setdefault(plan, {}).setdefault(row.kind, row.stamp.wall)
            if isinstance(row.event, e.LifeOpened):
                firings.setdefault(plan, row.event.firings[0])
    journal.close()
    return stamps, firings


def query_log(path: Path) -> dict[int, list[tuple[str, float, float]]]:
    """Prometheus' own: a window's end → query, began and answered (ms) of each that was asked of it."""
    answers: dict[int, list[tuple[str, float, float]]] = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if "httpRequest" not in row:
            continue
        answered = _moment(row["ts"])
        began = answered - row["stats"]["timings"]["execTotalTime"] * 1e3
        end = round(_moment(row["params"]["start"]))  # late samples are looked for after it
        answers.setdefault(end, []).append((row["params"]["query"], began, answered))
    return answers


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() * 1e3


def pause(seconds: float) -> None:
    if STOPPED.wait(seconds):
        raise SystemExit("stopped")
