"""Writes files: from what others use, from nothing, for editors."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rollbackd.cli import options
from rollbackd.cli.errors import Exit, Failed
from rollbackd.cli.text import count, visible

if TYPE_CHECKING:
    from rollbackd.authoring.folders import File
    from rollbackd.authoring.rules import Rule
    from rollbackd.core.model import Ms

SCHEMAS = ("trigger", "plan", "config", "test", "incidents", "library")


class Interval(options.Duration):
    """A window's length, in ms."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Ms:  # type: ignore[override]
        from rollbackd.core.notation import parse_duration

        text = super().convert(str(value), param, ctx)
        try:
            interval = parse_duration(text)
        except ValueError:
            interval = 0
        if not 1_000 <= interval <= 86_400_000:
            self.fail(f"{text!r} is not within 1s to 1d; write it like 30s or 1m", param, ctx)
        return interval


class Name(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from rollbackd.authoring.names import name_from

        if name_from(value) != value:
            self.fail(f"{value!r} is no name; use letters, digits, `-`, `_` and `.`", param, ctx)
        return value


@click.group(name="import", no_args_is_help=False)
def import_() -> None:
    """Make triggers and plans of what another program uses; nothing of it acts."""


@import_.command(name="prometheus-rules")
@click.argument("file", type=options.File(exists=False))
@click.option("-o", "--output", type=options.Out(), help="Where to; else standard output.")
@click.option("--plan", type=Name(), help="The plan that the triggers name; else called as the file is.")
@click.option(
    "--interval",
    type=Interval(),
    default="1m",
    show_default=True,
    help="Of groups that say none: Prometheus' evaluation_interval.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def prometheus_rules(file: Path, output: Path | None, plan: str | None, interval: Ms, force: bool) -> int:
    """Alerting rules as triggers that only watch; what is lost is said, beside each and at the end."""
    from rollbackd.authoring.rule_files import import_rules
    from rollbackd.authoring.sources import Unusable

    if output is not None and not force and os.path.lexists(output):
        raise Failed(f"{output} is there already; --force writes over it", Exit.NO)
    try:
        found = import_rules(file, plan=plan, schema=_schema_for(output), today=_today(), interval=interval)
    except Unusable as unusable:
        raise Failed(str(unusable), Exit.NO) from None
    if found.text and output is not None:
        _write(output, found.text)
    elif found.text:
        click.echo(found.text, nl=False)
    _tell(f"{file}: {note}" for note in found.notes)
    _tell(line for rule in found.rules for line in _told(file, rule))
    _tell([_sum(found.rules)])
    if not found.text:
        raise Failed(f"{file}: none of its rules could be carried, so nothing was written", Exit.NO)
    _tell([f"the plan {found.plan} must exist where the triggers are used; everything says `action: shadow`"])
    return Exit.YES


def _today() -> date:
    return datetime.now(UTC).date()


def _schema_for(output: Path | None) -> str:
    """The schema beside the nearest rollbackd.yml, seen from the file; else where `init` would put it."""
    folder = (output or Path("triggers/x.yml")).absolute().parent
    for above in (folder, *folder.parents):
        if (above / "rollbackd.yml").exists():
            return os.path.relpath(above / "schema" / "trigger.json", folder)
    return "../schema/trigger.json"


def _write(output: Path, text: str) -> None:
    from rollbackd.outputs import whole

    try:
        with whole(output) as file:
            file.write(text.encode())
    except OSError as error:
        raise Failed(f"{output}: {error.strerror}; name another --output", Exit.NO) from error


def _told(file: Path, rule: Rule) -> list[str]:
    where = f"{file}:{rule.line}: {rule.name}"
    if rule.why:
        return [f"{where}: not carried: {rule.why}"]
    return [f"{where}: lost: {lost}" for lost in rule.lost]


def _sum(rules: Sequence[Rule]) -> str:
    lost = sum(bool(rule.why) for rule in rules)
    partly = sum(bool(rule.lost) and not rule.why for rule in rules)
    return f"{count(len(rules), 'rule')}: {len(rules) - lost - partly} carried, {partly} partly, {lost} not"


@import_.command(name="auto-rollback")
@click.argument("file", type=options.File(exists=False))
@click.option(
    "-o",
    "--output",
    type=options.File(exists=False, folder=True),
    default=".",
    show_default=True,
    help="The folder for triggers/, plans/ and schema/: that of rollbackd.yml.",
)
@click.option(
    "--service", type=Name(), help="What is watched and rolled back; else called as the operation is."
)
def auto_rollback(file: Path, output: Path, service: str | None) -> int:
    """The JSON of an `auto_rollback` monitor as triggers that only watch, and a plan."""
    from rollbackd.authoring.auto_rollback import import_auto_rollback
    from rollbackd.authoring.first import schemas
    from rollbackd.authoring.sources import Unusable

    try:
        found = import_auto_rollback(file, today=_today(), service=service)
    except Unusable as unusable:
        raise Failed(str(unusable), Exit.NO) from None
    _tell(f"{file}: {note}" for note in found.notes)
    if not found.files:
        raise Failed(f"{file}: none of its triggers could be carried, so nothing was written", Exit.NO)
    missing = [schema for schema in schemas() if not os.path.lexists(output / schema.name)]
    _place(output, [*found.files, *missing])
    _tell(
        [f"plan {found.plan}: write what its scripts do, then `rollbackd check {shlex.quote(str(output))}`"]
    )
    if found.receivers:
        _tell([f"rollbackd.yml must have the receivers {', '.join(found.receivers)}"])
    return Exit.YES


class Init(click.Group):
    """`init [DIR]` is `init set [DIR]`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["set", *args]
        return super().parse_args(ctx, args)


@click.group(cls=Init)
def init() -> None:
    """Write files to begin with: a first set into DIR (`init [DIR]`), or one more plan (`init plan NAME`)."""


FOLDER = click.argument("folder", metavar="[DIR]", default=".", type=options.File(exists=False, folder=True))


@init.command("set")
@FOLDER
def first(folder: Path) -> int:
    """A first set of files: it works as it is, watches, and does nothing."""
    from rollbackd.authoring.first import NEXT, first_set

    _place(folder, first_set(_today()))
    click.echo("\nnext:")
    if str(folder) != ".":
        click.echo(f"  cd {shlex.quote(str(folder))}")
    wide = max(len(command) for command, _ in NEXT)
    for command, tells in NEXT:
        click.echo(f"  {command:{wide}}   # {tells}")
    return Exit.YES


@init.command("plan")
@click.argument("name", type=Name())
@FOLDER
def one_plan(name: str, folder: Path) -> int:
    """A plan to be filled in, below the DIR of rollbackd.yml; its scripts fail until they are written."""
    from rollbackd.authoring.first import schemas
    from rollbackd.authoring.plan_template import plan_template

    missing = [schema for schema in schemas() if not os.path.lexists(folder / schema.name)]
    _place(folder, [*plan_template(name), *missing])
    where = shlex.quote(str(folder / "plans" / name))
    _tell([f"plan {name}: write what its scripts do, then `rollbackd check --plans {where}`"])
    return Exit.YES


@click.command()
@click.argument("kind", type=click.Choice(SCHEMAS))
def schema(kind: str) -> None:
    """The JSON Schema of a kind of file: what an editor completes and checks."""
    from rollbackd.authoring.schema import text

    click.echo(text(kind), nl=False)


def _place(folder: Path, files: Sequence[File]) -> None:
    from rollbackd.authoring.folders import InTheWay, place

    try:
        for path in place(folder, files):
            click.echo(visible(path))
    except InTheWay as error:
        raise Failed(str(error), Exit.NO) from None
    except OSError as error:
        raise Failed(f"{error.filename or folder}: {error.strerror}; name another folder", Exit.NO) from error


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(visible(line), err=True)
