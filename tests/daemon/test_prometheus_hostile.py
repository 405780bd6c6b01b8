"""A Prometheus that the real daemon cannot take at its word (faults 17, 25, 28, 29, 32)."""

from __future__ import annotations

import json
import re
import ssl
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pytest
from tests.adapters.prometheus.test_http import certificate, serving
from tests.daemon.rig import Rig
from tests.daemon.test_story import streak
from tests.servers import Threaded, fetch, wait_for

Form = dict[str, str]
Respond = Callable[[BaseHTTPRequestHandler, Form], None]


class Before(Threaded):
    """A server before a real Prometheus; `behave` answers each query."""

    def __init__(self, behave: Respond, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.behave = behave
        self.tls = tls

    def __enter__(self) -> Before:
        super().__enter__()
        if self.tls is not None:
            assert self._server is not None
            # Handshakes on the threads of the requests: one that fails must hold up no other.
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        return self

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.target}"

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        size = int(handler.headers.get("Content-Length") or 0)
        self.behave(handler, dict(parse_qsl(handler.rfile.read(size).decode())))


def answer(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def forward(url: str, handler: BaseHTTPRequestHandler, form: Form) -> bytes:
    with urllib.request.urlopen(url + handler.path, urlencode(form).encode(), timeout=5) as said:
        body: bytes = said.read()
    return body


def through(rig: Rig, before: Before, **more: object) -> None:
    """The daemon asks the server before Prometheus; the test asks Prometheus itself."""
    rig.overrides["settings"] = {"prometheus": {"urls": [before.url], "timeout": "2s", **more}}
    rig.write()


def metric(rig: Rig, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", rig.get("/metrics")[1], re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def shifted(rig: Rig, skew: float) -> Respond:
    """A Prometheus whose clock is `skew` seconds ahead of ours: every time it is asked for or tells."""

    def behave(handler: BaseHTTPRequestHandler, form: Form) -> None:
        for key in {"time", "start", "end"} & set(form):
            form[key] = f"{float(form[key]) - skew:.3f}"
        document = json.loads(forward(rig.prometheus.url, handler, form))
        times = form["query"] == "time()" or "timestamp(" in form["query"]
        result = document["data"]["result"]
        scalar = document["data"]["resultType"] == "scalar"
        for sample in [result] if scalar else [s for r in result for s in r.get("values", [r.get("value")])]:
            sample[0] += skew
            if times:
                sample[1] = f"{float(sample[1]) + skew:.3f}"
        answer(handler, json.dumps(document).encode())

    return behave


@pytest.mark.parametrize("skew", [3_600, -3_600])
def test_17_windows_go_by_prometheus_clock_and_the_difference_is_a_metric(rig: Rig, skew: float) -> None:
    """T2: a rollback as if the clocks agreed."""
    with Before(shifted(rig, skew)) as before:
        through(rig, before)
        rig.start()
        assert abs(metric(rig, "rollbackd_prometheus_clock_skew_seconds") - skew) < 5
        rig.begin_rollout()
        rig.break_canary()
        rig.wait_state("api-1", "verified")
        assert rig.done() == ["drain", "revert", "restore"]
        (firing,) = rig.life("api-1")["firings"]
        decisive = datetime.fromisoformat(firing["windows"][-1]["end"]).timestamp()
        now = float(fetch(f"{rig.prometheus.url}/api/v1/query", {"query": "time()"})["data"]["result"][1])
        assert abs(decisive - (now + skew)) < 60
        rig.kill()


GIGABYTE = 1 << 30


def plain(handler: BaseHTTPRequestHandler) -> None:
    handler.send_header("Connection", "close")
    handler.end_headers()
    for _ in range(GIGABYTE >> 20):
        handler.wfile.write(b" " * (1 << 20))


def packed(handler: BaseHTTPRequestHandler) -> None:
    """After a full flush the same bytes compress to the same bytes: one block, sent a thousand times."""
    squeeze = zlib.compressobj(9, wbits=zlib.MAX_WBITS + 16)
    head = squeeze.compress(b"") + squeeze.flush(zlib.Z_FULL_FLUSH)
    block = squeeze.compress(b" " * (1 << 20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(head + block * (GIGABYTE >> 20))


@pytest.mark.parametrize("body", [plain, packed])
def test_25_a_body_of_a_gigabyte_costs_no_memory_and_no_streak(
    rig: Rig, body: Callable[[BaseHTTPRequestHandler], None]
) -> None:
    """I16: cut while it comes; then the windows that it hid are asked again, and the streak is whole."""
    huge = 0

    def behave(handler: BaseHTTPRequestHandler, form: Form) -> None:
        nonlocal huge
        if form["query"] == "time()" or huge == 6 or not streak_began:
            answer(handler, forward(rig.prometheus.url, handler, form))
            return
        huge += 1
        handler.send_response(200)
        try:
            body(handler)
        except OSError:
            handler.close_connection = True  # the daemon has seen enough

    streak_began = False
    with Before(behave) as before:
        through(rig, before)
        rig.write(triggers=[rig.trigger(windows=6)])
        rig.start()
        assert rig.daemon is not None
        rig.begin_rollout()
        rig.break_canary()
        wait_for(lambda: streak(rig) >= 1)
        usual = peak(rig.daemon.pid)
        streak_began = True
        wait_for(lambda: huge == 6, 60, "six bodies")
        rig.wait_state("api-1", "verified")
        assert metric(rig, 'rollbackd_prometheus_requests_total{result="unreachable"}') >= 6
        assert peak(rig.daemon.pid) - usual < 256 << 20  # two queries at once, 64 MiB each at the most
        rig.kill()


def peak(pid: int) -> int:
    """The most memory the process ever held, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) << 10


def test_28_a_cold_start_after_a_release_does_not_fire(rig: Rig) -> None:
    """W9: breaches inside `initial_delay` do not count; the streak begins behind it."""
    rig.write(triggers=[rig.trigger(windows=2, initial_delay="6s")])
    rig.start()
    rig.begin_rollout()
    (rollout,) = rig.get("/api/v1/rollouts")[1]["data"]
    began = datetime.fromisoformat(rollout["began"]).timestamp()
    rig.break_canary()
    rig.wait_state("api-1", "verified", "running", "verifying")
    (firing,) = rig.life("api-1")["firings"]
    ends = [datetime.fromisoformat(window["end"]).timestamp() for window in firing["windows"]]
    (series,) = rig.prometheus.query('bad{cohort="canary"}[5m]')
    breached = [float(at) for at, value in series["values"] if value == "1" and at < ends[0] - 1]
    assert breached, "it was bad for windows before those that counted"
    assert min(ends) - 1 >= began + 6


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"), "expired", "20200101000000Z", "20200102000000Z")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"), "good", "20200101000000Z", "20990101000000Z")


def test_29_a_certificate_that_expired_is_unreachable_until_it_is_renewed(
    rig: Rig, expired: tuple[Path, Path], good: tuple[Path, Path]
) -> None:
    """As if nobody answered: nothing fires, and the streak that was is whole once somebody can be asked."""
    both = rig.folder / "ca.pem"
    both.write_text(expired[0].read_text() + good[0].read_text())
    context = serving(*good)

    def behave(handler: BaseHTTPRequestHandler, form: Form) -> None:
        handler.close_connection = True  # the next request shakes hands anew
        answer(handler, forward(rig.prometheus.url, handler, form))

    with Before(behave, context) as before:
        through(rig, before, tls_config={"ca_file": str(both)})
        rig.write(triggers=[rig.trigger(windows=4)])
        rig.start()
        rig.begin_rollout()
        context.load_cert_chain(*expired)
        rig.break_canary()
        unreachable = 'rollbackd_prometheus_requests_total{result="unreachable"}'
        wait_for(lambda: metric(rig, unreachable) >= 5, what="refused handshakes")
        assert rig.lives() == []
        context.load_cert_chain(*good)
        rig.wait_state("api-1", "verified")
        rig.kill()


def test_32_samples_from_before_prometheus_restarted_do_not_count(rig: Rig) -> None:
    """W14: killed, it had no time to mark its series stale, and serves them as now for five minutes."""
    rig.write(triggers=[rig.trigger(windows=5)])
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    wait_for(lambda: streak(rig) >= 2)
    rig.prometheus.kill()
    killed = time.time()
    rig.heal_canary()
    before = streak(rig)
    rig.prometheus.start()
    served = rig.prometheus.query('bad{cohort="canary"}')
    scraped = rig.prometheus.value('timestamp(bad{cohort="canary"})')
    assert [sample["value"][1] for sample in served] == ["1"], "the dead sample is served as now"
    assert scraped is not None
    assert scraped < killed < served[0]["value"][0], "and it is of before"
    wait_for(lambda: rig.prometheus.value('bad{cohort="canary"}') == 0, what="the first scrape")
    wait_for(lambda: streak(rig) == 0, what="the streak's end")
    assert before < 5
    assert rig.lives() == []
