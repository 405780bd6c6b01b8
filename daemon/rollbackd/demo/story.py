"""The demo's story: a rollout goes bad, rollbackd is killed while it rolls back, and nobody notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, get_args

from rollbackd.core.state import End
from rollbackd.demo.daemon import Watchman
from rollbackd.demo.processes import Failure, TimedOut, until
from rollbackd.demo.scene import Scene, percent
from rollbackd.demo.stage import BAD, GOOD, Stage
from rollbackd.demo.view import View

LOOK_EACH = 0.25  # seconds
STEPS = ("drain", "previous-release", "restore-weight", "mark-bad")
ENDS = get_args(End)


class Story:
    def __init__(self, folder: Path, view: View, *, prometheus: str | None) -> None:
        self.scene = Scene()
        self.stage = Stage(folder, prometheus=prometheus)
        self.view = view
        self._folder = folder
        self._heard: list[str] = []

    async def play(self) -> None:
        """From an empty folder to a verified rollback; Failure where it takes another turn."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.stage.close)
            await self.stage.open()
            self.view.say(f"the service runs: {GOOD} in both cohorts, all traffic to stable")
            watchman = Watchman(self._folder, self.stage.prometheus_url, self._hear)
            stack.push_async_callback(watchman.close)
            await watchman.open()
            self.view.say("rollbackd watches it")
            looking = asyncio.create_task(self._look(watchman), name="look")
            stack.push_async_callback(_cancel, looking)
            telling = asyncio.create_task(self._tell(watchman), name="tell")
            stack.push_async_callback(_cancel, telling)
            done, _ = await asyncio.wait({looking, telling}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            self.view.report(await watchman.command("report", str(self._life()["id"])))
            self.view.say("$ rollbackd audit verify")
            self.view.say(await watchman.command("audit", "verify"))

    # The turns of the story

    async def _tell(self, watchman: Watchman) -> None:
        await self._roll_out(watchman)
        await self._until(self._breached, "the windows of the canary breach", 40)
        await self._until(self._draining, "the first step runs", 40)
        await self._kill(watchman)
        await self._until(self._ended, "the rollback ends", 75)
        self.judge()

    async def _roll_out(self, watchman: Watchman) -> None:
        await self._until(self._well, "a window of both cohorts is judged", 30)
        await self.stage.deploy("canary", BAD)
        said = await watchman.command("rollout", "begin", "demo", "--previous", GOOD, "--next", BAD)
        self.view.say(f"$ rollbackd rollout begin demo --previous {GOOD} --next {BAD}")
        self.view.say(said)
        await self.stage.weigh("canary", 50)
        self.view.say(f"half of the traffic goes to {BAD}; it has a bug that shows after a while")

    async def _kill(self, watchman: Watchman) -> None:
        await watchman.program.kill()
        self.scene.up = False
        self.view.say("kill -9 of rollbackd, in the middle of step drain: the step goes on without it")
        await watchman.start()
        self.view.say("rollbackd is back: it read its journal, found the step and goes on")

    def judge(self) -> None:
        """Whether all is well, by other witnesses than rollbackd; Failure where it is not."""
        life = self._life()
        if life["state"] != "verified":
            raise Failure(f"{life['id']} ended as {life['state']}, not verified: {life['detail']}")
        wanted = [f"{life['id']} {step}" for step in STEPS]
        if self.stage.steps_run() != wanted:
            raise Failure(f"the steps that ran: {self.stage.steps_run()}, wanted each once: {wanted}")
        if self.scene.errors != 0:
            raise Failure(f"customers still see errors: {percent(self.scene.errors)} of the last answers")
        if self.scene.cohorts["canary"].release != GOOD:
            raise Failure(f"the canary serves {self.scene.cohorts['canary'].release}, not {GOOD}")
        self.view.say(
            f"verified: {GOOD} in both cohorts, no errors, every step ran once; "
            f"{self.scene.failed} of {self.scene.requests} requests failed on the way"
        )

    # What the turns wait for

    async def _until(self, condition: Callable[[], bool], what: str, within: float) -> None:
        async def holds() -> bool:
            return condition()

        try:
            await until(holds, what, within)
        except TimedOut:
            raise Failure(f"not within {within:g} s: {what}; {self._how_it_stands()}") from None

    def _well(self) -> bool:
        return all(cohort.verdicts for cohort in self.scene.cohorts.values())

    def _breached(self) -> bool:
        return self.scene.cohorts["canary"].streak > 0 or self._draining()

    def _draining(self) -> bool:
        return bool(self.stage.steps_run())

    def _ended(self) -> bool:
        return self.scene.up and self.scene.life is not None and self.scene.life["state"] in ENDS

    def _how_it_stands(self) -> str:
        life = self.scene.life
        found = f"{life['id']} is {life['state']} {life['detail'] or ''}" if life else "there is no rollback"
        return f"{found}; rollbackd is {'up' if self.scene.up else 'down'}"

    def _life(self) -> dict[str, Any]:
        if self.scene.life is None:
            raise Failure("rollbackd shows no rollback")
        return self.scene.life

    # Showing

    async def _look(self, watchman: Watchman) -> None:
        while True:
            await self.scene.look(self.stage, watchman)
            self.view.show(self.scene)
            heard, self._heard = self._heard, []
            for title in heard:
                self.view.say(f"told: {title}")
            await asyncio.sleep(LOOK_EACH)

    def _hear(self, document: dict[str, Any]) -> None:
        self._heard.append(str(document["title"]))


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
