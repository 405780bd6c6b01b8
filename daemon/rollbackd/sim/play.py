"""One simulated life, from its scenario to its tape."""

from __future__ import annotations

import asyncio
from collections import deque
from traceback import format_exception
from typing import TYPE_CHECKING

import msgspec

from rollbackd.core import signals as s
from rollbackd.core.engine import Engine
from rollbackd.core.fold import apply
from rollbackd.core.record import JournalBroken, JournalFull
from rollbackd.core.state import State
from rollbackd.driver import Driver, Loop
from rollbackd.journal.memory import MemoryJournal
from rollbackd.sim import tape
from rollbackd.sim.chance import Chance
from rollbackd.sim.disk import Disk
from rollbackd.sim.files import SLOW, of
from rollbackd.sim.happenings import Ails, Dies, Fails, Reloads, Says
from rollbackd.sim.host import Clocks, DaemonClock, Host
from rollbackd.sim.loop import SimulatedLoop
from rollbackd.sim.people import verb_of
from rollbackd.sim.prometheus import Prometheus
from rollbackd.sim.service import Service
from rollbackd.sim.world import SimulatedWorld, Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollbackd.core.engine import Advance
    from rollbackd.core.model import Ms
    from rollbackd.core.record import Head
    from rollbackd.journal.chain import Row
    from rollbackd.sim.happenings import Crash, Happening, Scenario, When

BEGINNING: Ms = 1_700_000_000_000
RESTART: Ms = 2_000
"""systemd's RestartSec."""

QUIET: Ms = 30 * 60_000
"""After the faults: every life must have ended, or be paged, by then (I14)."""

LONG_QUIET: Ms = 26 * 60 * 60_000
"""Of lives that are looked at for a day (S4)."""

LOOK: Ms = 30_000

SNAPSHOT_EACH = 40
"""Rows between two snapshots."""

CHECKPOINT_EACH = 150
"""Rows between two checkpoints; one row in two behind one is let go."""

PRUNED_AT_ONCE = 20


class Defect(tape.Violation):
    """The daemon itself raised: no rule allows that."""

    def __init__(self, error: BaseException) -> None:
        super().__init__("defect", "".join(format_exception(error)[-6:]))


