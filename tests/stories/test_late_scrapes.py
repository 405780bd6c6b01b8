"""Scrapes that begin late: an aligned window keeps its sample, and the next is not judged by it (W1, W14)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.made import INTERVAL, SECOND
from tests.fakes.story import Story
from tests.fakes.targets import AFTER, GRACE, LATEST, RUNG, TOOK, Targets, aligned

from rollbackd.core import events as e
from rollbackd.core.model import Ms
from rollbackd.core.state import Seen

LATE = (0, 1, AFTER - TOOK, AFTER, AFTER + 1, AFTER + RUNG, AFTER + RUNG + 1, 400, GRACE // 2, LATEST)


def fired(one: Story) -> list[tuple[Seen, ...]]:
    return [tuple(firing.windows) for life in one.of(e.LifeOpened) for firing in life.firings]


def seen(targets: Targets, *numbers: int) -> tuple[Seen, ...]:
    return tuple(Seen(targets.end(n), "breach", targets.value(targets.first + n * INTERVAL)) for n in numbers)


@pytest.mark.parametrize("late", LATE)
def test_a_good_sample_that_is_late_is_not_hidden_by_the_next(late: Ms) -> None:
    one, targets = aligned()
    targets.bad = {0, 1, 3}
    targets.late["", 2] = late
    one.run(targets.end(6))
    assert fired(one) == []
    counts = {n: [j.counts for j in one.judged if j.end == targets.end(n) and j.counts] for n in range(5)}
    bad, good = [{"breach": 1}], [{"ok": 1}]
    assert counts == {0: bad, 1: bad, 2: good, 3: bad, 4: good}


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_breach_is_decided_by_its_own_windows(late: Ms, which: int) -> None:
    """As soon as the first moment of the window's grace that is not before the sample has passed."""
    one, targets = aligned()
    targets.bad = {0, 1, 2}
    targets.late["", which] = late
    one.run(targets.end(6))
    assert fired(one) == [seen(targets, 0, 1, 2)]
    (life,) = one.of(e.LifeOpened)
    after = max(late - AFTER, 0) if which == 2 else 0
    assert 0 <= life.at - targets.end(2) - after <= one.world.latency + max(2 * RUNG, 2 * after)


@pytest.mark.parametrize("late", LATE)
def test_a_range_as_short_as_the_window_waits_for_its_sample(late: Ms) -> None:
    """There is no value at the window's end; and none at all is no late one."""
    one, targets = aligned()
    targets.bad = {0, 1, 3}
    targets.late["", 2] = late
    targets.reaches = INTERVAL
    one.run(targets.end(4))
    assert fired(one) == []
    assert [j.counts for j in one.judged if j.end == targets.end(2) and j.counts] == [{"ok": 1}]


def test_what_is_in_time_costs_one_ask_and_no_time() -> None:
    one, targets = aligned()
    targets.bad = {0, 1, 2}
    begun = len(one.world.asked)
    one.run(targets.end(9))
    (life,) = one.of(e.LifeOpened)
    assert life.at == targets.end(2) + one.world.latency
    asked = [ask.ends for _, ask in one.world.asked[begun:]]
    assert asked == [(end,) for end in range(asked[0][0], targets.end(10), INTERVAL)]


def test_later_than_the_grace_is_late_for_good() -> None:
    """Its window has no data; the sample lies in the next, and is its only one if that one's is missing."""
    one, targets = aligned()
    targets.bad = {0, 1, 2, 4}
    targets.late["", 2] = LATEST + 1
    targets.dead = {3}
    one.run(targets.end(6))
    no_data = Seen(targets.end(2), "no_data")
    third = Seen(targets.end(3), "breach", targets.value(targets.first + 2 * INTERVAL))
    assert fired(one) == [(*seen(targets, 0, 1), no_data, third)]


def test_whose_sample_is_there_is_judged_without_the_others() -> None:
    one, targets = aligned(("a", "b"))
    targets.bad = {0, 1, 2}
    targets.late["b", 2] = late = AFTER + 3 * RUNG + 10
    one.run(targets.end(6))
    first, second = one.of(e.LifeOpened)
    assert (first.firings[0].subject, first.at) == ("a", targets.end(2) + one.world.latency)
    assert second.firings[0].subject == "b"
    assert second.at - targets.end(2) < 2 * late
    assert fired(one) == [seen(targets, 0, 1, 2)] * 2


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("absent", ["silent", "down"])
def test_windows_asked_again_later_are_judged_the_same(late: Ms, absent: str) -> None:
    """W6: after silence or a restart, all at once and long after."""
    one, targets = aligned(windows=4)
    targets.bad = {0, 1, 2, 3}
    targets.late["", 1] = late
    targets.late["", 2] = LATEST - late
    back = targets.end(3) + INTERVAL // 2
    one.run(targets.end(0) - SECOND)
    if absent == "silent":
        one.world.silent.append((one.now, back))
    else:
        one.restart(down=back - one.now)
    one.run(targets.end(6))
    assert fired(one) == [seen(targets, 0, 1, 2, 3)]


def test_what_cannot_be_asked_again_has_no_data() -> None:
    """Later windows do not wait for ever: an ask that fails once the next window is there was the last."""
    one, targets = aligned()
    targets.bad = {0, 1, 2, 3}
    targets.late["", 2] = AFTER + RUNG
    one.world.silent.append((targets.end(2) + 2 * one.world.latency, targets.end(3) + one.world.latency))
    one.world.silent.append((targets.end(3) + one.world.latency + 1, targets.end(3) + SECOND))
    one.run(targets.end(6))
    assert fired(one) == [(*seen(targets, 0, 1), Seen(targets.end(2), "no_data"), *seen(targets, 3))]


# No sample decides two windows, and none is passed over


@st.composite
def nights(draw: st.DrawFn) -> list[tuple[str, int]]:
    """What happens, and for how many tenths of a window."""
    kinds = ["calm", "calm", "silent", "restart", "slow"]
    return draw(st.lists(st.tuples(st.sampled_from(kinds), st.integers(1, 40)), min_size=1, max_size=8))


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(nights(), st.lists(st.integers(0, LATEST), min_size=1, max_size=12), st.integers(1, 3))
def test_each_sample_decides_its_own_window(night: list[tuple[str, int]], late: list[Ms], often: int) -> None:
    one, targets = aligned(windows=40)
    targets.bad = set(range(90))
    targets.late = {("", n): late[n // often % len(late)] for n in range(0, 90, often)}
    for kind, tenths in night:
        match kind:
            case "silent":
                one.world.silent.append((one.now, one.now + tenths * INTERVAL // 10))
            case "restart":
                one.restart(down=tenths * SECOND)
            case "slow":
                one.world.latency = 5 if one.world.latency > 5 else tenths * 50
        one.run(span=tenths * INTERVAL // 4)
    one.world.latency = 5
    one.run(max(one.now, targets.end(40)) + 30 * INTERVAL)
    windows = fired(one)[0]
    own: list[str | None] = [targets.value(w.end - AFTER) for w in windows]
    if "silent" in dict(night):  # what could not be asked again has no data (W6)
        own = [value if w.verdict == "breach" else None for w, value in zip(windows, own, strict=True)]
    assert [w.value for w in windows] == own
    assert all(two.end - one.end == INTERVAL for one, two in pairwise(windows))
