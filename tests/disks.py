"""Small disks of their own for tests, and what fills them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NoDisk(Exception):
    """This machine lets nobody mount one; the message says why."""


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A tmpfs, as a folder that is its owner's alone. NoDisk."""
    folder.mkdir(mode=0o700, parents=True)
    options = f"size={megabytes}m,mode=700"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        raise NoDisk(f"this machine lets nobody mount: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, left: int = 0) -> Path:
    """Take all room but `left` bytes; who deletes the file that is returned gives it back."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        disk = os.statvfs(folder)
        room = max(disk.f_bavail * disk.f_frsize - left, 0)
        for size in (1 << 20, 4096, 1):
            try:
                while not left or room >= size:
                    room -= file.write(bytes(size))
            except OSError:
                continue
    return ballast
