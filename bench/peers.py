"""What people use to act on Prometheus today, on loopback: its rules, Alertmanager, and Debian's `webhook`.

Each is a context manager that ends by its pid what it started, and yields a URL.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAMS = ("prometheus", "prometheus-alertmanager", "webhook")


def missing() -> list[str]:
    return [program for program in PROGRAMS if shutil.which(program) is None]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str, **form: str) -> Any:
    """The JSON at `url`, asked by POST where there is a form."""
    data = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.urlopen(url, data=data, timeout=10) as answer:
        return json.load(answer)


@contextmanager
def prometheus(folder: Path, config: Mapping[str, Any]) -> Iterator[str]:
    """`config` is prometheus.yml; paths in it are relative to `folder`."""
    port = free_port()
    (folder / "prometheus.yml").write_text(json.dumps(config))
    command = [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/prometheus",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with _running(command, folder / "prometheus.log", f"http://127.0.0.1:{port}/-/ready"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def alertmanager(folder: Path, name: str, route: Mapping[str, Any], hook: str) -> Iterator[str]:
    """One that sends everything to `hook`, once for each alert or group as `route` says."""
    port = free_port()
    receiver = {"name": "hook", "webhook_configs": [{"url": hook, "send_resolved": False}]}
    (folder / f"{name}.yml").write_text(
        json.dumps({"route": {"receiver": "hook", **route}, "receivers": [receiver]})
    )
    command = [
        "prometheus-alertmanager",
        f"--config.file={folder}/{name}.yml",
        f"--storage.path={folder}/{name}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    with _running(command, folder / f"{name}.log", f"http://127.0.0.1:{port}/-/ready"):
        yield f"127.0.0.1:{port}"


@contextmanager
def webhook(folder: Path, hooks: Mapping[str, Path], argument: str) -> Iterator[str]:
    """Runs each hook's script with the payload's field `argument`; its URL, to which `/NAME` is added."""
    port = free_port()
    documents = [
        {
            "id": name,
            "execute-command": str(script),
            "command-working-directory": str(folder),
            "pass-arguments-to-command": [{"source": "payload", "name": argument}],
        }
        for name, script in hooks.items()
    ]
    (folder / "hooks.json").write_text(json.dumps(documents))
    command = ["webhook", "-hooks", f"{folder}/hooks.json", "-ip", "127.0.0.1", "-port", str(port)]
    with _running(command, folder / "webhook.log", f"http://127.0.0.1:{port}/"):
        yield f"http://127.0.0.1:{port}/hooks"


@contextmanager
def _running(command: Sequence[str], log: Path, ready: str) -> Iterator[None]:
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        _await(process, ready, log)
        yield
        process.terminate()
        process.wait(20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 30
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{process.args!r} is not ready:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
