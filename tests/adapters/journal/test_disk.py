"""The disk: full (10), fsync fails (11), a bit flips (12, 13), read-only (15)."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.journal import small_disk, writer
from tests.adapters.journal.conftest import SqliteStore, forgotten, stamp

from rollbackd.core.record import Head, JournalBroken, JournalFull, Snapshot
from rollbackd.journal import snapshots, wal
from rollbackd.journal.sqlite import SqliteJournal

ROOT = Path(__file__).parents[3]


def child(script: str, *arguments: str, own_mounts: bool = False) -> dict[str, Any]:
    """What a child says as JSON. Skips with the child's reason where the machine cannot."""
    if own_mounts and shutil.which("unshare") is None:
        pytest.skip("no unshare")
    namespace = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    command = [*(namespace if own_mounts else []), sys.executable, script, *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'daemon'}{os.pathsep}{ROOT}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    if own_mounts and done.stderr.startswith("unshare:"):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    if "skip" in told:
        pytest.skip(told["skip"])
    return told


def test_a_full_disk_and_the_reserve(tmp_path: Path) -> None:
    """Fault 10, on a real file system."""
    told = child(small_disk.__file__, "full", str(tmp_path), own_mounts=True)
    assert told == {
        "reserved": small_disk.RESERVE,
        "full": ["JournalFull", "JournalFull", True],
        "reserve after a restart": small_disk.RESERVE,
        "still full": ["JournalFull", True],
        "freed": [True, "durable", True],
        "no room for the reserve": [False, 0],
        "room again": [True, small_disk.RESERVE, "durable"],
        "opened without room": "JournalFull",
        "and with the reserve's": [True, "durable"],
    }


def test_a_disk_that_turned_read_only(tmp_path: Path) -> None:
    """Fault 15, on a real ext4 whose kernel gave up."""
    place = tmp_path / "mounted"
    place.mkdir()
    told = child(small_disk.__file__, "readonly", str(place), own_mounts=True)
    assert told == {
        "before": "durable",
        "after": ["JournalFull", "JournalFull", True],
    }


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        ("write", "ENOSPC", "JournalFull"),
        ("write", "EDQUOT", "JournalFull"),
        ("write", "EROFS", "JournalFull"),
        ("write", "EIO", "JournalBroken"),
        ("sync", "EIO", "JournalBroken"),
        ("sync", "ENOSPC", "JournalBroken"),
    ],
)
def test_what_the_kernel_refuses(tmp_path: Path, call: str, error: str, says: str) -> None:
    """Faults 10, 11, 15: a refused write leaves all as it was; a failed fsync is never tried again."""
    path = tmp_path / "journal.db"
    told = child(writer.__file__, "refuse", str(path), call, error)
    assert told == {"said": [says, says], "head": 2, "before": 2, "rows": 2}
    journal = writer.open_journal(path)
    rows = [row.event for row in journal.replay()]
    assert rows[:2] == writer.batch(1, 2)
    assert rows[2:] in ([], writer.batch(3, 2))  # after a failed fsync, whether it lasts is not known
    assert journal.append(writer.batch(9, 1), stamp()).seq == len(rows) + 1
    journal.close()


def test_nothing_is_refused_by_a_sound_kernel(tmp_path: Path) -> None:
    told = child(writer.__file__, "refuse", str(tmp_path / "journal.db"), "none", "EIO")
    assert told == {"said": ["durable", "durable"], "head": 6, "before": 2, "rows": 6}


# Without any right to mount


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "journal.db")


@pytest.fixture
def journal(store: SqliteStore) -> Iterator[SqliteJournal]:
    journal = store.open()
    yield journal
    journal.close()


def test_a_journal_that_may_not_grow_and_then_may(journal: SqliteJournal) -> None:
    head = journal.append([forgotten(1)], stamp())
    journal._db.execute("PRAGMA max_page_count=8")
    with pytest.raises(JournalFull, match="full"):
        journal.append([forgotten(2, size=200_000)], stamp())
    assert journal.head() == head
    assert [row.seq for row in journal.replay()] == [1]
    journal._db.execute("PRAGMA max_page_count=1073741823")
    assert journal.append([forgotten(2, size=200_000)], stamp()).seq == 2
    assert journal.verify().ok


def test_another_writer_holds_the_file(journal: SqliteJournal, store: SqliteStore) -> None:
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalFull, match="locked"):
            journal.append([forgotten(1)], stamp())
        other.execute("ROLLBACK")
    assert journal.append([forgotten(1)], stamp()).seq == 1


