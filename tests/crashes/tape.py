"""Records what a program does to a directory, system call by system call, by way of strace.

Every path and every byte is printed in hexadecimal, so that a line cannot be misread. A line that changes
the directory and is not understood ends the recording: nothing is left out in silence. Exempt are sockets
(bind), and SQLite's shared memory (-shm), which is mapped and rebuilt at every recovery.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.crashes.disk import ROOT, Change, Data, Disk, Mark, Names, Op, Refused, Size, Sync

PATIENCE = 120.0  # s: a deadline for programs that hang
SAYS = b"MARK "
"""A line that begins so, written to anything outside the directory, is a mark."""

_TRACED = (
    "open,openat,openat2,creat,write,pwrite64,writev,pwritev,pwritev2,sendfile,copy_file_range,ftruncate,"
    "truncate,fallocate,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,unlink,unlinkat,rmdir,"
    "link,linkat,symlink,symlinkat,mkdir,mkdirat,lseek,execve"
)
_SYNCS = ("fsync", "fdatasync")
_BEGUN = re.compile(r"^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_WHOLE = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+)(.*)$")
_TEXT = re.compile(r'^"((?:\\x[0-9a-f]{2})*)"$')
_DESCRIPTOR = re.compile(r"^(AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})*)>(\(deleted\))?$")


class NotRecorded(Exception):
    """What the program did cannot be told from the log; the message shows the line."""


def unavailable() -> str:
    """Why nothing can be recorded on this machine, or nothing."""
    if shutil.which("strace") is None:
        return "no strace: apt-get install strace"
    tried = subprocess.run(["strace", "-f", "-o", os.devnull, "true"], capture_output=True, text=True)
    return f"strace is not permitted here: {tried.stderr.strip()[:200]}" if tried.returncode else ""


class Call(NamedTuple):
    """A system call that succeeded, or a sync that did not; its descriptors and paths are absolute."""

    pid: int
    name: str
    arguments: list[str]
    result: int
    line: str


def _bytes(hexadecimal: str) -> bytes:
    return bytes.fromhex(hexadecimal.replace("\\x", ""))


def text(argument: str) -> bytes:
    found = _TEXT.match(argument)
    if not found:
        raise NotRecorded(argument[:200])
    return _bytes(found[1])


def calls(log: Sequence[str]) -> Iterator[Call]:
    """Those that succeeded, and syncs that did not. One during which others went on counts from its
    beginning if it changes something, and from its end if it makes something durable."""
    begun: dict[str, int] = {}
    placed: list[tuple[int, str]] = []
    for number, line in enumerate(log):
        if found := _BEGUN.match(line):
            begun[found[1]] = number
        elif found := _RESUMED.match(line):
            start = begun.pop(found[1])
            first = log[start].removesuffix(" <unfinished ...>")
            placed.append((number if found[2] in _SYNCS else start, first + found[3]))
        elif _WHOLE.match(line):
            placed.append((number, line))
    for _, line in sorted(placed):
        found = _WHOLE.match(line)
        if found and (int(found[4]) >= 0 or found[2] in _SYNCS):
            pid, name, arguments, result, _ = found.groups()
            yield Call(int(pid), name, arguments.split(", "), int(result), line[:300])


class Recorder:
    """Turns calls into operations on what lies under `place`, which held what `disk` says."""

    def __init__(self, place: Path, disk: Disk) -> None:
        self._place = os.fsencode(place.resolve()) + b"/"
        self._next = 1 + max(disk.inodes())
        self._tree = {inode: dict(entries) for inode, entries in disk.live.folders.items()}
        self._offsets: dict[tuple[int, int], int] = {}  # of each descriptor that is written to in order
        self._folders = set(disk.folders)

    @property
    def folders(self) -> frozenset[int]:
        return frozenset(self._folders)

    def operations(self, log: Sequence[str]) -> Iterator[Op]:
        for call in calls(log):
            yield from getattr(self, f"_on_{call.name}", self._on_other)(call)

    # Names

    def _path(self, call: Call, number: int, *, at: bool) -> bytes | None:
        """The path an argument names, below the place; None: elsewhere, or nothing durable."""
        path = text(call.arguments[number])
        if at and not path.startswith(b"/"):
            descriptor = _DESCRIPTOR.match(call.arguments[number - 1])
            if not descriptor:
                raise NotRecorded(call.line)
            path = _bytes(descriptor[2]) + b"/" + path
        return self._below(os.path.normpath(path))

    def _below(self, path: bytes) -> bytes | None:
        if path + b"/" == self._place:
            return b""
        if not path.startswith(self._place) or path.endswith(b"-shm"):
            return None
        return path[len(self._place) :]

    def _find(self, path: bytes) -> int | None:
        inode = ROOT
        for part in path.decode().split("/") if path else ():
            found = self._tree.get(inode, {}).get(part)
            if found is None:
                return None
            inode = found
        return inode

    def _split(self, path: bytes, call: Call) -> tuple[int, str]:
        folder, name = os.path.split(path)
        inode = self._find(folder)
        if inode is None:
            raise NotRecorded(f"no such directory: {call.line}")
        return inode, name.decode()

    def _change(self, folder: int, *changes: tuple[str, int | None]) -> Names:
        for name, inode in changes:
            if inode is None:
                del self._tree[folder][name]
            else:
                self._tree.setdefault(folder, {})[name] = inode
        return Names(folder, changes)

    def _new(self, path: bytes, call: Call) -> Iterator[Op]:
        inode, self._next = self._next, self._next + 1
        folder, name = self._split(path, call)
        yield self._change(folder, (name, inode))

    def _opened(self, call: Call, path: bytes | None, flags: str) -> Iterator[Op]:
        self._offsets.pop((call.pid, call.result), None)
        if path is None:
            return
        inode = self._find(path)
        if inode is None and "O_CREAT" in flags:
            yield from self._new(path, call)
        elif inode is not None and "O_TRUNC" in flags:
            yield Size(inode, 0)
        if "O_WRONLY" in flags and "O_APPEND" not in flags:
            self._offsets[call.pid, call.result] = 0

    def _on_open(self, call: Call) -> Iterator[Op]:
        return self._opened(call, self._path(call, 0, at=False), call.arguments[1])

    def _on_openat(self, call: Call) -> Iterator[Op]:
        return self._opened(call, self._path(call, 1, at=True), call.arguments[2])

    def _made(self, call: Call, path: bytes | None) -> Iterator[Op]:
        if path is not None:
            self._folders.add(self._next)
            self._tree[self._next] = {}
            yield from self._new(path, call)

    def _on_mkdir(self, call: Call) -> Iterator[Op]:
        return self._made(call, self._path(call, 0, at=False))

    def _on_mkdirat(self, call: Call) -> Iterator[Op]:
        return self._made(call, self._path(call, 1, at=True))

    def _moved(self, call: Call, source: bytes | None, target: bytes | None) -> Iterator[Op]:
        if source == target:  # elsewhere, or to itself, which changes nothing
            return
        if source is None or target is None or os.path.dirname(source) != os.path.dirname(target):
            raise NotRecorded(f"between directories: {call.line}")
        folder, old = self._split(source, call)
        _, new = self._split(target, call)
        yield self._change(folder, (new, self._tree[folder][old]), (old, None))

    def _on_rename(self, call: Call) -> Iterator[Op]:
        return self._moved(call, self._path(call, 0, at=False), self._path(call, 1, at=False))

    def _on_renameat(self, call: Call) -> Iterator[Op]:
        return self._moved(call, self._path(call, 1, at=True), self._path(call, 3, at=True))

    def _removed(self, call: Call, path: bytes | None) -> Iterator[Op]:
        if path and self._find(path) is not None:  # else a socket
            folder, name = self._split(path, call)
            yield self._change(folder, (name, None))

    def _on_unlink(self, call: Call) -> Iterator[Op]:
        return self._removed(call, self._path(call, 0, at=False))

    def _on_unlinkat(self, call: Call) -> Iterator[Op]:
        return self._removed(call, self._path(call, 1, at=True))

    _on_rmdir = _on_unlink

    # Content

    def _descriptor(self, call: Call) -> int | None:
        """The inode a call's first descriptor means; None: elsewhere, or of no name any more."""
        found = _DESCRIPTOR.match(call.arguments[0])
        if not found:
            raise NotRecorded(call.line)
        path = None if found[3] else self._below(_bytes(found[2]))
        return None if path is None else self._find(path)

    def _on_pwrite64(self, call: Call) -> Iterator[Op]:
        inode = self._descriptor(call)
        if inode is not None:
            yield Data(inode, int(call.arguments[3]), text(call.arguments[1])[: call.result])

    def _on_write(self, call: Call) -> Iterator[Op]:
        inode = self._descriptor(call)
        if inode is None:
            yield from self._said(call)
            return
        key = call.pid, int(call.arguments[0].partition("<")[0])
        if key not in self._offsets:
            raise NotRecorded(f"at which offset? {call.line}")
        yield Data(inode, self._offsets[key], text(call.arguments[1])[: call.result])
        self._offsets[key] += call.result

    def _said(self, call: Call) -> Iterator[Op]:
        for line in text(call.arguments[1]).splitlines():
            if line.startswith(SAYS):
                yield Mark(line.removeprefix(SAYS).decode())

    def _on_ftruncate(self, call: Call) -> Iterator[Op]:
        inode = self._descriptor(call)
        if inode is not None:
            yield Size(inode, int(call.arguments[1]))

    def _on_fallocate(self, call: Call) -> Iterator[Op]:
        inode = self._descriptor(call)
        if inode is not None and call.arguments[1] != "0":
            raise NotRecorded(call.line)
        if inode is not None:
            yield Size(inode, int(call.arguments[2]) + int(call.arguments[3]), shrinks=False)

    def _on_fsync(self, call: Call) -> Iterator[Op]:
        inode = self._descriptor(call)
        if inode is not None:
            yield Sync(inode) if call.result >= 0 else Refused(inode)

    _on_fdatasync = _on_fsync

    def _on_lseek(self, call: Call) -> Iterator[Op]:
        key = call.pid, int(call.arguments[0].partition("<")[0])
        if key in self._offsets:
            self._offsets[key] = call.result
        return iter(())

    def _on_execve(self, call: Call) -> Iterator[Op]:
        path = self._below(text(call.arguments[0]))
        if path is not None:
            yield Mark(f"ran {os.path.basename(path).decode()}")

    def _on_other(self, call: Call) -> Iterator[Op]:
        if self._place.hex() in call.line.replace("\\x", ""):
            raise NotRecorded(call.line)
        return iter(())


