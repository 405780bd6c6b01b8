"""On a terminal, `--watch` is one screen that says how old it is; off one, lines."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, TypeVar

import click

from rollbackd.cli import output
from rollbackd.cli.errors import complain
from rollbackd.cli.poll import Poll, Reading
from rollbackd.cli.text import span, visible

if TYPE_CHECKING:
    from rich.console import RenderableType

T = TypeVar("T")
REFRESH = 0.5  # seconds


def on_terminal() -> bool:
    return sys.stdout.isatty()


def screen(poll: Poll[T], where: str, draw: Callable[[T], RenderableType], done: Callable[[T], bool]) -> T:
    """Until `done`; returns what was shown last."""
    from rich.console import Group
    from rich.live import Live

    console = output.console()
    with _terminable(), Live(console=console, screen=True, auto_refresh=False) as view:
        reading = poll.newest()
        while True:
            head = banner(reading, where, time.monotonic())
            view.update(output.Screen(Group(head, draw(reading.data))), refresh=True)
            if done(reading.data):
                return reading.data
            reading = poll.newer(reading.number, REFRESH)


def banner(reading: Reading[T], where: str, now: float) -> RenderableType:
    """How old the page is; red once the daemon does not answer, so that nothing stale looks well."""
    age = span(reading.age(now))
    if not reading.stale(now):
        return output.note(f"{visible(where)} · data {age} old · Ctrl-C ends", "dim")
    why = reading.problem or f"{where}: no answer"
    text = f" STALE: what follows is {age} old. {visible(why)} "
    return output.note(text, "bold white on red")


def lines(poll: Poll[T], told: Callable[[T | None, T], Iterator[str]]) -> Iterator[T]:
    """Prints one line a change, each with its moment. Yields each answer."""
    known: T | None = None
    for reading, lost in _readings(poll):
        if reading.problem:
            if not lost:
                age = span(reading.age(time.monotonic()))
                say(f"daemon does not answer; what is known is {age} old: {reading.problem}")
            continue
        if lost:
            say("daemon answers again")
        for line in told(known, reading.data):
            say(line)
        known = reading.data
        yield reading.data


def silent(poll: Poll[T]) -> Iterator[T]:
    """Yields each answer; says only, on standard error, that there is none for now."""
    for reading, lost in _readings(poll):
        if not reading.problem:
            yield reading.data
        elif not lost:
            complain(f"still waiting: {reading.problem}")


def _readings(poll: Poll[T]) -> Iterator[tuple[Reading[T], bool]]:
    """Each reading, and whether the one before it had failed."""
    reading, lost = poll.newest(), False
    while True:
        yield reading, lost
        lost = bool(reading.problem)
        reading = poll.newer(reading.number)


def say(text: str) -> None:
    click.echo(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {visible(text)}")
    sys.stdout.flush()


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM unwinds, so that the terminal gets its screen and its cursor back."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
