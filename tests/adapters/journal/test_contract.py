"""What every journal does (J1, J3, I12)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.adapters.journal.conftest import MemoryStore, SqliteStore, Store, forgotten, stamp
from tests.journals.examples import any_event

from rollbackd.core.events import Checkpoint, Event, LifeHeld, MatterOpened, TriggerForgotten
from rollbackd.core.record import Head, JournalBroken, JournalFull, Stamp
from rollbackd.core.state import State
from rollbackd.journal.memory import MemoryJournal
from rollbackd.journal.sqlite import SqliteJournal

BATCHES = st.lists(st.lists(any_event(), min_size=1, max_size=4), max_size=5)
STAMPS = st.builds(
    Stamp,
    steady=st.integers(0, 2**53),
    wall=st.integers(-(2**63), 2**63 - 1),
    boottime=st.integers(0, 2**53),
    boot=st.uuids().map(str),
    epoch=st.integers(0, 2**40),
    actor=st.text(st.characters(codec="utf-8"), max_size=8),
)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches=BATCHES, at=STAMPS)
def test_what_was_appended_is_replayed_after_a_restart(
    stores: Callable[[], Store], batches: list[list[Event]], at: Stamp
) -> None:
    store = stores()
    journal = store.open()
    heads = [journal.append(batch, at) for batch in batches]
    journal.close()

    journal = store.open()
    rows = list(journal.replay())
    appended = [(number, event) for number, batch in enumerate(batches, 1) for event in batch]
    assert [(row.batch, row.event) for row in rows] == appended
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert {row.stamp for row in rows} <= {at}
    assert [head.seq for head in heads] == [row.seq for row in rows if _last_of_batch(row.seq, heads)]
    assert [head.hash for head in heads] == [row.hash for row in rows if _last_of_batch(row.seq, heads)]
    if heads:
        assert journal.head() == heads[-1]
        assert journal.last_stamp() == at
    for row in rows:
        assert row.event is not None
        assert row.life == getattr(row.event, "life", None)
        if row.life is not None:
            assert journal.life(row.life) == [other for other in rows if other.life == row.life]
        assert journal.recent(row.kind, 2) == [other for other in rows[::-1] if other.kind == row.kind][:2]
    found = journal.verify()
    assert found.ok
    assert (found.upto, found.hash) == (journal.head().seq, journal.head().hash)
    journal.close()
    assert store.verify(journal.head()).ok


def _last_of_batch(seq: int, heads: list[Head]) -> bool:
    return any(head.seq == seq for head in heads)


def test_both_journals_hold_the_same_bytes(stores: Callable[[], Store]) -> None:
    one, other = stores(), MemoryStore()
    for store in (one, other):
        journal = store.open()
        journal.append([forgotten(1), forgotten(2)], stamp(5))
        journal.append([forgotten(3)], stamp(6))
        journal.close()
    assert one.rows() == other.rows()


def test_an_empty_journal(store: Store) -> None:
    journal = store.open()
    assert journal.head().seq == 0
    assert journal.last_stamp() is None
    assert journal.snapshot() is None
    assert list(journal.replay()) == journal.life("L-1") == journal.recent("life_held", 5) == []
    assert journal.verify().ok
    assert journal.append([], stamp()) == journal.head()
    journal.close()
    assert store.rows() == []


def test_pieces_are_asked_for_by_seq_kind_and_life(store: Store) -> None:
    journal = store.open()
    for number in range(1, 10):
        held = LifeHeld(at=number, life=f"api-{number % 2}", by="ann", channel="socket")
        journal.append([forgotten(number), held], stamp(number))
    assert [row.seq for row in journal.events(3, 4)] == [4, 5, 6, 7]
    assert [row.seq for row in journal.replay(15)] == [16, 17, 18]
    assert [row.seq for row in journal.life("api-1")] == [2, 6, 10, 14, 18]
    assert [row.seq for row in journal.recent("life_held", 2)] == [18, 16]
    assert [row.seq for row in journal.recent("life_held", 2, before=16)] == [14, 12]
    assert journal.recent("life_held", 2, before=1) == []
    assert journal.events(18, 4) == []
    journal.close()


def test_a_matter_of_a_life_is_found_with_the_life(store: Store) -> None:
    journal = store.open()
    matter = {"cause": "c", "title": "t", "text": "x", "ladder": ()}
    opened = MatterOpened(at=1, matter="m", matter_kind="life", life="api-1", **matter)  # type: ignore[arg-type]
    journal.append([opened, MatterOpened(at=1, matter="n", matter_kind="blind", **matter)], stamp())  # type: ignore[arg-type]
    assert [row.event for row in journal.life("api-1")] == [opened]
    journal.close()


def test_appending_while_replaying(store: Store) -> None:
    journal = store.open()
    journal.append([forgotten(1), forgotten(2)], stamp())
    replay = journal.replay()
    assert next(replay).seq == 1
    journal.append([forgotten(3)], stamp())
    assert next(replay).seq == 2
    journal.close()


def test_replay_from_a_row_that_is_not_there(store: Store) -> None:
    journal = store.open()
    journal.append([forgotten(1)], stamp())
    with pytest.raises(JournalBroken, match="row 2 is missing"):
        list(journal.replay(2))
    journal.close()


def test_an_event_that_cannot_be_stored_leaves_nothing(store: Store) -> None:
    journal = store.open()
    head = journal.append([forgotten(1)], stamp())
    with pytest.raises(ValueError, match="trigger_forgotten"):
        journal.append([forgotten(2), TriggerForgotten(at=3, trigger="\ud800")], stamp())
    with pytest.raises(ValueError, match="64 bits"):
        journal.append([forgotten(2)], stamp(2**63))
    with pytest.raises(ValueError, match="surrogates"):
        journal.append([forgotten(2)], stamp(actor="\udcff"))
    assert journal.head() == head
    assert journal.append([forgotten(2)], stamp()).seq == 2
    journal.close()
    assert len(store.rows()) == 2


# Retention (J4)


def checkpoint(upto: int, *kept: str) -> Checkpoint:
    return Checkpoint(at=upto, upto=upto, kept=kept, state=State(numbers={"api": upto}))


def held(life: str) -> LifeHeld:
    return LifeHeld(at=1, life=life, by="ann", channel="socket")


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_what_a_checkpoint_lets_go_is_pruned_and_the_chain_verifies(store: Store, limit: int) -> None:
    journal = store.open()
    assert journal.checkpoint() is None
    assert not journal.prune(limit)
    old = [forgotten(1), held("api-1"), held("api-2"), forgotten(4)]
    journal.append([*old, held("api-2")], stamp())
    before = journal.append([forgotten(6)], stamp())
    journal.append([checkpoint(4, "api-2")], stamp())
    head = journal.append([forgotten(8)], stamp())
    while journal.prune(limit):
        assert journal.verify().ok
    left = [
        None,
        None,
        held("api-2"),
        None,
        held("api-2"),
        forgotten(6),
        checkpoint(4, "api-2"),
        forgotten(8),
    ]
    for _ in "as it is", "after a restart":
        assert [row.event for row in journal.replay()] == left
        assert [row.event for row in journal.life("api-1")] == [None]
        found = journal.verify(anchor=before)
        assert (found.ok, found.pruned, found.hash) == (True, 3, head.hash)
        said = journal.checkpoint()
        assert said is not None
        assert (said.seq, said.event) == (7, left[6])
        journal.close()
        journal = store.open()
        while journal.prune(limit):
            pass
    journal.close()


def test_a_newer_checkpoint_lets_the_older_one_go(store: Store) -> None:
    journal = store.open()
    journal.append([held("api-1"), checkpoint(1, "api-1"), forgotten(3)], stamp())
    assert not journal.prune(100)
    assert journal.verify().pruned == 0
    journal.append([checkpoint(1)], stamp())
    assert not journal.prune(100)
    assert [row.event for row in journal.replay()] == [None, None, forgotten(3), checkpoint(1)]
    assert journal.verify().ok
    journal.close()


@pytest.mark.parametrize("seq", [2, 3, 4, 5])
def test_a_body_that_no_checkpoint_lets_go_was_cut(store: Store, seq: int) -> None:
    journal = store.open()
    journal.append([forgotten(1), held("api-1"), forgotten(3), checkpoint(1, "api-1"), forgotten(5)], stamp())
    assert not journal.prune(100)
    journal.close()
    store.rewrite([row._replace(body=None) if row.seq == seq else row for row in store.rows()])
    bad = 1 if seq == 4 else seq  # without the checkpoint nothing says that row 1 may lack its body
    assert store.verify().bad == bad
    with pytest.raises(JournalBroken, match=f"row {bad}: its body is missing"):
        list(store.open().replay())


def test_a_checkpoint_that_says_more_than_was_recorded_is_found(store: Store) -> None:
    journal = store.open()
    journal.append([forgotten(1), forgotten(2), checkpoint(1)], stamp())
    journal.close()
    first, second, said = store.rows()
    forged = said._replace(body=(said.body or b"").replace(b'"upto":1', b'"upto":2'))
    store.rewrite([first._replace(body=None), second._replace(body=None), forged])
    assert store.verify().bad == 3


@contextmanager
def refused(store: Store, journal: SqliteJournal | MemoryJournal) -> Iterator[None]:
    """The disk is full; or, of a real one, somebody else writes."""
    if isinstance(journal, MemoryJournal):
        journal.faults.full = True
        yield
        journal.faults.full = False
        return
    assert isinstance(store, SqliteStore)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_disk_that_refuses_prunes_nothing(store: Store) -> None:
    journal = store.open()
    journal.append([forgotten(1), checkpoint(1)], stamp())
    with refused(store, journal), pytest.raises(JournalFull):
        journal.prune(10)
    assert journal.verify().pruned == 0
    assert not journal.prune(10)
    assert journal.verify().pruned == 1
    journal.close()


# Snapshots (J3)


def test_a_snapshot_is_found_again_by_the_code_that_made_it(store: Store) -> None:
    journal = store.open()
    head = journal.append([forgotten(1), forgotten(2)], stamp())
    journal.save_snapshot(head, b"state of two")
    journal.append([forgotten(3)], stamp())
    journal.close()

    journal = store.open()
    snapshot = journal.snapshot()
    assert snapshot is not None
    assert (snapshot.head, snapshot.state) == (head, b"state of two")
    assert [row.seq for row in journal.replay(snapshot.head.seq)] == [3]
    journal.close()
    assert store.open(code="another").snapshot() is None


def test_a_snapshot_of_rows_that_are_gone_stops_the_daemon(store: Store) -> None:
    """Fault 14: an older journal was put back beside a newer snapshot."""
    journal = store.open()
    journal.append([forgotten(1)], stamp())
    journal.save_snapshot(journal.append([forgotten(2)], stamp()), b"state of two")
    journal.close()
    store.rewrite(store.rows()[:1])
    journal = store.open()
    with pytest.raises(JournalBroken, match=r"row 2.* is missing.*old backup"):
        journal.snapshot()
    journal.append([forgotten(22)], stamp())
    with pytest.raises(JournalBroken, match=r"row 2.* is another one"):
        journal.snapshot()
    journal.close()


# The memory journal's faults


def test_memory_full_writes_nothing_and_works_again() -> None:
    journal = MemoryStore().open()
    head = journal.append([forgotten(1)], stamp())
    journal.faults.full = True
    with pytest.raises(JournalFull):
        journal.append([forgotten(2)], stamp())
    with pytest.raises(JournalFull):
        journal.save_snapshot(head, b"")
    assert journal.head() == head
    journal.faults.full = False
    assert journal.append([forgotten(2)], stamp()).seq == 2


def test_memory_broken_is_never_tried_again() -> None:
    journal = MemoryStore().open()
    journal.append([forgotten(1)], stamp())
    journal.faults.broken = True
    with pytest.raises(JournalBroken):
        journal.append([forgotten(2)], stamp())
    journal.faults.broken = False
    with pytest.raises(JournalBroken, match="start again"):
        journal.append([forgotten(2)], stamp())


def test_memory_unsynced_rows_do_not_survive() -> None:
    store = MemoryStore()
    journal = store.open()
    journal.append([forgotten(1)], stamp())
    journal.faults.unsynced = True
    anchor = journal.append([forgotten(2)], stamp())
    journal = store.open()
    assert journal.head().seq == 1
    assert journal.verify().ok
    assert not journal.verify(anchor=anchor).ok
