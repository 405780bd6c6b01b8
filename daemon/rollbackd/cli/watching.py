"""The commands that look. None changes anything (rule E4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rollbackd.cli import options
from rollbackd.cli.errors import Exit, Failed
from rollbackd.cli.text import Doc, visible, visible_lines

if TYPE_CHECKING:
    from rollbackd.cli.client import Daemon

PATIENCE = 120.0  # seconds without the daemon, for those who wait for an answer


@click.command()
@click.option("--watch", is_flag=True, help="Go on; off a terminal, one line a change.")
@options.as_json
@options.reads
def status(daemon: Daemon, watch: bool, as_json: bool) -> None:
    """What needs you, what rolls back, what is watched."""
    from rollbackd.cli import output, overview

    if watch:
        if as_json:
            raise click.UsageError("--json prints once; leave out --watch")
        _watch_status(daemon)
        return
    seen = overview.ask(daemon)
    if as_json:
        output.print_json(seen.documents())
        return
    strips = overview.Strips()
    output.show(overview.render(seen, strips))


def _watch_status(daemon: Daemon) -> None:
    from rollbackd.cli import changes, live, overview
    from rollbackd.cli.poll import Poll

    strips = overview.Strips()

    def draw(seen: overview.Overview) -> object:
        strips.add(seen.triggers)
        return overview.render(seen, strips)

    with Poll(lambda: overview.ask(daemon)) as poll:
        if live.on_terminal():
            live.screen(poll, daemon.where, draw, lambda _: False)  # type: ignore[arg-type]
        for _ in live.lines(poll, changes.overview_lines):
            pass


@click.command()
@click.argument("id")
@click.option("--watch", is_flag=True, help="Go on until it has ended; off a terminal, one line a change.")
@click.option(
    "--until",
    "until_",
    type=click.Choice(["verified"]),
    help="Wait: 0 once verified, 1 if it ends otherwise, 4 after 2 minutes without the daemon.",
)
@options.as_json
@options.reads
def show(daemon: Daemon, id: str, watch: bool, until_: str | None, as_json: bool) -> int:
    """One rollback: why, how far, against its SLA, and who did what."""
    from rollbackd.cli import live, output
    from rollbackd.cli.life import over, render, verified

    if watch and as_json:
        raise click.UsageError("--json prints once; leave out --watch")
    life = daemon.get("rollbacks", id)
    if watch or until_:
        done = (lambda seen: over(seen) or verified(seen)) if until_ else over
        life = follow(daemon, life, done, quiet=not watch, patience=PATIENCE if until_ else None)
    if as_json:
        output.print_json(life)
    elif not watch or live.on_terminal():
        output.show(render(life, daemon.now))
    return Exit.NO if until_ and not verified(life) else Exit.YES


def follow(
    daemon: Daemon, life: Doc, done: Callable[[Doc], bool], *, quiet: bool, patience: float | None
) -> Doc:
    """Until `done`; returns it as it is then. `quiet`: nothing is shown but that the daemon went away.
    Unreachable: it stayed away for longer than `patience` (seconds; None: for ever)."""
    from rollbackd.cli import live
    from rollbackd.cli.life import glance
    from rollbackd.cli.poll import Poll

    name = str(life["id"])

    def ask() -> Doc:
        found: Doc = daemon.get("rollbacks", name)
        return found

    with Poll(ask, patience=patience) as poll:
        if quiet:
            return next(seen for seen in live.silent(poll) if done(seen))
        if live.on_terminal():
            return live.screen(poll, daemon.where, lambda seen: glance(seen, daemon.now), done)
        return next(seen for seen in live.lines(poll, _timeline) if done(seen))


def _timeline(before: Doc | None, after: Doc) -> Iterator[str]:
    """What is new in the record, then the state where it changed."""
    from rollbackd.cli.life import timeline_line

    known = len(before.get("timeline") or []) if before else 0
    yield from (timeline_line(entry) for entry in (after.get("timeline") or [])[known:])
    if before is None or before["state"] != after["state"]:
        detail = f": {visible(after['detail'])}" if after.get("detail") else ""
        yield f"{visible(after['id'])} {visible(after['state'])}{detail}"


@click.command()
@click.argument("id")
@click.option(
    "--format",
    "form",
    type=click.Choice(["md", "html", "json"]),
    default="md",
    help="Markdown, one page to send or print, or its figures; md unless said.",
)
@click.option("-o", "--output", "into", type=options.File(exists=False), help="Write it to this file.")
@options.reads
def report(daemon: Daemon, id: str, form: str, into: Path | None) -> None:
    """The whole story of a rollback."""
    text = daemon.text("rollbacks", id, "report", **({} if form == "md" else {"format": form}))
    text = visible_lines(text).rstrip("\n") + "\n"
    if into is None:
        click.echo(text, nl=False)
        return
    try:
        into.write_text(text, "utf-8")
    except OSError as error:
        raise Failed(f"{into}: {error.strerror}; name a file that can be written", Exit.NO) from error
