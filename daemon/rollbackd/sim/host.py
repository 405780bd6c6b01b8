"""The machine: its clocks, and the processes that outlive the daemon (rules T1, X3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import signals as s
from rollbackd.core.record import Stamp
from rollbackd.core.steady import Steady
from rollbackd.sim import tape

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollbackd.core.effects import RunStep, StopStep
    from rollbackd.core.model import Ms
    from rollbackd.sim.chance import Chance
    from rollbackd.sim.happenings import Goes, StepGoes
    from rollbackd.sim.loop import SimulatedLoop

GRACE: Ms = 300
"""From TERM to the end of a stopped step."""


class Clocks:
    """A boot's CLOCK_BOOTTIME, which drifts against true time, and a wall clock that jumps."""

    def __init__(self, loop: SimulatedLoop, drift: int) -> None:
        self._loop = loop
        self._drift = drift
        self.wall_offset: Ms = 0
        self.boot_number = 0
        self._booted_at: Ms = 0
        self.boot()

    def boot(self) -> None:
        self.boot_number += 1
        self._booted_at = self._loop.now - 1_000

    @property
    def boot_id(self) -> str:
        return f"boot-{self.boot_number}"

    def boottime(self) -> Ms:
        passed = self._loop.now - self._booted_at
        return passed + passed * self._drift // 1_000_000

    def wall(self) -> Ms:
        return self._loop.now + self.wall_offset


class DaemonClock:
    """One daemon process's reading of them: the `Clock` that the driver asks for."""

    def __init__(self, clocks: Clocks, last: Stamp | None) -> None:
        self._clocks = clocks
        self.steady = Steady.after(last, boot=clocks.boot_id, boottime=clocks.boottime(), wall=clocks.wall())

    def now(self) -> Ms:
        return self.steady.at(self._clocks.boottime())

    def stamp(self, *, epoch: int, actor: str) -> Stamp:
        clocks = self._clocks
        return Stamp(self.now(), clocks.wall(), clocks.boottime(), clocks.boot_id, epoch, actor)


class _Execution:
    """What the disk of the machine knows of one execution: its claim, and its exit once it has one."""

    __slots__ = ("boot", "effect", "ends", "exited", "goes", "running")

    def __init__(self, effect: RunStep, boot: int, goes: Goes | None) -> None:
        self.effect = effect
        self.boot = boot
        self.goes = goes
        self.running = True
        self.ends: Ms = 0
        self.exited: s.StepExited | None = None


Key = tuple[str, int]
Post = "Callable[[s.Signal], None]"


