"""Soft state: the watches and what is waiting on them. Never journalled, rebuilt by asking."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from rollbackd.core import events as e
from rollbackd.core.alignment import Learner, alignment_of
from rollbackd.core.state import Seen
from rollbackd.core.windows import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.model import Condition, Ms, Trigger, Verdict
    from rollbackd.core.state import Alignment, Life, State
    from rollbackd.core.windows import Applied


class Judged(Struct, frozen=True, gc=False):
    """A window was judged: for the metrics and the live view."""

    trigger: str
    group: str
    end: Ms
    counts: dict[Verdict, int]
    lag: Ms  # from the window's end to its verdict


class Recovery:
    """How far one firing subject has recovered (S3)."""

    __slots__ = ("breached", "run", "seen", "settled")

    def __init__(self, settled: Ms) -> None:
        self.settled = settled  # windows that begin here or later count: Prometheus' time
        self.run = 0
        self.breached = False
        self.seen: list[Seen] = []


class Wanted(NamedTuple):
    """What a watch is to be: asked for back to `since` (steady), or `reach` windows, if that is more than
    its streak can reach."""

    trigger: Trigger
    condition: Condition
    since: Ms
    reach: int


def watch_key(trigger: Trigger, *, recovery: bool = False) -> str:
    return f"{trigger.name}@{trigger.fingerprint}{'/recovered' if recovery else ''}"


class Soft:
    """The watches by key, with the alarm clock of their polls."""

    def __init__(self) -> None:
        self.skew: Ms = 0
        self.watches: dict[str, Watch] = {}
        self.learners: dict[str, Learner] = {}
        self.candidates: dict[tuple[str, str], Ms] = {}  # (trigger, subject) → seen at
        self.undecided = False  # plans were left to the next turn
        self.recoveries: dict[tuple[str, str, str], Recovery] = {}  # (life, trigger, subject)
        self.reached: dict[str, Ms] = {}  # plan → end of the window that nearly satisfied it (D9)
        self.judged: list[Judged] = []
        self.unreachable_since: Ms | None = None
        self.unreachable_why = ""
        self.spoke_at: Ms = 0  # when its last long silence ended
        self.answered = False
        self._alarms: list[Ms] = []
        self._rings: dict[Ms, deque[str]] = {}  # alarm → whom it is for
        self._set: dict[str, Ms] = {}  # watch → the alarm last set, while it has not gone off
        self._by_name: dict[str, list[Watch]] = {}
        self._by_group: dict[str, list[Watch]] = {}
        self._pinned: list[tuple[str, bool]] = []
        self._configured: dict[str, Wanted] = {}
        self._of_lives: dict[str, Wanted] = {}
        self._involved: tuple[object, frozenset[str]] = (None, frozenset())

    def watch(self, trigger: Trigger, *, recovery: bool = False) -> Watch | None:
        return self.watches.get(watch_key(trigger, recovery=recovery and trigger.recovered is not None))

    def sync(self, state: State, now: Ms) -> None:
        """Have exactly the watches that the configuration and the open lives need."""
        self._configured = {}
        if state.config is not None and state.finish_only is None:
            for trigger in state.config.triggers:
                counting = state.counting.get(trigger.name)
                since = counting.since if counting is not None else now
                self._configured[watch_key(trigger)] = Wanted(trigger, trigger.condition, since, 0)
        self._of_lives = self._wanted_by_lives(state)
        wanted = self._configured | self._of_lives
        for key in [key for key in self.watches if key not in wanted]:
            del self.watches[key]
        for key, each in wanted.items():
            self._have(key, each, state, now)
        self._index()
        self._join_families(state)
        self._sync_recoveries(state)
        self._sync_learners(state, now)

    def sync_lives(self, state: State, now: Ms) -> None:
        """As `sync`, where only lives may have changed: looks at their triggers alone."""
        pinned = [(life.id, life.verification is None) for life in state.lives.values()]
        if pinned == self._pinned:
            return
        wanted = self._wanted_by_lives(state)
        known = ((self.watches.get(key), each) for key, each in wanted.items())
        if any(watch is not None and watch.trigger != each.trigger for watch, each in known):
            self.sync(state, now)  # of two definitions of one meaning the other counts now
            return
        for key in self._of_lives:
            if key not in wanted and key not in self._configured:
                self._leave(self.watches.pop(key))
        for key, each in wanted.items():
            known_before = key in self.watches
            watch = self._have(key, each, state, now)
            if not known_before:
                self._enter(watch)
        self._of_lives = wanted
        self._sync_recoveries(state)

    def _wanted_by_lives(self, state: State) -> dict[str, Wanted]:
        self._pinned = [(life.id, life.verification is None) for life in state.lives.values()]
        wanted: dict[str, Wanted] = {}
        for life in state.lives.values():
            for trigger in _pinned(life):
                reach = life.plan.verify_windows + 1
                key = watch_key(trigger)
                known = wanted.get(key) or self._configured.get(key)
                known = known or Wanted(trigger, trigger.condition, life.opened, 0)
                wanted[key] = known._replace(reach=max(known.reach, reach))
                if trigger.recovered is not None and life.verification is not None:
                    since = life.verification.settled
                    key = watch_key(trigger, recovery=True)
                    wanted[key] = Wanted(trigger, trigger.recovered, since, reach)
        return wanted

    def _have(self, key: str, wanted: Wanted, state: State, now: Ms) -> Watch:
        trigger = wanted.trigger
        alignment = alignment_of(state, trigger)
        watch = self.watches.get(key)
        if watch is None:
            watch = Watch(key, trigger, wanted.condition, wanted.since + self.skew, alignment)
            watch.usable_at = now
            self.watches[key] = watch
            self.alarm(watch, now)
        elif watch.alignment != alignment:  # its group has another name
            watch.alignment = alignment
            watch.rewind()
            self.alarm(watch, now)
        watch.trigger = trigger
        watch.reach = max(watch.reach, wanted.reach)
        return watch

    def _index(self) -> None:
        self._by_name, self._by_group = {}, {}
        for watch in self.watches.values():
            self._enter(watch)

    def _enter(self, watch: Watch) -> None:
        self._by_name.setdefault(watch.trigger.name, []).append(watch)
        if watch.trigger.auto_align:
            self._by_group.setdefault(watch.trigger.group, []).append(watch)

    def _leave(self, watch: Watch) -> None:
        self._by_name[watch.trigger.name].remove(watch)
        if watch.trigger.auto_align:
            self._by_group[watch.trigger.group].remove(watch)

    def _sync_learners(self, state: State, now: Ms) -> None:
        groups = state.config.groups if state.config is not None and state.finish_only is None else ()
        known, self.learners = self.learners, {}
        for group in groups:
            learner = known.get(f"scrapes/{group.name}")
            if learner is None or learner.group != group:
                alignment = state.alignments.get(group.name)
                learner = Learner(group, alignment, now + group.interval)
                self.alarm(learner, learner.due)
            self.learners[learner.key] = learner

    def _join_families(self, state: State) -> None:
        """A pinned definition, and the condition of a recovery, are asked by themselves."""
        config = state.config
        families = {name: family for family in config.families for name in family.members} if config else {}
        configured = {watch_key(trigger) for trigger in config.triggers} if config else set()
        for watch in self.watches.values():
            watch.family = families.get(watch.trigger.name) if watch.key in configured else None

    def _sync_recoveries(self, state: State) -> None:
        wanted: dict[tuple[str, str, str], Ms] = {}
        for life in state.lives.values():
            if life.verification is not None and life.ended is None and life.verified is None:
                for firing in life.firings:
                    settled = life.verification.settled
                    wanted[(life.id, firing.trigger, firing.subject)] = settled
        for key in [key for key in self.recoveries if key not in wanted]:
            del self.recoveries[key]
        for key, settled in wanted.items():
            if key not in self.recoveries:
                self.recoveries[key] = Recovery(settled + self.skew)

    def alarm(self, asker: Watch | Learner, due: Ms) -> None:
        asker.due = due
        if self._set.get(asker.key) != due:  # one window, one alarm: each is looked at when it goes off
            self._set[asker.key] = due
            if due not in self._rings:
                self._rings[due] = deque()
                heappush(self._alarms, due)
            self._rings[due].append(asker.key)

    def due(self, now: Ms) -> Iterator[Watch | Learner]:
        """Whose time to ask has come."""
        while self._alarms and (due := self._alarms[0]) <= now:
            asker = self._asker(self._take(due))
            if asker is not None and asker.due == due:
                yield asker

    def next_due(self) -> Ms | None:
        while self._alarms:
            due = self._alarms[0]
            asker = self._asker(self._rings[due][0])
            if asker is not None and asker.due == due:
                return due
            self._take(due)
        return None

    def _take(self, due: Ms) -> str:
        """The first whom the earliest alarm is for."""
        ring = self._rings[due]
        key = ring.popleft()
        if not ring:
            del self._rings[heappop(self._alarms)]
        if self._set.get(key) == due:
            del self._set[key]
        return key

    def involved(self, state: State) -> frozenset[str]:
        """The triggers of open lives and of disarmed subjects."""
        known_of, known = self._involved
        if known_of is not state:  # its mappings may be the same, and grown, within a turn
            names = {entry.trigger for entry in state.disarmed.values()}
            known = frozenset(names.union(*(life.triggers for life in state.lives.values())))
            self._involved = (state, known)
        return known

    def _asker(self, key: str) -> Watch | Learner | None:
        return self.watches.get(key) or self.learners.get(key)

    def recover(self, state: State, watch: Watch, applied: Applied) -> None:
        """Count this window for the lives that verify by this watch (S3)."""
        for (life_id, name, subject), recovery in self.recoveries.items():
            life = state.lives.get(life_id)
            if life is None or name != watch.trigger.name:
                continue
            if self.watch(life.triggers[name], recovery=True) is not watch:
                continue
            verdict = applied.verdicts.get(subject)
            if verdict is None:
                if subject in watch.verdicts or watch.partial is not None:
                    continue
                verdict = "no_data"
            if applied.end - watch.interval < recovery.settled:
                continue
            follows = not recovery.seen or applied.end - recovery.seen[-1].end <= watch.interval
            run = recovery.run if follows else 0
            recovery.run = run + 1 if verdict == "ok" else 0
            recovery.breached = recovery.breached or verdict == "breach"
            recovery.seen = [
                *recovery.seen[-31:],
                Seen(applied.end, verdict, applied.judgement.value(subject)),
            ]

    def follow(self, event: e.Event, state: State) -> None:
        """What events mean for the streaks: what was counted before no longer counts (W13)."""
        if isinstance(event, e.SubjectArmed):
            self._forget(event.trigger, event.subject)
        elif isinstance(event, e.LifeEnded):
            for entry in state.disarmed.values():
                if entry.life == event.life:
                    self._forget(entry.trigger, entry.subject)
        elif isinstance(event, e.TriggerCounted):
            for watch in self.named(event.trigger):
                watch.forget_streaks()
        elif isinstance(event, e.AlignmentLearned):
            self._realign(state.alignments[event.group], event.group)

    def _realign(self, alignment: Alignment, group: str) -> None:
        for watch in self.grouped(group):
            watch.realign(alignment)
        learner = self.learners.get(f"scrapes/{group}")
        if learner is not None:
            learner.follow(alignment)

    def _forget(self, trigger: str, subject: str) -> None:
        for watch in self.named(trigger):
            watch.streaks.pop(subject, None)

    def grouped(self, group: str) -> list[Watch]:
        """The watches whose alignment is learned with this group's."""
        return self._by_group.get(group, [])

    def named(self, trigger: str) -> list[Watch]:
        return self._by_name.get(trigger, [])

    def configured(self, trigger: str) -> Watch | None:
        """The watch of what the files say of it today."""
        return next((watch for watch in self.named(trigger) if watch.key in self._configured), None)


def _pinned(life: Life) -> list[Trigger]:
    """Triggers that an open life needs judged, though the files may not name them any more (S3)."""
    return [] if life.ended is not None and not life.holds_services else list(life.triggers.values())
