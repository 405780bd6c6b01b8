"""An execution runs once, whoever dies when (rules X3, X4; faults 1, 5, 6, 45)."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.adapters.runner.stage import LIFE, Stage, alive, end, until

from rollbackd.folder import hash_folder
from rollbackd.world.planstore import store_plan_folder
from rollbackd.world.runner import attempt
from rollbackd.world.runner import wrapper as wrapper_module
from rollbackd.world.runner.attempt import Exit
from rollbackd.world.runner.process import Stream
from rollbackd.world.runner.recovery import settle

ROOT = Path(__file__).parents[3]
ANOTHER_BOOT = "00000000-0000-0000-0000-000000000000"
HELD = "while [ ! -e go ]; do sleep 0.02; done; echo went on"


@asynccontextmanager
async def daemon(
    stage: Stage, script: str = "./step.sh"
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A daemon of its own process, and its helper's id. Both are gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.adapters.runner.daemon", str(stage.state_dir), script,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout
        yield process, int(await process.stdout.readline())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def wrapper(stage: Stage) -> int:
    return int(json.loads((stage.directory() / "claim").read_text())["pid"])


def forget(stage: Stage, *names: str) -> None:
    for name in names:
        (stage.directory() / name).unlink()


async def test_a_step_outlives_the_daemon_and_is_found_again(stage: Stage) -> None:
    """Fault 6, and 1: between `began` and the outcome."""
    effect = stage.step(HELD)
    async with daemon(stage) as (process, helper):
        assert process.stdout
        assert await process.stdout.readline() == b"StepBegan\n"
        process.kill()
        await process.wait()
        await until(lambda: not alive(helper))
    async with stage.runner() as runner:
        runner.start(effect)
        await until(stage.began)
        runner.start(effect)
        assert stage.exits() == []
        (stage.plan / "go").touch()
        told = await stage.exited()
    assert (told.outcome, told.status, told.output) == ("exited", 0, "went on\n")
    assert stage.starts() == 1


async def test_an_outcome_nobody_heard_is_told_later(stage: Stage) -> None:
    effect = stage.step(HELD + "; exit 3")
    async with daemon(stage) as (process, _):
        assert process.stdout
        await process.stdout.readline()
        process.kill()
    (stage.plan / "go").touch()
    await until(lambda: not alive(wrapper(stage)))
    for _ in range(2):
        stage.posted.clear()
        told = await stage.run(effect)
        assert (told.outcome, told.status) == ("exited", 3)
    assert (await stage.run(effect, boot=ANOTHER_BOOT)).status == 3  # whatever the boot
    assert stage.starts() == 1


async def test_stop_after_a_restart(stage: Stage) -> None:
    """`abort --now` reaches a wrapper that another daemon had made, with or without the step's effect."""
    stage.step("sleep 600")
    async with daemon(stage) as (process, _):
        assert process.stdout
        await process.stdout.readline()
    async with stage.runner() as runner:
        runner.stop_step(stage.stop())
        told = await stage.exited()
    assert (told.outcome, told.tree_gone) == ("stopped", True)


async def test_the_timeout_holds_without_a_daemon(stage: Stage) -> None:
    async with stage.runner() as runner:
        runner.start(stage.step("sleep 600", timeout=500))
        await until(stage.began)
    assert stage.exits() == []
    await until(lambda: not alive(wrapper(stage)))
    folder = attempt.open_folder(os.fspath(stage.directory()))
    recorded = attempt.read_exit(folder)
    os.close(folder)
    assert recorded is not None
    assert (recorded.outcome, recorded.tree_gone) == ("timed_out", True)


async def test_the_wrapper_s_death_is_doubt_once_the_tree_is_gone(stage: Stage) -> None:
    """Fault 45."""
    effect = stage.step(HELD)
    async with stage.runner() as runner:
        runner.start(effect)
        await until(stage.began)
        end(wrapper(stage))
        assert stage.exits() == []
        (stage.plan / "go").touch()
        told = await stage.exited()
    assert (told.outcome, told.tree_gone) == ("in_doubt", True)
    assert stage.starts() == 1
    assert (await stage.run(effect)).outcome == "in_doubt"
    assert stage.starts() == 1


