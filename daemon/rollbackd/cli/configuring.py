"""Checks configuration, and has the daemon read it again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rollbackd.cli import options, where
from rollbackd.cli.errors import Exit, complain
from rollbackd.cli.text import count, visible

if TYPE_CHECKING:
    from rollbackd.cli.client import Daemon
    from rollbackd.config import Problem


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Exit 3 where there are warnings.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="github: annotations of a workflow.",
)
def check(paths: Sequence[Path], strict: bool, form: str) -> int:
    """Every error of every file, as FILE:LINE:COL: KEY: what; what to do."""
    from rollbackd.config import check_paths

    problems = check_paths(paths or [_default()])
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - errors
    if form == "json":
        found = {"errors": errors, "warnings": warnings, "problems": [_document(each) for each in problems]}
        click.echo(json.dumps(found, indent=2))
    else:
        for problem in problems:
            click.echo(_github(problem) if form == "github" else _text(problem))
        click.echo(summary(errors, warnings, len({problem.file for problem in problems})))
    if errors:
        return Exit.NO
    return Exit.WARNINGS if warnings and strict else Exit.YES


def _default() -> Path:
    for candidate in (Path("rollbackd.yml"), where.CONFIG):
        if candidate.exists():
            return candidate
    raise click.UsageError(f"there is no rollbackd.yml here and no {where.CONFIG}; name a PATH")


def summary(errors: int, warnings: int, files: int) -> str:
    """`files`: those with problems."""
    if not files:
        return "no errors, no warnings"
    return f"{count(errors, 'error')}, {count(warnings, 'warning')} in {count(files, 'file')}"


def _text(problem: Problem) -> str:
    return visible(f"{problem} (warning)" if problem.severity == "warning" else str(problem))


def _document(problem: Problem) -> dict[str, object]:
    names = ("file", "line", "column", "key", "what", "remedy", "severity")
    return {name: getattr(problem, name) for name in names}


def _github(problem: Problem) -> str:
    """An annotation. What a workflow command reserves is escaped, or a file's name could be a command."""
    message = _escaped(f"{problem.key}: {problem.what}; {problem.remedy}")
    file = _escaped(problem.file).replace(":", "%3A").replace(",", "%2C")
    return f"::{problem.severity} file={file},line={problem.line},col={problem.column}::{message}"


def _escaped(text: str) -> str:
    return visible(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


@click.command()
@options.acts
def reload(daemon: Daemon) -> int:
    """Have the daemon read its files again; prints the configuration's hash."""
    answer = daemon.ask("POST", "-", "reload")
    try:
        document = json.loads(answer.body)
    except ValueError:
        document = None
    data = document.get("data", document) if isinstance(document, dict) else None
    if answer.status == 200 and isinstance(data, dict) and "hash" in data:
        click.echo(visible(data["hash"]))
        return Exit.YES
    refusal = daemon.refusal(answer)
    if answer.status != 400:
        raise refusal
    for line in refusal.message.splitlines():
        complain(line)
    return Exit.NO
