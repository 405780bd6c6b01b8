"""What comments say to the lints: `# rollbackd: disable ID until DATE`, `# rollbackd: shadow since DATE`.

A comment speaks of its own line, or, where it stands alone, of the next one with content. If that lies in a
trigger, it speaks of the trigger; if it is where a group begins, of the group; if it is the first of the
file, of the file; else of that line alone.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from rollbackd.config.problem import Problem, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.config.comments import Comment
    from rollbackd.config.yaml_source import Document

_DISABLE = re.compile(
    r"disable[ \t]+(?P<lints>\S+(?:[ \t]*,[ \t]*\S+)*?)[ \t]+until[ \t]+(?P<until>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[ \t]+(?P<because>.*))?\Z"
)
_SINCE = re.compile(r"shadow[ \t]+since[ \t]+(?P<since>[0-9]{4}-[0-9]{2}-[0-9]{2})(?:[ \t]+.*)?\Z")
_FORM = "write `disable ID[, ID] until YYYY-MM-DD`, or `shadow since YYYY-MM-DD`"
_END = 1 << 31


class Lines(NamedTuple):
    """The first and the last."""

    first: int
    last: int


@dataclass(slots=True)
class Disable:
    """What a comment switches off, until when (that day included), and why, in its author's words."""

    document: Document
    comment: Comment
    lines: Lines
    lints: tuple[str, ...]
    until: date
    because: str
    used: set[str] = field(default_factory=set)

    def covers(self, problem: Problem) -> bool:
        return self.lines.first <= problem.line <= self.lines.last and problem.lint in self.lints


class Said(NamedTuple):
    """What the comments of a file say."""

    disables: list[Disable]
    shadows: list[tuple[Lines, date]]
    malformed: list[Problem]

    def since(self, line: int) -> date | None:
        return next((since for lines, since in self.shadows if lines.first <= line <= lines.last), None)


def read_directives(document: Document) -> Said:
    said = Said([], [], [])
    begins = list(_begins(document)) if document.comments else []
    for comment in document.comments:
        lines = _lines(document, comment, begins)
        try:
            _sort_in(said, document, comment, lines)
        except ValueError as error:
            said.malformed.append(note(document, comment, "disable-malformed", str(error), _FORM))
    return said


def _sort_in(said: Said, document: Document, comment: Comment, lines: Lines) -> None:
    if since := _SINCE.match(comment.text):
        said.shadows.append((lines, _date(since["since"])))
    elif disable := _DISABLE.match(comment.text):
        lints = tuple(each.strip() for each in disable["lints"].split(","))
        because = one_line(disable["because"] or "", 1000)
        until = _date(disable["until"])
        said.disables.append(Disable(document, comment, lines, lints, until, because))
    elif comment.text.startswith("disable"):
        raise ValueError(f"`{one_line(comment.text)}` does not say what, or until when")
    else:
        raise ValueError(f"`{one_line(comment.text)}` means nothing")


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"there is no day {text}") from None


def note(document: Document, comment: Comment, lint: str, what: str, remedy: str) -> Problem:
    """A problem with a comment; it cannot be disabled by another."""
    return Problem(document.shown, comment.line, comment.column, "rollbackd", what, remedy, "warning", lint)


def _begins(document: Document) -> Iterator[tuple[int, bool]]:
    """The lines on which groups (False) and triggers or templates (True) begin, in order."""
    data = document.data
    templates = data.get("templates") if data is not None else None
    for i in range(len(templates) if isinstance(templates, list) else 0):
        yield document.where(("templates", i)).line, True
    groups = data.get("groups") if data is not None else None
    for i, group in enumerate(groups if isinstance(groups, list) else ()):
        yield document.where(("groups", i)).line, False
        triggers = group.get("triggers") if isinstance(group, dict) else None
        for j in range(len(triggers) if isinstance(triggers, list) else 0):
            yield document.where(("groups", i, "triggers", j)).line, True


def _lines(document: Document, comment: Comment, begins: list[tuple[int, bool]]) -> Lines:
    at = comment.target or comment.line
    first = document.data.at.line if document.data is not None else 0
    if comment.line < first and 0 < comment.target <= first:
        return Lines(1, _END)
    starts = [line for line, _ in begins]
    index = bisect_right(starts, at) - 1
    if index < 0:
        return Lines(at, at)
    line, trigger = begins[index]
    if trigger:
        return Lines(line, starts[index + 1] - 1 if index + 1 < len(starts) else _END)
    if line == at:
        last = next((start - 1 for start, inner in begins[index + 1 :] if not inner), _END)
        return Lines(line, last)
    return Lines(at, at)
