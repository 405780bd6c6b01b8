"""Many answers in one turn mean what they mean one by one: the same verdicts, streaks and fires."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.fakes import made
from tests.fakes.made import INTERVAL, START
from tests.fakes.story import GLYPHS

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.decision import MOST_DECIDED
from rollbackd.core.effects import Ask
from rollbackd.core.engine import MOST_POLLED, Engine
from rollbackd.core.model import Config, Ms
from rollbackd.core.soft import Judged


class Asked:
    """An engine, what it judged and what fired; `many`: all answers of a moment are one signal."""

    def __init__(self, config: Config, *, many: bool) -> None:
        self.engine = Engine()
        self.many = many
        self.judged: list[Judged] = []
        self.fired: list[tuple[str, int, int]] = []
        self.asks: list[Ask] = []
        self.opened: list[int] = []  # lives, in each turn that opened any
        self.take(s.DaemonStarted(config), START)

    def take(self, signal: s.Signal, now: Ms) -> None:
        advance = self.engine.advance(signal, now)
        self.engine.commit()
        opened = sum(isinstance(event, e.LifeOpened) for event in advance.events)
        self.opened += [opened] if opened else []
        self.judged += advance.judged
        self.asks += [ask for ask in advance.asks if isinstance(ask, Ask)]
        for event in advance.events:
            if isinstance(event, e.LifeOpened):
                self.fired += [(found.trigger, found.end, found.streak) for found in event.firings]

    def tick(self, now: Ms) -> None:
        """All turns that this moment asks for."""
        while (due := self.engine.wake_at()) is not None and due <= now:
            self.take(s.Ticked(), now)

    def answer(self, glyphs: dict[str, str], now: Ms) -> None:
        """Ranges are answered by what the newest window holds."""
        while self.asks:
            asks, self.asks = self.asks, []
            answers = tuple(_answer(ask, glyphs) for ask in asks)
            for signal in (s.ManyAnswered(answers),) if self.many else answers:
                self.take(signal, now)
            self.tick(now)


def _answer(ask: Ask, glyphs: dict[str, str]) -> s.WindowsAnswered:
    found = GLYPHS[glyphs[ask.queries[0].expr]]
    answer = s.Series((dict(found),) * len(ask.ends)) if isinstance(found, dict) else found
    assert isinstance(answer, s.Series | s.Unreachable | s.Unusable)
    return s.WindowsAnswered(ask.watch, ask.ends, (answer,), 0)


def _config(count: int) -> Config:
    triggers = [made.trigger(f"t{index}", f"p{index}", action="shadow", windows=2) for index in range(count)]
    return made.config(*triggers, plans=tuple(made.plan(f"p{index}") for index in range(count)))


@given(st.lists(st.lists(st.sampled_from("B.B._NU?"), min_size=4, max_size=4), min_size=3, max_size=8))
def test_one_turn_for_many_is_a_turn_for_each(windows: list[list[str]]) -> None:
    both = [Asked(_config(4), many=many) for many in (False, True)]
    for number, row in enumerate(windows, 1):
        for one in both:
            one.tick(START + number * INTERVAL)
            one.answer({f"t{index}": glyph for index, glyph in enumerate(row)}, START + number * INTERVAL + 5)
    alone, at_once = both
    for one in both:
        one.judged.sort(key=lambda judged: judged.trigger)  # stable: each trigger's windows in their order
    assert at_once.judged == alone.judged
    assert sorted(at_once.fired) == sorted(alone.fired)


def test_a_turn_looks_at_so_many_watches_and_no_more() -> None:
    """The loop goes on in between; nobody is left out."""
    asked = Asked(_config(MOST_POLLED + 50), many=True)
    assert len(asked.asks) == MOST_POLLED
    assert asked.engine.wake_at() == START
    asked.tick(START)
    assert len({ask.watch for ask in asked.asks}) == len(asked.asks) == MOST_POLLED + 50
    later = asked.engine.wake_at()
    assert later is not None
    assert later > START


def test_plans_that_breach_at_once_are_decided_on_a_few_at_a_time_in_one_moment() -> None:
    count = 2 * MOST_DECIDED + 2
    asked = Asked(_config(count), many=True)
    well, bad = ({f"t{index}": glyph for index in range(count)} for glyph in ".B")
    for number, glyphs in enumerate([well, bad, bad]):
        asked.tick(START + number * INTERVAL)
        asked.answer(glyphs, START + number * INTERVAL + 5)
    assert asked.opened == [MOST_DECIDED, MOST_DECIDED, 2]
    assert {trigger for trigger, _, _ in asked.fired} == {f"t{index}" for index in range(count)}
