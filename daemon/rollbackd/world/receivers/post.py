"""Posting a page, with bounded retries (faults 7, 47, 48, 51, 52)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from msgspec import Struct
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from rollbackd.core.model import Ms
from rollbackd.world.client import Answer, Client, Closed, OutOfDescriptors, Unanswered, one_line, redirect

_BODY: Final = 64 * 1024
_SPARE: Final = 8


class Refused(Exception):
    """The receiver does not take this page, and would not if it were sent again."""


class Busy(Exception):
    """Not now. `after`: seconds to wait as the receiver asks, None if it does not say."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Patience(Struct, frozen=True):
    """How often one receiver is tried before the next is told instead. In seconds.

    A `Retry-After` is honoured up to `longest`; D8 allows all receivers together one minute.
    """

    attempts: int = 4
    first: float = 0.5
    longest: float = 10.0
    altogether: float = 20.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def over(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Attempt until it is accepted. Raises the last `Busy`, or `Refused` at once."""
        grows = wait_random_exponential(multiplier=2 * self.first, max=self.longest, min=self.first)

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, Busy) and error.after is not None:
                return min(max(error.after, 0.0), self.longest)
            return grows(state)

        async for one in AsyncRetrying(
            stop=stop_after_attempt(self.attempts) | stop_after_delay(self.altogether),
            wait=wait,
            retry=retry_if_exception_type(Busy),
            sleep=self.sleep,
            reraise=True,
        ):
            with one:
                await attempt()


class Reserve:
    """File descriptors set aside, so that a page gets out when there are none left (fault 7)."""

    def __init__(self, size: int = _SPARE) -> None:
        self._size = size
        self._held: list[int] = []
        self.fill()

    def fill(self) -> None:
        """As many as can be had."""
        with suppress(OSError):
            while len(self._held) < self._size:
                self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def free(self) -> None:
        while self._held:
            os.close(self._held.pop())


class Postbox:
    """Posts JSON to receivers of one kind and says what became of it."""

    def __init__(self, client: Client, timeout: Ms, reserve: Reserve) -> None:
        self._client = client
        self._timeout = timeout
        self._reserve = reserve

    async def post(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """One attempt: returns once accepted, else raises `Busy` or `Refused`."""
        try:
            answer = await self._send(url, body, headers or {})
        except Closed as error:
            raise Refused(str(error)) from None
        except Unanswered as error:
            raise Busy(str(error)) from None
        _judge(answer)

    async def _send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        try:
            return await self._once(url, body, headers)
        except OutOfDescriptors:
            self._reserve.free()
            try:
                return await self._once(url, body, headers)
            finally:
                self._reserve.fill()

    async def _once(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        return await self._client.send(
            "POST",
            url,
            body=body,
            headers={"Content-Type": "application/json", **headers},
            budget=self._timeout,
            cap=_BODY,
            safe=True,  # a page carries its dedup key
            status_counts=True,
        )


def _judge(answer: Answer) -> None:
    status = answer.status
    if 200 <= status < 300:
        return
    if target := redirect(answer):
        raise Refused(
            f"status {status}: redirected to {target}, which is not followed; use the final address"
        )
    said = one_line(bytes(answer.body[:200]).decode("utf-8", "replace").strip(), 200)
    reason = f"status {status}" + (f": {said}" if said else "")
    if status >= 500 or status in (408, 429):
        raise Busy(reason, _retry_after(answer.headers.get("Retry-After")))
    raise Refused(reason)


def _retry_after(value: str | None) -> float | None:
    """Seconds from a `Retry-After`, which is a number of them or a date; None for anything else."""
    if value is None:
        return None
    try:
        if value.strip().isdecimal():
            return float(value)
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, IndexError, ArithmeticError):  # the parser's, on what a server may send
        return None
