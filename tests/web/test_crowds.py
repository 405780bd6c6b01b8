"""Readers never hold up the daemon: heavy answers are few at once, off the loop, and of a bounded size."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable

import aiohttp
import pytest
from msgspec.structs import replace
from tests.web.conftest import Served, until
from tests.web.scene import Scene

from rollbackd.core.record import Recorded
from rollbackd.core.state import Life, Seen
from rollbackd.report import markdown
from rollbackd.web import gate, lives, reports


class SlowScene(Scene):
    """Its journal answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()
        self.reading = 0
        self.most = 0

    async def life(self, life: str) -> list[Recorded]:
        self.reading += 1
        self.most = max(self.most, self.reading)
        try:
            await self.release.wait()
        finally:
            self.reading -= 1
        return await super().life(life)


@pytest.fixture
async def scene() -> SlowScene:
    return SlowScene()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "PAUSE", 0)


async def answer(session: aiohttp.ClientSession, path: str) -> tuple[int, str | None]:
    async with session.get(path) as found:
        await found.read()
        return found.status, found.headers.get("Retry-After")


REPORT = "/api/v1/rollbacks/api-1/report"


async def test_heavy_answers_are_few_at_once_and_the_crowd_is_turned_away(
    served: Served, scene: SlowScene
) -> None:
    scene.fire()
    asked = [asyncio.create_task(answer(served.tcp, REPORT)) for _ in range(50)]
    turned_away = 50 - gate.AT_ONCE - gate.MOST_WAITING
    await until(lambda: sum(task.done() for task in asked) == turned_away)
    assert scene.reading == gate.AT_ONCE
    head = scene.journal.head().seq
    scene.pass_time(60_000)
    scene.fire("0.03", "other")
    assert scene.journal.head().seq > head
    scene.release.set()
    found = Counter(await asyncio.gather(*asked))
    assert found == {
        (200, None): gate.AT_ONCE + gate.MOST_WAITING,
        (503, str(gate.RETRY_AFTER)): turned_away,
    }
    assert scene.most == gate.AT_ONCE


async def test_a_crowd_over_tcp_takes_no_place_of_the_sockets(served: Served, scene: SlowScene) -> None:
    scene.fire()
    asked = [asyncio.create_task(answer(served.tcp, REPORT)) for _ in range(30)]
    await until(lambda: scene.reading == gate.AT_ONCE)
    local = asyncio.create_task(answer(served.unix, REPORT))
    await until(lambda: scene.reading == gate.AT_ONCE + 1)
    scene.release.set()
    assert await local == (200, None)
    await asyncio.gather(*asked)


async def test_hanging_up_is_no_way_around_the_limit(served: Served, scene: SlowScene) -> None:
    scene.fire()
    for _ in range(3):
        asked = [asyncio.create_task(answer(served.tcp, REPORT)) for _ in range(4)]
        await until(lambda: scene.reading == gate.AT_ONCE)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    assert scene.most == gate.AT_ONCE
    scene.release.set()
    await until(lambda: scene.reading == 0)
    assert await answer(served.tcp, REPORT) == (200, None)


@pytest.mark.parametrize("path", ["rollbacks/api-1", "rollbacks/api-1/report", "rollbacks", "status/config"])
async def test_what_is_big_is_made_off_the_loop(
    served: Served, scene: SlowScene, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    scene.fire()
    scene.release.set()
    threads: set[int] = set()

    def noting(real: Callable[..., object]) -> Callable[..., object]:
        def noted(*arguments: object) -> object:
            threads.add(threading.get_ident())
            return real(*arguments)

        return noted

    monkeypatch.setattr(lives, "in_full", noting(lives.in_full))
    monkeypatch.setattr(lives, "rollback", noting(lives.rollback))
    monkeypatch.setattr(reports, "markdown", noting(markdown))
    monkeypatch.setattr(scene, "config_text", noting(scene.config_text))
    assert await answer(served.tcp, f"/api/v1/{path}") == (200, None)
    assert threads
    assert threading.get_ident() not in threads


def huge(scene: Scene) -> Life:
    name = scene.fire()
    life = scene.state.lives[name]
    (firing,) = life.firings
    windows = (Seen(end=1, verdict="breach", value="9" * 5_000),) * 3
    one = replace(firing, value="8" * 5_000, windows=windows)
    return replace(life, firings=tuple(replace(one, subject=f"s{number}") for number in range(5_000)))


def test_a_huge_life_is_cut_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    life = huge(scene)
    rows = scene.journal.life(life.id)
    found = lives.in_full(life, scene.state, rows)
    assert (len(found["firings"]), found["firing_count"]) == (200, 5_000)
    assert len(found["firings"][0]["value"]) == len(found["firings"][0]["windows"][0]["value"]) == 201
    assert len(found["timeline"]) == found["timeline_count"] > 3
    monkeypatch.setattr(lives, "MOST_ENTRIES", 3)
    cut = lives.in_full(life, scene.state, rows)
    assert (cut["timeline"], cut["timeline_count"]) == (found["timeline"][-3:], found["timeline_count"])
    text = markdown(life, rows)
    assert "200 of 5000 firings are listed." in text
    assert "9" * 201 not in text
    assert "8" * 201 not in text


async def test_a_report_that_is_too_long_is_cut_at_a_line(
    served: Served, scene: SlowScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.fire()
    scene.release.set()
    monkeypatch.setattr(reports, "markdown", lambda life, rows, before: "line – ü\n" * 300_000)
    async with served.tcp.get(REPORT) as found:
        text = await found.text()
    assert len(text.encode()) <= reports.LONGEST
    *lines, blank, note, end = text.split("\n")
    assert set(lines) == {"line – ü"}
    assert (blank, end) == ("", "")
    assert note.startswith("_Cut here, at 1024 KiB of ")
