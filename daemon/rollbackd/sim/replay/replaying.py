"""Drives the live engine over histories, at the moments at which it would have looked.

Steady time is Prometheus' own here. An answer comes `LAG` after it was asked for: whatever takes effect then
does so just after a window's end, as it does live, and never exactly at it.
"""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.effects import Ask
from rollbackd.core.engine import Engine
from rollbackd.core.fold import apply
from rollbackd.core.judging import window_queries
from rollbackd.core.model import Action, Config, Plan, lower
from rollbackd.core.soft import watch_key
from rollbackd.core.state import State
from rollbackd.sim.replay.account import Account
from rollbackd.sim.replay.outcome import Fire, Outcome
from rollbackd.sim.replay.passing import busy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rollbackd.core.history import History
    from rollbackd.core.model import Ms, Trigger
    from rollbackd.core.signals import QueryAnswer
    from rollbackd.core.state import Firing
    from rollbackd.core.turn import Turn
    from rollbackd.core.windows import Applied, Watch

LAG: Ms = 1

PROGRESS = 1_000
"""Windows between two words of progress."""


def replay(
    trigger: Trigger,
    stretches: Sequence[History],
    *,
    alignments: Sequence[e.AlignmentLearned] = (),
    max_action: Action = "auto",
    progress: Callable[[int], None] | None = None,
    leap: bool = True,
) -> Outcome:
    """What `trigger` would have done, alone, armed from the first window on and never acting.

    `stretches`: its answers, each on a grid of its own, in order and without overlap. `alignments`: what
    was journalled of its group, in order; each is in force for the stretches that begin at its `since` or
    later. `max_action`: the instance's ceiling (D2). `progress` is told of windows passed, now and then.
    `leap`: whether what changes nothing may be passed over; the outcome is the same.
    """
    asked = window_queries(trigger.condition)
    if not stretches or any(not stretch.ends for stretch in stretches):
        raise ValueError("a replay needs windows")
    if any(stretch.queries != asked for stretch in stretches):
        raise ValueError(f"these are not the answers to {trigger.name}'s queries")
    return _Replay(trigger, stretches, alignments, max_action, progress, leap).outcome()


class _Listening(Engine):
    """The engine, with an ear for each window it judges."""

    def __init__(self, state: State, hear: Callable[[Turn, Watch, Applied], None]) -> None:
        super().__init__(state)
        self._hear = hear

    def _judged(self, turn: Turn, watch: Watch, applied: Applied) -> None:
        super()._judged(turn, watch, applied)
        self._hear(turn, watch, applied)


