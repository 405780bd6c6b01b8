"""A disk that fails under the real daemon: fsync, bits, backups, read-only (faults 11, 13–15)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.daemon.kernel import refusing
from tests.daemon.rig import Rig
from tests.daemon.test_kill import once_each
from tests.servers import wait_for

from rollbackd.app import restore
from rollbackd.core.events import TriggerForgotten
from rollbackd.core.fold import apply
from rollbackd.core.state import State
from rollbackd.journal.sqlite import TAIL, SqliteJournal
from rollbackd.journal.statedir import StateDir
from rollbackd.world.clock import Clock

STOPPED = "rollbackd has stopped acting"


def ended(rig: Rig) -> int:
    """The status with which the daemon ended by itself."""
    assert rig.daemon is not None
    status = rig.daemon.wait(40)
    rig.daemon = None
    return status


def halts(rig: Rig) -> list[str]:
    return [page["text"] for page in rig.pages() if page["title"].startswith(STOPPED)]


def test_11_a_failed_fsync_pages_and_ends_and_is_never_tried_again(rig: Rig) -> None:
    rig.start()
    rig.begin_rollout()
    assert rig.daemon is not None
    calls = rig.folder / "calls"
    with refusing(rig.daemon.pid, "fsync,fdatasync", "EIO", calls):
        rig.break_canary()
        assert ended(rig) == 1
    refused = [line for line in calls.read_text().splitlines() if "INJECTED" in line]
    assert len(refused) == 1, refused
    assert "journal.db" in refused[0]
    assert rig.ran() == []
    (text,) = halts(rig)
    assert "journal.db: disk I/O error; look at the disk, then start again" in text
    assert "journal.db: disk I/O error; look at the disk" in rig.log().splitlines()[-1]
    rig.start(ready=False)
    rig.wait_state("api-1", "verified")
    once_each(rig)


def a_long_record(rig: Rig) -> None:
    """A state directory whose journal is longer than what a start verifies, with its snapshot."""
    state_dir = StateDir.open(rig.state_dir)
    journal = SqliteJournal(state_dir.journal, origin=state_dir.uuid, code=restore.code_version())
    events = [TriggerForgotten(at=n, trigger=f"T{n}") for n in range(1, 3 * TAIL + 1)]
    head = journal.append(events, Clock().stamp(0, "tests"))
    state = State()
    for event in events:
        state = apply(state, event)
    journal.save_snapshot(head, restore.encode(state))
    journal.close()
    state_dir.close()


def flip(path: Path, needle: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[content.rindex(needle)] ^= 1
    path.write_bytes(content)


def test_13_a_bit_flipped_in_the_tail_starts_nothing_and_pages_once(rig: Rig) -> None:
    a_long_record(rig)
    database = rig.state_dir / "journal.db"
    sound = database.read_bytes()
    flip(database, b'"T2999"')
    for _ in range(3):  # as a service manager does, every second
        rig.start(ready=False)
        assert ended(rig) == 1
    (text,) = halts(rig)
    assert "row 2999: its body does not match its hash; keep it aside and restore a backup" in text
    assert "Traceback" not in rig.log()
    looked = rig.cli("audit", "verify", "--config", str(rig.folder / "rollbackd.yml"), ok=False)
    assert looked.returncode == 1
    assert "row 2999" in looked.stderr
    database.write_bytes(sound)
    rig.start()
    assert rig.stop() == 0


def test_13_a_bit_flipped_long_ago_is_found_while_running(rig: Rig) -> None:
    """J3: behind the snapshot nothing is folded, and still it is looked at."""
    a_long_record(rig)
    flip(rig.state_dir / "journal.db", b'"T1500"')
    rig.start(ready=False)
    assert ended(rig) == 1
    (text,) = halts(rig)
    assert "row 1500 of the journal does not verify" in text
    assert "restore a backup" in text


def head(rig: Rig) -> str:
    """SEQ:HASH as `audit verify` prints it: what somebody keeps elsewhere."""
    said = rig.cli("audit", "verify", "--config", str(rig.folder / "rollbackd.yml")).stdout
    return next(line.split()[1] for line in said.splitlines() if line.startswith("head "))


def test_14_an_old_backup_is_shown_by_the_snapshot_and_by_an_anchor(rig: Rig) -> None:
    """I13: cut at its end, every row that is left verifies."""
    database, backup = rig.state_dir / "journal.db", rig.folder / "backup"
    rig.start()
    rig.begin_rollout()
    assert rig.stop() == 0
    shutil.copyfile(database, backup)
    rig.start()
    rig.break_canary()
    rig.wait_state("api-1", "verified")
    assert rig.stop() == 0
    anchor = head(rig)
    shutil.copyfile(backup, database)

    rig.start(ready=False)
    assert ended(rig) == 1
    (text,) = halts(rig)
    assert "an old backup was restored; restore the newest one, or remove the snapshot" in text

    (rig.state_dir / "journal.snapshot").unlink()
    verify = ["audit", "verify", "--config", str(rig.folder / "rollbackd.yml")]
    assert rig.cli(*verify).returncode == 0  # of itself it is sound: this is what an anchor is for
    shown = rig.cli(*verify, "--anchor", anchor, ok=False)
    assert shown.returncode == 1
    assert f"row {anchor.partition(':')[0]} of the anchor is missing" in shown.stderr


def test_15_a_disk_that_refuses_writes_for_a_while_acts_when_it_takes_them_again(rig: Rig) -> None:
    """As fault 10: no effect but pages, and nothing is lost."""
    rig.start()
    rig.begin_rollout()
    assert rig.daemon is not None
    journal = rig.state_dir / "journal.db"
    paths = [journal.with_name("journal.db-wal"), journal, rig.state_dir / ".probe"]
    with refusing(rig.daemon.pid, "pwrite64", "EROFS", rig.folder / "calls", *paths):
        rig.break_canary()
        wait_for(lambda: halts(rig), 40, "the page")
        rig.windows(2)
        assert rig.get("/-/healthy")[0] == 503
        assert rig.ran() == []
    rig.wait_state("api-1", "verified")
    once_each(rig)
    assert len(halts(rig)) == 1


@pytest.fixture
def image(rig: Rig) -> Iterator[Path]:
    """The state directory on an ext4 of its own; its image."""
    image = rig.folder / "image"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    maker = shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:/usr/bin")
    if maker is None:
        pytest.skip("no mkfs.ext4: apt-get install e2fsprogs")
    subprocess.run([maker, "-q", str(image)], check=True)
    rig.state_dir.mkdir()
    mount(image, rig.state_dir)
    yield image
    rig.kill()
    subprocess.run(["umount", "--lazy", str(rig.state_dir)], check=True)


def mount(image: Path, place: Path) -> None:
    command = ["mount", "-o", "loop", str(image), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine lets nobody mount: {done.stderr.strip()}")
    place.chmod(0o700)


def test_15_a_file_system_that_turned_read_only(rig: Rig, image: Path) -> None:
    """What the kernel does at the disk's first error; mounted anew, the rollback happens."""
    rig.start()
    rig.begin_rollout()
    subprocess.run(["mount", "-o", "remount,abort", str(rig.state_dir)], check=True)
    rig.break_canary()
    wait_for(lambda: halts(rig), 40, "the page")
    rig.windows(2)
    assert rig.ran() == []
    rig.kill()
    subprocess.run(["umount", str(rig.state_dir)], check=True)
    mount(image, rig.state_dir)
    rig.start(ready=False)
    rig.wait_state("api-1", "verified")
    once_each(rig)
