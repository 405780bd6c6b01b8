"""plans/systemd-service against real processes: releases that listen, and a systemctl that restarts them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tests.plans.life import Life
from tests.plans.stage import Answer, Said, Stage, needs
from tests.servers import Threaded

SERVICE = """\
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
import socket

health = json.load(open("health.json"))
if health["status"] == "dead":
    sys.exit(1)

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(health).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=int(sys.argv[1]))
server.server_name, server.server_port = "localhost", 0
server.serve_forever()
"""
SYSTEMCTL = """\
#!/bin/sh
echo "systemctl $*" >>"$(dirname "$0")/../systemctl.asked"
exec curl --fail --silent --show-error --noproxy '*' --max-time 30 "{url}/$1"
"""
RELEASES = {"1.3.0": "degraded", "1.4.2": "healthy", "1.5.0": "healthy", "1.2.0": "dead"}


class Host(Threaded):
    """A folder of releases and who keeps one of them running, as systemd does: nobody's child. The service's
    socket is the host's, so that its port is one for as long as the host is there."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.root = folder / "srv"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._process: subprocess.Popen[bytes] | None = None
        for version, status in RELEASES.items():
            release = self.root / "releases" / version
            release.mkdir(parents=True)
            (release / "service.py").write_text(SERVICE)
            (release / "health.json").write_text(json.dumps({"status": status, "version": version}))
        (self.root / "current").symlink_to("releases/1.5.0")

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        self._stop()
        self._listener.close()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def env(self) -> dict[str, str]:
        return {
            "ROOT": str(self.root),
            "HEALTH_URL": f"http://127.0.0.1:{self.port}/health",
            "PORT": str(self.port),
            "DRAIN_FILE": str(self.root / "drain"),
        }

    def current(self) -> str:
        return (self.root / "current").readlink().name

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        match handler.path:
            case "/restart":
                said = self._restart()
            case "/is-failed":
                said = self._state()
            case _:
                said = "[Service]\n"
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(said)))
        handler.end_headers()
        handler.wfile.write(said.encode())

    def _restart(self) -> str:
        self._stop()
        fd = self._listener.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "service.py", str(fd)], cwd=self.root / "current", pass_fds=[fd]
        )
        return ""

    def _state(self) -> str:
        return "failed" if self._process is not None and self._process.poll() else "active"

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    needs("curl", "jq")
    with Host(tmp_path) as made:
        yield made


@pytest.fixture
def stage(tmp_path: Path, host: Host) -> Stage:
    made = Stage(
        tmp_path / "stage",
        "systemd-service",
        **host.env(),
        DRAIN_SECONDS="1",
        START_SECONDS="10",
        HEALTH_SECONDS="1",
    )
    program = made.folder / "bin" / "systemctl"
    program.write_text(SYSTEMCTL.format(url=host.url))
    program.chmod(0o755)
    made.plays("journalctl", Answer("*", "a line\n"))
    return made


