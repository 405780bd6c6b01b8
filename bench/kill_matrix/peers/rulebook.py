"""ansible-rulebook: Prometheus' rule → Alertmanager → its webhook source → a playbook."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml
from judge import STEPS
from world import Cell

from peers.alertmanager import TUNED, Alerting
from peers.base import Peer, Unit, absent, free_port, listens

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(os.environ.get("RULEBOOK_VENV", ROOT / ".venv-rulebook")) / "bin"

LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}


def java_home() -> Path | None:
    """The newest of 17 to 21 under /usr/lib/jvm: drools_jpy wants 17 or newer, jpy has to know it."""
    found = {}
    for home in Path("/usr/lib/jvm").glob("*"):
        number = re.search(r"java-(?:1\.)?(\d+)", home.name)
        if number and 17 <= int(number[1]) <= 21 and (home / "bin/java").exists():
            found[int(number[1])] = home
    return found[max(found)] if found else None


class Rulebook(Peer):
    key = "ansible-rulebook"
    title = "Alertmanager + ansible-rulebook"
    note = (
        "Rule and Alertmanager as in the hardened row, to `eda.builtin.webhook`. `execution_strategy: "
        "sequential`, `throttle: once_within: 10 minutes` by the alert's group, `run_playbook` with one "
        "task a step, each with a `timeout`, and `rescue` that pages. No unit is shipped: systemd's default"
        " `KillMode=control-group`."
    )

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        self.port = free_port()
        self.alerting = Alerting(cell, f"http://127.0.0.1:{self.port}/alerts", TUNED)
        folder = cell.folder / "ansible"  # a playbook is copied with all that is beside it
        folder.mkdir()
        (folder / "rulebook.yml").write_text(yaml.safe_dump([self._ruleset()], sort_keys=False))
        (folder / "rollback.yml").write_text(yaml.safe_dump([self._play()], sort_keys=False))
        (folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": {"localhost": LOCAL}}}))
        home = java_home()
        env = {
            "JAVA_HOME": str(home),
            "PATH": f"{BIN}:{home}/bin:{os.environ['PATH']}",
            "ANSIBLE_HOME": str(cell.state / "ansible"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
        }
        argv = [
            f"{BIN}/ansible-rulebook",
            "--rulebook",
            f"{folder}/rulebook.yml",
            "--inventory",
            f"{folder}/inventory.yml",
        ]
        self.runner = Unit(cell, "rulebook", [*argv, "--verbose"], "control-group", env, folder)

    def _ruleset(self) -> dict[str, Any]:
        source = {"eda.builtin.webhook": {"host": "127.0.0.1", "port": self.port}}
        rule = {
            "name": "bad",
            "condition": 'event.payload.status == "firing"',
            "throttle": {"once_within": "10 minutes", "group_by_attributes": ["event.payload.groupKey"]},
            "action": {"run_playbook": {"name": f"{self.cell.folder}/ansible/rollback.yml"}},
        }
        return {
            "name": "rollback",
            "hosts": "all",
            "execution_strategy": "sequential",
            "sources": [{"name": "alerts", **source}],
            "rules": [rule],
        }

    def _play(self) -> dict[str, Any]:
        steps = [
            {
                "name": step,
                "ansible.builtin.command": {"argv": [str(self.cell.script), step]},
                "timeout": int(self.cell.needs.step_timeout),
            }
            for step in STEPS
        ]
        told = [
            {"name": "page", "ansible.builtin.command": {"argv": [str(self.page)]}},
            {"name": "over", "ansible.builtin.fail": {"msg": "the rollback failed"}},
        ]
        return {"hosts": "localhost", "gather_facts": False, "tasks": [{"block": steps, "rescue": told}]}

    @classmethod
    def missing(cls) -> str:
        if java_home() is None:
            return "no Java 17 to 21 under /usr/lib/jvm"
        if not (BIN / "ansible-rulebook").exists():
            return f"ansible-rulebook is not installed in {BIN.parent.name}"
        return absent("prometheus", "prometheus-alertmanager")

    @classmethod
    def version(cls) -> str:
        env = {**os.environ, "JAVA_HOME": str(java_home())}
        done = subprocess.run(
            [f"{BIN}/ansible-rulebook", "--version"], capture_output=True, text=True, check=False, env=env
        )
        found = re.findall(
            r"ansible-rulebook \[(\S+)\]|(?:Drools_jpy|Java|Ansible core) version = (\S+)", done.stdout
        )
        names = ("ansible-rulebook", "drools_jpy", "Java", "ansible-core")
        return ", ".join(f"{name} {a or b}" for name, (a, b) in zip(names, found, strict=False))

    def start(self) -> None:
        self.start_runner()
        self.alerting.start()
        self.cell.watched(self.alerting.target)

    def start_runner(self) -> None:
        self.runner.start(lambda: listens(self.port))

    def start_alerting(self) -> None:
        self.alerting.start()

    def kill_alerting(self) -> None:
        self.alerting.unit.kill()

    def stop(self) -> None:
        self.alerting.unit.stop()
        self.runner.stop()