class _Replay:
    def __init__(
        self,
        trigger: Trigger,
        stretches: Sequence[History],
        alignments: Sequence[e.AlignmentLearned],
        max_action: Action,
        progress: Callable[[int], None] | None,
        leap: bool,
    ) -> None:
        self._trigger = trigger
        self._shadow = _shadow(trigger)
        self._grid = _Grid(trigger, stretches)
        self._alignments = [
            known for known in alignments if trigger.auto_align and known.group == trigger.group
        ]
        self._progress = progress
        self._told = 0
        self._leap = leap
        self._begins = 0  # the number of the stretch's first window
        self._busy = b""  # which of its windows are to be judged
        self._answers: list[s.WindowsAnswered] = []
        self._fires: list[Fire] = []
        self._now = self._grid.first - trigger.interval
        self._account = Account(trigger, self._now)
        self._number = 0  # of the window that is to be judged next
        config = Config(
            hash="replay",
            instance="replay",
            triggers=(self._shadow,),
            plans=(_plan(trigger.plan),),
            max_action=max_action,
        )
        state = apply(State(), e.ConfigurationLoaded(at=self._now, config=config))
        for known in self._learned(self._now):
            state = apply(state, known)
        self._engine = _Listening(state, self._judged)
        self._turn(s.DaemonStarted(config))
        self._watch = self._engine.soft.watches[watch_key(self._shadow)]

    def outcome(self) -> Outcome:
        grid = self._grid
        for number, last in pairwise(grid.before):
            self._begin(number)
            self._run(last - 1)
        if self._progress is not None:
            self._progress(grid.windows)
        return Outcome(
            trigger=self._trigger,
            ends=(grid.first, grid.last),
            windows=grid.windows,
            subjects=self._account.subjects(grid.windows),
            fires=tuple(self._fires),
            hidden=tuple(self._account.hidden),
            peaks=self._account.peaks(),
            partial=self._account.partial,
        )

    # Stretches

    def _learned(self, begin: Ms) -> Iterator[e.AlignmentLearned]:
        """What was learned of where windows end, and is in force by then (W1); each once."""
        while self._alignments and self._alignments[0].since <= begin:
            yield self._alignments.pop(0)

    def _begin(self, number: int) -> None:
        first = self._grid.end(number)
        for known in self._learned(first - self._trigger.interval):
            if not self._watch.settled():
                self._watch.rewind()  # with these answers it could not have been learned then
            self._engine.state = apply(self._engine.state, known)
            self._engine.soft.follow(known, self._engine.state)
            self._engine.soft.alarm(self._watch, self._now)
        if (first - self._watch.align) % self._trigger.interval:
            raise ValueError(f"no window of {self._trigger.name} ends at {first}")
        if number and first != self._grid.end(number - 1) + self._trigger.interval:
            missing = first - self._grid.end(number - 1) >= 2 * self._trigger.interval
            self._account.split(first, number, missing=missing)
            self._number = max(self._number, number)
        if self._leap:
            self._begins = number
            self._busy = busy(self._shadow.condition, self._grid.stretch(number), self._watch.grace)

    def _run(self, last: int) -> None:
        """Until this window is judged, or the next stretch begins. What was never answered is judged with a
        later window."""
        following = self._grid.end(last + 1) if last + 1 < self._grid.windows else None
        while self._number <= last or (following is None and self._watch.partial is not None):
            if self._answers:
                self._now += LAG
                self._turn(self._answers.pop(0))
                continue
            if self._leap:
                self._ask_once()
                self._pass_over()
            wake = self._engine.wake_at()
            if wake is None:
                raise RuntimeError("nothing is waited for, and windows are left")
            if following is not None and wake >= following + self._trigger.delay:
                return
            self._now = max(self._now, wake)
            self._turn(s.Ticked())

    def _ask_once(self) -> None:
        """What a window was answered stays so: nothing comes of asking again before the next one, but for
        where windows are aligned (W1)."""
        watch = self._watch
        if watch.retry is not None and not watch.grace:
            watch.retry = None
            self._engine.soft.alarm(watch, watch.asked + watch.interval + self._trigger.delay)

    def _pass_over(self) -> None:
        """Where nothing is open and the next windows are quiet, go on at the first that is not, or at the
        stretch's last: what lies between changes nothing but clocks. Alarms go off as they would have."""
        watch, trigger = self._watch, self._trigger
        until = self._busy.find(1, max(self._number - self._begins, 0)) + self._begins
        if until <= self._number or not watch.well or not watch.at_rest() or self._account.counted.streaks:
            return
        disarmed = self._engine.state.disarmed.values()
        if any(entry.streak_ended is None for entry in disarmed):
            return  # which window ends it is seen when that is judged
        before, due = self._grid.end(until - 1), self._grid.end(until) + trigger.delay
        watch.pass_to(before, before + trigger.delay + LAG)
        self._engine.soft.alarm(watch, due)
        self._passed(until - 1)

    # Turns

    def _turn(self, signal: s.Signal) -> None:
        advance = self._engine.advance(signal, self._now)
        for event in advance.events:
            if isinstance(event, e.LifeOpened):
                self._fired(event, advance.events)
        self._engine.commit()
        for ask in advance.asks:
            if isinstance(ask, Ask):
                answers = self._grid.answers(ask)
                self._answers.append(s.WindowsAnswered(ask.watch, ask.ends, answers, 0))
        for judged in advance.judged:
            number = self._grid.number(judged.end)
            if number is not None and number >= self._number:  # else it has been heard of
                self._lose(number)
                self._account.quiet(self._watch, judged.end, self._now)
                self._passed(number)

    # What comes of them

    def _judged(self, turn: Turn, watch: Watch, applied: Applied) -> None:
        number = self._grid.number(applied.end)
        if number is not None:
            self._lose(number)
            self._account.judged(watch, applied, number, turn.now, turn.state.disarmed)
            self._passed(number)

    def _lose(self, number: int) -> None:
        """Whatever was not judged before this window never will be."""
        if number > self._number:
            self._account.lost(self._grid.end(self._number), self._number)
            self._number = number

    def _passed(self, number: int) -> None:
        self._number = max(self._number, number + 1)
        if self._progress is not None and self._number - self._told >= PROGRESS:
            self._told = self._number
            self._progress(self._number)

    def _fired(self, opened: e.LifeOpened, events: Sequence[e.Event]) -> None:
        firings = [found for found in opened.firings if self._grid.number(found.end) is not None]
        if not firings:
            return  # outside the histories
        lowered = opened.lowered
        for event in events:
            if isinstance(event, e.ActionChanged) and event.life == opened.life:
                lowered = event.lowered
        action = self._shadow.enforced
        for lowering in lowered:
            action = lower(action, lowering.to)
        ends: dict[Ms, list[Firing]] = {}  # one that was judged late may fire with those of the next
        for found in firings:
            self._account.fired(found.end, found.subject)
            ends.setdefault(found.end, []).append(found)
        for end, fired in sorted(ends.items()):
            self._fires.append(
                Fire(
                    end=end,
                    subjects=tuple(found.subject for found in fired),
                    values=tuple(found.value for found in fired),
                    action=action,
                    lowered=tuple(lowering.detail for lowering in lowered),
                )
            )


