"""A batch folds in place what it made itself: with the result, and the past, of folding one by one (I12)."""

from __future__ import annotations

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollbackd.core import events as e
from rollbackd.core.fold import Own, apply
from rollbackd.core.state import State

NAMES = st.sampled_from(["a", "b", "c"])
TIMES = st.integers(1, 1_000)

EVENTS: st.SearchStrategy[e.Event] = st.one_of(
    st.builds(
        e.TriggerCounted,
        at=TIMES,
        trigger=NAMES,
        fingerprint=NAMES,
        since=TIMES,
        why=st.just("loaded"),
        first=st.booleans(),
    ),
    st.builds(e.TriggerForgotten, at=TIMES, trigger=NAMES),
    st.builds(e.FirstWindowJudged, at=TIMES, trigger=NAMES),
    st.builds(
        e.SubjectDisarmed,
        at=TIMES,
        trigger=NAMES,
        subject=NAMES,
        cause=st.sampled_from(["fired", "standing", "first_window"]),
    ),
    st.builds(e.StandingTold, at=TIMES, trigger=NAMES, subject=NAMES),
    st.builds(e.StreakEnded, at=TIMES, trigger=NAMES, subject=NAMES),
    st.builds(e.SubjectArmed, at=TIMES, trigger=NAMES, subject=NAMES, why=st.just("ok")),
)


def bytes_of(state: State) -> bytes:
    return msgspec.msgpack.encode(state)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(st.lists(st.lists(EVENTS, max_size=12), max_size=4))
def test_a_batch_makes_the_same_bytes_and_leaves_what_was_before(batches: list[list[e.Event]]) -> None:
    plain = batched = State()
    values: list[tuple[State, bytes]] = []
    for batch in batches:
        own = Own()
        for event in batch:
            plain = apply(plain, event)
            batched = apply(batched, event, own)
        assert bytes_of(batched) == bytes_of(plain)
        values.append((batched, bytes_of(batched)))
    for state, known in values:
        assert bytes_of(state) == known


def counted(name: str) -> e.TriggerCounted:
    return e.TriggerCounted(at=1, trigger=name, fingerprint="f", since=1, why="loaded", first=True)


def test_a_batch_copies_a_mapping_once() -> None:
    before = apply(State(), counted("known"))
    own = Own()
    first = apply(before, counted("a"), own)
    later = apply(apply(first, counted("b"), own), e.FirstWindowJudged(at=2, trigger="a"), own)
    assert later.counting is first.counting
    assert list(before.counting) == ["known"]
    assert apply(later, counted("c")).counting is not later.counting
