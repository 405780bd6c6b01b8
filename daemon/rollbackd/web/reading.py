"""GET: what is so. Nothing here changes anything (E4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from rollbackd.metrics import CONTENT_TYPE
from rollbackd.web import lives, reports, views
from rollbackd.web.answers import Problem, listed, made, success
from rollbackd.web.archive import Archive
from rollbackd.web.gate import Gate

if TYPE_CHECKING:
    from rollbackd.core.model import Plan
    from rollbackd.metrics import Metrics
    from rollbackd.web.daemon import Daemon

MOST_ENDED = 500
MOST_DAYS = 366


class Reading:
    """The read API of one daemon."""

    def __init__(self, daemon: Daemon, metrics: Metrics) -> None:
        self._daemon = daemon
        self._metrics = metrics
        self._archive = Archive(daemon)
        self._gate = Gate()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/-/healthy", self.healthy),
            web.get("/-/ready", self.ready),
            web.get("/metrics", self.metrics),
            web.get("/api/v1/triggers", self.triggers),
            web.get("/api/v1/plans", self.plans),
            web.get("/api/v1/plans/{plan}/evidence", self.evidence),
            web.get("/api/v1/gates/permit/{plan}", self.permit),
            web.get("/api/v1/rollouts", self.rollouts),
            web.get("/api/v1/captures", self.captures),
            web.get("/api/v1/rollbacks", self.rollbacks),
            web.get("/api/v1/rollbacks/{id}", self.rollback),
            web.get("/api/v1/rollbacks/{id}/report", self.report),
            web.get("/api/v1/scorecard", self.scorecard),
            web.get("/api/v1/pauses", self.pauses),
            web.get("/api/v1/matters", self.matters),
            web.get("/api/v1/status/config", self.config),
            web.get("/api/v1/status/buildinfo", self.buildinfo),
        ]

    async def healthy(self, _request: web.Request) -> web.Response:
        if self._daemon.halted is not None:
            return web.Response(status=503, text=f"halted: {self._daemon.halted}\n")
        return web.Response(text="rollbackd is healthy\n")

    async def ready(self, _request: web.Request) -> web.Response:
        reasons = self._daemon.ready()
        if reasons:
            return web.Response(status=503, text="".join(f"{reason}\n" for reason in reasons))
        return web.Response(text="rollbackd is ready\n")

    async def metrics(self, _request: web.Request) -> web.Response:
        body = await self._metrics.exposition(self._daemon.state, self._daemon.soft)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def triggers(self, _request: web.Request) -> web.Response:
        return await self._gate.run(lambda: listed(views.triggers(self._daemon.state, self._daemon.soft)))

    async def plans(self, _request: web.Request) -> web.Response:
        return await listed(views.plans(self._daemon.state))

    async def evidence(self, request: web.Request) -> web.Response:
        return success(views.evidence(self._daemon.state, self._plan(request)))

    async def permit(self, request: web.Request) -> web.Response:
        return success(views.permit(self._daemon.state, self._plan(request)))

    def _plan(self, request: web.Request) -> Plan:
        """Of the configuration in force. Problem: there is none of that name."""
        config, name = self._daemon.state.config, request.match_info["plan"]
        if config is None:
            raise Problem("unavailable", "no configuration is loaded yet")
        plan = config.plan(name)
        if plan is None:
            known = ", ".join(each.name for each in config.plans) or "none"
            raise Problem("not_found", f"there is no plan {name}; the plans are {known}")
        return plan

    async def rollouts(self, _request: web.Request) -> web.Response:
        return await listed(views.rollouts(self._daemon.state))

    async def captures(self, request: web.Request) -> web.Response:
        return await listed(views.captures(self._daemon.state, request.query.get("plan")))

    async def rollbacks(self, request: web.Request) -> web.Response:
        limit = _limit(request)

        async def answer() -> web.Response:
            found = await self._archive.lives(limit)
            return await made(lambda: [lives.rollback(life) for life in found])

        return await self._gate.run(answer)

    async def rollback(self, request: web.Request) -> web.Response:
        async def answer() -> web.Response:
            life, rows = await self._archive.find(request.match_info["id"])
            state = self._daemon.state
            return await made(lambda: lives.in_full(life, state, rows))

        return await self._gate.run(answer)

    async def report(self, request: web.Request) -> web.Response:
        async def answer() -> web.Response:
            form = request.query.get("format", "md")
            return await reports.answer(self._archive, request.match_info["id"], form)

        return await self._gate.run(answer)

    async def scorecard(self, request: web.Request) -> web.Response:
        days, service = _whole(request, "days", "30", MOST_DAYS), request.query.get("service") or None
        if not days:
            raise Problem("bad_data", f"days: expected a whole number from 1 to {MOST_DAYS}")

        async def answer() -> web.Response:
            card = await self._daemon.scorecard(days, service)
            return await made(lambda: views.scorecard(card))

        return await self._gate.run(answer)

    async def pauses(self, _request: web.Request) -> web.Response:
        return await listed(views.pauses(self._daemon.state.pauses))

    async def matters(self, _request: web.Request) -> web.Response:
        return await listed(views.matters(self._daemon.state))

    async def config(self, _request: web.Request) -> web.Response:
        return await self._gate.run(lambda: made(lambda: {"yaml": self._daemon.config_text()}))

    async def buildinfo(self, _request: web.Request) -> web.Response:
        return success({"instance": self._daemon.instance, **self._daemon.build})


def _limit(request: web.Request) -> int:
    return _whole(request, "limit", "50", MOST_ENDED)


def _whole(request: web.Request, name: str, default: str, most: int) -> int:
    text = request.query.get(name, default)
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise Problem("bad_data", f"{name}: expected a whole number from 0 to {most}")
    return min(int(text), most)
