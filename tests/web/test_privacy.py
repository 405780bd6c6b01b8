"""What everyone may read holds no secret."""

from __future__ import annotations

import json

import pytest
from tests.web.conftest import Served
from tests.web.scene import config, plan
from tests.web.test_stream import frames

from rollbackd.core.model import Check, Command, HttpGet, Phase, Step
from rollbackd.web import redacted, stream

SECRET = "hunter2"


def test_environments_and_credentials_in_addresses_are_left_out() -> None:
    step = Step("drain", Command(("curl", f"https://ann:{SECRET}@lb/x?t={SECRET}"), env={"TOKEN": SECRET}))
    url = f"https://u:{SECRET}@api:8443/health?key={SECRET}#{SECRET}"
    checks = (Check("health", http=HttpGet(url)),)
    secret = plan(env={"PASSWORD": SECRET}, phases=(Phase("one", (step,)),), verification=checks)
    text = redacted(config(plans=(secret,)))
    assert SECRET not in text
    (found,) = json.loads(text)["plans"]
    assert found["env"] == {"PASSWORD": "<redacted>"}
    command = found["phases"][0]["steps"][0]["run"]
    assert command["env"] == {"TOKEN": "<redacted>"}
    assert command["argv"] == ["curl", "https://<redacted>@lb/x?<redacted>"]
    address = found["verification"][0]["http"]["url"]
    assert address == "https://<redacted>@api:8443/health?<redacted>#<redacted>"


def test_what_is_no_secret_stays() -> None:
    (found,) = json.loads(redacted(config()))["triggers"]
    assert found["condition"]["expr"] == 'rate(errors{code=~"5..|429"}[1m])'
    assert redacted(None) == "null"


@pytest.mark.parametrize("batch", [stream.BATCH, 3])
async def test_what_steps_printed_goes_to_the_socket_alone(
    served: Served, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """From the journal, and as it happens."""
    monkeypatch.setattr(stream, "BATCH", batch)
    path = "/api/v1/events?after=0"
    async with served.unix.get(path) as local, served.tcp.get(path) as remote:
        life = served.scene.fire()
        served.scene.run_step(life, output=f"logged in as {SECRET}")
        count = served.scene.journal.head().seq
        here, there = await frames(local, count), await frames(remote, count)
    assert [name for _, name, _ in here] == [name for _, name, _ in there]
    assert SECRET in json.dumps(here)
    assert SECRET not in json.dumps(there)
    assert not any("output" in data for _, _, data in there)


async def test_streams_have_the_headers_of_every_answer(served: Served) -> None:
    async with served.tcp.get("/api/v1/events") as events, served.tcp.get("/api/v1/plans") as plans:
        for name in ("X-Content-Type-Options", "Content-Security-Policy", "Cache-Control", "Server"):
            assert events.headers.getall(name) == plans.headers.getall(name)
        assert events.headers["X-Content-Type-Options"] == "nosniff"


async def test_listeners_over_tcp_take_no_place_of_the_sockets(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MOST_CLIENTS", 1)
    async with served.tcp.get("/api/v1/events"), served.tcp.get("/api/v1/events") as second:
        assert second.status == 503
        async with served.unix.get("/api/v1/events") as local:
            assert local.status == 200
