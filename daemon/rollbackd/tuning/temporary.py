"""A Prometheus of one's own: it scrapes nothing, is asked on loopback alone, and is gone afterwards."""

from __future__ import annotations

import http.client
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

READY_WITHIN = 60.0  # seconds; a machine that is busy is no reason to fail
_LOOKS_EVERY = 0.01
_LISTENS = re.compile(r'msg="Listening on".* address=127\.0\.0\.1:(\d+)')


class Unavailable(Exception):
    """There is no Prometheus to be had: what is wrong, and what to do about it, in one line."""


@contextmanager
def temporary_prometheus(folder: Path | None = None, *, flags: Sequence[str] = ()) -> Iterator[str]:
    """The URL of a Prometheus that runs until the block is left, on a port of its own. Its configuration,
    log and data are in `folder`, else in a temporary one. Raises Unavailable."""
    program = shutil.which("prometheus")
    if program is None:
        raise Unavailable("there is no `prometheus` on the PATH; install it (Debian: apt install prometheus)")
    if folder is None:
        with TemporaryDirectory(prefix="rollbackd-prometheus-") as temporary:
            yield from _running(program, Path(temporary), flags)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        yield from _running(program, folder, flags)


def _running(program: str, folder: Path, flags: Sequence[str]) -> Iterator[str]:
    settings, log = folder / "prometheus.yml", folder / "prometheus.log"
    settings.write_text("global: {}\n")
    command = [
        program,
        f"--config.file={settings}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0",
        *flags,
    ]
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        except OSError as error:
            raise Unavailable(f"{program} cannot be started ({error.strerror}); install it anew") from error
    try:
        with unwound_by_signals():
            yield _url(process, log)
    finally:
        process.kill()  # nothing of it is kept: there is nothing to shut down in order
        process.wait()


@contextmanager
def unwound_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end us in order, too: a job that is cancelled, a terminal that is closed leave no
    Prometheus behind. It takes SIGHUP for `read your files again`."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    for each, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup
            signal.signal(each, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    """Its address, once it is ready."""
    deadline = time.monotonic() + READY_WITHIN
    while process.poll() is None:
        port = _LISTENS.search(log.read_text(errors="replace"))
        if port is not None and _ready(int(port[1])):
            return f"http://127.0.0.1:{port[1]}"
        if time.monotonic() > deadline:
            raise Unavailable(f"prometheus is not ready after {READY_WITHIN:g} s; {_said(log)}")
        try:
            process.wait(_LOOKS_EVERY)
        except subprocess.TimeoutExpired:
            continue
    raise Unavailable(f"prometheus ended with status {process.returncode} at its start; {_said(log)}")


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)  # urllib would ask a proxy
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _said(log: Path) -> str:
    """The last line of its log."""
    lines = log.read_text(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "nothing")
    return f"it said: {last[:300]}"
