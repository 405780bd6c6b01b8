"""A whole daemon without I/O: the real engine and driver, a journal in memory, a world by the clock.

`Story` keeps the driver's order (take, append, act), and after each turn checks what must always hold:
the journal's bytes rebuild the state (I12), nothing started without its durable intent (I2), nothing
started twice (I3), one running step a life (I4), no two lives on a service (I5), and progress at rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count, repeat
from typing import Any, TypeVar

import msgspec
from tests.fakes.made import START

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.effects import (
    Ask,
    AskScrapes,
    Effect,
    KeepAlert,
    Page,
    RemoveCapture,
    RunCapture,
    RunCheck,
    RunStep,
    StopStep,
    WriteReport,
)
from rollbackd.core.engine import Advance, Engine, Reply
from rollbackd.core.fold import apply
from rollbackd.core.model import Config, Ms, Trigger
from rollbackd.core.record import Stamp
from rollbackd.core.soft import Judged
from rollbackd.core.state import Life, State
from rollbackd.driver import Driver, Work
from rollbackd.journal.memory import MemoryJournal

Found = Mapping[str, str] | s.Unreachable | s.Unusable
Readings = Callable[[Ms], Found]
E = TypeVar("E", bound=e.Event)

STATE = msgspec.json.Encoder()

GLYPHS: Mapping[str, Found] = {
    "B": {"": "2"},
    ".": {"": "0"},
    "_": {},
    "N": {"": "NaN"},
    "I": {"": "+Inf"},
    "?": s.Unreachable("refused"),
    "U": s.Unusable("422"),
}


def all_well(_: Ms) -> Found:
    return {"": "0"}


def tape(glyphs: str, first: Ms, interval: Ms, after: str = ".", subject: str = "") -> Readings:
    """One reading a window; `first` is the end of the first window. Before it all is well."""

    def at(end: Ms) -> Found:
        index = (end - first) // interval
        glyph = "." if index < 0 else glyphs[index] if index < len(glyphs) else after
        found = GLYPHS[glyph]
        return {subject: found[""]} if isinstance(found, Mapping) and found else found

    return at


@dataclass
class Machine:
    """The host: executions that were started, and when and how each ends. It outlives the daemon."""

    began: dict[tuple[str, int], Ms] = field(default_factory=dict)
    ends: dict[tuple[str, int], tuple[Ms, s.StepExited]] = field(default_factory=dict)
    stopped: list[tuple[str, int]] = field(default_factory=list)
    named: list[tuple[str, int]] = field(default_factory=list)  # step, execution in order of start
    done: dict[str, Ms] = field(default_factory=dict)  # step → when it first took effect


class World:
    """Answers as a real one would, at moments of the virtual clock."""

    def __init__(self) -> None:
        self.readings: dict[str, Readings] = {}
        self.skew: Ms = 0
        self.latency: Ms = 5
        self.scrapes: Callable[[Ms], dict[str, s.Scrape] | None] = lambda _: {}
        self.probed: list[tuple[Ms, AskScrapes]] = []
        self.silent: list[tuple[Ms, Ms]] = []  # Prometheus answers nothing from, until
        self.steps: dict[str, list[dict[str, Any]]] = {}  # step → fields of each execution's exit
        self.checks: dict[str, list[dict[str, Any] | str]] = {}  # name → answers in turn, the last stays
        self.receivers: dict[str, Callable[[Ms], bool]] = {}
        self.machine = Machine()
        self.pages: list[tuple[Ms, Page]] = []
        self.taken: list[tuple[Ms, Page]] = []
        self.asked: list[tuple[Ms, Ask]] = []
        self.orders: list[tuple[Ms, RunStep]] = []
        self.captures: dict[str, list[dict[str, Any]]] = {}  # item → fields of each answer in turn
        self.captured: list[tuple[Ms, RunCapture]] = []
        self.removed: list[str] = []
        self.questions: list[tuple[Ms, RunCheck]] = []
        self.alerts: dict[str, Page] = {}
        self._posts: list[tuple[Ms, int, s.Signal, str]] = []
        self._order = count()
        self._checked: dict[str, int] = {}

    def post(self, at: Ms, signal: s.Signal, key: str = "") -> None:
        heappush(self._posts, (at, next(self._order), signal, key))

    def next_post(self) -> Ms | None:
        return self._posts[0][0] if self._posts else None

    def pop(self) -> s.Signal:
        return heappop(self._posts)[2]

    def forget_daemon(self) -> None:
        """What was on its way to a daemon that died is lost."""
        self._posts.clear()
        self.alerts.clear()

    def start(self, effect: Effect, now: Ms) -> None:
        match effect:
            case Ask():
                self._ask(effect, now)
            case AskScrapes():
                self.probed.append((now, effect))
                seen = s.ScrapesSeen(effect.group, effect.at, self.scrapes(effect.at))
                self.post(now + self.latency, seen)
            case RunStep():
                self._run(effect, now)
            case StopStep():
                self._stop(effect, now)
            case RunCheck():
                self._check(effect, now)
            case RunCapture():
                self._capture(effect, now)
            case RemoveCapture():
                self.removed.append(effect.capture)
                self.post(now + 10, s.CaptureRemoved(effect.capture), effect.key)
            case Page():
                self._page(effect, now)
            case KeepAlert():
                self.alerts[effect.key] = effect.page
            case WriteReport():
                files = {f"{effect.life}.md": "5ea1ed"}
                self.post(now + 40, s.ReportWritten(effect.life, effect.number, files), effect.key)

    def cancel(self, effect: Effect) -> None:
        self._posts = [post for post in self._posts if post[3] != effect.key]
        self._posts.sort()
        self.alerts.pop(effect.key, None)

    # Prometheus

    def _ask(self, ask: Ask, now: Ms) -> None:
        self.asked.append((now, ask))
        at = max(now, ask.ends[-1] + ask.delay - self.skew) + self.latency
        answers: tuple[s.QueryAnswer, ...]
        if at - self.latency - now > ask.budget:
            answers = tuple(s.Unreachable("Prometheus' clock is behind") for _ in ask.queries)
            self.post(now + self.latency, s.WindowsAnswered(ask.watch, ask.ends, answers, self.skew))
            return
        if any(begin <= at < end for begin, end in self.silent):
            answers = tuple(s.Unreachable("refused") for _ in ask.queries)
            self.post(at, s.WindowsAnswered(ask.watch, ask.ends, answers))
            return
        answers = tuple(self._answer(query.expr, ask.ends) for query in ask.queries)
        self.post(at, s.WindowsAnswered(ask.watch, ask.ends, answers, self.skew))

    def _answer(self, expr: str, ends: tuple[Ms, ...]) -> s.QueryAnswer:
        windows: list[dict[str, str]] = []
        for end in ends:
            found = self.readings.get(expr, all_well)(end)
            if not isinstance(found, Mapping):
                return found
            windows.append(dict(found))
        return s.Series(tuple(windows))

    # Steps

    def _run(self, effect: RunStep, now: Ms) -> None:
        self.orders.append((now, effect))
        key = (effect.life, effect.execution)
        machine = self.machine
        if key not in machine.began:
            if effect.not_after is not None and now > effect.not_after:
                machine.ends[key] = (now, s.StepExited(*key, "refused"))
            else:
                self._spawn(effect, now)
        at, exited = machine.ends[key]
        if exited.outcome not in ("refused", "unstarted"):
            self.post(now + 1, s.StepBegan(*key), effect.key)
        self.post(max(at, now + 2), exited, effect.key)

    def _spawn(self, effect: RunStep, now: Ms) -> None:
        key = (effect.life, effect.execution)
        if key in self.machine.began:
            raise AssertionError(f"{key} starts twice (I3)")
        scripted = self.steps.get(effect.step, [])
        fields = dict(scripted.pop(0) if scripted else {})
        took = fields.pop("after", 1_000)
        fields.setdefault("outcome", "exited")
        if fields["outcome"] == "exited":
            fields.setdefault("status", 0)
        if fields["outcome"] != "unstarted":
            self.machine.began[key] = now
            self.machine.named.append((effect.step, effect.execution))
        self.machine.ends[key] = (now + took, s.StepExited(*key, **fields))
        if fields.get("status") == 0:
            self.machine.done.setdefault(effect.step, now + took)

    def _stop(self, effect: StopStep, now: Ms) -> None:
        key = (effect.life, effect.execution)
        self.machine.stopped.append(key)
        at, exited = self.machine.ends.get(key, (now, s.StepExited(*key, "stopped")))
        if at > now:
            exited = s.StepExited(*key, "stopped")
            self.machine.ends[key] = (now + 50, exited)
        self.cancel_posts(f"step/{effect.life}/{effect.execution}")
        self.post(now + 50, exited, f"step/{effect.life}/{effect.execution}")

    def cancel_posts(self, key: str) -> None:
        self._posts = sorted(post for post in self._posts if post[3] != key)

    def kill_wrappers(self, now: Ms) -> None:
        """The host lost every running step with its outcome: in doubt (X3)."""
        for key, (at, _) in list(self.machine.ends.items()):
            if at > now:
                self.machine.ends[key] = (now, s.StepExited(*key, "in_doubt", detail="no outcome was found"))

    # Checks, pages

    def _check(self, effect: RunCheck, now: Ms) -> None:
        self.questions.append((now, effect))
        name = effect.check.name
        answers = self.checks.get(name, ["pass"])
        turn = self._checked.get(name, 0)
        self._checked[name] = turn + 1
        answer = answers[min(turn, len(answers) - 1)]
        if isinstance(answer, str):
            answer = {"answer": answer, "status": {"pass": 0, "fail": 1}.get(answer)}
        fields = dict(answer)
        at = max(now, effect.not_before) + fields.pop("after", 20)
        self.post(at, s.CheckAnswered(effect.key, **fields), effect.key)

    def _capture(self, effect: RunCapture, now: Ms) -> None:
        self.captured.append((now, effect))
        scripted = self.captures.get(effect.item.name, [])
        fields: dict[str, Any] = {"ok": True, **(scripted.pop(0) if scripted else {})}
        at = now + fields.pop("after", 1_000)
        self.post(at, s.CaptureTaken(effect.capture, effect.item.name, **fields), effect.key)

    def _page(self, page: Page, now: Ms) -> None:
        self.pages.append((now, page))
        takes = self.receivers[page.receiver](now) if page.receiver in self.receivers else True
        if takes:
            self.taken.append((now, page))
        self.post(now + 30, s.PageAnswered(page.page, page.receiver, takes, "" if takes else "503"), page.key)


class Story:
    """A daemon on a virtual clock."""

    def __init__(
        self, config: Config, world: World | None = None, *, now: Ms = START, fresh: bool = False
    ) -> None:
        self.config = config
        self.world = world or World()
        self.now = now
        self.journal = MemoryJournal()
        self.mirror = State()
        self.events: list[e.Event] = []
        self.batches: list[int] = []
        self.judged: list[Judged] = []
        self.replies: list[Reply] = []
        self.driver = Driver(Engine())
        self.intents: set[tuple[str, int]] = set()
        self._requests = count(1)
        self.turn(s.DaemonStarted(config, fresh=fresh))

    # The loop

    def turn(self, signal: s.Signal) -> Work:
        """One signal, in the driver's order."""
        advance = self.driver.take(signal, self.now)
        if advance.events:
            self.append(advance)
        self.judged += advance.judged
        work = self.driver.committed(self.now)
        self.check()
        for effect in work.cancel:
            self.world.cancel(effect)
        for effect in work.start:
            if isinstance(effect, RunStep) and (effect.life, effect.execution) not in self.intents:
                raise AssertionError(f"{effect.key} has no durable intent (I2)")
            self.world.start(effect, self.now)
        if advance.reply is not None:
            self.replies.append(advance.reply)
        return work

    def append(self, advance: Advance) -> None:
        self.journal.append(advance.events, self._stamp(advance.actor))
        self._remember(advance.events)

    def _stamp(self, actor: str) -> Stamp:
        return Stamp(self.now, self.now, self.now - START, "boot", 0, actor)

    def _remember(self, events: tuple[e.Event, ...]) -> None:
        self.batches.append(len(events))
        head = self.journal.head().seq
        for row in self.journal.replay(head - len(events), verify=False):
            assert row.event is not None
            self.events.append(row.event)
            self.mirror = apply(self.mirror, row.event)
            if isinstance(row.event, e.StepOrdered):
                self.intents.add((row.event.life, row.event.execution))

    def check(self) -> None:
        state = self.state
        if STATE.encode(state) != STATE.encode(self.mirror):
            raise AssertionError("the journal does not rebuild the state (I12)")
        held = [
            service for life in state.lives.values() if life.holds_services for service in life.plan.services
        ]
        if len(held) != len(set(held)):
            raise AssertionError(f"two lives on one service (I5): {held}")
        running = [x for x in self.driver.under_way.values() if isinstance(x, RunStep)]
        if len({(step.life, step.env["ROLLBACK_REGION"]) for step in running}) != len(running):
            raise AssertionError("two running steps in one region of a life (I4)")
        wake = self.driver.engine.wake_at()
        soft = self.driver.engine.soft
        due = soft.next_due()
        at_once = soft.undecided or (due is not None and due <= self.now)
        if wake is not None and wake <= self.now and not at_once:
            raise AssertionError(f"wakes at {wake}, which is not after {self.now}")

    def run(self, until: Ms | None = None, *, span: Ms | None = None, turns: int = 20_000) -> None:
        """Let time pass until `until` (or `span` from now)."""
        end = until if until is not None else self.now + (span or 0)
        for _ in repeat(None, turns):
            at, signal = self._next()
            if at is None or at > end:
                self.now = end
                return
            self.now = max(self.now, at)
            self.turn(self.world.pop() if signal else s.Ticked())
        raise AssertionError(f"still busy at {self.now} after {turns} turns")

    def _next(self) -> tuple[Ms | None, bool]:
        post = self.world.next_post()
        wake = self.driver.engine.wake_at()
        if post is not None and (wake is None or post <= wake):
            return post, True
        return wake, False

    def run_to(self, condition: Callable[[], bool], *, within: Ms = 3_600_000) -> None:
        """Turn by turn until something is so."""
        end = self.now + within
        while not condition():
            at, signal = self._next()
            if at is None or at > end:
                raise AssertionError(f"it never became so; lives: {self.states()}")
            self.now = max(self.now, at)
            self.turn(self.world.pop() if signal else s.Ticked())

    def run_to_state(self, life: str, state: str, *, within: Ms = 3_600_000) -> None:
        self.run_to(lambda: self.state_of(life) == state, within=within)

    # People, crashes

    def say(self, verb: s.Verb, actor: str = "ann") -> Reply:
        self.turn(s.OperatorSpoke(next(self._requests), verb, actor, "test"))
        return self.replies[-1]

    def restart(self, *, down: Ms = 0, lost: bool = False, unusable: str = "") -> None:
        """Drop the daemon, fold the journal's bytes, and start another. `lost`: running steps are in
        doubt; `unusable`: why the configuration cannot be used (J2)."""
        self.world.forget_daemon()
        if lost:
            self.world.kill_wrappers(self.now)
        self.now += down
        self.journal = MemoryJournal.load(self.journal.dump())
        state = State()
        for row in self.journal.replay():
            assert row.event is not None
            state = apply(state, row.event)
        self.driver = Driver(Engine(state))
        self.turn(s.DaemonStarted(None if unusable else self.config, problem=unusable, absent=down))

    # Looking

    @property
    def state(self) -> State:
        return self.driver.engine.state

    def life(self, name: str) -> Life:
        return self.state.lives[name]

    def state_of(self, name: str) -> str:
        """As people see it; an ended life that left the state by its last event."""
        if name in self.state.lives:
            return self.state.lives[name].shown()
        ends = [x.end for x in self.of(e.LifeEnded) if x.life == name]
        return ends[-1] if ends else "none"

    def states(self) -> dict[str, str]:
        opened = [event.life for event in self.of(e.LifeOpened)]
        return {life: self.state_of(life) for life in opened}

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def ran(self) -> list[str]:
        """The steps that were started, in order."""
        return [step for step, _ in self.world.machine.named]

    def tape(self, trigger: Trigger, glyphs: str, after: str = ".", windows: int = 1) -> None:
        """Feed this trigger from its next window but `windows - 1` on."""
        first = (self.now - trigger.align) // trigger.interval * trigger.interval + trigger.align
        first += windows * trigger.interval
        self.world.readings[trigger.condition.expr] = tape(glyphs, first, trigger.interval, after)

    def titles(self) -> list[str]:
        return [page.title for _, page in self.world.pages if page.kind == "page" and page.status == "firing"]

    def lowered(self, life: str) -> list[str]:
        """Why this life's action was lowered, as the last event said."""
        found: list[str] = []
        for event in self.events:
            if isinstance(event, e.LifeOpened | e.ActionChanged | e.RollbackBegan) and event.life == life:
                found = [lowering.reason for lowering in event.lowered]
        return found
