"""What the run's Prometheus answers is what promtool evaluates; and readings go as the same in series."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.tuning.suite import results, suite, told

from rollbackd.config.suites import read_instance
from rollbackd.tuning.evaluation import Answered, asked

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="prometheus is not installed: apt-get install prometheus"
)

WINDOWS = 24
ERRORS = 'sum by (cohort) (rate(requests_total{code=~"5.."}[1m]))'
TOTAL = "sum by (cohort) (rate(requests_total[1m]))"
SERIES = {
    'requests_total{code="500",cohort="a"}': "0+0.1x9 _x3 7 stale 3+1x20",
    'requests_total{code="200",cohort="a"}': "5+10x5 0+3x40",
    'requests_total{code="200",cohort="b"}': "_x4 1+1e3x3 NaN 9 _x8 10x9",
}


def by_promtool(folder: Path, expr: str) -> list[dict[str, float]]:
    """At each window's end the values by cohort."""
    steps = [{"expr": expr, "eval_time": f"{15 * step}s"} for step in range(WINDOWS)]
    series = [{"series": name, "values": values} for name, values in SERIES.items()]
    test = {"interval": "15s", "input_series": series, "promql_expr_test": steps}
    document = {"evaluation_interval": "15s", "tests": [test]}  # it loads no sample after the last whole one
    (folder / "promtool.json").write_text(json.dumps(document))
    said = subprocess.run(
        ["promtool", "test", "rules", "promtool.json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout
    windows: list[dict[str, float]] = [{} for _ in range(WINDOWS)]
    for at, got in re.findall(r"time: (\S+),\s+exp: nil\s+got: (.*)", said):
        minutes, seconds = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", at).groups(default="0")  # type: ignore[union-attr]
        found = re.findall(r'\{cohort="(\w)"\} (\S+?)(?:, |$)', got)
        windows[(int(minutes) * 60 + int(seconds)) // 15] = {name: float(value) for name, value in found}
    return windows


def test_the_same_as_promtool(tmp_path: Path) -> None:
    listed = "".join(f"\n    - {{series: '{name}', values: {values}}}" for name, values in SERIES.items())
    case = f"- name: a\n  trigger: Errors\n  subject: {{cohort: a}}\n  input_series:{listed}\n"
    made = suite(tmp_path, case + "  expect: {streak: 0}")
    (answered,) = asked(made.cases, read_instance(None))
    assert isinstance(answered, Answered)
    queries = [query.expr for query in answered.history.queries]
    for expr in (ERRORS, TOTAL):
        columns = answered.history.columns[queries.index(expr)]
        ours = [
            {cohort: column.values[window] for cohort, column in columns.items() if column.there[window]}
            for window in range(WINDOWS)
        ]
        # Sums of several series are not in the same order each time.
        assert ours == [
            pytest.approx(window, rel=1e-12, nan_ok=True) for window in by_promtool(tmp_path, expr)
        ]
        assert sum(map(len, ours)) > 20


def test_readings_go_as_the_same_in_series(tmp_path: Path) -> None:
    """What is absent is stale at once; a sample that just does not come would be waited for (W14)."""
    chance = random.Random(4711)
    tests, expected = "", []
    for number in range(60):
        words = [chance.choice(["1", "99", "99", "99", "_", "NaN"]) for _ in range(20)]
        trigger = chance.choice(["Queue", "Again", "Gone", "Reset"])
        head = f"trigger: {trigger}, expect: {{fires: [1], verdicts: unknownx20, streak: 99}}"
        tests += f"- {{name: r{number}, readings: {' '.join(words)}, {head}}}\n"
        values = " ".join(words).replace("_", "stale")
        series = f"{{series: queue_age_seconds, values: {values}}}"
        tests += f"- {{name: s{number}, input_series: [{series}], {head}}}\n"
        expected.append(words)
    lines = told(results(tmp_path, tests))
    by_readings = [line for line in lines if line.startswith("r")]
    by_series = [line for line in lines if line.startswith("s")]
    assert len(by_readings) == 3 * len(expected)
    assert [line[1:] for line in by_series] == [line[1:] for line in by_readings]
