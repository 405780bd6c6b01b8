"""One daemon with a world of its own: releases that go bad one after another, somebody on call, and faults.

The daemon is the real process on real files; steps are real processes; Prometheus and the receiver are
played. Nothing here waits: `tend` is called over and over, so that a fault can come at any moment.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import yaml
from tests.campaign.judge import Kind
from tests.campaign.played import Played, Receiver
from tests.servers import ask

from rollbackd.world.runner.tree import read_process

STEPS: dict[str, Kind] = {"drain": "probed", "revert": "repeatable", "restore": "once"}

# A line for each start and each end. Whoever holds `busy` runs, and so does what it has started.
SCRIPT = """\
#!/bin/sh
exec 9>>"$MARKS/busy"
flock --nonblock 9 || echo "overlap $ROLLBACK_ID $ROLLBACK_STEP" >>"$MARKS/ran"
echo "begin $ROLLBACK_ID $ROLLBACK_STEP" >>"$MARKS/ran"
sleep "$(cat "$MARKS/takes-$ROLLBACK_STEP")"
[ -e "$MARKS/fails-$ROLLBACK_ID-$ROLLBACK_STEP" ] && exit 1
[ "$ROLLBACK_STEP" = revert ] && : >"$MARKS/mended-$ROLLBACK_NEXT_VERSION"
echo "end $ROLLBACK_ID $ROLLBACK_STEP" >>"$MARKS/ran"
"""
PROBE = """\
#!/bin/sh
grep -qx "end $ROLLBACK_ID drain" "$MARKS/ran" || exit 20
"""

PATIENCE = 240.0
"""s without a fault after which whatever has not happened counts as lost."""

OVER = ("verified", "unverified", "failed", "aborted", "stood_down", "vetoed", "expired", "superseded")


class Lane:
    """Use it as a context manager. `state_dir` may be on a disk of its own; the rest is in `folder`."""

    def __init__(self, folder: Path, seed: str, state_dir: Path | None = None) -> None:
        self.folder = folder
        self.state_dir = state_dir or folder / "state"
        self.marks = folder / "marks"
        self.chance = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.violations: list[str] = []
        self.prometheus = Played()
        self.hook = Receiver()
        self.daemon: subprocess.Popen[bytes] | None = None
        self.calm_since = time.monotonic()
        self.may_fail = False
        """The disk or the files may be such that the daemon ends by itself."""
        self._broken = self._may_refuse = False  # the files: now; at any time since the start
        self.up = False  # it has answered since it was started
        self.rolling = False  # a life is open, as far as who is on call has seen
        self._number = 0
        self._release = 0
        self._does: Callable[[], None] = self._recover
        self._since = time.monotonic()
        self._start_at = 0.0
        self._rearmed_at = 0
        self._answered = (0, 0)  # the revision that was answered, and the pages there were by then
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.marks.mkdir(parents=True)
        self._stack.enter_context(self.prometheus)
        self._stack.enter_context(self.hook)
        self.write()
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            self.kill_daemon()

    # Files

    def write(self, *, broken: bool = False) -> None:
        """The configuration; `broken`: one that the daemon must refuse."""
        plan = self.folder / "plans" / "api"
        plan.mkdir(parents=True, exist_ok=True)
        for name, text in (("step.sh", SCRIPT), ("probe.sh", PROBE)):
            if not (plan / name).exists():
                (plan / name).write_text(text)
                (plan / name).chmod(0o755)
        self._yaml("plans/api/plan.yml", self._plan())
        self._yaml("triggers.yml", {"version": "rollbackd/v1", "groups": 7 if broken else self._groups()})
        self._yaml("rollbackd.yml", self._settings())
        self._broken = broken
        self._may_refuse |= broken

    def _yaml(self, name: str, document: dict[str, Any]) -> None:
        draft = self.folder / f".{Path(name).name}"
        draft.write_text(yaml.safe_dump(document, sort_keys=False))
        draft.replace(self.folder / name)

    def _settings(self) -> dict[str, Any]:
        hook = {"name": "hook", "webhook": {"url": f"{self.hook.url}/hook", "timeout": "1s"}}
        return {
            "version": "rollbackd/v1",
            "instance": "campaign",
            "prometheus": {"urls": [self.prometheus.url], "timeout": "1s"},
            "triggers": ["triggers.yml"],
            "plans": ["plans/*/plan.yml"],
            "state_dir": str(self.state_dir),
            "web": {"listen": "127.0.0.1:0"},
            "receivers": [hook],
            "limits": {"rollbacks_per_hour": 1000, "per_service_per_hour": 1000},
            "ladders": {"default": [{"after": "0s", "receivers": ["hook"]}]},
        }

    def _groups(self) -> list[dict[str, Any]]:
        trigger = {
            "trigger": "Bad",
            "category": "metric",
            "severity": "critical",
            "expr": "bad",
            "breach": "> 0",
            "windows": 2,
            "plan": "api",
            "cooldown": "0s",
        }
        return [{"name": "api", "interval": "1s", "triggers": [trigger]}]

    def _plan(self) -> dict[str, Any]:
        phases = []
        for name, kind in STEPS.items():
            step: dict[str, Any] = {"step": name, "run": ["./step.sh"], "timeout": "60s"}
            if kind == "repeatable":
                step["repeatable"] = True
            elif kind == "probed":
                step["probe"] = ["./probe.sh"]
            phases.append({"phase": f"phase-{name}", "estimate": "1s", "steps": [step]})
        return {
            "version": "rollbackd/v1",
            "plan": "api",
            "owner": "tests",
            "level": 3,
            "services": ["api"],
            "summary": "the service back to its previous version",
            "env": {"MARKS": str(self.marks)},
            "phases": phases,
            "verify_windows": 1,
            "verify_within": "20s",
        }

    # The daemon

    def tend(self) -> None:
        """Keep the daemon up, as systemd would, and do what is to be done for the release at hand."""
        if self.daemon is not None and (status := self.daemon.poll()) is not None:
            self.daemon = None
            self.counts["ends by itself"] += 1
            self._start_at = time.monotonic() + 0.3
            if not (self.may_fail and (status == 1 or (status == 78 and self._may_refuse))):
                self.violations.append(f"the daemon ended by itself with {status}: see {self._log}")
        if self.daemon is None and time.monotonic() >= self._start_at:
            self.start()
        try:
            self._does()
            self.up = self.daemon is not None
        except (OSError, http.client.HTTPException):
            return  # down, not up yet, or killed in the middle of its answer
        finally:
            self._watch_patience()

    def start(self) -> None:
        command = [sys.executable, "-m", "rollbackd", "run", "--config", str(self.folder / "rollbackd.yml")]
        with self._log.open("ab") as log:
            self.daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.up, self._may_refuse = False, self._broken
        self.counts["starts"] += 1

    @property
    def _log(self) -> Path:
        return self.folder / "daemon.log"

    def kill_daemon(self) -> bool:
        if self.daemon is None:
            return False
        self.daemon.kill()
        self.daemon.wait(30)
        self.daemon, self.up, self.calm_since = None, False, time.monotonic()
        self._start_at = time.monotonic() + self.chance.choice((0.0, 0.0, 0.0, 1.0))
        return True

    def kill_child(self) -> bool:
        """The helper, or who reads the files."""
        return self.daemon is not None and _kill_one(self.chance, children(self.daemon.pid))

    def kill_wrapper(self) -> bool:
        """One at work, also under a daemon that is no more."""
        return _kill_one(self.chance, [pid for claim in self._claims() if (pid := _claimer(claim))])

    def _claims(self) -> list[Path]:
        return list((self.state_dir / "attempts" / f"api-{self._number + 1}").glob("*/claim"))

    def hang_up(self) -> None:
        """SIGHUP, once the daemon listens for it: before that it would end of it."""
        if self.daemon is not None and self._is_up():
            self.daemon.send_signal(signal.SIGHUP)

    def _is_up(self) -> bool:
        try:
            return self._ask("GET", "/-/healthy")[0] in (200, 503)
        except (OSError, http.client.HTTPException):
            return False

    # Who is on call

    def _begin_release(self) -> None:
        release = f"v{self._release + 1}"
        rollout = {"plan": "api", "previous": f"v{self._release}", "next": release}
        status, _ = self._ask("POST", "/api/v1/rollouts", rollout)
        if status == 400:  # one is open: the answer was lost, or its life ended before it began
            self._ask("POST", "/api/v1/rollouts/api/finish", {})
        if status != 200:
            return
        self._release += 1
        for step in STEPS:
            (self.marks / f"takes-{step}").write_text(f"{self.chance.triangular(0, 2.5, 0.2):.2f}")
        if self.chance.random() < 0.08:
            (self.marks / f"fails-api-{self._number + 1}-{self.chance.choice(list(STEPS))}").touch()
        self.prometheus.breaks(self._mended())
        self._next(self._follow)

    def _mended(self) -> Path:
        return self.marks / f"mended-v{self._release}"

    def _follow(self) -> None:
        """The release is bad: its life must come, and end, or be paged; then somebody answers."""
        name = f"api-{self._number + 1}"
        status, answer = self._ask("GET", f"/api/v1/rollbacks/{name}")
        if status != 200:
            self._rearm()
            return
        life, self.rolling = answer["data"], True
        ended = life["state"] in OVER and life["ended"]
        if life["state"] == "verified" and ended:
            self._over(name, "verified")
        elif self.hook.pages[name] <= self._pages_at(life["revision"]):
            return  # not paged yet for what it is in now
        elif life["state"] in ("parked", "waiting_approval"):
            self._answer(name, life)
        elif ended:
            self._over(name, life["state"])

    def _rearm(self) -> None:
        """No life yet: a page without one says that the breach was there before anybody looked (W9, W13)."""
        pages = self.hook.pages[""]
        if pages > self._rearmed_at and self._ask("POST", "/api/v1/triggers/Bad/rearm", {})[0] in (200, 400):
            self.counts["rearmed"] += 1
            self._rearmed_at = pages

    def _pages_at(self, revision: int) -> int:
        """How many pages there were before this revision, of those that were answered."""
        answered, pages = self._answered
        return pages if revision != answered else pages - 1

    def _answer(self, name: str, life: dict[str, Any]) -> None:
        self.counts["answers"] += life["revision"] != self._answered[0]
        self._answered = (life["revision"], self.hook.pages[name])
        path = f"/api/v1/rollbacks/{name}"
        if life["state"] == "waiting_approval":
            self._ask("POST", f"{path}/approve", {}, life["revision"])
        elif life["parked"]["reason"] == "in_doubt":
            step = next(each["step"] for each in life["steps"] if each["state"] not in ("done", "skipped"))
            said = {"step": step, "answer": self.chance.choice(("done", "retry", "skip"))}
            self._ask("POST", f"{path}/confirm", said, life["revision"])
        else:
            self._ask("POST", f"{path}/resume", {})

    def _over(self, name: str, state: str) -> None:
        if not self._mended().exists():  # what a step mended was well from then on
            self._mended().touch()
        if state == "stood_down":
            self.violations.append(f"{name} stood down while the service was bad")
        if state in ("failed", "unverified", "aborted"):
            said = {"approach": "by hand", "description": "mended", "processes_gone": True}
            if self._ask("POST", f"/api/v1/rollbacks/{name}/resolve", said)[0] not in (200, 409):
                return
        self._number += 1
        self._answered = (0, 0)
        self.counts["lives"] += 1
        self.outcomes[state] += 1
        self._next(self._recover)

    def _recover(self) -> None:
        """Until a window saw the service well: what breaches when a rollout begins is standing."""
        status, answer = self._ask("GET", "/api/v1/triggers")
        if status == 200 and any(
            subject["verdict"] == "ok" for trigger in answer["data"] for subject in trigger["subjects"]
        ):
            self._next(self._begin_release)

    @property
    def idle(self) -> bool:
        """The daemon is up, and no release is bad."""
        return self.up and self._does != self._follow

    def _next(self, does: Callable[[], None]) -> None:
        self._does, self._since, self.rolling = does, time.monotonic(), False

    def _watch_patience(self) -> None:
        quiet = time.monotonic() - max(self._since, self.calm_since)
        if quiet > PATIENCE and not self.violations:
            doing = self._does.__name__.strip("_")
            self.violations.append(
                f"{doing} of api-{self._number + 1}: nothing for {quiet:.0f} s; {self._log}"
            )

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, revision: int | None = None
    ) -> tuple[int, Any]:
        return ask(self.state_dir / "rollbackd.sock", method, path, body, revision)


def children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return sorted(found)


def _claimer(claim: Path) -> int | None:
    """The wrapper that won it, while it lives."""
    try:
        said = json.loads(claim.read_bytes())
        process = read_process(said["pid"])
    except (OSError, ValueError):
        return None
    return said["pid"] if process is not None and process.started == said["started"] else None


def _kill_one(chance: random.Random, pids: list[int]) -> bool:
    if not pids:
        return False
    try:
        os.kill(chance.choice(pids), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
