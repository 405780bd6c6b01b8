"""The demo's reverse proxy: `python -m rollbackd.demo.proxy FOLDER COHORT=WEIGHT…`.

FOLDER/COHORT/http.sock   where the cohort's service answers
FOLDER/proxy/listen       where the proxy listens (127.0.0.1:PORT): everybody's requests, and /metrics
FOLDER/proxy/admin        where it takes orders: GET and POST /weight/COHORT/N, GET /under-way/COHORT,
                          GET /release/COHORT; plain text, so that a shell script can speak it
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector, web
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

COHORT_HEADER = "X-Cohort"
NO_ANSWER = 502


@dataclass
class Cohort:
    name: str
    weight: int
    credit: int = 0
    under_way: int = 0


@dataclass
class Balance:
    """Smooth weighted round robin: of a hundred requests, each cohort gets exactly its share."""

    cohorts: dict[str, Cohort] = field(default_factory=dict)

    def next(self) -> Cohort | None:
        """None where every weight is 0."""
        total = sum(cohort.weight for cohort in self.cohorts.values())
        if total == 0:
            return None
        for cohort in self.cohorts.values():
            cohort.credit += cohort.weight
        best = max(self.cohorts.values(), key=lambda cohort: cohort.credit)  # positive: so is its weight
        best.credit -= total
        return best

    def weigh(self, name: str, weight: int) -> None:
        self.cohorts[name].weight = weight
        for cohort in self.cohorts.values():
            cohort.credit = 0


class Proxy:
    def __init__(self, balance: Balance, sessions: dict[str, ClientSession]) -> None:
        """`sessions`: how each cohort is reached."""
        self.balance = balance
        self.sessions = sessions
        self.registry = CollectorRegistry()
        self.requests = Counter("demo_requests", "Answers given.", ["cohort", "code"], registry=self.registry)
        self.weight = Gauge("demo_weight", "Parts of the traffic.", ["cohort"], registry=self.registry)
        for cohort in balance.cohorts.values():
            self.weight.labels(cohort.name).set(cohort.weight)
            for code in ("200", "500", str(NO_ANSWER)):
                self.requests.labels(cohort.name, code)

    async def forward(self, request: web.Request) -> web.Response:
        cohort = self.balance.next()
        if cohort is None:
            return web.Response(status=503, text="no cohort has any weight\n")
        cohort.under_way += 1
        try:
            async with self.sessions[cohort.name].get("http://cohort" + request.path_qs) as answer:
                status, body = answer.status, await answer.read()
        except (ClientError, TimeoutError) as error:
            status, body = NO_ANSWER, f"{cohort.name}: {type(error).__name__}\n".encode()
        finally:
            cohort.under_way -= 1
        self.requests.labels(cohort.name, str(status)).inc()
        return web.Response(status=status, body=body, headers={COHORT_HEADER: cohort.name})

    async def metrics(self, _: web.Request) -> web.Response:
        body = generate_latest(self.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    # What scripts and operators ask for

    def _cohort(self, request: web.Request) -> Cohort:
        cohort = self.balance.cohorts.get(request.match_info["cohort"])
        if cohort is None:
            raise web.HTTPNotFound(text=f"the cohorts are {', '.join(self.balance.cohorts)}\n")
        return cohort

    async def get_weight(self, request: web.Request) -> web.Response:
        cohort = self._cohort(request)
        return web.Response(text=f"{cohort.name} {cohort.weight}\n")

    async def set_weight(self, request: web.Request) -> web.Response:
        cohort = self._cohort(request)
        self.balance.weigh(cohort.name, int(request.match_info["weight"]))
        self.weight.labels(cohort.name).set(cohort.weight)
        return await self.get_weight(request)

    async def under_way(self, request: web.Request) -> web.Response:
        return web.Response(text=f"{self._cohort(request).under_way}\n")

    async def release(self, request: web.Request) -> web.Response:
        cohort = self._cohort(request)
        try:
            async with self.sessions[cohort.name].get("http://cohort/release") as answer:
                return web.Response(status=answer.status, text=await answer.text())
        except (ClientError, TimeoutError) as error:
            return web.Response(status=NO_ANSWER, text=f"{cohort.name}: {type(error).__name__}\n")

    def applications(self) -> dict[str, web.Application]:
        listen, admin = web.Application(), web.Application()
        listen.router.add_get("/metrics", self.metrics)
        listen.router.add_get("/{path:.*}", self.forward)
        admin.router.add_get("/weight/{cohort}", self.get_weight)
        admin.router.add_post(r"/weight/{cohort}/{weight:\d{1,4}}", self.set_weight)
        admin.router.add_get("/under-way/{cohort}", self.under_way)
        admin.router.add_get("/release/{cohort}", self.release)
        return {"listen": listen, "admin": admin}


async def serve(folder: Path, weights: dict[str, int]) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    proxy = Proxy(
        Balance({name: Cohort(name, weight) for name, weight in weights.items()}),
        {name: _session(folder / name / "http.sock") for name in weights},
    )
    runners = [await _listen(app, folder / "proxy" / name) for name, app in proxy.applications().items()]
    await stop.wait()
    for runner in runners:
        await runner.cleanup()
    for session in proxy.sessions.values():
        await session.close()


def _session(socket: Path) -> ClientSession:
    return ClientSession(connector=UnixConnector(str(socket)), timeout=ClientTimeout(total=2))


async def _listen(app: web.Application, file: Path) -> web.AppRunner:
    """Serve on a free port of loopback and write the address into the file, whole or not at all."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    draft = file.with_suffix(".new")
    draft.write_text(f"{host}:{port}\n")
    os.replace(draft, file)
    return runner


def _weights(arguments: list[str]) -> dict[str, int]:
    pairs = (argument.partition("=") for argument in arguments)
    return {name: int(weight) for name, _, weight in pairs}


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), _weights(sys.argv[2:])))
