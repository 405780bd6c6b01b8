"""rollbackd as the demo sees it: a process, its command line, its API, and the webhook it tells things to."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector, web

from rollbackd.demo.processes import Failure, Program, environment, python

SHIPPED = Path(__file__).resolve().parents[3]
"""The checkout: `plans/demo` and `triggers/demo.yml` are there."""

DEMO_DIR = "/run/rollbackd-demo"
"""What the shipped plan has for the demo's folder."""

MOST_PATH = 107
"""What the address of a unix socket can hold."""

READY_WITHIN = 40.0
COMMAND_WITHIN = 30.0


class Unanswered(Exception):
    """The daemon did not answer: it is down, or starting."""


class Watchman:
    """One rollbackd on its own configuration and state directory."""

    def __init__(self, folder: Path, prometheus_url: str, told: Callable[[dict[str, Any]], None]) -> None:
        """`told` is given each document that rollbackd sends to its receiver."""
        self.home = folder / "rollbackd"
        self.config = self.home / "rollbackd.yml"
        self._demo = folder
        self._prometheus_url = prometheus_url
        self._told = told
        command = python("rollbackd", "run", "--config", str(self.config))
        self.program = Program("rollbackd", command, folder / "logs" / "rollbackd.log")
        self._session: ClientSession | None = None
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """Write the configuration, with the shipped trigger and plan; start; return once it is ready."""
        socket = self.home / "state" / "rollbackd.sock"
        if len(str(socket)) > MOST_PATH:
            raise Failure(f"{socket} is too long for a socket; set TMPDIR to a shorter folder: TMPDIR=/tmp")
        self._copy_shipped()
        receiver = await self._listen()
        document = {
            "version": "rollbackd/v1",
            "instance": "demo",
            "prometheus": {"urls": [self._prometheus_url], "timeout": "2s"},
            "triggers": ["triggers/*.yml"],
            "plans": ["plans/*/plan.yml"],
            "state_dir": "state",
            "web": {"listen": "127.0.0.1:0"},
            "receivers": [{"name": "terminal", "webhook": {"url": receiver}}],
            "ladders": {"default": [{"after": "0s", "receivers": ["terminal"]}]},
        }
        self.config.write_text(json.dumps(document, indent=2))  # JSON is YAML
        connector = UnixConnector(str(socket), force_close=True)
        self._session = await self._stack.enter_async_context(
            ClientSession(connector=connector, timeout=ClientTimeout(total=3))
        )
        self._stack.push_async_callback(self.program.stop)
        await self.start()

    async def close(self) -> None:
        await self._stack.aclose()

    async def start(self) -> None:
        await self.program.start()
        await self.program.until(self.ready, "ready", READY_WITHIN)

    async def ready(self) -> bool:
        try:
            status, _ = await self._get("/-/ready")
        except Unanswered:
            return False
        return status == 200

    async def data(self, path: str) -> Any:
        """What the API says at /api/v1/PATH. Unanswered; Failure where it refuses."""
        status, text = await self._get(f"/api/v1/{path}")
        if status != 200:
            raise Failure(f"rollbackd: /api/v1/{path}: status {status}: {text.strip()[:300]}")
        return json.loads(text)["data"]

    async def command(self, *arguments: str) -> str:
        """What `rollbackd ARGUMENTS` prints; Failure where it does not exit 0."""
        whole = [sys.executable, "-m", "rollbackd", *arguments, "--config", str(self.config)]
        process = await asyncio.create_subprocess_exec(
            *whole,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment(),
        )
        try:
            async with asyncio.timeout(COMMAND_WITHIN):
                output, _ = await process.communicate()
        except BaseException:
            process.kill()
            await process.wait()
            raise
        text = output.decode(errors="replace").rstrip()
        if process.returncode:
            raise Failure(f"rollbackd {' '.join(arguments)}: exit {process.returncode}: {text}")
        return text

    async def _get(self, path: str) -> tuple[int, str]:
        if self._session is None:
            raise Unanswered
        try:
            async with self._session.get(f"http://rollbackd{path}") as answer:
                return answer.status, await answer.text()
        except (ClientError, TimeoutError) as error:
            raise Unanswered from error

    def _copy_shipped(self) -> None:
        plan, trigger = SHIPPED / "plans" / "demo", SHIPPED / "triggers" / "demo.yml"
        if not plan.is_dir() or not trigger.is_file():
            raise Failure(f"{plan} and {trigger} are not there; run the demo from a checkout: make demo")
        shutil.copytree(plan, self.home / "plans" / "demo")
        (self.home / "triggers").mkdir()
        shutil.copy(trigger, self.home / "triggers")
        copy = self.home / "plans" / "demo" / "plan.yml"
        copy.write_text(copy.read_text().replace(DEMO_DIR, str(self._demo)))

    async def _listen(self) -> str:
        async def take(request: web.Request) -> web.Response:
            self._told(await request.json())
            return web.Response(status=204)

        app = web.Application()
        app.router.add_post("/", take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        return f"http://{host}:{port}/"
