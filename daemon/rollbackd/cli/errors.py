"""How a command ends: the exit status is an answer that scripts read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

import click

from rollbackd.cli.text import visible

if TYPE_CHECKING:
    from structlog.typing import EventDict


class Exit(IntEnum):
    YES = 0
    NO = 1  # errors found, refused, the rollback failed
    USAGE = 2
    WARNINGS = 3  # with --strict
    CANNOT_TELL = 4  # no data, daemon unreachable: treat as closed
    CONFLICT = 5  # already decided, too late
    UNUSABLE = 78  # `run`: the configuration cannot be used
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class Failed(click.ClickException):
    """One line for people, where, what and the remedy, and the exit status for scripts."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.code = code


class Unreachable(Failed):
    """The daemon did not answer, or nothing that can be understood."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Exit.CANNOT_TELL)


def complain(message: str) -> None:
    """One line on standard error, whatever is in the message."""
    click.echo(f"rollbackd: {visible(' '.join(message.split()))}", err=True)


@contextmanager
def logs_as_complaints() -> Iterator[None]:
    """What the daemon's adapters log is a complaint here: standard output is the result's alone."""
    import structlog

    before = structlog.get_config()
    structlog.configure(processors=[_said])
    try:
        yield
    finally:
        structlog.configure(**before)


def _said(_logger: object, _level: str, line: EventDict) -> str:
    from structlog import DropEvent

    event = line.pop("event")
    complain(f"{event}: " + ", ".join(f"{name} {value}" for name, value in line.items()))
    raise DropEvent
