"""Comments of a YAML file that speak to us: `# rollbackd: …`.

A `#` inside quotes or a block of text is no comment, so the scanner's own positions decide.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
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
    lines, found = text.split("\n"), []
    for line, column, end in signs(text, _SIGN):
        target = line + 1 if lines[line][:column].strip() else 0
        found.append(Comment(line + 1, column + 1, lines[line][end:].strip(), target))
    return _with_targets(found, lines)


def signs(text: str, pattern: re.Pattern[str]) -> Iterator[tuple[int, int, int]]:
    """Where the pattern, which begins with a `#`, stands in comments: the line, from and to which column, all
    counted from 0."""
    found = list(pattern.finditer(text))
    if not found:
        return
    begins, ends = _scalars(text)
    line = start = 0
    for sign in found:
        at = sign.start()
        line += text.count("\n", start, at)
        start = max(start, text.rfind("\n", start, at) + 1)
        index = bisect_right(begins, at) - 1
        if index < 0 or at >= ends[index]:
            yield line, at - start, sign.end() - start


def _with_targets(found: list[Comment], lines: list[str]) -> list[Comment]:
    """Those that stand alone speak of the first line with content below them; 0 if there is none."""
    below, at, made = 0, len(lines), []
    for comment in reversed(found):
        while at > comment.line:
            at -= 1
            if not _BESIDE_THE_POINT.match(lines[at]):
                below = at + 1
        made.append(comment if comment.target else comment._replace(target=below))
    return made[::-1]


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