@pytest.mark.parametrize("order", ["timeout", "stop"])
async def test_without_its_wrapper_a_step_still_ends(stage: Stage, order: str) -> None:
    timeout = 1_000 if order == "timeout" else 60_000
    async with stage.runner() as runner:
        runner.start(stage.step("setsid sleep 600 & trap '' TERM; sleep 600", timeout=timeout))
        await until(stage.began)
        end(wrapper(stage))
        if order == "stop":
            runner.stop_step(stage.stop())
        told = await stage.exited()
    assert (told.outcome, told.tree_gone) == ("in_doubt", True)
    assert not alive(int(stage.log.read_text()))


async def _prepared(stage: Stage, text: str = "exit 0") -> None:
    """An attempt as it was before anyone claimed it: what a kill between mkdir and claim leaves."""
    async with stage.runner() as runner:
        runner.start(stage.step(text))
        await stage.exited()
    forget(stage, "claim", "output")
    (stage.directory() / "exit").write_bytes(bytes(attempt.EXIT_BYTES))
    stage.log.unlink()
    stage.posted.clear()


async def test_unclaimed_it_runs(stage: Stage) -> None:
    await _prepared(stage)
    assert (await stage.run(stage.step("exit 0"))).outcome == "exited"
    assert stage.starts() == 1


async def test_half_a_directory_is_no_directory(stage: Stage) -> None:
    draft = stage.directory().with_name(".0001-step.new")
    draft.mkdir(parents=True)
    (draft / "request.json").write_text("{")
    assert (await stage.run(stage.step("exit 0"))).outcome == "exited"
    assert not draft.exists()


def test_a_claim_imports_nothing(tmp_path: Path) -> None:
    """Each wrapper would do it again, and the files may have been replaced since the daemon started."""
    claim = (
        "import sys; sys.path.append(sys.argv[1])\n"
        "from rollbackd.world.runner import attempt, helper\n"
        "known = set(sys.modules)\n"
        "attempt.win_claim(attempt.open_folder(sys.argv[2]), pid=1, started=1, at=1)\n"
        "print(*(set(sys.modules) - known))"
    )
    packages = str(Path(attempt.__file__).parents[3])
    command = [sys.executable, "-I", "-S", "-c", claim, packages, str(tmp_path)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "\n"


@pytest.mark.parametrize("killed_before", [False, True])
def test_it_is_durable_before_it_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_before: bool
) -> None:
    """Also where a kill left the life's folder, and nobody knows whether its entry is on the disk."""
    if killed_before:
        (tmp_path / "attempts" / LIFE).mkdir(parents=True)
    done: list[str] = []
    fsync, rename = os.fsync, os.rename

    def synced(fd: int) -> None:
        fsync(fd)
        done.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name)

    def renamed(source: str, target: str) -> None:
        rename(source, target)
        done.append("renamed")

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    attempt.create(str(tmp_path / "attempts" / LIFE), "0001-step", b"{}")
    assert sorted(done[:3]) == [".0001-step.new", "attempts", "request.json"]
    assert done[3:] == ["renamed", LIFE]
    exit = tmp_path / "attempts" / LIFE / "0001-step" / "exit"
    assert exit.stat().st_blocks * 512 >= attempt.EXIT_BYTES, "room for the outcome on a full disk"


THIS_BOOT = attempt.boot_id()  # killed between the claim and the start
CLAIMS = [
    json.dumps({"boot": THIS_BOOT, "pid": 1, "started": 1, "at": 0}).encode(),
    b"",
    b"{",
    b'{"boot": "x"}',
    b"\xff\xfe",
    b"null",
    json.dumps({"boot": ANOTHER_BOOT, "pid": 1, "started": 1, "at": 0}).encode(),
    b"[" * 4_000,
    b'{"boot": "", "pid": 1e999, "started": 1, "at": 0}',
]