def test_the_service_goes_back(
    stage: Stage, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole plan, in the daemon."""
    monkeypatch.setenv("PATH", stage.env["PATH"])
    (host.root / "current").unlink()
    (host.root / "current").symlink_to("releases/1.4.2")
    document = Life(tmp_path / "life", "systemd-service", host.env()).document
    health = [
        {**check, "http": {**check["http"], "url": host.env()["HEALTH_URL"]}} if "http" in check else check
        for check in document["verification"]
    ]
    with Life(tmp_path / "life", "systemd-service", host.env(), verification=health) as life:
        life.release("1.4.2", "1.5.0")
        stage.run("flip.sh", ROLLBACK_PREVIOUS_VERSION="1.5.0")
        assert stage.run("restart.sh", ROLLBACK_PREVIOUS_VERSION="1.5.0") == Said(0, "healthy 1.5.0")
        assert life.roll_back() == "verified", life.told()
        ran = [(step["step"], step["said"]) for step in life.life("systemd-service-1")["steps"]]
    assert ran == [
        ("previous-intact", "1.4.2 is as it was captured"),
        ("drain", "drained"),
        ("flip", ""),
        ("restart", "healthy 1.4.2"),
        ("return-traffic", ""),
        ("mark-bad", ""),
    ]
    assert host.current() == "1.4.2"
    assert not (host.root / "drain").exists()
    bad = host.root / "releases/1.5.0"
    assert (bad / "BAD").read_text() == "rolled back by systemd-service-1: it went bad\n"
    assert (bad / "BAD.log").read_text() == "a line\n"
    assert stage.asked("systemctl").count("systemctl restart api.service") == 2


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("1.3.0", "api.service was restarted, and is not well: URL: degraded 1.3.0, wanted healthy 1.3.0"),
        ("1.2.0", "api.service failed to start: journalctl -u api.service"),
    ],
)
def test_a_release_that_is_not_well_fails_the_step(stage: Stage, host: Host, version: str, said: str) -> None:
    old = {"ROLLBACK_PREVIOUS_VERSION": version}
    assert stage.run("flip.sh", **old).status == 0
    found = stage.run("restart.sh", START_SECONDS="2", **old)
    assert Said(found.status, found.last.replace(host.env()["HEALTH_URL"], "URL")) == Said(1, said)


def test_a_unit_that_may_not_be_restarted(stage: Stage) -> None:
    (stage.folder / "bin" / "systemctl").unlink()
    stage.plays("systemctl", Answer("restart *", "Interactive authentication required.\n", 4))
    said = Said(1, "api.service does not restart: journalctl -u api.service")
    assert stage.run("restart.sh") == said


class Reader(threading.Thread):
    """Follows the link without pause."""

    def __init__(self, link: Path) -> None:
        super().__init__()
        self._link = link
        self._over = threading.Event()
        self.missed = 0
        self.seen: set[str] = set()

    def run(self) -> None:
        while not self._over.is_set():
            try:
                self.seen.add(json.loads((self._link / "health.json").read_text())["version"])
            except FileNotFoundError:
                self.missed += 1

    def stop(self) -> None:
        self._over.set()
        self.join()


def test_at_no_moment_is_there_no_link(stage: Stage, host: Host) -> None:
    reader = Reader(host.root / "current")
    reader.start()
    try:
        for version in ["1.4.2", "1.5.0"] * 5:
            assert stage.run("flip.sh", ROLLBACK_PREVIOUS_VERSION=version).status == 0
            assert host.current() == version
    finally:
        reader.stop()
    assert (reader.missed, reader.seen) == (0, {"1.4.2", "1.5.0"})
    assert sorted(path.name for path in host.root.iterdir()) == ["current", "releases"]


def test_whoever_is_connected_is_waited_for_a_while(stage: Stage, host: Host) -> None:
    with socket.create_connection(("127.0.0.1", host.port)):
        assert stage.run("drain.sh").last == "drained, but for 1 that do not go: stopping the unit ends them"
    assert (host.root / "drain").exists()
    assert stage.run("return-traffic.sh").status == 0
    assert not (host.root / "drain").exists()


def test_the_previous_release_must_be_what_it_was(stage: Stage, host: Host) -> None:
    (host.root / "current").unlink()
    (host.root / "current").symlink_to("releases/1.4.2")
    assert stage.run("capture.sh") == Said(0, "captured 1.4.2: 2 files")
    assert stage.run("previous-intact.sh") == Said(0, "1.4.2 is as it was captured")
    release = host.root / "releases/1.4.2"
    (release / "service.py").write_text("import antigravity\n")
    assert stage.run("previous-intact.sh") == Said(1, f"{release} is not what it was")
    (release / "BAD").write_text("slow")
    assert stage.run("previous-intact.sh") == Said(1, f"{release} was itself rolled back: slow")
    gone = stage.run("previous-intact.sh", ROLLBACK_PREVIOUS_VERSION="1.0.0")
    assert gone == Said(1, f"{host.root}/releases/1.0.0 is missing")
    out = stage.run("flip.sh", ROLLBACK_PREVIOUS_VERSION="../../etc")
    assert out == Said(1, "ROLLBACK_PREVIOUS_VERSION is no version: '../../etc'")


def test_what_must_answer(stage: Stage, host: Host) -> None:
    stage.run("restart.sh", ROLLBACK_PREVIOUS_VERSION="1.5.0")
    assert stage.run("smoke.sh").status == 0
    nobody = "http://127.0.0.1:9/"
    assert stage.run("smoke.sh", SMOKE_URLS=f"{host.env()['HEALTH_URL']} {nobody}") == Said(
        1, f"{nobody} does not answer"
    )


def test_a_folder_in_the_links_place_is_left_alone(stage: Stage, host: Host) -> None:
    (host.root / "current").unlink()
    (host.root / "current").mkdir()
    assert stage.run("flip.sh") == Said(1, f"{host.root}/current is no link: left alone")
    assert stage.run("release.sh").status == 1
