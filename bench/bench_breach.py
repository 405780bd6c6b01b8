"""From a breach to the script that undoes it, against what people use: `python bench/bench_breach.py`.

A real Prometheus scrapes 200 cohorts behind ten targets at 1 s, and then one at 5 s beside another at 15 s.
Each cohort turns bad at a moment of its own, spread evenly over the scrape interval, and three bad samples in
a row start its script:

- rollbackd, a trigger with `windows: 3` and a plan for each cohort;
- alerting rules with `for:` two intervals, in 20 groups (Prometheus gives each group a phase of its own), an
  `evaluation_interval` of one scrape, Alertmanager and Debian's `webhook`, without any grouping;
- the same through an Alertmanager with the grouping that Debian ships; each cohort is a group of its own.

*Lag* is from the decisive sample, the third bad one, to the script's own first act. Twenty more cohorts
flap, two samples bad and one good: whoever acts on one has fired falsely.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean, median
from typing import Any

import peers
from exporter import Exporter
from picture import line_chart
from rig import Daemon, busy, figure, p99, running, show, trigger, write

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
SELDOM = 5  # seconds between scrapes

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
        end = round(_moment(row["params"]["end"]))
        answers.setdefault(end, []).append((row["params"]["query"], began, answered))
    return answers


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() * 1e3


# The report


def report(bench: Bench, found: Found) -> dict[str, list[float]]:
    """Print one run; the lags of each contender (ms)."""
    print(
        f"scrape and evaluation each {bench.scrape} s: {bench.cohorts} cohorts, {BAD} bad samples, "
        f"{RULE_GROUPS} rule groups, {TARGETS} targets, align {bench.align}"
    )
    lags = {name: _lags(found, name) for name in (OURS, *ROUTES)}
    for name, lag in lags.items():
        _report_contender(bench, found, name, lag, lags)
    _report_parts(bench, found)
    _report_judgement(bench, found)
    busy()
    return lags


def _lags(found: Found, contender: str) -> list[float]:
    ran = found.ran[contender]
    return [ran[name][0] - found.decisive(name) for name in found.began if name in ran]


def _report_contender(
    bench: Bench, found: Found, name: str, lag: list[float], lags: Mapping[str, list[float]]
) -> None:
    print(f"  {name}: {len(lag)} scripts")
    if not lag:
        return
    ran = found.ran[name]
    totals = [(ran[each][0] - found.began[each]) / 1e3 for each in found.began if each in ran]
    limits = [(found.decisive(each) - found.began[each]) / 1e3 for each in found.began if each in ran]
    aim = ""
    if name == OURS and lags[ALONE]:
        aim = f"{median(lags[ALONE]) / 100:.1f} median, {p99(lags[ALONE]) / 50:.1f} p99"
    show("  lag behind the decisive sample", lag, "ms", aim)
    if name != OURS and lags[OURS]:
        ratios = median(lag) / median(lags[OURS]), p99(lag) / p99(lags[OURS])
        print(f"    {'times rollbackd':<42} median {ratios[0]:8.0f}   p99 {ratios[1]:8.0f}")
    show("  breach → script", totals, "s")
    over = (fmean(totals) / fmean(limits) - 1) * 100
    figure("  mean, over the limit", over, "%", "1" if name == OURS else "")
    limit = bench.scrape / 2 + (BAD - 1) * bench.scrape
    figure("  the limit: the sample's own mean delay", fmean(limits), f"s ({limit:g} on paper)")


def _report_parts(bench: Bench, found: Found) -> None:
    """Where rollbackd's milliseconds go. The journal's times and the query log's are whole ms."""
    parts: dict[str, list[float]] = {}

    def part(name: str, value: float) -> None:
        parts.setdefault(name, []).append(value)

    again = 0
    for name, firing in found.firings.items():
        if name not in found.began or name not in found.ran[OURS]:
            continue
        decisive, ran, stamps = found.decisive(name), found.ran[OURS][name][0], found.stamps[name]
        asked = [each for each in found.answers.get(firing.end, []) if each[2] <= stamps["life_opened"] + 1]
        if not asked:
            continue
        again += len({query for query, _, _ in asked}) < len(asked)
        served = min(at for at in found.served[name] if at >= decisive - 1)
        first, last = min(began for _, began, _ in asked), max(answered for _, _, answered in asked)
        part("sample → the exporter has answered", served - decisive)
        part("→ the window ends (alignment)", firing.end - served)
        part("→ the first query begins", first - firing.end)
        part("→ the last answer (all of the window)", last - first)
        part("→ the decision's append", stamps["life_opened"] - last)
        part("→ the step's intent's append", stamps["step_ordered"] - stamps["life_opened"])
        part("→ the script's first act", ran - stamps["step_ordered"])
    print("  of which")
    for name, values in parts.items():
        show(f"  {name}", values, "ms")
    late = [off for name in bench.everyone[:TARGETS] for off in off_phase(bench, found.samples[name])]
    show("  a scrape, off its target's own phase", late, "ms")
    figure("  groups that had learned their alignment", found.aligned, f"of {TARGETS}")
    figure("  decided after asking a window again", again, f"of {len(found.firings)}")
    appended = found.metrics["rollbackd_journal_append_seconds_sum"]
    figure(
        "  a durable append, mean",
        appended / found.metrics["rollbackd_journal_append_seconds_count"] * 1e3,
        "ms",
    )
    figure("  the daemon's CPU", found.cpu * 100, f"% of a core ({len(bench.everyone)} triggers)")


