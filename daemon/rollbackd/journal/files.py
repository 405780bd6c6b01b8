"""Files that survive a power cut, and what a refused write means."""

from __future__ import annotations

import errno
import os
from pathlib import Path

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""What a write that had no room fails with; a file system that was remounted read-only counts too."""

_CHUNK = 1 << 20


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file whole or not at all, durably, with this mode whatever the umask. OSError: it is as it was
    before."""
    temporary = path.with_name(f".{path.name}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with open(fd, "wb") as file:
            os.fchmod(fd, mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def append_line(path: str, text: str) -> None:
    """Durably, and on a line of its own: also behind one that a crash tore. OSError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(fd).st_size
        torn = size and os.pread(fd, 1, size - 1) != b"\n"
        data = (b"\n" if torn else b"") + text.encode() + b"\n"
        while data:
            data = data[os.write(fd, data) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    if not size:
        sync_directory(Path(path).absolute().parent)


def write_again(path: Path) -> None:
    """Have the disk hold what programs read from a file, if there is one. OSError: it may not.

    After an fsync that failed they differ, and no later one mends it: to it the pages are clean (fault 11).
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        offset = 0
        while chunk := os.pread(fd, _CHUNK, offset):
            offset += os.pwrite(fd, chunk, offset)
        os.fsync(fd)
    finally:
        os.close(fd)


def no_room(directory: Path) -> bool:
    """Whether the file system refuses to grow a file here now: full, over quota, or read-only.

    SQLite says only "disk I/O error" where the reason is a quota or a read-only file system (15).
    """
    probe = directory / ".probe"
    try:
        if os.statvfs(directory).f_flag & os.ST_RDONLY:
            return True
        fd = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            probe.unlink()
            os.pwrite(fd, bytes(65536), 0)
        finally:
            os.close(fd)
    except OSError as error:
        return error.errno in NO_ROOM
    return False
