"""What is put aside before a change: STATE_DIR/captures/CAPTURE/ITEM/, taken, verified, removed (rule C1).

An item's command writes into a draft folder, which gets the item's name once every file in it is hashed and
durable. Only plain files and folders are kept, readable by the daemon alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import secrets
import shutil
import stat
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import structlog

from rollbackd.core.model import Artifact, Command
from rollbackd.core.signals import CaptureRemoved, CaptureTaken
from rollbackd.world.client import one_line
from rollbackd.world.prometheus import NoValue
from rollbackd.world.runner.recovery import valid_name

if TYPE_CHECKING:
    from rollbackd.core.effects import RunCapture
    from rollbackd.core.model import Ms, Stored
    from rollbackd.world.checks import RunCommand
    from rollbackd.world.runner.commands import CommandResult

log = structlog.get_logger()

MOST_FILES: Final = 200
MARGIN: Final = 64 << 20
"""bytes of the disk that a capture leaves to the journal."""

LINE: Final = 500  # characters of what is kept of a command's output
LOOK: Final = 1.0  # s, between looks at how much there is
AGAIN: Final = 60.0  # s, until what could not be removed is tried again


class _Failed(Exception):
    """Why an item cannot be kept, for people."""


class Captures:
    """`query` asks Prometheus for one number. Everything that reads or writes files does so on threads."""

    def __init__(
        self,
        state_dir: Path,
        run_command: RunCommand,
        query: Callable[[str], Awaitable[float]],
        *,
        look: float = LOOK,
    ) -> None:
        self._root = state_dir.absolute() / "captures"
        self._run_command = run_command
        self._query = query
        self._look = look

    async def take(self, effect: RunCapture) -> CaptureTaken:
        """Anew, whatever an earlier try left. Never raises."""
        item = effect.item
        try:
            if item.run is not None:
                return await self._files(effect, item.run)
            value = await self._reading(item.expr or "", item.timeout)
            return CaptureTaken(effect.capture, item.name, True, value=value, said=f"{value:g}")
        except (_Failed, NoValue, ValueError) as error:
            why = str(error)
        except OSError as error:
            why = f"{error.strerror}: {error.filename or self._root}; make room or mend the disk"
        return CaptureTaken(effect.capture, item.name, False, detail=one_line(why, LINE))

    async def verify(self, stored: Stored) -> tuple[Literal["pass", "fail", "cannot_tell"], str]:
        """Whether these files, and no others, are there as they were."""
        try:
            problem = await asyncio.to_thread(_differs, self._root / valid_name(stored.capture), stored)
        except (OSError, ValueError) as error:
            return "cannot_tell", one_line(str(error))
        except _Failed as odd:
            return "fail", str(odd)
        size = sum(artifact.size for artifact in stored.artifacts)
        return ("fail", problem) if problem else ("pass", f"{len(stored.artifacts)} files, {size} bytes")

    async def remove(self, capture: str) -> CaptureRemoved:
        """Until it is gone, however long that takes."""
        while True:
            try:
                await asyncio.to_thread(_remove, self._root / valid_name(capture))
                return CaptureRemoved(capture)
            except OSError as error:
                log.warning("capture not removed", capture=capture, error=str(error))
                await asyncio.sleep(AGAIN)

    async def _reading(self, expr: str, timeout: Ms) -> float:
        """Prometheus may be away for a moment."""
        loop = asyncio.get_running_loop()
        until = loop.time() + min(timeout / 1000, AGAIN)
        while True:
            try:
                return await self._query(expr)
            except NoValue:
                if loop.time() + self._look > until:
                    raise
                await asyncio.sleep(self._look)

    async def _files(self, effect: RunCapture, command: Command) -> CaptureTaken:
        name = valid_name(effect.item.name)
        folder = self._root / valid_name(effect.capture)
        draft = folder / f".{name}.{secrets.token_hex(4)}"
        try:
            await asyncio.to_thread(_prepare, folder, name, draft)
            result = await self._watched(effect, command, draft)
            artifacts = await asyncio.to_thread(_keep, draft, folder / name, effect.most)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)  # so that the disk has its room again
            raise
        line = result.output if len(result.output) <= LINE and len(result.output.splitlines()) == 1 else ""
        if not artifacts and not line:
            raise _Failed(f"{command.argv[0]}: left no file in $ROLLBACK_CAPTURE_DIR and printed no line")
        return CaptureTaken(effect.capture, name, True, artifacts, _number(line), line)

    async def _watched(self, effect: RunCapture, command: Command, draft: Path) -> CommandResult:
        """Run it, and end it before it takes too much."""
        env = {**effect.env, "ROLLBACK_CAPTURE_DIR": str(draft)}
        running = asyncio.ensure_future(self._run_command(command, effect.plan_hash, env, capture=True))
        try:
            while not running.done():
                await asyncio.wait({running}, timeout=self._look)
                await asyncio.to_thread(_check_room, draft, effect.most)
            result = running.result()
        finally:
            running.cancel()
            await asyncio.wait({running})
        name = command.argv[0]
        if result.outcome == "timed_out":
            raise _Failed(f"{name}: timed out after {command.timeout / 1000:g} s")
        if result.outcome == "unstarted" or result.status is None:
            raise _Failed(f"{name}: {result.detail}")
        if result.status:
            said = (result.errors or result.output).splitlines()[-1:]
            raise _Failed(f"{name}: exit {result.status}" + (f": {said[0]}" if said else ""))
        return result


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


# On threads: what is done with files


def _prepare(folder: Path, name: str, draft: Path) -> None:
    """An empty draft; nothing is left of an earlier try, whose command ended with its daemon."""
    for missing in (folder.parent, folder):
        if not missing.is_dir():
            missing.mkdir(mode=0o700)
            _sync(missing.parent)
    for left in folder.iterdir():
        if left.name == name or left.name.startswith(f".{name}."):
            shutil.rmtree(left)
    draft.mkdir(mode=0o700)
    _check_room(draft, MARGIN)


def _check_room(draft: Path, most: int) -> None:
    try:
        size = sum(entry.stat(follow_symlinks=False).st_size for entry in _walk(draft))
    except FileNotFoundError:  # removed by the command meanwhile
        return
    if size > most:
        raise _Failed(f"over {most >> 20} MiB; capture less, or raise captures.most_mib")
    found = os.statvfs(draft)
    if found.f_bavail * found.f_frsize < MARGIN:
        raise _Failed(f"its disk has less than {MARGIN >> 20} MiB left; make room")


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    """All entries below, folders before what is in them."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))


