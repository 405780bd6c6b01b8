"""A PromQL expression's text cut where its own operator stands: both sides stay as people wrote them.

The parser gives no positions. Each place where the operator's sign stands outside brackets and strings is
tried: it is the one where both sides parse to the sides of the tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import promql_parser as promql

COMPARISONS = frozenset([">", ">=", "<", "<=", "==", "!="])
_MODIFIERS = re.compile(
    r"\s*(?:bool\b\s*)?((?:on|ignoring)\s*\([^()]*\)\s*(?:(?:group_left|group_right)\b\s*(?:\([^()]*\))?\s*)?)?"
)
_MOST_TRIED = 200


class Sides(NamedTuple):
    """`left operator matching right`; `matching` is `on (…) group_left (…)` or empty."""

    left: str
    operator: str
    matching: str
    right: str


def peeled(text: str) -> tuple[str, Any]:
    """The text and its tree without the brackets around all of it. ValueError: it does not parse."""
    text = text.strip()
    node = promql.parse(text)
    while isinstance(node, promql.ParenExpr) and text.startswith("(") and text.endswith(")"):
        text, node = text[1:-1].strip(), node.expr
    return text, node


def cut(text: str, node: Any) -> Sides | None:
    """The sides of a binary expression; None where its operator cannot be found for certain."""
    operator = str(node.op)
    for tried, at in enumerate(_places(text, operator)):
        if tried >= _MOST_TRIED:
            break
        left, rest = text[:at].strip(), text[at + len(operator) :]
        match = _MODIFIERS.match(rest)
        right = rest[match.end() :].strip() if match else rest.strip()
        if _says(left, node.lhs) and _says(right, node.rhs):
            return Sides(left, operator, match[1].strip() if match and match[1] else "", right)
    return None


def _says(text: str, node: Any) -> bool:
    try:
        return bool(text) and str(promql.parse(text)) == str(node)
    except ValueError:
        return False


_TOKEN = re.compile(
    r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|[A-Za-z_:][\w:]*|[<>=!]=|.""", re.DOTALL
)


def _places(text: str, operator: str) -> Iterator[int]:
    """Where the operator stands outside brackets, strings and comments."""
    depth = 0
    for token in _TOKEN.finditer(text):
        said = token[0]
        depth += (said in "([{") - (said in ")]}") if len(said) == 1 else 0
        if depth == 0 and said == operator:
            yield token.start()


def bracketed(text: str) -> str:
    """In brackets, which a comment at its end must not swallow."""
    return f"({text}\n)" if "#" in text else f"({text})"


def constant(node: Any) -> float | None:
    """The value of numbers and what is computed from numbers alone: `5 * 60`."""
    match node:
        case promql.NumberLiteral():
            return float(node.val)
        case promql.ParenExpr():
            return constant(node.expr)
        case promql.UnaryExpr():
            inner = constant(node.expr)
            return None if inner is None else -inner if str(node).startswith("-") else inner
        case promql.BinaryExpr():
            left, right = constant(node.lhs), constant(node.rhs)
            return None if left is None or right is None else _computed(str(node.op), left, right)
    return None


def _computed(operator: str, left: float, right: float) -> float | None:
    try:
        match operator:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "/":
                return left / right
    except (OverflowError, ZeroDivisionError):
        return None
    return None


def reads_series(node: Any) -> bool:
    """Whether any part of it selects series."""
    if isinstance(node, promql.VectorSelector | promql.MatrixSelector):
        return True
    inner = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "param")]
    return any(map(reads_series, [each for each in (*inner, *getattr(node, "args", ())) if each is not None]))
