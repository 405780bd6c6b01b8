"""Dropped at every batch, and started again from the journal's bytes (I2, I3, I6, I12, I14)."""

from __future__ import annotations

import pytest
from tests.fakes.made import MINUTE, SECOND
from tests.fakes.story import STATE, Story
from tests.stories.catalog import Plot, plots

from rollbackd.core import signals as s
from rollbackd.core.engine import Advance
from rollbackd.core.model import Ms
from rollbackd.core.state import BAD_ENDS

PLOTS = plots()


class DaemonDied(Exception):
    """SIGKILL."""


class Mortal(Story):
    """Dies around one append: `before` it is durable, or `after` and before anything is done."""

    die_at: int | None = None
    side = "after"

    def append(self, advance: Advance) -> None:
        dies = len(self.batches) == self.die_at
        if dies and self.side == "before":
            raise DaemonDied
        super().append(advance)
        if dies:
            raise DaemonDied


def crashed(plot: Plot, die_at: int, side: str, *, lost: bool, down: Ms) -> Mortal:
    one = Mortal(plot.config, plot.world())
    one.die_at, one.side = die_at, side
    try:
        plot.play(one)
    except DaemonDied:
        one.die_at = None
        one.restart(down=down, lost=lost)
        plot.play(one)
    return one


def batches(plot: Plot) -> int:
    one = Mortal(plot.config, plot.world())
    plot.play(one)
    assert one.states() == plot.ends
    return len(one.batches)


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("name", list(PLOTS))
def test_a_crash_at_any_batch_does_not_change_the_end(name: str, side: str) -> None:
    """Running steps go on meanwhile, and are found again."""
    plot = PLOTS[name]()
    for die_at in range(1, batches(plot)):
        one = crashed(PLOTS[name](), die_at, side, lost=False, down=3 * SECOND)
        assert one.states() == plot.ends, (die_at, one.states())
        _nothing_ran_twice(one, plot)
        _what_ended_badly_was_paged(one)


@pytest.mark.parametrize("name", ["auto", "repeatable", "checked"])
def test_a_crash_that_takes_the_steps_along_ends_verified_or_parked_and_paged(name: str) -> None:
    plot = PLOTS[name]()
    ends = set()
    for die_at in range(1, batches(plot)):
        one = crashed(PLOTS[name](), die_at, "after", lost=True, down=3 * SECOND)
        assert set(one.states().values()) <= {"verified", "parked"}, (die_at, one.states())
        ends |= set(one.states().values())
        _nothing_ran_twice(one, plot)
        _what_ended_badly_was_paged(one)
    assert ends == ({"verified"} if name == "repeatable" else {"verified", "parked"})


@pytest.mark.parametrize("name", ["auto", "veto", "ask"])
def test_a_long_absence_ends_verified_asked_or_paged(name: str) -> None:
    """Whatever was decided before: nothing acts on an old breach (W7, I14)."""
    plot = PLOTS[name]()
    for die_at in range(1, batches(plot), 2):
        one = crashed(PLOTS[name](), die_at, "after", lost=False, down=20 * MINUTE)
        for life, state in one.states().items():
            assert state in ("verified", "stood_down", "waiting_approval", "expired"), (die_at, life, state)
        _what_ended_badly_was_paged(one)


@pytest.mark.parametrize("name", list(PLOTS))
def test_a_restart_at_any_batch_knows_what_was_known(name: str) -> None:
    """I12: the fold of every prefix is the state that was live then, byte for byte."""
    plot = PLOTS[name]()
    one = Mortal(plot.config, plot.world())
    seen: list[bytes] = []
    turn = one.turn

    def recording(signal: s.Signal) -> object:
        work = turn(signal)
        while len(seen) < len(one.batches):
            seen.append(STATE.encode(one.state))
        return work

    one.turn = recording  # type: ignore[assignment, method-assign]
    plot.play(one)
    assert len(seen) == len(one.batches)
    assert seen[-1] == STATE.encode(one.mirror)


def _nothing_ran_twice(one: Story, plot: Plot) -> None:
    repeats = {
        step.name
        for plan in plot.config.plans
        for _, step in plan.steps()
        if step.repeatable or step.attempts > 1
    }
    lives = max(len(one.states()), 1)
    for name in set(one.ran()) - repeats:
        assert one.ran().count(name) <= lives, (name, one.ran())


def _what_ended_badly_was_paged(one: Story) -> None:
    for life, state in one.states().items():
        if state in ("parked", "waiting_approval", "expired", *BAD_ENDS):
            assert any(page.page.startswith(f"life/{life}/") for _, page in one.world.taken), (life, state)
