"""Prometheus' rule → Debian's Alertmanager → Debian's webhook → a script; its first half serves others."""

from __future__ import annotations

import json
from typing import Any

from judge import STEPS
from world import Cell

from peers.base import Peer, Unit, absent, answers, free_port, listens, packages

PLAIN = """\
#!/bin/bash
set -e
for step in {steps}; do {step} "$step"; done
"""


class Alerting:
    """An Alertmanager that tells people and a runner of every firing alert."""

    def __init__(self, cell: Cell, hook: str, route: dict[str, Any]) -> None:
        self.cell = cell
        self.port = free_port()
        if cell.needs.renotify:
            route = {
                **route,
                "group_interval": seconds(cell.needs.renotify),
                "repeat_interval": seconds(cell.needs.renotify),
            }
        document = {
            "route": {
                "receiver": "runner",
                **route,
                "routes": [{"receiver": "pager", "continue": True}, {"receiver": "runner"}],
            },
            "receivers": [receiver("pager", f"{cell.pager.url}/page"), receiver("runner", hook)],
        }
        config = cell.folder / "alertmanager.yml"
        config.write_text(json.dumps(document))
        self.unit = Unit(
            cell,
            "alertmanager",
            [
                "prometheus-alertmanager",
                f"--config.file={config}",
                f"--storage.path={cell.state}/alertmanager",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",
            ],
            "process",  # it has no other processes
        )

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self.unit.start(lambda: answers(f"http://{self.target}/-/ready"))
        assert self.unit.process is not None
        self.cell.servers.add(self.unit.process.pid)


def receiver(name: str, url: str) -> dict[str, Any]:
    return {"name": name, "webhook_configs": [{"url": url, "send_resolved": False}]}


def seconds(value: float) -> str:
    return f"{value:g}s"


TUNED = {"group_by": ["..."], "group_wait": "0s", "group_interval": "10s", "repeat_interval": "4h"}
SHIPPED = {"group_wait": "0s"}  # else 30s; group_interval 5m and repeat_interval 4h as shipped


class _Webhook(Peer):
    route: dict[str, Any]

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        self.port = free_port()
        self.alerting = Alerting(cell, f"http://127.0.0.1:{self.port}/hooks/rollback", self.route)
        firing = {"type": "value", "value": "firing", "parameter": {"source": "payload", "name": "status"}}
        hooks = cell.folder / "hooks.json"
        command = str(self.rollback())
        hooks.write_text(
            json.dumps([{"id": "rollback", "execute-command": command, "trigger-rule": {"match": firing}}])
        )
        argv = ["webhook", "-verbose", "-ip", "127.0.0.1", "-port", str(self.port), "-hooks", str(hooks)]
        self.runner = Unit(cell, "webhook", argv, "control-group")

    @classmethod
    def missing(cls) -> str:
        return absent("prometheus", "prometheus-alertmanager", "webhook")

    @classmethod
    def version(cls) -> str:
        return packages("prometheus-alertmanager", "webhook")

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


class Hardened(_Webhook):
    key = "alertmanager"
    # A pipe to webhook would break with it, and the script's last page with the pipe.
    output = "exec >/dev/null 2>&1"
    title = "Alertmanager + webhook, hardened"
    route = TUNED
    note = (
        "Rule `bad > 0.5`, `for: 2s` (three evaluations). `group_by: ['...']`, `group_wait: 0s`, "
        "`group_interval: 10s` (a lost notification is tried again soon, an old one given up), "
        "`repeat_interval: 4h`; every alert goes to the pager as well (`continue: true`). The script takes "
        "a lock (`flock`), gives each step a `timeout`, and pages from an EXIT trap. webhook.service has "
        "systemd's default `KillMode=control-group`."
    )


class Plain(_Webhook):
    key = "alertmanager-plain"
    title = "Alertmanager + webhook, as shipped"
    route = SHIPPED
    note = (
        "The same with Alertmanager's defaults (`group_interval: 5m`, `repeat_interval: 4h`, but "
        "`group_wait: 0s` in its favour) and a script that runs the steps one after the other, `set -e`, "
        "and nothing more."
    )

    def rollback(self) -> Any:
        return self.script("rollback.sh", PLAIN.format(steps=" ".join(STEPS), step=self.cell.script))
