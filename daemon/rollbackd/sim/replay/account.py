"""What a replay saw of each subject: verdicts as runs, streaks as they were before anything was disarmed."""

from __future__ import annotations

from heapq import heappush, heappushpop
from typing import TYPE_CHECKING

from rollbackd.core.judging import Judgement
from rollbackd.core.windows import Applied, Watch
from rollbackd.sim.replay.outcome import Hidden, Peak, Run, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from rollbackd.core.model import Ms, Trigger, Verdict
    from rollbackd.core.state import Disarmed
    from rollbackd.core.windows import Streak

MOST_PEAKS = 1_000
"""The longest are kept: a month of noise has hundreds of thousands."""


class _Told:
    """One subject's verdicts so far. A run is open until another verdict comes."""

    __slots__ = ("first", "longest", "number", "runs", "verdict")

    def __init__(self, first: Ms, number: int, verdict: Verdict) -> None:
        self.first, self.number, self.verdict = first, number, verdict
        self.runs: list[Run] = []
        self.longest = 0

    def turn(self, end: Ms, number: int, verdict: Verdict) -> None:
        """From the `number`-th window on, which ends at `end`, it is that verdict."""
        self.close(number)
        self.first, self.number, self.verdict = end, number, verdict

    def close(self, number: int) -> None:
        if number > self.number:
            self.runs.append(Run(self.first, number - self.number, self.verdict))


class Account:
    """Looks at each judged window; `number` counts the windows of all stretches."""

    def __init__(self, trigger: Trigger, since: Ms) -> None:
        self._trigger = trigger
        self.counted = Watch("counted", trigger, trigger.condition, since)
        self._floor: Callable[[str], Ms] = lambda _: since
        # Without `per` the one subject is known before anything is told of it.
        first = since + trigger.interval
        self._told: dict[str, _Told] = {} if trigger.per else {"": _Told(first, 0, "no_data")}
        self._open: dict[str, Streak] = {}
        self._fired: dict[str, tuple[Ms, Streak | None]] = {}  # its last fire, and of which streak
        self._noted: dict[str, Streak] = {}  # the streaks that are hidden fires already
        self._peaks: list[tuple[int, int, str, Ms]] = []  # a heap: the shortest first, then the latest
        self.hidden: list[Hidden] = []
        self.partial = 0
        self._waiting: tuple[Ms, tuple[str, ...]] = (0, ())

    def judged(
        self, watch: Watch, applied: Applied, number: int, now: Ms, disarmed: dict[str, Disarmed]
    ) -> None:
        told = self._told
        for subject, verdict in applied.verdicts.items():
            known = told.get(subject)
            if known is None:
                told[subject] = _Told(applied.end, number, verdict)
            elif known.verdict != verdict:
                known.turn(applied.end, number, verdict)
        self._late(watch, applied)
        counted = self.counted.follow(watch, applied, now, self._floor)
        for subject in counted.grown:
            self._grown(watch, subject, disarmed)
        self._over(counted.ended)
        self._over(counted.retired)

    def _late(self, watch: Watch, applied: Applied) -> None:
        """Count those who waited for their samples in vain (W14)."""
        end, waiting = self._waiting
        if applied.end == end:
            vain = [subject for subject in waiting if applied.verdicts.get(subject) == "no_data"]
            self.partial += len(vain)
        if watch.partial is not None:
            self._waiting = watch.partial.end, tuple(watch.partial.waiting)

    def quiet(self, watch: Watch, end: Ms, now: Ms) -> None:
        """A window in which all that the engine knows of were ok, as before."""
        if self.counted.streaks:  # of a subject that is gone; the engine's own ended as it fired
            applied = Applied(end, Judgement())
            applied.verdicts = dict.fromkeys(watch.verdicts, "ok")
            counted = self.counted.follow(watch, applied, now, self._floor)
            self._over(counted.ended)
            self._over(counted.retired)

    def lost(self, end: Ms, number: int) -> None:
        """From this window on, some were not judged at all: more than a streak can keep (W6)."""
        for known in self._told.values():
            if known.verdict != "no_data":
                known.turn(end, number, "no_data")
        self._forget()

    def fired(self, end: Ms, subject: str) -> None:
        self._fired[subject] = (end, self._open.get(subject))

    def split(self, end: Ms, number: int, *, missing: bool) -> None:
        """The next window ends at `end`, which is not where the one before says. No run spans both; no streak
        either where windows are `missing`."""
        for known in self._told.values():
            known.turn(end, number, "no_data")
        if missing:
            self._forget()

    def _forget(self) -> None:
        self.counted.forget_streaks()
        self._over(list(self._open))

    def _grown(self, watch: Watch, subject: str, disarmed: dict[str, Disarmed]) -> None:
        streak = self.counted.streaks.get(subject)
        if streak is None:
            return  # its subject has been gone for too long
        self._open[subject], known = streak, self._told[subject]
        known.longest = max(known.longest, streak.count)
        if streak.count < self._trigger.windows or self._noted.get(subject) is streak:
            return
        entry = disarmed.get(f"{self._trigger.name}/{subject}")
        by, of = self._fired.get(subject, (None, None))
        if by is None or of is streak or (entry is None and watch.satisfied(subject)):
            return
        self._noted[subject] = streak
        over = entry is None or entry.streak_ended is not None
        self.hidden.append(Hidden(streak.end, subject, by, "cooldown" if over else "streak"))

    def _over(self, subjects: Collection[str]) -> None:
        for subject in subjects:
            streak = self._open.pop(subject, None)
            if streak is None or not streak.count:
                continue
            if self._noted.get(subject) is streak or self._fired.get(subject, (None, None))[1] is streak:
                continue
            push = heappush if len(self._peaks) < MOST_PEAKS else heappushpop
            push(self._peaks, (streak.count, -streak.end, subject, streak.end))

    def peaks(self) -> tuple[Peak, ...]:
        found = sorted(self._peaks, key=lambda peak: (-peak[0], peak[3], peak[2]))
        return tuple(Peak(end, subject, count) for count, _, subject, end in found)

    def subjects(self, number: int) -> tuple[Subject, ...]:
        """Each one's story, after so many windows in all."""
        return tuple(self._subject(key, known, number) for key, known in sorted(self._told.items()))

    def _subject(self, key: str, known: _Told, number: int) -> Subject:
        known.close(number)
        verdicts: dict[Verdict, int] = {}
        for run in known.runs:
            verdicts[run.verdict] = verdicts.get(run.verdict, 0) + run.windows
        streak = self.counted.streaks.get(key)
        return Subject(
            key=key,
            labels=self._trigger.subject_labels(key),
            verdicts=verdicts,
            longest=known.longest,
            streak=streak.count if streak is not None else 0,
            runs=tuple(known.runs),
        )
