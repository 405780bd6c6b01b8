"""Tests of triggers, run: by readings, and by series through a real Prometheus."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from tests.tuning.suite import results, suite, told

from rollbackd.config.suites import read_instance
from rollbackd.tuning import evaluation
from rollbackd.tuning.cases import Aspect, covered, run, strip_text

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed: apt-get install prometheus"
)


class Row(NamedTuple):
    """Of one trigger and its readings, what is so, to the last verdict."""

    trigger: str
    readings: str | list[str]
    verdicts: str
    fires: list[int]
    streak: int
    actions: list[str]
    seen: set[Aspect]
    traffic: str | list[str | None] | None = None


WARN = ["auto_with_warning"]

READINGS = [
    Row("Queue", "1 99x3", "ok breachx4", [4], 4, WARN, {"fires"}),
    Row("Queue", "60 61 -1e9", "ok breach ok", [], 0, [], {"recovers"}),
    Row("Queue", "NaN Inf -Inf 61", "no_datax3 breach", [], 1, [], set()),
    # W5: a gap is kept, as often as there are windows, and never counted
    Row("Queue", "99 99 _ 99", "breachx2 no_data breach", [4], 3, WARN, {"fires", "no data"}),
    Row("Queue", "99 99 _x3 99", "breachx2 no_datax3 breach", [6], 3, WARN, {"fires", "no data"}),
    Row("Queue", "99 99 _x4 99", "breachx2 no_datax4 breach", [], 1, [], {"no data"}),
    Row("Gone", "99 _ _", "breach no_datax2", [3], 3, ["auto"], {"fires", "no data"}),
    Row("Reset", "99 99 _ 99x2", "breachx2 no_data breachx3", [6], 3, ["ask"], {"fires", "no data"}),
    # W6: what could not be asked for ever
    Row("Queue", "99 99 ? 99", "breachx2 no_data breach", [4], 3, WARN, {"fires", "no data"}),
    Row("Queue", "99 99 ?x3", "breachx2 no_datax3", [], 2, [], {"no data"}),
    Row("Queue", "?x3 99x2", "no_datax3 breachx3", [6], 3, WARN, {"fires"}),
    # W2: of a ratio the quotient, and the traffic beside it
    Row("Errors", "0.02x9", "breachx10", [8], 10, ["auto"], {"fires"}),
    Row("Errors", "0.02x9", "low_trafficx5 breachx5", [], 5, [], {"low traffic"}, "4x4 5x4"),
    Row("Errors", "0.02x9", "no_datax5 breachx5", [], 5, [], set(), "_x5 5x4"),
    Row("Errors", "0 0.02x8", "ok breachx8 no_data", [9], 8, ["auto"], {"fires", "no data"}, "9x8 ?"),
    Row("Ratio", "0.5 0.5 0.5", "no_data breachx2", [3], 2, ["ask"], {"fires"}, "0 1 2"),
    # W10: of several parts one text each; the traffic may be of some
    Row("Both", ["99x4", "1 0.5 1x2"], "breach ok breachx3", [5], 3, ["ask"], {"fires", "recovers"}),
    Row("Both", ["1 99 _ 99", "_ _ 1 1"], "ok no_datax2 breach", [], 1, [], {"no data"}),
    Row("Both", ["99x2", "1 1 1"], "no_data breach no_data", [], 1, [], {"no data"}, [None, "0 9 _"]),
    # W8: disarmed until the streak ended and the cooldown is over; W13: windows count from then on
    Row("Queue", "99x5 1 99x9", "breachx6 ok breachx10", [3], 10, WARN, {"fires", "recovers"}),
    Row("Again", "99x2 1 99x2", "breachx3 ok breachx3", [3], 3, ["ask"], {"fires", "recovers"}),
    Row("Again", "99x2 1 99x3", "breachx3 ok breachx4", [3, 8], 4, ["ask"] * 2, {"fires", "recovers"}),
]


def written(number: int, row: Row, **expect: Any) -> dict[str, Any]:
    case: dict[str, Any] = {"name": f"t{number}", "trigger": row.trigger, "readings": row.readings}
    if row.traffic is not None:
        case["traffic"] = row.traffic
    if row.trigger == "Errors":
        case["subject"] = {"cohort": "canary"}
    return case | {"expect": expect}


def document(cases: list[dict[str, Any]]) -> str:
    return yaml.safe_dump(cases, width=1000)


def test_readings(tmp_path: Path) -> None:
    cases = [
        written(n, row, fires=row.fires, verdicts=row.verdicts, streak=row.streak, actions=row.actions)
        for n, row in enumerate(READINGS)
    ]
    found = results(tmp_path, document(cases))
    assert told(found) == []
    assert [one.seen for one in found] == [row.seen for row in READINGS]
    assert all(one.passed for one in found)


def planted(row: Row, key: str) -> Any:
    """What is not so."""
    match key:
        case "fires":
            return [] if row.fires else [1]
        case "streak":
            return row.streak + 1
        case "actions":
            return ["shadow"] * len(row.actions) or ["shadow"]
    words = row.verdicts.split()
    return " ".join([words[0].replace(words[0].partition("x")[0], "unknown"), *words[1:]])


def test_an_expectation_that_is_not_so_fails(tmp_path: Path) -> None:
    """Each key of each row, by itself."""
    keys = [(row, key) for row in READINGS for key in ("fires", "verdicts", "streak", "actions")]
    cases = [written(n, row, **{key: planted(row, key)}) for n, (row, key) in enumerate(keys)]
    found = results(tmp_path, document(cases))
    assert [[each.key for each in one.mismatches] for one in found] == [[key] for _, key in keys]


LONG = " ".join(["99 1"] * 20)

TOLD: list[tuple[str, str]] = [
    ("readings: 1 99x3, expect: {fires: [3]}", "fires: expected [3], got [4] (ok breachx4)"),
    ("readings: 1 99x3, expect: {fires: []}", "fires: expected [], got [4] (ok breachx4)"),
    ("readings: 1 99x3, expect: {streak: 3}", "streak: expected 3, got 4 (ok breachx4)"),
    (
        "readings: 1 99x3, expect: {verdicts: okx2 breachx3}",
        "verdicts: window 2: expected ok, got breach (expected okx2 breachx3; got ok breachx4)",
    ),
    (
        "readings: 99x3, expect: {actions: [auto]}",
        "actions: expected [auto], got [ask] (max_action is ask)",
    ),
    ("readings: 1x9, expect: {actions: [ask]}", "actions: expected [ask], got []"),
    (
        f"readings: {LONG}, expect: {{fires: [9]}}",
        f"fires: expected [9], got [] ({'breach ok ' * 8}…)",
    ),
]


def test_what_is_not_so_is_told_in_a_line(tmp_path: Path) -> None:
    cases = [f"- {{name: t{n}, trigger: Queue, {text}}}" for n, (text, _) in enumerate(TOLD)]
    found = results(tmp_path, "\n".join(cases), "max_action: ask\n")
    assert told(found) == [f"t{n}: {line}" for n, (_, line) in enumerate(TOLD)]
    assert [one.mismatches[0].line for one in found] == [n + 4 for n in range(len(TOLD))]


def test_a_strip_is_as_it_is_written() -> None:
    assert strip_text(["ok", "breach", "breach", "no_data"]) == "ok breachx2 no_data"


def test_coverage_is_what_passing_tests_show(tmp_path: Path) -> None:
    made = suite(
        tmp_path,
        """
