"""Which windows to ask for, and when (W1, W6, W11, W14, T2).

The newest window is always asked. Windows before it that were not answered are asked once more as
one range query an expression, oldest first, once Prometheus answers again; then all are judged in
order. A window whose sample is not there is asked again at moments after its end, as many as have passed;
none after it is judged before all of them have been asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from rollbackd.core.effects import Ask
from rollbackd.core.judging import unreachable
from rollbackd.core.state import RUNGS
from rollbackd.core.windows import Applied, Told, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rollbackd.core.model import Ms
    from rollbackd.core.signals import WindowsAnswered

FIRST_RETRY: Ms = 250
PROMPT_RETRY: Ms = 10
"""Of late samples, where windows end just as samples become visible (W1)."""
LONGEST_RETRY: Ms = 5_000


def next_asks(watch: Watch, now: Ms, skew: Ms) -> list[Ask]:
    """What is to be asked now; sets `watch.due` to when to look again (steady)."""
    asks: list[Ask] = []
    prom = now + skew
    newest = watch.window_before(prom - watch.trigger.delay)
    ahead = 0 if not watch.judged_at else 2 * watch.interval
    if newest + ahead < watch.asked:
        watch.rewind()  # Prometheus' clock was ahead, and is right again (fault 17)
    if not watch.asked:
        _begin(watch, newest)
    if newest > watch.asked:
        if watch.unreachable is not None:
            watch.failed_at = now  # a whole window passed without an answer
        watch.asked = newest
        watch.tries = 0
        watch.retry = None
        asks.append(_ask(watch, newest, newest, watch.interval))
    elif watch.retry is not None and now >= watch.retry[1]:
        end = watch.retry[0]
        watch.retry = None
        if end not in watch.inflight:
            budget = max(newest + watch.interval - prom, FIRST_RETRY)
            asks.append(_ask_again(watch, end, prom - watch.trigger.delay, budget))
    asks += _backfill(watch)
    watch.due = newest + watch.interval + watch.trigger.delay - skew
    if watch.retry is not None:
        watch.due = min(watch.due, watch.retry[1])
    return asks


def answered(watch: Watch, signal: WindowsAnswered, now: Ms, floor: Callable[[str], Ms]) -> Iterator[Applied]:
    """Take one answer in, and judge every window that can be judged by now, one after the other."""
    first, last = signal.ends[0], signal.ends[-1]
    reason = unreachable(watch.condition, signal.answers)
    if watch.backfilling == (first, last) and first not in watch.inflight:
        watch.backfilling = None
        for index, end in enumerate(signal.ends):
            if end > watch.judged:
                watch.answers[end] = Told(signal.answers, index) if reason is None else None
    elif first in watch.inflight:  # else it was asked before a rewind
        watch.inflight.discard(first)
        partial = watch.partial
        if reason is None:
            watch.unreachable = None
            if first > watch.judged:
                watch.answers[first] = Told(signal.answers, 0)
            elif partial is not None and partial.end == first:
                yield from watch.look_again(last, signal.answers, now, floor)
        else:
            watch.unreachable = watch.unreachable or (now, reason)
            if first == watch.asked:
                _retry(watch, first, now)
            if partial is not None and partial.end == first and _follows(watch):
                partial.settled = True  # asked for once more, as all that was unreachable (W6)
    yield from _judge_ready(watch, now, floor)


def _begin(watch: Watch, newest: Ms) -> None:
    """Before its first window. Where it was realigned a moment ago, what has ended since overlaps windows
    that were judged: their successor is waited for."""
    watch.judged = _first(watch, newest) - watch.interval
    if watch.alignment is not None:
        first = watch.first_end(watch.alignment.since)
        if newest < first <= newest + 2 * watch.interval:
            watch.asked = watch.judged = first - watch.interval


def _first(watch: Watch, newest: Ms) -> Ms:
    """The first window a new watch judges: as far back as a streak can reach, not before `since`."""
    oldest = newest - watch.reach * watch.interval
    since = watch.since if watch.alignment is None else max(watch.since, watch.alignment.since)
    return min(max(oldest, watch.first_end(since)), newest)


def _ask(watch: Watch, first: Ms, last: Ms, budget: Ms) -> Ask:
    ends = (last,) if first == last else tuple(range(first, last + 1, watch.interval))
    if first == last:
        watch.inflight.add(last)
    return Ask(
        watch=watch.key,
        ends=ends,
        interval=watch.interval,
        delay=watch.trigger.delay,
        queries=watch.queries,
        per=watch.trigger.per,
        budget=budget,
        family=watch.family,
        value=watch.family.members[watch.trigger.name] if watch.family is not None else "",
    )


def _ask_again(watch: Watch, end: Ms, until: Ms, budget: Ms) -> Ask:
    """Ask for the window that ends at `end`; where it waits for samples, also at the moments of its grace
    that have passed by `until` (Prometheus' time)."""
    if watch.alignment is None or watch.partial is None or watch.partial.end != end or until <= end:
        return _ask(watch, end, end, budget)
    rung = watch.alignment.rung
    rungs = min((until - end) // rung, RUNGS) if rung else 0
    ask = _ask(watch, end, end, budget)
    return replace(ask, ends=tuple(end + n * rung for n in range(rungs + 1)), interval=rung) if rungs else ask


def _retry(watch: Watch, end: Ms, now: Ms, first: Ms = FIRST_RETRY) -> None:
    wait = min(first * 2**watch.tries, LONGEST_RETRY)
    watch.tries = min(watch.tries + 1, 10)
    watch.retry = (end, now + wait)
    watch.due = min(watch.due, now + wait)


def _backfill(watch: Watch) -> list[Ask]:
    """The gap before the oldest answer, once nothing in it is still under way (W6)."""
    if not watch.answers or watch.backfilling is not None:
        return []
    gap_ends = min(watch.answers) - watch.interval
    first = watch.judged + watch.interval
    oldest = gap_ends - (watch.reach - 1) * watch.interval
    if first > gap_ends or any(first <= end <= gap_ends for end in watch.inflight):
        return []
    if first < oldest:
        watch.forget_streaks()
        watch.partial = None
        first = oldest
        watch.judged = first - watch.interval
    watch.backfilling = (first, gap_ends)
    ask = _ask(watch, first, gap_ends, watch.interval // 2)
    watch.inflight.discard(gap_ends)
    return [ask]


def _judge_ready(watch: Watch, now: Ms, floor: Callable[[str], Ms]) -> Iterator[Applied]:
    while _follows(watch):
        if watch.partial is not None and watch.grace and not watch.partial.settled:
            break
        closed = watch.close_partial(now, floor)
        if closed is not None:
            yield closed  # the next window is judged: late samples of the one before are too late (W14)
        end = watch.judged + watch.interval
        told = watch.answers.pop(end)
        applied = watch.apply(end, *told, now, floor) if told is not None else watch.miss(end, now, floor)
        if isinstance(applied, Applied):
            yield applied
    partial = watch.partial
    if partial is not None and watch.retry is None and partial.end not in watch.inflight:
        watch.tries = partial.tries
        if _follows(watch):
            watch.retry = (partial.end, now)
            watch.due = now
        else:
            _retry(watch, partial.end, now, PROMPT_RETRY if watch.prompt else FIRST_RETRY)


def _follows(watch: Watch) -> bool:
    """Whether the next window to be judged has been answered for."""
    return watch.judged + watch.interval in watch.answers
