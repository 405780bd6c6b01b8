"""What heads that were kept outside say of a journal, and exports that prove themselves (I13, fault 14)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.adapters.journal.conftest import ORIGIN, SqliteStore, forgotten, stamp

from rollbackd.core.events import Checkpoint, LifeHeld, PauseBegan, TriggerCounted
from rollbackd.core.record import Head
from rollbackd.core.state import State
from rollbackd.journal import files
from rollbackd.journal.anchors import Verdict, found_in, line
from rollbackd.journal.audit import judge_anchors, verify_file
from rollbackd.journal.export import Line, Selection, export, verify
from rollbackd.journal.sqlite import SqliteJournal

ROWS = 12


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "journal.db")


def fill(journal: SqliteJournal, rows: int = ROWS, actor: str = "rollbackd") -> list[Head]:
    """A row a batch; its heads."""
    return [journal.append([forgotten(n)], stamp(n * 1_000, actor)) for n in range(1, rows + 1)]


def anchored(store: SqliteStore) -> list[Head]:
    journal = store.open()
    heads = fill(journal)
    journal.close()
    return [heads[2], heads[5], heads[11]]


def what(verdicts: list[Verdict]) -> list[tuple[int, str, int]]:
    return [(verdict.anchor.seq, verdict.what, verdict.since) for verdict in verdicts]


def test_anchors_of_the_chain_match(store: SqliteStore) -> None:
    anchors = anchored(store)
    found = judge_anchors(store.path, ORIGIN, [*anchors, *anchors])
    assert what(found) == [(3, "matches", 0), (6, "matches", 0), (12, "matches", 0)]


def test_a_tail_that_was_cut_is_seen_by_anchors_alone(store: SqliteStore) -> None:
    anchors = anchored(store)
    store.rewrite(store.rows()[:8])
    assert verify_file(store.path, ORIGIN).ok
    found = judge_anchors(store.path, ORIGIN, anchors)
    assert what(found) == [(3, "matches", 0), (6, "matches", 0), (12, "cut_off", 9)]


@pytest.mark.parametrize(("rows", "last"), [(ROWS, "rewritten"), (9, "cut_off")])
def test_a_chain_that_was_written_anew_is_seen_by_anchors_alone(
    store: SqliteStore, rows: int, last: str
) -> None:
    """Consistently, from row 4 on, with all hashes right."""
    anchors = anchored(store)
    store.rewrite(store.rows()[:3])
    journal = store.open()
    for number in range(4, rows + 1):
        journal.append([forgotten(number, size=1)], stamp(number * 1_000))
    journal.close()
    assert verify_file(store.path, ORIGIN).ok
    since = 4 if last == "rewritten" else rows + 1
    found = judge_anchors(store.path, ORIGIN, anchors)
    assert what(found) == [(3, "matches", 0), (6, "rewritten", 4), (12, last, since)]


def test_an_anchor_of_the_very_beginning(store: SqliteStore) -> None:
    journal = store.open()
    genesis = journal.head()
    fill(journal)
    journal.close()
    assert what(judge_anchors(store.path, ORIGIN, [genesis])) == [(0, "matches", 0)]
    assert what(judge_anchors(store.path, "another", [genesis])) == [(0, "rewritten", 1)]


def test_anchors_are_found_wherever_they_are_written() -> None:
    head = Head(41, "ab" * 32)
    texts = [
        line("2026-11-21T19:00:00.000Z", ORIGIN, head),
        f"timestamp=x level=info event=anchor journal={ORIGIN} head={head}",
        f'{{"annotations":{{"journal":"{head}"}}}}',
        f"_Rows 1 to 41 of the journal; anchor {head}_".rstrip("_"),
        f'{{"kind":"anchor","seq":41,"hash":"{head.hash}"}}',
    ]
    for text in texts:
        assert list(found_in([text])) == [head], text
    noise = [f"41:{'ab' * 31}", f"41:{'ab' * 33}", f"x41:{'ab' * 32}", "19:00:00", f"41:{'AB' * 32}"]
    assert list(found_in(noise)) == []


def test_lines_of_an_anchor_file_stay_whole_behind_a_torn_one(tmp_path: Path) -> None:
    file = tmp_path / "anchors"
    file.write_text("1:abc")
    for number in (1, 2):
        files.append_line(str(file), f"line {number}")
    assert file.read_text() == "1:abc\nline 1\nline 2\n"


# Exports


@pytest.fixture
def told(store: SqliteStore) -> list[Head]:
    """Rows 1 to 3 of the daemon, 4 to 6 by ann, 7 of a life, 8 a checkpoint."""
    journal = store.open()
    heads = fill(journal, 3)
    paused = PauseBegan(at=4, by="ann", channel="unix", comment="ä \u2028")
    counted = [TriggerCounted(at=4, trigger=name, fingerprint="f", since=4, why="unpaused") for name in "ab"]
    heads.append(journal.append([paused, *counted], stamp(4_000, "ann")))
    heads.append(journal.append([LifeHeld(at=5, life="api-1", by="bo", channel="web")], stamp(5_000, "bo")))
    heads.append(journal.append([Checkpoint(at=6, upto=2, kept=(), state=State())], stamp(6_000)))
    while journal.prune(100):
        pass
    journal.close()
    return heads


def lines(store: SqliteStore, selection: Selection = Selection()) -> list[bytes]:  # noqa: B008
    return list(export(store.path, ORIGIN, selection))


def test_an_export_proves_itself(store: SqliteStore, told: list[Head]) -> None:
    found = verify(lines(store), [3, 7])
    assert (found.why, found.rows, found.first, found.last) == ("", 8, 1, 8)
    assert (found.hash, found.pruned, found.gaps) == (told[-1].hash, 2, [])
    assert found.held == {3: told[2].hash, 7: told[4].hash}


def test_every_row_says_who_and_how(store: SqliteStore, told: list[Head]) -> None:
    rows = [json.loads(text) for text in lines(store)]
    assert [(row["actor"], row["channel"]) for row in rows] == [
        *[("rollbackd", "")] * 3,
        *[("ann", "unix")] * 3,
        ("bo", "web"),
        ("rollbackd", ""),
    ]
    assert [row["body"] and row["body"]["kind"] for row in rows[:4]] == [
        *[None, None],
        *["trigger_forgotten", "pause_began"],
    ]
    assert set(rows[0]) == set(Line.__struct_fields__)
    assert rows[2]["at"] == "1970-01-01T00:00:03.000Z"


@pytest.mark.parametrize(
    ("selection", "seqs"),
    [
        (Selection(since=3_000), [3, 4, 5, 6, 7, 8]),
        (Selection(until=3_000), [1, 2]),
        (Selection(since=2_500, until=5_000), [3, 4, 5, 6]),
        (Selection(since=9_000), []),
        (Selection(life="api-1"), [7]),
        (Selection(life="api-1", since=5_001), []),
        (Selection(kind="trigger_counted"), [5, 6]),
        (Selection(kind="trigger_forgotten", since=2_000), [2, 3]),
        (Selection(kind="trigger_counted", life="api-1"), []),
    ],
)
def test_a_part_of_it(store: SqliteStore, told: list[Head], selection: Selection, seqs: list[int]) -> None:
    found = lines(store, selection)
    assert [json.loads(text)["seq"] for text in found] == seqs
    assert verify(found).why == ""


def test_missing_rows_are_gaps(store: SqliteStore, told: list[Head]) -> None:
    whole = lines(store)
    found = verify([*whole[:2], *whole[4:5], *whole[7:]])
    assert (found.why, found.gaps) == ("", [(2, 5), (5, 8)])


EDITS = [
    ("actor", '"bo"', '"mallory"'),
    ("body", '"by":"bo"', '"by":"me"'),
    ("life", '"life":"api-1","actor"', '"life":"api-2","actor"'),
    ("channel in the body", '"channel":"web"}', '"channel":"cli"}'),
    ("the column of the channel", '"channel":"web","steady"', '"channel":"cli","steady"'),
    ("the time", '"at":"1970-01-01T00:00:05.000Z"', '"at":"1970-01-01T00:00:06.000Z"'),
    ("a space", '"by":"bo"', '"by": "bo"'),
]


@pytest.mark.parametrize(("what", "old", "new"), EDITS, ids=[what for what, _, _ in EDITS])
def test_an_edit_of_an_export_is_found(
    store: SqliteStore, told: list[Head], what: str, old: str, new: str
) -> None:
    whole = [text.decode() for text in lines(store)]
    edited = whole[6].replace(old, new)
    assert edited != whole[6]
    found = verify([text.encode() for text in [*whole[:6], edited, *whole[7:]]])
    assert found.bad == 7
    assert found.why


def test_what_is_no_line_is_said(store: SqliteStore, told: list[Head]) -> None:
    whole = lines(store)
    assert verify([whole[0], b"{}"]).bad == 2
    assert "comes after" in verify([whole[1], whole[0]]).why
    assert verify([whole[0].replace(ORIGIN.encode(), b"another")]).bad == 1
