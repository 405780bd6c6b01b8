"""Stories that are audited while they are played: their tape, as a simulated world would write it."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.fakes.story import STATE, Story, World

from rollbackd.core import signals as s
from rollbackd.core.effects import Effect, RunStep
from rollbackd.core.engine import Advance
from rollbackd.core.events import Event
from rollbackd.core.model import Config, Ms
from rollbackd.driver import Work
from rollbackd.sim.audit import Auditor
from rollbackd.sim.tape import (
    Answer,
    Appended,
    Booted,
    Cancelled,
    Delivered,
    Died,
    Finished,
    Probed,
    Process,
    Record,
    Replied,
    Row,
    Spoke,
    Started,
    Told,
)

NAMES = {
    "Ask": "ask",
    "AskScrapes": "ask_scrapes",
    "RunStep": "run_step",
    "StopStep": "stop_step",
    "RunCheck": "run_check",
    "Page": "page",
    "KeepAlert": "keep_alert",
    "WriteReport": "write_report",
}


class Recorder:
    """Writes the tape, and shows every record to the auditor at once."""

    def __init__(self) -> None:
        self.auditor = Auditor()
        self.tape: list[Record] = []
        self.names: dict[str, str] = {}  # a check's key → its name
        self.steps: dict[tuple[str, int], str] = {}
        self.over: set[tuple[str, int]] = set()

    def write(self, record: Record) -> None:
        self.tape.append(record)
        self.auditor.see(record)

    def signal(self, signal: s.Signal, world: World, now: Ms) -> None:
        match signal:
            case s.WindowsAnswered() if any(ask.watch == signal.watch for _, ask in world.asked):
                self.write(_told(signal, world, now))
            case s.StepExited():
                self.exited(signal, now)
            case s.CheckAnswered():
                name = self.names.get(signal.check, "")
                self.write(Probed(now, signal.check, name, signal.answer, signal.status))
            case s.OperatorSpoke():
                fields = msgspec.to_builtins(signal.verb)
                verb = fields.pop("type")
                self.write(Spoke(now, signal.request, signal.actor, verb, fields))

    def exited(self, signal: s.StepExited, now: Ms) -> None:
        key = (signal.life, signal.execution)
        if key in self.over:
            return
        self.over.add(key)
        step = self.steps.get(key, "")
        match signal.outcome:
            case "refused":
                self.write(Process(now, *key, step, "refused"))
            case "in_doubt":
                self.write(Process(now, *key, step, "lost"))
            case "unstarted":
                pass
            case _ if signal.tree_gone:
                self.write(Process(now, *key, step, "ended", signal.status))

    def append(self, events: tuple[Event, ...], seq: int, actor: str, now: Ms) -> None:
        rows = []
        for number, event in enumerate(events, seq - len(events) + 1):
            document = msgspec.json.decode(msgspec.json.encode(event))
            rows.append(Row(number, event.kind(), getattr(event, "life", None), document))
        self.write(Appended(now, now, seq, actor, tuple(rows)))

    def start(self, effect: Effect, world: World, now: Ms) -> None:
        fields: dict[str, Any] = msgspec.to_builtins(effect)
        name = NAMES[type(effect).__name__]
        if name == "run_check":
            self.names[effect.key] = fields["check"]["name"]
        self.write(Started(now, now, effect.key, name, fields))
        if isinstance(effect, RunStep):
            key = (effect.life, effect.execution)
            self.steps[key] = effect.step


class Recorded(Story):
    """A story whose every turn is audited."""

    def __init__(self, config: Config, world: World | None = None, **settings: Any) -> None:
        self.recorder = Recorder()
        self.pid = 0
        self.died = False
        self.told = 0
        super().__init__(config, world, **settings)

    def turn(self, signal: s.Signal) -> Work:
        if isinstance(signal, s.DaemonStarted):
            if self.pid and not self.died:
                self.recorder.write(Died(self.now, "killed"))
            self.pid, self.died = self.pid + 1, False
            self.recorder.write(Booted(self.now, self.now, self.pid, "boot"))
        self.recorder.signal(signal, self.world, self.now)
        world, began = self.world, set(self.world.machine.began)
        start, cancel, recorder = world.start, world.cancel, self.recorder

        def started(effect: Effect, now: Ms) -> None:
            recorder.start(effect, world, now)
            start(effect, now)
            for key in [key for key in world.machine.began if key not in began]:
                began.add(key)
                if world.machine.ends[key][1].outcome not in ("refused", "unstarted"):
                    recorder.write(Process(now, *key, recorder.steps[key], "began"))

        def cancelled(effect: Effect) -> None:
            recorder.write(Cancelled(self.now, effect.key))
            cancel(effect)

        world.start, world.cancel = started, cancelled  # type: ignore[method-assign]
        try:
            work = super().turn(signal)
        finally:
            del world.start, world.cancel
        for at, page in world.taken[self.told :]:
            self.recorder.write(Delivered(at, page.page, page.receiver, page.status, page.dedup, page.kind))
        self.told = len(world.taken)
        if work.reply is not None:
            reply = work.reply
            self.recorder.write(Replied(self.now, reply.request, reply.accepted, reply.conflict, reply.text))
        return work

    def append(self, advance: Advance) -> None:
        super().append(advance)
        self.recorder.append(advance.events, self.journal.head().seq, advance.actor, self.now)

    def restart(self, **settings: Any) -> None:
        self.recorder.write(Died(self.now, "killed"))
        self.died = True
        super().restart(**settings)

    def finish(self) -> None:
        state, folded = STATE.encode(self.state), STATE.encode(self.mirror)
        self.recorder.write(Finished(self.now, self.now, state, folded))


def _told(signal: s.WindowsAnswered, world: World, now: Ms) -> Told:
    watch = next(ask for _, ask in reversed(world.asked) if ask.watch == signal.watch)
    answers = []
    for query, answer in zip(watch.queries, signal.answers, strict=True):
        match answer:
            case s.Series(windows):
                answers.append(Answer(query.role, windows))
            case s.Unreachable():
                answers.append(Answer(query.role, None, "unreachable"))
            case s.Unusable():
                answers.append(Answer(query.role, None, "unusable"))
    return Told(now, now, signal.watch, signal.ends, watch.interval, tuple(answers), signal.skew)
