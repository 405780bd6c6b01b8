"""The comments of a YAML file, and beside what they stand."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_EDITORS = "yaml-language-server:"


class _Comment(NamedTuple):
    line: int  # counted from 0, as all lines here
    text: str  # without its sign
    alone: bool  # on a line of its own


class _Value(NamedTuple):
    """From where to where a plain value stands; `block`: it is one of several lines behind a sign."""

    line: int
    column: int
    last: int
    end: int
    block: bool


def beside(text: str, starts: Sequence[int]) -> tuple[list[list[str]], list[str]]:
    """The comments of what begins on each of the lines (counted from 1, ascending), and those after all.

    A comment belongs to that inside which it stands; alone between two, to the one that follows. What an
    editor was told is left out.
    """
    values = _values(text)
    firsts = [line - 1 for line in starts]
    owned: list[list[str]] = [[] for _ in firsts]
    rest: list[str] = []
    for comment in _comments(text, values):
        if comment.text.strip().startswith(_EDITORS):
            continue
        at = bisect_right(firsts, comment.line) - 1
        if comment.alone and (at < 0 or _ended(values, firsts, at) < comment.line):
            at = bisect_left(firsts, comment.line)
        (owned[max(at, 0)] if at < len(owned) else rest).append(comment.text)
    return owned, rest


def _ended(values: list[_Value], firsts: list[int], at: int) -> int:
    """The last line of the values of what begins on `firsts[at]`, before the next begins."""
    end = bisect_left(values, (firsts[at + 1],)) if at + 1 < len(firsts) else len(values)
    return values[end - 1].last if end else -1


def _values(text: str) -> list[_Value]:
    """In their order."""
    found = []
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.ScalarEvent):
            start, end = _mark(event.start_mark), _mark(event.end_mark)
            last = end.line - (1 if end.column == 0 and end.line > start.line else 0)
            found.append(_Value(start.line, start.column, last, end.column, event.style in ("|", ">")))
    return sorted(found)


def _mark(mark: Any) -> Any:
    return mark  # the stubs allow None, which no event of a parser has


def _comments(text: str, values: list[_Value]) -> list[_Comment]:
    by_line: dict[int, list[_Value]] = {}
    for value in values:
        for line in range(value.line, value.last + 1):
            by_line.setdefault(line, []).append(value)
    found = []
    for number, row in enumerate(text.split("\n")):
        at = _sign(number, row, by_line.get(number, []))
        if at is not None:
            said = row[at + 1 :].removeprefix(" ").rstrip()
            found.append(_Comment(number, said, not row[:at].strip()))
    return found


def _sign(number: int, line: str, values: list[_Value]) -> int | None:
    """The column of the `#` that begins a comment."""
    at = line.find("#")
    while at >= 0:
        free = at == 0 or line[at - 1].isspace()
        if free and not any(_holds(value, number, at) for value in values):
            return at
        at = line.find("#", at + 1)
    return None


def _holds(value: _Value, line: int, column: int) -> bool:
    if value.block:
        return line > value.line  # behind its sign a comment may stand
    after = line > value.line or column >= value.column
    return after and (line < value.last or column < value.end)
