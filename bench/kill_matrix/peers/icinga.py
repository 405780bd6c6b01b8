"""icinga2: a check that asks Prometheus, an event handler, and notifications."""

from __future__ import annotations

from world import Cell

from peers.base import Peer, Unit, absent, packages

CONFIG = """\
const NodeName = "matrix"
const ZoneName = NodeName
include <itl>
object Endpoint NodeName {{}}
object Zone ZoneName {{ endpoints = [ NodeName ] }}
object CheckerComponent "checker" {{}}
object NotificationComponent "notification" {{}}
object Host "api" {{
  check_command = "dummy"
  vars.dummy_state = 0
}}
object CheckCommand "metric" {{
  command = [ "{check}" ]
  timeout = 5
}}
object EventCommand "rollback" {{
  command = [ "{handler}", "$service.state$", "$service.state_type$" ]
  timeout = 10m
}}
object NotificationCommand "page" {{ command = [ "{page}" ] }}
object User "oncall" {{}}
object Service "metric" {{
  host_name = "api"
  check_command = "metric"
  check_interval = 1s
  retry_interval = 1s
  max_check_attempts = 3
  event_command = "rollback"
}}
object Notification "page" {{
  host_name = "api"
  service_name = "metric"
  command = "page"
  users = [ "oncall" ]
  types = [ Problem ]
  states = [ Critical, Unknown ]
  interval = {interval}
}}
"""
HANDLER = """\
#!/bin/sh
# Called for every soft state, the first hard one and the recovery.
[ "$1 $2" = "CRITICAL HARD" ] || exit 0
exec {rollback}
"""
DIRECTORIES = {
    "DataDir": "data",
    "CacheDir": "cache",
    "LogDir": "log",
    "InitRunDir": "run",
    "SpoolDir": "spool",
}


class Icinga(Peer):
    key = "icinga2"
    title = "icinga2"
    note = (
        "A service checked each second with `max_check_attempts = 3` by a plugin that asks Prometheus for "
        "`bad > 0.5`; an event handler that runs the hardened script of the Alertmanager row at `CRITICAL "
        "HARD` only, with `timeout = 10m` (60s unless said); a notification to the pager, `interval = 30m` "
        "as shipped. icinga2.service has `KillMode=mixed`. (g) is a race, between the first check after the "
        "thaw and the first scrape: it has gone either way."
    )

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        places = {name: cell.state / folder for name, folder in DIRECTORIES.items()}
        for place in places.values():
            place.mkdir(exist_ok=True)
        defines = [f"--define={name}={place}" for name, place in places.items()]
        argv = ["icinga2", "daemon", "-c", f"{cell.folder}/icinga2.conf", *defines]
        env = {"ICINGA2_USER": "root", "ICINGA2_GROUP": "root"}
        self.runner = Unit(cell, "icinga2", argv, "mixed", env)

    @classmethod
    def missing(cls) -> str:
        return absent("prometheus", "icinga2", "curl")

    @classmethod
    def version(cls) -> str:
        return packages("icinga2")

    def start(self) -> None:
        self.cell.watched()
        handler = self.script("handler.sh", HANDLER.format(rollback=self.rollback()))
        renotify = self.cell.needs.renotify
        (self.cell.folder / "icinga2.conf").write_text(
            CONFIG.format(
                check=self.check(),
                handler=handler,
                page=self.page,
                interval=f"{renotify:g}s" if renotify else "30m",
            )
        )
        self.start_runner()

    def start_runner(self) -> None:
        before = self._checks()
        self.runner.start(lambda: self._checks() > before)

    def _checks(self) -> int:
        """How often it has come to run its checks: it says so in its log."""
        log = self.runner.log
        return log.read_text(errors="replace").count("Activated all objects") if log.exists() else 0
