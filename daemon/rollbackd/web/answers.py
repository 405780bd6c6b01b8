"""Prometheus' envelope, and problems in it."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

import msgspec
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ErrorType = Literal["bad_data", "not_found", "conflict", "unavailable", "internal"]

SLICE = 25
"""Elements of a list that are encoded before the loop gets a turn."""


class Problem(Exception):
    """Answered as an error; `text` says what, and the remedy."""

    def __init__(
        self, kind: ErrorType, text: str, status: int | None = None, *, retry_after: int | None = None
    ) -> None:
        """`retry_after`: seconds, where asking again may help."""
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.status = status if status is not None else _STATUS[kind]
        self.retry_after = retry_after


_STATUS: dict[ErrorType, int] = {
    "bad_data": HTTPStatus.BAD_REQUEST,
    "not_found": HTTPStatus.NOT_FOUND,
    "conflict": HTTPStatus.CONFLICT,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
}


POLICY = "Content-Security-Policy"
HEADERS = {
    "Server": "rollbackd",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    POLICY: "default-src 'none'; frame-ancestors 'none'",
}
"""Of every answer."""


def success(data: object) -> web.Response:
    return _json(msgspec.json.encode({"status": "success", "data": data}))


async def made(make: Callable[[], object]) -> web.Response:
    """What `make` returns, made and encoded off the loop: it may be big. It reads frozen values only."""
    return await asyncio.to_thread(lambda: success(make()))


async def listed(items: Iterable[object]) -> web.Response:
    """A list, encoded in slices: thousands of elements do not hold up the loop."""
    parts: list[bytes] = []
    for count, item in enumerate(items, 1):
        parts.append(msgspec.json.encode(item))
        if count % SLICE == 0:
            await asyncio.sleep(0)
    return _json(b'{"status":"success","data":[' + b",".join(parts) + b"]}")


def failure(problem: Problem) -> web.Response:
    body = {"status": "error", "errorType": problem.kind, "error": problem.text}
    response = _json(msgspec.json.encode(body), problem.status)
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    return response


def _json(body: bytes, status: int = HTTPStatus.OK) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")
