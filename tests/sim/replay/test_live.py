"""A replay, and a daemon that was there: the same fires, on the same readings."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fakes import made
from tests.fakes.made import INTERVAL, MINUTE, SECOND, START
from tests.fakes.story import Found, Readings, Story, World
from tests.sim.replay.histories import CONDITIONS, of
from tests.sim.replay.test_passing import SUBJECTS, stretch, tapes, triggers

from rollbackd.core import events as e
from rollbackd.core.history import History
from rollbackd.core.model import Ms, Trigger
from rollbackd.core.signals import Series
from rollbackd.sim.replay.replaying import replay


def reading(history: History, query: int) -> Readings:
    """What Prometheus would have answered; nothing before and after."""

    def at(end: Ms) -> Found:
        if end not in history.ends:
            return {}
        answer = history.answers(history.ends.index(end))[query]
        return answer.windows[0] if isinstance(answer, Series) else answer

    return at


def live(trigger: Trigger, history: History) -> list[tuple[Ms, str, str]]:
    world = World()
    world.readings = {asked.expr: reading(history, query) for query, asked in enumerate(history.queries)}
    one = Story(made.config(trigger), world)
    one.run(history.ends[-1] + trigger.delay + trigger.interval - SECOND)
    fired = [firing for opened in one.of(e.LifeOpened) for firing in opened.firings]
    return sorted((found.end, found.subject, found.value) for found in fired if found.end in history.ends)


@settings(max_examples=100)
@given(st.lists(stretch, min_size=2, max_size=6), st.sampled_from([SUBJECTS, SUBJECTS[:1], [""]]), triggers)
@example(
    [("mixed", 4, "B", ""), ("well", 2, [], ""), ("mixed", 9, "B", "")],
    [""],
    {"condition": CONDITIONS["plain"], "windows": 3, "cooldown": 4 * INTERVAL},
)
@example(
    [("mixed", 2, "B", ""), ("failed", 2, [], "?"), ("mixed", 3, "B", "")],
    [""],
    {"condition": CONDITIONS["plain"], "windows": 3, "cooldown": MINUTE},
)
@example(  # a window that was judged late fires with the next one
    [("well", 1, [], ""), ("failed", 1, [], "?"), ("mixed", 1, ".Bp", "")],
    SUBJECTS,
    {"condition": CONDITIONS["covered"], "windows": 1, "no_data": "breach"},
)
def test_the_same_fires(stretches: list[Any], subjects: list[str], fields: Any) -> None:
    per = () if subjects == [""] else ("pod",)
    one = made.trigger(per=per, action="shadow", **fields)
    history = of(one, tapes(stretches, subjects))
    assert history.ends[0] - one.interval >= START
    found = replay(one, [history])
    assert [fire.end for fire in found.fires] == sorted(fire.end for fire in found.fires)
    fires = [
        (fire.end, *each) for fire in found.fires for each in zip(fire.subjects, fire.values, strict=True)
    ]
    assert sorted(fires) == live(one, history)
