"""The streaks of one watch, window by window, in order (W4, W5, W6, W13, W14).

Soft state: a function of Prometheus' own history, rebuilt from it after a restart. A `Watch` is one
condition of one trigger, asked each interval; its windows are judged strictly in order, so what is
unreachable is asked again before anything later counts.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec import Struct

from rollbackd.core.composition import unheard
from rollbackd.core.judging import Judgement, judge, moments, nothing, window_queries
from rollbackd.core.signals import Unreachable
from rollbackd.core.state import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rollbackd.core.effects import WindowQuery
    from rollbackd.core.model import Condition, Family, Ms, NoData, Trigger, Verdict
    from rollbackd.core.signals import QueryAnswer
    from rollbackd.core.state import Alignment

ABSENT_AFTER: Ms = 5 * 60_000
"""W5: how long every subject may be gone before the trigger is blind (at least)."""

LATE_TRIES = 4
"""A window that was asked again so often is late, also of aligned ones."""

LATE_WINDOWS = 3
"""After so many late windows in a row, samples are not expected at the window's end any more."""

EVIDENCE = 64
"""At most this many windows of a streak are kept as evidence."""


class Streak:
    """The run of breaches of one subject. `count` holds only windows that count (W13)."""

    __slots__ = ("began", "count", "end", "gone", "kept", "seen")

    def __init__(self, began: Ms) -> None:
        self.began = began
        self.count = 0
        self.kept = 0
        self.gone = 0
        self.end: Ms = 0
        self.seen: list[Seen] = []


class Applied:
    """What one judged window did to the streaks."""

    __slots__ = ("counts", "end", "ended", "grown", "judgement", "missed", "retired", "verdicts")

    def __init__(self, end: Ms, judgement: Judgement) -> None:
        self.end = end
        self.judgement = judgement
        self.verdicts: dict[str, Verdict] = {}
        self.counts: dict[Verdict, int] = {}
        self.grown: list[str] = []  # subjects whose streak this window's breach made longer
        self.ended: list[str] = []  # subjects whose streak it ended
        self.retired: list[str] = []
        self.missed = False  # never answered


class Partial:
    """A window some of whose subjects wait for their decisive samples (W14).

    `settled`: what is asked of it by now can only show what was scraped in time and is seen late; until
    then no later window is judged.
    """

    __slots__ = ("end", "judgement", "settled", "tries", "waiting")

    def __init__(self, end: Ms, judgement: Judgement, waiting: list[str]) -> None:
        self.end = end
        self.judgement = judgement
        self.waiting = waiting
        self.tries = 0
        self.settled = False


class Pilot(Struct):
    """One subject of one leaf, whose samples are timed: two gaps in a row are no missed scrape (W14)."""

    subject: str = ""
    newest: float = 0.0  # seconds, Prometheus' time
    gaps: int = 0  # successive gaps between its samples longer than the interval

    def notice(self, newest_samples: Mapping[str, str], interval: Ms) -> None:
        if self.subject not in newest_samples:
            self.subject = next(iter(newest_samples), "")
            self.newest = 0.0
            self.gaps = 0
        text = newest_samples.get(self.subject)
        newest = float(text) if text is not None else 0.0
        if newest > self.newest:
            if self.newest:
                gap = (newest - self.newest) * 1000
                self.gaps = self.gaps + 1 if gap > 1.1 * interval else 0
            self.newest = newest


class Told(NamedTuple):
    """What was told of a window: the `nth` of those in these answers."""

    answers: tuple[QueryAnswer, ...]
    nth: int


