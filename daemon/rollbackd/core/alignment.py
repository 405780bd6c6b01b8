"""Learning when a group's targets are scraped, so that its windows can end just after (W1).

Prometheus scrapes each target at a phase of its own, which a restart keeps. Where all targets of a group
share one, windows that end there hold the newest samples there can be. What is learned is journalled and
in force from a window on; the observations it rests on are soft, and made anew after a restart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from rollbackd.core import events as e
from rollbackd.core.effects import AskScrapes
from rollbackd.core.state import Alignment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollbackd.core.model import Group, Ms, Trigger
    from rollbackd.core.signals import Scrape, ScrapesSeen
    from rollbackd.core.state import State
    from rollbackd.core.turn import Turn

NEEDED = 4
"""Successive observations that must agree."""

LOST = 10
"""After so many observations without a single phase, windows end at multiples of the interval again."""

SLACK: Ms = 5
"""Added to what was observed, since a sample can be asked for only after its commit, and scrapes begin a
little late at times. What is later still is looked for in the window's grace."""

LATE: Ms = 5
EARLY: Ms = 25
"""Drift: every observation wants the windows to end this much later or earlier."""

RARELY: Ms = 60_000
"""What is learned is looked at again no more often than this."""

POINTS = (0.0, 0.375, 0.75)
"""Where in the interval scrapes are looked at while nothing is known: one that comes and goes around one of
these points (it is there, it is not yet) does so at one only."""


EAGERLY = 2 * NEEDED * len(POINTS)
"""So many observations are made in successive windows before they become rare."""


class Observation(Struct, frozen=True):
    """The newest scrape of each target as of `at` (Prometheus' time)."""

    at: Ms
    scrapes: dict[str, Scrape]


class Phase(Struct, frozen=True):
    """What the scrapes of a group's targets have in common. `offset`: from the moments observed to where
    windows should end; `drift`: the least that any observation is off by, 0 if they differ in direction."""

    offset: Ms
    drift: Ms
    targets: int
    spread: Ms
    took: Ms


def settle(seen: Sequence[Observation], interval: Ms, spare: Ms = SLACK) -> Phase | None:
    """The single phase in these observations; None where there is none.

    They are whole intervals apart, so a target of one phase is as old in each: one that is dead, that is
    scraped less often, or at an interval that does not divide ours, is not.
    """
    targets = seen[0].scrapes.keys()
    if not targets or any(observation.scrapes.keys() != targets for observation in seen):
        return None
    starts = [scrape.at - one.at for one in seen for scrape in one.scrapes.values()]
    latest, spread = max(starts), max(starts) - min(starts)
    took = max(_median([one.scrapes[target].took for one in seen]) for target in targets)
    if latest > 0 or min(starts) <= -interval or spread > spread_allowed(interval):
        return None
    if spread + took + spare > interval // 2:
        return None
    wants = [max(s.at - one.at + s.took for s in one.scrapes.values()) + spare for one in seen]
    drift = min(wants) if min(wants) > 0 else min(max(wants), 0)
    return Phase(latest + took + spare, drift, len(targets), spread, took)


