"""Cohorts that turn bad on schedule, as something to scrape.

with Exporter(targets={"c1": 0}, labels={"c1": {"service": "api"}}, flapping=frozenset(), run=2) as exporter:
    … exporter.address + "/metrics/0" …
    exporter.begins = {"c1": time.time() + 2}
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Set
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class Exporter:
    """`bad{…}` of every cohort, at one path a target; a POST to anywhere is accepted.

    A cohort is bad from the moment `begins[cohort]` (s, wall clock) on; one of `flapping` at `run` scrapes
    in a row, and good at the next, for ever. `served[target]`: when (s) each scrape had been answered.
    """

    def __init__(
        self,
        targets: Mapping[str, int],
        labels: Mapping[str, Mapping[str, str]],
        flapping: Set[str],
        run: int,
    ) -> None:
        self.begins: dict[str, float] = {}
        self.served: dict[int, list[float]] = {target: [] for target in targets.values()}
        self._flapping = flapping
        self._run = run
        self._lines: dict[int, dict[str, str]] = {target: {} for target in self.served}
        for name, target in targets.items():
            pairs = {**labels[name], "target": str(target)}
            inside = ",".join(f'{label}="{value}"' for label, value in pairs.items())
            self._lines[target][name] = f"bad{{{inside}}}"
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def scrape(self, target: int) -> bytes:
        """What is true now."""
        now, scraped = time.time(), len(self.served[target])
        flaps = scraped % (self._run + 1) < self._run
        lines = ['well{n="0"} 1\n']
        for name, series in self._lines[target].items():
            bad = flaps if name in self._flapping else now >= self.begins.get(name, float("inf"))
            lines.append(f"{series} {int(bad)}\n")
        return "".join(lines).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _handler(exporter: Exporter) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body leave together

        def do_GET(self) -> None:
            target = int(self.path.rpartition("/")[2])
            self._answer(exporter.scrape(target))
            exporter.served[target].append(time.time())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    return Handler
