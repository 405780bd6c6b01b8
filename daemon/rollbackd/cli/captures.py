"""What is put aside before a change (rule C1): taken, waited for, listed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from rollbackd.cli import options
from rollbackd.cli.acting import given, say
from rollbackd.cli.errors import Exit, Failed, Unreachable
from rollbackd.cli.text import visible

if TYPE_CHECKING:
    from rollbackd.cli.client import Daemon

EVERY = 0.5
PATIENCE = 60.0
"""s: between looks, and how long a daemon that does not answer (a restart) is waited for."""


@click.command()
@click.argument("plan", required=False)
@click.option("--list", "listed", is_flag=True, help="What there is, instead of taking one.")
@options.comment
@options.as_json
@options.acts
def capture(daemon: Daemon, plan: str | None, listed: bool, comment: str, as_json: bool) -> None:
    """Put aside now what a PLAN captures, for a rollback to go back to."""
    if not listed:
        if plan is None or as_json:
            raise click.UsageError("name a PLAN to capture, or say --list")
        follow(daemon, daemon.post("plans", plan, "capture", body=given(comment=comment)), plan)
        return
    from rollbackd.cli import output

    found = daemon.get("captures", **({} if plan is None else {"plan": plan}))
    if as_json:
        output.print_json(found)
    else:
        from rollbackd.cli.overview import captures_table

        output.show(captures_table(found, daemon.now) if found else output.note("no captures"))


def follow(daemon: Daemon, answer: Any, plan: str) -> None:
    """Say what was answered, and wait for the capture that began with it, if any. Failed: it failed, or no
    rollout followed."""
    say(answer)
    name = answer.get("capture") if isinstance(answer, dict) else None
    shown = None
    while name is not None:
        found = _look(daemon, plan, name)
        if found["state"] != "running":
            _over(found)
            return
        if found["taking"] != shown:
            shown = found["taking"]
            click.echo(f"{visible(name)}: taking {visible(str(shown))}")
        time.sleep(EVERY)


def _look(daemon: Daemon, plan: str, name: str) -> Any:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            found = next((each for each in daemon.get("captures", plan=plan) if each["id"] == name), None)
        except Failed as error:
            if error.code != Exit.CANNOT_TELL:
                raise
            if time.monotonic() > until:
                raise Unreachable(f"{error.message}; {name} goes on there") from error
            time.sleep(EVERY)
            continue
        if found is None:
            raise Failed(f"{name} is no longer kept", Exit.CANNOT_TELL)
        return found


def _over(found: Any) -> None:
    name = visible(found["id"])
    if found["state"] == "failed":
        item = f"item {found['failed']}: " if found["failed"] else ""
        raise Failed(f"{name} failed: {item}{found['detail']}", Exit.NO)
    files = sum(len(item["artifacts"]) for item in found["items"])
    size = sum(artifact["size"] for item in found["items"] for artifact in item["artifacts"])
    click.echo(f"{name} is complete: {len(found['items'])} items, {files} files, {size} bytes")
    if found["rollout"] is not None:
        click.echo(f"rollout {visible(found['rollout'])} is open")
    elif found["detail"]:
        raise Failed(f"no rollout has begun: {found['detail']}", Exit.CONFLICT)
