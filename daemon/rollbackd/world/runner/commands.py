"""Commands that only look: checks, probes, what a release command prints (rules X4, D2, D6)."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from rollbackd.core.model import Command, Ms
from rollbackd.world.runner import attempt, recovery
from rollbackd.world.runner.link import Helper
from rollbackd.world.runner.tree import Tree, step_cgroup

COMMANDS = 32  # at once; the others wait their turn
ANSWER_WITHIN = 10.0  # s, for a wrapper to say what it must by now; then the helper is thought stuck
SILENT = "no answer from the wrapper"


class CommandResult(Struct, frozen=True):
    """How a command that only looks ended.

    exited     by itself, with `status` (a signal n as 128 + n)
    timed_out  its timeout passed and its tree was stopped; see `tree_gone`
    unstarted  it could not be started, and `detail` says why and what to do
    """

    outcome: Literal["exited", "timed_out", "unstarted"]
    status: int | None = None
    output: str = ""  # stripped; the first 4 KiB
    errors: str = ""  # stripped; the last 1 KiB of stderr, where stdout was captured by itself
    detail: str = ""
    tree_gone: bool = True


@dataclass(frozen=True)
class Setting:
    """What is common to all that is run: where, with what of the daemon's environment, how it is stopped."""

    plans: Path
    captures: Path
    inherited: dict[str, str]
    grace: Ms
    cgroup: str | None

    def program(self, run: Command, plan_hash: str, env: dict[str, str]) -> dict[str, Any]:
        """What a wrapper is to execute (X2): an argv, its whole environment, its folder, its limits.

        ROLLBACK_* comes from `env` and is not the plan's to change. ValueError: not a plan's hash.
        """
        token = secrets.token_hex(16)
        if capture := env.get("ROLLBACK_CAPTURE"):
            env = {"ROLLBACK_CAPTURE_DIR": str(self.captures / recovery.valid_name(capture))} | env
        return {
            "argv": ["/bin/sh", "-c", run.argv[0]] if run.shell else list(run.argv),
            "env": self.inherited | run.env | env | {attempt.TOKEN: token},
            "cwd": str(self.plans / recovery.valid_name(plan_hash)),
            "timeout": run.timeout,
            "grace": self.grace,
            "cgroup": self.cgroup,
            "token": token,
        }


class Commands:
    def __init__(self, helper: Helper, setting: Setting) -> None:
        self._helper = helper
        self._setting = setting
        self._slots = asyncio.Semaphore(COMMANDS)

    async def run(
        self, command: Command, plan_hash: str, env: dict[str, str], *, capture: bool
    ) -> CommandResult:
        """Run a check, probe or release command in the plan's folder; it ends with the daemon.

        `capture`: the output is stdout alone; otherwise stdout and stderr as they came. Whatever the
        command leaves running is ended (unlike a step, it only looks). Cancelling stops it.
        """
        try:
            program = self._setting.program(command, plan_hash, env)
        except ValueError as error:
            return CommandResult("unstarted", detail=str(error))
        request = json.dumps({**program, "capture": capture}).encode()
        problem = ""
        async with self._slots:
            for _ in range(2):  # once more where the helper died: it only looks
                try:
                    answer = await self._ask(request, command.timeout)
                except (OSError, ValueError) as error:
                    return CommandResult("unstarted", detail=str(error))
                if answer.startswith(b"{"):
                    return CommandResult(**json.loads(answer))
                await asyncio.to_thread(_left_behind(program).stop, 0)
                problem = answer.decode("utf-8", "replace").removeprefix("error ")
        return CommandResult("unstarted", detail=problem or "the process that ran it was killed")

    async def _ask(self, request: bytes, timeout: Ms) -> bytes:
        connection = await self._helper.ask(request)
        try:
            async with asyncio.timeout((timeout + self._setting.grace) / 1000 + ANSWER_WITHIN):
                return await asyncio.get_running_loop().sock_recv(connection, 256 * 1024)
        except ConnectionError:
            return b""
        except TimeoutError:
            await self._helper.replace()
            return f"error {SILENT}".encode()
        finally:
            connection.close()


def _left_behind(program: dict[str, Any]) -> Tree:
    """What a command's wrapper leaves running when it is killed."""
    cgroup = step_cgroup(program["cgroup"], program["token"]) if program["cgroup"] else None
    return Tree(mark=f"{attempt.TOKEN}={program['token']}", cgroup=cgroup)
