"""Comments of a YAML file that speak to us: `# rollbackd: …`.

A `#` inside quotes or a block of text is no comment, so the scanner's own positions decide.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Any, NamedTuple

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SIGN = re.compile(r"(?:^|(?<=[ \t]))#[ \t]*rollbackd:", re.MULTILINE)
_BESIDE_THE_POINT = re.compile(r"[ \t]*(?:#.*)?\Z")


class Comment(NamedTuple):
    """`text` is what follows the colon. `target` is the line that the comment speaks of: its own, or, where
    it stands alone, the next one with content (0: there is none)."""

    line: int
    column: int
    text: str
    target: int


def comments(text: str) -> list[Comment]:
    """In their order. `text` is YAML that can be read."""
    signs = list(_SIGN.finditer(text))
    if not signs:
        return []
    begins, ends = _scalars(text)
    lines = text.split("\n")
    found = []
    for sign in signs:
        at = sign.start()
        index = bisect_right(begins, at) - 1
        if index >= 0 and at < ends[index]:
            continue
        line = text.count("\n", 0, at)
        column = at - (text.rfind("\n", 0, at) + 1)
        target = line + 1 if lines[line][:column].strip() else _next(lines, line + 1)
        found.append(Comment(line + 1, column + 1, lines[line][sign.end() - at + column :].strip(), target))
    return found


def _next(lines: list[str], line: int) -> int:
    """The number of the first line with content, from this index on; 0 if there is none."""
    return next((at + 1 for at in range(line, len(lines)) if not _BESIDE_THE_POINT.match(lines[at])), 0)


def _scalars(text: str) -> tuple[list[int], list[int]]:
    """Where each quoted text and each block of text begins and ends."""
    begins, ends = [], []
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.ScalarEvent) and event.style and event.start_mark and event.end_mark:
            begin = event.start_mark.index
            if event.style in "|>":  # a comment may stand beside its sign
                begin = max(text.find("\n", begin), begin)
            begins.append(begin)
            ends.append(event.end_mark.index)
    return begins, ends
