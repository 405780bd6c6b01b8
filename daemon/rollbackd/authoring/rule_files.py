"""Files of alerting rules as files of triggers (`import prometheus-rules`)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from rollbackd.authoring.comments import beside
from rollbackd.authoring.names import Names, name_from
from rollbackd.authoring.rules import Rule, carry, duration
from rollbackd.authoring.sources import Source, yaml_source
from rollbackd.authoring.writing import VERSION, comment, item, modeline, trigger
from rollbackd.config.loading import check_paths
from rollbackd.config.problem import errors, one_line
from rollbackd.config.yaml_source import Loc
from rollbackd.core.model import Ms
from rollbackd.core.notation import span

EVALUATION: Ms = 60_000
"""Prometheus' own `evaluation_interval`, for groups that say none."""

_SHORTEST, _LONGEST, _MOST_DELAY = 1_000, 86_400_000, 600_000
_MOST_RULES = 10_000
_GROUP_KEYS = frozenset(["name", "interval", "query_offset", "limit", "labels", "rules"])
_REMEDY = "name a file with `groups:` of `rules:`"


@dataclass(slots=True)
class RuleGroup:
    """`notes`: what is different from the group in Prometheus."""

    name: str
    head: dict[str, Any]
    rules: list[Rule]
    notes: list[str]
    comments: list[str] = field(default_factory=list)


class Imported(NamedTuple):
    """The text of a file of triggers, empty where no rule could be carried; what became of each rule; what
    is said of groups."""

    text: str
    plan: str
    rules: list[Rule]
    notes: list[str]


def import_rules(
    path: Path, *, plan: str | None, schema: str, today: date, interval: Ms = EVALUATION
) -> Imported:
    """Each rule of a file as a trigger, or with the reason why not. `schema`: where an editor finds it.
    Unusable: it is no file of rules."""
    read = yaml_source(path, _REMEDY)
    places = _places(read)
    reader = _Reader(read, plan or name_from(path.stem), interval)
    groups = [reader.group(loc) for loc in places]
    head, tail = _comments(read, places, groups)
    about = [
        *head,
        f"The alerts of {path.name}, imported by rollbackd. Nothing acts: they say `action: shadow`.",
        f"The plan `{reader.plan}` must exist where this file is used. What is different stands beside each.",
        "A trigger fires with the last of its windows; Prometheus would fire one evaluation later.",
    ]
    start = f"{modeline(schema)}{comment(about)}{VERSION}\ngroups:\n"
    try:
        text = _checked(_Around(start, comment(tail), today), groups)
    except TooMuch as much:
        raise read.unusable((), f"becomes a file that {much}", "split it") from None
    notes = [f"group {group.name}: {note}" for group in groups for note in group.notes]
    return Imported(text, reader.plan, list(_rules(groups)), notes)


def _rules(groups: list[RuleGroup]) -> Iterator[Rule]:
    return (rule for group in groups for rule in group.rules)


def _places(read: Source) -> list[Loc]:
    """Where the groups stand; also those of a PrometheusRule of the Prometheus operator."""
    data: dict[str, Any] = read.data
    base: Loc = ()
    if data.get("kind") == "PrometheusRule" and isinstance(data.get("spec"), dict):
        data, base = data["spec"], ("spec",)
    groups = data.get("groups")
    if not isinstance(groups, list):
        raise read.unusable((), *_not_rules(data))
    count = 0
    for at, group in enumerate(groups):
        if not isinstance(group, dict) or not isinstance(group.get("rules"), list):
            ours = isinstance(group, dict) and "triggers" in group
            what = "holds triggers already" if ours else "is no group of rules"
            raise read.unusable((*base, "groups", at), what, _REMEDY)
        count += len(group["rules"])
    if not 0 < count <= _MOST_RULES:
        what = f"holds {count} rules, more than {_MOST_RULES}" if count else "holds no rules"
        raise read.unusable((), what, "split it" if count else _REMEDY)
    return [(*base, "groups", at) for at in range(len(groups))]


def _not_rules(data: dict[str, Any]) -> tuple[str, str]:
    if not {"scrape_configs", "rule_files", "global"}.isdisjoint(data):
        return "is Prometheus' own configuration, not a file of rules", "name what its `rule_files:` names"
    if not {"route", "receivers"}.isdisjoint(data):
        return "is Alertmanager's configuration, not a file of rules", _REMEDY
    return "holds no `groups:`, so it is not a file of rules", _REMEDY


