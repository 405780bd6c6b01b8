"""The unit as it is shipped, under a real systemd as PID 1 (see `machine.py` for what that takes)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.campaign.played import Played
from tests.servers import ask
from tests.systemd.machine import ROOT, CannotBoot, Machine

MARKS = "/var/lib/rollbackd/marks"
LOOSENED = ROOT / "systemd" / "loosened.conf"

# A line for the start and one for the end; `NAME.sh` beside it is what the step does.
STEP = f"""\
#!/bin/sh
echo "begin $ROLLBACK_ID $ROLLBACK_STEP" >>{MARKS}/ran
. "./does-$ROLLBACK_STEP.sh"
echo "end $ROLLBACK_ID $ROLLBACK_STEP" >>{MARKS}/ran
"""
WAITS = f"while [ ! -e {MARKS}/go-$ROLLBACK_ID ]; do sleep 0.05; done\n"
# In a session of its own, with nothing of the step's: neither its token, nor its lock, nor its pipes.
STRAY = "import os; os.setsid(); os.closerange(0, 256); os.execve('/bin/sleep', ['sleep', '3600'], {})"
STRAYS = f"""\
{sys.executable} -I -c "{STRAY}" &
echo $! >{MARKS}/stray
cat /proc/self/cgroup >{MARKS}/cgroup
sleep 3600
"""
# Never gives up, as a shell would.
BOMB = f"""\
exec {sys.executable} -I -c '
import os, time
while True:
    try:
        if os.fork() == 0:
            time.sleep(3600)
    except OSError:
        open("{MARKS}/refused", "w").close()
        time.sleep(0.1)
'
"""
PLANS = {
    "api": WAITS,
    "stray": STRAYS,
    "bomb": BOMB,
    "identity": f"id -u >{MARKS}/id; sudo -n true || true\n",
}


def plan(name: str) -> str:
    timeout = "2s" if name in ("stray", "bomb") else "60s"
    step = {"step": name, "run": ["./step.sh"], "timeout": timeout}
    return yaml.safe_dump(
        {
            "version": "rollbackd/v1",
            "plan": name,
            "owner": "tests",
            "level": 3,
            "services": [name],
            "summary": "the service back to its previous version",
            "phases": [{"phase": "only", "estimate": "1s", "steps": [step]}],
            "verification": [{"check": "well", "expr": "bad", "pass": "== 0"}],
            "verify_windows": 1,
            "verify_within": "20s",
        }
    )


def configuration(prometheus: Played) -> dict[str, str]:
    main = {
        "version": "rollbackd/v1",
        "instance": "pid1",
        "prometheus": {"urls": [prometheus.url]},
        "triggers": ["triggers.yml"],
        "plans": ["plans/*/plan.yml"],
        "state_dir": "/var/lib/rollbackd",
        "web": {"listen": "127.0.0.1:0"},
        "receivers": [{"name": "nobody", "webhook": {"url": "http://127.0.0.1:9/"}}],
    }
    trigger = {"trigger": "Bad", "category": "metric", "severity": "critical", "expr": "bad", "breach": "> 0"}
    group = {"name": "api", "interval": "1s", "triggers": [{**trigger, "windows": 2, "plan": "api"}]}
    files = {
        "rollbackd.yml": yaml.safe_dump(main),
        "triggers.yml": yaml.safe_dump({"version": "rollbackd/v1", "groups": [group]}),
    }
    for name, does in PLANS.items():
        files |= {f"plans/{name}/plan.yml": plan(name), f"plans/{name}/step.sh": STEP}
        files[f"plans/{name}/does-{name}.sh"] = does
    return files


class Service:
    """rollbackd in the machine, as a person on its host sees it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.socket = machine.path("/var/lib/rollbackd/rollbackd.sock")

    def pid(self) -> int:
        return int(self.machine.show("MainPID"))

    def say(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        status, answer = ask(self.socket, method, path, body)
        assert status == 200, answer
        return answer["data"]

    def roll_back(self, name: str) -> str:
        """Start the plan by hand; returns the life once its step runs."""
        self.say("POST", f"/api/v1/plans/{name}/start", {"reason": "a test"})
        life = f"{name}-{sum(each['plan'] == name for each in self.say('GET', '/api/v1/rollbacks'))}"
        self.machine.wait(lambda: f"begin {life} {name}" in self.ran(), f"the step of {life}")
        return life

    def go_on(self, life: str) -> None:
        self.machine.path(f"{MARKS}/go-{life}").touch()

    def ends(self, life: str, *states: str) -> dict[str, Any]:
        def is_over() -> bool:
            return self.say("GET", f"/api/v1/rollbacks/{life}")["state"] in states

        self.machine.wait(is_over, f"{life} {states}")
        found: dict[str, Any] = self.say("GET", f"/api/v1/rollbacks/{life}")
        return found

    def ran(self) -> list[str]:
        return self.read("ran").splitlines()

    def read(self, mark: str) -> str:
        path = self.machine.path(f"{MARKS}/{mark}")
        return path.read_text() if path.exists() else ""

    def restarts(self) -> int:
        return int(self.machine.show("NRestarts"))

    def is_active(self) -> bool:
        return self.machine.show("ActiveState") == "active"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    try:
        with Played() as prometheus, Machine(tmp_path_factory.mktemp("pid1")) as made:
            made.configure(configuration(prometheus))
            made.run("install", "-d", "-o", "rollbackd", "-g", "rollbackd", "-m", "750", "/var/lib/rollbackd")
            made.run("install", "-d", "-o", "rollbackd", "-g", "rollbackd", "-m", "777", MARKS)
            yield made
    except CannotBoot as error:
        pytest.skip(str(error))


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    """As shipped, and ready; what a test dropped in is taken back."""
    machine.run("systemctl", "start", "rollbackd")
    yield Service(machine)
    if machine.path(f"{machine.DROP_INS}/").exists():
        machine.run("rm", "-rf", machine.DROP_INS)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "rollbackd")


