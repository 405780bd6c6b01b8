"""The program: its commands by what they are for, and how whatever happens ends."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import click

from rollbackd.cli import (
    acting,
    auditing,
    authoring,
    captures,
    configuring,
    library,
    proving,
    rollouts,
    running,
    scoring,
    testing,
    tuning,
    watching,
)
from rollbackd.cli.errors import Exit, Failed, complain

SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Watching": (watching.status, watching.show, watching.report, scoring.scorecard),
    "Acting on a rollback": (
        acting.ack,
        acting.approve,
        acting.veto,
        acting.hold,
        acting.resume,
        acting.abort,
        acting.confirm,
        acting.tick,
        acting.resolve,
        acting.start,
    ),
    "Saying what may act": (rollouts.rollout, captures.capture, acting.pause, acting.unpause, acting.rearm),
    "Showing that it works": (proving.evidence, proving.gate),
    "Tuning triggers": (testing.test, tuning.backtest),
    "Configuring": (
        configuring.check,
        authoring.init,
        authoring.import_,
        library.library,
        authoring.schema,
        configuring.reload,
    ),
    "Running": (running.run, auditing.audit, running.demo, running.version),
}


class Program(click.Group):
    """Ends with one line on standard error and an exit status; the traceback is for ROLLBACKD_DEBUG=1."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                rows = [(command.name or "", command.get_short_help_str(200)) for command in commands]
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:  # whoever read has enough
            _close_stdout()
            ctx.exit(Exit.BROKEN_PIPE)
        return result

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs.update(standalone_mode=False, prog_name="rollbackd")
        sys.exit(self._guarded(*args, **kwargs))

    def _guarded(self, *args: Any, **kwargs: Any) -> int:
        try:
            result = super().main(*args, **kwargs)
            return int(result) if isinstance(result, int) else Exit.YES
        except click.UsageError as error:
            complain(_usage(error))
            return Exit.USAGE
        except Failed as error:
            complain(error.message)
            return error.code
        except click.ClickException as error:
            complain(error.format_message())
            return error.exit_code
        except click.Abort:
            return Exit.INTERRUPTED
        except Exception as error:
            if os.environ.get("ROLLBACKD_DEBUG") == "1":
                raise
            complain(f"{type(error).__name__}: {error}; ROLLBACKD_DEBUG=1 shows where: please report it")
            return Exit.NO


def _usage(error: click.UsageError) -> str:
    command = error.ctx.command_path if error.ctx is not None else "rollbackd"
    name = command.removeprefix("rollbackd").strip()
    return f"{name + ': ' if name else ''}{error.format_message().rstrip('.')}; see `{command} --help`"


def _close_stdout() -> None:
    """What is still buffered goes nowhere, without a word at the interpreter's end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except io.UnsupportedOperation:
        return


@click.group(cls=Program, invoke_without_command=True)
@click.pass_context
def program(ctx: click.Context) -> None:
    """Watches production through Prometheus and undoes a change that goes bad.

    Exit status: 0 yes, 1 no, 2 usage, 3 warnings with --strict, 4 cannot tell, 5 conflict, 78 configuration.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for _commands in SECTIONS.values():
    for _command in _commands:
        program.add_command(_command)


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    program.main()
