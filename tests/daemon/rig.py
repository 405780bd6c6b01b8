"""The real daemon on a real Prometheus, with a service whose health the test and the plan decide.

The service exports `bad{cohort=…}`: 0 or 1 as the test says, but 0 as soon as the plan's revert step
has left its mark. Every step appends a line to `ran`, so that a second start shows.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import yaml
from tests.servers import Exporter, Prometheus, Recorder, ask, wait_for

SCRIPT = """\
#!/bin/sh
# Leaves a line for each start, then does what the test asked of this step.
echo "$ROLLBACK_STEP $ROLLBACK_ATTEMPT" >> "$MARKS/ran"
[ -e "$MARKS/slow-$ROLLBACK_STEP" ] && sleep "$(cat "$MARKS/slow-$ROLLBACK_STEP")"
[ -e "$MARKS/fail-$ROLLBACK_STEP" ] && exit 1
[ "$ROLLBACK_STEP" = revert ] && : > "$MARKS/reverted"
echo "$ROLLBACK_STEP" >> "$MARKS/done"
"""


class Service(Exporter):
    """Scraped once a second; a reverted service is well, whatever the test had set."""

    def __init__(self, marks: Path) -> None:
        super().__init__()
        self._marks = marks

    def text(self) -> str:
        if (self._marks / "reverted").exists():
            with self._lock:
                for name, labels in list(self._series):
                    if name == "bad":
                        self._series[name, labels] = 0
        return super().text()


class Rig:
    """Use it as a context manager; everything it started is ended, by pid."""

    def __init__(self, folder: Path, **overrides: Any) -> None:
        self.folder = folder
        self.marks = folder / "marks"
        self.state_dir = folder / "state"
        self.overrides = overrides
        self.service = Service(self.marks)
        self.hook = Recorder()
        self.daemon: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.marks.mkdir(parents=True)
        self._stack.enter_context(self.service)
        self._stack.enter_context(self.hook)
        self.service.set("bad", 0, cohort="canary")
        self.service.set("bad", 0, cohort="stable")
        self.prometheus = Prometheus(self.folder / "prometheus", "1s", [self.service.target])
        self._stack.callback(self.prometheus.stop)
        self.prometheus.start()
        wait_for(lambda: len(self.prometheus.query("bad")) == 2, what="the first scrape")
        self.write()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.callback(self.kill)
        self._stack.close()

    # Files

    def trigger(self, **changes: Any) -> dict[str, Any]:
        return {
            "trigger": "Bad",
            "category": "metric",
            "severity": "critical",
            "expr": "bad",
            "breach": "> 0",
            "windows": 3,
            "per": ["cohort"],
            "plan": "api",
            "cooldown": "1m",
            **changes,
        }

    def plan(self, **changes: Any) -> dict[str, Any]:
        steps = ["drain", "revert", "restore"]
        return {
            "version": "rollbackd/v1",
            "plan": "api",
            "owner": "tests",
            "level": 3,
            "services": ["api"],
            "summary": "the service back to its previous version",
            "env": {"MARKS": str(self.marks)},
            "phases": [
                {
                    "phase": f"phase-{step}",
                    "estimate": "1s",
                    "steps": [{"step": step, "run": ["./step.sh"], "timeout": "20s", "repeatable": True}],
                }
                for step in steps
            ],
            "verification": [{"check": "well", "expr": "max(bad)", "pass": "== 0"}],
            "verify_windows": 2,
            "verify_within": "20s",
            **changes,
        }

    def write(
        self,
        *,
        triggers: list[dict[str, Any]] | None = None,
        group: dict[str, Any] | None = None,
        **plan: Any,
    ) -> None:
        """The configuration's files; what is not said stays as the overrides have it."""
        settings = {
            "version": "rollbackd/v1",
            "instance": "test",
            "prometheus": {"urls": [self.prometheus.url], "timeout": "2s"},
            "triggers": ["triggers.yml"],
            "plans": ["plans/*/plan.yml"],
            "state_dir": str(self.state_dir),
            "web": {"listen": "127.0.0.1:0"},
            "receivers": [{"name": "hook", "webhook": {"url": f"{self.hook.url}/hook"}}],
            **self.overrides.get("settings", {}),
        }
        head = {"name": "api", "interval": "1s", **(group or {})}
        groups = [{**head, "triggers": triggers or [self.trigger()]}]
        self._yaml("rollbackd.yml", settings)
        self._yaml("triggers.yml", {"version": "rollbackd/v1", "groups": groups})
        self._plan(self.plan(**plan))

    def _plan(self, plan: dict[str, Any]) -> None:
        folder = self.folder / "plans" / plan["plan"]
        folder.mkdir(parents=True, exist_ok=True)
        script = folder / "step.sh"
        script.write_text(textwrap.dedent(SCRIPT))
        script.chmod(0o755)
        self._yaml(f"plans/{plan['plan']}/plan.yml", plan)

    def add_plan(self, name: str, **changes: Any) -> None:
        self._plan(self.plan(plan=name, **changes))

    def _yaml(self, name: str, document: dict[str, Any]) -> None:
        (self.folder / name).write_text(yaml.safe_dump(document, sort_keys=False))

    # The daemon

    def start(self, *, ready: bool = True) -> None:
        assert self.daemon is None
        with (self.folder / "daemon.log").open("ab") as log:
            self.daemon = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "rollbackd",
                    "run",
                    "--config",
                    str(self.folder / "rollbackd.yml"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if ready:
            wait_for(self.is_ready, what=f"the daemon, see {self.folder / 'daemon.log'}")

    def is_ready(self) -> bool:
        assert self.daemon is not None
        assert self.daemon.poll() is None, self.log()
        return self.get("/-/ready")[0] == 200

    def kill(self) -> None:
        if self.daemon is not None:
            with suppress(ProcessLookupError):
                self.daemon.send_signal(signal.SIGKILL)
            self.daemon.wait(10)
            self.daemon = None

    def stop(self) -> int:
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGTERM)
        status = self.daemon.wait(10)
        self.daemon = None
        return status

    def log(self) -> str:
        return (self.folder / "daemon.log").read_text(errors="replace")[-3000:]

    def cli(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """The real command line, against this daemon."""
        done = subprocess.run(
            [sys.executable, "-m", "rollbackd", *arguments],
            env={**os.environ, "ROLLBACKD_SOCKET": str(self.state_dir / "rollbackd.sock")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not ok or done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done

    # The API

    def get(self, path: str) -> tuple[int, Any]:
        return self._request("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        return self._request("POST", path, body)

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        return ask(self.state_dir / "rollbackd.sock", method, path, body)

    def lives(self) -> list[dict[str, Any]]:
        lives: list[dict[str, Any]] = self.get("/api/v1/rollbacks")[1]["data"]
        return lives

    def life(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/api/v1/rollbacks/{name}")[1]["data"]
        return found

    def state_of(self, name: str) -> str | None:
        return next((life["state"] for life in self.lives() if life["id"] == name), None)

    def wait_state(self, name: str, *states: str, seconds: float = 40) -> str:
        wait_for(lambda: self.state_of(name) in states, seconds, f"{name} {states}: {self.log()}")
        found = self.state_of(name)
        assert found is not None
        return found

    def begin_rollout(self) -> None:
        status, answer = self.post("/api/v1/rollouts", {"plan": "api", "previous": "v1", "next": "v2"})
        assert status == 200, answer

    def break_canary(self) -> None:
        self.service.set("bad", 1, cohort="canary")

    def heal_canary(self) -> None:
        self.service.set("bad", 0, cohort="canary")

    def windows(self, count: float) -> None:
        """Let so many windows of a second pass: what is not to happen needs time to not happen in."""
        until = time.monotonic() + count
        wait_for(lambda: time.monotonic() > until, count + 10)

    # What was done

    def ran(self) -> list[str]:
        return self._lines("ran")

    def done(self) -> list[str]:
        return self._lines("done")

    def _lines(self, name: str) -> list[str]:
        path = self.marks / name
        return path.read_text().splitlines() if path.exists() else []

    def slow(self, step: str, seconds: float) -> None:
        (self.marks / f"slow-{step}").write_text(str(seconds))

    def fail(self, step: str) -> None:
        (self.marks / f"fail-{step}").touch()

    def pages(self) -> list[dict[str, Any]]:
        return [request.json() for request in self.hook.requests]

    def titles(self) -> list[str]:
        return [page["title"] for page in self.pages()]
