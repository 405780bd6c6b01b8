"""The state directory: one daemon's (fault 9), known when it was copied (W13), with a reserve (10)."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rollbackd.journal.statedir import StateDir, StateDirError, StateDirLocked, read_uuid

SMALL = 64 << 10
_HOLDER = """
import sys
from pathlib import Path
from rollbackd.journal.statedir import StateDir
held = StateDir.open(Path(sys.argv[1]), reserve=65536)
print("held", flush=True)
sys.stdin.read()
"""


def opened(path: Path, machine: str = "m-1") -> StateDir:
    return StateDir.open(path, reserve=SMALL, machine=machine)


def used(path: Path, machine: str = "m-1") -> str:
    """A directory with a journal in it; its UUID."""
    state = opened(path, machine)
    state.journal.touch()
    state.close()
    return state.uuid


def test_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "var" / "rollbackd"
    state = opened(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert not state.copied
    assert state.uuid == read_uuid(path)
    assert state.reserved >= SMALL
    assert {state.journal.parent, state.attempts.parent, state.plans.parent, state.sock.parent} == {path}
    state.close()


def test_the_same_again(tmp_path: Path) -> None:
    uuid = used(tmp_path)
    state = opened(tmp_path)
    assert (state.uuid, state.copied) == (uuid, False)
    state.close()


def test_two_directories_have_two_uuids(tmp_path: Path) -> None:
    assert used(tmp_path / "one") != used(tmp_path / "two")


def test_a_second_daemon_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    """Fault 9, with a real process; its SIGKILL frees the directory."""
    command = [sys.executable, "-c", _HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StateDirLocked, match=f"pid {holder.pid};"):
            opened(tmp_path)
        holder.kill()
    opened(tmp_path).close()


def test_a_second_one_in_the_same_process_is_refused(tmp_path: Path) -> None:
    state = opened(tmp_path)
    with pytest.raises(StateDirLocked, match=f"pid {os.getpid()};"):
        opened(tmp_path)
    state.close()
    opened(tmp_path).close()


def test_a_copy_is_known_until_it_is_adopted(tmp_path: Path) -> None:
    uuid = used(tmp_path / "old")
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    for _ in range(2):  # a start that came to nothing does not make it forget
        state = opened(tmp_path / "new")
        assert (state.uuid, state.copied) == (uuid, True)
        state.close()
    state = opened(tmp_path / "new")
    state.adopt()
    assert not state.copied
    state.close()
    state = opened(tmp_path / "new")
    assert not state.copied
    state.close()


def test_another_machine_is_a_copy(tmp_path: Path) -> None:
    used(tmp_path, machine="m-1")
    state = opened(tmp_path, machine="m-2")
    assert state.copied
    state.close()


def test_a_renamed_directory_is_no_copy(tmp_path: Path) -> None:
    used(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    state = opened(tmp_path / "new")
    assert not state.copied
    state.close()


@pytest.mark.parametrize("content", [None, b"", b"{"])
def test_a_journal_without_an_identity_is_taken_for_a_copy(tmp_path: Path, content: bytes | None) -> None:
    used(tmp_path)
    identity = tmp_path / "identity"
    identity.unlink() if content is None else identity.write_bytes(content)
    state = opened(tmp_path)
    assert state.copied
    state.close()


@pytest.mark.parametrize("content", [None, "not a uuid"])
def test_a_journal_without_its_uuid_is_refused(tmp_path: Path, content: str | None) -> None:
    used(tmp_path)
    uuid = tmp_path / "uuid"
    uuid.unlink() if content is None else uuid.write_text(content)
    with pytest.raises(StateDirError, match="restore it from the backup"):
        opened(tmp_path)
    with pytest.raises(StateDirError, match="restore it from the backup"):  # and the lock was given back
        opened(tmp_path)


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateDirError, match="file"):
        opened(tmp_path / "file")


def test_the_reserve_is_given_back_and_set_aside_again(tmp_path: Path) -> None:
    state = opened(tmp_path)
    assert state.free_reserve()
    assert state.reserved == 0
    assert not state.free_reserve()
    assert state.restore_reserve()
    assert state.reserved >= SMALL
    state.close()
