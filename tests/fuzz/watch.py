"""One input at a time, watched: a finding names its input, a hang too."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from tests.fuzz.targets import Target

PATIENCE = 20.0
"""Seconds of CPU for one small input, which takes some milliseconds: no load of the machine makes it that."""

SHOWN = 500


class Finding(AssertionError):
    """What a target did with an input."""


def run(name: str, target: Target, data: bytes) -> None:
    try:
        with _watched():
            target(data)
    except Exception as error:
        shown = repr(data) if len(data) <= SHOWN else f"{data[:SHOWN]!r}… ({len(data)} bytes)"
        raise Finding(f"{name}: {shown}") from error


@contextmanager
def _watched() -> Iterator[None]:
    before = signal.signal(signal.SIGVTALRM, _hangs)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _hangs(_number: int, _frame: FrameType | None) -> NoReturn:
    raise TimeoutError(f"it still computes after {PATIENCE:g} s")
