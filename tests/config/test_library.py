"""`use: library/NAME` (the shipped templates themselves: tests/shipped/test_library.py)."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from rollbackd.config import examine, library
from rollbackd.config.bundle import Bundle, judge
from rollbackd.config.library import Template, Use, read_example, templates
from rollbackd.config.yaml_source import Document, read
from rollbackd.core.model import Limit, Trigger

TEMPLATES = """\
version: rollbackd/v1
category: metric
templates:
  - template: ratio
    about: Errors.
    parameters:
      service: {type: label-value, about: whose}
      status: {type: regex, default: "5..", about: errors}
      label: {type: label-name, default: service, about: its label}
      metric: {type: metric-name, default: requests_total, about: the counter}
      matchers: {type: matchers, default: "", about: more}
      per: {type: labels, default: [], about: subjects}
      threshold: {type: number, default: 0.01, at_least: 0, at_most: 1, about: the share}
      range: {type: duration, default: 1m, at_least: 10s, about: looked back on}
      windows: {type: whole, default: 8, at_least: 1, at_most: 100, about: in a row}
    example: {service: api}
    trigger:
      trigger: ${service}-errors
      severity: critical
      ratio:
        errors: sum by (${per}) (rate(${metric}{${label}="${service}",code=~"${status}",${matchers}}[1m]))
        total: sum by (${per}) (rate(${metric}{${label}="${service}",${matchers}}[${range}]))
        min_total: 1
      breach: "> ${threshold}"
      windows: ${windows}
      per: ${per}
      annotations: {summary: "${service} fails.", runbook: mine}
  - template: plain
    about: A value.
    trigger:
      trigger: plain
      severity: high
      action: notify
      expr: min(x)
      breach: "< 1"
      traffic: {expr: sum(y), at_least: 3}
      coverage: max(timestamp(x))
      for: 2m
