"""What a power cut may leave of a file system, between any two system calls.

The model is that of Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014), in its strictest
form, and bounded as in Mohan et al., "Finding Crash-Consistency Bugs with Bounded Black-Box Crash Testing"
(OSDI 2018). What fsync or fdatasync of a file returned for is there, data and length; a name is there when
its directory was synced, and not before. Of everything else any part may be there, in any combination;
what overlaps was written in its order. A sector of 512 bytes that existed is written whole or not at all.

A sync that fails leaves what it was for in the page cache, marked clean: programs read it, no later sync
writes it, and only a page that is written to again, or cut off, is right from then on (Rebello et al., "Can
Applications Recover from fsync Failures?", USENIX ATC 2020).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeAlias

ROOT = 0
SECTOR = 512
PAGE = 4096


class Names(NamedTuple):
    """One atomic change of a directory: each name now means that inode, or nothing."""

    inode: int
    changes: tuple[tuple[str, int | None], ...]


class Data(NamedTuple):
    """Bytes written at an offset."""

    inode: int
    offset: int
    content: bytes
    clean: bool = False  # its sync failed


class Size(NamedTuple):
    """A new length. `shrinks` False: only ever longer, as by fallocate."""

    inode: int
    size: int
    shrinks: bool = True


class Sync(NamedTuple):
    inode: int


class Refused(NamedTuple):
    """A sync that failed."""

    inode: int


class Mark(NamedTuple):
    """What the program said, or did, that outlives no power cut but must be true after one."""

    text: str


Change: TypeAlias = Names | Data | Size
Op: TypeAlias = Change | Sync | Refused | Mark
Folders: TypeAlias = dict[int, dict[str, int]]


@dataclass(frozen=True)
class Image:
    """Files and directories by inode."""

    files: dict[int, bytes] = field(default_factory=dict)
    folders: Folders = field(default_factory=lambda: {ROOT: {}})

    def after(self, changes: Sequence[Change]) -> Image:
        files, folders = dict(self.files), dict(self.folders)
        open_files: dict[int, bytearray] = {}
        for change in changes:
            if isinstance(change, Names):
                _rename(folders, change)
            else:
                if change.inode not in open_files:
                    open_files[change.inode] = bytearray(files.get(change.inode, b""))
                _write(open_files[change.inode], change)
        files.update((inode, bytes(content)) for inode, content in open_files.items())
        return Image(files, folders)

    def tree(self, folders: frozenset[int]) -> Iterator[tuple[str, bytes | None]]:
        """Each path from the root and its content; None: a directory. `folders`: inodes that are."""
        yield from self._below(ROOT, "", folders)

    def _below(self, inode: int, prefix: str, folders: frozenset[int]) -> Iterator[tuple[str, bytes | None]]:
        for name, child in sorted(self.folders.get(inode, {}).items()):
            if child in folders:
                yield prefix + name, None
                yield from self._below(child, f"{prefix}{name}/", folders)
            else:
                yield prefix + name, self.files.get(child, b"")


def _rename(folders: Folders, change: Names) -> None:
    entries = dict(folders.get(change.inode, {}))
    for name, inode in change.changes:
        if inode is None:
            entries.pop(name, None)
        else:
            entries[name] = inode
    folders[change.inode] = entries


def _write(content: bytearray, change: Data | Size) -> None:
    if isinstance(change, Data):
        content.extend(bytes(max(0, change.offset - len(content))))
        content[change.offset : change.offset + len(change.content)] = change.content
    elif len(content) < change.size:
        content.extend(bytes(change.size - len(content)))
    elif change.shrinks:
        del content[change.size :]


@dataclass(frozen=True)
class Disk:
    """What is durable, what may be, and what was said: the disk at one moment of a tape."""

    durable: Image = field(default_factory=Image)
    pending: tuple[Change, ...] = ()
    folders: frozenset[int] = frozenset({ROOT})
    marks: tuple[str, ...] = ()

    @property
    def live(self) -> Image:
        """What programs see, and what a SIGKILL leaves."""
        return self.durable.after(self.pending)

    def after(self, op: Op) -> Disk:
        match op:
            case Mark():
                return Disk(self.durable, self.pending, self.folders, (*self.marks, op.text))
            case Sync():
                synced = {place for place in range(len(self.pending)) if self._synced(place, op.inode)}
                left = tuple(change for place, change in enumerate(self.pending) if place not in synced)
                durable = self.durable.after([self.pending[place] for place in sorted(synced)])
                return Disk(durable, left, self.folders, self.marks)
            case Refused():
                pending = chain.from_iterable(
                    _pages(change) if change.inode == op.inode and isinstance(change, Data) else [change]
                    for change in self.pending
                )
                return Disk(self.durable, tuple(pending), self.folders, self.marks)
            case Names() | Data() | Size():
                return Disk(self.durable, (*self.pending, op), self.folders, self.marks)

    def inodes(self) -> Iterator[int]:
        """All that have a name, or may have one; an empty file is known by that alone."""
        yield from self.folders
        for entries in (*self.durable.folders.values(), *self.live.folders.values()):
            yield from entries.values()
        yield from (change.inode for change in self.pending)

    def _synced(self, place: int, inode: int) -> bool:
        """Whether a sync of that inode makes this pending change durable."""
        change = self.pending[place]
        if change.inode != inode or not isinstance(change, Data) or not change.clean:
            return change.inode == inode
        return any(_covers(later, change) for later in self.pending[place + 1 :] if later.inode == inode)

    def cut(self, kept: Sequence[Change]) -> Disk:
        """After a power cut that spared these of the pending changes."""
        return Disk(self.durable.after(kept), (), self.folders, self.marks)


def _pages(change: Data) -> Iterator[Data]:
    """A write in its pages, which are clean from now on."""
    start, end = change.offset, change.offset + len(change.content)
    for edge in range(start - start % PAGE, end, PAGE):
        first, last = max(start, edge), min(end, edge + PAGE)
        yield Data(change.inode, first, change.content[first - start : last - start], clean=True)


def _covers(later: Change, clean: Data) -> bool:
    """Whether a later change dirties the page of this piece again, or cuts it off."""
    match later:
        case Size():
            return later.shrinks and later.size <= clean.offset
        case Data():
            page = clean.offset // PAGE
            return not later.clean and (
                later.offset // PAGE <= page <= (later.offset + max(0, len(later.content) - 1)) // PAGE
            )
        case Names():
            return False


def outcomes(disk: Disk, dice: Random, draws: int) -> Iterator[tuple[Change, ...]]:
    """What of the pending changes a power cut may spare: bounded, and never twice the same choice.

    All, none, all but one, one alone, the last one torn; names with all data and with none; and
    `draws` random choices.
    """
    names = [change for change in disk.pending if isinstance(change, Names)]
    data = [change for change in disk.pending if not isinstance(change, Names)]
    order = {id(change): place for place, change in enumerate(disk.pending)}
    seen: set[tuple[Change, ...]] = set()

    def together(*parts: Sequence[Change]) -> Iterator[tuple[Change, ...]]:
        choice = tuple(sorted(chain(*parts), key=lambda change: order.get(id(change), len(order))))
        if choice not in seen:
            seen.add(choice)
            yield choice

    for some in _bounded(names):
        for whole in (data, []):
            yield from together(some, whole)
    for part in chain(_bounded(data), _torn(disk, data)):
        for entries in (names, []) if names else (names,):
            yield from together(part, entries)
    for _ in range(draws if len(disk.pending) > 2 else 0):
        yield from together([change for change in disk.pending if dice.random() < 0.5])


def _bounded(changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
    yield changes
    yield []
    for place in reversed(range(len(changes))):
        yield [*changes[:place], *changes[place + 1 :]]
        yield [changes[place]]


def _torn(disk: Disk, data: Sequence[Change]) -> Iterator[Sequence[Change]]:
    """The last write in part: its beginning, its end, or its length without its bytes."""
    if not data or not isinstance(last := data[-1], Data):
        return
    for others in (data[:-1], []):
        before = disk.durable.after(others).files.get(last.inode, b"")
        for cut in _cuts(last, len(before)):
            yield [*others, last._replace(content=last.content[:cut])]
            yield [*others, last._replace(offset=last.offset + cut, content=last.content[cut:])]
        if last.offset + len(last.content) > len(before):
            yield [*others, Size(last.inode, last.offset + len(last.content), shrinks=False)]


def _cuts(write: Data, size: int) -> list[int]:
    """Where it may tear: at the first, middle and last sector's edge, at a page's, and, where the file
    grows, in mid-sector."""
    end = write.offset + len(write.content)
    sectors = range(SECTOR * (write.offset // SECTOR + 1), end, SECTOR)
    edges = {sectors[place] for place in {0, len(sectors) // 2, len(sectors) - 1} if sectors}
    edges |= set(range(PAGE * (write.offset // PAGE + 1), end, PAGE)[:2])
    if write.offset >= size and len(write.content) > 1:
        edges |= {write.offset + 1, write.offset + len(write.content) // 2, end - 1}
    return sorted(edge - write.offset for edge in edges)


def materialise(image: Image, folders: frozenset[int], place: Path) -> None:
    """Make an empty directory be what the image holds."""
    for path, content in image.tree(folders):
        if content is None:
            (place / path).mkdir(0o700)
        else:
            fd = os.open(place / path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o700)
            with open(fd, "wb") as file:  # a step's script may be among them
                file.write(content)


def digest(image: Image, folders: frozenset[int], marks: tuple[str, ...]) -> int:
    """The same for two states that cannot be told apart (but for a hash's collisions)."""
    return hash((tuple(image.tree(folders)), marks))
