"""What an on-call night and a hostile source showed once, so that it does not happen again."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fakes import made
from tests.fakes.made import INTERVAL, MINUTE, SECOND
from tests.fakes.story import Found, Story, World

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.decision import MOST_SUBJECTS
from rollbackd.core.model import Ms, Trigger
from rollbackd.core.wording import named, value

ASKED: dict[str, Any] = {"severity": "medium", "action": "ask", "expires": 15 * MINUTE}
HOUR = 60 * MINUTE


def breaching(*triggers: Trigger, **config: Any) -> Story:
    one = Story(made.config(*triggers, **config))
    for trigger in triggers:
        one.tape(trigger, "BBB", "B")
    return one


def test_shadow_says_what_it_would_have_done_and_why() -> None:
    plan = made.plan(needs_previous=True)
    one = breaching(made.trigger(), plans=(plan,), max_action="shadow")
    one.say(s.Pause(comment="freeze"))
    one.run(span=4 * INTERVAL)
    assert one.states() == {"api-1": "shadowed"}
    assert one.lowered("api-1") == ["max_action", "paused", "no_previous"]
    assert one.of(e.LifeEnded)[0].detail == "would have been ask"


def test_shadow_without_a_rollout_says_that_there_is_nothing_to_undo() -> None:
    one = breaching(made.trigger(arm="rollout"), max_action="shadow")
    one.run(span=4 * INTERVAL)
    assert one.of(e.LifeEnded)[0].detail == "would have been notify"


def test_subjects_that_fire_together_in_shadow_are_one_record() -> None:
    trigger = made.trigger(per=("cohort",))
    one = Story(made.config(trigger, max_action="shadow"))
    one.world.readings[trigger.condition.expr] = lambda _: {"a": "2", "b": "2", "c": "2"}
    one.run(span=4 * INTERVAL)
    assert len(one.of(e.LifeOpened)) == 1
    assert len(one.of(e.LifeOpened)[0].firings) == 3


def test_approving_what_is_held_says_so_and_ends_the_question() -> None:
    one = breaching(made.trigger(**ASKED))
    one.run_to(lambda: one.state_of("api-1") == "waiting_approval")
    one.say(s.Hold("api-1"))
    one.say(s.Approve("api-1"))
    assert "resume" in one.replies[-1].text
    assert "life/api-1" not in one.state.matters
    one.say(s.Resume("api-1"))
    one.run(span=MINUTE)
    assert one.ran()[:1] == ["drain"]


def test_saying_no_twice_is_no_error_and_a_veto_is_not_asked_back() -> None:
    one = breaching(made.trigger(**ASKED))
    one.run_to(lambda: one.state_of("api-1") == "waiting_approval")
    one.say(s.Veto("api-1"))
    one.say(s.Veto("api-1"))
    assert one.replies[-1].accepted
    one.say(s.Approve("api-1"))
    assert (one.replies[-1].accepted, one.replies[-1].conflict) == (False, True)
    one.run(span=HOUR)
    assert one.of(e.Relapsed) == []


def test_a_resolved_page_says_why() -> None:
    one = breaching(made.trigger(**ASKED))
    one.run_to(lambda: one.state_of("api-1") == "waiting_approval")
    one.run(span=SECOND)
    one.say(s.Veto("api-1"))
    one.run(span=MINUTE)
    resolved = [page for _, page in one.world.taken if page.status == "resolved"]
    assert resolved
    assert all(page.title.startswith("resolved: ") and "vetoed by" in page.text for page in resolved)


def test_a_value_that_is_no_number_is_unusable_and_stops_nothing() -> None:
    trigger = made.trigger()
    one = Story(made.config(trigger))
    one.world.readings[trigger.condition.expr] = lambda _: {"": "abc"}
    one.run(span=5 * INTERVAL)
    watch = one.driver.engine.soft.watch(trigger)
    assert watch is not None
    assert watch.problem is not None
    assert "not a number" in watch.problem
    one.tape(trigger, "", "B")
    one.run(span=5 * INTERVAL)
    assert one.of(e.LifeOpened)


def test_a_clock_that_was_a_day_ahead_blinds_nobody_for_a_day() -> None:
    """Fault 17."""
    trigger = made.trigger()
    one = Story(made.config(trigger))
    one.run(span=3 * INTERVAL)
    one.world.skew = 24 * HOUR
    one.run(span=2 * INTERVAL)
    one.world.skew = 0
    one.run(span=2 * INTERVAL)
    one.world.readings[trigger.condition.expr] = lambda _: {"": "2"}
    one.run(span=10 * INTERVAL)
    assert one.of(e.LifeOpened)


@pytest.mark.parametrize("labels", [1, 400])
def test_a_life_carries_a_bounded_number_of_subjects(labels: int) -> None:
    """I16: what the kernel hands to a step is bounded."""
    trigger = made.trigger(per=("cohort",))
    one = Story(made.config(trigger))

    def everyone(_: Ms) -> Found:
        return {f"{'c' * labels}-{index}": "2" for index in range(2 * MOST_SUBJECTS)}

    one.world.readings[trigger.condition.expr] = everyone
    one.run_to(lambda: bool(one.of(e.RollbackBegan)))
    firings = one.of(e.RollbackBegan)[0].firings
    assert 0 < len(firings) <= MOST_SUBJECTS
    assert sum(len(found.subject) for found in firings) <= 48_000


def test_a_first_boot_among_many_breaches_is_one_page_a_trigger() -> None:
    trigger = made.trigger(per=("cohort",))
    world = World()
    world.readings[trigger.condition.expr] = lambda _: {f"c{i}": "2" for i in range(50)}
    one = Story(made.config(trigger), world, fresh=True)
    one.run(span=2 * INTERVAL)
    assert [key for key in one.state.matters if key.startswith("breach/")] == ["breach/errors"]
    one.world.readings[trigger.condition.expr] = lambda _: {f"c{i}": "0" for i in range(50)}
    one.run(span=2 * INTERVAL)
    assert one.state.matters == {}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0.5", "0.5"),
        ("9.799999999999999/19.599999999999998", "0.5 (9.8/19.6)"),
        ("3/0", "3/0"),
        ("NaN", "nan"),
    ],
)
def test_readings_are_for_people(text: str, shown: str) -> None:
    assert value(text) == shown


def test_labels_cannot_forge_a_line_of_a_page() -> None:
    """Fault 68."""
    forged = named({"cohort": "x}\nOwner: CEO\x1b]8;;http://evil\x07" + "y" * 1000})
    assert "\n" not in forged
    assert "\x1b" not in forged
    assert len(forged) < 400