"""


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Template]:
    """A library of its own."""
    document = source(tmp_path, "library.yml", TEMPLATES)
    found = {template.name: template for template in templates(document)}
    assert document.problems == []
    monkeypatch.setattr(library, "shipped", lambda: found)
    return found


def source(folder: Path, name: str, text: str) -> Document:
    (folder / name).write_text(text)
    return read(folder / name, name, name)


def judged(folder: Path, *entries: str) -> Bundle:
    """A file whose triggers are these, each on a line of its own from line 5."""
    text = "version: rollbackd/v1\ngroups:\n  - name: g\n    triggers:\n"
    text += "".join(f"      - {{{entry}}}\n" for entry in entries)
    bundle = Bundle(trigger_files=[source(folder, "api.yml", text)])
    judge(bundle)
    return bundle


def made(folder: Path, entry: str) -> Trigger:
    bundle = judged(folder, entry)
    assert bundle.problems() == []
    ((_, trigger),) = bundle.triggers
    return trigger


@pytest.mark.usefixtures("shelf")
class TestFilling:
    def test_defaults_and_an_entry_of_two_keys(self, tmp_path: Path) -> None:
        trigger = made(tmp_path, "use: library/ratio, set: {service: api}, plan: p")
        assert trigger.name == "api-errors"
        assert trigger.category == "metric"
        assert trigger.plan == "p"
        assert trigger.condition.expr == 'sum by () (rate(requests_total{service="api",code=~"5.."}[1m]))'
        assert trigger.condition.total == 'sum by () (rate(requests_total{service="api"}[1m]))'
        assert trigger.condition.breach == Limit(">", 0.01)
        assert (trigger.windows, trigger.per, trigger.source) == (8, (), "api.yml:5")
        assert trigger.annotations == {"summary": "api fails.", "runbook": "mine"}

    def test_every_parameter(self, tmp_path: Path) -> None:
        said = (
            "service: 'a\"}) or x #', status: '4..|5..', label: app, metric: 'http:r', per: [cohort, pod], "
            "matchers: \"ns='prod', job=~'a.*'\", threshold: 0.5, range: 90s, windows: 9"
        )
        trigger = made(tmp_path, f"use: library/ratio, set: {{{said}}}, plan: p, trigger: own")
        assert trigger.condition.total == (
            'sum by (cohort, pod) (rate(http:r{app="a\\"}) or x #",ns="prod",job=~"a.*"}[1m30s]))'
        )
        assert trigger.per == ("cohort", "pod")
        assert (trigger.name, trigger.windows, str(trigger.condition.breach)) == ("own", 9, "> 0.5")
        assert trigger.annotations["summary"] == 'a"}) or x # fails.'

    @pytest.mark.parametrize("value", ["${threshold}", "$1", "\\", '"', "{}", "\u00e9", ""])
    def test_a_value_is_never_read_as_anything_else(self, value: str, tmp_path: Path) -> None:
        said = "'" + value + "'"
        trigger = made(tmp_path, f"use: library/ratio, set: {{service: {said}}}, plan: p, trigger: own")
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        assert f'{{service="{escaped}"}}' in str(trigger.condition.total)


@pytest.mark.usefixtures("shelf")
class TestTheEntrysOwnKeys:
    def test_mappings_are_merged_the_rest_replaced(self, tmp_path: Path) -> None:
        own = "severity: high, ratio: {min_total: 7}, labels: {team: a}, annotations: {runbook: ours}"
        trigger = made(tmp_path, f"use: library/ratio, set: {{service: api}}, plan: p, {own}")
        assert trigger.severity == "high"
        assert trigger.condition.at_least == 7
        assert trigger.labels == {"team": "a"}
        assert trigger.annotations == {"summary": "api fails.", "runbook": "ours"}

    def test_for_takes_the_place_of_windows_and_back(self, tmp_path: Path) -> None:
        assert made(tmp_path, "use: library/ratio, set: {service: a}, plan: p, for: 3m").windows == 12
        assert made(tmp_path, "use: library/plain, plan: p, windows: 5").windows == 5

    def test_another_condition_leaves_nothing_of_the_templates(self, tmp_path: Path) -> None:
        own = "ratio: {errors: sum(e), total: sum(t)}, breach: '> 2'"
        other = made(tmp_path, f"use: library/plain, plan: p, {own}").condition
        assert (other.total, other.traffic, other.at_least, other.breach.value) == ("sum(t)", "sum(t)", 0, 2)
        assert other.coverage == ("max(timestamp(t))",)

    def test_a_composed_condition_takes_the_place_of_a_plain_one(self, tmp_path: Path) -> None:
        own = "all: [{expr: a, breach: '> 1'}, {expr: b, breach: '> 2'}]"
        composed = made(tmp_path, f"use: library/plain, plan: p, {own}").condition
        assert composed.limit == "all(> 1, > 2)"

    def test_the_same_condition_keeps_what_stands_beside_it(self, tmp_path: Path) -> None:
        same = made(tmp_path, "use: library/plain, plan: p, expr: max(x)").condition
        assert (same.expr, same.traffic, same.coverage) == ("max(x)", "sum(y)", ("max(timestamp(x))",))

    def test_a_name_is_still_given_once(self, tmp_path: Path) -> None:
        bundle = judged(tmp_path, *["use: library/plain, plan: p"] * 2)
        (problem,) = bundle.problems()
        assert str(problem).startswith("api.yml:6:15: trigger: `plain` is already the name of another")


SAYS = {
    "use: library/ratoi, plan: p": ':5:15: use: "library/ratoi" is no template of the library; '
    "did you mean `library/ratio`?",
    "use: ratio, plan: p": ':5:15: use: "ratio" is no template of the library; did you mean `library/ratio`?',
    "use: 5, plan: p": ":5:15: use: 5 is no template of the library; `rollbackd library` lists them",
    "use: library/ratio, plan: p": ":5:9: service: is missing; add `service:` to `set` (whose)",
    "use: library/ratio, set: 3, plan: p": ":5:35: set: expected a mapping, got 3; write `key: value` lines",
    "use: library/ratio, set: {servce: a}, plan: p": ":5:36: servce: unknown parameter; "
    "did you mean `service`?",
    "use: library/plain, set: {a: a}, plan: p": ":5:36: a: unknown parameter; remove it; it has none",
    "use: library/plain, set: {windows: 3}, plan: p": ":5:36: windows: unknown parameter; "
    "a trigger's own key stands beside `set`; it has none",
    "use: library/plain": ":5:9: plan: is missing; add `plan:` (what is done)",
    "use: library/plain, plan: p, for: 7s": ":5:44: "
    "for: 7s is not a multiple of the interval (15s); write 15s",
    "use: library/plain, plan: p, serverity: high": ":5:39: serverity: unknown key; did you mean `severity`?",
    "use: library/ratio, set: {service: a b}, plan: p": ':5:45: trigger: cannot be "a b-errors"; '
    "use letters, digits, `-`, `_` and `.`, a letter or digit first",
}


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("entry", SAYS)
def test_says_where_the_user_wrote_it(entry: str, tmp_path: Path) -> None:
    assert [str(problem) for problem in judged(tmp_path, entry).problems()] == [f"api.yml{SAYS[entry]}"]


REFUSED = {
    "threshold: 1.5": "is 1.5; write a number from 0 to 1",
    'threshold: "0.1"': 'expected a number, got "0.1"; remove the quotes',
    "windows: 0.5": "expected a whole number, got 0.5; write a number from 1 to 100",
    "range: 5s": "is 5s; write a duration from 10s to 30d",
    "range: 60": "expected a duration, got 60; write 1m",
    "service: 5": 'expected text, got 5; write it in quotes: "5"',
    "status: '5(('": '"5((" is not a regular expression; look for an open bracket',
    "status: '5(?=0)'": "Prometheus has RE2's, without look-around",
    "label: a-b": 'cannot be "a-b"; use letters, digits and `_`, no digit first, not `__` first',
    "metric: 'x{}'": 'cannot be "x{}"; use letters, digits, `_` and `:`, no digit first',
    "per: 5": "expected at most 10 label names, got 5; write [one, two]",
    "per: [a, 'b)']": 'cannot be "b)"; use letters, digits and `_`, no digit first, not `__` first',
    'matchers: \'a="b"} or y{c="d"\'': "is not a list of label matchers",
    "matchers: 'a=\"b\"}[5m] offset 5m #'": "is not a list of label matchers",
    'matchers: \'a="b" or c="d"\'': "is not a list of label matchers",
    "matchers: '__name__=\"y\"'": "is not a list of label matchers",
    "matchers: nonsense": "is not a list of label matchers",
}


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("said", REFUSED)
def test_a_parameter_is_read_strictly(said: str, tmp_path: Path) -> None:
    rest = "" if said.startswith("service") else "service: a, "
    (problem,) = judged(tmp_path, f"use: library/ratio, set: {{{rest}{said}}}, plan: p").problems()
    assert problem.line == 5
    assert problem.key == said.split(":")[0]
    assert REFUSED[said] in f"{problem.what}; {problem.remedy}"


@pytest.mark.usefixtures("shelf")
def test_the_other_triggers_are_judged_all_the_same(tmp_path: Path) -> None:
    bundle = judged(tmp_path, "use: library/nix, plan: p", "use: library/plain, plan: p, breach: 5")
    assert [(problem.line, problem.key) for problem in bundle.problems()] == [(5, "use"), (6, "breach")]


@pytest.mark.usefixtures("shelf")
def test_a_template_by_itself(tmp_path: Path) -> None:
    document = source(tmp_path, "t.test.yml", "trigger: library/ratio\nset: {service: a, threshold: 7}\n")
    assert document.data is not None
    use = Use(document, ("trigger",), "library/plain", ("set",), None)
    found = read_example(use)
    assert found is not None
    assert (found.model.trigger, found.group.interval) == ("plain", 15_000)
    assert read_example(Use(document, ("trigger",), "library/ratio", ("set",), document.data["set"])) is None
    assert [str(problem) for problem in document.problems] == [
        "t.test.yml:2:30: threshold: is 7; write a number from 0 to 1"
    ]
    assert read_example(use, interval=7_000) is None
    assert document.problems[-1].what == "2m is not a multiple of the interval (7s)"


BROKEN = {
    ("{type: number, default: 0.01", "{type: numeral, default: 0.01"): "13:25: type: expected label-value",
    ("default: 0.01", "default: 7"): "13:42: default: is 7",
    ("at_most: 1,", "at_most: one,"): "13:70: at_most: expected a number",
    ("{type: labels,", "{type: labels, at_most: 3,"): "12:27: at_most: means nothing here",
    ("example: {service: api}", "example: {}"): "16:14: service: is missing; give a value",
    ("example: {service: api}", "example: {service: api, x: 1}"): "16:29: x: unknown parameter",
    ("example: {service: api}", "example: {service: api, label: a}"): "16:29: label: has a default already",
    ('summary: "${service}', 'summary: "${servce}'): "27:30: summary: there is no parameter `servce`",
    ("windows: ${windows}", "windows: 8"): "15:7: windows: is not used",
    ("min_total: 1", "min_totl: 1"): "23:9: min_totl: unknown key",
    ("severity: critical", "severity: ${service}"): "19:17: severity: expected critical, high or medium",
    ("total: sum", "total: sam"): "22:16: total: is not valid PromQL",
    ("template: plain", "template: ratio"): "28:15: template: `ratio` is already the name of another",
    ("windows: ${windows}", "windows: ${windows}\n      plan: p"): "26:7: plan: is the user's",
}


@pytest.mark.parametrize("change", BROKEN)
def test_a_template_file_is_checked_at_its_own_places(change: tuple[str, str], tmp_path: Path) -> None:
    assert change[0] in TEMPLATES
    bundle = Bundle(trigger_files=[source(tmp_path, "metric.yml", TEMPLATES.replace(*change))])
    judge(bundle)
    said = [str(problem) for problem in bundle.problems()]
    assert any(line.startswith(f"metric.yml:{BROKEN[change]}") for line in said), said


def test_a_template_file_watches_nothing(tmp_path: Path) -> None:
    bundle = Bundle(trigger_files=[source(tmp_path, "metric.yml", TEMPLATES)])
    judge(bundle)
    assert bundle.problems() == []
    assert bundle.triggers == []
    assert [trigger.name for _, trigger in bundle.examples] == ["api-errors", "plain"]


def test_lints_look_at_templates_and_at_what_is_made_of_them(
    tmp_path: Path, shelf: dict[str, Template]
) -> None:
    """Which needs no test of the user's: the template has its own."""
    assert shelf
    today = date(2026, 11, 21)
    (tmp_path / "metric.yml").write_text(TEMPLATES.replace("expr: min(x)", "expr: sum(irate(x_total[1m]))"))
    found = examine([tmp_path / "metric.yml"], today).problems
    assert [(problem.line, problem.lint) for problem in found] == [(34, "irate")]
    judged(tmp_path, "use: library/plain, plan: p", "use: library/plain, plan: p, trigger: own, windows: 1")
    found = examine([tmp_path / "api.yml"], today).problems
    assert [(problem.line, problem.lint) for problem in found] == [(6, "one-sample")]
