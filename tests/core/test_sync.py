"""The watches after lives came and went are those that a look at everything would have."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.fakes import made
from tests.fakes.made import START

from rollbackd.core.model import Condition, Limit
from rollbackd.core.soft import Soft
from rollbackd.core.state import Counting, Firing, Life, State, Verification

RECOVERED = Condition("good", Limit(">", 0.5))
TRIGGERS = (
    made.trigger("kept", "p0"),
    made.trigger("learns", "p1", auto_align=True, recovered=RECOVERED),
)
PINNED = (
    *TRIGGERS,
    replace(TRIGGERS[0], fingerprint="older"),
    replace(TRIGGERS[1], fingerprint="older"),
    replace(TRIGGERS[1], fingerprint="older", group="renamed"),  # it means the same, and came later
    made.trigger("deleted", "p0", recovered=RECOVERED),
)
CONFIGURED = State(
    config=made.config(*TRIGGERS, plans=(made.plan("p0"), made.plan("p1"))),
    counting={each.name: Counting(each.fingerprint, START) for each in TRIGGERS},
)


class Pinned(NamedTuple):
    triggers: list[int]
    verifying: bool
    windows: int
    ended: bool


def life(name: int, pinned: Pinned) -> Life:
    triggers = {PINNED[each].name: PINNED[each] for each in pinned.triggers}
    firings = tuple(Firing(trigger, "", {}, "1", "> 0.5", START, START, 1, ()) for trigger in triggers)
    changes: dict[str, Any] = {"ended": START} if pinned.ended else {}
    if pinned.verifying:
        changes["verification"] = Verification(START, START, START + 1_000, 1_000)
    return Life(
        id=f"p0-{name}",
        plan=made.plan("p0", verify_windows=pinned.windows),
        opened=START,
        state="running",
        by="rollbackd",
        top="auto",
        action="auto",
        triggers=triggers,
        firings=firings,
        **changes,
    )


LIVES = st.dictionaries(
    st.integers(0, 3),
    st.builds(
        Pinned,
        triggers=st.lists(st.integers(0, len(PINNED) - 1), min_size=1, max_size=3),
        verifying=st.booleans(),
        windows=st.integers(0, 9),
        ended=st.booleans(),
    ),
    max_size=3,
)


def seen(soft: Soft) -> dict[str, object]:
    names = [each.name for each in PINNED]
    groups = ["main", "renamed"]
    return {
        "watches": {
            watch.key: (watch.trigger, watch.condition, watch.family, watch.alignment, watch.reach)
            for watch in soft.watches.values()
        },
        "by name": {name: {watch.key for watch in soft.named(name)} for name in names},
        "configured": {name: soft.configured(name) is not None for name in names},
        "by group": {group: {watch.key for watch in soft.grouped(group)} for group in groups},
        "recoveries": set(soft.recoveries),
    }


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(st.lists(LIVES, min_size=1, max_size=6))
def test_a_look_at_lives_alone_finds_what_a_look_at_all_finds(rounds: list[dict[int, Pinned]]) -> None:
    lives_alone, everything = Soft(), Soft()
    for soft in (lives_alone, everything):
        soft.sync(CONFIGURED, START)
    known: list[tuple[int, bool]] = []
    for found in rounds:
        state = replace(CONFIGURED, lives={f"p0-{name}": life(name, each) for name, each in found.items()})
        lives_alone.sync_lives(state, START)
        # What a life pins is looked at when lives come, go, or begin to be verified.
        if known != (known := [(name, each.verifying) for name, each in found.items()]):
            everything.sync(state, START)
        assert seen(lives_alone) == seen(everything)
