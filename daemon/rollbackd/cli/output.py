"""Prints: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from rollbackd.cli.text import visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table
    from rich.text import Text

    from rollbackd.config import Problem

    Cells: TypeAlias = list[str | RenderableType]

WIDE = 400  # off a terminal a row stays on one line


def print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2))


def console() -> Console:
    """Honours NO_COLOR and TERM; guesses nothing from the text it prints (fault 68)."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDE
    return Console(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False)


def show(found: RenderableType) -> None:
    """What rich pads at the ends of lines is of no use in a file."""
    printer = console()
    if printer.is_terminal:
        printer.print(found)
        return
    with printer.capture() as capture:
        printer.print(found)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


class Screen:
    """What fits on the terminal, and how much does not."""

    def __init__(self, found: RenderableType) -> None:
        self.found = found

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        lines = console.render_lines(self.found, options.update(height=None), pad=False)
        height = options.height or options.max_height
        more = len(lines) - height
        shown = lines if more <= 0 else lines[: height - 1]
        for at, line in enumerate(shown):
            if at:
                yield Segment.line()
            yield from line
        if more > 0:
            yield Segment.line()
            yield note(f"… {more + 1} lines more")


def named(problem: Problem) -> str:
    """By what it can be disabled."""
    return f" [{problem.lint}]" if problem.lint else ""


def annotation(problem: Problem) -> str:
    """For a workflow. What its commands reserve is escaped, or the name of a file or a test could be one."""
    message = "; ".join(filter(None, [f"{problem.key}: {problem.what}", problem.remedy])) + named(problem)
    file = _escaped(problem.file).replace(":", "%3A").replace(",", "%2C")
    place = f"file={file},line={problem.line},col={problem.column}"
    return f"::{problem.severity} {place}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return visible(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def note(text: str, style: str = "dim") -> Text:
    from rich.text import Text

    return Text(text, style=style)


def table(title: str, *columns: str) -> Table:
    from rich.table import Table

    made = Table(
        title=title.upper(),
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )
    for at, column in enumerate(columns):
        made.add_column(column, overflow="fold", no_wrap=at == 0 and column.endswith("(UTC)"))
    return made


def row(into: Table, cells: Sequence[str | RenderableType], style: str | None = None) -> None:
    """Plain strings are text, never markup."""
    from rich.text import Text

    into.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells), style=style)
