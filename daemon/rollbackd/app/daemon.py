"""The running daemon: its parts tied together, and what the web and signals ask of it."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

from rollbackd import __version__
from rollbackd.app import files, halt, lastgood, restore, retention, watchdog
from rollbackd.app.anchors import Anchors
from rollbackd.app.reports import Reports
from rollbackd.app.scoring import Scoring
from rollbackd.app.world import Parts, RealWorld
from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.engine import Engine
from rollbackd.core.record import JournalBroken
from rollbackd.driver import Driver, Loop
from rollbackd.folder import hash_folder
from rollbackd.journal.aging import Ages
from rollbackd.journal.reader import Reader
from rollbackd.metrics import Metrics
from rollbackd.web import ReloadRefused, Web, redacted, serve
from rollbackd.world.checks import Checks
from rollbackd.world.clock import Clock
from rollbackd.world.planstore import PlanFolderRefused, store_plan_folder
from rollbackd.world.prometheus import Source
from rollbackd.world.receivers import Receivers
from rollbackd.world.runner.steps import Runner
from rollbackd.world.runner.tree import delegated_cgroup
from rollbackd.world.systemd import Notifier

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from rollbackd.core.engine import Advance, Reply
    from rollbackd.core.model import Action, Config, Ms
    from rollbackd.core.record import Head, Recorded
    from rollbackd.core.soft import Soft
    from rollbackd.core.state import State
    from rollbackd.journal.statedir import StateDir
    from rollbackd.report.scorecard import Scorecard

    T = TypeVar("T")

log = structlog.get_logger()

SNAPSHOT_EVERY = 1_000
"""Rows after which the state is kept anew, so that a start folds few."""


VERIFIED_AT_ONCE = 10_000
"""Rows: a tenth of a second."""


class Daemon:
    """One daemon on one state directory. `run` returns when it was told to stop."""

    def __init__(
        self,
        path: Path,
        max_action: Action | None,
        loaded: files.Loaded | None,
        problem: str,
        settings: lastgood.WorldSettings,
        state_dir: StateDir,
        restored: restore.Restored,
    ) -> None:
        self._files = path
        self._max_action = max_action
        self._settings = settings
        self._state_dir = state_dir
        self._restored = restored
        self._journal = restored.journal
        self._disk = ThreadPoolExecutor(1, "journal")
        self._reader = Reader(state_dir.journal, origin=state_dir.uuid)
        last = self._journal.last_stamp()
        self.clock = Clock(last)
        self.metrics = Metrics()
        self.metrics.restored(restored.state)
        self._engine = Engine(restored.state)
        self._scoring = Scoring(self._reader, self.clock.now)
        self._snapshot_at = self._journal.head().seq
        self._stop = asyncio.Event()
        self.loading = asyncio.Lock()
        self._stored: set[str] = set()  # plans
        self._checkpointed = asyncio.Event()
        self._anchors = Anchors(state_dir.uuid, settings.audit, self.clock.wall, self.metrics.anchored)
        self._notifier = Notifier()
        self._ready = False
        self._web: Web | None = None
        absent = self.clock.now() - last.steady if last is not None else 0
        self._first = s.DaemonStarted(
            config=self._core(loaded) if loaded is not None else None,
            problem=problem,
            unreadable=", ".join(restored.unknown),
            absent=max(absent, 0),
            fresh=restored.fresh or state_dir.copied,
        )
        self._loop = Loop(Driver(self._engine), self._journal, self._disk, self._make_world, self.clock, self)

    def _make_world(self, loop: Loop) -> RealWorld:
        self._runner = Runner(self._state_dir.path, self.clock, loop.post, cgroup=delegated_cgroup())
        parts = self._parts(self._settings, self._first.config)
        reports = Reports(self._state_dir.reports, self, self.metrics.report_tried)
        self._world = RealWorld(loop.post, self.clock.now, self._state_dir, self._runner, reports, parts)
        return self._world

    def _parts(self, settings: lastgood.WorldSettings, core: Config | None) -> Parts:
        known = core or self._restored.state.config
        source = Source(settings.prometheus, self.clock.now, self.metrics)
        return Parts(
            known.instance if known is not None else "",
            settings.external_url,
            source,
            Receivers(settings.receivers, self.clock.now, self.clock.wall),
            Checks(self._runner.run_command, source.check_query, self.clock.now),
            tuple(receiver.name for receiver in settings.receivers),
        )

    def _core(self, loaded: files.Loaded) -> Config:
        """The configuration's core, under the ceiling that the command line set."""
        self._stored |= {plan.hash for plan in loaded.core.plans}
        if self._max_action is None:
            return loaded.core
        return replace(
            loaded.core,
            max_action=self._max_action,
            hash=f"{loaded.core.hash}+{self._max_action}",
        )

    # Running

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; steps go on without us. JournalBroken: the disk failed."""
        sys.setswitchinterval(YIELD_AFTER)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        await self._runner.open()
        sound = True
        try:
            await self._begin()
            await self._until_stopped()
        except JournalBroken as broken:
            sound = False
            if halt.due(self._state_dir, str(broken)):
                self._world.broken(str(broken))
                await self._world.drain(halt.PAGES_GET)
            raise
        finally:
            await self._end(sound)

    async def _begin(self) -> None:
        """The first turn, and then the API."""
        self.metrics.config_loaded(self._first.config is not None, self.clock.wall())
        self._loop.post(self._first)
        await self._loop.turn(self._loop.queue.get_nowait())
        settle()
        if self._state_dir.copied:
            self._state_dir.adopt()
        self._web = await serve(
            self,
            listen=self._settings.listen,
            socket=self._state_dir.sock,
            metrics=self.metrics,
            external_url=self._settings.external_url,
        )
        self._notifier.ready(f"watching {len(self._engine.soft.watches)} triggers")
        log.info(
            "started", version=__version__, rows=self._restored.rows, state_dir=str(self._state_dir.path)
        )

    async def _end(self, sound: bool) -> None:
        """Close what was opened. Of a record that is not `sound` nothing more is kept (fault 11)."""
        self._notifier.stopping()
        if self._web is not None:
            await self._web.close()
        await self._reader.close()
        await self._world.close()
        await self._anchors.close()
        if sound:
            await self._save_snapshot()
        self._disk.shutdown()
        self._journal.close()

    async def _until_stopped(self) -> None:
        """The loop and its companions; the first to fail ends all."""
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        companions = [
            asyncio.create_task(self._loop.run(), name="loop"),
            asyncio.create_task(watchdog.feed(self._loop, self._notifier), name="watchdog"),
            asyncio.create_task(self.metrics.sample_loop(), name="loop sampler"),
            asyncio.create_task(self._verify_record(), name="verify record"),
            asyncio.create_task(self._anchors.run(), name="anchors"),
            asyncio.create_task(self._scoring.keep_up(self.metrics), name="scorecard"),
            asyncio.create_task(retention.look_on(self, self._state_dir, asyncio.sleep), name="retention"),
        ]
        try:
            waiting = {stop, *companions}
            while not stop.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in (stop, *companions):
                task.cancel()
            await asyncio.gather(stop, *companions, return_exceptions=True)

    async def _verify_record(self) -> None:
        """J3: the whole chain, once after the start, on a thread of its own; in pieces, since a stop waits
        for the one under way."""
        from rollbackd.journal.audit import verify_file

        done, upto = 0, self._restored.rows
        while done < upto:
            piece = self._state_dir.journal, self._state_dir.uuid, done, min(done + VERIFIED_AT_ONCE, upto)
            result = await asyncio.to_thread(verify_file, *piece)
            if not result.ok:
                why = f"row {result.bad} of the journal does not verify: {result.why}"
                raise JournalBroken(f"{why}; keep {self._state_dir.journal} aside and restore a backup")
            done = result.upto

    # driver.Observer

    def committed(self, advance: Advance, state: State, head: Head | None, took: Ms) -> None:
        self.metrics.committed(advance, state, head, took)
        if self._web is not None:
            self._web.committed(advance, head)
        for event in advance.events:
            log.info(event.kind(), **_brief(event), actor=advance.actor)
        if head is not None:
            self._world.recovered(head)
            self._anchors.seen(head)
            if any(isinstance(event, e.Checkpoint) for event in advance.events):
                self._checkpointed.set()
            if head.seq - self._snapshot_at >= SNAPSHOT_EVERY:
                self._snapshot_at = head.seq
                encoded = restore.encode(state)
                self._disk.submit(self._journal.save_snapshot, head, encoded)

    async def _save_snapshot(self) -> None:
        head = await self._on_disk(self._journal.head)
        if head.seq > self._snapshot_at:
            await self._on_disk(self._journal.save_snapshot, head, restore.encode(self._engine.state))

    async def _on_disk(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)

    # retention.Keeper

    def live(self) -> tuple[str, ...]:
        return tuple(self.state.lives)

    def keep(self) -> Ms:
        return self._settings.audit.keep

    def plans(self) -> set[str]:
        running = (plan for life in self.state.lives.values() for plan in (life.plan, life.whole))
        known = self.state.config.plans if self.state.config is not None else ()
        return self._stored | {plan.hash for plan in (*running, *known) if plan is not None}

    def old(self, keep: Ms) -> Ages:
        return Ages(self.clock.now() - keep, self.clock.wall() - keep)

    async def checkpoint(self, due: s.CheckpointDue) -> None:
        self._checkpointed.clear()
        self._loop.post(due)
        await self._checkpointed.wait()

    async def prune(self, limit: int) -> bool:
        return await self._on_disk(self._journal.prune, limit)

    # web.Daemon

    @property
    def state(self) -> State:
        return self._engine.state

    @property
    def soft(self) -> Soft:
        return self._engine.soft

    @property
    def instance(self) -> str:
        known = self._engine.state.config
        return known.instance if known is not None else ""

    @property
    def halted(self) -> str | None:
        return self._loop.halted

    @property
    def build(self) -> dict[str, str]:
        return {"version": __version__}

    def now(self) -> Ms:
        return self.clock.now()

    def config_text(self) -> str:
        """What is in force, as JSON; what may be a secret is left out. Any thread may ask."""
        return redacted(self._engine.state.config)

    async def speak(self, verb: s.Verb, actor: str, channel: str) -> Reply:
        return await self._loop.speak(verb, actor, channel)

    async def head(self) -> Head:
        return await self._reader.head()

    async def life(self, life: str) -> list[Recorded]:
        return await self._reader.life(life)

    async def recent(self, kind: str, limit: int, before: int | None = None) -> list[Recorded]:
        return await self._reader.recent(kind, limit, before)

    async def events(self, after: int, limit: int) -> list[Recorded]:
        return await self._reader.events(after, limit)

    async def scorecard(self, days: int, service: str | None) -> Scorecard:
        return await self._scoring.scorecard(days, service)

    def ready(self) -> list[str]:
        """Why not: configuration, recovery, one full evaluation."""
        if self._ready:
            return [] if self.halted is None else [f"halted: {self.halted}"]
        reasons = []
        if self.state.finish_only is not None:
            reasons.append(f"configuration: {self.state.finish_only}")
        waiting = [watch.key.split("@")[0] for watch in self.soft.watches.values() if not watch.judged_at]
        if waiting:
            reasons.append(f"not judged yet: {', '.join(waiting[:5])} of {len(waiting)} triggers")
        self._ready = not reasons
        return reasons

    async def reload(self, actor: str = "", channel: str = "") -> str:
        """Load the files again; on any problem nothing changes (I15). Raises ReloadRefused."""
        async with self.loading:
            self._notifier.reloading(time.monotonic_ns() // 1000)
            try:
                return await self._load_again(actor, channel)
            finally:
                self._notifier.ready()

    async def _load_again(self, actor: str, channel: str) -> str:
        try:
            loaded, state_dir = await asyncio.to_thread(files.read, self._files)
            if state_dir.resolve() != self._state_dir.path.resolve():
                raise ReloadRefused(["state_dir: cannot change while running; restart instead"])
            await asyncio.to_thread(store_plans, loaded, self._state_dir.path)
            await asyncio.to_thread(lastgood.save, self._state_dir.path, loaded.settings)
        except files.FilesRefused as refused:
            return self._refuse(list(refused.problems), actor, channel)
        except (PlanFolderRefused, OSError) as error:
            return self._refuse([str(error)], actor, channel)
        core = self._core(loaded)
        if loaded.settings != self._settings:
            await self._world.renew(self._parts(loaded.settings, core))
            await self._anchors.renew(loaded.settings.audit)
            self._settings = loaded.settings
        self._loop.post(s.ConfigurationLoaded(core, actor, channel))
        self.metrics.config_loaded(True, self.clock.wall())
        log.info("configuration loaded", hash=core.hash)
        return core.hash

    def _refuse(self, problems: list[str], actor: str, channel: str) -> str:
        self.metrics.config_loaded(False, self.clock.wall())
        log.error("configuration refused", problems=problems[:20])
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        self._loop.post(s.ConfigurationRefused(problems[0] + more, actor, channel))
        raise ReloadRefused(problems)

    def _on_hangup(self) -> None:
        """SIGHUP; a storm of them is one reload after the one under way (fault 64)."""
        if self._hangup is None or self._hangup.done():
            self._hangup = asyncio.create_task(self._reload_quietly(), name="reload")
        else:
            self._hangup_again = True

    _hangup: asyncio.Task[None] | None = None
    _hangup_again = False

    async def _reload_quietly(self) -> None:
        while True:
            self._hangup_again = False
            try:
                await self.reload()
            except ReloadRefused:
                log.error("reload refused; the configuration in force stays")
            if not self._hangup_again:
                return


YIELD_AFTER = 0.0005
"""s: how long a thread that has the interpreter may keep it while another waits. What acts does its disk's
work on threads, a dozen calls that each wait for it once: at Python's 5 ms a window of ten thousand triggers
would hold an act up by as many times that."""


def settle() -> None:
    """What a configuration brings lives for long: the garbage collector need not look through it again
    and again, which holds up the loop for tens of milliseconds where there are ten thousand triggers."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(
        20_000, 20, 20
    )  # a window of ten thousand triggers makes as many objects, and drops them


def store_plans(loaded: files.Loaded, state_dir: Path) -> None:
    """Copy every plan's folder to where it runs from (X2)."""
    for plan in loaded.core.plans:
        store_plan_folder(Path(loaded.plan_folders[plan.name]), state_dir, plan.hash, hash_of=hash_folder)


_BRIEF = (
    "life",
    "trigger",
    "subject",
    "step",
    "execution",
    "action",
    "end",
    "detail",
    "matter",
    "page",
    "receiver",
    "rollout",
    "capture",
    "item",
    "reason",
    "result",
    "outcome",
    "status",
)


def _brief(event: object) -> dict[str, object]:
    """The short fields of an event, for the log; whole documents are in the journal."""
    named = {name: getattr(event, name, None) for name in _BRIEF}
    return {name: value for name, value in named.items() if isinstance(value, str | int) and value != ""}