def spread_allowed(interval: Ms) -> Ms:
    """How far apart scrapes of one phase may begin, across targets and over time."""
    return max(25, interval // 50)


def slack(interval: Ms) -> Ms:
    """Longer where intervals are longer: what it costs is little then, and asking again is slower."""
    return max(SLACK, interval // 500)


def _median(values: list[Ms]) -> Ms:
    return sorted(values)[len(values) // 2]


class Learner:
    """The observations of one group, and when to make the next. Owned by the engine; mutable on purpose."""

    def __init__(self, group: Group, alignment: Alignment | None, due: Ms) -> None:
        self.key = f"scrapes/{group.name}"
        self.group = group
        self.due = due
        self.at: Ms = 0  # the moment last asked about
        self.seen: list[Observation] = []
        self.astray = 0  # observations in a row without a single phase
        self._point = 0
        self._odd = False
        self.follow(alignment)
        self._quick = NEEDED if self.learned else EAGERLY

    def follow(self, alignment: Alignment | None) -> None:
        """These are the windows from now on: begin anew."""
        self.align = alignment.align if alignment is not None else 0
        self.grace: Ms = alignment.grace if alignment is not None else 0
        self.learned = self.grace > 0
        self.astray = 0
        self._quick = 0  # so many more observations are made in successive windows
        self._look_at(0)

    def ask(self, now: Ms, skew: Ms) -> AskScrapes | None:
        """What to ask now, if anything; sets `due` (steady)."""
        interval, found = self.group.interval, None
        wait = interval // 2 + self.group.delay  # what was scraped by then is visible, or of no use
        every = self._pause()
        at = self._before(now + skew - wait)
        if at + every < self.at:
            self.at, self.seen = 0, []  # Prometheus' clock was ahead, and is right again
        if at >= self.at + every:
            self.at = at
            self._quick = max(self._quick - 1, 0)
            self._odd = not self._odd
            group = self.group
            found = AskScrapes(group.name, at, group.sampled, group.took, interval // 2)
        self.due = self.at + self._pause() + wait - skew
        return found

    def observe(self, observation: Observation) -> Phase | None:
        """Take one observation in; the phase that the last ones share, once there are enough."""
        if observation.at != self.at:
            return None  # asked before the windows changed
        self.seen = [*self.seen[1 - NEEDED :], observation]
        if len(self.seen) < NEEDED:
            return None
        phase = settle(self.seen, self.group.interval, slack(self.group.interval))
        self.astray = 0 if phase is not None else self.astray + 1
        if phase is None and not self.learned:
            self._look_at((self._point + 1) % len(POINTS))
        return phase

    def _pause(self) -> Ms:
        return self.group.interval if self._quick else rarely(self.group.interval, self._odd)

    def _look_at(self, point: int) -> None:
        self._point, self.seen = point, []
        self.at = self._before(self.at) if self.at else 0

    def _before(self, moment: Ms) -> Ms:
        interval = self.group.interval
        shift = self.align + int(POINTS[self._point] * interval)
        return (moment - shift) // interval * interval + shift


def rarely(interval: Ms, odd: bool) -> Ms:
    """Whole intervals, in turn one more: what is equally old after both is scraped at a time that divides
    the interval; after one of them only, another might be too."""
    return (-(-RARELY // interval) + odd) * interval


def alignment_of(state: State, trigger: Trigger) -> Alignment | None:
    """What was learned for the trigger's windows; None where the files say where they end."""
    known = state.alignments.get(trigger.group) if trigger.auto_align else None
    return known if known is not None and known.interval == trigger.interval else None


def scrapes_seen(turn: Turn, signal: ScrapesSeen) -> None:
    """One observation arrived: learn, follow a sustained drift, or give up what is no longer so."""
    learner = turn.soft.learners.get(f"scrapes/{signal.group}")
    if learner is None or signal.scrapes is None:
        return
    phase = learner.observe(Observation(signal.at, signal.scrapes))
    if phase is None:
        if learner.learned and learner.astray >= LOST:
            _take(turn, learner, Phase(-learner.at, 0, 0, 0, 0), "lost")
    elif not learner.learned:
        _take(turn, learner, phase, "learned")
    elif not -EARLY <= phase.drift <= LATE:
        _take(turn, learner, phase, "drifted")


def _take(turn: Turn, learner: Learner, phase: Phase, why: e.AlignmentReason) -> None:
    """Move the group's windows, if nothing is counting on them; else the next observation tries again."""
    group = learner.group
    since = _at_rest(turn, group)
    if since is None:
        return
    turn.emit(
        e.AlignmentLearned(
            at=turn.now,
            group=group.name,
            interval=group.interval,
            align=(learner.at + phase.offset) % group.interval,
            since=since if phase.targets else since + learner.grace,
            why=why,
            targets=phase.targets,
            observations=len(learner.seen) if phase.targets else learner.astray,
            spread=phase.spread,
            took=phase.took,
        )
    )


def _at_rest(turn: Turn, group: Group) -> Ms | None:
    """Where the group's last windows ended, if all are judged, no streak holds any of them, and no open
    life counts them."""
    for life in turn.state.lives.values():
        if life.ended is None and any(trigger.group == group.name for trigger in life.triggers.values()):
            return None
    ends = set()
    for watch in turn.soft.grouped(group.name):
        if not watch.at_rest():
            return None
        ends.add(watch.judged)
    return ends.pop() if len(ends) == 1 else None
