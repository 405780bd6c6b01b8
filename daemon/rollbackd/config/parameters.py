"""Parameters of templates: values read strictly, and written so that none can change an expression's form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import promql_parser as promql

from rollbackd.config.models.types import LABEL, Duration, Matching, Number, Text, Whole, refuse, shown
from rollbackd.config.promql import escaped, matcher_text
from rollbackd.core.notation import span

if TYPE_CHECKING:
    from rollbackd.config.models.library import ParameterModel

MOST = 10**15
METRIC = Matching(form=r"[A-Za-z_:][A-Za-z0-9_:]*", says="letters, digits, `_` and `:`, no digit first")


@dataclass(frozen=True, slots=True)
class Value:
    """`data` in place of a whole value of the YAML, `text` inside a text, `promql` inside an expression."""

    data: Any
    text: str
    promql: str


def _plain(value: Any) -> Value:
    return Value(value, str(value), str(value))


def _label_value(value: object) -> Value:
    text = Text(least=0).parse(value)
    return Value(text, text, escaped(text))


def _regex(value: object) -> Value:
    text = Text().parse(value)
    try:
        promql.parse(f'x{{a=~"{escaped(text)}"}}')
    except ValueError:
        what = f"{shown(text)} is not a regular expression"
        raise refuse(what, "look for an open bracket; Prometheus has RE2's, without look-around") from None
    return Value(text, text, escaped(text))


def _labels(value: object) -> Value:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or len(names) > 10:
        raise refuse(f"expected at most 10 label names, got {shown(value)}", "write [one, two]")
    names = [LABEL.parse(name) for name in names]
    return Value(names, ", ".join(names), ", ".join(names))


def _matchers(value: object) -> Value:
    """`namespace="prod",job=~"api.*"`, parsed and written anew: what is more than matchers is refused."""
    text = Text(least=0, most=1000).parse(value)
    remedy = 'write it like namespace="prod",job=~"api.*"'
    try:
        node: Any = promql.parse(f"x{{{text}}}")
    except ValueError:
        raise refuse(f"{shown(text)} is not a list of label matchers", remedy) from None
    sound = isinstance(node, promql.VectorSelector) and node.offset is None and node.at is None
    if not sound or node.matchers.or_matchers or any(map(_odd, node.matchers.matchers)):
        raise refuse(f"{shown(text)} is not a list of label matchers", remedy)
    written = ",".join(map(matcher_text, node.matchers.matchers))
    return Value(written, written, written)


def _odd(matcher: Any) -> bool:
    return re.fullmatch(LABEL.form, matcher.name, re.ASCII) is None


_READ: Final[Mapping[str, Callable[[object], Value]]] = {
    "label-value": _label_value,
    "regex": _regex,
    "label-name": lambda value: _plain(LABEL.parse(value)),
    "labels": _labels,
    "matchers": _matchers,
    "metric-name": lambda value: _plain(METRIC.parse(value)),
}


def parse(parameter: ParameterModel, value: object) -> Value:
    """The value as the parameter's type has it. PydanticCustomError of `refuse` where it cannot be."""
    low, high = parameter.at_least, parameter.at_most
    match parameter.type:
        case "number":
            Number(-MOST if low is None else low, MOST if high is None else high).parse(value)
            return _plain(value)
        case "whole":
            return _plain(Whole(0 if low is None else low, MOST if high is None else high).parse(value))
        case "duration":
            return _plain(span(Duration(low or "1s", high or "30d").parse(value)))
    return _READ[parameter.type](value)
