"""Evidence and gates: what was shown of a plan, and whether that is enough (rule P1)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rollbackd.cli import options, where
from rollbackd.cli.acting import given, say
from rollbackd.cli.errors import Exit, Failed
from rollbackd.cli.text import span, visible

if TYPE_CHECKING:
    from rollbackd.cli.client import Daemon

KINDS = (
    *("staging", "production-like", "automatic-triggers", "manual", "partial", "time-measured"),
    *("verification", "rehearsal", "multi-region", "training", "review"),
)


@click.group(no_args_is_help=False)
def evidence() -> None:
    """Put on record what was shown of a plan; it holds for the plan as it is, not as it will be."""


@evidence.command()
@click.argument("plan")
@click.option("--kind", required=True, type=click.Choice(KINDS), help="What was shown.")
@click.option("--by", required=True, metavar="NAME", help="Who showed it.")
@click.option("--took", type=options.Duration(), help="How long, from the decision to verified.")
@click.option("--hash", "hash_", metavar="HASH", help="Conflict where the daemon's plan is another.")
@click.option("--artifact", type=options.File(), help="A file that shows it: its SHA-256 is recorded.")
@options.comment
@options.acts
def add(
    daemon: Daemon,
    plan: str,
    kind: str,
    by: str,
    took: str | None,
    hash_: str | None,
    artifact: Path | None,
    comment: str,
) -> None:
    """Record one kind of evidence of a PLAN. The artifact stays where it is: keep it."""
    body = given(kind=kind, by=by, took=took, hash=hash_, comment=comment)
    say(daemon.post("plans", plan, "evidence", body={**body, **_told(artifact)}))


def _told(artifact: Path | None) -> dict[str, object]:
    if artifact is None:
        return {}
    try:
        with artifact.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256")
            size = opened.tell()
    except OSError as error:
        raise Failed(f"{artifact}: {error.strerror}; name a file that can be read", Exit.NO) from error
    return {"artifact": artifact.name, "sha256": digest.hexdigest(), "size": size}


@evidence.command("list")
@click.argument("plan")
@options.as_json
@options.reads
def list_(daemon: Daemon, plan: str, as_json: bool) -> None:
    """What was shown of a PLAN as it is, and of what it was before."""
    from rollbackd.cli import output

    found = daemon.get("plans", plan, "evidence")
    if as_json:
        output.print_json(found)
        return
    rows = [*found["current"], *found["earlier"]]
    if not rows:
        output.show(output.note(f"nothing was shown of {visible(plan)}"))
        return
    columns = ("kind", "plan", "took", "by", "at", "artifact", "comment")
    table = output.table(f"evidence of {visible(plan)}", *columns)
    for row in rows:
        mine = row["hash"] == found["hash"]
        version = row["hash"][:12] + ("" if mine else " (changed since)")
        file = f"{row['artifact']} {row['sha256'][:12]}" if row["artifact"] else ""
        cells = [row["kind"], version, _took(row), row["by"], row["at"], file, row["comment"]]
        output.row(table, [visible(cell) for cell in cells], None if mine else "dim")
    output.show(table)


def _took(row: dict[str, Any]) -> str:
    if row["took_seconds"] is None:
        return ""
    return span(float(row["took_seconds"])) + ("" if row["within_sla"] else ", over the SLA")


class _Answer(NamedTuple):
    word: str
    exit: Exit


_OPEN: dict[bool | None, _Answer] = {
    True: _Answer("yes", Exit.YES),
    False: _Answer("no", Exit.NO),
    None: _Answer("cannot tell", Exit.CANNOT_TELL),
}


@click.group(no_args_is_help=False)
def gate() -> None:
    """Ask before a change. Exit status: 0 open, 1 closed, 4 cannot tell: treat as closed."""


@gate.command()
@click.argument("plan")
@click.option(
    "--files",
    type=click.Path(exists=True, path_type=Path),
    help="The rollbackd.yml, or the plan's folder: where the daemon's plan is another, it cannot tell.",
)
@options.as_json
@options.reads
def permit(daemon: Daemon, plan: str, files: Path | None, as_json: bool) -> int:
    """Is the PLAN complete and proven enough for its level to grant its change a permit?"""
    try:
        found = daemon.get("gates", "permit", plan)
    except Failed as error:
        raise Failed(error.message, Exit.CANNOT_TELL) from error
    files = files or _files()
    if files is not None:
        found = _compared(found, plan, files)
    if as_json:
        from rollbackd.cli import output

        output.print_json(found)
    else:
        click.echo("\n".join(visible(line) for line in _permit_lines(found)))
    return _OPEN[found["open"]].exit


def _files() -> Path | None:
    """The daemon's own files, where it is known which they are."""
    said = click.get_current_context().params
    if said["config"] is not None:
        return Path(said["config"])
    here = said["socket"] is None and said["url"] is None and where.CONFIG.exists()
    return where.CONFIG if here else None


def _compared(found: dict[str, Any], plan: str, files: Path) -> dict[str, Any]:
    """The answer, unless the files hold another plan than the one it is about."""
    from rollbackd.config.promises import hash_of

    try:
        here = hash_of(plan, files)
    except (OSError, ValueError, LookupError) as error:
        return {**found, "open": None, "cannot_tell": f"{files}: {error}"}
    if here == found["hash"]:
        return found
    what = f"{files} holds {plan} {here[:12]}, the daemon {found['hash'][:12]}; `rollbackd reload` first"
    return {**found, "open": None, "cannot_tell": what}


def _permit_lines(found: dict[str, Any]) -> list[str]:
    word = _OPEN[found["open"]].word
    lines = [f"{found['plan']} ({found['hash'][:12]}), level {found['level']}: permit: {word}"]
    if found.get("cannot_tell"):
        lines.append(f"  {found['cannot_tell']}")
    lines += [f"  {reason['what']}; {reason['remedy']}" for reason in found["reasons"]]
    lines += [f"  without {name}: {because}" for name, because in found["exceptions"].items()]
    return lines
