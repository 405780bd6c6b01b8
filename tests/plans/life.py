"""A shipped plan, adapted as its README.md says, in the real daemon; its metrics are always well."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs

from tests.daemon.rig import Rig
from tests.plans.stage import ROOT, read_plan
from tests.servers import Threaded

ENDS = ("verified", "unverified", "failed", "aborted", "waiting_approval", "parked", "vetoed", "expired")
PASSING = {"== 1": 1, "== 0": 0, "<": 0, ">": 1}


class Well(Threaded):
    """A Prometheus that answers each expression with what passes."""

    def __init__(self, values: dict[str, int]) -> None:
        super().__init__()
        self._values = values

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0)).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        now, expr = time.time(), form["query"]
        data: dict[str, Any] = {"resultType": "scalar", "result": [now, f"{now:.3f}"]}
        if expr != "time()":
            value = [float(form.get("time", now)), str(self._values.get(expr, 0))]
            data = {"resultType": "vector", "result": [{"metric": {}, "value": value}]}
        answer = json.dumps({"status": "success", "data": data}).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)


def passing(limit: str) -> int:
    return next(value for start, value in PASSING.items() if limit.startswith(start))


def queries(value: object) -> dict[str, int]:
    """Each `expr` below, with a value that satisfies its `pass`."""
    found: dict[str, int] = {}
    if isinstance(value, dict):
        if "expr" in value and "pass" in value:
            found[value["expr"]] = passing(value["pass"])
        for item in value.values():
            found |= queries(item)
    elif isinstance(value, list):
        for item in value:
            found |= queries(item)
    return found


class Life(Rig):
    """The daemon with this one plan, started by hand.

    `env` replaces values of the plan's, `changes` the plan's own keys. Use it as a context manager.
    """

    def __init__(self, folder: Path, name: str, env: dict[str, str], **changes: Any) -> None:
        super().__init__(folder)
        self.name = name
        document = read_plan(name)
        self.document = {**document, "settle": "0s", "verify_windows": 1, **changes}
        self.document["env"] = {**document["env"], **env}
        self.well = Well(queries(self.document))

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stack.enter_context(self.hook)
        self._stack.enter_context(self.well)
        shutil.copytree(ROOT / "plans" / self.name, self.folder / "plans" / self.name)
        self._yaml(f"plans/{self.name}/plan.yml", self.document)
        trigger = self.trigger(plan=self.name, per=[], arm="rollout", expr="bad_things")
        self._yaml(
            "triggers.yml",
            {"version": "rollbackd/v1", "groups": [{"name": "g", "interval": "1s", "triggers": [trigger]}]},
        )
        self._yaml(
            "rollbackd.yml",
            {
                "version": "rollbackd/v1",
                "instance": "shipped",
                "prometheus": {"urls": [self.well.url], "timeout": "2s"},
                "triggers": ["triggers.yml"],
                "state_dir": str(self.state_dir),
                "web": {"listen": "127.0.0.1:0"},
                "receivers": [{"name": "hook", "webhook": {"url": f"{self.hook.url}/hook"}}],
            },
        )
        self.start()
        return self

    def release(self, previous: str, following: str) -> None:
        """Begin a rollout: what the plan captures is put aside first."""
        self.cli("rollout", "begin", self.name, "--previous", previous, "--next", following)

    def roll_back(self, scope: str = "all") -> str:
        """By hand: how it ended, or what it waits for."""
        self.cli("start", self.name, "--reason", "it went bad", "--scope", scope)
        return self.wait_state(f"{self.name}-1", *ENDS, seconds=120)

    def told(self) -> str:
        """All that the record says of it, line by line."""
        return "\n".join(entry["text"] for entry in self.life(f"{self.name}-1")["timeline"])
