"""Where the daemon is looked for, and what is said when it is not there."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.fake import FakeDaemon, Reply, listening, rollbackd, success

from rollbackd.cli import client, where
from rollbackd.cli.errors import Unreachable

LOOKS = ["status", "show api-7", "rollout list", "report api-7"]
ACTS = [
    "ack api-7",
    "approve api-7",
    "veto api-7",
    "hold api-7",
    "resume api-7",
    "abort api-7",
    "confirm api-7 s done -c x",
    "resolve api-7 --approach a --description d",
    "start api --reason r",
    "rollout begin api --previous a --next b",
    "rollout finish api",
    "pause -c x",
    "unpause -c x",
    "rearm T -c x",
    "reload",
]


@pytest.mark.parametrize("command", LOOKS + ACTS)
def test_no_daemon_cannot_tell(tmp_path: Path, command: str) -> None:
    result = rollbackd(*command.split(), "--socket", str(tmp_path / "none.sock"))
    assert result.exit_code == 4
    assert result.stdout == ""
    assert result.stderr == (
        f"rollbackd: {tmp_path}/none.sock: there is no such socket; start the daemon, or name its --socket\n"
    )


def test_a_socket_that_nobody_serves(tmp_path: Path) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    result = rollbackd("status", "--socket", str(path))
    assert result.exit_code == 4
    assert "nobody listens; see `systemctl status rollbackd`" in result.stderr


def test_a_refused_connection_over_tcp() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    result = rollbackd("status", "--url", f"http://127.0.0.1:{port}")
    assert result.exit_code == 4
    assert f"http://127.0.0.1:{port}: nobody listens" in result.stderr


class Forbidden(client.UnixConnection):
    """Root, who may run these tests, may connect everywhere."""

    def connect(self) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def test_a_socket_without_leave() -> None:
    asked = client.Daemon("/run/s.sock", lambda: Forbidden("/run/s.sock", 1.0))
    asks: list[Callable[[], object]] = [lambda: asked.get("rollbacks"), lambda: asked.post("pauses", body={})]
    for ask in asks:
        with pytest.raises(Unreachable, match=r"^/run/s.sock: permission denied; join the group"):
            ask()


def test_a_daemon_that_hangs_is_given_up_and_a_verb_left_open(tmp_path: Path) -> None:
    path = str(tmp_path / "hung.sock")
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(path)
        hung.listen()
        asked = client.over_socket(path, timeout=0.05)
        with pytest.raises(Unreachable, match="no answer in time"):
            asked.get("rollbacks")
        with pytest.raises(Unreachable, match="it may or may not have been done"):
            asked.post("rollbacks", "api-7", "ack", body={})


def test_a_daemon_that_dies_in_mid_answer(tmp_path: Path) -> None:
    path = str(tmp_path / "torn.sock")
    with socket.socket(socket.AF_UNIX) as torn:
        torn.bind(path)
        torn.listen()

        def serve() -> None:
            peer, _ = torn.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(Unreachable):
            client.over_socket(path).get("rollbacks")
        thread.join()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"status": "success"', b"\xff"])
def test_an_answer_that_is_none_of_ours(daemon: FakeDaemon, body: bytes) -> None:
    daemon.answers["GET /api/v1/rollbacks/api-7"] = Reply(200, body)
    result = rollbackd("show", "api-7", "--socket", str(daemon.socket))
    assert result.exit_code == 4
    assert "no answer of rollbackd's" in result.stderr


def test_an_answer_without_end_is_capped(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MOST_BYTES", 1000)
    daemon.answers["GET /api/v1/rollbacks/api-7"] = Reply(200, b" " * 2000)
    result = rollbackd("show", "api-7", "--socket", str(daemon.socket))
    assert result.exit_code == 4


def test_the_socket_is_named_by_option_then_environment_then_configuration(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    file = tmp_path / "rollbackd.yml"
    file.write_text("version: rollbackd/v1\nnonsense: [1, {}]\nstate_dir: state\n")
    option, environment, configuration = "a.sock", "b.sock", "state/rollbackd.sock"
    for name, args, env in (
        (option, ["--socket", str(tmp_path / option)], {"ROLLBACKD_SOCKET": str(tmp_path / environment)}),
        (environment, ["--config", str(file)], {"ROLLBACKD_SOCKET": str(tmp_path / environment)}),
        (configuration, ["--config", str(file)], {}),
    ):
        with listening(FakeDaemon(tmp_path / name)) as fake:
            fake.get("rollouts", [])
            result = rollbackd("rollout", "list", *args, **env)
        assert (name, result.exit_code, result.stdout) == (name, 0, "no rollouts\n")


def test_without_anything_the_usual_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(where, "CONFIG", tmp_path / "rollbackd.yml")
    assert where.socket_path(None, None) == "/var/lib/rollbackd/rollbackd.sock"
    (tmp_path / "rollbackd.yml").write_text("state_dir: /srv/rollbackd\n")
    assert where.socket_path(None, None) == "/srv/rollbackd/rollbackd.sock"
    (tmp_path / "rollbackd.yml").write_text("instance: a\n")
    assert where.socket_path(None, None) == "/var/lib/rollbackd/rollbackd.sock"


def test_a_configuration_that_is_no_yaml(tmp_path: Path) -> None:
    file = tmp_path / "rollbackd.yml"
    file.write_text("a: b\nc: [\n")
    result = rollbackd("status", "--config", str(file))
    assert result.exit_code == 4
    assert f"{file}:3:1: not YAML" in result.stderr


def test_reload_prints_the_hash(daemon: FakeDaemon) -> None:
    daemon.answers["POST /-/reload"] = success({"hash": "abc"})
    result = rollbackd("reload", "--socket", str(daemon.socket))
    assert (result.exit_code, result.stdout) == (0, "abc\n")
    daemon.answers["POST /-/reload"] = Reply(200, b'{"hash": "def"}')
    assert rollbackd("reload", "--socket", str(daemon.socket)).stdout == "def\n"


def test_reload_prints_every_problem(daemon: FakeDaemon) -> None:
    body = b'{"status": "error", "errorType": "bad_data", "error": "a.yml:1:1: x: y; z\\nb.yml:2:2: u: v; w"}'
    daemon.answers["POST /-/reload"] = Reply(400, body)
    result = rollbackd("reload", "--socket", str(daemon.socket))
    assert result.exit_code == 1
    assert result.stderr == "rollbackd: a.yml:1:1: x: y; z\nrollbackd: b.yml:2:2: u: v; w\n"
