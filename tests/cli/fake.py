"""A daemon that answers canned documents of the API over a unix socket, and remembers what it was asked."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple

from click.testing import CliRunner, Result

from rollbackd.cli.program import program

JsonObject = dict[str, Any]


class Request(NamedTuple):
    method: str
    path: str
    body: Any
    if_match: str | None


class Reply(NamedTuple):
    status: int
    body: bytes


def success(data: Any) -> Reply:
    return Reply(200, json.dumps({"status": "success", "data": data}).encode())


def refusal(status: int, kind: str, text: str) -> Reply:
    return Reply(status, json.dumps({"status": "error", "errorType": kind, "error": text}).encode())


@dataclass
class FakeDaemon:
    """`answers`: by `METHOD PATH`; a list is used up to its last, which stays."""

    socket: Path
    answers: dict[str, Reply | list[Reply]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: Request) -> Reply:
        with self.lock:
            self.requests.append(request)
            found = self.answers.get(f"{request.method} {request.path}")
            if isinstance(found, list):
                found = found.pop(0) if len(found) > 1 else found[0]
        return found or refusal(404, "not_found", f"nothing at {request.path}")

    def get(self, path: str, *data: Any) -> None:
        self.answers[f"GET /api/v1/{path}"] = [success(each) for each in data]

    def overview(self, **parts: Any) -> None:
        """What `status` reads; what is not given is empty."""
        for part in ("rollbacks", "triggers", "rollouts", "pauses", "matters"):
            self.get(part, parts.get(part, []))
        self.answers["GET /-/ready"] = Reply(200, b"ready")

    def posts(self) -> list[Request]:
        with self.lock:
            return [request for request in self.requests if request.method == "POST"]


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    fake: FakeDaemon

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._reply()

    def do_POST(self) -> None:
        self._reply()

    def _reply(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        reply = self.server.fake.answer(Request(self.command, self.path, body, self.headers.get("If-Match")))
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests look at `requests`."""


@contextmanager
def listening(fake: FakeDaemon) -> Iterator[FakeDaemon]:
    with _Server(str(fake.socket), _Handler) as server:
        server.fake = fake
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
            fake.socket.unlink()


def rollbackd(*args: str, **env: str) -> Result:
    """Run a command in this process, off a terminal."""
    return CliRunner().invoke(program, list(args), env={"ROLLBACKD_SOCKET": None, **env})


def life(**changes: Any) -> JsonObject:
    """A rollback as the API tells it, in full."""
    return {
        "id": "api-7",
        "plan": "api",
        "scope": None,
        "state": "running",
        "trigger": "ApiErrorRatioHigh",
        "subjects": [{"cohort": "canary"}],
        "action": "auto",
        "lowered_by": [],
        "opened": "2026-03-01T12:00:00.000Z",
        "began": "2026-03-01T12:00:01.000Z",
        "decided": "2026-03-01T12:00:00.000Z",
        "verified": None,
        "ended": None,
        "sla": {
            "seconds": 900.0,
            "target_seconds": 600.0,
            "deadline": "2026-03-01T12:15:00.000Z",
            "breached": False,
        },
        "revision": 3,
        "by": "rollbackd",
        "reason": "",
        "waits_for": None,
        "expires": None,
        "veto_until": None,
        "held": None,
        "parked": None,
        "detail": "",
        "services": ["api"],
        "versions": {"previous": "v1", "next": "v2"},
        "rollout": {"id": "api-r1"},
        "firings": [],
        "checks": [],
        "steps": [],
        "timeline": [],
        **changes,
    }


def ended(state: str, **changes: Any) -> JsonObject:
    verified = "2026-03-01T12:05:00.000Z" if state == "verified" else None
    return life(state=state, ended="2026-03-01T12:05:00.000Z", verified=verified, **changes)


def entry(at: str, text: str, actor: str = "rollbackd") -> JsonObject:
    return {"seq": 1, "at": f"2026-03-01T{at}.000Z", "kind": "k", "text": text, "actor": actor, "comment": ""}


def trigger(**changes: Any) -> JsonObject:
    return {
        "name": "ApiErrorRatioHigh",
        "group": "api",
        "plan": "api",
        "severity": "critical",
        "action": "auto",
        "interval_seconds": 15.0,
        "align_seconds": 0.0,
        "windows": 8,
        "armed": True,
        "blind": None,
        "subjects": [{"labels": {"cohort": "canary"}, "verdict": "breach", "streak": 3, "disarmed": None}],
        "last_window": "2026-03-01T12:00:00.000Z",
        "problem": None,
        **changes,
    }


def matter(**changes: Any) -> JsonObject:
    return {
        "key": "blind/ApiErrorRatioHigh",
        "kind": "blind",
        "cause": "absent",
        "title": "ApiErrorRatioHigh sees nothing",
        "text": "Find out why its metric is gone.\nmore",
        "life": None,
        "acked": None,
        **changes,
    }
