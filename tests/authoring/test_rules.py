"""`import prometheus-rules`: files of rules beside what they become."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest
import yaml

from rollbackd.authoring.rule_files import Imported, import_rules
from rollbackd.authoring.sources import Unusable
from rollbackd.config import check_paths
from rollbackd.config.problem import errors

HERE = Path(__file__).parent / "rules"
CASES = sorted(HERE.glob("*.yml"))
TODAY = date(2026, 11, 1)
WRITE = os.environ.get("ROLLBACKD_GOLDEN") == "write"


def imported(path: Path) -> Imported:
    return import_rules(path, plan="api", schema="../schema/trigger.json", today=TODAY)


def golden(path: Path, text: str) -> str:
    if WRITE:
        path.write_text(text)
    return path.read_text()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_becomes(case: Path) -> None:
    assert imported(case).text == golden(case.with_suffix(".imported"), imported(case).text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_says_what_was_lost(case: Path) -> None:
    found = imported(case)
    said = [*found.notes, *(f"{rule.line}: {rule.name}: not: {rule.why}" for rule in found.rules if rule.why)]
    said += [f"{rule.line}: {rule.name}: lost: {lost}" for rule in found.rules for lost in rule.lost]
    text = "".join(f"{line}\n" for line in said)
    assert text == golden(case.with_suffix(".said"), text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_every_rule_is_a_trigger_that_only_watches_or_has_a_reason(case: Path, tmp_path: Path) -> None:
    found = imported(case)
    file = tmp_path / "triggers.yml"
    file.write_text(found.text)
    assert errors(check_paths([file])) == []
    written = [trigger for group in yaml.safe_load(found.text)["groups"] for trigger in group["triggers"]]
    document = yaml.safe_load(case.read_text())
    rules = [rule for group in document.get("spec", document)["groups"] for rule in group["rules"]]
    assert len(found.rules) == len(rules)
    assert len(written) == sum(not rule.why for rule in found.rules)
    assert {trigger["action"] for trigger in written} == {"shadow"}
    assert {trigger["plan"] for trigger in written} == {"api"}


def test_every_comment_is_kept_once() -> None:
    case = HERE / "service.yml"
    comments = (
        "Owned by payments|What customers feel|since 2024|High errors page|  Thresholds: see|less is noise"
    )
    comments += "|twice the range|What others read|- alert: Off|  expr: gone|Only recorded|The end."
    text = imported(case).text
    assert [text.count(f"# {comment}") for comment in comments.split("|")] == [1] * 12
    assert "example.com" not in text


RULE = "groups: [{name: g, rules: [{alert: A, expr: 'sum(x) > 1'}]}]"
BAD = [
    ("", ":1:1: is empty; name a file with `groups:` of `rules:`"),
    ("# nothing\n", ":1:1: is empty; "),
    ("- a\n", ":1:1: expected `key: value` lines; name a file with"),
    ("groups: []", ":1:1: holds no rules; "),
    ("groups: [{name: a, rules: []}]", ":1:1: holds no rules; "),
    ("groups: {a: 1}", ":1:1: holds no `groups:`"),
    ("scrape_configs: []\nglobal: {}", ":1:1: is Prometheus' own configuration, not a file of rules; "),
    ("route: {}\nreceivers: []", ":1:1: is Alertmanager's configuration"),
    ("groups:\n  - name: a\n    triggers: []", ":2:5: holds triggers already; "),
    ("groups: [1]", ":1:10: is no group of rules; "),
    ("groups: [{name: a, rules: 7}]", ":1:10: is no group of rules; "),
    ("groups:\n\t- a", ":2:1: while scanning for the next token"),
    ("groups: {{ x }}", "render templates first"),
    ("a\x00b", "holds the control character U+0000; remove it"),
    ("groups: []\n---\ngroups: []", ":2:1: a second document begins here; "),
    ('{"groups": [', ":1:1: while parsing a flow node"),
    (f"{RULE}\ngroups: []", "appears twice"),
]


@pytest.mark.parametrize(("text", "says"), BAD, ids=[says for _, says in BAD])
def test_what_is_no_file_of_rules_is_refused_in_one_line(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(text)
    with pytest.raises(Unusable) as refused:
        imported(file)
    said = str(refused.value)
    assert said.startswith(f"{file}:")
    assert says in said
    assert "\n" not in said


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    binary, large, pipe = tmp_path / "binary", tmp_path / "large", tmp_path / "pipe"
    binary.write_bytes(b"\x89PNG\r\n\x1a\n\xff")
    with large.open("wb") as file:
        file.truncate(100 << 20)
    os.mkfifo(pipe)
    for path, says in ((binary, "not UTF-8"), (large, "larger than 4 MiB"), (pipe, "not a regular file")):
        with pytest.raises(Unusable, match=says):
            imported(path)
    with pytest.raises(Unusable, match="cannot be read"):
        imported(tmp_path / "none")


ODD = [
    "groups: [{name: a, rules: [7, [], null, {}, {alert: [a], expr: x}, {alert: A}, {alert: A, expr: [x]}]}]",
    "groups: [{name: a, interval: [1], rules: [{alert: A, expr: sum(x) > 1, labels: [a], annotations: 1}]}]",
    "groups: [{name: a, labels: 7, rules: [{alert: A, expr: sum(x) > 1, labels: {a: {b: c}}}]}]",
    "groups: [{rules: [{record: {a: b}, expr: x}, {alert: A, expr: sum(x) > 1, for: [1]}]}]",
]


@pytest.mark.parametrize("text", ODD)
def test_odd_rules_have_their_reasons(text: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(text)
    found = imported(file)
    assert [rule.name for rule in found.rules if not rule.why] == []
    assert found.text == ""


def test_one_that_the_reader_would_refuse_is_told_of(tmp_path: Path) -> None:
    """Whatever it is: the file that is written passes the checks."""
    file = tmp_path / "rules.yml"
    label = "l" * 201
    rules = f"[{{alert: A, expr: 'sum by ({label}) (x) > 1'}}, {{alert: B, expr: sum(x) > 1}}]"
    file.write_text(f"groups: [{{name: a, rules: {rules}}}]")
    refused, carried = imported(file).rules
    assert refused.why.startswith("per: ")
    assert carried.why == ""
    assert imported(file).text.count("- trigger: ") == 1


def test_a_file_that_would_become_too_large_is_refused(tmp_path: Path) -> None:
    rules = "".join(f"    - {{alert: A{number}, expr: sum(x) > 1, for: 9m}}\n" for number in range(10_000))
    file = tmp_path / "rules.yml"
    file.write_text(f"groups:\n- name: a\n  labels: {{a: {'a' * 200}}}\n  rules:\n{rules}")
    with pytest.raises(Unusable, match=r"becomes a file that .*; split it"):
        imported(file)