def off_phase(bench: Bench, samples: Sequence[tuple[int, bool]]) -> list[float]:
    """How far each scrape began from where its target's usually do (ms)."""
    first, interval = samples[0][0], bench.scrape * 1000
    offsets = [(at - first + interval / 2) % interval for at, _ in samples]
    return [abs(offset - median(offsets)) for offset in offsets]


def _report_judgement(bench: Bench, found: Found) -> None:
    """What must not be: all of these are 0."""
    for contender in (OURS, *ROUTES):
        ran = found.ran[contender]
        false = sum(name in ran for name in bench.flapping)
        early = sum(ran[name][0] < found.decisive(name) for name in found.began if name in ran)
        twice = sum(len(times) > 1 for times in ran.values())
        print(f"  {contender}: false fires {false}, before the decisive sample {early}, run twice {twice}")
    for name in bench.flapping:
        if name in found.firings:
            print(f"    {name}: {_account(found.samples[name], found.firings[name])}")
    early = late = missed = partial = 0
    interval = bench.scrape * 1000
    for name, firing in found.firings.items():
        if name not in found.began:
            continue
        after = firing.end - found.decisive(name)
        early += after < 0
        missed += interval / 2 < after < interval
        late += after >= interval
        partial += not _covered(found.samples[name], firing, interval)
    figure("rollbackd: windows judged early", early, "", "0")
    figure("rollbackd: windows judged on partial coverage", partial, "", "0")
    figure("rollbackd: fired a window or more late", late, "", "0")
    figure("rollbackd: scraped just after the window ended", missed, "")
    lost = sum(
        count
        for name, count in found.metrics.items()
        if name.startswith("rollbackd_windows_evaluated_total") and 'verdict="no_data"' in name
    )
    figure("rollbackd: windows without data", lost, "")


def _account(samples: Sequence[tuple[int, bool]], firing: Firing) -> str:
    """What a fire saw and what there was, in ms from its streak's beginning."""
    seen = ", ".join(f"{window.verdict} at {window.end - firing.began}" for window in firing.windows)
    there = ", ".join(
        f"{'bad' if bad else 'good'} at {at - firing.began}"
        for at, bad in samples
        if firing.began < at <= firing.end
    )
    return f"windows {seen}; samples {there}"


def _covered(samples: Sequence[tuple[int, bool]], firing: Firing, interval: int) -> bool:
    """Whether each breach it fired on rests on a bad sample inside its own window (W14)."""
    for seen in firing.windows:
        inside = [bad for at, bad in samples if seen.end - interval < at <= seen.end]
        if seen.verdict == "breach" and not (inside and inside[-1]):
            return False
    return True


def picture(lags: Mapping[int, Mapping[str, Sequence[float]]]) -> None:
    """How many of the scripts had run how long after the decisive sample."""
    lines = {
        f"{name}, {scrape} s": quantiles(each[name])
        for name in (OURS, *ROUTES)
        for scrape, each in lags.items()
        if each[name] and (name != SHIPPED or scrape == max(lags))
    }
    line_chart(
        Path(__file__).parent / "pictures/breach.svg",
        "Decisive sample → script",
        "ms behind the sample that decides",
        "scripts that had run",
        lines,
        percent=True,
    )


def quantiles(values: Sequence[float]) -> list[tuple[float, float]]:
    found = sorted(max(value, 0.1) for value in values)
    return [(found[round(percent / 100 * (len(found) - 1))], percent) for percent in range(0, 101, 5)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scrape", default="1,5,15", help="intervals, in whole seconds")
    parser.add_argument("--cohorts", type=int, default=200)
    parser.add_argument("--align", default="auto", help="auto, 0s, or ms behind each target's scrapes")
    options = parser.parse_args()
    if absent := peers.missing():
        print(f"not run: {', '.join(absent)} is not installed (apt-get install {' '.join(absent)})")
        return
    scrapes = [int(each) for each in options.scrape.split(",")]
    lags: dict[int, dict[str, list[float]]] = {}
    with ExitStack() as places:
        benches = [
            Bench(
                scrape,
                options.cohorts,
                options.align,
                Path(places.enter_context(tempfile.TemporaryDirectory())),
            )
            for scrape in scrapes
        ]
        for batch in batches(benches):
            for bench, found in zip(batch, together(batch), strict=True):
                lags[bench.scrape] = report(bench, found)
    picture(lags)


def batches(benches: Sequence[Bench]) -> list[list[Bench]]:
    """Each second's worth of queries has the machine to itself; who asks seldom can share it."""
    quick = [[bench] for bench in benches if bench.scrape < SELDOM]
    return quick + [slow for slow in [[bench for bench in benches if bench.scrape >= SELDOM]] if slow]


def together(batch: Sequence[Bench]) -> list[Found]:
    with ThreadPoolExecutor(len(batch)) as pool:
        try:
            return list(pool.map(run, batch))
        except BaseException:
            STOPPED.set()  # the others end what they have started
            raise


def pause(seconds: float) -> None:
    if STOPPED.wait(seconds):
        raise SystemExit("stopped")


if __name__ == "__main__":
    main()
