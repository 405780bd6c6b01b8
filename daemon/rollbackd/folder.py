"""The name of a plan folder's contents (rule X2)."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

LIMIT = 64 * 1024 * 1024


def hash_folder(path: Path) -> str:
    """SHA-256, in hex, over the folder's relative names, execute bits, contents and links.

    Not over owners, times or other permissions: a copy made elsewhere has the same hash. ValueError
    where it holds over 64 MiB, what is neither a file, a folder nor a link, or a link that leads out of
    it or to itself. OSError.
    """
    digest = hashlib.sha256()
    total = 0
    for name, mode in sorted(_entries(path)):
        entry = path / os.fsdecode(name)
        if stat.S_ISLNK(mode):
            _check_link(entry, path)
            kind, content = b"l", os.fsencode(os.readlink(entry))
        elif stat.S_ISDIR(mode):
            kind, content = b"d", b""
        elif stat.S_ISREG(mode):
            total += entry.stat().st_size
            if total > LIMIT:
                where = f"{LIMIT // 1024**2} MiB at {os.fsdecode(name)}"
                raise ValueError(f"{path}: over {where}; keep only scripts in a plan's folder")
            kind, content = b"x" if mode & 0o111 else b"f", _digest(entry)
        else:
            raise ValueError(f"{entry}: neither a file, a folder nor a link; move it elsewhere")
        for part in (kind, name, content):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _entries(path: Path) -> list[tuple[bytes, int]]:
    found = []
    for folder, folders, files in os.walk(path, onerror=_refuse):
        for name in folders + files:
            entry = Path(folder, name)
            found.append((os.fsencode(entry.relative_to(path)), entry.lstat().st_mode))
    return found


def _check_link(entry: Path, folder: Path) -> None:
    """As the store does: the copy lies elsewhere, so a link may not even pass through the outside."""
    target = os.readlink(entry)
    within = os.path.normpath(entry.parent.relative_to(folder) / target)
    try:
        real = entry.resolve()
    except RuntimeError:
        raise ValueError(f"{entry}: a link that leads to itself; remove it") from None
    out = within.split(os.sep)[0] == ".." or not real.is_relative_to(folder.resolve())
    if os.path.isabs(target) or out:
        raise ValueError(f"{entry}: leads out of the plan's folder; put a copy there")


def _refuse(error: OSError) -> None:
    raise error


def _digest(file: Path) -> bytes:
    with file.open("rb") as reader:
        return hashlib.file_digest(reader, "sha256").digest()
