"""Commands that only look: checks, probes, release commands (rules X2, X4)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.adapters.runner.stage import PLAN, Stage, alive, end, pid_in, until

import rollbackd
from rollbackd.core.model import Command
from rollbackd.world.runner.commands import CommandResult

ANSWERS = [
    ("echo ' 1.4.2 '; echo warning >&2", True, CommandResult("exited", 0, "1.4.2", "warning")),
    ("echo out; echo err >&2", False, CommandResult("exited", 0, "out\nerr")),
    ("exit 20", True, CommandResult("exited", 20)),
    ("kill -KILL $$", True, CommandResult("exited", 137)),
    ("sleep 600", True, CommandResult("timed_out")),
    ("trap '' TERM; sleep 600 & setsid sleep 600", True, CommandResult("timed_out")),
    ("head -c 100000 /dev/zero | tr '\\0' x", True, CommandResult("exited", 0, "x" * 4096)),
    ("printf '\\377\\n'", True, CommandResult("exited", 0, "\ufffd")),
    ("cat; printf $ROLLBACK_PLAN", True, CommandResult("exited", 0, "api")),
]


@pytest.mark.parametrize(("text", "capture", "answer"), ANSWERS)
async def test_what_a_command_answers(stage: Stage, text: str, capture: bool, answer: CommandResult) -> None:
    timeout = 300 if answer.outcome == "timed_out" else 20_000
    command = Command((stage.script(text),), timeout=timeout)
    async with stage.runner() as runner:
        assert await runner.run_command(command, PLAN, {"ROLLBACK_PLAN": "api"}, capture=capture) == answer


NOT_STARTED = [
    (("./nowhere",), PLAN, "no such file in the plan's folder"),
    (("no-such-program",), PLAN, "not found on PATH"),
    (("true",), "ffff", "No such file"),
    (("true",), "../..", "is not a name"),
    (("true", "x" * 140_000), PLAN, "at most 131072"),
]


@pytest.mark.parametrize(("argv", "plan", "detail"), NOT_STARTED, ids=lambda value: str(value)[:20])
async def test_what_cannot_be_started(stage: Stage, argv: tuple[str, ...], plan: str, detail: str) -> None:
    async with stage.runner() as runner:
        result = await runner.run_command(Command(argv), plan, {}, capture=True)
    assert result.outcome == "unstarted"
    assert detail in result.detail


async def test_nothing_is_left_behind(stage: Stage) -> None:
    """A check is asked each interval: what it leaves running would pile up."""
    command = Command((stage.script("sleep 600 & echo $! > left; exit 0"),))
    async with stage.runner() as runner:
        assert (await runner.run_command(command, PLAN, {}, capture=True)).status == 0
        left = await pid_in(stage.plan / "left")
        await until(lambda: not alive(left))


@pytest.mark.parametrize("how", ["cancelled", "closed"])
async def test_it_ends_with_whoever_wanted_to_know(stage: Stage, how: str) -> None:
    command = Command((stage.script("echo $$ > pid; exec sleep 600"),), timeout=600_000)
    async with stage.runner() as runner:
        task = asyncio.create_task(runner.run_command(command, PLAN, {}, capture=True))
        pid = await pid_in(stage.plan / "pid")
        if how == "cancelled":
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await until(lambda: not alive(pid))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await until(lambda: not alive(pid))


async def test_many_at_once(stage: Stage) -> None:
    command = Command((stage.script("echo $ROLLBACK_N"),))
    async with stage.runner() as runner:
        answers = await asyncio.gather(
            *(runner.run_command(command, PLAN, {"ROLLBACK_N": str(n)}, capture=True) for n in range(80))
        )
    assert [answer.output for answer in answers] == [str(n) for n in range(80)]


async def test_descriptors_and_processes_come_back(stage: Stage) -> None:
    command = Command((stage.script("exit 0"),))
    async with stage.runner() as runner:
        await runner.run_command(command, PLAN, {}, capture=True)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            await runner.run_command(command, PLAN, {}, capture=True)
        assert len(os.listdir("/proc/self/fd")) == before
        helper = runner.helper_pid
        await until(lambda: Path(f"/proc/{helper}/task/{helper}/children").read_text() == "")
        assert len(os.listdir(f"/proc/{helper}/fd")) <= 5


async def test_a_dead_helper_is_noticed_and_replaced(stage: Stage) -> None:
    command = Command((stage.script("exit 0"),))
    async with stage.runner() as runner:
        for _ in range(3):
            assert runner.helper_pid
            end(runner.helper_pid)
            assert (await runner.run_command(command, PLAN, {}, capture=True)).status == 0


async def test_a_killed_wrapper_is_asked_once_more(stage: Stage) -> None:
    """And what it left running is ended first: one check, one process."""
    script = stage.script("[ -e first ] && exit 5; echo $$ > first; kill -KILL $PPID; exec sleep 600")
    async with stage.runner() as runner:
        assert (await runner.run_command(Command((script,)), PLAN, {}, capture=True)).status == 5
    assert not alive(await pid_in(stage.plan / "first"))


async def test_without_a_runner_there_is_no_answer(stage: Stage) -> None:
    async with stage.runner() as runner:
        pass
    result = await runner.run_command(Command(("true",)), PLAN, {}, capture=True)
    assert (result.outcome, result.detail) == ("unstarted", "the runner is closed")


def test_the_helper_imports_little() -> None:
    """It must start without site-packages, and wrappers must not meet files of another version."""
    package = str(Path(rollbackd.__file__).parents[1])
    code = (
        f"import sys; sys.path.append({package!r}); import rollbackd.world.runner.helper; print(*sys.modules)"
    )
    loaded = set(subprocess.check_output([sys.executable, "-I", "-S", "-c", code], text=True).split())
    assert {
        "typing",
        "dataclasses",
        "inspect",
        "asyncio",
        "subprocess",
        "threading",
        "logging",
    } & loaded == set()
    ours = {name for name in loaded if name.startswith("rollbackd.")}
    assert ours == {"rollbackd.world", "rollbackd.world.runner"} | {
        f"rollbackd.world.runner.{name}" for name in ("attempt", "helper", "process", "tree", "wrapper")
    }
