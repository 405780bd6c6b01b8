"""A daemon without a world: a real engine and a journal in memory, told what happens by a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rollbackd.core import signals as s
from rollbackd.core.effects import Ask
from rollbackd.core.engine import Advance, Engine, Reply
from rollbackd.core.model import (
    Command,
    Condition,
    Config,
    Limit,
    Ms,
    Phase,
    Plan,
    Rung,
    Step,
    Trigger,
    subject_key,
)
from rollbackd.core.record import Fact, Head, Recorded, Stamp
from rollbackd.core.soft import Soft
from rollbackd.core.state import State
from rollbackd.journal.memory import MemoryJournal
from rollbackd.metrics import Metrics
from rollbackd.report.scorecard import KINDS, Scorecard, Tally
from rollbackd.web import ReloadRefused, Web

MINUTE: Ms = 60_000
START: Ms = 1_765_310_400_000  # 2025-12-09 20:00:00 UTC
INTERVAL: Ms = 15_000


def command(name: str) -> Command:
    return Command((f"./{name}.sh",))


def plan(name: str = "api", **changes: Any) -> Plan:
    fields: dict[str, Any] = {
        "name": name,
        "hash": "c0ffee",
        "owner": "payments-oncall",
        "level": 3,
        "services": (name,),
        "summary": "API back to the previous version",
        "operation": "Deploy API v2.1",
        "phases": (
            Phase("stop-traffic", (Step("drain", command("drain")),), estimate=MINUTE),
            Phase("revert", (Step("revert", command("revert"), attempts=2),)),
            Phase("clean-up", (Step("tidy", command("tidy")),), after_verified=True),
        ),
        "verify_windows": 2,
        "settle": 0,
    }
    return Plan(**{**fields, **changes})


def trigger(name: str = "ApiErrorRatioHigh", **changes: Any) -> Trigger:
    fields: dict[str, Any] = {
        "name": name,
        "group": "api",
        "plan": "api",
        "category": "metric",
        "severity": "critical",
        "action": "auto",
        "condition": Condition('rate(errors{code=~"5..|429"}[1m])', Limit(">", 0.01)),
        "interval": INTERVAL,
        "windows": 2,
        "fingerprint": "f1",
        "per": ("cohort",),
        "arm": "always",
        "annotations": {"summary": "Too many errors"},
        "source": "triggers/api.yml:3",
    }
    return Trigger(**{**fields, **changes})


def config(**changes: Any) -> Config:
    fields: dict[str, Any] = {
        "hash": "h1",
        "instance": "test-1",
        "triggers": (trigger(),),
        "plans": (plan(),),
        "receivers": ("am", "hook"),
        "notify": ("hook",),
        "ladders": {"default": (Rung(0, ("am",)), Rung(5 * MINUTE, ("hook",)))},
    }
    return Config(**{**fields, **changes})


class Scene:
    """Implements `web.Daemon`. Time stands still until a test moves it."""

    def __init__(self, configuration: Config | None = None) -> None:
        self.engine = Engine()
        self.journal = MemoryJournal()
        self.metrics = Metrics(wall=lambda: self.now / 1000)
        self.web: Web | None = None
        self.now = START
        self.halted: str | None = None
        self.reasons: list[str] = []
        self.problems: list[str] = []
        self.build = {"version": "0.0-test"}
        self.spoken: list[tuple[s.Verb, str, str]] = []
        self._asks: list[Ask] = []
        self.take(s.DaemonStarted(configuration or config()))

    # The driver

    def take(self, signal: s.Signal) -> Advance:
        advance = self.engine.advance(signal, self.now)
        head: Head | None = None
        if advance.events:
            head = self.journal.append(advance.events, self._stamp(advance.actor))
        self.engine.commit()
        self._asks += [ask for ask in advance.asks if isinstance(ask, Ask)]
        self.metrics.committed(advance, self.engine.state, head, 1)
        if self.web is not None:
            self.web.committed(advance, head)
        return advance

    def _stamp(self, actor: str) -> Stamp:
        return Stamp(self.now, self.now, self.now - START, "boot", 0, actor)

    # The world

    def pass_time(self, ms: Ms) -> None:
        self.now += ms
        self.take(s.Ticked())

    def window(self, values: Mapping[str, str]) -> None:
        """The next window ends; its value for each subject (its labels' values, joined by `,`)."""
        self.now = (self.now // INTERVAL + 1) * INTERVAL + 200
        self.take(s.Ticked())
        series = {subject_key(tuple(name.split(","))): value for name, value in values.items()}
        while self._asks:
            ask = self._asks.pop(0)
            answer = s.Series(tuple(series for _ in ask.ends))
            self.take(s.WindowsAnswered(ask.watch, ask.ends, tuple(answer for _ in ask.queries), 0))

    def fire(self, value: str = "0.025", subject: str = "canary") -> str:
        """Two breaching windows; the id of the life they open."""
        known = dict(self.state.numbers)
        for _ in range(3):
            if self.state.numbers != known:
                break
            self.window({subject: value})
        (name,) = [plan for plan, number in self.state.numbers.items() if number != known.get(plan)]
        return f"{name}-{self.state.numbers[name]}"

    def run_step(self, life: str, **exit: Any) -> None:
        """The step at hand runs for two seconds and ends."""
        current = self.state.lives[life].current
        assert current is not None
        self.take(s.StepBegan(life, current.execution))
        self.now += 2_000
        self.take(s.StepExited(life, current.execution, **{"outcome": "exited", "status": 0, **exit}))

    def page(self, *, accepted: bool = True) -> None:
        """Every receiver answers what it is owed."""
        for page in list(self.state.pages.values()):
            for delivery in page.deliveries:
                if delivery.status == "owed":
                    self.take(s.PageAnswered(page.id, delivery.receiver, accepted, "" if accepted else "503"))

    def roll_back(self) -> str:
        """From breach to verified and cleaned up."""
        life = self.fire()
        self.run_step(life)
        self.run_step(life)
        self.window({"canary": "0.001"})
        self.window({"canary": "0.001"})
        self.window({"canary": "0.001"})
        self.run_step(life)
        return life

    # web.Daemon

    @property
    def state(self) -> State:
        return self.engine.state

    @property
    def soft(self) -> Soft:
        return self.engine.soft

    @property
    def instance(self) -> str:
        return "test-1"

    def config_text(self) -> str:
        return "instance: test-1\n"

    def ready(self) -> list[str]:
        return self.reasons

    async def speak(self, verb: s.Verb, actor: str, channel: str) -> Reply:
        if self.halted is not None:
            return Reply(0, False, f"the journal cannot be written: {self.halted}")
        self.spoken.append((verb, actor, channel))
        reply = self.take(s.OperatorSpoke(len(self.spoken), verb, actor, channel)).reply
        assert reply is not None
        return reply

    async def life(self, life: str) -> list[Recorded]:
        return self.journal.life(life)

    async def recent(self, kind: str, limit: int, before: int | None = None) -> list[Recorded]:
        return self.journal.recent(kind, limit, before)

    async def events(self, after: int, limit: int) -> list[Recorded]:
        return self.journal.events(after, limit)

    async def scorecard(self, days: int, service: str | None) -> Scorecard:
        tally = Tally()
        tally.fold(
            Fact(row.seq, row.steady, row.kind, row.life, row.body)
            for row in self.journal.rows()
            if row.kind in KINDS and row.life is not None and row.body is not None
        )
        return tally.scorecard(self.now, days, service)

    async def head(self) -> Head:
        return self.journal.head()

    async def reload(self, actor: str = "", channel: str = "") -> str:
        if self.problems:
            raise ReloadRefused(self.problems)
        return "h2"
