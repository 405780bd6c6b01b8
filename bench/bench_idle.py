"""A daemon with a hundred triggers and nothing to do: `python bench/bench_idle.py [SECONDS]`.

Every trigger asks what no other asks, each 15 s, of a real Prometheus where it is installed and of the
stub where it is not. /metrics is scraped as often.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rig import busy, figure, running, trigger, write
from stub import Labels, Stub

TRIGGERS, INTERVAL = 100, 15


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """Its URL, once it has scraped itself; without the program, the stub's."""
    program = shutil.which("prometheus")
    if program is None:
        print("  (Prometheus is not installed: the stub answers in its place)")
        with Stub(_stub_answers) as stub:
            yield stub.url
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    job = {"job_name": "self", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
    (folder / "prometheus.yml").write_text(
        json.dumps({"global": {"scrape_interval": "5s"}, "scrape_configs": [job]})
    )
    command = [
        program,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await_scrape(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _stub_answers(expr: str, at: float) -> dict[Labels, float]:
    return {(): at - 0.01 if "timestamp" in expr else 0.0}


def _await_scrape(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/api/v1/query?query=up")
            if json.load(connection.getresponse())["data"]["result"]:
                return
        except (OSError, ValueError):
            time.sleep(0.1)
            continue
        finally:
            connection.close()
        time.sleep(0.1)
    raise SystemExit("Prometheus has not scraped itself within 30 s")


def run(seconds: int) -> None:
    rules = [
        trigger(f"T{number}", f'max(scrape_duration_seconds{{job!="n{number}"}})', "api", breach="> 1000")
        for number in range(TRIGGERS)
    ]
    with tempfile.TemporaryDirectory() as place, prometheus(Path(place)) as url:
        groups = [{"name": "g", "interval": f"{INTERVAL}s", "triggers": rules}]
        with running(write(Path(place), url, groups, ["api"])) as daemon:
            time.sleep(5)
            cpu, began, scraped = daemon.cpu(), time.monotonic(), 0
            while (passed := time.monotonic() - began) < seconds:
                if passed >= scraped * INTERVAL:
                    daemon.get("/metrics")
                    scraped += 1
                time.sleep(0.5)
            share = (daemon.cpu() - cpu) / (time.monotonic() - began)
            memory, ready = daemon.memory(), daemon.ready_after
    print(f"{TRIGGERS} triggers at {INTERVAL} s over {seconds} s")
    figure("CPU of one core", share * 100, "%", "1")
    figure("start to /-/ready, all judged once", ready, "s", "0.6")
    for name, sizes in memory.items():
        figure(f"{name}: RSS", sizes["Rss"], "MB", "60" if name == "daemon" else "")
        figure(f"{name}: PSS", sizes["Pss"], "MB")
    busy()


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