class Play:
    """Plays a scenario; every record of its tape goes to `see` as it happens."""

    def __init__(self, scenario: Scenario, see: Callable[[tape.Record], None]) -> None:
        self.scenario = scenario
        self._see = see
        chance = Chance("play", scenario.seed)
        self.loop = SimulatedLoop(chance, BEGINNING)
        self._clocks = Clocks(self.loop, scenario.drift)
        self._edition = 0
        self._broken_files = False
        self._config = of(scenario, 0)
        troubles: dict[str, Ms] = {}
        service = Service(self._config)
        prometheus = Prometheus(service, troubles, chance)
        host = Host(self.loop, self._clocks, chance, scenario.steps, self._record, service.step_done)
        self.disk = Disk(
            self.loop, chance, troubles, scenario.crashes, self._durable, self._power_cut, self._refused
        )
        self.around = Surroundings(
            self.loop, self._record, troubles, {}, service, prometheus, host, self.disk
        )
        self._awaited: dict[str, list[Happening]] = {}
        self._counted: dict[str, int] = {}
        self._world: SimulatedWorld | None = None
        self._driver: Loop | None = None
        self._clock: DaemonClock | None = None
        self._speaking: deque[asyncio.Task[None]] = deque(maxlen=100)
        self._calm = False
        self._over = False
        self._requests = 0
        self._snapshots = 0
        self._checkpoints = 0
        self._committed = 0  # the last row that the daemon acts by

    def play(self) -> None:
        """Raises the auditor's `Violation`, or `Defect`."""
        for happening in self.scenario.happenings:
            if isinstance(happening, Ails) and happening.when.at < 0:
                self.around.service.ails(happening, BEGINNING + happening.when.at)
            else:
                self._await(happening)
        self._boot(self.scenario.fresh)
        self.loop.at(BEGINNING + self.scenario.faults_until, self._faults_over)
        try:
            self.loop.run(self._done)
        finally:
            self.loop.kill()
            self.loop.close()

    def _done(self) -> bool:
        crashed = self.loop.crashed
        if crashed is not None:
            if isinstance(crashed, tape.Violation):
                raise crashed
            if not isinstance(crashed, JournalBroken):
                raise Defect(crashed) from crashed
            self._down("broken", RESTART)
        return self._over

    def _refused(self) -> None:
        self._record(tape.Refused(self.loop.now))

    def _record(self, record: tape.Record) -> None:
        self._see(record)

    # The daemon

    def _boot(self, fresh: bool = False) -> None:
        journal = self.disk.open()
        last = journal.last_stamp()
        clock = self._clock = DaemonClock(self._clocks, last)
        steady = clock.now()
        self._record(tape.Booted(self.loop.now, steady, self.disk.pid, self._clocks.boot_id))
        state, self._committed = restored(journal), journal.head().seq
        engine = Engine(state)

        def make(driver: Loop) -> SimulatedWorld:
            self._world = SimulatedWorld(self.around, driver, clock)
            return self._world

        asyncio._set_running_loop(self.loop)
        self._driver = Loop(Driver(engine), journal, self.disk, make, clock, self)  # type: ignore[arg-type]
        self._driver.post(
            s.DaemonStarted(
                config=None if self._broken_files else self._config,
                problem="rollbackd.yml:1:1: it cannot be used" if self._broken_files else "",
                absent=max(0, steady - last.steady) if last is not None else 0,
                fresh=fresh and last is None,
            )
        )
        self.loop.begin(self._driver.run())

    def _down(self, why: str, down: Ms) -> None:
        """The process is gone; another is started after `down`."""
        if self._world is None:
            return
        self._world.gone = True
        self._world = self._driver = None
        self.disk.power_off(machine=why == "rebooted")
        self.disk.pid += 1  # what it was writing is lost
        self.around.host.forget_daemon()
        self.loop.kill()
        self._record(tape.Died(self.loop.now, why))  # type: ignore[arg-type]
        self.loop.at(self.loop.now + down, self._boot)

    def _power_cut(self, crash: Crash) -> None:
        if crash.machine:
            self._reboot(self.scenario.rebooted_for)
        else:
            self._down("killed", RESTART)

    def _reboot(self, down: Ms) -> None:
        self.around.host.reboot()
        self._clocks.boot()
        self._down("rebooted", down)

    # driver.Observer

    def committed(self, advance: Advance, state: State, head: Head | None, took: Ms) -> None:
        """Keep a snapshot now and then, as the daemon does."""
        if head is not None:
            self._committed = head.seq
        if head is not None and head.seq // SNAPSHOT_EACH > self._snapshots:
            self._snapshots = head.seq // SNAPSHOT_EACH
            try:
                self.disk.journal.save_snapshot(head, msgspec.msgpack.encode(state))
            except JournalFull:
                self._snapshots -= 1  # the old one stands
        if head is not None:
            self._retain(head, state)

    def _retain(self, head: Head, state: State) -> None:
        """Prune behind the newest checkpoint, a few rows after each batch; and ask for the next (J4)."""
        journal, driver = self.disk.journal, self._driver
        if not journal.faults.full and not journal.faults.broken:
            journal.prune(PRUNED_AT_ONCE)
        if driver is None or head.seq // CHECKPOINT_EACH <= self._checkpoints:
            return
        self._checkpoints = head.seq // CHECKPOINT_EACH
        upto = head.seq // 2
        straddling = {row.life for row in journal.rows(upto) if row.life is not None}
        driver.post(s.CheckpointDue(upto, tuple(sorted({*straddling, *state.lives}))))

    # What happens

    def _await(self, happening: Happening) -> None:
        when = happening.when
        if when.on:
            self._awaited.setdefault(when.on, []).append(happening)
        else:
            self.loop.at(BEGINNING + when.at, self._happens, happening, None)

    def _durable(self, rows: tuple[tape.Row, ...], first: Row) -> None:
        steady = first.steady
        self._record(tape.Appended(self.loop.now, steady, first.batch, first.actor, rows))
        if self._calm:
            return
        for row in rows:
            nth = self._counted[row.kind] = self._counted.get(row.kind, 0) + 1
            for happening in self._awaited.get(row.kind, ()):
                if happening.when.nth == nth:
                    moment = self._moment(happening.when, row, steady)
                    self.loop.at(moment, self._happens, happening, row.life)

    def _moment(self, when: When, row: tape.Row, steady: Ms) -> Ms:
        until = row.document.get("until")
        base = self.loop.now
        if when.until and isinstance(until, int):
            base += until - steady
        return base + when.after

    def _happens(self, happening: Happening, life: str | None) -> None:
        if self._calm:
            return
        now = self.loop.now
        match happening:
            case Ails():
                self._record(tape.Fault(now, happening.how, True))
                self.around.service.ails(happening, now)
            case Fails():
                self._fails(happening)
            case Dies(down=down, machine=machine):
                self._record(tape.Fault(now, "reboot" if machine else "sigkill", True))
                if happening.wrappers and not machine:
                    self.around.host.kill_wrappers()
                if machine:
                    self._reboot(down)
                else:
                    self._down("killed", down)
            case Says():
                for _ in range(1 + happening.twice):
                    self._says(happening, life)
            case Reloads(edition=edition, times=times):
                self._record(tape.Fault(now, "reload" if edition >= 0 else "broken_files", True))
                for _ in range(times):
                    self._reload(edition)

    def _fails(self, fails: Fails) -> None:
        now, what = self.loop.now, fails.what
        self._record(tape.Fault(now, what, True))
        match what:
            case "wall_jumps":
                self._clocks.wall_offset += fails.amount
                return
            case "suspended":
                self.loop.suspend(now + fails.lasts)
            case "frozen":
                self.around.prometheus.freeze(now)
            case "late_scrapes":
                self.around.prometheus.delay(now, now + fails.lasts, fails.amount)
        self.around.troubles[what] = fails.amount
        self.around.aimed[what] = fails.of
        self.loop.at(now + max(fails.lasts, 1), self._mended, what)

    def _mended(self, what: str) -> None:
        if self.around.troubles.pop(what, None) is None:
            return
        self._record(tape.Fault(self.loop.now, what, False))
        if what == "frozen":
            self.around.prometheus.thaw(self.loop.now)

    def _says(self, says: Says, life: str | None) -> None:
        driver = self._driver
        if driver is None or driver.driver.engine.state.config is None:
            return
        verb = verb_of(says, life, driver.driver.engine.state)
        if verb is not None:
            self._requests += 1
            fields = msgspec.to_builtins(verb)
            self._record(tape.Spoke(self.loop.now, self._requests, says.who, fields.pop("type"), fields))
            self._speaking.append(self.loop.create_task(self._speak(driver, verb, says.who, self._requests)))

    async def _speak(self, driver: Loop, verb: s.Verb, who: str, request: int) -> None:
        reply = await driver.speak(verb, who, "sim")
        self._record(tape.Replied(self.loop.now, request, reply.accepted, reply.conflict, reply.text))

    def _reload(self, edition: int) -> None:
        self._broken_files = edition < 0
        if edition >= 0:
            self._edition = edition
            self._config = of(self.scenario, edition)
        if self._driver is None:
            return
        if edition < 0:
            problem = "triggers/all.yml:3:1: windows: expected a whole number"
            self._record(tape.Reloaded(self.loop.now, problem=problem))
            self._driver.post(s.ConfigurationRefused(problem))
        else:
            self._record(tape.Reloaded(self.loop.now, self._config.hash))
            self._driver.post(s.ConfigurationLoaded(self._config))

    # The end

    def _faults_over(self) -> None:
        for what in list(self.around.troubles):
            self._mended(what)
        self.around.service.all_over(self.loop.now)
        self._calm = True
        if self._broken_files:
            self._reload(self._edition)
        self._record(tape.FaultsOver(self.loop.now))
        quiet = LONG_QUIET if self.scenario.shape >= SLOW else QUIET
        self.loop.at(self.loop.now + LOOK, self._look, self.loop.now + quiet)

    def _look(self, until: Ms) -> None:
        """It is over once nothing is open any more, or when its time is up."""
        driver = self._driver
        long = self.scenario.shape >= SLOW or self.scenario.seed % 25 == 0
        open_still = driver is None or _busy(driver.driver.engine.state, long=long)
        if open_still and self.loop.now < until:
            self.loop.at(self.loop.now + LOOK, self._look, until)
            return
        if self._committed != self.disk.journal.head().seq:  # durable, and not taken yet
            self.loop.at(self.loop.now + 1, self._look, until)
            return
        if driver is None or self._clock is None:
            raise Defect(RuntimeError("no daemon runs, though the faults are over"))
        encoder = msgspec.json.Encoder()
        state = encoder.encode(driver.driver.engine.state)
        self._record(tape.Tampered(self.loop.now, *self.disk.tampered()))
        self.disk.power_off()
        alone = encoder.encode(folded(self.disk.open()))
        self._record(tape.Finished(self.loop.now, self._clock.now(), state, alone))
        self._over = True


