"""What can be known of a PromQL expression without a Prometheus."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import promql_parser as promql

from rollbackd.config.problem import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from rollbackd.core.model import Ms

MAX_LENGTH = 8192
MAX_NESTING = 100

Kind = Literal["vector", "scalar", "matrix", "string"]
_MANY_SIGNS = re.compile(r"(?:[-+]\s*){50}")  # parsing them takes time that grows with their square
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t", "\r": r"\r"})
KEEP_LABELS = re.compile(
    r"(abs|ceil|clamp|clamp_max|clamp_min|exp|floor|ln|log10|log2|round|sgn|sort|sort_desc|sqrt|timestamp"
    r"|rate|irate|increase|delta|idelta|deriv|changes|resets|predict_linear"
    r"|(avg|count|max|min|sum|stddev|stdvar|quantile|present)_over_time)\Z"
)
"""Functions whose series carry the labels of what they read."""

_GROUPING = frozenset(["sum", "min", "max", "avg", "count", "group", "stddev", "stdvar", "quantile"])
"""Aggregations whose series carry exactly the labels of `by`."""


_COMPARISONS = frozenset([">", ">=", "<", "<=", "==", "!="])


@dataclass(frozen=True, slots=True)
class Expression:
    """`selectors` are the instant selectors whose newest sample decides a reading (rule W14): distinct, in
    their order, without those at another time (`offset`, `@`) and those whose absence is normal (inside
    `absent`, left of `or`, right of `unless`). `labels`: all labels a series can carry; None if unknown."""

    kind: Kind
    longest_range: Ms
    selectors: tuple[str, ...]
    labels: frozenset[str] | None
    filters: str | None = None  # the comparison at the top: what does not satisfy it is absent


@lru_cache(maxsize=16_384)
def parsed(text: str) -> Any:
    """The library's tree of an expression. ValueError where it is none, or too much of one."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"longer than {MAX_LENGTH} characters")
    if _MANY_SIGNS.search(text) or _nesting(text) > MAX_NESTING:
        raise ValueError(f"nested deeper than {MAX_NESTING} levels")
    return promql.parse(text)


@lru_cache(maxsize=16_384)
def analyse(text: str) -> Expression:
    """What is known of an expression. ValueError with what is wrong, in one line."""
    try:
        found: dict[str, None] = {}
        tree = parsed(text)
        reading = _visit(tree, found, counts=True)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:
        raise ValueError(one_line(str(error), 160)) from None
    return Expression(reading.kind, reading.longest, tuple(found), reading.labels, _filter(tree))


def coverage(expression: Expression, per: tuple[str, ...]) -> tuple[str, ...]:
    """The queries for the time of each selector's newest sample (rule W14)."""
    by = f" by ({', '.join(per)}) " if per else ""
    return tuple(f"max{by}(timestamp({selector}))" for selector in expression.selectors)


MOST_SELECTORS = 32
"""Of one query for scrapes; more are joined where they differ in label values alone."""


def scraped(expressions: Iterable[Expression]) -> tuple[str, str] | None:
    """The queries for when the targets behind these expressions were last scraped, and for how long; None
    where there is nothing to be scraped, or too much of it."""
    selectors = list(dict.fromkeys(one for each in expressions for one in each.selectors))
    if len(selectors) > MOST_SELECTORS:
        selectors = _common(selectors)
    if not 0 < len(selectors) <= MOST_SELECTORS or "" in selectors or sum(map(len, selectors)) > MAX_LENGTH:
        return None
    targets = f"and on (job, instance) ({' or '.join(selectors)})"
    return f"timestamp(up) {targets}", f"scrape_duration_seconds {targets}"


def _common(selectors: list[str]) -> list[str]:
    """One selector a metric, with the matchers that all of that metric have."""
    found: dict[str, list[str]] = {}
    for selector in selectors:
        node: Any = promql.parse(selector)
        matchers = [matcher_text(matcher) for matcher in node.matchers.matchers]
        name = node.name or ""
        found[name] = [one for one in found.get(name, matchers) if one in matchers]
    return [name + (f"{{{','.join(matchers)}}}" if matchers else "") for name, matchers in found.items()]


def _filter(node: Any) -> str | None:
    """`> 0.02` of `foo > 0.02`; None where the expression tells healthy from missing."""
    while isinstance(node, promql.ParenExpr):
        node = node.expr
    if not isinstance(node, promql.BinaryExpr) or str(node.op) not in _COMPARISONS:
        return None
    if node.modifier is not None and node.modifier.return_bool:
        return None
    return f"{node.op} {node.rhs}"


def _nesting(text: str) -> int:
    depth = deepest = 0
    for char in text:
        if char in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in ")]}":
            depth -= 1
    return deepest