def test_started_is_ready(service: Service, machine: Machine) -> None:
    """Type=notify: `systemctl start` returns once the daemon says that it watches."""
    machine.run("systemctl", "restart", "rollbackd")
    assert machine.show("StatusText") == "watching 1 triggers"
    assert machine.run("systemctl", "is-active", "rollbackd") == "active"
    assert machine.run("stat", "-c", "%U %a", f"/proc/{service.pid()}").split()[0] == "rollbackd"
    machine.run("systemctl", "enable", "rollbackd")
    assert machine.run("systemctl", "is-enabled", "rollbackd") == "enabled"


def test_4_the_watchdog_ends_a_daemon_that_stands_still(machine: Machine, service: Service) -> None:
    machine.drop_in("quick", "[Service]\nWatchdogSec=2s\nTimeoutStopSec=1s\n")
    machine.run("systemctl", "restart", "rollbackd")
    life, before, restarts = service.roll_back("api"), service.pid(), service.restarts()
    machine.run("kill", "-STOP", str(before))
    machine.wait(lambda: service.restarts() > restarts and service.is_active(), "a restart")
    assert service.pid() != before
    assert "Watchdog timeout" in machine.run("journalctl", "--no-pager", "--unit=rollbackd")
    service.go_on(life)
    service.ends(life, "verified")
    assert service.ran().count(f"begin {life} api") == 1


def test_6_a_restart_in_mid_step_finds_the_step_again(service: Service, machine: Machine) -> None:
    """KillMode=process: the wrapper and the step stay, in the cgroup of the unit."""
    life, before = service.roll_back("api"), service.pid()
    machine.run("systemctl", "restart", "rollbackd")
    assert service.pid() != before
    assert f"end {life} api" not in service.ran()
    service.go_on(life)
    steps = service.ends(life, "verified")["steps"]
    assert [step["state"] for step in steps] == ["done"]
    assert service.ran().count(f"begin {life} api") == service.ran().count(f"end {life} api") == 1


def test_1_a_killed_daemon_is_back_in_mid_step(service: Service, machine: Machine) -> None:
    life, restarts = service.roll_back("api"), service.restarts()
    machine.run("kill", "-KILL", str(service.pid()))
    machine.wait(lambda: service.restarts() > restarts and service.is_active(), "a restart")
    service.go_on(life)
    service.ends(life, "verified")
    assert service.ran().count(f"begin {life} api") == 1


def test_a_stop_in_mid_step_leaves_it_running(service: Service, machine: Machine) -> None:
    """The outcome is found whenever the daemon is started again, though nobody listened."""
    life = service.roll_back("api")
    machine.run("systemctl", "stop", "rollbackd")
    assert machine.show("ActiveState") == "inactive"
    assert machine.pids()
    service.go_on(life)
    machine.wait(lambda: not machine.pids(), "the step's own end")
    assert f"end {life} api" in service.ran()
    machine.run("systemctl", "start", "rollbackd")
    service.ends(life, "verified")


