"""What every runner promises, the fake one of the stories too (rule X3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Protocol

import pytest
from tests.adapters.runner.stage import PLAN, Stage, until
from tests.fakes.runner import FakeRunner, Machine

from rollbackd.core.effects import RunStep, StopStep
from rollbackd.core.model import Command
from rollbackd.core.signals import StepBegan
from rollbackd.world.runner.commands import CommandResult


class AnyRunner(Protocol):
    def start(self, effect: RunStep) -> None: ...

    def stop_step(self, effect: StopStep) -> None: ...

    async def run_command(
        self, command: Command, plan_hash: str, env: dict[str, str], *, capture: bool
    ) -> CommandResult: ...


class World:
    """One machine, on which runners come and go."""

    def __init__(self, kind: str, stage: Stage) -> None:
        self.kind = kind
        self.stage = stage
        self.machine = Machine()
        self.open = AsyncExitStack()

    async def runner(self, ends: bool = True) -> AnyRunner:
        """A new daemon's runner. Its step ends with status 3, or (not `ends`) when it is stopped."""
        await self.open.aclose()
        self.stage.posted.clear()
        if self.kind == "real":
            return await self.open.enter_async_context(self.stage.runner())
        fake = FakeRunner(self.stage.posted.append, self.machine)
        if ends:
            fake.outcomes["step"] = {"status": 3}
        return fake

    def effect(self, ends: bool = True) -> RunStep:
        return self.stage.step("exit 3" if ends else "sleep 600")

    def starts(self) -> int:
        return self.stage.starts() if self.kind == "real" else len(self.machine.started)


@pytest.fixture(params=["real", "fake"])
async def world(request: pytest.FixtureRequest, stage: Stage) -> AsyncIterator[World]:
    made = World(request.param, stage)
    yield made
    await made.open.aclose()


async def test_it_begins_and_ends(world: World) -> None:
    runner = await world.runner()
    runner.start(world.effect())
    told = await world.stage.exited()
    assert (told.outcome, told.status) == ("exited", 3)
    assert [type(signal) for signal in world.stage.posted] == [StepBegan, type(told)]


async def test_asked_twice_it_runs_once(world: World) -> None:
    runner = await world.runner()
    runner.start(world.effect())
    runner.start(world.effect())
    await world.stage.exited()
    runner.start(world.effect())
    assert (await world.stage.exited(2)).status == 3
    assert world.starts() == 1


async def test_asked_by_two_daemons_it_runs_once(world: World) -> None:
    (await world.runner()).start(world.effect())
    await world.stage.exited()
    (await world.runner()).start(world.effect())
    assert (await world.stage.exited()).status == 3
    assert world.starts() == 1


async def test_another_execution_runs_again(world: World) -> None:
    runner = await world.runner()
    for execution in (1, 2):
        effect = world.effect()
        runner.start(RunStep("api-1", execution, "phase", "step", PLAN, effect.run, {}))
        await world.stage.exited(execution)
    assert world.starts() == 2


async def test_it_is_stopped(world: World) -> None:
    runner = await world.runner(ends=False)
    runner.start(world.effect(ends=False))
    await until(world.stage.began)
    runner.stop_step(world.stage.stop())
    assert (await world.stage.exited()).outcome == "stopped"
    (await world.runner(ends=False)).start(world.effect(ends=False))
    assert (await world.stage.exited()).outcome == "stopped"
    assert world.starts() <= 1  # the script may not have come to its first line


async def test_stopped_by_the_next_daemon(world: World) -> None:
    (await world.runner(ends=False)).start(world.effect(ends=False))
    await until(world.stage.began)
    (await world.runner(ends=False)).stop_step(world.stage.stop())
    assert (await world.stage.exited()).outcome == "stopped"
    assert world.starts() <= 1  # the script may not have come to its first line


async def test_a_command_is_answered(world: World) -> None:
    runner = await world.runner()
    result = await runner.run_command(Command(("true",)), PLAN, {}, capture=True)
    assert (result.outcome, result.status) == ("exited", 0)
