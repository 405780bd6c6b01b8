"""The library: every template is sound, safe, documented, and has a runbook."""

from __future__ import annotations

import os
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from rollbackd.config import library
from rollbackd.config.bundle import Bundle, judge
from rollbackd.config.catalogue import Entry, catalogue, runbook
from rollbackd.config.instance import severities
from rollbackd.config.library import Use, read_example, shipped
from rollbackd.config.models.instance import ActionsModel
from rollbackd.config.problem import START
from rollbackd.config.promql import analyse
from rollbackd.config.suites import Case, read_suite
from rollbackd.config.triggers import resolve_trigger
from rollbackd.config.yaml_source import Document, Mapping, read
from rollbackd.core.judging import window_queries
from rollbackd.core.model import Category, Trigger

ROOT = Path(__file__).parents[2]
README = ROOT / "triggers" / "README.md"
TESTS = [ROOT / f"triggers/{category}.test.yml" for category in get_args(Category)]
ENTRIES = {entry.name: entry for entry in catalogue()}
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
HOSTILE = 'x"} or vector(1) or y{a=\\"b\\\\", #`\'${service}'
each = pytest.mark.parametrize("name", ENTRIES)


def using(name: str, /, **said: object) -> Use:
    """The template with its example's values, and with what is said."""
    document = Document(ROOT / "t.yml", "t.yml", "t.yml")
    given = Mapping(START)
    for key, value in {**shipped()[name].model.example, **said}.items():
        given[key], given.values_at[key], given.keys_at[key] = value, START, START
    return Use(document, (), f"library/{name}", (), given)


def made(name: str, /, **said: object) -> Trigger:
    use = using(name, **said)
    found = read_example(use)
    assert use.document.problems == []
    assert found is not None
    return resolve_trigger(found, severities(ActionsModel()))


def asks(trigger: Trigger) -> list[str]:
    conditions = [trigger.condition, trigger.recovery()]
    return [query.expr for condition in conditions for query in window_queries(condition)]


def test_there_are_enough_of_each_kind() -> None:
    counts = Counter(entry.category for entry in ENTRIES.values())
    least = {"metric": 8, "health": 3, "business": 3, "data_quality": 2, "security": 2, "customer_impact": 2}
    assert [category for category, number in least.items() if counts[category] < number] == []
    assert counts.total() >= 24


FIRES = {
    "error-ratio": "> 0.01 for 2m",
    "latency-p99": "> 0.5 for 5m",
    "authentication-failures": "> 0.05 for 1m",
    "database-connection-errors": "> 10 for 2m",
    "probe-failures": "< 1 in 4 windows",
    "cpu-usage": "> 0.9 for 3m",
    "performance-degradation": "> 0.2 for 10m",
    "reported-issues": "all(> 10, > 0) for 16m",
}
"""What was asked for, and what was chosen where that left something open."""


def test_the_limits_that_were_asked_for() -> None:
    assert {name: ENTRIES[name].fires for name in FIRES} == FIRES
    assert {ENTRIES[name].severity for name in ("performance-degradation", "reported-issues")} == {"medium"}


@each
def test_a_hostile_value_changes_no_expression(name: str) -> None:
    """Label values and regular expressions stay between their quotes, whatever they hold."""
    parameters = shipped()[name].model.parameters
    hostile = {"label-value": HOSTILE, "regex": re.escape(HOSTILE)}
    said = {key: hostile[one.type] for key, one in parameters.items() if one.type in hostile}
    benign, use = library.fill(using(name)), using(name, **said)
    filled = library.fill(use)
    assert use.document.problems == []
    assert list(map(shape, expressions(filled))) == list(map(shape, expressions(benign)))
    for text in expressions(filled):
        analyse(text)


def expressions(raw: object, expression: bool = False) -> list[str]:
    if isinstance(raw, dict):
        return [one for key, inner in raw.items() for one in expressions(inner, key in library.PROMQL)]
    if isinstance(raw, list):
        return [one for inner in raw for one in expressions(inner, expression)]
    return [raw] if expression and isinstance(raw, str) else []


def shape(text: str) -> str:
    return re.sub(r'"(?:\\.|[^"\\])*"', '""', text)


@each
def test_labels_to_tell_apart_are_kept_by_every_query(name: str) -> None:
    if "per" in shipped()[name].model.parameters:
        trigger = made(name, per=["region", "cohort"])
        assert trigger.per == ("region", "cohort")
        assert {analyse(text).labels for text in asks(trigger)} <= {frozenset(trigger.per), None}


@each
def test_what_divides_by_traffic_has_a_floor(name: str) -> None:
    """Of few requests one is a large share."""
    for leaf in made(name).condition.leaves():
        assert leaf.total is None or leaf.at_least > 0