def test_63_a_reload_takes_good_files_and_refuses_bad_ones(service: Service, machine: Machine) -> None:
    before, good = service.pid(), machine.path("/etc/rollbackd/triggers.yml").read_text()

    def loaded(well: int) -> bool:
        text = str(ask(service.socket, "GET", "/metrics", None)[1])
        return f"\nrollbackd_config_last_reload_successful {well}" in text

    try:
        machine.write("/etc/rollbackd/triggers.yml", "version: rollbackd/v1\ngroups: 7\n")
        machine.run("systemctl", "reload", "rollbackd")
        machine.wait(lambda: loaded(0), "the refusal")
        assert service.is_active()
    finally:
        machine.write("/etc/rollbackd/triggers.yml", good)
    machine.run("systemctl", "reload", "rollbackd")
    machine.wait(lambda: loaded(1), "the new files")
    assert service.pid() == before


def test_files_that_cannot_be_used_are_not_tried_again(service: Service, machine: Machine) -> None:
    """78 and RestartPreventExitStatus=: a loop would hide the reason."""
    machine.run("systemctl", "stop", "rollbackd")
    good = machine.path("/etc/rollbackd/triggers.yml").read_text()
    try:
        machine.write("/etc/rollbackd/triggers.yml", "version: rollbackd/v1\ngroups: 7\n")
        machine.run("systemctl", "start", "rollbackd", ok=False)
        machine.wait(lambda: machine.show("ActiveState") == "failed", "the end of trying")
        assert machine.show("ExecMainStatus") == "78"
    finally:
        machine.write("/etc/rollbackd/triggers.yml", good)


def test_lines_have_journald_s_priorities(service: Service, machine: Machine) -> None:
    """Errors are found by `journalctl -p err`, and no line carries its own time or mark."""
    lines = [json.loads(line) for line in machine.journal("--output=json").splitlines()]
    ours = [line for line in lines if line["MESSAGE"].startswith("level=")]
    assert ours
    levels = {(re.split(r"[= ]", line["MESSAGE"])[1], line["PRIORITY"]) for line in ours}
    assert ("info", "6") in levels
    assert levels <= {("critical", "2"), ("error", "3"), ("warning", "4"), ("info", "6")}


def test_35_what_nothing_else_finds_ends_by_its_cgroup(service: Service, machine: Machine) -> None:
    """Delegate=yes: the step has a cgroup below the unit's. Its wrapper, and subreaper, is killed; so nothing
    but the cgroup knows that the stray is its own."""
    life = service.roll_back("stray")
    machine.wait(lambda: service.read("stray") and service.read("cgroup"), "the stray")
    inside = next(line for line in service.read("cgroup").splitlines() if line.startswith("0::"))
    assert re.search(r"/rollbackd\.service/step-[0-9a-f]{32}$", inside)
    claim = machine.path(f"/var/lib/rollbackd/attempts/{life}/0001-stray/claim")
    machine.run("kill", "-KILL", str(json.loads(claim.read_bytes())["pid"]))
    stray = machine.path(f"/proc/{service.read('stray').strip()}")
    assert stray.exists()
    service.ends(life, "parked")
    assert not stray.exists()


def test_43_a_fork_bomb_ends_at_tasks_max(service: Service, machine: Machine) -> None:
    """It takes no more than the unit may have; the daemon stays, stops it, and says so."""
    limit = 300
    machine.drop_in("few", f"[Service]\nTasksMax={limit}\n")
    machine.run("systemctl", "restart", "rollbackd")
    if machine.show("TasksCurrent") == "[not set]":
        pytest.skip("there is no pids controller in this machine's cgroups")
    before, life = service.pid(), service.roll_back("bomb")
    machine.wait(lambda: machine.path(f"{MARKS}/refused").exists(), "the limit")
    assert len(machine.pids()) <= limit
    service.ends(life, "parked")
    machine.wait(lambda: len(machine.pids()) < 20, "the end of the bomb")
    assert service.pid() == before


@pytest.mark.parametrize(
    ("drop_in", "flag"), [("", "1"), (LOOSENED.read_text(), "0")], ids=["shipped", "loosened"]
)
def test_what_a_step_may_become(service: Service, machine: Machine, drop_in: str, flag: str) -> None:
    """NoNewPrivileges as shipped; `loosened.conf` lets sudo through."""
    if drop_in:
        machine.drop_in("loosened", drop_in)
        machine.run("systemctl", "restart", "rollbackd")
    status = machine.run("cat", f"/proc/{service.pid()}/status")
    assert re.search(r"NoNewPrivs:\s+(\d)", status).group(1) == flag  # type: ignore[union-attr]
    life = service.roll_back("identity")
    service.ends(life, "verified")


def test_systemd_knows_how_exposed_it_is(service: Service, machine: Machine) -> None:
    """The running unit, drop-ins of the distribution included; `test_units.py` has the file."""
    said = machine.run("systemd-analyze", "--no-pager", "security", "rollbackd.service").splitlines()[-1]
    score = re.search(r"rollbackd\.service: ([0-9.]+)", said)
    assert score, said
    assert float(score[1]) <= 2.5
