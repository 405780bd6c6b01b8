"""The real world behind the driver's `World`: each effect goes to the part that does it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

from rollbackd.app import halt
from rollbackd.core.effects import (
    Ask,
    AskScrapes,
    KeepAlert,
    Page,
    RemoveCapture,
    RunCapture,
    RunCheck,
    RunStep,
    StopStep,
    WriteReport,
)
from rollbackd.core.model import Family
from rollbackd.core.signals import (
    CaptureTaken,
    CheckAnswered,
    ManyAnswered,
    PageAnswered,
    ScrapesSeen,
    Unreachable,
    WindowsAnswered,
)
from rollbackd.world.captures import Captures
from rollbackd.world.client import origin
from rollbackd.world.prometheus import Together

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from rollbackd.app.reports import Reports
    from rollbackd.core.effects import Effect
    from rollbackd.core.model import Command, Ms
    from rollbackd.core.record import Head
    from rollbackd.core.signals import Signal
    from rollbackd.journal.statedir import StateDir
    from rollbackd.world.checks import Checks
    from rollbackd.world.prometheus import Source
    from rollbackd.world.receivers import Receivers
    from rollbackd.world.runner.commands import CommandResult
    from rollbackd.world.runner.steps import Runner

log = structlog.get_logger()

MOST_ANSWERS = 100
"""Watches whose answers are one signal: a millisecond or two of the loop."""


class RealWorld:
    """Starts and cancels effects; their answers come back through `post`.

    The parts that the configuration names (`source`, `receivers`, `checks`) are replaced by a reload;
    what is under way with the old ones is finished there.
    """

    def __init__(
        self,
        post: Callable[[Signal], None],
        now: Callable[[], Ms],
        state_dir: StateDir,
        runner: Runner,
        reports: Reports,
        parts: Parts,
    ) -> None:
        self._post = post
        self._now = now
        self._state_dir = state_dir
        self._runner = runner
        self._reports = reports
        self._parts = parts
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._kept: dict[str, KeepAlert] = {}
        self._halted: str | None = None
        self._head: Head | None = None
        self._together = Together(self._ask_together)
        self._captures = Captures(state_dir.path, self._run_command, self._query)

    def start(self, effect: Effect) -> None:
        match effect:
            case Ask(family=Family() as family):
                self._together.add(family, effect)
            case Ask():
                self._spawn(effect.key, self._ask(effect))
            case AskScrapes():
                self._spawn(effect.key, self._ask_scrapes(effect))
            case RunStep():
                self._runner.start(effect)
            case StopStep():
                self._runner.stop_step(effect)
            case RunCheck():
                self._spawn(effect.key, self._check(effect))
            case RunCapture():
                self._spawn(effect.key, self._capture(effect))
            case RemoveCapture():
                self._spawn(effect.key, self._uncapture(effect))
            case Page():
                self._spawn(effect.key, self._page(effect))
            case KeepAlert():
                kept = KeepAlert(self._addressed(effect.page))
                self._kept[effect.key] = kept
                self._parts.receivers.keep(kept)
            case WriteReport():
                self._spawn(effect.key, self._report(effect))

    def cancel(self, effect: Effect) -> None:
        match effect:
            case RunCheck() | RunCapture() | RemoveCapture() | Page() | WriteReport():
                task = self._tasks.pop(effect.key, None)
                if task is not None:
                    task.cancel()
            case KeepAlert():
                self._kept.pop(effect.key, None)
                self._parts.receivers.drop(effect.key)
            case _:
                return  # a running step is never forgotten; `StopStep` stops it

    def halted(self, reason: str) -> None:
        """E5: nothing can be recorded; every receiver is told directly."""
        self._halt(reason, halt.FULL, f"Make room or mend the disk of {self._state_dir.path}: {reason}")

    def broken(self, reason: str) -> None:
        """The record failed, and the process will end: as `halted`."""
        self._halt(reason, halt.BROKEN, f"The daemon on {self._state_dir.path} ends: {reason}")

    def _halt(self, reason: str, title: str, text: str) -> None:
        log.critical("halt", reason=reason)
        if self._halted == reason:
            return
        self._halted = reason
        for receiver in self._parts.receiver_names:
            page = halt.page_of(receiver, title, text, self._parts.instance, self._now())
            self._spawn(f"halt/{receiver}", self._say(page))

    def recovered(self, head: Head) -> None:
        """The journal can be written: a halt is over. Pages carry its head, as an anchor (I13)."""
        self._halted = None
        self._head = head

    def free_reserve(self) -> bool:
        try:
            return self._state_dir.free_reserve()
        except OSError as error:
            log.error("reserve not freed", error=str(error))
            return False

    async def renew(self, parts: Parts) -> None:
        """Take the parts of a new configuration; maintained alerts move over."""
        old, self._parts = self._parts, parts
        for kept in self._kept.values():
            parts.receivers.keep(kept)
        await old.close()

    async def drain(self, seconds: float) -> None:
        """Let the halt pages out before the process ends."""
        pages = [task for key, task in self._tasks.items() if key.startswith("halt/")]
        if pages:
            await asyncio.wait(pages, timeout=seconds)

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._parts.close()
        await self._runner.close()

    def _addressed(self, page: Page) -> Page:
        """The dedup key is unique to this state directory, and the link leads back here (E2)."""
        annotations = page.annotations
        rollback = annotations.get("rollback")
        if self._parts.external_url and rollback:
            link = f"{self._parts.external_url.rstrip('/')}/api/v1/rollbacks/{rollback}"
            annotations = {**annotations, "link": link}
        if self._head is not None:
            annotations = {**annotations, "journal": str(self._head)}
        return replace(page, dedup=f"{self._state_dir.uuid}/{page.dedup}", annotations=annotations)

    def _spawn(self, key: str, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name=key)
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._done(key, done))

    def _done(self, key: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("effect failed", effect=key, error=origin(error))

    async def _ask(self, effect: Ask) -> None:
        try:
            answered = await self._parts.source.ask(effect)
        except (Exception, asyncio.CancelledError) as error:
            answers = (Unreachable(_failed(effect.key, error)),) * len(effect.queries)
            answered = WindowsAnswered(effect.watch, effect.ends, answers)
        self._post(answered)

    async def _ask_scrapes(self, effect: AskScrapes) -> None:
        try:
            seen = await self._parts.source.scrapes(effect)
        except (Exception, asyncio.CancelledError) as error:
            _failed(effect.key, error)
            seen = ScrapesSeen(effect.group, effect.at, None)
        self._post(seen)

    def _ask_together(self, family: Family, asks: tuple[Ask, ...]) -> None:
        self._spawn(asks[0].key, self._ask_many(family, asks))

    async def _ask_many(self, family: Family, asks: tuple[Ask, ...]) -> None:
        try:
            answers = await self._together.ask(self._parts.source, family, asks)
        except (Exception, asyncio.CancelledError) as error:
            reason = Unreachable(_failed(asks[0].key, error))
            answers = [WindowsAnswered(ask.watch, ask.ends, (reason,) * len(ask.queries)) for ask in asks]
        for first in range(0, len(answers), MOST_ANSWERS):
            self._post(ManyAnswered(tuple(answers[first : first + MOST_ANSWERS])))

    async def _check(self, effect: RunCheck) -> None:
        try:
            if (stored := effect.check.stored) is not None:
                answer, detail = await self._captures.verify(stored)
                answered = CheckAnswered(effect.key, answer, detail=detail)
            else:
                answered = await self._parts.checks.answer(effect)
        except (Exception, asyncio.CancelledError) as error:
            answered = CheckAnswered(effect.key, "cannot_tell", detail=_failed(effect.key, error))
        self._post(answered)

    async def _capture(self, effect: RunCapture) -> None:
        try:
            taken = await self._captures.take(effect)
        except (Exception, asyncio.CancelledError) as error:
            why = _failed(effect.key, error)
            taken = CaptureTaken(effect.capture, effect.item.name, False, detail=why)
        self._post(taken)

    async def _uncapture(self, effect: RemoveCapture) -> None:
        self._post(await self._captures.remove(effect.capture))

    async def _run_command(
        self, command: Command, plan_hash: str, env: dict[str, str], *, capture: bool
    ) -> CommandResult:
        return await self._runner.run_command(command, plan_hash, env, capture=capture)

    async def _query(self, expr: str) -> float:
        return await self._parts.source.check_query(expr)

    async def _page(self, effect: Page) -> None:
        self._post(await self._deliver(effect))

    async def _report(self, effect: WriteReport) -> None:
        self._post(await self._reports.write(effect))

    async def _say(self, page: Page) -> None:
        answered = await self._deliver(page)
        if not answered.accepted:
            log.error("halt page refused", receiver=page.receiver, detail=answered.detail)

    async def _deliver(self, effect: Page) -> PageAnswered:
        try:
            return await self._parts.receivers.deliver(self._addressed(effect))
        except (Exception, asyncio.CancelledError) as error:
            return PageAnswered(effect.page, effect.receiver, False, _failed(effect.key, error))


def _failed(key: str, error: BaseException) -> str:
    """What is answered in place of a part that raised: an effect never vanishes. Call it where `error`
    is handled; it raises the cancelling of our own task again."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error
    log.error("effect failed", effect=key, error=origin(error))
    return f"failed inside rollbackd: {type(error).__name__}"


class Parts:
    """What a configuration names of the outside world."""

    def __init__(
        self,
        instance: str,
        external_url: str | None,
        source: Source,
        receivers: Receivers,
        checks: Checks,
        receiver_names: tuple[str, ...],
    ) -> None:
        self.instance = instance
        self.external_url = external_url
        self.source = source
        self.receivers = receivers
        self.checks = checks
        self.receiver_names = receiver_names

    async def close(self) -> None:
        await self.checks.close()
        await self.source.close()
        await self.receivers.close()
