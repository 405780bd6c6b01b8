"""The stored copies of plan folders, which is what runs (rule X2)."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

LIMIT = 64 * 1024 * 1024


class PlanFolderRefused(Exception):
    """A plan's folder that cannot be stored: which file, why, and what to do."""


def store_plan_folder(
    source: Path, state_dir: Path, hash: str, hash_of: Callable[[Path], str] | None = None
) -> Path:
    """Copy a plan's folder to STATE_DIR/plans/HASH/, whole or not at all; a copy that exists is kept.

    `hash_of`: how `hash` came about; the copy must have the same. Files keep who may read and execute
    them; symbolic links stay links and must not lead out of the folder. At most 64 MiB. Durable on
    return. PlanFolderRefused, OSError.
    """
    if not hash.isalnum():
        raise ValueError(f"{hash!r} is not a hash")
    final = state_dir / "plans" / hash
    if final.is_dir():
        return final
    draft = final.with_name(f".{hash}.new")
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(parents=True)
    try:
        _copy(source.resolve(), draft)
        if hash_of and hash_of(draft) != hash:
            raise PlanFolderRefused(f"{source}: changed while it was being read; reload")
    except BaseException:
        shutil.rmtree(draft)
        raise
    os.rename(draft, final)
    _sync(final.parent)
    _sync(state_dir)
    return final


def _copy(source: Path, draft: Path) -> None:
    total = 0
    for folder, folders, files in os.walk(source, onerror=_refuse):
        target = draft / Path(folder).relative_to(source)
        for name in sorted(folders + files):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                _link(path, target / name, source)
            elif stat.S_ISDIR(mode):
                (target / name).mkdir()
                (target / name).chmod(mode & 0o755 | 0o700)
            elif stat.S_ISREG(mode):
                total += path.stat().st_size
                if total > LIMIT:
                    raise PlanFolderRefused(
                        f"{source}: over {LIMIT // 1024**2} MiB at {path.relative_to(source)}; "
                        "keep only scripts in a plan's folder"
                    )
                _file(path, target / name, mode & 0o555 | 0o400)
            else:
                raise PlanFolderRefused(f"{path}: neither a file, a folder nor a link; move it elsewhere")
        _sync(target)


def _refuse(error: OSError) -> None:
    raise error


def _link(path: Path, target: Path, source: Path) -> None:
    destination = os.readlink(path)
    if os.path.isabs(destination) or not path.resolve().is_relative_to(source):
        raise PlanFolderRefused(f"{path}: leads out of the plan's folder; put a copy there")
    target.symlink_to(destination)


def _file(path: Path, target: Path, mode: int) -> None:
    with path.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer)
        os.fchmod(writer.fileno(), mode)
        writer.flush()
        os.fsync(writer.fileno())


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
