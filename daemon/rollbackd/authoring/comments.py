"""The comments of a YAML file, and beside what they stand."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml

from rollbackd.config.comments import signs

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SIGN = re.compile(r"(?:^|(?<=\s))#", re.MULTILINE)
_EDITORS = "yaml-language-server:"


class _Comment(NamedTuple):
    line: int  # counted from 0, as all lines here
    text: str  # without its sign
    alone: bool  # on a line of its own


class _Value(NamedTuple):
    """On which lines a value stands."""

    line: int
    last: int


def beside(text: str, starts: Sequence[int]) -> tuple[list[list[str]], list[str]]:
    """The comments of what begins on each of the lines (counted from 1, ascending), and those after all.

    A comment belongs to that inside which it stands; alone between two, to the one that follows. What an
    editor was told is left out.
    """
    values = _values(text)
    firsts = [line - 1 for line in starts]
    owned: list[list[str]] = [[] for _ in firsts]
    rest: list[str] = []
    for comment in _comments(text):
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
            found.append(_Value(start.line, last))
    return sorted(found)


def _mark(mark: Any) -> Any:
    return mark  # the stubs allow None, which no event of a parser has


def _comments(text: str) -> list[_Comment]:
    rows = text.split("\n")
    found: list[_Comment] = []
    for line, column, _ in signs(text, _SIGN):
        if found and found[-1].line == line:
            continue  # inside a comment it is a character like others
        row = rows[line]
        said = row[column + 1 :].removeprefix(" ").rstrip()
        found.append(_Comment(line, said, not row[:column].strip()))
    return found