def _keep(draft: Path, final: Path, most: int) -> tuple[Artifact, ...]:
    """Hash what there is, make it durable, and give it its name."""
    files: list[Path] = []
    folders = [draft]
    for entry in _walk(draft):
        path = Path(entry.path)
        _refuse_odd(path.relative_to(draft), entry.stat(follow_symlinks=False))
        (folders if entry.is_dir() else files).append(path)
    if len(files) > MOST_FILES:
        raise _Failed(f"{len(files)} files, at most {MOST_FILES}; pack them into an archive")
    _check_room(draft, most)
    before = [_signature(path) for path in files]
    artifacts = tuple(
        Artifact(f"{final.name}/{path.relative_to(draft)}", *_digest(path, durable=True)) for path in files
    )
    for folder in reversed(folders):
        folder.chmod(0o700)
        _sync(folder)
    if [_signature(path) for path in files] != before or sum(1 for _ in _walk(draft)) != len(
        files + folders
    ) - 1:
        raise _Failed("changed while it was being hashed: what its command starts must end with it")
    if files:
        os.rename(draft, final)
    else:
        shutil.rmtree(draft)
    _sync(final.parent)
    return artifacts


def _refuse_odd(name: Path, found: os.stat_result) -> None:
    shown = one_line(os.fsencode(name).decode("utf-8", "replace"), 120)
    if not str(name).isprintable():
        raise _Failed(f"{shown}: a name with odd characters; choose another")
    if stat.S_ISDIR(found.st_mode):
        return
    if not stat.S_ISREG(found.st_mode):
        raise _Failed(f"{shown}: neither a file nor a folder; copy what it leads to")
    if found.st_nlink != 1:
        raise _Failed(f"{shown}: has another name elsewhere (a hard link); copy it")


def _signature(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _digest(path: Path, *, durable: bool = False) -> tuple[int, str]:
    """Size and SHA-256 of a plain file. OSError, also where it is a link."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _Failed(f"{path.name}: no plain file")
        digest = hashlib.file_digest(file, "sha256")
        if durable:
            os.fchmod(fd, 0o600)
            os.fsync(fd)
        return os.fstat(fd).st_size, digest.hexdigest()


def _differs(folder: Path, stored: Stored) -> str:
    """The first thing that is not as it was captured; empty: nothing."""
    wanted = {artifact.path: artifact for artifact in stored.artifacts}
    for item in stored.items:
        if not stat.S_ISDIR(_mode(folder / item)):
            return f"{item}/ is missing"
        for entry in _walk(folder / item):
            name = os.path.relpath(entry.path, folder)
            if not entry.is_dir(follow_symlinks=False) and name not in wanted:
                return f"{one_line(name, 120)} was added since"
    for path, artifact in wanted.items():
        mode = _mode(folder / path)
        if not mode:
            return f"{path} is missing"
        if not stat.S_ISREG(mode):
            return f"{path} is no plain file any more"
        if _digest(folder / path) != (artifact.size, artifact.sha256):
            return f"{path} was changed since: it is not what was captured"
    return ""


def _mode(path: Path) -> int:
    """0: there is no such thing."""
    try:
        return path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
