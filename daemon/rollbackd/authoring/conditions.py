"""An alert's expression as a condition: what is asked each window, and the comparison that is a breach.

An alert fires for every series that its expression leaves over. A trigger asks for a reading, and wants one
series for each subject: where the labels of an expression cannot be known, it is aggregated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

import promql_parser as promql

from rollbackd.authoring.expressions import (
    COMPARISONS,
    Sides,
    bracketed,
    constant,
    cut,
    peeled,
    reads_series,
)
from rollbackd.config.promql import analyse
from rollbackd.core.notation import parse_limit

_MOST_LABELS = 10
_LABEL = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_FLIPPED = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "==": "==", "!=": "!="}
_ON = re.compile(r"on\s*\(([\w\s,]*)\)", re.ASCII)
_COMPOSED = {"and": "all", "or": "any"}
_MOST_PARTS = 20
_ABSENT = ("absent", "absent_over_time")
_SUMS = frozenset(["sum", "count"])


class CannotCarry(Exception):
    """Why a rule does not become a trigger."""


@dataclass(slots=True)
class Carried:
    """A condition's keys, and what was changed. `lost`: what the alert tells and the trigger does not."""

    keys: dict[str, Any]
    per: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


class _Leaf(NamedTuple):
    """A reading and its comparison with a number."""

    expr: str
    node: Any
    operator: str
    number: float
    notes: tuple[str, ...] = ()
    on: frozenset[str] | None = None  # the labels that the two sides of a difference are matched by

    @property
    def labels(self) -> frozenset[str] | None:
        """All that its series can carry; None: unknown."""
        return analyse(self.expr).labels if self.on is None else self.on

    @property
    def breach(self) -> str:
        return limit(self.operator, self.number)


def limit(operator: str, number: float) -> str:
    """`> 0.01`. CannotCarry: no comparison can say that number."""
    said = f"{operator} {format(Decimal(repr(number)), 'f').removesuffix('.0')}" if _finite(number) else ""
    try:
        if parse_limit(said).value == number:
            return said
    except ValueError:
        pass
    raise CannotCarry(f"compares with {number:g}, which no `breach` can say: scale the expression")


def _finite(number: float) -> bool:
    return number - number == 0


def condition(text: str, named: tuple[str, ...] = ()) -> Carried:
    """The condition that says the same as the alert's expression. `named`: labels that its annotations
    name, which its series must have. CannotCarry otherwise."""
    try:
        kind = analyse(text).kind
        text, node = peeled(text)
    except ValueError as error:
        raise CannotCarry(f"its expression is not understood ({error})") from None
    if kind not in ("vector", "scalar"):
        raise CannotCarry(f"its expression yields a {kind}")
    if not reads_series(node):
        raise CannotCarry("its expression reads no series: it says nothing of a service")
    if _is_absent(node):
        return _absent(text)
    if isinstance(node, promql.BinaryExpr) and str(node.op) in COMPARISONS:
        return _compared(text, node, named)
    if isinstance(node, promql.BinaryExpr) and str(node.op) in _COMPOSED:
        composed = _composed(text, node)
        if composed is not None:
            return composed
    return _existing(text, named)


def _is_absent(node: Any) -> bool:
    return isinstance(node, promql.Call) and node.func.name in _ABSENT


def _absent(text: str) -> Carried:
    """While the series is there `absent()` yields nothing; a trigger wants to be told that all is well."""
    note = "yields 0 while the series is there, so that it can be `ok`"
    return Carried({"expr": f"max({text} or vector(0))", "breach": "> 0"}, notes=[note])


def _compared(text: str, node: Any, named: tuple[str, ...]) -> Carried:
    leaf = _leaf(text, node)
    if _is_absent(leaf.node):
        if not parse_limit(leaf.breach).holds(1.0):
            raise CannotCarry(f"`absent()` yields 1 or nothing, which is never {leaf.breach}: it never fires")
        return _absent(leaf.expr)
    ratio = _ratio(leaf)
    if ratio is not None:
        return ratio
    return _spread(leaf, named)


def _leaf(text: str, node: Any) -> _Leaf:
    if node.modifier is not None and node.modifier.return_bool:
        raise CannotCarry("`bool` at the top has a series in any case, so it always fires: remove `bool`")
    sides = cut(text, node)
    if sides is None:
        raise CannotCarry("its comparison cannot be found for certain: write `expr` and `breach` by hand")
    left, right = constant(node.lhs), constant(node.rhs)
    if right is not None and left is None:
        reading, tree = peeled(sides.left)
        return _Leaf(reading, tree, sides.operator, right, _computed(sides.right, node.rhs))
    if left is not None and right is None:
        reading, tree = peeled(sides.right)
        return _Leaf(reading, tree, _FLIPPED[sides.operator], left, _computed(sides.left, node.lhs))
    return _difference(sides)


def _computed(text: str, node: Any) -> tuple[str, ...]:
    if not isinstance(node, promql.BinaryExpr) or "#" in text:
        return ()
    return (f"{' '.join(text.split())} is {constant(node):g}",)


