"""What the daemon tells Prometheus about itself: `rollbackd_…`, never an ID as a label.

Counters count since the daemon started; durations come from the facts in the journal, so that they
survive a restart (S1).
"""

from __future__ import annotations

import asyncio
import platform
import time
from math import nan
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from rollbackd import __version__
from rollbackd.core import events as e
from rollbackd.core.state import AUTOMATIC
from rollbackd.metrics import families, lives
from rollbackd.metrics.states import StateCollector
from rollbackd.metrics.triggers import TriggerFamilies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rollbackd.core.engine import Advance
    from rollbackd.core.model import Config, Ms, Verdict
    from rollbackd.core.record import Head
    from rollbackd.core.soft import Judged, Soft
    from rollbackd.core.state import Matter, State

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SAMPLE_EVERY = 0.25
"""s: how often the loop's punctuality is measured."""


class Metrics:
    """The driver's observer and Prometheus' client in one; `exposition` is the page it scrapes."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._registry = CollectorRegistry()
        self._states = StateCollector()
        self._triggers = TriggerFamilies()
        self._of = families.Families(self._registry)
        self._registry.register(self._states)
        ProcessCollector(registry=self._registry)
        self._of.build.info({"version": __version__, "python": platform.python_version()})
        self._lives: dict[str, lives.Facts] = {}
        self._matters: dict[str, Matter] = {}
        self._config: Config | None = None
        self._seeded = False

    def restored(self, state: State) -> None:
        """The state as it was folded from the journal, before the first turn: lives that are open."""
        self._lives = {life.id: lives.of_life(life) for life in state.lives.values() if life.ended is None}
        self._matters = state.matters
        self._seeded = True

    # driver.Observer

    def committed(self, advance: Advance, state: State, head: Head | None, took: Ms) -> None:
        """One turn is over: its events are durable and folded into `state`."""
        if not self._seeded:
            self.restored(state)
        if state.config is not None and state.config is not self._config:
            self._configure(state.config)
        if head is not None:
            self._of.append.observe(took / 1000)
        for event in advance.events:
            self._of.events.labels(event.kind()).inc()
            self._follow(event, state)
        if advance.judged:
            self._judged(advance.judged)
        self._matters = state.matters

    def _configure(self, config: Config) -> None:
        self._config = config
        self._of.configure(config)
        self._triggers.configure(config.triggers)

    def _judged(self, windows: Sequence[Judged]) -> None:
        verdicts: dict[tuple[str, Verdict], int] = {}
        lags: dict[tuple[str, Ms], int] = {}
        for judged in windows:
            group, lag = judged.group, (judged.group, judged.lag)
            lags[lag] = lags.get(lag, 0) + 1
            for verdict, count in judged.counts.items():
                verdicts[group, verdict] = verdicts.get((group, verdict), 0) + count
        for (group, verdict), count in verdicts.items():
            self._of.windows.labels(group, verdict).inc(count)
        for (group, ms), times in lags.items():
            self._of.lag.observe(group, ms / 1000, times)
            self._of.evaluated.labels(group).set(self._wall())

    # Events

    def _follow(self, event: e.Event, state: State) -> None:
        match event:
            case e.LifeOpened():
                self._opened(event)
            case e.CheckAnswered() if (stage := _stage_of(event)) is not None:
                self._of.validation.labels(stage, event.answer).inc()
            case e.LifeEvent():
                self._of_life(event)
            case e.RungReached(repeat=False):
                self._of.escalations.labels(str(event.rung)).inc()
            case e.MatterAcked():
                matter = state.matters.get(event.matter) or self._matters.get(event.matter)
                if matter is not None:
                    self._of.ack.observe(max(event.at - matter.opened, 0) / 1000)
            case e.PageDelivered():
                self._of.pages.labels(event.receiver, "accepted").inc()
            case e.PageRefused():
                self._of.pages.labels(event.receiver, "refused").inc()
            case e.DaemonStarted():
                self.config_loaded(event.finish_only is None, int(self._wall() * 1000))

    def _opened(self, event: e.LifeOpened) -> None:
        self._lives[event.life] = lives.opened(event)
        trigger = event.triggers.get(event.trigger)
        if trigger is None or event.by != AUTOMATIC:
            return
        reason = next((low.reason for low in event.lowered if low.to == event.action), "")
        self._triggers.decided(trigger, event.action, reason)
        detect = lives.detection(event.firings, event.at)
        if detect is not None:
            self._of.detect.observe(detect / 1000)

    def _of_life(self, event: e.LifeEvent) -> None:
        facts = self._lives.get(event.life)
        if facts is None:
            return
        before = facts.action
        lives.follow(facts, event)
        plan = facts.plan
        match event:
            case e.ActionChanged() if event.action != before:
                trigger = self._config.trigger(facts.trigger) if self._config is not None else None
                reason = next((low.reason for low in event.lowered if low.to == event.action), "")
                if trigger is not None:
                    self._triggers.decided(trigger, event.action, reason)
            case e.RollbackBegan():
                self._of.decide.observe(max(event.decided - facts.opened, 0) / 1000)
            case e.StepEnded():
                self._of.attempts.labels(plan.name, event.step, lives.attempt_outcome(event)).inc()
            case e.StepSettled():
                took = lives.phase_duration(facts, event)
                if took is not None:
                    self._of.phase.labels(plan.name, event.phase).observe(took / 1000)
            case e.SlaBreached():
                self._of.sla_breaches.labels(plan.name, str(plan.level), event.region).inc()
            case e.LifeEnded():
                self._ended(facts, event)

    def _ended(self, facts: lives.Facts, event: e.LifeEnded) -> None:
        del self._lives[event.life]
        automatic = "true" if facts.automatic else "false"
        plan = facts.plan
        self._of.rollbacks.labels(plan.name, str(plan.level), event.end, automatic).inc()
        took = lives.duration(facts, event.at)
        if facts.began and took is not None:
            self._of.duration.labels(plan.name).observe(took / 1000)

    # What the parts around the driver report

    def request(self, result: str, seconds: float) -> None:
        """One request to Prometheus is over."""
        self._of.requests.labels(result).inc()
        self._of.request_seconds.observe(seconds)

    def report_tried(self, written: bool) -> None:
        self._of.reports.labels("written" if written else "failed").inc()

    def clock_skew(self, seconds: float) -> None:
        """Prometheus' clock minus steady UTC (T2)."""
        self._of.skew.set(seconds)

    def config_loaded(self, ok: bool, wall: Ms) -> None:
        """The files were read, at the start or on a reload; `wall` is when."""
        self._of.reload_ok.set(1 if ok else 0)
        if ok:
            self._of.reload_at.set(wall / 1000)

    def scored(self, days: int, shares: Mapping[str, float | None], rollbacks: int, incidents: int) -> None:
        """The scorecard of so many days. A share that is not known (None) is NaN."""
        for name, share in shares.items():
            self._of.score.labels(name, str(days)).set(nan if share is None else share)
        self._of.scored.labels(str(days)).set(rollbacks)
        self._of.incidents.labels(str(days)).set(incidents)

    def anchored(self, place: str, accepted: bool) -> None:
        """The journal's head was published there, or was refused (I13)."""
        self._of.anchors.labels(place, "accepted" if accepted else "refused").inc()
        if accepted:
            self._of.anchored_at.labels(place).set(self._wall())

    async def sample_loop(self) -> None:
        """For ever: how late the loop wakes is how long something blocked it."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + SAMPLE_EVERY
            await asyncio.sleep(SAMPLE_EVERY)
            self._of.block.observe(max(loop.time() - due, 0.0))

    # The page

    async def exposition(self, state: State, soft: Soft) -> bytes:
        """All families as text. The loop is held up for slices of about a millisecond only."""
        self._states.state = state
        triggers = await self._triggers.render(state, soft)
        others = await asyncio.to_thread(generate_latest, self._registry)
        return b"".join((others, *triggers))


def _stage_of(event: e.CheckAnswered) -> str | None:
    """The stage of the validation that asked; None where none did."""
    slot = event.check.split("/")
    return slot[3] if slot[2:3] == ["validate"] else None