class _Reader:
    def __init__(self, read: Source, plan: str, interval: Ms) -> None:
        self.plan = plan
        self._read = read
        self._interval = interval
        self._groups = Names()
        self._triggers = Names()

    def group(self, loc: Loc) -> RuleGroup:
        raw = self._read.value(loc)
        notes: list[str] = []
        said = self._read.text((*loc, "name")) or f"group {loc[-1]}"
        name = self._groups.take(said)
        if name != said:
            notes.append(f"it was called {one_line(said)}")
        interval = self._every(loc, notes)
        head = {"name": name, "interval": span(interval)}
        head |= self._delay(loc, notes)
        if self._read.text((*loc, "limit")) not in ("", "0"):
            notes.append("its limit is lost: a trigger has as many subjects as there are")
        notes += [f"its key {one_line(key)} is lost" for key in raw if key not in _GROUP_KEYS]
        common = self._read.texts((*loc, "labels"))
        if common is None:
            notes.append("its labels are lost: they are no mapping of texts")
        rules = [
            carry(self._read, (*loc, "rules", at), common or {}, self._triggers, interval, self.plan)
            for at in range(len(raw["rules"]))
        ]
        return RuleGroup(name, head, rules, notes)

    def _every(self, loc: Loc, notes: list[str]) -> Ms:
        said = self._read.text((*loc, "interval"))
        if not said:
            notes.append(f"it says no interval: {span(self._interval)}, as --interval says")
            return self._interval
        found = duration(said)
        if found is None:
            notes.append(f"its interval {one_line(said)} is no duration: {span(self._interval)}")
            return self._interval
        interval = min(max(found, _SHORTEST), _LONGEST)
        if interval != found:
            notes.append(f"its interval {said} became {span(interval)}: a window is 1s to 1d")
        return interval

    def _delay(self, loc: Loc, notes: list[str]) -> dict[str, Any]:
        said = self._read.text((*loc, "query_offset"))
        offset = duration(said)
        if not said or not offset:
            return {}
        if offset > _MOST_DELAY:
            notes.append(f"its query_offset {said} is lost: a `delay` is 10m at most")
            return {}
        return {"delay": span(offset)}


def _comments(read: Source, places: list[Loc], groups: list[RuleGroup]) -> tuple[list[str], list[str]]:
    """Have every comment stand beside its rule or group; those before and after all of them."""
    owners: list[tuple[int, list[str]]] = [(read.document.where(places[0][:-1], at_key=True).line, [])]
    for loc, group in zip(places, groups, strict=True):
        owners.append((read.line(loc), group.comments))
        owners += [(rule.line, rule.comments) for rule in group.rules]
    owned, rest = beside("\n".join(read.lines), [line for line, _ in owners])
    for (_, into), texts in zip(owners, owned, strict=True):
        into += texts
    return owners[0][1], rest


class _Around(NamedTuple):
    start: str
    end: str
    today: date


class TooMuch(Exception):
    """The file that would be written could not be read as a whole."""


def _checked(around: _Around, groups: list[RuleGroup]) -> str:
    """The file, without the triggers that our own reader refuses: they are told of instead."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "imported.yml"
        while True:
            text, at = _written(around, groups)
            file.write_text(text, "utf-8")
            refused = errors(check_paths([file])) if at else []
            if not refused:
                return text if at else ""
            for problem in refused:
                place = bisect_right([line for line, _ in at], problem.line) - 1
                if place < 0:
                    raise TooMuch(problem.what)
                rule = at[place][1]
                rule.why = rule.why or f"{problem.key}: {problem.what}; {problem.remedy}"


def _written(around: _Around, groups: list[RuleGroup]) -> tuple[str, list[tuple[int, Rule]]]:
    """The text, and on which line each trigger begins."""
    parts, begins = [around.start], list[tuple[int, Rule]]()
    for group in groups:
        carried = [rule for rule in group.rules if not rule.why]
        parts.append(comment([*group.comments, *(f"import: {note}" for note in group.notes)], 2))
        if carried:
            parts.append(item(group.head, 2) + "    triggers:\n")
        else:
            parts.append(comment([f"import: group {group.name}: none of its rules could be carried"], 2))
        for rule in group.rules:
            parts.append(_told(rule))
            if not rule.why:
                begins.append((len(parts), rule))
                parts.append(trigger(rule.keys, 6, around.today))
    parts.append(around.end)
    ends = list(accumulate(part.count("\n") for part in parts))
    return "".join(parts), [(ends[at - 1] + 1, rule) for at, rule in begins]


def _told(rule: Rule) -> str:
    said = [f"import: {note}" for note in rule.notes] + [f"import: lost: {lost}" for lost in rule.lost]
    if rule.why:
        said = [f"import: NOT CARRIED: {rule.name} (line {rule.line}): {rule.why}"]
    return comment([*rule.comments, *said], 6)
