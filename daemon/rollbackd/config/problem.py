"""What is wrong with a configuration, where, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Position(NamedTuple):
    """Line and column, both counted from 1, in characters."""

    line: int
    column: int


START = Position(1, 1)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong (`error`) or doubtful (`warning`). Holds no secret and one line of text."""

    file: str  # as the user gave it
    line: int
    column: int
    key: str
    what: str
    remedy: str
    severity: Literal["error", "warning"] = "error"
    lint: str = ""  # the lint's ID, where it is one: it can be disabled by that

    def __str__(self) -> str:
        where = f"{one_line(self.file, 4096)}:{self.line}:{self.column}"
        return f"{where}: {self.key}: {self.what}; {self.remedy}"


class ConfigErrors(Exception):
    """The configuration cannot be used. `problems` are all of them, warnings too, sorted."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def errors(problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.severity == "error"]


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sorted by file, line and column, each once."""
    return sorted(set(problems))


def one_line(text: str, most: int = 60) -> str:
    """The text as it may be printed: no control characters, cut at `most`."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut)
