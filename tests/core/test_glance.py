"""What a trigger looks like from outside: armed or not, blind or not."""

from __future__ import annotations

import pytest
from tests.fakes import made
from tests.fakes.made import HOUR, INTERVAL, MINUTE
from tests.fakes.story import Story, World

from rollbackd.core import signals as s
from rollbackd.core.glance import armed, blind, disarmed_subjects


def looks(one: Story, *subjects: str) -> bool:
    trigger = one.config.triggers[0]
    return armed(one.state, trigger, subjects, disarmed_subjects(one.state).get(trigger.name))


@pytest.mark.parametrize(
    ("breaching", "subjects", "expected"),
    [
        ((), (), True),
        ((), ("a",), True),
        (("a",), ("a",), False),
        (("a",), ("a", "b"), True),
        (("a", "b"), ("a", "b"), False),
        (("a",), (), True),  # none seen yet, as far as this caller knows
    ],
)
def test_a_trigger_is_armed_while_one_of_its_subjects_is(
    breaching: tuple[str, ...], subjects: tuple[str, ...], expected: bool
) -> None:
    world = World()
    world.readings["errors"] = lambda _: {"z": "0", **dict.fromkeys(breaching, "2")}
    one = Story(made.config(made.trigger(per=("pod",))), world, fresh=True)
    one.run(span=INTERVAL)
    assert looks(one, *subjects) is expected


def test_one_that_waits_for_rollouts_is_armed_while_one_is_open() -> None:
    one = Story(made.config(made.trigger(arm="rollout")))
    assert not looks(one)
    one.say(s.BeginRollout("api", "v1", "v2", HOUR))
    assert looks(one)
    one.say(s.FinishRollout("api"))
    assert not looks(one)


def test_nothing_is_armed_while_open_lives_are_only_finished() -> None:
    one = Story(made.config())
    assert looks(one)
    one.restart(unusable="plans/api: gone")
    assert not looks(one)


def test_why_a_trigger_is_blind() -> None:
    one = Story(made.config(made.trigger("errors"), made.trigger("latency")))
    one.world.readings["errors"] = lambda _: {}
    one.run(span=6 * MINUTE)
    assert (blind(one.state, "errors"), blind(one.state, "latency")) == ("absent", None)
