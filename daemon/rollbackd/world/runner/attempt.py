"""One execution's directory, STATE_DIR/attempts/LIFE/NNNN-STEP/, and what its files prove (rule X3).

request.json  what to run; the directory appears with it, complete or not at all
lock          held (flock) by the wrapper and by every process of the step that inherited it
claim         created exclusively by the one wrapper that may start the step; even empty, it is taken
exit          preallocated; a valid record in it is the outcome
output        the first 256 KiB the step wrote
control       a socket: the wrapper tells how it goes, and is told to stop
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Literal

    Map = Callable[[Callable[[str], None], Iterable[str]], Iterator[None]]
    Outcome = Literal["exited", "timed_out", "stopped", "refused", "unstarted"]

OUTCOMES = ("exited", "timed_out", "stopped", "refused", "unstarted")
OUTPUT_BYTES = 256 * 1024
TAIL_BYTES = 2 * 1024
DETAIL_CHARACTERS = 500
EXIT_BYTES = 16 * 1024  # a tail of control characters takes six times its size in JSON
REQUEST_BYTES = 2 * 1024 * 1024
TOKEN = "ROLLBACKD_TOKEN"  # noqa: S105 - names a variable; its value marks a process, and opens nothing


class Exit:
    """How an execution ended, as its wrapper recorded it. See `core.signals.StepExited`."""

    __slots__ = ("detail", "expect_matched", "outcome", "output_bytes", "status", "tail", "tree_gone")

    def __init__(
        self,
        outcome: Outcome,
        status: int | None = None,
        detail: str = "",
        tail: str = "",
        output_bytes: int = 0,
        expect_matched: bool = True,
        tree_gone: bool = True,
    ) -> None:
        self.outcome = outcome
        self.status = status
        self.detail = printable(detail)[:DETAIL_CHARACTERS]
        self.tail = printable(tail)
        self.output_bytes = output_bytes
        self.expect_matched = expect_matched
        self.tree_gone = tree_gone


class Claim:
    """Who won. `boot` is empty where the claim cannot be read; `at` is CLOCK_BOOTTIME in ms."""

    __slots__ = ("at", "boot", "pid", "started")

    def __init__(self, boot: str = "", pid: int = 0, started: int = 0, at: int = 0) -> None:
        self.boot = boot
        self.pid = pid
        self.started = started
        self.at = at


def printable(text: str) -> str:
    """The text without what UTF-8 cannot carry (file names may hold any byte)."""
    return text.encode("utf-8", "replace").decode()


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:  # ascii: a module to import
        return file.read().strip()


def create(life_folder: str, name: str, request: bytes, at_once: Map = map) -> bool:
    """Make the attempt's directory durable: complete, or not there. What is in one that exists is left alone,
    and the answer is False: it may have been claimed.

    `at_once` may work on several folders at a time. OSError where the directory cannot be: then nothing
    can have been started from it.
    """
    final = os.path.join(life_folder, name)
    if os.path.isdir(final):
        # Whoever made it may have been killed before either sync: then a power cut could still lose it.
        for _ in at_once(sync_folder, (life_folder, os.path.dirname(life_folder))):
            pass
        return False
    draft = os.path.join(life_folder, f".{name}.new")
    os.makedirs(life_folder, 0o700, exist_ok=True)
    _discard(draft)
    os.mkdir(draft, 0o700)
    fd = _write_new(draft, "request.json", request)
    try:
        _allocate_exit(draft)
        os.close(_write_new(draft, "lock", b""))
        # All is made before anything is synced, and then synced at once: a file system with a log commits
        # it at once, too. The life's entry always: who made it may have been killed before its sync.
        synced = at_once(sync_folder, (draft, os.path.dirname(life_folder)))
        os.fsync(fd)
        for _ in synced:  # raises what went wrong
            pass
    finally:
        os.close(fd)
    os.rename(draft, final)
    sync_folder(life_folder)
    return True


def _discard(draft: str) -> None:
    if os.path.isdir(draft):
        for entry in os.listdir(draft):
            os.unlink(os.path.join(draft, entry))
        os.rmdir(draft)


def _write_new(folder: str, name: str, content: bytes) -> int:
    """The descriptor; not synced."""
    fd = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, content)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _allocate_exit(folder: str) -> None:
    """Zeros, which are no record. What they keep is room on the disk, and only its wrapper needs that."""
    fd = _write_new(folder, "exit", b"")
    try:
        os.posix_fallocate(fd, 0, EXIT_BYTES)
    finally:
        os.close(fd)


def write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def sync_folder(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_folder(directory: str) -> int:
    """A descriptor for the `_at` functions below. FileNotFoundError where there is no such attempt."""
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def read_request(folder: int) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(_read(folder, "request.json", REQUEST_BYTES))
    return request


def _read(folder: int, name: str, limit: int) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        content = b""
        while len(content) < limit and (chunk := os.read(fd, limit - len(content))):
            content += chunk
        return content
    finally:
        os.close(fd)


def win_claim(folder: int, *, pid: int, started: int, at: int) -> bool:
    """Take the claim: whoever gets True may start the step, and nobody else ever.

    Durable, file and entry, when it returns. OSError: the claim is taken, and its winner knows that
    nothing was started.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open("claim", flags, 0o600, dir_fd=folder)
    except FileExistsError:
        return False
    try:
        content = {"boot": boot_id(), "pid": pid, "started": started, "at": at}
        write_all(fd, json.dumps(content).encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    os.fsync(folder)
    return True


def read_claim(folder: int) -> Claim | None:
    """None where nobody claimed it. A torn claim is a claim, by nobody known."""
    try:
        content = _read(folder, "claim", 4096)
    except FileNotFoundError:
        return None
    try:
        claim = json.loads(content)
        return Claim(str(claim["boot"]), int(claim["pid"]), int(claim["started"]), int(claim["at"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return Claim()


def open_lock(folder: int) -> int:
    return os.open("lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)


def try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def locked(folder: int) -> bool:
    """Whether some process holds the lock. Only asked of a claimed attempt (see `wrapper`)."""
    fd = open_lock(folder)
    try:
        return not try_lock(fd)
    finally:
        os.close(fd)


def open_exit(folder: int) -> int:
    return os.open("exit", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)


def write_exit(fd: int, exit: Exit) -> None:
    """Record the outcome over the preallocated bytes. OSError: not durable; the whole call may be retried."""
    body = json.dumps({name: getattr(exit, name) for name in Exit.__slots__}).encode()
    os.pwrite(fd, b"%08x %08x " % (zlib.crc32(body), len(body)) + body, 0)
    os.fsync(fd)


def read_exit(folder: int) -> Exit | None:
    """The outcome, or None where there is no record, not the whole of it, or none that we understand."""
    try:
        content = _read(folder, "exit", EXIT_BYTES)
    except FileNotFoundError:
        return None
    try:
        checksum, length = int(content[:8], 16), int(content[9:17], 16)
    except ValueError:
        return None
    body = content[18 : 18 + length]
    if len(body) != length or zlib.crc32(body) != checksum:
        return None
    return _exit(body)


def _exit(body: bytes) -> Exit | None:
    """The record, if it is as this version writes it: another version's proves nothing to us."""
    try:
        exit = Exit(**json.loads(body))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    numbers: tuple[Any, ...] = (exit.output_bytes, 0 if exit.status is None else exit.status)
    flags: tuple[Any, ...] = (exit.expect_matched, exit.tree_gone)
    sound = all(type(each) is int for each in numbers) and all(type(each) is bool for each in flags)
    return exit if sound and exit.outcome in OUTCOMES else None
