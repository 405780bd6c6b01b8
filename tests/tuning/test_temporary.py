"""A Prometheus for as long as a block runs: real where it is installed, and what is said where it is not."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.servers import fetch

from rollbackd.tuning.temporary import Unavailable, temporary_prometheus

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed: apt-get install prometheus"
)


def program(folder: Path, *lines: str) -> Path:
    """A `prometheus` that is none, and the only program on the PATH."""
    made = folder / "bin" / "prometheus"
    made.parent.mkdir()
    made.write_text("\n".join((f"#!{sys.executable}", "import os, sys", *lines)))
    made.chmod(0o755)
    return made.parent


@needs_prometheus
def test_it_answers_and_is_gone_afterwards(tmp_path: Path) -> None:
    with temporary_prometheus() as one, temporary_prometheus(tmp_path / "kept") as other:
        assert one != other
        for url in (one, other):
            assert fetch(f"{url}/api/v1/query?query=vector(1)")["data"]["result"][0]["value"][1] == "1"
            assert fetch(f"{url}/api/v1/targets")["data"]["activeTargets"] == []
    assert (tmp_path / "kept" / "prometheus.log").is_file()
    for url in (one, other):
        address = urlsplit(url)
        with socket.socket() as caller, pytest.raises(ConnectionRefusedError):
            caller.connect((address.hostname, address.port))


@needs_prometheus
def test_it_is_gone_where_the_block_fails() -> None:
    with pytest.raises(ZeroDivisionError), temporary_prometheus() as url:
        _ = 1 / 0
    address = urlsplit(url)
    with socket.socket() as caller, pytest.raises(ConnectionRefusedError):
        caller.connect((address.hostname, address.port))


HOLDS_ONE = """
import sys
from pathlib import Path
from rollbackd.tuning.temporary import temporary_prometheus
with temporary_prometheus(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@needs_prometheus
@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGHUP])
def test_it_is_gone_where_we_are_told_to_end(tmp_path: Path, told: signal.Signals) -> None:
    command = [sys.executable, "-c", HOLDS_ONE, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        address = urlsplit(holder.stdout.readline().strip())
        holder.send_signal(told)
        assert holder.wait(60) == 128 + told
    with socket.socket() as caller, pytest.raises(ConnectionRefusedError):
        caller.connect((address.hostname, address.port))


@needs_prometheus
def test_in_another_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(answers).result(60) == "1"
    assert signal.getsignal(signal.SIGTERM) is before


def answers() -> str:
    with temporary_prometheus() as url:
        return str(fetch(f"{url}/api/v1/query?query=vector(1)")["data"]["result"][0]["value"][1])


@needs_prometheus
def test_flags_are_passed_on() -> None:
    with temporary_prometheus(flags=["--storage.tsdb.retention.time=99d"]) as url:
        assert fetch(f"{url}/api/v1/status/flags")["data"]["storage.tsdb.retention.time"] == "99d"


@needs_prometheus
def test_what_it_refuses_is_said_in_its_own_words() -> None:
    says = r"ended with status 1 .*--no-such-flag"
    with pytest.raises(Unavailable, match=says) as refused, temporary_prometheus(flags=["--no-such-flag"]):
        pass
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "ended with status 0 at its start; it said: nothing"),
        (["print('disk full')", "sys.exit(3)"], "ended with status 3 at its start; it said: disk full"),
        (["os.kill(os.getpid(), 9)"], "ended with status -9 at its start; it said: nothing"),
    ],
)
def test_one_that_cannot_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], says: str
) -> None:
    monkeypatch.setenv("PATH", str(program(tmp_path, *lines)))
    with pytest.raises(Unavailable) as refused, temporary_prometheus():
        pass
    assert str(refused.value) == f"prometheus {says}"


def test_one_that_is_never_ready_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "PATH", str(program(tmp_path, "print(os.getpid(), flush=True)", "import time", "time.sleep(600)"))
    )
    monkeypatch.setattr("rollbackd.tuning.temporary.READY_WITHIN", 0.0)
    with pytest.raises(Unavailable, match="not ready after 0 s"), temporary_prometheus(tmp_path / "files"):
        pass
    said = (tmp_path / "files" / "prometheus.log").read_text()
    if said:  # else it was ended before it said who it is
        with pytest.raises(ProcessLookupError):
            os.kill(int(said), 0)


def test_none_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="install it"), temporary_prometheus():
        pass
