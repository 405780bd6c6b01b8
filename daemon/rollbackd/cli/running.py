"""Runs the daemon, and shows it at work."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rollbackd.cli import options, where

if TYPE_CHECKING:
    from rollbackd.core.model import Action

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
