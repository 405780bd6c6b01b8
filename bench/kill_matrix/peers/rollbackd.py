"""rollbackd, the real daemon of this tree."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import sys
from contextlib import suppress
from typing import Any

from judge import STEPS
from world import ECHO, MARKER, Cell

import rollbackd
from peers.base import Peer, Unit, absent


class Rollbackd(Peer):
    key = "rollbackd"
    title = "rollbackd"
    note = (
        "`windows: 3` of a second, `arm: always`, severity critical (acts by itself); three steps, none "
        "`repeatable`, no `retry`; `settle` as long as the metric's echo. One ladder pages at once, "
        "`notify` goes elsewhere and is not counted. rollbackd.service has `KillMode=process`."
    )

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        argv = [sys.executable, "-m", "rollbackd", "run", "--config", f"{cell.folder}/rollbackd.yml"]
        self.runner = Unit(cell, "rollbackd", argv, "process")

    @classmethod
    def missing(cls) -> str:
        return absent("prometheus")

    @classmethod
    def version(cls) -> str:
        return f"rollbackd {rollbackd.__version__}"

    def start(self) -> None:
        self.cell.watched()
        self._write("rollbackd.yml", self._settings())
        self._write("triggers.yml", {"groups": [{"name": "api", "interval": "1s", "triggers": [TRIGGER]}]})
        folder = self.cell.folder / "plans" / "api"
        folder.mkdir(parents=True)
        shutil.copy(self.cell.script, folder / "step.sh")
        self._write("plans/api/plan.yml", self._plan())
        self.start_runner()
        self.cell.until(self._judged)

    def _write(self, name: str, document: dict[str, Any]) -> None:
        (self.cell.folder / name).write_text(json.dumps({"version": "rollbackd/v1", **document}))

    def _settings(self) -> dict[str, Any]:
        url = self.cell.pager.url
        return {
            "instance": "matrix",
            "prometheus": {"urls": [self.cell.url], "timeout": "2s"},
            "triggers": ["triggers.yml"],
            "plans": ["plans/*/plan.yml"],
            "state_dir": str(self.cell.state),
            "web": {"listen": "127.0.0.1:0"},
            "receivers": [
                {"name": "pager", "webhook": {"url": f"{url}/page"}},
                {"name": "chat", "webhook": {"url": f"{url}/chat"}},
            ],
            "notify": ["chat"],
            "ladders": {"default": [{"after": "0s", "receivers": ["pager"]}]},
        }

    def _plan(self) -> dict[str, Any]:
        timeout = f"{self.cell.needs.step_timeout:g}s"
        steps = [{"step": step, "run": ["./step.sh", step], "timeout": timeout} for step in STEPS]
        return {
            "plan": "api",
            "owner": "matrix",
            "level": 3,
            "services": ["api"],
            "summary": "the service back to its previous version",
            "env": {MARKER: str(self.cell.folder)},
            "phases": [{"phase": "all", "estimate": "10s", "steps": steps}],
            "verification": [{"check": "well", "expr": "max(bad)", "pass": "== 0"}],
            "verify_windows": 2,
            "settle": f"{ECHO:g}s",
            "verify_within": "40s",
        }

    def start_runner(self) -> None:
        self.runner.start(lambda: self._get("/-/ready")[0] == 200)

    def _judged(self) -> bool:
        """A window was judged: what breaches in the very first one is not acted upon (W13)."""
        lines = self._get("/metrics")[1].splitlines()
        return any(line.startswith(JUDGED) and not line.endswith(" 0.0") for line in lines)

    def _get(self, path: str) -> tuple[int, str]:
        connection = _Unix(str(self.cell.state / "rollbackd.sock"))
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


JUDGED = 'rollbackd_windows_evaluated_total{group="api",verdict="ok"}'
TRIGGER = {
    "trigger": "Bad",
    "category": "metric",
    "severity": "critical",
    "expr": "max(bad)",
    "breach": "> 0.5",
    "windows": 3,
    "arm": "always",
    "plan": "api",
}


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with suppress(OSError):
            self.sock.connect(self._path)
            return
        self.sock.close()
        raise ConnectionRefusedError(self._path)
