"""What people say to a rollback, a plan or a trigger. Each verb is one request; none is asked twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rollbackd.cli import options
from rollbackd.cli.text import visible

if TYPE_CHECKING:
    from rollbackd.cli.client import Daemon


def say(data: Any) -> None:
    """The daemon's answer, on one line."""
    click.echo(visible(data["text"]) if isinstance(data, dict) and "text" in data else "done")


def given(**fields: object) -> dict[str, object]:
    """Those that were given, as the API's body."""
    return {name: value for name, value in fields.items() if value not in (None, "", {}, False)}


def _verb(name: str, help: str) -> click.Command:
    """A verb that needs a rollback and perhaps a comment."""

    @click.command(name, help=help)
    @click.argument("id")
    @options.comment
    @options.acts
    def command(daemon: Daemon, id: str, comment: str) -> None:
        say(daemon.post("rollbacks", id, name, body=given(comment=comment)))

    return command


ack = _verb("ack", "Stop a page from ringing: a rollback's ID, or a matter's key. Not an approval.")
veto = _verb("veto", "Do not roll back: end one that waits.")
hold = _verb("hold", "Stop before the next step; the running one ends.")
resume = _verb("resume", "Go on after a hold, or grant an overrun one more timeout.")


@click.command()
@click.argument("id")
@options.comment
@options.revision
@options.acts
def approve(daemon: Daemon, id: str, comment: str, revision: int | None) -> None:
    """Roll back now: ends an approval's or a veto's wait."""
    say(daemon.post("rollbacks", id, "approve", body=given(comment=comment), revision=revision))


@click.command()
@click.argument("id")
@click.option("--now", is_flag=True, help="Stop the running step too; it stays in doubt.")
@options.comment
@options.acts
def abort(daemon: Daemon, id: str, now: bool, comment: str) -> None:
    """Start no other step; the services stay taken until it is resolved."""
    say(daemon.post("rollbacks", id, "abort", body=given(now=now, comment=comment)))


@click.command()
@click.argument("id")
@click.argument("step")
@click.argument("answer", type=click.Choice(["done", "retry", "skip"]), metavar="done|retry|skip")
@options.comment_needed
@options.revision
@options.acts
def confirm(daemon: Daemon, id: str, step: str, answer: str, comment: str, revision: int | None) -> None:
    """Say what became of a step in doubt: done, retry it, or skip it."""
    body = given(step=step, answer=answer, comment=comment)
    say(daemon.post("rollbacks", id, "confirm", body=body, revision=revision))


@click.command()
@click.argument("id")
@click.argument("item")
@options.comment
@options.acts
def tick(daemon: Daemon, id: str, item: str, comment: str) -> None:
    """Say that you looked at an item: its number, its text, or how that begins."""
    say(daemon.post("rollbacks", id, "tick", body=given(item=item, comment=comment)))


@click.command()
@click.argument("id")
@click.option("--approach", required=True, help="How it was put right: by hand, forward fix, restored …")
@click.option("--description", required=True, help="What was found and done.")
@click.option("--lesson", "lessons", multiple=True, help="What was learned; may be repeated.")
@click.option("--processes-gone", is_flag=True, help="You looked: nothing of it runs any more.")
@options.acts
def resolve(
    daemon: Daemon,
    id: str,
    approach: str,
    description: str,
    lessons: tuple[str, ...],
    processes_gone: bool,
) -> None:
    """Close a rollback that ended badly, and free its services."""
    said: dict[str, object] = {"approach": approach, "description": description}
    body = given(**said, lessons=list(lessons) or None, processes_gone=processes_gone)
    say(daemon.post("rollbacks", id, "resolve", body=body))


@click.command()
@click.argument("plan")
@options.reason
@click.option("--scope", help="This part of the plan alone.")
@click.option("--from", "from_step", metavar="STEP", help="Begin at this step.")
@click.option("--subject", type=options.Label(), multiple=True, help="What it concerns; repeatable.")
@click.option("--dry-run", is_flag=True, help="Say what would run; start nothing.")
@options.acts
def start(
    daemon: Daemon,
    plan: str,
    reason: str,
    scope: str | None,
    from_step: str | None,
    subject: tuple[tuple[str, str], ...],
    dry_run: bool,
) -> None:
    """Roll back by hand, whatever the windows say."""
    body = given(reason=reason, scope=scope, from_step=from_step, subject=dict(subject), dry_run=dry_run)
    say(daemon.post("plans", plan, "start", body=body))


_service = click.option("--service", help="Of this service alone.")
_trigger = click.option("--trigger", help="Of this trigger alone.")


def _one(service: str | None, trigger: str | None) -> None:
    if service is not None and trigger is not None:
        raise click.UsageError("--service and --trigger exclude each other; pause one after the other")


@click.command()
@_service
@_trigger
@click.option("-d", "--duration", type=options.Duration(), help="Until then, as in 1h; else until unpause.")
@options.comment_needed
@options.acts
def pause(
    daemon: Daemon, service: str | None, trigger: str | None, duration: str | None, comment: str
) -> None:
    """Start no rollback automatically; started ones go on, people may start."""
    _one(service, trigger)
    body = given(service=service, trigger=trigger, comment=comment, **{"for": duration})
    say(daemon.post("pauses", body=body))


@click.command()
@_service
@_trigger
@options.comment
@options.acts
def unpause(daemon: Daemon, service: str | None, trigger: str | None, comment: str) -> None:
    """Act automatically again; windows count from now."""
    _one(service, trigger)
    say(daemon.post("pauses", "end", body=given(service=service, trigger=trigger, comment=comment)))


@click.command()
@click.argument("trigger", required=False)
@click.option("--plan", help="A plan whose services are spent, instead of a trigger.")
@click.option("--subject", type=options.Label(), multiple=True, help="Its subjects with this; repeatable.")
@options.comment_needed
@options.acts
def rearm(
    daemon: Daemon, trigger: str | None, plan: str | None, subject: tuple[tuple[str, str], ...], comment: str
) -> None:
    """Let a trigger's subjects fire again, or a spent plan act again."""
    if (trigger is None) == (plan is None):
        raise click.UsageError("say what to arm: either a TRIGGER or --plan P")
    if plan is not None:
        if subject:
            raise click.UsageError("--subject belongs to a TRIGGER, not to --plan")
        say(daemon.post("plans", plan, "rearm", body=given(comment=comment)))
    elif trigger is not None:
        body = given(subject=dict(subject), comment=comment)
        say(daemon.post("triggers", trigger, "rearm", body=body))