def _busy(state: State, *, long: bool) -> bool:
    """Something is still to come by itself; `long`: an acknowledgement that lapses is something too, and so
    are the stages that follow success."""
    if long and any(matter.acked is not None for matter in state.matters.values()):
        return True
    if long and any(life.validating() for life in state.lives.values()):
        return True
    afterwards = state.owed_reports or any(life.measuring() for life in state.lives.values())
    return (
        bool(afterwards)
        or any(life.ended is None for life in state.lives.values())
        or any(delivery.status == "owed" for page in state.pages.values() for delivery in page.deliveries)
    )


def restored(journal: MemoryJournal) -> State:
    """As a starting daemon reads it back: the newest snapshot, and what came after (J3)."""
    snapshot, checkpoint = journal.snapshot(), journal.checkpoint()
    if snapshot is None or (checkpoint is not None and checkpoint.seq > snapshot.head.seq):
        return folded(journal)
    return _folded(journal, msgspec.msgpack.decode(snapshot.state, type=State), snapshot.head.seq)


def folded(journal: MemoryJournal) -> State:
    """The state that the journal's bytes alone give (I12), from the newest checkpoint on."""
    checkpoint = journal.checkpoint()
    return _folded(journal, State(), 0 if checkpoint is None else checkpoint.seq - 1)


def _folded(journal: MemoryJournal, state: State, after: int) -> State:
    for row in journal.replay(after):
        if row.event is None:
            raise Defect(RuntimeError(f"row {row.seq}, {row.kind}, cannot be read back"))
        state = apply(state, row.event)
    return state
