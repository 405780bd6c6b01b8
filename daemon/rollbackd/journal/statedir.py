"""The state directory: one daemon's, locked, known by a UUID, with room kept for a full disk."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct

from rollbackd.journal import files

RESERVE = 8 << 20
_MACHINE = Path("/etc/machine-id")
_PID = 16  # bytes


class StateDirError(Exception):
    """It cannot be used; the message says why and what to do."""


class StateDirFull(StateDirError):
    """There is no room in it now: once there is, the same start succeeds (fault 10)."""


class StateDirLocked(StateDirError):
    """Another daemon has it (fault 9)."""


class Identity(Struct, frozen=True):
    """Which directory this is. A copy has another inode, another disk or another machine (W13)."""

    machine: str
    device: int
    inode: int


class StateDir:
    """Opened by `StateDir.open`, held until `close` or the process' end.

    `copied`: it was copied from elsewhere, until `adopt` says that this has been dealt with.
    """

    def __init__(self, path: Path, lock: int, reserve: int, machine: str) -> None:
        """The lock is held. OSError, StateDirError: what is in it cannot be read or made."""
        known = (path / "journal.db").exists()
        recorded = _recorded(path)
        self.path = path
        self.uuid = _uuid(path, known)
        self._lock = lock
        self._size = reserve
        self._identity = _identity(path, machine)
        self.copied = recorded != self._identity if recorded else known
        if recorded is None and not known:
            self.adopt()
        self.restore_reserve()

    @classmethod
    def open(cls, path: Path, *, reserve: int = RESERVE, machine: str | None = None) -> StateDir:
        """Create it where it is missing (0700), lock it, and set the reserve aside if there is room.

        `machine`: the machine's id, where it is not that of /etc/machine-id. StateDirLocked,
        StateDirFull, StateDirError.
        """
        try:
            _create(path)
            lock = _acquire(path)
        except OSError as error:
            raise _refused(path, error, "name a directory it may write to") from error
        try:
            return cls(path, lock, reserve, _machine() if machine is None else machine)
        except OSError as error:
            os.close(lock)
            raise _refused(path, error, "make room or mend the disk") from error
        except BaseException:
            os.close(lock)
            raise

    @property
    def journal(self) -> Path:
        return self.path / "journal.db"

    @property
    def attempts(self) -> Path:
        return self.path / "attempts"

    @property
    def plans(self) -> Path:
        return self.path / "plans"

    @property
    def reports(self) -> Path:
        return self.path / "reports"

    @property
    def halt(self) -> Path:
        """Of which failure of the record people were told, and when."""
        return self.path / "halt"

    @property
    def sock(self) -> Path:
        return self.path / "rollbackd.sock"

    @property
    def reserve(self) -> Path:
        return self.path / "reserve"

    @property
    def reserved(self) -> int:
        """How many bytes the reserve really takes up on the disk."""
        try:
            return self.reserve.stat().st_blocks * 512
        except FileNotFoundError:
            return 0

    def adopt(self) -> None:
        """Record that this directory is the one it is now. Call it when the start that saw `copied` is in
        the journal. OSError: it stays a copy."""
        files.replace(self.path / "identity", msgspec.json.encode(self._identity))
        self.copied = False

    def free_reserve(self) -> bool:
        """Give the reserve back to the disk (fault 10). False: there was none."""
        if not self.reserved:
            return False
        fd = os.open(self.reserve, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        return True

    def restore_reserve(self) -> bool:
        """Set it aside again. False: there is no room for it now. Any other OSError is the disk's."""
        if self.reserved >= self._size:
            return True
        fd = os.open(self.reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, self._size)
            os.fsync(fd)
        except OSError as error:
            if error.errno not in files.NO_ROOM:
                raise
            os.ftruncate(fd, 0)  # a part of it would only fill the disk further
            return False
        finally:
            os.close(fd)
        files.sync_directory(self.path)
        return True

    def close(self) -> None:
        os.close(self._lock)


def read_uuid(path: Path) -> str:
    """The UUID of a state directory that need not be ours to open. StateDirError: none to be read."""
    try:
        return str(UUID((path / "uuid").read_text("ascii").strip()))
    except (OSError, ValueError) as error:
        raise StateDirError(f"{path / 'uuid'}: {error}; restore it from the backup of the journal") from error


def _refused(path: Path, error: OSError, remedy: str) -> StateDirError:
    if error.errno in files.NO_ROOM:
        return StateDirFull(f"{path}: {error.strerror}; make room")
    return StateDirError(f"{path}: {error.strerror}; {remedy}")


def _create(path: Path) -> None:
    """Durably: also where a start before this one was killed in the middle of it."""
    if (path / "journal.db").exists():
        return
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    found = missing[-1].parent if missing else path
    with suppress(PermissionError):  # then it is not ours, and was there before
        files.sync_directory(found.parent)
    for folder in reversed(missing):
        folder.mkdir(mode=0o700 if folder == path else 0o777, exist_ok=True)
        files.sync_directory(folder.parent)


def _acquire(path: Path) -> int:
    # Danger: a child that is forked without exec inherits the lock and keeps it after the daemon's end.
    fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sign(fd)
    except BlockingIOError:
        holder = os.pread(fd, _PID, 0).decode("ascii", "replace").strip()
        os.close(fd)
        who = f"a rollbackd with pid {holder}" if holder else "another process"
        raise StateDirLocked(
            f"{path}: in use by {who}; stop that one, or give this one another state_dir"
        ) from None
    except BaseException:
        os.close(fd)
        raise
    return fd


def _sign(lock: int) -> None:
    """Say who holds the lock: always in the same bytes, since a full disk has no others."""
    try:
        os.pwrite(lock, f"{os.getpid():<{_PID - 1}}\n".encode(), 0)
    except OSError as error:
        if error.errno not in files.NO_ROOM:  # the lock is held all the same
            raise


def _uuid(path: Path, known: bool) -> str:
    if not known and not (path / "uuid").exists():
        files.replace(path / "uuid", f"{uuid4()}\n".encode())
    return read_uuid(path)


def _machine() -> str:
    try:
        return _MACHINE.read_text("ascii").strip()
    except FileNotFoundError:
        return ""


def _identity(path: Path, machine: str) -> Identity:
    found = path.stat()
    return Identity(machine=machine, device=found.st_dev, inode=found.st_ino)


def _recorded(path: Path) -> Identity | None:
    """None: none was written yet, or what is there is no identity."""
    try:
        return msgspec.json.decode((path / "identity").read_bytes(), type=Identity)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