class _Grid:
    """The windows of all stretches, numbered, and what was answered for each."""

    def __init__(self, trigger: Trigger, stretches: Sequence[History]) -> None:
        self.stretches = stretches
        self._interval = trigger.interval
        self._nothing = tuple(s.Series(({},)) for _ in stretches[0].queries)
        self._firsts = [stretch.ends[0] for stretch in stretches]
        self.before = list(accumulate((len(stretch.ends) for stretch in stretches), initial=0))
        self.first, self.last = stretches[0].ends[0], stretches[-1].ends[-1]
        self.windows = self.before[-1]

    def number(self, end: Ms) -> int | None:
        """None: no window of a stretch ends then."""
        at = bisect(self._firsts, end) - 1
        if at < 0 or end not in self.stretches[at].ends:
            return None
        return self.before[at] + self.stretches[at].ends.index(end)

    def stretch(self, number: int) -> History:
        return self.stretches[bisect(self.before, number) - 1]

    def end(self, number: int) -> Ms:
        at = bisect(self.before, number) - 1
        return self.stretches[at].ends[number - self.before[at]]

    def answers(self, ask: Ask) -> tuple[QueryAnswer, ...]:
        """Of a window that is asked for at later moments too (W1): what is known of its end. Several windows
        fail together, as one range query does (W6)."""
        ends = ask.ends if ask.interval == self._interval else ask.ends[:1] * len(ask.ends)
        if len(ends) == 1:
            return self._at(ends[0])
        found = [self._at(end) for end in ends]
        failed = next((answers for answers in found if not isinstance(answers[0], s.Series)), None)
        if failed is not None:
            return failed
        return tuple(
            s.Series(tuple(each.windows[0] for each in answers if isinstance(each, s.Series)))
            for answers in zip(*found, strict=True)
        )

    def _at(self, end: Ms) -> tuple[QueryAnswer, ...]:
        """Nothing where there is no history: before it, after it, between stretches."""
        at = bisect(self._firsts, end) - 1
        if at < 0 or end not in self.stretches[at].ends:
            return self._nothing
        return self.stretches[at].answers(self.stretches[at].ends.index(end))


def _shadow(trigger: Trigger) -> Trigger:
    """It may always fire, and what it would have done then is kept beside it."""
    own = trigger.enforced if trigger.action == "shadow" else trigger.action
    return replace(trigger, action="shadow", enforced=own, arm="always", initial_delay=0, recovered=None)


def _plan(name: str) -> Plan:
    return Plan(name, "replay", "replay", 2, (name,), (), "stands for the trigger's own")
