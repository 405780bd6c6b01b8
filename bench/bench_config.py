"""How long 1,000 triggers and 50 plans take to load: `python bench/bench_config.py [RUNS]`.

Prints medians: reading YAML with positions, validating it (pydantic and PromQL), and the rest (resolving, the
checks between files, hashing the plans' folders); then how long a check takes, its lints included.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from rollbackd.config import examine, load
from rollbackd.config.bundle import gather
from rollbackd.config.lints.tree import tree
from rollbackd.config.models.plans import PlanModel
from rollbackd.config.promql import analyse, parsed
from rollbackd.config.triggers import read_triggers
from rollbackd.config.validate import validate

FILES, EACH, PLANS = 20, 50, 50

TRIGGER = """\
      - trigger: Trigger{n}
        category: metric
        severity: high
        ratio:
          errors: 'sum by (cohort) (rate(http_requests_total{{service="s{n}",code=~"5.."}}[1m]))'
          total: 'sum by (cohort) (rate(http_requests_total{{service="s{n}"}}[1m]))'
          min_total: 5
        breach: "> 0.01"
        for: 2m
        per: [cohort]
        initial_delay: 3m
        plan: plan{plan}
        labels: {{team: payments}}
        annotations: {{summary: "Errors of s{n}", runbook_url: "https://runbooks.example/s{n}"}}
"""
PLAN = """\
version: rollbackd/v1
plan: plan{n}
owner: oncall
level: 2
services: [s{n}]
summary: Back to the previous version
phases:
  - phase: revert
    steps:
      - {{step: go, run: [./go.sh], timeout: 1m}}
verification:
  - {{check: errors, expr: 'sum(rate(http_requests_total{{code="500"}}[1m]))', pass: "< 1"}}
"""
MAIN = """\
version: rollbackd/v1
instance: bench
prometheus: {urls: ["http://127.0.0.1:9090"]}
receivers:
  - {name: hook, webhook: {url: "http://127.0.0.1:9999/hook"}}
"""


def write(folder: Path) -> Path:
    (folder / "triggers").mkdir()
    for file in range(FILES):
        triggers = "".join(
            TRIGGER.format(n=file * EACH + each, plan=(file * EACH + each) % PLANS) for each in range(EACH)
        )
        head = f"version: rollbackd/v1\ngroups:\n  - name: group{file}\n    triggers:\n"
        (folder / "triggers" / f"t{file}.yml").write_text(head + triggers)
    for number in range(PLANS):
        plan = folder / "plans" / f"plan{number}"
        plan.mkdir(parents=True)
        (plan / "plan.yml").write_text(PLAN.format(n=number))
        (plan / "go.sh").write_text("#!/bin/sh\n")
        (plan / "go.sh").chmod(0o755)
    tests = "".join(f"  - {{trigger: Trigger{number}}}\n" for number in range(FILES * EACH))
    (folder / "triggers" / "all.test.yml").write_text(f"tests:\n{tests}")
    main = folder / "rollbackd.yml"
    main.write_text(MAIN)
    return main


def forget() -> None:
    for cached in (analyse, parsed, tree):
        cached.cache_clear()


def once(main: Path) -> tuple[float, float, float, float]:
    """(reading, validating, all of it, a check with lints), in ms; nothing cached."""
    forget()
    began = time.perf_counter()
    bundle = gather(main, str(main))
    reading = time.perf_counter() - began
    began = time.perf_counter()
    for document in bundle.trigger_files:
        read_triggers(document)
    for document in bundle.plan_files:
        validate(PlanModel, document, document.data)
    validating = time.perf_counter() - began
    forget()
    began = time.perf_counter()
    loaded = load(main)
    total = time.perf_counter() - began
    if len(loaded.core.triggers) != FILES * EACH:
        raise SystemExit("not every trigger was loaded")
    forget()
    began = time.perf_counter()
    if examine([main], datetime.now(UTC).date()).problems:
        raise SystemExit("the lints have something against it")
    checking = time.perf_counter() - began
    return reading * 1000, validating * 1000, total * 1000, checking * 1000


def run(runs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        main = write(Path(folder))
        reading, validating, total, checking = (
            statistics.median(each) for each in zip(*(once(main) for _ in range(runs)), strict=True)
        )
    rest = total - reading - validating
    print(f"{FILES * EACH} triggers, {PLANS} plans, median of {runs}: {total:.0f} ms")
    for name, part in (("read YAML", reading), ("validate", validating), ("resolve and compare", rest)):
        print(f"  {name:20} {part:5.0f} ms  {part / total:4.0%}")
    print(f"checked, lints included: {checking:.0f} ms")


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