@pytest.mark.parametrize("claim", CLAIMS)
async def test_a_claim_that_exists_is_taken(stage: Stage, claim: bytes) -> None:
    """Empty, torn, or of another boot (fault 5): in doubt, never run again."""
    await _prepared(stage)
    (stage.directory() / "claim").write_bytes(claim)
    told = await stage.run(stage.step("exit 0"))
    assert (told.outcome, told.tree_gone) == ("in_doubt", True)
    assert stage.starts() == 0


async def test_a_torn_claim_with_its_lock_held_is_running(stage: Stage) -> None:
    await _prepared(stage)
    (stage.directory() / "claim").write_bytes(b"")
    folder = attempt.open_folder(os.fspath(stage.directory()))
    lock = attempt.open_lock(folder)
    os.close(folder)
    assert attempt.try_lock(lock)
    async with stage.runner() as runner:
        runner.start(stage.step("exit 0"))
        await until(stage.began)
        assert stage.exits() == []
        os.close(lock)
        assert (await stage.exited()).outcome == "in_doubt"
    assert stage.starts() == 0


async def test_a_torn_record_is_no_outcome(stage: Stage) -> None:
    effect = stage.step("exit 0")
    await stage.run(effect)
    record = (stage.directory() / "exit").read_bytes()
    for torn in (b"", bytes(len(record)), record[:40], record[:30] + b"?" + record[31:]):
        (stage.directory() / "exit").write_bytes(torn)
        stage.posted.clear()
        assert (await stage.run(effect)).outcome == "in_doubt"
    assert stage.starts() == 1


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b'{"outcome":"vanished"}', b'{"outcome":"exited","status":true}', b"[" * 4_000]
)
async def test_a_record_that_says_nothing_we_know_is_no_outcome(stage: Stage, body: bytes) -> None:
    effect = stage.step("exit 0")
    await stage.run(effect)
    (stage.directory() / "exit").write_bytes(b"%08x %08x " % (zlib.crc32(body), len(body)) + body)
    stage.posted.clear()
    assert (await stage.run(effect)).outcome == "in_doubt"
    assert stage.starts() == 1


async def test_many_wrappers_one_start(stage: Stage) -> None:
    """Two daemons' worth of requests for one attempt: one wins the claim."""
    await _prepared(stage, "sleep 0.3")
    async with stage.runner() as runner:
        request = json.dumps({"attempt": str(stage.directory())}).encode()
        connections = [await runner._helper.ask(request) for _ in range(20)]
        loop = asyncio.get_running_loop()
        words = [await loop.sock_recv(connection, 64) for connection in connections]
        assert sorted(set(words)) == [b"began", b"taken"]
        assert words.count(b"began") == 1
        runner.start(stage.step("sleep 0.3"))
        assert (await stage.exited()).status == 0
        for connection in connections:
            connection.close()
    assert stage.starts() == 1


async def test_started_and_stopped_in_one_breath(stage: Stage) -> None:
    async with stage.runner() as runner:
        runner.start(stage.step("sleep 600"))
        runner.stop_step(stage.stop())
        told = await stage.exited()
    assert told.outcome == "stopped"
    assert stage.starts() <= 1
    stage.posted.clear()
    assert (await stage.run(stage.step("sleep 600"))).outcome == "stopped"
    assert stage.starts() <= 1


async def test_stopped_before_anyone_started_it(stage: Stage) -> None:
    await _prepared(stage)
    async with stage.runner() as runner:
        runner.stop_step(stage.stop())
        assert (await stage.exited()).outcome == "stopped"
    stage.posted.clear()
    assert (await stage.run(stage.step("exit 0"))).outcome == "stopped"
    assert stage.starts() == 0


async def test_who_settles_an_attempt_ends_it_for_all(stage: Stage) -> None:
    await _prepared(stage)
    assert settle(stage.directory(), Exit("unstarted", detail="no"))
    assert not settle(stage.directory(), Exit("stopped"))
    assert (await stage.run(stage.step("exit 0"))).outcome == "unstarted"
    assert stage.starts() == 0


