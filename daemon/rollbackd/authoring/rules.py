"""One alerting rule of Prometheus as a trigger that only watches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rollbackd.authoring.conditions import CannotCarry, condition
from rollbackd.authoring.names import Names
from rollbackd.authoring.sources import Source
from rollbackd.config.models.triggers import OWN_LABELS
from rollbackd.config.problem import one_line
from rollbackd.config.yaml_source import Loc
from rollbackd.core.model import Ms
from rollbackd.core.notation import parse_duration, span

_YEAR = 365 * 86_400_000
_MOST_WINDOWS = 10_000
_LONGEST_LABEL, _LONGEST_ANNOTATION = 200, 4000
_RULE_KEYS = frozenset(["alert", "expr", "for", "keep_firing_for", "labels", "annotations"])
_MEANS = {
    "critical": "critical crit page pager paging fatal emergency disaster p0 p1 sev0 sev1",
    "high": "high major error err p2 sev2",
    "medium": "medium",
}
SEVERITIES = {word: severity for severity, words in _MEANS.items() for word in words.split()}
_HEALTH = re.compile(r"\b(?:up|probe_success|absent|absent_over_time)\b(?!:)")
_NAMED = re.compile(r"(?:\$labels|\.Labels)\.([A-Za-z_][A-Za-z0-9_]*)", re.ASCII)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_LABEL = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@dataclass(slots=True)
class Rule:
    """What became of one rule. `why`: it was not carried; `lost`: it was, but for this."""

    name: str
    line: int
    keys: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    why: str = ""


def duration(text: str | None) -> Ms | None:
    """As Prometheus reads it, nothing as 0; None: it is none."""
    if text is None:
        return None
    years, rest = 0, text
    if match := re.match(r"([0-9]{1,4})y", rest):
        years, rest = int(match[1]), rest[match.end() :]
    try:
        return years * _YEAR + (parse_duration(rest) if rest not in ("", "0") else 0)
    except ValueError:
        return None


def carry(read: Source, loc: Loc, common: Mapping[str, str], names: Names, interval: Ms, plan: str) -> Rule:
    """The rule at `loc`. `common`: the labels of its group."""
    rule = Rule(one_line(_called(read, loc)), read.line(loc))
    try:
        _carry(rule, read, loc, common, interval)
    except CannotCarry as cannot:
        rule.why = str(cannot)
        return rule
    said = read.text((*loc, "alert")) or ""
    name = names.take(said)
    if name != said:
        rule.notes.append(f"the alert is called {one_line(said)}: names are unique, and plainer")
    rule.keys = {"trigger": name, **rule.keys, "plan": plan}
    return rule


def _called(read: Source, loc: Loc) -> str:
    return read.text((*loc, "alert")) or read.text((*loc, "record")) or "a rule without a name"


def _carry(rule: Rule, read: Source, loc: Loc, common: Mapping[str, str], interval: Ms) -> None:
    raw = read.value(loc)
    if not isinstance(raw, dict):
        raise CannotCarry("it is no mapping")
    if "record" in raw:
        raise CannotCarry(
            "it is a recording rule: Prometheus goes on evaluating it, and triggers may read it"
        )
    if not read.text((*loc, "alert")):
        raise CannotCarry("it has no `alert:`, so no name")
    labels, annotations = read.texts((*loc, "labels")), read.texts((*loc, "annotations"))
    if labels is None or annotations is None:
        raise CannotCarry("its labels or annotations are no mapping of texts")
    labels = {**common, **labels}
    text = (read.text((*loc, "expr")) or "").strip()
    found = condition(text, _named([*labels.values(), *annotations.values()]))
    rule.notes += found.notes
    rule.lost += found.lost
    severity = _severity(rule, labels)
    rule.keys = {
        "category": "health" if _HEALTH.search(text) else "metric",
        "severity": severity,
        "action": "shadow",
        **found.keys,
        "windows": _windows(rule, read, loc, interval),
    }
    no_data = rule.keys.pop("no_data", None)
    rule.keys |= {"per": found.per} if found.per else {}
    rule.keys |= {"no_data": no_data} if no_data else {}
    kept, told = _labels(rule, labels), _annotations(rule, annotations)
    rule.keys |= {"labels": kept} if kept else {}
    rule.keys |= {"annotations": told} if told else {}
    _leftovers(rule, read, loc, raw)


def _named(texts: list[str]) -> tuple[str, ...]:
    """The labels that templates name: the series have them."""
    found = dict.fromkeys(label for text in texts for label in _NAMED.findall(text))
    return tuple(label for label in found if _LABEL.fullmatch(label) and label != "alertname")


def _windows(rule: Rule, read: Source, loc: Loc, interval: Ms) -> int:
    said = read.text((*loc, "for"))
    held = duration(said)
    if held is None:
        raise CannotCarry(f"`for: {one_line(said or 'not one value')}` is no duration")
    windows = max(1, -(-held // interval))
    if windows > _MOST_WINDOWS:
        raise CannotCarry(
            f"`for: {said}` is {windows} windows of {span(interval)}, more than {_MOST_WINDOWS}"
        )
    counted = f"{windows} window{'s' if windows > 1 else ''} of {span(interval)}"
    if not held:
        rule.notes.append("without `for` one window fires: think of 2 or more")
    elif held % interval:
        rule.notes.append(f"for: {said} is {counted}, rounded up")
    else:
        rule.notes.append(f"for: {said} is {counted}")
    return windows


def _severity(rule: Rule, labels: dict[str, str]) -> str:
    said = labels.pop("severity", "")
    found = SEVERITIES.get(said.lower(), "medium")
    if said != found:
        rule.notes.append(
            f"severity {one_line(said)} became {found}" if said else "no severity is said: medium, which asks"
        )
    return found


def _labels(rule: Rule, labels: dict[str, str]) -> dict[str, str]:
    kept = {}
    for key, value in labels.items():
        if key in OWN_LABELS:
            rule.lost.append(f"the label {key}={one_line(value)}: the daemon sets {key} itself")
        elif not _LABEL.fullmatch(key) or not value or len(value) > _LONGEST_LABEL or "\n" in value:
            rule.lost.append(f"the label {one_line(key)}={one_line(value)}, which no label here can be")
        else:
            kept[key] = _plain(rule, f"label {key}", value)
    return kept


def _annotations(rule: Rule, annotations: dict[str, str]) -> dict[str, str]:
    kept = {}
    for key, value in annotations.items():
        if not _LABEL.fullmatch(key) or not value:
            rule.lost.append(f"the annotation {one_line(key)}, which none here can be")
            continue
        if len(value) > _LONGEST_ANNOTATION:
            rule.lost.append(f"the end of annotation {key}, after {_LONGEST_ANNOTATION} characters")
        kept[key] = _plain(rule, f"annotation {key}", value[:_LONGEST_ANNOTATION])
    return kept


def _plain(rule: Rule, what: str, value: str) -> str:
    if "{{" in value:
        rule.notes.append(f"the template in {what} is kept as text")
    if _CONTROL.search(value):
        rule.lost.append(f"control characters in {what}")
    return _CONTROL.sub(" ", value)


def _leftovers(rule: Rule, read: Source, loc: Loc, raw: Mapping[str, Any]) -> None:
    if duration(read.text((*loc, "keep_firing_for"))) != 0:
        said = one_line(read.text((*loc, "keep_firing_for")) or "")
        rule.lost.append(f"keep_firing_for: {said}: a streak ends with the first window that is ok")
    rule.lost += [f"the key {one_line(key)}" for key in raw if key not in _RULE_KEYS]
