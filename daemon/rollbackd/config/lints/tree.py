"""An expression as lints look at it: plain nodes, each with what stands around it.

The library's tree is read once; what matters to no lint (positions, parentheses, signs) is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import promql_parser as promql

from rollbackd.config.promql import milliseconds, operator_text, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.model import Ms

Kind = Literal["selector", "range", "subquery", "call", "aggregate", "binary", "number", "string"]

COMPARISONS = frozenset([">", ">=", "<", "<=", "==", "!="])


class Matcher(NamedTuple):
    label: str
    op: str  # = != =~ !~
    value: str


@dataclass(frozen=True, slots=True)
class Node:
    """`name`: of the metric, the function, the aggregation or the operator. `by` and `without`: the labels of
    an aggregation; `on` and `ignoring`: of a match of two vectors one to one. None where nothing is said."""

    kind: Kind
    name: str = ""
    inside: tuple[Node, ...] = ()
    matchers: tuple[Matcher, ...] = ()
    by: frozenset[str] | None = None
    without: frozenset[str] | None = None
    on: frozenset[str] | None = None
    ignoring: frozenset[str] | None = None
    bool_: bool = False
    right: bool = False  # group_right: the series are those of the right side
    moved: bool = False  # offset or @: another time than the window's end
    fixed: bool = False  # @ with a number: always the same time
    length: Ms = 0
    number: float = 0.0


class Place(NamedTuple):
    """A node, and what holds it, outermost first: each with the index of the child that leads here."""

    node: Node
    above: tuple[tuple[Node, int], ...]

    @property
    def moved(self) -> bool:
        """Whether it is looked at at another time than the window's end."""
        return self.node.moved or any(node.moved for node, _ in self.above)

    def within(self, kind: Kind, *names: str) -> bool:
        """Whether something of that kind (and of one of the names) holds it."""
        return any(each.kind == kind and (not names or each.name in names) for each, _ in self.above)


class Tree(NamedTuple):
    root: Node
    places: tuple[Place, ...]  # every node, the root first
    selectors: tuple[Node, ...]

    def of(self, kind: Kind, *names: str) -> Iterator[Place]:
        for place in self.places:
            if place.node.kind == kind and (not names or place.node.name in names):
                yield place


@lru_cache(maxsize=4096)
def tree(text: str) -> Tree:
    """The tree of an expression that was parsed before, so that it is sound."""
    root = _node(parsed(text))
    places: list[Place] = []
    _spread(root, (), places)
    found = tuple(place.node for place in places if place.node.kind == "selector")
    return Tree(root, tuple(places), found)


def nodes(node: Node) -> Iterator[Node]:
    """The node and all inside it."""
    yield node
    for inner in node.inside:
        yield from nodes(inner)


def selectors(node: Node) -> Iterator[Node]:
    return (each for each in nodes(node) if each.kind == "selector")


def _spread(node: Node, above: tuple[tuple[Node, int], ...], into: list[Place]) -> None:
    into.append(Place(node, above))
    for index, inner in enumerate(node.inside):
        _spread(inner, (*above, (node, index)), into)


def _node(node: Any) -> Node:
    match node:
        case promql.ParenExpr() | promql.UnaryExpr():
            return _node(node.expr)
        case promql.NumberLiteral():
            return Node("number", number=node.val)
        case promql.VectorSelector():
            return _selector(node)
        case promql.MatrixSelector():
            inner = _selector(node.vector_selector)
            return Node("range", inside=(inner,), length=milliseconds(node.range))
        case promql.SubqueryExpr():
            moved = node.offset is not None or node.at is not None
            return Node("subquery", inside=(_node(node.expr),), moved=moved, length=milliseconds(node.range))
        case promql.AggregateExpr():
            return _aggregate(node)
        case promql.Call():
            return Node("call", node.func.name, tuple(map(_node, node.args)))
        case promql.BinaryExpr():
            return _binary(node)
    return Node("string")


def _selector(node: Any) -> Node:
    matchers = tuple(Matcher(one.name, operator_text(one), one.value) for one in node.matchers.matchers)
    name = node.name or next((one.value for one in matchers if one[:2] == ("__name__", "=")), "")
    moved = node.offset is not None or node.at is not None
    return Node("selector", name, matchers=matchers, moved=moved, fixed=_fixed(node.at))


def _fixed(at: Any) -> bool:
    return at is not None and at.type == promql.AtModifierType.At


def _aggregate(node: Any) -> Node:
    by = without = None
    if node.modifier is not None:
        labels = frozenset(node.modifier.labels)
        by, without = (labels, None) if node.modifier.type == promql.AggModifierType.By else (None, labels)
    parameters = (_node(node.param),) if node.param is not None else ()
    return Node("aggregate", str(node.op), (*parameters, _node(node.expr)), by=by, without=without)


def _binary(node: Any) -> Node:
    modifier, on, ignoring, right = node.modifier, None, None, False
    if modifier is not None:
        right = modifier.card == promql.VectorMatchCardinality.OneToMany
        if modifier.matching is not None and modifier.card == promql.VectorMatchCardinality.OneToOne:
            labels = frozenset(modifier.matching.labels)
            include = modifier.matching.type == promql.LabelModifierType.Include
            on, ignoring = (labels, None) if include else (None, labels)
    return Node(
        "binary",
        str(node.op).removesuffix(" bool"),
        (_node(node.lhs), _node(node.rhs)),
        on=on,
        ignoring=ignoring,
        bool_=modifier is not None and bool(modifier.return_bool),
        right=right,
    )
