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
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean, median

import peers
from contest import ALONE, BAD, OURS, ROUTES, RULE_GROUPS, SHIPPED, STOPPED, TARGETS, Bench, Found, run
from picture import line_chart
from rig import busy, figure, p99, show

from rollbackd.core.state import Alignment, Firing

SELDOM = 5  # seconds between scrapes


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
    grace = Alignment(interval, 0, 0, TARGETS).grace if bench.align == "auto" else 0
    for name, firing in found.firings.items():
        partial += not _covered(found.samples[name], firing, interval, grace)
        if name not in found.began:
            continue
        after = firing.end - found.decisive(name)
        early += after < -grace
        missed += interval / 2 < after < interval
        late += after >= interval
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


def _covered(samples: Sequence[tuple[int, bool]], firing: Firing, interval: int, grace: int) -> bool:
    """Whether each breach it fired on rests on a bad sample inside its own window (W1, W14)."""
    for seen in firing.windows:
        inside = [bad for at, bad in samples if seen.end - interval < at - grace <= seen.end]
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


if __name__ == "__main__":
    main()
