"""monit: a check program that asks Prometheus, and `exec`."""

from __future__ import annotations

from world import Cell

from peers.base import Peer, Unit, absent, free_port, listens, packages

MONITRC = """\
set daemon 1
set log {folder}/monit.events
set pidfile {state}/monit.pid
set idfile {state}/monit.id
set statefile {state}/monit.state
set httpd port {port} and use address 127.0.0.1 allow 127.0.0.1
check program service with path "{check}" with timeout 5 seconds
    if status = 2 for 3 cycles then exec "{rollback}"
    if status = 2 for 3 cycles then exec "{page}"
    if status = 3 for 30 cycles then exec "{page}"
"""


class Monit(Peer):
    key = "monit"
    title = "monit"
    note = (
        "`set daemon 1`; a `check program` that asks Prometheus for `bad > 0.5`; `if status = 2 for 3 "
        "cycles then exec` the hardened script of the Alertmanager row, and the same for the pager. `exec` "
        "without `repeat every`: nothing is run twice for one failure. Debian's package has an init script "
        "only, of which systemd makes `KillMode=process`."
    )

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        self.port = free_port()
        self.runner = Unit(cell, "monit", ["monit", "-I", "-c", f"{cell.folder}/monitrc"], "process")

    @classmethod
    def missing(cls) -> str:
        return absent("prometheus", "monit", "curl")

    @classmethod
    def version(cls) -> str:
        return packages("monit")

    def start(self) -> None:
        cell = self.cell
        cell.watched()
        config = self.script(
            "monitrc",
            MONITRC.format(
                folder=cell.folder,
                state=cell.state,
                port=self.port,
                check=self.check(),
                rollback=self.rollback(),
                page=self.page,
            ),
        )
        config.chmod(0o600)
        self.start_runner()

    def start_runner(self) -> None:
        self.runner.start(lambda: listens(self.port))