def _difference(sides: Sides) -> _Leaf:
    matching = f"{sides.matching} " if sides.matching else ""
    reading = f"{bracketed(sides.left)} - {matching}{bracketed(sides.right)}"
    note = (
        f"compares two expressions: the reading is their difference, a breach where it is {sides.operator} 0"
    )
    node: Any = promql.parse(reading)
    on = _ON.fullmatch(sides.matching)
    labels = frozenset(re.findall(r"\w+", on[1])) if on else None
    return _Leaf(reading, node, sides.operator, 0.0, (note,), labels)


def _ratio(leaf: _Leaf) -> Carried | None:
    """`sum by (a) (x) / sum by (a) (y) > 0.01`: errors that are absent beside a total are no breach, in the
    alert as in a `ratio`. For `<` they would be."""
    node = leaf.node
    above = leaf.number >= 0 if leaf.operator == ">" else leaf.operator == ">=" and leaf.number > 0
    if not above or not isinstance(node, promql.BinaryExpr) or str(node.op) != "/":
        return None
    sides = cut(leaf.expr, node)
    if sides is None or sides.matching or not all(map(_is_sum, (node.lhs, node.rhs))):
        return None
    errors, total = analyse(sides.left), analyse(sides.right)
    if errors.labels is None or errors.labels != total.labels or not _few(errors.labels):
        return None
    keys = {"ratio": {"errors": sides.left, "total": sides.right}, "breach": leaf.breach}
    return Carried(keys, sorted(errors.labels), list(leaf.notes))


def _is_sum(node: Any) -> bool:
    while isinstance(node, promql.ParenExpr):
        node = node.expr
    return isinstance(node, promql.AggregateExpr) and str(node.op) in _SUMS


def _few(labels: frozenset[str]) -> bool:
    return len(labels) <= _MOST_LABELS and all(map(_LABEL.fullmatch, labels))


def _composed(text: str, node: Any) -> Carried | None:
    """`a > 1 and b > 2` as `all:`, `or` as `any:`, where all parts certainly have the same labels."""
    parts = _parts(text, str(node.op))
    try:
        found = [_certain(part) for part in parts]
    except CannotCarry:
        return None
    first = found[0]
    if (
        first is None
        or len(found) > _MOST_PARTS
        or any(each is None or each.per != first.per for each in found)
    ):
        return None
    carried = [each for each in found if each is not None]
    keys = {_COMPOSED[str(node.op)]: [each.keys for each in carried]}
    return Carried(keys, first.per, [note for each in carried for note in each.notes])


def _parts(text: str, operator: str) -> list[str]:
    """What the operator joins, without labels to match by; else the text itself."""
    text, node = peeled(text)
    if not isinstance(node, promql.BinaryExpr) or str(node.op) != operator:
        return [text]
    sides = cut(text, node)
    if sides is None or sides.matching:
        return [text]
    return [*_parts(sides.left, operator), *_parts(sides.right, operator)]


def _certain(text: str) -> Carried | None:
    """A comparison with a number of something whose labels are known."""
    text, node = peeled(text)
    if not isinstance(node, promql.BinaryExpr) or str(node.op) not in COMPARISONS:
        return None
    leaf = _leaf(text, node)
    if leaf.labels is None or not _few(leaf.labels) or _is_absent(leaf.node):
        return None
    return _ratio(leaf) or _spread(leaf, ())


def _spread(leaf: _Leaf, named: tuple[str, ...]) -> Carried:
    """One series for each subject."""
    labels = leaf.labels
    if labels is not None and _few(labels):
        return Carried({"expr": leaf.expr, "breach": leaf.breach}, sorted(labels), list(leaf.notes))
    per = _subjects(leaf.node, named)
    by = f" by ({', '.join(per)})" if per else ""
    if leaf.operator in ("==", "!="):
        test = f"{bracketed(leaf.expr)} {leaf.operator} bool {leaf.breach.split()[1]}"
        keys = {"expr": f"max{by} ({test})", "breach": "> 0"}
    else:
        worst = "max" if leaf.operator in (">", ">=") else "min"
        keys = {"expr": f"{worst}{by} {bracketed(leaf.expr)}", "breach": leaf.breach}
    return Carried(keys, list(per), list(leaf.notes), [_joined(per)])


def _joined(per: tuple[str, ...]) -> str:
    if per:
        return f"which labels its series have is not said: they are told apart by {', '.join(per)} alone"
    return (
        "which labels its series have is not said: they share one streak; aggregate by what tells them apart"
    )


def _subjects(node: Any, named: tuple[str, ...]) -> tuple[str, ...]:
    """The labels to tell series apart by, where the expression does not say which there are."""
    if named:
        return named[:_MOST_LABELS]
    if isinstance(node, promql.VectorSelector) and node.name == "up":
        return "instance", "job"  # Prometheus' own
    return ()


def _existing(text: str, named: tuple[str, ...]) -> Carried:
    """Whatever else: a breach where the expression leaves a series over."""
    labels = analyse(text).labels
    known = labels is not None and _few(labels)
    per = tuple(sorted(labels)) if known and labels is not None else named[:_MOST_LABELS]
    lost = [] if known else [_joined(per)]
    lost.append("no series means that all is well, as for the alert: a dead exporter is not noticed")
    if per:
        keys = {"expr": f"count by ({', '.join(per)}) {bracketed(text)}", "breach": "> 0", "no_data": "ok"}
    else:
        keys = {"expr": f"count{bracketed(text)} or vector(0)", "breach": "> 0"}
    return Carried(keys, list(per), [], lost)
