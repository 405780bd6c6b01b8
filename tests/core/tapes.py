"""One watch against a scripted Prometheus, on a virtual clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from tests.core.oracle import Window
from tests.fakes.made import START, trigger

from rollbackd.core import polling
from rollbackd.core.effects import Ask
from rollbackd.core.model import Condition, Limit, Ms, Trigger
from rollbackd.core.signals import QueryAnswer, Series, Unreachable, Unusable, WindowsAnswered
from rollbackd.core.windows import Applied, Watch

VALUE = {"B": "2", "P": "2", "p": "2", ".": "0", "N": "NaN", "L": "2", "M": "2"}
TRAFFIC = {"B": "9", "P": "9", "p": "9", ".": "9", "N": "9", "L": "1", "V": "9"}

FILLED = 0.4
"""When late samples are there: this part of an interval after the window's end."""


@dataclass
class Tape:
    """How Prometheus behaves, window by window; window 0 ends one interval after `START`.

    `reach`: "" answered at once, "?" unreachable while it is the newest, "!" only the first ask fails,
    "~" answered after the next window. `backfills`: whether each range query in turn is answered.
    """

    windows: list[Window]
    reach: str
    backfills: list[bool]
    trigger: Trigger
    ranges: int = 0
    asked: set[int] = field(default_factory=set)
    run: int = 0
    otherwise: dict[tuple[int, int], str] = field(default_factory=dict)  # (run, window) → missed | unusable

    def end(self, index: int) -> Ms:
        return START + self.trigger.align + (index + 1) * self.trigger.interval

    def index(self, end: Ms) -> int:
        return (end - START - self.trigger.align) // self.trigger.interval - 1

    def answer(self, ask: Ask, now: Ms, *, backfill: bool) -> tuple[Ms, WindowsAnswered]:
        at = max(now, ask.ends[-1] + ask.delay) + 5
        first, last = self.index(ask.ends[0]), self.index(ask.ends[-1])
        if backfill:
            self.ranges += 1
            if not self.backfills[(self.ranges - 1) % len(self.backfills)]:
                self._note(first, last, "missed")
                return at, self._failed(ask)
            return at, self._told(ask, at)
        reach = self.reach[last] if 0 <= last < len(self.reach) else "."
        again = last in self.asked
        self.asked.add(last)
        if reach == "?" or (reach == "!" and not again):
            return at, self._failed(ask)
        if reach == "~" and not again:
            at += int(1.3 * ask.interval)
        return at, self._told(ask, now)

    def _note(self, first: int, last: int, told: str) -> None:
        self.otherwise.update({(self.run, index): told for index in range(first, last + 1)})

    def _failed(self, ask: Ask) -> WindowsAnswered:
        return WindowsAnswered(ask.watch, ask.ends, tuple(Unreachable("refused") for _ in ask.queries))

    def _told(self, ask: Ask, now: Ms) -> WindowsAnswered:
        windows = [self._window(self.index(end)) for end in ask.ends]
        answers: tuple[QueryAnswer, ...]
        if any(window.told == "unusable" for window in windows):
            self._note(self.index(ask.ends[0]), self.index(ask.ends[-1]), "unusable")
            answers = tuple(Unusable("422") for _ in ask.queries)
        else:
            answers = (
                Series(tuple({s: VALUE[g] for s, g in w.glyphs.items() if g in VALUE} for w in windows)),
                Series(tuple({s: TRAFFIC[g] for s, g in w.glyphs.items() if g in TRAFFIC} for w in windows)),
                Series(tuple(self._newest(w, e, now) for w, e in zip(windows, ask.ends, strict=True))),
            )
        return WindowsAnswered(ask.watch, ask.ends, answers, 0)

    def _window(self, index: int) -> Window:
        return self.windows[index] if 0 <= index < len(self.windows) else Window({})

    def _newest(self, window: Window, end: Ms, now: Ms) -> dict[str, str]:
        newest = {}
        for subject, glyph in window.glyphs.items():
            late = glyph == "p" or (glyph == "P" and now < end + FILLED * self.trigger.interval)
            at = end - self.trigger.interval - 1_000 if late else end - 1_000
            newest[subject] = str(at / 1000)
        return newest


@dataclass(frozen=True)
class Judged:
    """What the watch said of one window, and when."""

    run: int
    index: int
    at: Ms
    verdicts: dict[str, str]
    streaks: dict[str, int]
    satisfied: tuple[str, ...]  # grown, long enough and fresh: these fire


@dataclass
class Run:
    """One life of a daemon: the first window it judged, and where it forgot what it knew (W6)."""

    first: int | None = None
    forgot: list[int] = field(default_factory=list)


def play(tape: Tape, counts_from: int, restarts: set[int]) -> tuple[list[Judged], list[Run]]:
    """All that was judged. The daemon is replaced in the middle of each window in `restarts`."""
    stops = sorted(tape.end(index) + tape.trigger.interval // 2 for index in restarts)
    judged: list[Judged] = []
    runs: list[Run] = []
    begin = START + tape.trigger.align
    finish = tape.end(len(tape.windows) + 1) + tape.trigger.delay - 1
    for number, stop in enumerate([*stops, finish]):
        runs.append(_run(tape, counts_from, begin, stop, number, judged))
        begin = stop
    return judged, runs


def _run(tape: Tape, counts_from: int, begin: Ms, stop: Ms, number: int, judged: list[Judged]) -> Run:
    since = tape.end(counts_from) - tape.trigger.interval
    watch = Watch("w", tape.trigger, tape.trigger.condition, since)
    floor = tape.end(counts_from) - tape.trigger.interval
    posts: list[tuple[Ms, int, WindowsAnswered]] = []
    order = count()
    run = Run()
    tape.run = number
    now = begin
    while now <= stop:
        if posts and posts[0][0] <= now:
            _, _, signal = heappop(posts)
            for applied in polling.answered(watch, signal, now, lambda _: floor):
                judged.append(_judged(tape, watch, applied, number, now))
        before = watch.judged
        for ask in polling.next_asks(watch, now, 0):
            gap = (ask.ends[0], ask.ends[-1])
            backfill = watch.backfilling == gap and gap[1] not in watch.inflight
            at, signal = tape.answer(ask, now, backfill=backfill)
            heappush(posts, (at, next(order), signal))
        if run.first is None:
            run.first = tape.index(watch.judged) + 1
        elif watch.judged != before:
            run.forgot.append(tape.index(watch.judged) + 1)
        now = max(min([watch.due, *(post[0] for post in posts[:1])]), now)
    return run


def _judged(tape: Tape, watch: Watch, applied: Applied, number: int, now: Ms) -> Judged:
    firing = tuple(s for s in applied.grown if watch.satisfied(s) and watch.fresh(s, now))
    return Judged(
        number,
        tape.index(applied.end),
        now,
        dict(applied.verdicts),
        {subject: streak.count for subject, streak in watch.streaks.items()},
        firing,
    )


def windows_trigger(windows: int, no_data: str, interval: Ms, align: Ms, delay: Ms, per: bool) -> Trigger:
    condition = Condition("value", Limit(">", 1.0), traffic="traffic", at_least=5.0, coverage=("newest",))
    return trigger(
        "tape",
        condition=condition,
        windows=windows,
        no_data=no_data,
        interval=interval,
        align=align,
        delay=delay,
        per=("subject",) if per else (),
    )
