"""Real servers on loopback for tests: Prometheus, Alertmanager, an exporter, a recording web server.

Each binds a port of its own choosing and is a context manager; what it starts, it ends. All of it is
synchronous and runs outside the event loop, so that any test can use it.

    with Exporter() as exporter, prometheus(tmp_path, targets=[exporter.target]) as prom:
        exporter.set("errors", 3, cohort="canary")
        wait_for(lambda: prom.value('errors{cohort="canary"}') == 3)
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest


def wait_for(condition: Callable[[], object], seconds: float = 20.0, what: str = "") -> None:
    """Return once `condition` is true; fail after `seconds`. A refused connection counts as not yet."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError):  # not listening yet, or frozen
            if condition():
                return
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what or condition}")
        time.sleep(0.02)


def fetch(url: str, data: Mapping[str, str] | None = None, timeout: float = 5.0) -> Any:
    """The JSON document at `url`; with `data`, by POST as a form."""
    body = urllib.parse.urlencode(data).encode() if data is not None else None
    with urllib.request.urlopen(url, data=body, timeout=timeout) as response:
        return json.load(response)


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(
    path: Path, method: str, target: str, body: Mapping[str, Any] | None, revision: int | None = None
) -> tuple[int, Any]:
    """What a daemon says on its socket: the status and the document, else the text. OSError,
    http.client.HTTPException: it is not there, or died meanwhile."""
    connection = _Unix(path, 10)
    headers = {"Content-Type": "application/json"}
    if revision is not None:
        headers["If-Match"] = f'"{revision}"'
    try:
        connection.request(method, target, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    try:
        return answer.status, json.loads(content)
    except ValueError:
        return answer.status, content.decode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is nothing to print."""


@dataclass
class Threaded:
    """An HTTP server on a thread, answering through `respond`."""

    _server: _Server | None = field(default=None, init=False, repr=False)

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def respond(self) -> None:
                owner.respond(self)

            do_GET = do_POST = do_PUT = respond

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @property
    def target(self) -> str:
        """host:port"""
        assert self._server is not None, "not started: use it as a context manager"
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.target}"


def _label(name: str, value: str) -> str:
    escaped = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return f'{name}="{escaped}"'


class Exporter(Threaded):
    """Something to scrape. The test sets the series; a scrape sees one consistent set of them."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._series: dict[tuple[str, tuple[tuple[str, str], ...]], float | str] = {}
        self.status = 200  # another one makes every scrape fail

    def set(self, name: str, value: float | str, **labels: str) -> None:
        with self._lock:
            self._series[name, tuple(sorted(labels.items()))] = value

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count up from 0."""
        key = name, tuple(sorted(labels.items()))
        with self._lock:
            self._series[key] = float(self._series.get(key, 0)) + amount

    def remove(self, name: str, **labels: str) -> None:
        """The series of `name` that carry these labels vanish."""
        with self._lock:
            for key in list(self._series):
                if key[0] == name and set(labels.items()) <= set(key[1]):
                    del self._series[key]

    def clear(self) -> None:
        with self._lock:
            self._series.clear()

    def text(self) -> str:
        with self._lock:
            return "".join(
                f"{name}{{{','.join(_label(*label) for label in labels)}}} {value}\n"
                for (name, labels), value in self._series.items()
            )

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        body = self.text().encode()
        handler.send_response(self.status)
        handler.send_header("Content-Type", "text/plain; version=0.0.4")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


@dataclass(frozen=True)
class Request:
    """What a `Recorder` was asked."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What a `Recorder` answers; `after` seconds later, or when the test ends."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    after: float = 0.0


class Recorder(Threaded):
    """A web server that keeps what it was sent and answers from a script; the last reply repeats."""

    def __init__(self, *replies: Reply) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self.replies = list(replies) or [Reply()]
        self.requests: list[Request] = []

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        size = int(handler.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        request = Request(handler.command, handler.path, headers, handler.rfile.read(size))
        with self._lock:
            self.requests.append(request)
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if reply.after:
            self._closing.wait(reply.after)
        handler.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(reply.body)

    def __exit__(self, *exc: object) -> None:
        self._closing.set()
        super().__exit__(*exc)


class _Program:
    """A server program, found again at the same address after it was killed and restarted."""

    log_pattern = re.compile(r'msg="Listening on" address=127\.0\.0\.1:(\d+)')

    def __init__(self, log: Path, ready: str) -> None:
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._log = log
        self._ready = ready

    def command(self) -> list[str]:
        raise NotImplementedError

    @property
    def url(self) -> str:
        assert self.port, "not started"
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, or start again on the same port and data; returns when it is ready."""
        assert self.process is None, "already running"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_for(self._listening, what=f"{self.command()[0]}: {self._log}")
        wait_for(self.is_ready, what=f"{self.url}{self._ready}")

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + self._ready, timeout=1) as response:
                return bool(response.status == 200)
        except urllib.error.HTTPError:
            return False

    def _listening(self) -> bool:
        assert self.process is not None
        text = self._log.read_text(errors="replace")
        assert self.process.poll() is None, f"it ended:\n{text[-2000:]}"
        if found := self.log_pattern.search(text):
            self.port = int(found[1])
        return found is not None

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None, "not running"
        self.process.send_signal(number)

    def freeze(self) -> None:
        """It accepts connections and answers nothing (SIGSTOP); returns once every thread stands."""
        self._signal(signal.SIGSTOP)
        wait_for(self._stands, what=f"{self.command()[0]} stopped")

    def _stands(self) -> bool:
        assert self.process is not None
        states = Path(f"/proc/{self.process.pid}/task").glob("*/stat")
        return all(state.read_text().rpartition(")")[2].split()[0] == "T" for state in states)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        if self.process is not None:
            self._signal(signal.SIGCONT)
            self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        assert self.process is not None, "not running"
        self.process.send_signal(number)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.process = None


class Prometheus(_Program):
    """A real Prometheus. `url` stays the same over `kill()` and `start()`; so does its data.

    It scrapes for the first time about five seconds after each start: wait for what is to be seen.
    """

    def __init__(self, folder: Path, scrape_interval: str, targets: Sequence[str]) -> None:
        super().__init__(folder / "prometheus.log", "/-/ready")
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "global": {"scrape_interval": scrape_interval, "scrape_timeout": scrape_interval},
            "scrape_configs": [{"job_name": "test", "static_configs": [{"targets": list(targets)}]}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(document))  # JSON is YAML

    def command(self) -> list[str]:
        return [
            "prometheus",
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def query(self, expr: str, at: float | None = None) -> list[dict[str, Any]]:
        """The `result` of an instant query; `at` in seconds."""
        moment = {} if at is None else {"time": f"{at:.3f}"}
        answer = fetch(f"{self.url}/api/v1/query", {"query": expr, **moment})
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def value(self, expr: str, at: float | None = None) -> float | None:
        """The value of the one series of `expr`; None unless there is exactly one."""
        result = self.query(expr, at)
        return float(result[0]["value"][1]) if len(result) == 1 else None


class Alertmanager(_Program):
    """A real Alertmanager without a cluster, whose receiver tells nobody."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "alertmanager.log", "/-/ready")
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        document = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
        (folder / "alertmanager.yml").write_text(json.dumps(document))

    def command(self) -> list[str]:
        return [
            "prometheus-alertmanager",
            f"--config.file={self._folder / 'alertmanager.yml'}",
            f"--storage.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        ]

    def alerts(self) -> list[dict[str, Any]]:
        """What is firing, as `GET /api/v2/alerts` has it."""
        result: list[dict[str, Any]] = fetch(f"{self.url}/api/v2/alerts")
        return result


def _needs(program: str, package: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: apt-get install {package}")


@contextmanager
def _running(program: Any) -> Iterator[Any]:
    try:
        program.start()
        yield program
    finally:
        program.stop()


@contextmanager
def prometheus(
    folder: Path, scrape_interval: str = "1s", targets: Sequence[str] = ()
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `targets` (host:port); its files are under `folder`."""
    _needs("prometheus", "prometheus")
    with _running(Prometheus(folder / "prometheus", scrape_interval, targets)) as program:
        yield program


@contextmanager
def alertmanager(folder: Path, name: str = "alertmanager") -> Iterator[Alertmanager]:
    _needs("prometheus-alertmanager", "prometheus-alertmanager")
    with _running(Alertmanager(folder / name)) as program:
        yield program
