"""Runs the daemon, shows it at work, and looks at what it recorded."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rollbackd.cli import options, where
from rollbackd.cli.errors import Exit, Failed, complain

if TYPE_CHECKING:
    from rollbackd.core.model import Action
    from rollbackd.core.record import Head, VerifyResult

ACTIONS = ("auto", "auto_with_warning", "ask", "notify", "shadow")


@click.command()
@click.option(
    "--config",
    type=options.File(exists=False),
    default=where.CONFIG,
    show_default=True,
    help="Its rollbackd.yml.",
)
@click.option("--max-action", type=click.Choice(ACTIONS), help="Act no higher than this.")
def run(config: Path, max_action: Action | None) -> int:
    """Watch, and roll back what goes bad."""
    gc.disable()  # the start makes hundreds of thousands of objects to keep: `app.run` collects again
    _import_structlog()
    from rollbackd import app

    return app.run(config, max_action)


def _import_structlog() -> None:
    """Without rich, which it imports for a console that the daemon does not have: a tenth of the start."""
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # importing it raises ImportError
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]


@click.command()
@click.option("--headless", is_flag=True, help="Plain lines; exits 0 if the story ends well, else 1.")
def demo(headless: bool) -> int:
    """A bad release of a real service, rolled back before your eyes."""
    from rollbackd.demo import main

    return main(headless)


@click.command()
def version() -> None:
    """Which rollbackd this is."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(f"rollbackd {version('rollbackd')}")
    except PackageNotFoundError:
        click.echo("rollbackd, not installed: run from its source")


@click.group(no_args_is_help=False)
def audit() -> None:
    """Look at the record."""


class Anchor(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """`SEQ:HASH`, as `audit verify` prints it."""

    name = "seq:hash"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Head:
        from rollbackd.core.record import Head

        seq, _, digest = value.partition(":")
        try:
            if len(bytes.fromhex(digest)) == 32:
                return Head(int(seq), digest.lower())
        except ValueError:
            pass
        self.fail(f"{value!r} is not SEQ:HASH, as `rollbackd audit verify` printed it", param, ctx)


@audit.command()
@options.config
@click.option("--state-dir", type=options.File(folder=True), help="Where the journal is; for --config.")
@click.option(
    "--anchor",
    type=Anchor(),
    help="A head kept elsewhere, which must be in the chain; else that of the snapshot beside the journal.",
)
def verify(config: Path | None, state_dir: Path | None, anchor: Head | None) -> int:
    """Show that nothing in the journal was edited, cut or reordered; the daemon may be running."""
    from rollbackd.journal.audit import verify_file
    from rollbackd.journal.statedir import StateDirError, read_uuid

    folder = state_dir or where.state_dir(config)
    journal = folder / where.DATABASE
    beside, doubt = (None, "") if anchor is not None else _beside(journal)
    anchor = anchor or beside
    try:
        result = verify_file(journal, read_uuid(folder), anchor=anchor)
    except StateDirError as error:
        raise Failed(f"{error}", Exit.CANNOT_TELL) from error
    except OSError as error:
        remedy = "name the --state-dir, or use sudo"
        raise Failed(f"{journal}: {error.strerror}; {remedy}", Exit.CANNOT_TELL) from error
    why = _fault(result, beside, doubt)
    if why:
        raise Failed(f"{journal}: {why}; keep the file as it is, compare with a backup", Exit.NO)
    click.echo(f"rows {result.upto - result.after}" + (f" ({result.pruned} pruned)" if result.pruned else ""))
    click.echo(f"head {result.upto}:{result.hash}")
    if anchor is not None:
        whose = ", the snapshot's head," if beside else ""
        click.echo(f"anchor {anchor.seq}:{anchor.hash}{whose} is in the chain")
    if doubt:
        complain(f"no anchor: {doubt}; name one with --anchor")
    return Exit.YES


def _fault(result: VerifyResult, beside: Head | None, doubt: str) -> str:
    """What is wrong with a journal, or nothing."""
    if not result.ok:
        whose = " (the anchor is the snapshot's head)" if beside and "of the anchor" in result.why else ""
        return f"row {result.bad}: {result.why}{whose}"
    return "there are no rows, though a snapshot was made of some" if doubt and not result.upto else ""


def _beside(journal: Path) -> tuple[Head | None, str]:
    """The snapshot's head, and why there is none though there is a snapshot."""
    from rollbackd.core.record import JournalBroken
    from rollbackd.journal.audit import snapshot_head

    try:
        return snapshot_head(journal), ""
    except JournalBroken as error:
        return None, str(error)
