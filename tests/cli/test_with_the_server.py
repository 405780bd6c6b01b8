"""The commands against the real server and the real engine: both sides read the same contract."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import Result
from msgspec.structs import replace
from tests.cli.fake import rollbackd
from tests.cli.test_verbs import VERBS
from tests.web.scene import MINUTE, Scene, config, plan

from rollbackd.core import signals as s
from rollbackd.core.model import CaptureItem
from rollbackd.web import Web, serve


class Site:
    def __init__(self, scene: Scene, web: Web, socket: Path) -> None:
        self.scene = scene
        self.web = web
        self.socket = socket

    async def run(self, *args: str) -> Result:
        return await asyncio.to_thread(rollbackd, *args, ROLLBACKD_SOCKET=str(self.socket))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    scene = Scene()
    socket = tmp_path / "d.sock"
    web = await serve(scene, listen=("127.0.0.1", 0), socket=socket, metrics=scene.metrics)
    scene.web = web
    yield Site(scene, web, socket)
    await web.close()


async def test_the_server_understands_every_body(site: Site) -> None:
    """What the engine makes of it is its affair: only `rollback api-7` is unknown to it."""
    for command, _, _ in VERBS:
        result = await site.run(*command.split())
        assert "the body" not in result.stderr
        assert result.exit_code in (0, 1, 5), (command, result.stderr)
        assert result.stderr.count("\n") <= 1


async def test_a_rollback_in_words(site: Site) -> None:
    begun = await site.run("rollout", "begin", "api", "--previous", "v1", "--next", "v2", "--for", "90m")
    assert (begun.exit_code, begun.stderr) == (0, "")
    assert isinstance(site.scene.spoken[-1][0], s.BeginRollout)
    assert site.scene.spoken[-1][0].open_for == 90 * MINUTE
    assert site.scene.spoken[-1][2] == "socket"
    assert "v1 → v2" in (await site.run("rollout", "list")).stdout

    life = site.scene.roll_back()
    shown = await site.run("show", life[:-1], "--until", "verified")
    assert shown.exit_code == 0
    assert f"{life}  verified" in shown.stdout
    for step in ("drain", "revert", "tidy", "TIMELINE", "XX"):
        assert step in shown.stdout
    status = await site.run("status")
    assert status.exit_code == 0
    assert f"{life}  verified" in status.stdout
    watched = await site.run("show", life, "--watch")
    assert watched.exit_code == 0
    assert watched.stdout.splitlines()[-1].partition(" ")[2].startswith(f"{life} verified")
    told = await site.run("report", life)
    assert (told.exit_code, told.stdout[:2]) == (0, "# ")


async def test_a_failure_needs_someone(site: Site) -> None:
    life = site.scene.fire()
    site.scene.run_step(life, status=1)
    assert (await site.run("show", life, "--until", "verified")).exit_code == 1
    status = (await site.run("status")).stdout
    assert status.startswith("NEEDS YOU")
    assert f"`rollbackd resolve {life}" in status
    assert (await site.run("ack", life)).exit_code == 0
    assert "acknowledged by" in (await site.run("status")).stdout
    assert (await site.run("approve", life)).exit_code == 5
    resolved = await site.run("resolve", life, "--approach", "by hand", "--description", "restarted")
    assert (resolved.exit_code, resolved.stdout) == (0, f"{life} is resolved; its services are free\n")


async def test_over_tcp_it_reads(site: Site) -> None:
    assert site.web.url is not None
    result = await site.run("status", "--json", "--url", site.web.url)
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["triggers"][0]["name"] == "ApiErrorRatioHigh"


async def test_halted_and_not_ready(site: Site) -> None:
    site.scene.halted, site.scene.reasons = "disk full", ["the journal cannot be written: disk full"]
    said = (await site.run("status")).stdout
    assert "the journal cannot be written: disk full" in said
    result = await site.run("pause", "-c", "x")
    assert result.exit_code == 4
    assert "disk full" in result.stderr


async def test_reload(site: Site) -> None:
    assert (await site.run("reload")).stdout == "h2\n"
    site.scene.problems = ["a.yml:1:2: key: what; remedy", "b.yml:3:4: key: what; remedy"]
    result = await site.run("reload")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [f"rollbackd: {problem}" for problem in site.scene.problems]


async def test_a_rollout_waits_for_its_capture(tmp_path: Path) -> None:
    item = CaptureItem("errors", expr="errors")
    scene = Scene(config(plans=(replace(plan(), capture=(item,)),)))
    socket = tmp_path / "d.sock"
    web = await serve(scene, listen=("127.0.0.1", 0), socket=socket, metrics=scene.metrics)
    site = Site(scene, web, socket)
    begin = ("rollout", "begin", "api", "--previous", "v1", "--next", "v2")
    waiting = asyncio.create_task(site.run(*begin))
    async with asyncio.timeout(30):
        while not scene.state.captures:  # noqa: ASYNC110 - the command speaks from a thread
            await asyncio.sleep(0.01)
    second = await site.run("capture", "api")
    assert (second.exit_code, "is being captured" in second.stderr) == (5, True)
    scene.take(s.CaptureTaken("api-c1", "errors", True, value=0.2, said="0.2"))
    begun = await waiting
    assert (begun.exit_code, begun.stdout.splitlines()[-1]) == (0, "rollout api-r1 is open")
    (listed,) = json.loads((await site.run("capture", "--list", "--json")).stdout)
    assert (listed["id"], listed["rollout"], listed["items"][0]["value"]) == ("api-c1", "api-r1", 0.2)
    (rollout,) = json.loads((await site.run("rollout", "list", "--json")).stdout)
    assert rollout["capture"] == "api-c1"
    without = await site.run(*begin, "--without-capture", "-c", "urgent")
    assert (without.exit_code, "is open since" in without.stderr) == (5, True)
    await web.close()


async def test_evidence_opens_the_permit_step_by_step(site: Site, tmp_path: Path) -> None:
    """P1: what is missing, who said what, and nothing of a plan that has changed since."""
    log = tmp_path / "run.log"
    log.write_text("rolled back\n")
    told = ("--artifact", str(log), "--took", "9m", "-c", "twice")
    added = await site.run("evidence", "add", "api", "--kind", "staging", "--by", "bob", *told)
    assert added.stdout == "staging of api (c0ffee) is on record\n"
    (kept,) = json.loads((await site.run("evidence", "list", "api", "--json")).stdout)["current"]
    assert (kept["artifact"], kept["size"], kept["within_sla"]) == ("run.log", 12, True)
    listed = (await site.run("evidence", "list", "api")).stdout
    assert all(
        part in listed for part in ("staging", "c0ffee", "9m", "bob", f"run.log {kept['sha256'][:12]}")
    )
    closed = await site.run("gate", "permit", "api")
    assert closed.exit_code == 1
    assert "  review: somebody else than the owner read it: nothing on record; do it, then " in closed.stdout
    assert "staging:" not in closed.stdout
    other = ("evidence", "add", "api", "--kind", "review", "--by", "cem", "--hash", "abcdef")
    assert (await site.run(*other)).exit_code == 5