@each
def test_a_runbook_has_its_four_parts(name: str) -> None:
    title, *parts = re.split(r"^#+ (.+)$", runbook(name), flags=re.MULTILINE)[1:]
    assert title == name
    assert parts[1::2] == HEADINGS
    assert all(len(body.split()) >= 5 for body in parts[2::2])


@each
def test_what_a_runbook_asks_prometheus_can_be_asked(name: str) -> None:
    blocks = re.findall(r"```promql\n(.*?)```", runbook(name), re.DOTALL)
    for line in "".join(blocks).splitlines():
        assert analyse(line).kind in ("vector", "scalar"), line


def test_there_is_no_runbook_without_a_template() -> None:
    assert {path.stem for path in (ROOT / "triggers/runbooks").iterdir()} == set(ENTRIES)


def pasted(folder: Path, interval: str, snippet: str) -> Bundle:
    text = f"version: rollbackd/v1\ngroups:\n  - name: g\n    interval: {interval}\n    triggers:\n"
    (folder / "t.yml").write_text(text + "".join(f"      {line}\n" for line in snippet.splitlines()))
    bundle = Bundle(trigger_files=[read(folder / "t.yml", "t.yml", "t.yml")])
    judge(bundle)
    return bundle


@each
def test_what_the_library_prints_can_be_pasted(name: str, tmp_path: Path) -> None:
    """As it is, and with every parameter that it comments."""
    entry = ENTRIES[name]
    bundle = pasted(tmp_path, entry.interval, entry.snippet)
    assert bundle.problems() == []
    ((_, plain),) = bundle.triggers
    everything = re.sub(r"^  # ( *)(set:|\w+: )", r"  \1\2", entry.snippet, flags=re.MULTILINE)
    whole = pasted(tmp_path, entry.interval, everything)
    assert whole.problems() == []
    ((_, full),) = whole.triggers
    assert full == plain


def row(entry: Entry) -> str:
    said = [
        f"**{one.name}**" if one.default is None else f"{one.name} `{text(one.default)}`"
        for one in entry.parameters
    ]
    severity = entry.severity if entry.action is None else f"{entry.severity}, {entry.action}"
    return f"| [{entry.name}](runbooks/{entry.name}.md) | {severity} | `{entry.fires}` | {', '.join(said)} |"


def text(value: object) -> str:
    said = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
    return said.replace("|", "\\|") or '""'


def tables() -> str:
    parts = []
    for category in dict.fromkeys(entry.category for entry in ENTRIES.values()):
        rows = [row(entry) for entry in ENTRIES.values() if entry.category == category]
        parts.append(
            "\n".join(
                [
                    f"## {category}",
                    "",
                    "| template | severity | fires when | parameters |",
                    "|---|---|---|---|",
                    *rows,
                ]
            )
        )
    return "\n\n".join(parts) + "\n"


def test_the_readme_lists_them_as_they_are() -> None:
    """ROLLBACKD_GOLDEN=write writes the tables anew."""
    head = README.read_text().split("## ", 1)[0]
    if os.environ.get("ROLLBACKD_GOLDEN") == "write":
        README.write_text(head + tables())
    assert README.read_text() == head + tables()


def test_it_is_found_in_a_checkout_and_packed_for_the_rest() -> None:
    assert library.folder() == ROOT / "triggers"
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert build["targets"]["wheel"]["force-include"] == {"triggers": "rollbackd/library"}


@each
def test_recovery_can_be_proven_within_the_shortest_sla(name: str) -> None:
    """Level 4 has 10 minutes; what is left after settling and three ok windows is for the steps (S3)."""
    trigger = made(name)
    if trigger.action not in ("notify", "shadow"):
        assert trigger.recovery().longest_range + 3 * trigger.interval <= 6 * 60_000


def cases(path: Path) -> list[Case]:
    suite = read_suite(path, path.name)
    assert suite.problems() == []
    return suite.cases


def test_each_template_is_tested_by_readings_and_by_its_exporters_series() -> None:
    seen = {f"library/{name}": set[str]() for name in ENTRIES}
    for case in (case for path in TESTS for case in cases(path)):
        seen[case.model.trigger].add("readings" if case.model.input_series is None else "series")
    assert {name: kinds for name, kinds in seen.items() if kinds != {"readings", "series"}} == {}


def test_the_readmes_entry_can_be_used(tmp_path: Path) -> None:
    (snippet,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    bundle = pasted(tmp_path, "15s", snippet)
    assert bundle.problems() == []
    ((_, trigger),) = bundle.triggers
    assert (str(trigger.condition.breach), trigger.action) == ("> 0.02", "shadow")
