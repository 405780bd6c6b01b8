"""Asks the daemon again and again, so that a view can say how old what it shows is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

from rollbackd.cli.errors import Exit, Failed, Unreachable

T = TypeVar("T")
INTERVAL = 1.0  # seconds between an answer and the next question
STALE = 5.0  # seconds without an answer: said, and shown


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """The newest answer, and what has come of asking since. Moments are `time.monotonic()`."""

    data: T
    at: float
    number: int  # of the question answered or failed last
    problem: str = ""

    def age(self, now: float) -> float:
        return now - self.at

    def stale(self, now: float) -> bool:
        return bool(self.problem) or self.age(now) > STALE


class Poll(Generic[T]):
    """Asks on a thread of its own: a daemon that hangs freezes no view.

    Entering asks once and raises what went wrong. From then on no answer is a state to be shown, for up
    to `patience` seconds (None: for ever); `newest` and `newer` raise any other refusal.
    """

    def __init__(
        self, ask: Callable[[], T], *, interval: float | None = None, patience: float | None = None
    ) -> None:
        self._ask = ask
        self._interval = INTERVAL if interval is None else interval
        self._patience = patience
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._refused: Failed | None = None
        self._thread = threading.Thread(target=self._run, name="poll", daemon=True)

    def __enter__(self) -> Poll[T]:
        self._reading = Reading(self._ask(), time.monotonic(), 1)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def newest(self) -> Reading[T]:
        with self._changed:
            if self._refused is not None:
                raise self._refused
            return self._reading

    def newer(self, than: int, timeout: float | None = None) -> Reading[T]:
        """The newest once it is newer than that number, or at the timeout (seconds)."""
        with self._changed:
            self._changed.wait_for(lambda: self._refused is not None or self._reading.number > than, timeout)
        return self.newest()

    def _run(self) -> None:
        while not self._over.wait(self._interval):
            try:
                self._tell(Reading(self._ask(), time.monotonic(), self._reading.number + 1))
            except Failed as error:
                known = self._reading
                lost = self._patience is not None and known.age(time.monotonic()) > self._patience
                if error.code != Exit.CANNOT_TELL or lost:
                    self._refuse(error)
                    return
                self._tell(Reading(known.data, known.at, known.number + 1, error.message))
            except Exception as error:  # a thread that dies unseen would leave a page that stays green
                self._refuse(Unreachable(f"the daemon's answer makes no sense: {error!r}; same version?"))
                return

    def _tell(self, reading: Reading[T]) -> None:
        with self._changed:
            self._reading = reading
            self._changed.notify_all()

    def _refuse(self, error: Failed) -> None:
        with self._changed:
            self._refused = error
            self._changed.notify_all()