class Host:
    """Runs steps as the real runner does: each execution is claimed once, and found again."""

    def __init__(
        self,
        loop: SimulatedLoop,
        clocks: Clocks,
        chance: Chance,
        goes: tuple[StepGoes, ...],
        record: Callable[[tape.Record], None],
        took_effect: Callable[[str, str, str, Ms], None],
    ) -> None:
        self._loop = loop
        self._clocks = clocks
        self._chance = chance
        self._goes = goes
        self._record = record
        self._took_effect = took_effect
        self._executions: dict[Key, _Execution] = {}
        self._began = 0
        self._began_of: dict[str, int] = {}
        self._attached: dict[Key, Callable[[s.Signal], None]] = {}
        self.done: set[tuple[str, str]] = set()  # (life, step) that took effect

    # What the daemon asks

    def run(self, effect: RunStep, steady: Steady, post: Callable[[s.Signal], None]) -> None:
        """Make sure that it runs, once; say how it goes."""
        key = (effect.life, effect.execution)
        self._attached[key] = post
        known = self._executions.get(key)
        if known is None:
            self._loop.at(self._loop.now + 2, self._claim, effect, steady)
            return
        if known.running and known.boot != self._clocks.boot_number:
            self._lose(known)
        if known.exited is not None:
            self._loop.at(self._loop.now + 1, self._tell, key, known.exited)
        else:
            self._loop.at(self._loop.now + 1, self._tell, key, s.StepBegan(*key))

    def stop(self, effect: StopStep, post: Callable[[s.Signal], None]) -> None:
        key = (effect.life, effect.execution)
        known = self._executions.get(key)
        if known is None or known.exited is not None or not known.running:
            return
        self._attached[key] = post
        self._loop.at(self._loop.now + GRACE, self._end, key, s.StepExited(*key, "stopped"), False)

    def forget_daemon(self) -> None:
        self._attached.clear()

    # What happens to it

    def kill_wrappers(self) -> None:
        for known in self._executions.values():
            if known.running:
                self._lose(known)

    def reboot(self) -> None:
        """Every process is gone; what was not finished stays a claim of another boot."""
        for known in self._executions.values():
            if known.running:
                self._note(known, "lost")
                known.running = False
                known.exited = s.StepExited(*_key(known), "in_doubt", detail="the machine was rebooted")

    # Its own

    def _claim(self, effect: RunStep, steady: Steady) -> None:
        """The wrapper's first act; the helper that starts it may be gone by then."""
        key = (effect.life, effect.execution)
        if key in self._executions or key not in self._attached:
            return
        self._began += 1
        nth = self._began_of[effect.step] = self._began_of.get(effect.step, 0) + 1
        goes = next((g.how for g in self._goes if g.nth == (self._began if g.step == "*" else nth)), None)
        known = self._executions[key] = _Execution(effect, self._clocks.boot_number, goes)
        late = effect.not_after is not None and steady.at(self._clocks.boottime()) > effect.not_after
        if late or goes == "unstarted":
            known.running = False
            self._note(known, "refused")
            known.exited = s.StepExited(*key, "refused" if late else "unstarted", detail="it did not start")
            self._tell(key, known.exited)
            return
        self._note(known, "began")
        self._tell(key, s.StepBegan(*key))
        self._schedule(known)

    def _schedule(self, known: _Execution) -> None:
        key, now, timeout = _key(known), self._loop.now, known.effect.run.timeout
        took = self._chance.between(200, 6_000, "took", *key)
        exited = s.StepExited(*key, "exited", status=0, output="drained")
        done = True
        match known.goes:
            case "fails":
                exited, done = s.StepExited(*key, "exited", status=1, output="no"), False
            case "killed":
                exited, done = s.StepExited(*key, "exited", status=137), False
            case "unexpected":
                matched = known.effect.expect is None
                exited = s.StepExited(*key, "exited", status=0, output="busy", expect_matched=matched)
            case "slow":
                took = timeout - 500
            case "hangs" | "leaves_a_child":
                took, done = timeout, known.goes == "leaves_a_child"
                gone = known.goes == "hangs"
                exited = s.StepExited(*key, "timed_out", detail="no end in time", tree_gone=gone)
                if not known.effect.interruptible:
                    took, exited = 3 * timeout, s.StepExited(*key, "exited", status=0, output="drained")
            case "lost" | "done_then_lost":
                self._loop.at(now + took, self._lost_by_itself, known)
                return
        self._loop.at(now + took, self._end, key, exited, done)

    def _end(self, key: Key, exited: s.StepExited, done: bool) -> None:
        known = self._executions[key]
        if not known.running:
            return
        known.running = False
        known.exited = exited
        self._record(
            tape.Process(self._loop.now, *key, known.effect.step, "ended", status=exited.status, done=done)
        )
        if done:
            self._did(known)
        self._tell(key, exited)

    def _did(self, known: _Execution) -> None:
        self.done.add((known.effect.life, known.effect.step))
        effect = known.effect
        self._took_effect(effect.life, effect.env["ROLLBACK_SCOPE"], effect.step, self._loop.now)

    def _lost_by_itself(self, known: _Execution) -> None:
        if known.running:
            if known.goes == "done_then_lost":
                self._did(known)
            self._lose(known)

    def _lose(self, known: _Execution) -> None:
        self._note(known, "lost")
        known.running = False
        known.exited = s.StepExited(*_key(known), "in_doubt", detail="no outcome was found")
        self._tell(_key(known), known.exited)

    def _tell(self, key: Key, signal: s.Signal) -> None:
        post = self._attached.get(key)
        if post is not None:
            post(signal)

    def _note(self, known: _Execution, what: str) -> None:
        done = (known.effect.life, known.effect.step) in self.done
        self._record(tape.Process(self._loop.now, *_key(known), known.effect.step, what, done=done))  # type: ignore[arg-type]


def _key(known: _Execution) -> Key:
    return known.effect.life, known.effect.execution
