"""Tests of triggers as texts, run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rollbackd.config.suites import Suite, read_instance, read_suite
from rollbackd.tuning.cases import Result, run

TRIGGERS = """
- trigger: Queue
  category: metric
  severity: high
  expr: max(queue_age_seconds)
  breach: "> 60"
  windows: 3
  plan: a
- {trigger: Again, severity: medium, cooldown: 0s, category: metric, breach: "> 60",
   expr: max(queue_age_seconds), windows: 3, plan: a}
- {trigger: Gone, severity: critical, no_data: breach, action: shadow, category: health, breach: "> 60",
   expr: max(queue_age_seconds), windows: 3, plan: a}
- {trigger: Reset, severity: medium, no_data: reset, category: metric, breach: "> 60",
   expr: max(queue_age_seconds), windows: 3, plan: a}
- trigger: Errors
  category: metric
  severity: critical
  ratio:
    errors: sum by (cohort) (rate(requests_total{code=~"5.."}[1m]))
    total: sum by (cohort) (rate(requests_total[1m]))
    min_total: 5
  breach: "> 0.01"
  windows: 8
  per: [cohort]
  plan: a
- {trigger: Ratio, severity: medium, category: metric, ratio: {errors: sum(errors), total: sum(total)},
   breach: "> 0", windows: 2, plan: a}
- trigger: Both
  category: metric
  severity: medium
  all:
    - {expr: max(queue_age_seconds), breach: "> 60"}
    - {ratio: {errors: sum(e), total: sum(t)}, breach: "> 0.5"}
  windows: 3
  plan: a
- {trigger: Bare, severity: medium, category: metric, expr: m, breach: "> 60", windows: 2, plan: a}
- trigger: Hour
  category: business
  severity: medium
  expr: hour() + 10 * day_of_week() + 0 * max(m)
  breach: "!= 40"
  windows: 1
  plan: a
- trigger: Past
  category: business
  severity: medium
  expr: count(max_over_time(m[30d] offset 1w) or max_over_time(m[1m] offset -1w)) + 0 * max(m)
  breach: "> 0"
  coverage: []
  windows: 1
  plan: a
"""


def suite(folder: Path, tests: str, config: str = "") -> Suite:
    """`tests`: the file's list."""
    listed = "".join(f"      {line}\n" for line in TRIGGERS.strip().splitlines())
    (folder / "triggers.yml").write_text(
        f"version: rollbackd/v1\ngroups:\n  - name: g\n    triggers:\n{listed}"
    )
    (folder / "a.test.yml").write_text(
        f"version: rollbackd/v1\ntriggers: [triggers.yml]\ntests:\n{tests.strip()}\n"
    )
    main = folder / "rollbackd.yml"
    main.write_text(f"version: rollbackd/v1\ninstance: a\nprometheus: {{urls: [http://a:9090]}}\n{config}")
    made = read_suite(folder / "a.test.yml", "a.test.yml", read_instance(main))
    assert [str(problem) for problem in made.problems() if problem.severity == "error"] == []
    return made


def results(folder: Path, tests: str, config: str = "") -> list[Result]:
    made = suite(folder, tests, config)
    return run(made.cases, read_instance(folder / "rollbackd.yml"))


def told(found: Sequence[Result]) -> list[str]:
    """What is not as expected, as `name: key: what`."""
    return [f"{one.case.name}: {each.key}: {each.what}" for one in found for each in one.mismatches]