async def test_a_dead_helper_is_replaced(stage: Stage) -> None:
    async with stage.runner() as runner:
        assert runner.helper_pid
        runner.start(stage.step(HELD))
        await until(stage.began)
        first = runner.helper_pid
        end(first)
        runner.start(stage.effect(["true"], 2))
        assert (await stage.exited()).outcome == "exited"
        assert runner.helper_pid != first
        (stage.plan / "go").touch()
        assert (await stage.exited(2)).output == "went on\n"  # its wrapper did not notice
    assert stage.starts() == 1


async def test_a_stuck_helper_is_replaced(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollbackd.world.runner.steps.ANSWER_WITHIN", 0.3)
    async with stage.runner() as runner:
        stuck = runner.helper_pid
        assert stuck
        os.kill(stuck, signal.SIGSTOP)
        runner.start(stage.step("exit 0"))
        assert (await stage.exited()).outcome == "exited"
        assert not alive(stuck)
    assert stage.starts() == 1


async def test_a_full_disk_starts_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """No directory, no step (fault 10)."""
    monkeypatch.setattr("rollbackd.world.runner.steps.GIVE_UP_AFTER", 0.0)
    (stage.state_dir / "attempts").mkdir()
    (stage.state_dir / "attempts" / LIFE).write_text("in the way")
    told = await stage.run(stage.step("exit 0"))
    assert told.outcome == "unstarted"
    assert "attempt directory" in told.detail
    assert stage.starts() == 0


def test_the_outcome_waits_for_the_disk(stage: Stage) -> None:
    """X3: written again until it is durable."""
    record = os.open("/dev/full", os.O_RDWR)
    writing = threading.Thread(target=wrapper_module._record, args=(record, Exit("exited", 7)))
    writing.start()
    stage.plan.joinpath("exit").write_bytes(bytes(attempt.EXIT_BYTES))
    mended = os.open(stage.plan / "exit", os.O_RDWR)
    assert writing.is_alive()
    os.dup2(mended, record)
    writing.join()
    folder = attempt.open_folder(os.fspath(stage.plan))
    recorded = attempt.read_exit(folder)
    for fd in (record, mended, folder):
        os.close(fd)
    assert recorded is not None
    assert recorded.status == 7


def test_output_the_disk_refuses_is_counted_all_the_same() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    stream = Stream(1024, full)
    os.write(stream.writer, b"drained\n")
    os.close(stream.writer)
    stream.drain()
    os.close(full)
    assert (stream.total, stream.tail, stream.fd) == (8, b"drained\n", -1)
    assert "No space left" in stream.problem


async def test_the_stored_copy_runs_whatever_becomes_of_the_original(stage: Stage, tmp_path: Path) -> None:
    """Fault 41."""
    source = tmp_path / "source"
    source.mkdir()
    script = source / "undo.sh"
    script.write_text("#!/bin/sh\necho as loaded\n")
    script.chmod(0o755)
    stored = hash_folder(source)
    store_plan_folder(source, stage.state_dir, stored)
    script.write_text("#!/bin/sh\necho deployed since\n")
    effect = stage.effect(["./undo.sh"])
    told = await stage.run(type(effect)(LIFE, 1, "phase", "step", stored, effect.run, {}))
    assert told.output == "as loaded\n"


@pytest.mark.parametrize("seed", range(9))
async def test_killed_at_any_moment(stage: Stage, seed: int) -> None:
    """Faults 1 and 45: daemon, helper or wrapper, at a random moment: never twice, never lost."""
    chance = random.Random(seed)
    victim = ("daemon", "helper", "wrapper")[seed % 3]
    effect = stage.step("sleep 0.05; echo done >> ended")
    async with daemon(stage) as (process, helper):
        if victim == "wrapper":
            await until(lambda: (stage.directory() / "claim").exists())
            await until(lambda: (stage.directory() / "claim").read_bytes())
        await asyncio.sleep(chance.random() * 0.02)  # the moment, not a wait for anything
        end({"daemon": process.pid, "helper": helper}.get(victim) or wrapper(stage))
        if victim != "daemon":
            await process.wait()
    told = await stage.run(effect)
    ended = (stage.plan / "ended").exists()
    assert stage.starts() <= 1
    assert told.outcome == "exited" or (victim == "wrapper" and told.outcome == "in_doubt")
    assert ended or told.outcome == "in_doubt"