- {name: a, trigger: Queue, readings: 99x2 1, expect: {fires: [3]}}
- {name: b, trigger: Queue, readings: 99 _ 99, expect: {fires: [3]}}
- {name: c, trigger: Errors, subject: {cohort: a}, readings: 0 1, traffic: 1 9, expect: {fires: []}}
""",
    )
    found = {each.trigger: each for each in covered(made.triggers, run(made.cases, read_instance(None)))}
    assert list(found) == list(made.triggers)
    assert (found["Queue"].tests, sorted(found["Queue"].seen)) == (2, ["fires", "recovers"])  # b fails
    assert found["Queue"].gaps == ("no data",)
    assert list(found["Errors"].seen) == ["low traffic"]
    assert found["Errors"].gaps == ("fires", "recovers", "no data")
    assert (found["Bare"].tests, found["Bare"].gaps) == (0, ("fires", "recovers", "no data"))


# Through Prometheus

SERIES = """
- name: as many values as windows, and a rate begins with the second
  trigger: Errors
  subject: {cohort: canary}
  interval: 15s
  input_series: [{series: 'requests_total{code="500",cohort="canary"}', values: 0+1000x12}]
  expect: {fires: [9], verdicts: no_data breachx12, streak: 12, actions: [auto]}
- name: of several subjects, the one that is asked for
  trigger: Errors
  subject: {cohort: stable}
  input_series: &two
    - {series: 'requests_total{code="500",cohort="canary"}', values: 0+1000x12}
    - {series: 'requests_total{code="200",cohort="canary"}', values: 0+1000x12}
    - {series: 'requests_total{code="200",cohort="stable"}', values: 0+1000x12}
  expect: {fires: [], verdicts: no_data okx12, streak: 0}
