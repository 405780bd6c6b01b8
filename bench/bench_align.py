"""How far behind the decisive sample a rollback is decided: `python bench/bench_align.py [COUNT]`.

A real Prometheus scrapes each of two dozen services at its own phase, at 1 s and then at 5 s; a group of one
trigger watches each, with `align: auto` or `align: 0s`. They breach one after the other, at random within
the scrape interval. Lag: from the timestamp of the sample that made the streak complete to the moment at
which the decision was handed to the journal.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench_latency import journalled
from rig import Daemon, busy, running, show, trigger, write

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.servers import Exporter, Prometheus, fetch, wait_for

SERVICES = 24
WINDOWS = 2


def groups(seconds: int, align: str) -> list[dict[str, Any]]:
    head = {"interval": f"{seconds}s", "align": align}
    return [
        {
            "name": f"g{n}",
            **head,
            "triggers": [
                trigger(f"T{n}", f'max(bad{{n="{n}"}})', f"plan{n}", windows=WINDOWS, action="shadow")
            ],
        }
        for n in range(SERVICES)
    ]


def aligned(daemon: Daemon) -> bool:
    metric = daemon.metric("rollbackd_group_aligned")
    return len(metric) == SERVICES and all(metric.values())


class Scene:
    """Services that a Prometheus scrapes every so many seconds."""

    def __init__(self, folder: Path, seconds: int, stack: ExitStack) -> None:
        self.folder = folder
        self.seconds = seconds
        self.services = [stack.enter_context(Exporter()) for _ in range(SERVICES)]
        targets = [service.target for service in self.services]
        self.prometheus = Prometheus(folder / "prometheus", f"{seconds}s", targets)
        stack.callback(self.prometheus.stop)
        self.prometheus.start()
        wait_for(lambda: len(self.prometheus.query("up == 1")) == SERVICES, 30, "scrapes")

    def all(self, value: int, within: float) -> None:
        for n, service in enumerate(self.services):
            time.sleep(random.uniform(0, within) / SERVICES)
            service.set("bad", value, n=str(n))

    def lags(self, name: str, align: str) -> list[float]:
        """One breach of each service, in a daemon of its own (ms)."""
        folder = self.folder / name
        folder.mkdir()
        self.all(0, 0)
        time.sleep(2 * self.seconds + 1)
        main = write(
            folder, self.prometheus.url, groups(self.seconds, align), [f"plan{n}" for n in range(SERVICES)]
        )
        with running(main) as daemon:
            if align == "auto":
                wait_for(lambda: aligned(daemon), 30 * self.seconds + 60, "alignments")
            time.sleep(2 * self.seconds)
            self.all(1, self.seconds)
            time.sleep((WINDOWS + 3) * self.seconds)
        rows = journalled(folder / "state")
        return [(row["life_opened"] - self.decisive(plan)) * 1e3 for plan, row in rows.items()]

    def decisive(self, plan: str) -> float:
        """The time of the `WINDOWS`-th sample that breaches (s)."""
        query = {"query": f'bad{{n="{plan.removeprefix("plan")}"}}[{(WINDOWS + 9) * self.seconds}s]'}
        (series,) = fetch(f"{self.prometheus.url}/api/v1/query", query)["data"]["result"]
        samples = [(float(at), float(value)) for at, value in series["values"]]
        well = max(at for at, value in samples if value == 0)  # older breaches are another round's
        return [at for at, _ in samples if at > well][WINDOWS - 1]


def run(rounds: int) -> None:
    for seconds in (1, 5):
        lags: dict[str, list[float]] = {"auto": [], "0s": []}
        with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
            scene = Scene(Path(place), seconds, stack)
            for number in range(rounds):
                for align, found in lags.items():
                    found += scene.lags(f"{align}-{number}", align)
        print(f"{SERVICES} services scraped every {seconds} s; {rounds} breaches of each")
        for align, found in lags.items():
            show(f"align: {align}: decisive sample → decided", found, "ms")
    busy()


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
