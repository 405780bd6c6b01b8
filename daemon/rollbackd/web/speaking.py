"""POST: what people say, over the unix socket alone (E3, E4)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from rollbackd.core import signals as s
from rollbackd.web import bodies
from rollbackd.web.answers import Problem, success
from rollbackd.web.archive import resolve
from rollbackd.web.daemon import ReloadRefused
from rollbackd.web.peer import actor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rollbackd.web.daemon import Daemon

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CHANNEL = "socket"

ANSWERED_WITHIN = 8.0
"""s: clients wait for ten."""


class Speaking:
    """Verbs to the daemon. `body_within`: seconds for a request's body to arrive."""

    def __init__(self, daemon: Daemon, body_within: float) -> None:
        self._daemon = daemon
        self._body_within = body_within

    def routes(self, *, allowed: bool) -> list[web.RouteDef]:
        """The verbs; where they are not `allowed`, each answers why and how."""
        found: dict[str, Handler] = {
            **{f"/api/v1/rollbacks/{{id}}/{verb}": self._to_life(verb) for verb in bodies.LIFE_VERBS},
            "/api/v1/rollouts": self._plain(lambda _, raw: bodies.begin_rollout(raw)),
            "/api/v1/rollouts/{plan}/finish": self._named("plan", bodies.finish_rollout),
            "/api/v1/plans/{plan}/capture": self._named("plan", bodies.take_capture),
            "/api/v1/plans/{plan}/start": self._named("plan", bodies.start),
            "/api/v1/plans/{plan}/rearm": self._named("plan", bodies.rearm_plan),
            "/api/v1/plans/{plan}/evidence": self._named("plan", bodies.add_evidence),
            "/api/v1/triggers/{trigger}/rearm": self._named("trigger", bodies.rearm_trigger),
            "/api/v1/pauses": self._plain(lambda _, raw: bodies.pause(raw)),
            "/api/v1/pauses/end": self._plain(lambda _, raw: bodies.unpause(raw)),
            "/-/reload": self.reload,
        }
        return [web.post(path, handler if allowed else refuse) for path, handler in found.items()]

    def _to_life(self, verb: str) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            target = request.match_info["id"]
            if not (verb == "ack" and "/" in target):
                resolve(self._daemon.state, target)
            revision = _revision(request) if verb in ("approve", "confirm") else None
            return await self._say(request, bodies.of_life(verb, target, await self._body(request), revision))

        return handler

    def _named(self, key: str, make: Callable[[str, bytes], s.Verb]) -> Handler:
        return self._plain(lambda request, raw: make(request.match_info[key], raw))

    def _plain(self, make: Callable[[web.Request, bytes], s.Verb]) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            return await self._say(request, make(request, await self._body(request)))

        return handler

    async def _body(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(self._body_within):
                return await request.read()
        except TimeoutError as error:
            raise Problem("bad_data", "the body did not arrive in time", 408) from error

    async def _say(self, request: web.Request, verb: s.Verb) -> web.Response:
        who = await actor(request)
        try:
            async with asyncio.timeout(ANSWERED_WITHIN):
                reply = await self._daemon.speak(verb, who, CHANNEL)
        except TimeoutError as error:
            raise Problem(
                "unavailable",
                "no answer yet; it may still be done: look before you say it again"
                + (f" ({self._daemon.halted})" if self._daemon.halted else ""),
            ) from error
        if reply.accepted:
            begun = {"capture": reply.capture} if reply.capture is not None else {}
            return success({"text": reply.text, **begun})
        if reply.request == 0:
            raise Problem("unavailable", reply.text)
        raise Problem("conflict" if reply.conflict else "bad_data", reply.text)

    async def reload(self, request: web.Request) -> web.Response:
        bodies.read(await self._body(request), bodies.Nothing)
        who = await actor(request)
        try:
            return success({"hash": await self._daemon.reload(who, CHANNEL)})
        except ReloadRefused as refused:
            raise Problem("bad_data", str(refused)) from refused


async def refuse(_request: web.Request) -> web.Response:
    """What TCP answers to a verb."""
    raise Problem(
        "bad_data",
        "over TCP this API only reads; act with the `rollbackd` command on the daemon's host, "
        "or over the unix socket STATE_DIR/rollbackd.sock",
        403,
    )


def _revision(request: web.Request) -> int | None:
    text = request.headers.get("If-Match", "").strip().removeprefix("W/").strip('"')
    if text in ("", "*"):
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Problem("bad_data", 'If-Match: expected the revision that you saw, as in "7"')
    return int(text)
