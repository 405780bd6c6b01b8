"""The stored copies of plan folders, which is what runs (rule X2)."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger()

LIMIT = 64 * 1024 * 1024

_HERE: Final = -100  # AT_FDCWD
_RENAME_EXCHANGE: Final = 2


class PlanFolderRefused(Exception):
    """A plan's folder that cannot be stored: which file, why, and what to do."""


def store_plan_folder(
    source: Path, state_dir: Path, hash: str, hash_of: Callable[[Path], str] | None = None
) -> Path:
    """Copy a plan's folder to STATE_DIR/plans/HASH/, whole or not at all; a sound copy is kept.

    `hash_of`: how `hash` came about; the copy must have the same, and one that exists and has another
    is replaced. Files keep who may read and execute them; symbolic links stay links and must not lead
    out of the folder. At most 64 MiB. Durable on return. PlanFolderRefused, OSError.
    """
    if not hash.isalnum():
        raise ValueError(f"{hash!r} is not a hash")
    final = state_dir / "plans" / hash
    exists = os.path.lexists(final)
    if exists and _is_sound(final, hash, hash_of):
        return final
    draft = final.with_name(f".{hash}.new")
    _remove(draft)
    draft.mkdir(parents=True)
    try:
        _copy(source.resolve(), draft)
        if not _is_sound(draft, hash, hash_of):
            raise PlanFolderRefused(f"{source}: changed while it was being read; reload")
        if exists:
            log.error("a stored plan was changed; it is replaced", copy=str(final), source=str(source))
            _exchange(draft, final)
        else:
            os.rename(draft, final)
    finally:
        _remove(draft)
    _sync(final.parent)
    _sync(state_dir)
    return final


def _is_sound(copy: Path, hash: str, hash_of: Callable[[Path], str] | None) -> bool:
    if copy.is_symlink() or not copy.is_dir():
        return False
    try:
        return hash_of is None or hash_of(copy) == hash
    except (OSError, ValueError) as error:
        log.error("a stored plan cannot be read", copy=str(copy), error=str(error))
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _exchange(one: Path, other: Path) -> None:
    """Both names change places at once: no moment is without the copy. OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = _HERE, os.fsencode(one), _HERE, os.fsencode(other)
    if libc.renameat2(*names, _RENAME_EXCHANGE) == 0:
        return
    error = ctypes.get_errno()
    if error not in (errno.EINVAL, errno.ENOSYS):  # a file system that cannot
        raise OSError(error, os.strerror(error), str(other))
    aside = other.with_name(f".{other.name}.old")
    _remove(aside)
    os.rename(other, aside)
    os.rename(one, other)
    os.rename(aside, one)


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
    within = os.path.normpath(path.parent.relative_to(source) / destination)
    try:
        real = path.resolve()
    except RuntimeError:
        raise PlanFolderRefused(f"{path}: a link that leads to itself; remove it") from None
    out = within.split(os.sep)[0] == ".." or not real.is_relative_to(source)
    if os.path.isabs(destination) or out:
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
