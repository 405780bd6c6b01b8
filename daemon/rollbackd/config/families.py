"""Which triggers can be asked at once: those that differ in nothing but the value of one label (W11).

`sum(rate(x{service="a"}[1m]))` and its like for `b` are `sum by (service) (rate(x{service=~"a|b"}[1m]))`.
For each value that yields the very series that was asked for, with the label added, where all of this holds:

- an aggregation of the whitelist, with `by` or nothing, over one selector, of which a function of the
  whitelist may have been taken first: it works on each series by itself and keeps its labels;
- the selector has one matcher for the label, `=` with a value that is not empty (empty means absent);
- the label is not among the trigger's `per`, so that it can be told apart and taken off.

An aggregation then sees, for each value, the same samples in the same order. All queries of a window must be
such, of one label and one value. Whatever else a trigger asks is asked by itself.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import promql_parser as promql

from rollbackd.config.promql import matcher_text
from rollbackd.core.judging import window_queries
from rollbackd.core.model import SEPARATOR, Family, Opened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rollbackd.core.model import Trigger

AGGREGATIONS = frozenset(["sum", "min", "max", "avg", "count"])
FUNCTIONS = frozenset(
    ["rate", "irate", "increase", "delta", "idelta", "deriv", "changes", "resets"]
    + [f"{how}_over_time" for how in ("avg", "min", "max", "sum", "count", "last", "present")]
)
"""Of one range, and `timestamp` of an instant: each series by itself, its labels kept (but its name)."""

_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*\Z")


class Choice(NamedTuple):
    """One query with one label's value left open."""

    label: str
    value: str
    head: str
    tail: str


def families(triggers: Iterable[Trigger]) -> tuple[Family, ...]:
    """The families of two and more. Where several labels could be left open, the one that most others
    of the group leave open too."""
    candidates = {trigger.name: list(_candidates(trigger)) for trigger in triggers}
    sizes: dict[str, int] = defaultdict(int)
    for found in candidates.values():
        for key, _ in found:
            sizes[key] += 1
    members: dict[str, dict[str, str]] = defaultdict(dict)
    choices: dict[str, tuple[Choice, ...]] = {}
    for name, found in candidates.items():
        if found:
            key, chosen = max(found, key=lambda one: sizes[one[0]])
            members[key][name] = chosen[0].value
            choices[key] = chosen
    return tuple(
        Family(key, choices[key][0].label, tuple(Opened(one.head, one.tail) for one in choices[key]), named)
        for key, named in members.items()
        if len(named) > 1
    )


def _candidates(trigger: Trigger) -> Iterator[tuple[str, tuple[Choice, ...]]]:
    """Each label that all queries of the trigger's window leave open, with the key of that family."""
    queries = window_queries(trigger.condition)
    first, *others = ({choice.label: choice for choice in choices(query.expr)} for query in queries)
    for label, choice in first.items():
        rest = [other.get(label) for other in others]
        chosen = [choice, *(one for one in rest if one is not None and one.value == choice.value)]
        if len(chosen) == len(queries) and label not in trigger.per:
            shape = [(one.head, one.tail, query.role) for one, query in zip(chosen, queries, strict=True)]
            means = (trigger.group, trigger.interval, trigger.align, trigger.delay, trigger.per, label, shape)
            yield hashlib.sha256(msgspec.json.encode(means)).hexdigest()[:16], tuple(chosen)


def choices(expr: str) -> list[Choice]:
    """The ways to leave one label's value open; none where that is not known to be the same."""
    node: Any = promql.parse(expr)
    by = _aggregation(node)
    if by is None:
        return []
    inner, head, tail = node.expr, "(", ")"
    if isinstance(inner, promql.Call):
        name = inner.func.name
        if name not in FUNCTIONS and name != "timestamp":
            return []
        (inner,), head, tail = inner.args, f"({name}(", "))"
        if (name == "timestamp") != isinstance(inner, promql.VectorSelector):
            return []
    if isinstance(inner, promql.MatrixSelector):
        milliseconds = round(inner.range.total_seconds() * 1000)
        inner, tail = inner.vector_selector, f"[{milliseconds}ms]{tail}"
    if not isinstance(inner, promql.VectorSelector) or inner.offset is not None or inner.at is not None:
        return []
    return list(_open(inner, str(node.op), by, head, tail))


def _aggregation(node: Any) -> list[str] | None:
    """The labels of `by`, of an aggregation that is known to be the same; else None."""
    if not isinstance(node, promql.AggregateExpr) or str(node.op) not in AGGREGATIONS:
        return None
    if node.modifier is None:
        return []
    by = list(node.modifier.labels)
    sound = node.modifier.type == promql.AggModifierType.By and all(map(_LABEL.match, by))
    return by if sound else None


def _open(selector: Any, operation: str, by: list[str], head: str, tail: str) -> Iterator[Choice]:
    matchers = selector.matchers.matchers
    names = [matcher.name for matcher in matchers]
    if selector.matchers.or_matchers or not all(_LABEL.match(name) or name == "__name__" for name in names):
        return
    for index, matcher in enumerate(matchers):
        label, value = matcher.name, matcher.value
        if matcher.op != promql.MatchOp.Equal or not value or SEPARATOR in value:
            continue
        if label == "__name__" or names.count(label) > 1:
            continue
        before = "".join(f"{matcher_text(one)}," for one in matchers[:index])
        after = "".join(f",{matcher_text(one)}" for one in matchers[index + 1 :])
        grouping = ", ".join(dict.fromkeys([*by, label]))
        opening = f'{operation} by ({grouping}) {head}{selector.name or ""}{{{before}{label}=~"'
        yield Choice(label, value, opening, f'"{after}}}{tail}')