def test_another_writer_wrote(journal: SqliteJournal, store: SqliteStore) -> None:
    journal.append([forgotten(1)], stamp())
    with closing(sqlite3.connect(store.path)) as other, other:
        other.execute(
            "INSERT INTO entries SELECT 2, 2, life, kind, version, steady, wall, boot, boottime, "
            "epoch, actor, body, body_hash, hash FROM entries"
        )
    for _ in range(2):
        with pytest.raises(JournalBroken):
            journal.append([forgotten(2)], stamp())


def test_a_commit_that_reported_an_error_and_stands_is_read_back(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 62's likeness: SQLite says it is full, and the batch is there all the same."""

    class Ambiguous:
        def __init__(self, db: sqlite3.Connection) -> None:
            self._db = db

        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            cursor = self._db.execute(sql, *rest)
            if sql == "COMMIT":
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise error
            return cursor

        def __getattr__(self, name: str) -> Any:
            return getattr(self._db, name)

    monkeypatch.setattr(journal, "_db", Ambiguous(journal._db))
    assert journal.append([forgotten(1)], stamp()).seq == 1
    assert [row.event for row in journal.replay()] == [forgotten(1)]


def flip(path: Path, needle: bytes) -> None:
    content = bytearray(path.read_bytes())
    place = content.rindex(needle)
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("number", [1, 1_500, 3_000])
def test_a_flipped_bit_in_the_database(store: SqliteStore, number: int) -> None:
    """Fault 13. The tail is verified when it is opened; what is older, by `verify`."""
    journal = store.open()
    journal.append([forgotten(n) for n in range(1, 3_001)], stamp())
    journal.close()
    flip(store.path, f'"T{number}"'.encode())
    assert store.verify().bad == number
    if number == 1_500:
        assert store.open().verify().bad == number
    else:
        with pytest.raises(JournalBroken, match=f"row {number}"):
            store.open()


def test_a_damaged_page_is_no_journal(store: SqliteStore) -> None:
    journal = store.open()
    journal.append([forgotten(n) for n in range(500)], stamp())
    journal.close()
    content = bytearray(store.path.read_bytes())
    content[4096 : len(content)] = bytes(len(content) - 4096)
    store.path.write_bytes(content)
    assert not store.verify().ok
    with pytest.raises(JournalBroken):
        store.open()


@pytest.mark.parametrize("content", [b"not a database, though long enough to be one" * 200, b"short"])
def test_what_is_no_database_is_refused(store: SqliteStore, content: bytes) -> None:
    store.path.write_bytes(content)
    with pytest.raises(JournalBroken):
        store.open()
    assert store.path.read_bytes() == content


def test_somebody_elses_database_is_refused(store: SqliteStore) -> None:
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute("CREATE TABLE entries (seq INTEGER)")
    with pytest.raises(JournalBroken, match="not a journal of rollbackd"):
        store.open()


def test_a_newer_format_is_refused(store: SqliteStore) -> None:
    store.open().close()
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute("PRAGMA user_version=2")
    with pytest.raises(JournalBroken, match="upgrade rollbackd"):
        store.open()


# The write-ahead log: what SQLite would silently drop


def crashed(store: SqliteStore, place: Path, batches: int) -> tuple[SqliteStore, Head]:
    """A copy of the files as a crash would leave them, with every batch still in the log."""
    journal = store.open()
    for number in range(1, batches + 1):
        journal.append([forgotten(number)], stamp())
    return crashed_of(journal, store, place)


def crashed_of(journal: SqliteJournal, store: SqliteStore, place: Path) -> tuple[SqliteStore, Head]:
    place.mkdir()
    for path in store.path.parent.glob("journal.db*"):
        if path.suffix != ".db-shm":
            (place / path.name).write_bytes(path.read_bytes())
    head = journal.head()
    journal.close()
    return SqliteStore(place / "journal.db"), head


def test_a_sound_log_is_recovered(store: SqliteStore, tmp_path: Path) -> None:
    copy, head = crashed(store, tmp_path / "copy", 20)
    assert wal.damage(copy.path.with_name("journal.db-wal")) is None
    assert copy.open().head() == head


def test_a_torn_tail_loses_the_last_transaction_alone(store: SqliteStore, tmp_path: Path) -> None:
    """Fault 12."""
    copy, head = crashed(store, tmp_path / "copy", 20)
    log = copy.path.with_name("journal.db-wal")
    os.truncate(log, log.stat().st_size - 100)
    journal = copy.open()
    assert journal.head().seq == 19
    assert journal.verify().ok
    assert journal.verify(anchor=head).bad == 20


def tear(log: Path, needle: bytes) -> None:
    """The page that holds it never reached the disk; what was written after it did."""
    content = bytearray(log.read_bytes())
    place = content.rindex(needle)
    content[place : place + len(needle)] = bytes(len(needle))
    log.write_bytes(content)


def test_two_torn_tails_one_after_the_other_are_no_damage(store: SqliteStore, tmp_path: Path) -> None:
    """Fault 12, twice: what the first left beyond its tear is not taken for transactions after the second."""
    journal = store.open()
    journal.append([forgotten(1)], stamp())
    journal.append([forgotten(2, size=30_000)], stamp())
    first, _ = crashed_of(journal, store, tmp_path / "first")
    tear(first.path.with_name("journal.db-wal"), b'"T2xx')
    journal = first.open()
    assert journal.head().seq == 1
    journal.append([forgotten(300)], stamp())
    second, _ = crashed_of(journal, first, tmp_path / "second")
    tear(second.path.with_name("journal.db-wal"), b'"T300"')
    assert second.open().head().seq == 1


@pytest.mark.parametrize("number", [5, 19])
def test_damage_before_the_tail_halts(store: SqliteStore, tmp_path: Path, number: int) -> None:
    """Faults 12 and 13: SQLite alone would drop the durable transactions from there on, in silence."""
    copy, _ = crashed(store, tmp_path / "copy", 20)
    log = copy.path.with_name("journal.db-wal")
    content = bytearray(log.read_bytes())
    content[content.index(f'"T{number}"'.encode())] ^= 1
    log.write_bytes(content)
    with pytest.raises(JournalBroken, match="transactions follow it"):
        copy.open()
    assert log.read_bytes() == content  # kept for whoever mends it


def test_a_damaged_header_of_the_log_halts(store: SqliteStore, tmp_path: Path) -> None:
    copy, _ = crashed(store, tmp_path / "copy", 20)
    log = copy.path.with_name("journal.db-wal")
    content = bytearray(log.read_bytes())
    content[17] ^= 1
    log.write_bytes(content)
    with pytest.raises(JournalBroken, match="header"):
        copy.open()


def test_a_log_that_was_restarted_is_sound(store: SqliteStore, tmp_path: Path) -> None:
    """Frames left over from before the log began anew are no damage."""
    journal = store.open()
    for number in range(100):
        journal.append([forgotten(number)], stamp())
    journal._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
    for number in range(3):
        head = journal.append([forgotten(number)], stamp())
    log = store.path.with_name("journal.db-wal")
    assert wal.damage(log) is None
    for path in (store.path, log):
        (tmp_path / f"copy-{path.name}").write_bytes(path.read_bytes())
    journal.close()
    assert SqliteStore(tmp_path / "copy-journal.db").open().head() == head


@pytest.mark.parametrize("content", [b"", b"\x00" * 31, b"\x00" * 32])
def test_a_log_without_frames_is_sound(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log").write_bytes(content)
    assert wal.damage(tmp_path / "log") is None
    assert wal.damage(tmp_path / "none") is None


def test_the_log_is_put_back_into_the_database(journal: SqliteJournal, store: SqliteStore) -> None:
    for number in range(40):
        journal.append([forgotten(number, size=300_000)], stamp())
    assert store.path.stat().st_size > 4 << 20
    assert store.path.with_name("journal.db-wal").stat().st_size < 10 << 20


# The snapshot file


@pytest.mark.parametrize("harm", ["flip", "cut", "empty"])
def test_a_damaged_snapshot_is_done_without(store: SqliteStore, journal: SqliteJournal, harm: str) -> None:
    journal.save_snapshot(journal.append([forgotten(1)], stamp()), b"the state")
    path = store.path.with_suffix(".snapshot")
    assert journal.snapshot() is not None
    content = path.read_bytes()
    path.write_bytes({"flip": content[:-1] + b"?", "cut": content[:-1], "empty": b""}[harm])
    assert journal.snapshot() is None


def test_a_snapshot_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    old = Snapshot(head=Head(seq=1, hash="aa"), code="c", state=b"old")
    snapshots.write(path, old)
    (tmp_path / ".snapshot.new").mkdir()
    with pytest.raises(JournalBroken):
        snapshots.write(path, old)
    assert snapshots.read(path) == old
