"""Rollouts: a change under watch (rule W9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rollbackd.cli import options
from rollbackd.cli.acting import given, say
from rollbackd.cli.captures import follow

if TYPE_CHECKING:
    from rollbackd.cli.client import Daemon


@click.group(no_args_is_help=False)
def rollout() -> None:
    """Say when a change begins and ends: triggers act while one is open."""


@rollout.command()
@click.argument("plan")
@click.option("--previous", required=True, metavar="VERSION", help="What runs now, and is gone back to.")
@click.option("--next", required=True, metavar="VERSION", help="What is being rolled out.")
@click.option(
    "--for",
    "open_for",
    type=options.Duration(),
    default="2h",
    show_default=True,
    help="Expires by itself after this.",
)
@click.option("--permit", help="The permit it goes by.")
@click.option("--without-capture", is_flag=True, help="Put nothing aside first; say why with -c.")
@options.comment
@options.acts
def begin(
    daemon: Daemon,
    plan: str,
    previous: str,
    next: str,
    open_for: str,
    permit: str | None,
    without_capture: bool,
    comment: str,
) -> None:
    """Open the rollout of a PLAN's services, once what the plan captures is put aside."""
    if without_capture != bool(comment.strip()):
        raise click.UsageError("--without-capture and -c COMMENT come together: say why")
    body = given(plan=plan, previous=previous, next=next, permit=permit, **{"for": open_for})
    follow(daemon, daemon.post("rollouts", body={**body, **given(without_capture=comment)}), plan)


@rollout.command()
@click.argument("plan")
@options.acts
def finish(daemon: Daemon, plan: str) -> None:
    """Close a PLAN's rollout: the change stays."""
    say(daemon.post("rollouts", plan, "finish", body={}))


@rollout.command("list")
@options.as_json
@options.reads
def list_(daemon: Daemon, as_json: bool) -> None:
    """The newest rollout of each plan."""
    from rollbackd.cli import output

    found = daemon.get("rollouts")
    if as_json:
        output.print_json(found)
    else:
        from rollbackd.cli.overview import rollouts_table

        output.show(rollouts_table(found, daemon.now) if found else output.note("no rollouts"))