@dataclass(slots=True)
class _Reading:
    kind: Kind
    longest: Ms = 0
    labels: frozenset[str] | None = None


def _visit(node: Any, found: dict[str, None], counts: bool) -> _Reading:
    match node:
        case promql.ParenExpr() | promql.UnaryExpr():
            return _visit(node.expr, found, counts)
        case promql.NumberLiteral():
            return _Reading("scalar", labels=frozenset())
        case promql.StringLiteral():
            return _Reading("string")
        case promql.VectorSelector():
            if counts and node.offset is None and node.at is None:
                found[_selector(node)] = None
            return _Reading("vector")
        case promql.MatrixSelector():
            inner = _visit(node.vector_selector, found, counts)
            return _Reading("matrix", inner.longest + milliseconds(node.range))
        case promql.SubqueryExpr():
            inner = _visit(node.expr, found, counts and node.offset is None and node.at is None)
            return _Reading("matrix", inner.longest + milliseconds(node.range), inner.labels)
        case promql.AggregateExpr():
            return _aggregate(node, found, counts)
        case promql.Call():
            return _call(node, found, counts)
        case promql.BinaryExpr():
            return _binary(node, found, counts)
    raise ValueError(f"{type(node).__name__} is not understood")


def _aggregate(node: Any, found: dict[str, None], counts: bool) -> _Reading:
    inner = _visit(node.expr, found, counts)
    modifier = node.modifier
    labels: frozenset[str] | None = None
    if str(node.op) in _GROUPING:
        if modifier is None:
            labels = frozenset()
        elif modifier.type == promql.AggModifierType.By:
            labels = frozenset(modifier.labels)
    else:
        labels = inner.labels if modifier is None and str(node.op) in ("topk", "bottomk") else None
    return _Reading("vector", inner.longest, labels)


def _call(node: Any, found: dict[str, None], counts: bool) -> _Reading:
    name = node.func.name
    inside = [_visit(argument, found, counts and not name.startswith("absent")) for argument in node.args]
    kind: Kind = "scalar" if node.func.return_type == promql.ValueType.Scalar else "vector"
    labels: frozenset[str] | None = None
    if kind == "scalar" or name in ("vector", "time"):
        labels = frozenset()
    elif KEEP_LABELS.match(name):
        labels = next((each.labels for each in inside if each.kind in ("vector", "matrix")), None)
    elif name == "histogram_quantile" and inside[-1].labels is not None:
        labels = inside[-1].labels - {"le"}
    return _Reading(kind, max((each.longest for each in inside), default=0), labels)


def _binary(node: Any, found: dict[str, None], counts: bool) -> _Reading:
    operator = str(node.op)
    left = _visit(node.lhs, found, counts and operator != "or")
    right = _visit(node.rhs, found, counts and operator != "unless")
    longest = max(left.longest, right.longest)
    if left.kind == right.kind == "scalar":
        return _Reading("scalar", longest, frozenset())
    if left.kind == "scalar":
        return _Reading("vector", longest, right.labels)
    if right.kind == "scalar" or operator in ("and", "unless"):
        return _Reading("vector", longest, left.labels)
    return _Reading("vector", longest, _joined(node, operator, left, right))


def _joined(node: Any, operator: str, left: _Reading, right: _Reading) -> frozenset[str] | None:
    """The labels of one vector matched with another, where they are certain."""
    modifier = node.modifier
    if operator == "or":
        known = left.labels is not None and right.labels is not None
        return left.labels | right.labels if known else None  # type: ignore[operator]
    if modifier is None or (modifier.matching is None and not modifier.group_labels):
        return left.labels if left.labels is not None else right.labels
    return None


def milliseconds(range_: timedelta | None) -> Ms:
    """0 for none."""
    return round(range_.total_seconds() * 1000) if range_ is not None else 0


_OPERATORS = (
    (promql.MatchOp.Equal, "="),
    (promql.MatchOp.NotEqual, "!="),
    (promql.MatchOp.Re, "=~"),
    (promql.MatchOp.NotRe, "!~"),
)


def _selector(node: Any) -> str:
    """The selector's own text. (The library's `str()` does not escape label values.)"""
    groups = [node.matchers.matchers, *node.matchers.or_matchers]
    inside = " or ".join(",".join(map(matcher_text, group)) for group in groups if group)
    return (node.name or "") + (f"{{{inside}}}" if inside else "")


def matcher_text(matcher: Any) -> str:
    """A matcher as PromQL."""
    return f'{matcher.name}{operator_text(matcher)}"{escaped(matcher.value)}"'


def operator_text(matcher: Any) -> str:
    """`=~` of `code=~"5.."`."""
    return next(text for op, text in _OPERATORS if op == matcher.op)


def escaped(value: str) -> str:
    """A text as it stands between the quotes of PromQL."""
    return value.translate(_ESCAPES)