def changes_of(operations: Sequence[Op]) -> list[Change]:
    return [op for op in operations if isinstance(op, Names | Data | Size)]


def record(
    command: Sequence[str], place: Path, disk: Disk, env: Mapping[str, str], refused: int = 0
) -> tuple[frozenset[int], list[Op]]:
    """Run a program on `place`, which lies as `disk` says; the directories' inodes, and what it did.

    `refused`: from its so many-th on, each fdatasync fails with EIO; 0: none.

    NotRecorded: the program failed, or did what is not understood.
    """
    log = place.with_name(f"{place.name}.strace")
    strace = ["strace", "-f", "-y", "-xx", "-s", "16777216", "--seccomp-bpf", "-e", f"trace={_TRACED}"]
    if refused:
        strace += ["-e", f"inject=fdatasync:error=EIO:when={refused}+"]
    done = subprocess.run(
        [*strace, "-o", str(log), *command], capture_output=True, text=True, env=env, timeout=PATIENCE
    )
    lines = log.read_text().splitlines()
    log.unlink()
    if done.returncode:
        raise NotRecorded(f"{command}: status {done.returncode}: {done.stderr[-2000:]}")
    recorder = Recorder(place, disk)
    operations = list(recorder.operations(lines))
    return recorder.folders, operations
