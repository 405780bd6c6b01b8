"""I13: any edit, reorder or cut inside the chain is found (fault 13); truncation, against an outside
anchor."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.adapters.journal.conftest import Store, forgotten, stamp

from rollbackd.core.events import LifeHeld
from rollbackd.core.record import Head, JournalBroken
from rollbackd.journal.chain import Row, link

ROWS = 6


@pytest.fixture
def filled(store: Store) -> Store:
    fill(store)
    return store


def fill(store: Store) -> Head:
    journal = store.open()
    for number in range(1, ROWS, 2):
        held = LifeHeld(at=number, life="api-1", by="ann", channel="socket")
        journal.append([held, forgotten(number)], stamp(number))
    journal.close()
    return journal.head()


def replaced(row: Row, column: str, value: object) -> Row:
    return Row._make(value if name == column else held for name, held in row._asdict().items())


def edited(value: object) -> object:
    match value:
        case None:
            return "api-9"
        case int():
            return value + 100
        case str():
            return value + "x"
        case bytes():
            return bytes([value[0] ^ 1]) + value[1:]
    raise TypeError(value)


@pytest.mark.parametrize("seq", [1, 3, ROWS])
@pytest.mark.parametrize("column", Row._fields)
def test_an_edit_of_any_column_is_found(filled: Store, column: str, seq: int) -> None:
    rows = filled.rows()
    row = rows[seq - 1]
    rows[seq - 1] = replaced(row, column, edited(getattr(row, column)))
    filled.rewrite(sorted(rows, key=lambda row: row.seq))
    found = filled.verify()
    assert found.bad == seq
    assert str(seq) in found.why
    with pytest.raises(JournalBroken):
        list(filled.open().replay())


@pytest.mark.parametrize(("column", "value"), [("life", None), ("body", None), ("actor", b"rollbackd")])
def test_a_value_replaced_by_nothing_or_by_another_type_is_found(
    filled: Store, column: str, value: object
) -> None:
    rows = filled.rows()
    rows[2] = replaced(rows[2], column, value)
    filled.rewrite(rows)
    assert filled.verify().bad == 3


def test_an_edit_with_its_own_hash_put_right_is_found_at_the_next_row(filled: Store) -> None:
    rows = filled.rows()
    forged = rows[2]._replace(actor="mallory")
    rows[2] = forged._replace(hash=link(rows[1].hash, forged))
    filled.rewrite(rows)
    assert filled.verify().bad == 4


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(order=st.permutations(range(ROWS)))
def test_a_reorder_is_found(stores: Callable[[], Store], order: list[int]) -> None:
    store = stores()
    fill(store)
    rows = store.rows()
    moved = [rows[old]._replace(seq=new) for new, old in enumerate(order, 1)]
    store.rewrite(moved)
    assert store.verify().ok == (order == sorted(order))


@pytest.mark.parametrize("cut", range(1, ROWS))
def test_a_cut_inside_is_found(filled: Store, cut: int) -> None:
    rows = filled.rows()
    filled.rewrite(rows[: cut - 1] + rows[cut:])
    assert filled.verify().bad == cut
    closed = [row._replace(seq=number) for number, row in enumerate(rows[: cut - 1] + rows[cut:], 1)]
    filled.rewrite(closed)
    assert filled.verify().bad == cut


def test_an_insertion_is_found(filled: Store) -> None:
    rows = filled.rows()
    more = [*rows[:3], rows[1], *rows[3:]]
    filled.rewrite([row._replace(seq=number) for number, row in enumerate(more, 1)])
    assert filled.verify().bad == 4


@pytest.mark.parametrize("left", range(ROWS))
def test_truncation_is_found_against_an_anchor_alone(store: Store, left: int) -> None:
    """Fault 14."""
    anchor = fill(store)
    assert store.verify(anchor).ok
    store.rewrite(store.rows()[:left])
    assert store.verify().ok
    found = store.verify(anchor)
    assert (found.bad, found.upto) == (ROWS, left)
    assert "old backup" in found.why


def test_another_history_of_the_same_length_is_found_against_an_anchor(stores: Callable[[], Store]) -> None:
    anchor = fill(stores())
    other = stores()
    journal = other.open()
    journal.append([forgotten(number) for number in range(ROWS)], stamp())
    journal.close()
    assert other.verify().ok
    assert not other.verify(anchor).ok


def test_a_journal_from_elsewhere_is_refused(filled: Store) -> None:
    with pytest.raises(JournalBroken, match="row 1"):
        list(filled.open(origin="another directory").replay())


def test_the_chain_is_verified_in_pieces(filled: Store) -> None:
    journal = filled.open()
    first = journal.verify(0, 4)
    rest = journal.verify(4)
    assert (first.upto, rest.after, rest.upto) == (4, 4, ROWS)
    assert (first.ok, rest.ok) == (True, True)
    assert rest.hash == journal.head().hash
    assert journal.verify(ROWS + 1).bad == ROWS + 1
    journal.close()
