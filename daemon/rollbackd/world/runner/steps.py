"""The daemon's runner: makes sure that a step runs once, and says how it went (rules X2–X5).

One task follows each attempt: from its directory, which is all it trusts, to its outcome. A new
attempt and one found after a restart take the same path.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

import structlog

from rollbackd.core.effects import RunStep, StopStep
from rollbackd.core.model import Command, Ms
from rollbackd.core.signals import StepBegan, StepExited
from rollbackd.world.runner import attempt, recovery
from rollbackd.world.runner.attempt import Exit
from rollbackd.world.runner.commands import ANSWER_WITHIN, SILENT, CommandResult, Commands, Setting
from rollbackd.world.runner.link import Helper
from rollbackd.world.runner.tree import remove_cgroup

log = structlog.get_logger()
T = TypeVar("T")

GRACE: Ms = 10_000
INHERITED = ("PATH", "HOME", "LANG")  # all a step sees of the daemon's environment (X2)
GIVE_UP_AFTER = 30.0  # s of failing to start an attempt before it counts as not to be started
PAUSE = (0.05, 1.0)  # s, between looks at what cannot tell us by itself


class BootClock(Protocol):
    """What ties steady time to this boot."""

    @property
    def boot_id(self) -> str: ...

    def boottime_of(self, steady: Ms) -> Ms:
        """CLOCK_BOOTTIME, in milliseconds, at that steady moment (T1)."""
        ...


Post: TypeAlias = Callable[[StepBegan | StepExited], None]


@dataclass
class _Attempt:
    life: str
    execution: int
    effect: RunStep | None  # None: found after a restart only to be stopped
    directory: Path | None = None
    new: bool = False  # made just now: nobody but us knows of it
    began: bool = False
    stop: bool = False
    connection: socket.socket | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def order_stop(self) -> None:
        self.stop = True
        self.changed.set()
        if self.connection:
            with suppress(OSError):  # its end is noticed by who reads it, and the order repeated
                self.connection.send(b"stop")


class Runner:
    """Runs steps in wrappers that outlive the daemon, and commands that do not.

    `post` is called on the event loop. `cgroup`: where each execution gets a cgroup of its own; None
    where none is delegated. Use `async with`, or `open` and `close`; closing leaves steps running.
    """

    def __init__(
        self,
        state_dir: Path,
        clock: BootClock,
        post: Post,
        *,
        grace: Ms = GRACE,
        cgroup: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._attempts_dir = state_dir.absolute() / "attempts"
        self._clock = clock
        self._post = post
        self._grace = grace
        self._cgroup = cgroup
        inherited = {"PATH": os.defpath} | {name: environ[name] for name in INHERITED if name in environ}
        root = state_dir.absolute()
        self._setting = Setting(root / "plans", root / "captures", inherited, grace, cgroup)
        self._helper = Helper(inherited)
        self._commands = Commands(self._helper, self._setting)
        self._disk = ThreadPoolExecutor(4, "runner-disk")
        self._syncs = ThreadPoolExecutor(8, "runner-sync")  # waits for nothing but the disk
        self._attempts: dict[tuple[str, int], _Attempt] = {}

    async def __aenter__(self) -> Runner:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Ready to run. OSError where STATE_DIR cannot be written or no process can be started."""
        await self._on_disk(_make_folder, self._attempts_dir)
        if self._cgroup:
            await self._on_disk(_sweep, self._cgroup)
        await self._helper.start()

    async def close(self) -> None:
        tasks = [attempt.task for attempt in self._attempts.values() if attempt.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._helper.close()
        await asyncio.to_thread(self._disk.shutdown)
        await asyncio.to_thread(self._syncs.shutdown)

    @property
    def helper_pid(self) -> int | None:
        return self._helper.pid

    def start(self, effect: RunStep) -> None:
        """Make sure that this execution runs, once, whoever asked before and however often.

        Posts `StepBegan` (again after a restart, if it still runs), then one `StepExited`; asked
        again after that, posts the same outcome again.
        """
        self._follow(effect.life, effect.execution, effect)

    def stop_step(self, effect: StopStep) -> None:
        """Stop that execution's whole tree (X5), or see to it that it never starts; posts `StepExited`."""
        self._follow(effect.life, effect.execution, None).order_stop()

    def _follow(self, life: str, execution: int, effect: RunStep | None) -> _Attempt:
        known = self._attempts.get((life, execution))
        if known is None:
            known = self._attempts[life, execution] = _Attempt(life, execution, effect)
            known.task = asyncio.create_task(self._finish(known), name=f"step {life}/{execution}")
        return known

    async def _finish(self, run: _Attempt) -> None:
        try:
            exit = await self._outcome(run)
        except Exception as error:
            log.exception("attempt lost", life=run.life, execution=run.execution)
            exit = StepExited(
                run.life, run.execution, "in_doubt", detail=f"cannot tell: {error}", tree_gone=False
            )
        finally:
            del self._attempts[run.life, run.execution]
        self._post(exit)

    async def _outcome(self, run: _Attempt) -> StepExited:
        try:
            run.directory = await self._prepare(run)
        except ValueError as error:
            return _exited(run, Exit("unstarted", detail=str(error)))
        except OSError as error:
            return _exited(
                run, Exit("unstarted", detail=f"no attempt directory: {error}; free or mend the disk")
            )
        if run.directory is None:
            return _exited(run, Exit("stopped", detail="stopped before it was started: nothing ran"))
        tries = _Patience()
        while True:
            found = "unclaimed" if run.new else await self._look(run.directory)
            run.new = False
            if isinstance(found, Exit):
                return _exited(run, found, await self._on_disk(_hash_of_output, run.directory))
            if found == "gone":
                return self._doubt(run, tree_gone=True)
            if found == "unclaimed":
                await self._launch(run, run.directory, tries)
            elif not await self._attach(run, run.directory):
                gone = await self._orphaned(run, run.directory, tries)
                if gone is False:
                    return self._doubt(run, tree_gone=False)

    async def _look(self, directory: Path) -> recovery.Found:
        """Until the disk lets us: what cannot be read is never taken for what is not there."""
        pauses = _Patience()
        while True:
            try:
                return await self._on_disk(recovery.look, directory, self._clock.boot_id)
            except FileNotFoundError:
                raise  # somebody removed it
            except OSError as error:
                log.warning("attempt unreadable", directory=str(directory), error=str(error))
                await pauses.sleep()

    async def _prepare(self, run: _Attempt) -> Path | None:
        """The attempt's directory, durable; None where there is none and none is wanted.

        ValueError: not a request that can be run. OSError: not after half a minute of trying.
        """
        if run.effect is None:
            return await self._on_disk(recovery.find, self._attempts_dir, run.life, run.execution)
        name = f"{run.execution:04d}-{recovery.valid_name(run.effect.step)}"
        folder = self._attempts_dir / recovery.valid_name(run.life)
        request = self._request(run.effect)
        tries = _Patience()
        while True:
            try:
                run.new = await self._on_disk(attempt.create, str(folder), name, request, self._syncs.map)
                return folder / name
            except OSError as error:
                if tries.exhausted():
                    raise
                log.warning("attempt directory not made", directory=str(folder / name), error=str(error))
                await tries.sleep()

    def _request(self, effect: RunStep) -> bytes:
        limit = effect.not_after
        request = {
            **self._setting.program(effect.run, effect.plan_hash, effect.env),
            "interruptible": effect.interruptible,
            "expect": effect.expect,
            "not_after": limit and {"boot": self._clock.boot_id, "boottime": self._clock.boottime_of(limit)},
        }
        content = json.dumps(request).encode()
        if len(content) > attempt.REQUEST_BYTES:
            raise ValueError(f"{len(content)} bytes of arguments and environment; the kernel takes fewer")
        return content

    async def _launch(self, run: _Attempt, directory: Path, tries: _Patience) -> None:
        """Nobody has the claim: have a wrapper win it; or take it ourselves if it is not to run at all."""
        if run.stop:
            never = Exit("stopped", detail="stopped before it was started: nothing ran")
            await self._on_disk(recovery.settle, directory, never)
            return
        problem = ""
        try:
            connection = await self._helper.ask(json.dumps({"attempt": str(directory)}).encode())
            problem = await self._listen(run, connection)
            if problem == SILENT:
                await self._helper.replace()
        except OSError as error:
            problem = str(error)
        if problem:
            log.warning("wrapper not started", directory=str(directory), error=problem)
            if tries.exhausted():
                await self._on_disk(recovery.settle, directory, Exit("unstarted", detail=problem))
            await tries.sleep()

    async def _attach(self, run: _Attempt, directory: Path) -> bool:
        """Hear the rest from a wrapper that is already at work. False where none answers."""
        connection = await self._on_disk(_connect, directory)
        if connection is None:
            return False
        await self._listen(run, connection)
        return True

    async def _listen(self, run: _Attempt, connection: socket.socket) -> str:
        """Until the wrapper has nothing more to say; why it could not do its work, if so."""
        loop = asyncio.get_running_loop()
        run.connection = connection
        try:
            if run.stop:
                run.order_stop()
            async with asyncio.timeout(ANSWER_WITHIN) as silence:
                while message := await loop.sock_recv(connection, 4096):
                    silence.reschedule(None)
                    if message == b"began":
                        self._began(run)
                    elif message.startswith(b"error "):
                        return message[6:].decode("utf-8", "replace")
        except TimeoutError:
            return SILENT
        except ConnectionError:
            return ""  # the directory tells
        finally:
            run.connection = None
            connection.close()
        return ""

    def _began(self, run: _Attempt) -> None:
        if not run.began:
            run.began = True
            self._post(StepBegan(run.life, run.execution))

    async def _orphaned(self, run: _Attempt, directory: Path, pauses: _Patience) -> bool | None:
        """It runs and no wrapper answers: wait, or stop it if it is time. False: it will not be stopped."""
        if not await self._on_disk(recovery.wrapper_alive, directory):
            self._began(run)
            if run.stop or await self._on_disk(recovery.overdue, directory):
                return await asyncio.to_thread(recovery.stop_left_behind, directory, self._grace)
        run.changed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(run.changed.wait(), pauses.next())
        return None

    def _doubt(self, run: _Attempt, *, tree_gone: bool) -> StepExited:
        detail = "its wrapper was killed, or the machine went down, before the outcome was recorded"
        if not tree_gone:
            detail = "its wrapper was killed, and what it started could not be stopped; end it by hand"
        log.warning("step in doubt", directory=str(run.directory), tree_gone=tree_gone)
        return StepExited(run.life, run.execution, "in_doubt", detail=detail, tree_gone=tree_gone)

    async def run_command(
        self, command: Command, plan_hash: str, env: dict[str, str], *, capture: bool
    ) -> CommandResult:
        """Run a check, probe or release command; see `Commands.run`."""
        return await self._commands.run(command, plan_hash, env, capture=capture)

    async def _on_disk(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, partial(work, *arguments))


class _Patience:
    """Growing pauses, and a limit to how long one goes on."""

    def __init__(self) -> None:
        self._pause = PAUSE[0]
        self._since = asyncio.get_running_loop().time()

    def exhausted(self) -> bool:
        return asyncio.get_running_loop().time() - self._since > GIVE_UP_AFTER

    def next(self) -> float:
        pause, self._pause = self._pause, min(2 * self._pause, PAUSE[1])
        return pause

    async def sleep(self) -> None:
        await asyncio.sleep(self.next())


def _hash_of_output(directory: Path) -> str:
    """SHA-256 of what was kept of the output; empty where nothing was, or it cannot be read."""
    try:
        with open(directory / "output", "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            log.warning("output unreadable", directory=str(directory), error=str(error))
        return ""


def _exited(run: _Attempt, exit: Exit, output_sha256: str = "") -> StepExited:
    return StepExited(
        run.life,
        run.execution,
        exit.outcome,
        exit.status,
        exit.detail,
        exit.tail,
        exit.output_bytes,
        exit.expect_matched,
        exit.tree_gone,
        output_sha256,
    )


def _connect(directory: Path) -> socket.socket | None:
    """To the wrapper's control socket; None where nobody listens."""
    try:
        folder = attempt.open_folder(os.fspath(directory))
    except FileNotFoundError:
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        connection.connect(f"/proc/self/fd/{folder}/control")
    except OSError:
        connection.close()
        return None
    finally:
        os.close(folder)
    return connection


def _make_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    attempt.sync_folder(os.fspath(folder.parent))


def _sweep(cgroup: str) -> None:
    """Remove the cgroups of executions that are over."""
    for left in Path(cgroup).glob("step-*"):
        remove_cgroup(os.fspath(left))
