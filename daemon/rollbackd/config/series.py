"""Promtool's notation of series, labels and values (its documentation: "Unit testing for rules").

`a` one value · `axn` the value and n more of it · `a+bxn`, `a-bxn` the value and n more, each b further ·
`_` no sample, `_xn` n times none · `stale` the series ends. Beyond promtool: `?` where a caller allows it.
"""

from __future__ import annotations

import math
import re
from enum import Enum
from typing import Any, TypeAlias

import promql_parser as promql

from rollbackd.config.problem import one_line

MOST = 20_000
"""Values of one text."""


class Mark(Enum):
    ABSENT = "_"
    STALE = "stale"
    UNASKED = "?"


Value: TypeAlias = float | Mark

# A word takes in letters and digits that follow it: `NaNx3` is none, for promtool either.
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_WORD = r"[iI][nN][fF]|[nN][aA][nN]"
_ITEM = re.compile(
    rf"(?P<mark>[_?])(?:x(?P<times>[0-9]+))?"
    rf"|(?P<first>[+-]?(?:{_NUMBER}|{_WORD})|stale)(?P<by>[+-]{_NUMBER})x(?P<steps>[0-9]+)"
    rf"|(?P<same>[+-]?{_NUMBER})x(?P<more>[0-9]+)"
    rf"|(?P<one>[+-]?(?:{_NUMBER}|{_WORD})|stale)"
)


def labels(text: str) -> dict[str, str]:
    """The labels of `name{label="value"}`, the name as `__name__`. ValueError: in a few words, why not."""
    try:
        found: Any = promql.parse(text)
    except ValueError as error:
        raise ValueError(one_line(str(error), 160)) from None
    if not isinstance(found, promql.VectorSelector) or found.offset is not None or found.at is not None:
        raise ValueError("more than a name and labels")
    pairs = [] if found.name is None else [("__name__", found.name)]
    for matcher in found.matchers.matchers:
        if matcher.op != promql.MatchOp.Equal:
            raise ValueError(f"`{matcher.name}` is not given by `=`")
        pairs.append((matcher.name, matcher.value))
    if found.matchers.or_matchers:
        raise ValueError("`or` is no label")
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a label stands in it twice")
    return {name: value for name, value in sorted(pairs) if value}  # an empty label is none


def parse(text: str, *, unasked: bool = False) -> tuple[Value, ...]:
    """The values of a text, in their order; `unasked` allows `?`. ValueError: the word that is none."""
    values: list[Value] = []
    for item in re.split(r"[ \t]+", text.strip(" \t")):
        found = _ITEM.fullmatch(item)
        if found is None or (found["mark"] == "?" and not unasked):
            raise ValueError(item)
        count = int(found["times"] or found["steps"] or found["more"] or "0")
        if len(values) + count >= MOST:
            raise ValueError(item)
        values += _expanded(found, count)
    return tuple(values)


def _expanded(found: re.Match[str], count: int) -> list[Value]:
    if found["mark"] is not None:
        return [Mark(found["mark"])] * (1 if found["times"] is None else count)
    value = _value(found["first"] or found["same"] or found["one"])
    if found["by"] is None:
        return [value] * (1 + count)
    step = _number(found["by"])
    values = [value]
    for _ in range(count):  # as promtool: a sum of sums, not a product, and they differ in the last digits
        value = math.nan if isinstance(value, Mark) else value + step
        values.append(value)
    return values


def _value(text: str) -> Value:
    return Mark.STALE if text == "stale" else _number(text)


def _number(text: str) -> float:
    """As Go reads it: `010` is 8. ValueError: too large."""
    sign, digits = (text[0], text[1:]) if text[0] in "+-" else ("", text)
    octal = re.fullmatch(r"0[0-7]+", digits) is not None
    number = float(int(digits, 8)) if octal else float(digits)
    if math.isinf(number) and digits[0] in "0123456789.":
        raise ValueError(text)
    return -number if sign == "-" else number