- {name: and the other, trigger: Errors, subject: {cohort: canary}, input_series: *two, expect: {fires: [9]}}
- name: nobody sees what another test wrote
  trigger: Queue
  input_series: [{series: queue_age_seconds, values: "_x3 99 _x2"}]
  expect: {verdicts: no_datax3 breach no_datax2, fires: []}
- name: W14, a sample counts in its own window alone
  trigger: Queue
  interval: 30s
  input_series: [{series: queue_age_seconds, values: 99x4}]
  expect: {verdicts: breach no_data breach no_data breach no_data breach no_data breach, fires: [5]}
- name: closer samples than windows
  trigger: Queue
  interval: 5s
  input_series: [{series: queue_age_seconds, values: 1 1 1 99x9}]
  expect: {verdicts: ok breachx4, fires: [4]}
- name: the notation is promtool's
  trigger: Queue
  input_series: [{series: queue_age_seconds, values: 60+1x2 99 stale NaN +Inf 010}]
  expect: {verdicts: ok breachx3 no_datax3 ok, fires: [4]}
- name: one series, then two, then one
  trigger: Bare
  input_series:
    - {series: 'm{a="1"}', values: 99x5}
    - {series: 'm{a="2"}', values: _x2 99 stale}
  expect: {verdicts: breachx2 unknown breachx3, fires: [2]}
- {name: at midnight, trigger: Hour, input_series: [{series: m, values: 1x2}], expect: {verdicts: okx3}}
- {name: and another, trigger: Hour, input_series: [{series: m, values: 1x2}], expect: {verdicts: okx3}}
- {name: no past, trigger: Past, input_series: [{series: m, values: 1x9}], expect: {verdicts: no_datax10}}
- {name: no future, trigger: Past, input_series: [{series: m, values: 1x9}], expect: {verdicts: no_datax10}}
"""


@needs_prometheus
def test_series(tmp_path: Path) -> None:
    found = results(tmp_path, SERIES)
    assert told(found) == []
    assert all(one.passed for one in found)
    assert {one.case.name: one.unusable for one in found if one.unusable} == {
        "one series, then two, then one": "window 3: more than one series, and the trigger has no "
        "`per`; aggregate, or add the labels to `per`"
    }


@needs_prometheus
def test_many_windows_take_several_queries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "MOST_POINTS", 4)
    assert told(results(tmp_path, SERIES)) == []


@needs_prometheus
def test_series_that_go_otherwise_fail(tmp_path: Path) -> None:
    found = results(
        tmp_path,
        """
- name: a
  trigger: Queue
  input_series: [{series: queue_age_seconds, values: 1x9}]
  expect: {fires: [3]}
- {name: b, trigger: Queue, readings: 1x9, expect: {fires: [3]}}
""",
    )
    assert told(found) == [f"{name}: fires: expected [3], got [] (okx10)" for name in "ab"]


NEEDS_NONE = '- {name: r, trigger: Queue, readings: "99x3", expect: {fires: [3]}}\n'


def test_without_a_prometheus_series_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = results(tmp_path, NEEDS_NONE + SERIES)
    assert found[0].passed
    assert len(found) > 10
    assert not any(one.passed or one.mismatches for one in found[1:])
    assert {one.skipped for one in found[1:]} == {
        "there is no `prometheus` on the PATH; install it (Debian: apt install prometheus)"
    }


@needs_prometheus
def test_more_time_than_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred tests of a range of a year each."""
    monkeypatch.setattr(evaluation, "LOOKBACK", 365 * 24 * 3_600_000)
    case = "- {{name: t{0}, trigger: Queue, input_series: [{{series: queue_age_seconds, values: 99x3}}], "
    tests = "".join(f"{case}expect: {{{{fires: [3]}}}}}}}}\n".format(n) for n in range(60))
    found = results(tmp_path, tests)
    assert found[0].passed
    assert "run fewer at once" in found[-1].skipped
    assert not any(one.mismatches for one in found)
