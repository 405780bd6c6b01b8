"""The library of triggers: what there is, and one template with all that is known of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rollbackd.cli import options, output
from rollbackd.cli.errors import Exit, Failed
from rollbackd.cli.text import visible_lines

if TYPE_CHECKING:
    from rollbackd.config.catalogue import Entry


@click.command()
@click.argument("name", required=False)
@options.as_json
def library(name: str | None, as_json: bool) -> None:
    """The library's triggers; with NAME one of them, how to use it, and its runbook."""
    from rollbackd.config.catalogue import catalogue

    try:
        entries = catalogue()
    except OSError as error:
        raise Failed(f"the library cannot be read ({error}); install rollbackd anew", Exit.NO) from error
    if name is not None:
        _show(_one(name, entries), as_json)
    elif as_json:
        output.print_json([asdict(entry) for entry in entries])
    else:
        table = output.table("library", "template", "category", "severity", "fires when", "set")
        for entry in entries:
            cells = (entry.name, entry.category, entry.action or entry.severity, entry.fires)
            output.row(table, [*cells, ", ".join(entry.needs()) or "-"])
        output.show(table)


def _one(name: str, entries: list[Entry]) -> Entry:
    from rollbackd.config.validate import nearest

    plain = name.removeprefix("library/")
    for entry in entries:
        if entry.name == plain:
            return entry
    close = nearest(plain, [entry.name for entry in entries])
    remedy = f"did you mean {close}?" if close else "`rollbackd library` lists them"
    raise Failed(f"there is no template {name}; {remedy}", Exit.USAGE)


def _show(entry: Entry, as_json: bool) -> None:
    from rollbackd.config.catalogue import runbook

    try:
        text = runbook(entry.name)
    except OSError as error:
        raise Failed(f"its runbook cannot be read ({error}); install rollbackd anew", Exit.NO) from error
    if as_json:
        output.print_json({**asdict(entry), "runbook": text})
        return
    head = f"library/{entry.name}: {entry.category}, {entry.severity}"
    head += f" ({entry.action})" if entry.action else ""
    lines = [
        f"{head}, {entry.fires}; a window of {entry.interval}",
        "",
        entry.about,
        "",
        entry.snippet,
        "",
        text,
    ]
    click.echo(visible_lines("\n".join(lines)).rstrip())