class Watch:
    """One condition, its poll and its streaks. Owned by the engine; mutable on purpose."""

    def __init__(
        self,
        key: str,
        trigger: Trigger,
        condition: Condition,
        since: Ms,
        alignment: Alignment | None = None,
    ) -> None:
        self.key = key
        self.trigger = trigger
        self.condition = condition
        self.interval = trigger.interval
        self.queries: tuple[WindowQuery, ...] = window_queries(condition)
        self.alignment = alignment  # what was learned; else the trigger's own holds (W1)
        self.family: Family | None = None  # who is asked at once with it
        self.since = since  # windows that begin earlier are of no interest to anybody
        self.reach = 2 * trigger.windows  # windows: a streak and its keep budget (W6)
        self.streaks: dict[str, Streak] = {}
        self.verdicts: dict[str, Verdict] = {} if trigger.per else {"": "no_data"}
        self.well = False  # every subject was ok in the last judged window, and no streak is open
        self.judged: Ms = 0  # the end of the last judged window
        self.judged_at: Ms = 0  # steady
        self.unreachable: tuple[Ms, str] | None = None  # steady, since when, and why
        self.failed_at: Ms = 0  # steady: when the last window passed that got no answer in its time
        self.problem: str | None = None  # why the last judged window was unusable
        self.lost: str | None = None  # why a part of it was not answered (W10)
        self.no_data: dict[str, NoData] = {}  # how missing verdicts count that its trigger does not decide
        self.usable_at: Ms = 0  # steady: the last window that told anything
        self.pilots = tuple(Pilot() for _ in condition.leaves())
        self.partial: Partial | None = None
        self.late = 0  # windows in a row that waited long for their samples
        # polling
        self.asked: Ms = 0
        self.inflight: set[Ms] = set()
        self.backfilling: tuple[Ms, Ms] | None = None
        self.answers: dict[Ms, Told | None] = {}  # of windows after `judged`; None: it will never be told
        self.retry: tuple[Ms, Ms] | None = None  # (end, steady)
        self.tries = 0
        self.due: Ms = 0

    @property
    def align(self) -> Ms:
        """Windows end so long after whole multiples of the interval (W1)."""
        return self.trigger.align if self.alignment is None else self.alignment.align

    def window_before(self, prom: Ms) -> Ms:
        """The end of the newest window that had ended by Prometheus' time `prom` (W1)."""
        align, interval = self.align, self.interval
        return (prom - align) // interval * interval + align

    def first_end(self, since: Ms) -> Ms:
        """The end of the first window that begins at `since` or later."""
        begin = self.window_before(since)
        return begin + self.interval if begin == since else begin + 2 * self.interval

    @property
    def grace(self) -> Ms:
        """A sample belongs to a window if it was scraped at most so long after its end, and not so early
        as to belong to the one before. 0 where windows do not end just as their samples become visible."""
        return 0 if self.alignment is None else self.alignment.grace

    @property
    def prompt(self) -> bool:
        """Whether late samples are late by little. Not where a remote store shows them later still."""
        return self.grace > 0 and self.late < LATE_WINDOWS

    def at_rest(self) -> bool:
        """Whether all that was asked is judged for good, and no streak holds any of it."""
        return not self.streaks and self.settled()

    def settled(self) -> bool:
        """Whether all that was asked is judged for good."""
        open_ = self.inflight or self.answers or self.backfilling or self.partial or self.retry
        return not open_ and self.judged == self.asked and self.judged_at > 0

    def realign(self, alignment: Alignment) -> None:
        """The next window is the first of this alignment. Call it at rest: no window overlaps another."""
        self.alignment = alignment
        self.late = 0
        self.asked = self.judged = self.first_end(alignment.since) - self.interval

    # Judging

    def apply(
        self, end: Ms, answers: tuple[QueryAnswer, ...], index: int, now: Ms, floor: Callable[[str], Ms]
    ) -> Applied | Unreachable:
        """Judge the window that ends at `end`.

        Subjects without their decisive samples stay in `partial`; judging the same window again
        completes them. `floor(subject)` is where its windows begin to count (Prometheus' time).
        """
        judgement = judge(self.condition, answers, index, end - self.interval + self.grace)
        if isinstance(judgement, Unreachable):
            return judgement
        applied = Applied(end, judgement)
        verdicts = self._complete(judgement)
        again = self.partial
        if again is not None:
            verdicts = {subject: verdicts.get(subject, "no_data") for subject in again.waiting}
        waiting = [subject for subject in verdicts if subject in judgement.uncovered]
        for subject in waiting:
            del verdicts[subject]
        self.partial = Partial(end, judgement, waiting) if waiting else None
        if again is None and not waiting:
            self.late = 0
        self.notice_gaps(judgement.samples())
        self._take(applied, verdicts, floor)
        self._finish(applied, now)
        return applied

    def look_again(
        self, until: Ms, answers: tuple[QueryAnswer, ...], now: Ms, floor: Callable[[str], Ms]
    ) -> Iterator[Applied]:
        """Judge what waits in `partial` by the first of the moments asked, the last of them `until`, at which
        its sample is there. Which one that is does not depend on how many were asked (W1)."""
        before = self.partial
        if before is None:
            return
        tries = before.tries + 1
        if tries == LATE_TRIES:
            self.late += 1
        for index in moments(self.condition, answers):
            applied = self.apply(before.end, answers, index, now, floor)
            if isinstance(applied, Unreachable):
                return
            yield applied
            if self.partial is None:
                return
            self.partial.tries = tries
            self.partial.settled = until >= before.end + self.grace

    def close_partial(self, now: Ms, floor: Callable[[str], Ms]) -> Applied | None:
        """The time for late samples is over: what still waits is `no_data` (W14)."""
        if self.partial is None:
            return None
        judgement = self.partial.judgement.closed(self.partial.waiting)
        applied = Applied(self.partial.end, judgement)
        verdicts = judgement.verdicts
        self.partial = None
        self._take(applied, verdicts, floor)
        self._finish(applied, now)
        return applied

    def follow(self, other: Watch, applied: Applied, now: Ms, floor: Callable[[str], Ms]) -> Applied:
        """Count what `other`, of the same condition, has just judged. It forgets streaks that have fired, and
        then the subjects they held; this one does not."""
        verdicts = dict(applied.verdicts)
        if applied.end > self.judged:
            silent: Verdict = "no_data" if applied.judgement.problem is None else "unknown"
            gone = [subject for subject in self.verdicts if subject not in other.verdicts]
            verdicts |= {subject: silent for subject in gone if subject not in verdicts}
        followed = Applied(applied.end, applied.judgement)
        followed.missed = applied.missed
        self._take(followed, verdicts, floor)
        self._finish(followed, now)
        return followed

    def pass_to(self, end: Ms, now: Ms) -> None:
        """All windows until `end` are quiet, as whoever calls this knows (see `quiet`); nothing is open."""
        self.asked = self.judged = end
        self.usable_at = self.judged_at = now
        self.late = 0

    def miss(self, end: Ms, now: Ms, floor: Callable[[str], Ms]) -> Applied:
        """A window that was never answered: `no_data` for everyone (W6)."""
        applied = Applied(end, nothing(self.condition))
        applied.missed = True
        self._take(applied, self._complete(applied.judgement), floor)
        self._finish(applied, now)
        return applied

    def rewind(self) -> None:
        """Begin anew, as after a restart: what was asked lies in the future."""
        self.streaks.clear()
        self.well = False
        self.partial = None
        self.retry = None
        self.backfilling = None
        self.answers.clear()
        self.inflight.clear()
        self.asked = self.judged = 0

    def forget_streaks(self) -> None:
        """More windows were lost than a streak can keep."""
        self.streaks.clear()

    def _complete(self, judgement: Judgement) -> dict[str, Verdict]:
        """The judgement's verdicts, and one for every known subject it does not speak of."""
        self.problem, self.lost = judgement.problem, judgement.lost
        waiting = self.partial.waiting if self.partial is not None else ()
        judgement.complete(chain(self.verdicts, self.streaks), waiting, aligned=self.grace > 0)
        return judgement.verdicts

    def _take(
        self,
        applied: Applied,
        verdicts: dict[str, Verdict],
        floor: Callable[[str], Ms],
    ) -> None:
        streaks, own = self.streaks, applied.judgement.no_data
        for subject, verdict in verdicts.items():
            if verdict == "ok":
                if subject in streaks:
                    del streaks[subject]
                    applied.ended.append(subject)
            elif verdict == "breach":
                self._grow(applied, subject, verdict, applied.judgement.value(subject), floor)
            elif verdict == "low_traffic" or (how := own.get(subject, self.trigger.no_data)) == "keep":
                self._keep(applied, subject, verdict)
            elif how == "breach":
                self._grow(applied, subject, verdict, None, floor)
            elif subject in streaks:  # reset, ok
                del streaks[subject]
                applied.ended.append(subject)
        if own or self.no_data:
            self.no_data = {subject: how for subject, how in self.no_data.items() if subject not in verdicts}
            self.no_data.update((subject, how) for subject, how in own.items() if subject in verdicts)
        applied.verdicts = verdicts

    def _grow(
        self,
        applied: Applied,
        subject: str,
        verdict: Verdict,
        value: str | None,
        floor: Callable[[str], Ms],
    ) -> None:
        begin = applied.end - self.interval
        if begin < floor(subject):
            return
        streak = self.streaks.get(subject)
        if streak is None:
            streak = self.streaks[subject] = Streak(begin)
        streak.count += 1
        streak.end = applied.end
        if verdict == "breach":
            streak.gone = 0
        self._remember(streak, applied.end, verdict, value)
        applied.grown.append(subject)

    def _keep(self, applied: Applied, subject: str, verdict: Verdict) -> None:
        streak = self.streaks.get(subject)
        if streak is None:
            return
        streak.kept += 1
        if verdict == "low_traffic":
            streak.gone = 0
        if streak.kept > self.trigger.windows:
            del self.streaks[subject]
            applied.ended.append(subject)
        else:
            self._remember(streak, applied.end, verdict, None)

    def _remember(self, streak: Streak, end: Ms, verdict: Verdict, value: str | None) -> None:
        if len(streak.seen) >= EVIDENCE:
            del streak.seen[0]
        streak.seen.append(Seen(end, verdict, value))

    def _finish(self, applied: Applied, now: Ms) -> None:
        counts = applied.counts
        for verdict in applied.verdicts.values():
            counts[verdict] = counts.get(verdict, 0) + 1
        if counts.get("breach") or counts.get("ok") or counts.get("low_traffic"):
            self.usable_at = now
        self._retire(applied)
        all_ok = counts.get("ok") == len(self.verdicts) and len(counts) == 1
        self.well = all_ok and not self.streaks and self.partial is None
        self.judged = max(self.judged, applied.end)
        self.judged_at = now

    def _retire(self, applied: Applied) -> None:
        """Forget subjects that are gone and have no streak (W5)."""
        verdicts = self.verdicts
        verdicts.update(applied.verdicts)
        if not self.trigger.per:
            return
        if "no_data" not in applied.counts and "unknown" not in applied.counts:
            return
        heard = applied.judgement.heard
        for subject, verdict in applied.verdicts.items():
            streak = self.streaks.get(subject)
            if verdict != "no_data" or heard(subject):
                if streak is not None:
                    streak.gone = 0
                continue
            if streak is not None:
                streak.gone += 1
                if streak.gone <= self.reach:
                    continue
                del self.streaks[subject]
            del verdicts[subject]
            self.no_data.pop(subject, None)
            applied.retired.append(subject)

    def notice_gaps(self, newest_samples: Iterable[Mapping[str, str] | None]) -> None:
        """Targets scraped less often than the interval leave windows without a sample (W14)."""
        for pilot, newest in zip(self.pilots, newest_samples, strict=True):
            if newest is not None:
                pilot.notice(newest, self.interval)

    @property
    def gaps(self) -> int:
        return max(pilot.gaps for pilot in self.pilots)

    # Looking

    def verdict_after(self, subject: str, at: Ms) -> Verdict | None:
        """The verdict of the newest window, if it was judged after `at` (steady); else None.

        `unknown` where Prometheus was asked since and did not answer.
        """
        late = self.partial is not None and subject in self.partial.waiting
        if self.judged_at > at and not late:
            return self.verdicts.get(subject, "no_data")
        return "unknown" if self.failed_at > at else None

    def breaching(self, subject: str, verdict: Verdict) -> bool:
        """Whether such a window counts as a breach of the subject, by its `no_data` (W5, W10)."""
        if verdict not in ("no_data", "unknown"):
            return verdict == "breach"
        judged = verdict == self.verdicts.get(subject)
        own = self.no_data.get(subject) if judged else unheard(self.condition).no_data
        return (own or self.trigger.no_data) == "breach"

    def satisfied(self, subject: str) -> bool:
        """Whether the streak has as many breaches as the trigger wants (W4)."""
        streak = self.streaks.get(subject)
        return streak is not None and streak.count >= self.trigger.windows

    def fresh(self, subject: str, prom: Ms) -> bool:
        """W7: whether the last judged window ended less than two intervals and the delay ago."""
        streak = self.streaks.get(subject)
        return streak is not None and prom - streak.end < 2 * self.interval + self.trigger.delay

    def longest(self) -> int:
        return max((streak.count for streak in self.streaks.values()), default=0)

    def blindness(self, now: Ms) -> tuple[Literal["sparse", "unreachable", "unusable", "absent"], str] | None:
        """Why nothing has been seen for too long (W5, W14)."""
        if self.gaps >= 2:
            return "sparse", "its targets are scraped less often than its interval"
        patience = max(ABSENT_AFTER, self.trigger.windows * self.interval)
        if now - self.usable_at < patience:
            return None
        if self.unreachable is not None:
            return "unreachable", self.unreachable[1]
        if self.lost is not None:
            return "unreachable", self.lost
        if self.problem is not None:
            return "unusable", self.problem
        return "absent", "no subject has had data"
