"""No effect vanishes: a part that raises is answered for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from rollbackd.app.world import Parts, RealWorld
from rollbackd.core.effects import Ask, AskScrapes, Effect, Page, RunCheck, WindowQuery
from rollbackd.core.model import Check, Family, Opened
from rollbackd.core.signals import (
    CheckAnswered,
    ManyAnswered,
    PageAnswered,
    ScrapesSeen,
    Signal,
    Unreachable,
    WindowsAnswered,
)
from rollbackd.journal.statedir import StateDir

SECRET = "https://hooks.example/token"

ASK = Ask("Bad@1", (1_000, 2_000), 1_000, 0, (WindowQuery("a"), WindowQuery("b", "traffic")), (), 1_000)
SCRAPES = AskScrapes("api", 1_000, "sampled", "took", 1_000)
CHECK = RunCheck("check/api-1/well", Check("well"), "hash", {})
PAGE = Page("p1", "hook", "firing", "d", "RollbackdRollback", "t", "t", {}, {}, 0)


class Broken:
    """Every part at once; it raises `error`, or waits for ever without one."""

    truncates = False

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
        self.asked = asyncio.Event()

    async def _break(self, _: Effect) -> Any:
        self.asked.set()
        if self.error is None:
            await asyncio.Event().wait()
        else:
            raise self.error

    ask = scrapes = answer = deliver = _break

    async def close(self) -> None: ...


class Stage:
    def __init__(self, state_dir: StateDir) -> None:
        self.signals: asyncio.Queue[Signal] = asyncio.Queue()
        self.state_dir = state_dir

    def world(self, part: Broken) -> RealWorld:
        broken = cast("Any", part)
        parts = Parts("prod", None, broken, broken, broken, ("hook",))
        return RealWorld(self.signals.put_nowait, lambda: 0, self.state_dir, broken, broken, parts)

    async def answer(self) -> Signal:
        async with asyncio.timeout(10):
            return await self.signals.get()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    state_dir = StateDir.open(tmp_path / "state", reserve=0)
    yield Stage(state_dir)
    state_dir.close()


ERRORS = [RecursionError(SECRET), MemoryError(), OverflowError(), KeyError("x"), asyncio.CancelledError()]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("effect", [ASK, SCRAPES, CHECK, PAGE], ids=lambda effect: type(effect).__name__)
async def test_a_part_that_raises_is_answered_for(
    stage: Stage, effect: Effect, error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    world = stage.world(Broken(error))
    world.start(effect)
    said = f"failed inside rollbackd: {type(error).__name__}"
    expected: dict[type, Signal] = {
        Ask: WindowsAnswered("Bad@1", (1_000, 2_000), (Unreachable(said), Unreachable(said))),
        AskScrapes: ScrapesSeen("api", 1_000, None),
        RunCheck: CheckAnswered("check/api-1/well", "cannot_tell", detail=said),
        Page: PageAnswered("p1", "hook", False, said),
    }
    assert await stage.answer() == expected[type(effect)]
    await world.close()
    logged = "".join(capsys.readouterr())
    assert "effect failed" in logged
    assert effect.key in logged
    assert "test_world.py" in logged
    assert SECRET not in logged


async def test_a_family_whose_source_raises_is_answered_for_each(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Broken(RecursionError(SECRET))
    world = stage.world(broken)
    family = Family(
        "key", "service", (Opened('sum by (service) (x{service=~"', '"})'),), {"a": "1", "b": "2"}
    )
    query = (WindowQuery("x"),)
    for name, value in family.members.items():
        world.start(Ask(name, (1_000,), 1_000, 0, query, (), 1_000, family, value))
    reason = (Unreachable("failed inside rollbackd: RecursionError"),)
    expected = tuple(WindowsAnswered(name, (1_000,), reason) for name in family.members)
    assert await stage.answer() == ManyAnswered(expected)
    await world.close()
    logged = "".join(capsys.readouterr())
    assert "effect failed" in logged
    assert SECRET not in logged


@pytest.mark.parametrize("effect", [CHECK, PAGE], ids=lambda effect: type(effect).__name__)
async def test_what_was_cancelled_answers_nothing(stage: Stage, effect: Effect) -> None:
    part = Broken(None)
    world = stage.world(part)
    world.start(effect)
    await part.asked.wait()
    world.cancel(effect)
    await world.close()
    assert stage.signals.empty()
