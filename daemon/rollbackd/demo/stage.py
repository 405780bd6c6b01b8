"""Where the demo plays: two cohorts of a small service, a proxy, customers, and a Prometheus.

FOLDER/releases/VERSION/release.json
FOLDER/{stable,canary}/current        a link into releases
FOLDER/proxy/{listen,admin}           the proxy's addresses
FOLDER/steps                          a line for each step that really ran
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout

from rollbackd.demo.load import Load
from rollbackd.demo.processes import Failure, Kept, Program, python, until
from rollbackd.demo.simulated import Simulated

GOOD, BAD = "1.4.2", "1.5.0"
RELEASES = {GOOD: {}, BAD: {"fails": {"after": 200, "share": 0.3}}}
COHORTS = ("stable", "canary")
REQUESTS_PER_SECOND = 60.0

_LISTENING = re.compile(r'msg="Listening on" address=(127\.0\.0\.1:\d+)')


class Stage:
    """Everything but rollbackd. `open` starts it, `close` ends every process of it."""

    def __init__(self, folder: Path, *, prometheus: str | None) -> None:
        """`prometheus`: the program, or None for the simulated source."""
        self.folder = folder
        self.logs = folder / "logs"
        self.prometheus_url = ""
        self.load: Load | None = None
        self._program = prometheus
        self._session: ClientSession | None = None
        self._services: dict[str, Kept] = {}
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        self._lay_out()
        self._session = await self._stack.enter_async_context(ClientSession(timeout=ClientTimeout(total=3)))
        for cohort in COHORTS:
            home = self.folder / cohort
            command = python("rollbackd.demo.service", str(home))
            service = Kept(Program(cohort, command, self.logs / f"{cohort}.log"), home / "pid")
            self._services[cohort] = service
            self._stack.push_async_callback(service.stop)
            await service.start()
        await self._open_proxy()
        await self._open_prometheus()
        self.load = Load(f"http://{self._address('listen')}/", REQUESTS_PER_SECOND)
        self._stack.push_async_callback(self.load.stop)
        self.load.start()

    async def close(self) -> None:
        await self._stack.aclose()

    # What a release team does

    async def deploy(self, cohort: str, version: str) -> None:
        """Set the cohort to the release and restart it; return once that release answers."""
        home = self.folder / cohort
        self._link(home, version)
        os.kill(self._services[cohort].program.pid, signal.SIGTERM)

        async def answers() -> bool:
            return await self.release(cohort) == version

        await until(answers, f"{cohort}: {version} does not answer")

    async def weigh(self, cohort: str, weight: int) -> None:
        await self._admin("POST", f"/weight/{cohort}/{weight}")

    async def weight(self, cohort: str) -> int:
        return int((await self._admin("GET", f"/weight/{cohort}")).split()[1])

    async def release(self, cohort: str) -> str:
        """What answers as that cohort; empty while nothing does."""
        try:
            return await self._admin("GET", f"/release/{cohort}")
        except Failure:
            return ""

    def steps_run(self) -> list[str]:
        """`LIFE STEP`, in the order in which the scripts of the plan really ran."""
        file = self.folder / "steps"
        return file.read_text().splitlines() if file.exists() else []

    # Setting up

    def _lay_out(self) -> None:
        for name in ("logs", "proxy", "prometheus"):
            (self.folder / name).mkdir(parents=True)
        for version, more in RELEASES.items():
            home = self.folder / "releases" / version
            home.mkdir(parents=True)
            (home / "release.json").write_text(json.dumps({"version": version, **more}))
        for cohort in COHORTS:
            (self.folder / cohort).mkdir()
            self._link(self.folder / cohort, GOOD)

    def _link(self, home: Path, version: str) -> None:
        draft = home / "next"
        draft.unlink(missing_ok=True)
        draft.symlink_to(Path("..", "releases", version))
        os.replace(draft, home / "current")

    async def _open_proxy(self) -> None:
        weights = ("stable=50", "canary=0")
        command = python("rollbackd.demo.proxy", str(self.folder), *weights)
        proxy = Program("proxy", command, self.logs / "proxy.log")
        self._stack.push_async_callback(proxy.stop)
        await proxy.start()

        async def ready() -> bool:
            known = all((self.folder / "proxy" / name).exists() for name in ("listen", "admin"))
            return known and all([await self.release(cohort) == GOOD for cohort in COHORTS])

        await proxy.until(ready, "in touch with both cohorts")

    async def _open_prometheus(self) -> None:
        target = self._address("listen")
        if self._program is None:
            simulated = Simulated(target)
            self._stack.push_async_callback(simulated.stop)
            await simulated.start()
            self.prometheus_url = simulated.url
            return
        home, log = self.folder / "prometheus", self.logs / "prometheus.log"
        scrape = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{"job_name": "proxy", "static_configs": [{"targets": [target]}]}],
        }
        (home / "prometheus.yml").write_text(json.dumps(scrape))  # JSON is YAML
        command = [
            self._program,
            f"--config.file={home / 'prometheus.yml'}",
            f"--storage.tsdb.path={home / 'data'}",
            "--web.listen-address=127.0.0.1:0",
        ]
        program = Program("prometheus", command, log)
        self._stack.push_async_callback(program.stop)
        await program.start()

        async def ready() -> bool:
            found = _LISTENING.search(log.read_text(errors="replace"))
            if found is None:
                return False
            self.prometheus_url = f"http://{found[1]}"
            return await self._is_ready(f"{self.prometheus_url}/-/ready")

        await program.until(ready, "ready")

    async def _is_ready(self, url: str) -> bool:
        with suppress(ClientError, TimeoutError):
            async with self._client.get(url) as answer:
                return answer.status == 200
        return False

    @property
    def _client(self) -> ClientSession:
        if self._session is None:
            raise Failure("the stage is not open")
        return self._session

    def _address(self, name: str) -> str:
        return (self.folder / "proxy" / name).read_text().strip()

    async def _admin(self, method: str, path: str) -> str:
        url = f"http://{self._address('admin')}{path}"
        try:
            async with self._client.request(method, url) as answer:
                text = await answer.text()
                if answer.status != 200:
                    raise Failure(f"proxy: {path}: status {answer.status}: {text.strip()}")
                return text.strip()
        except (ClientError, TimeoutError) as error:
            raise Failure(f"proxy: {path}: {type(error).__name__}") from error


def find_prometheus() -> str | None:
    return shutil.which("prometheus")
