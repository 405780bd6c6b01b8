"""Plays power cuts: every moment of a tape, everything a cut may leave there, and the recovery from it.

Then the second life: the program once more on what a SIGKILL or a power cut left, recorded and cut again.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from random import Random
from typing import TypeAlias

from tests.crashes import judging, planting, programs
from tests.crashes.disk import (
    Change,
    Data,
    Disk,
    Image,
    Mark,
    Names,
    Op,
    Refused,
    Size,
    Sync,
    digest,
    materialise,
)
from tests.crashes.disk import outcomes as outcomes_of
from tests.crashes.tape import record

Judge: TypeAlias = Callable[[Path, Sequence[str]], str]


@dataclass(frozen=True)
class Scene:
    name: str
    lay_out: Callable[[Path], None]
    judge: Judge
    refusals: bool = False  # whether its program can be told that the disk will refuse to sync


SCENES = (
    Scene("journal", lambda place: None, judging.judge_journal, refusals=True),
    Scene("step", programs.lay_out, judging.judge_step),
)


@dataclass(frozen=True)
class Tape:
    """What one program did, from the disk it found on."""

    start: Disk
    operations: list[Op]

    def moments(self) -> Iterator[tuple[int, Disk]]:
        """The disk after each operation, and before the first."""
        disk = self.start
        yield 0, disk
        for number, op in enumerate(self.operations, 1):
            disk = disk.after(op)
            yield number, disk

    @property
    def recovery(self) -> Tape:
        """Up to the first append that is durable: the start, and what it found."""
        for place, op in enumerate(self.operations):
            if isinstance(op, Mark) and op.text.startswith("durable "):
                return Tape(self.start, self.operations[: place + 1])
        return self

    @property
    def end(self) -> Disk:
        return list(self.moments())[-1][1]

    def told(self, moment: int) -> str:
        return describe(self.operations[moment - 1]) if moment else "the beginning"


@dataclass
class Tally:
    """What was tried, and what was found wrong."""

    programs: int = 0
    moments: int = 0
    states: int = 0
    enough_at: int = 5  # violations: more say no more
    violations: list[str] = field(default_factory=list)

    @property
    def enough(self) -> bool:
        return len(self.violations) >= self.enough_at


@dataclass(frozen=True)
class Bounds:
    """How much of it: at most so many states a tape, random choices a moment, second lives a tape."""

    states: int | None = None
    draws: int = 4
    lives: int = 40
    torn: int = 3  # lives after the beginning alone of a large write is lost
    refusals: int = 12  # lives that end at a sync that fails, each with the life after it
    states_of_a_life: int | None = 400
    violations: int = 5  # then enough is known


def describe(op: Op) -> str:
    match op:
        case Names():
            return f"names in {op.inode}: {', '.join(f'{name}={inode}' for name, inode in op.changes)}"
        case Data():
            return f"{len(op.content)} bytes at {op.offset} of {op.inode}"
        case Size():
            return f"length {op.size} of {op.inode}"
        case Sync():
            return f"sync of {op.inode}"
        case Refused():
            return f"a sync of {op.inode} that failed"
        case Mark():
            return f"said: {op.text}"


class Campaign:
    """One scene on a place of its own, which should be in memory. `env`: of the programs."""

    def __init__(self, scene: Scene, place: Path, env: Mapping[str, str], seed: int = 1) -> None:
        self.tally = Tally()
        self._scene = scene
        self._place = place
        self._env = env
        self._dice = Random(seed)
        self._seen: set[int] = set()

    def run(self, bounds: Bounds) -> Tally:
        self.tally.enough_at = bounds.violations
        first = self.first_life()
        self.cut(first, bounds.states, bounds.draws)
        lives = (self._torn(first, bounds), self._refusals(first, bounds), self._second_lives(first, bounds))
        for what, disk in chain.from_iterable(lives):
            life = self.life(disk)
            for tape in (life.recovery, life):  # where the danger is, as much as all the rest
                if not self.tally.enough:
                    self.cut(tape, bounds.states_of_a_life, bounds.draws, f"{what}, then ")
        return self.tally

    def first_life(self) -> Tape:
        place = self._empty("live")
        self._scene.lay_out(place)
        return self._record(image_of(place), place)

    def life(self, disk: Disk, refused: int = 0) -> Tape:
        """The program once more, on that disk as programs see it now; see `record`."""
        place = self._empty("live")  # the same for every life: attempts hold paths
        materialise(disk.live, disk.folders, place)
        return self._record(disk, place, refused)

    def _record(self, disk: Disk, place: Path, refused: int = 0) -> Tape:
        command = [sys.executable, "-m", "tests.crashes.programs", self._scene.name, str(place)]
        folders, operations = record([*command, str(refused)], place, disk, self._env, refused)
        shutil.rmtree(place)
        self.tally.programs += 1
        return Tape(Disk(disk.durable, disk.pending, folders, disk.marks), operations)

    def _torn(self, first: Tape, bounds: Bounds) -> Iterator[tuple[str, Disk]]:
        """What is left where the beginning of the largest writes is lost, and nothing else."""
        syncs = [
            (disk, [change for change in disk.pending if change.inode == op.inode])
            for (_, disk), op in zip(first.moments(), first.operations, strict=False)
            if isinstance(op, Sync)
        ]
        for disk, written in sorted(syncs, key=lambda one: -len(one[1]))[: bounds.torn]:
            if self.tally.enough:
                return
            kept = [change for change in disk.pending if change not in written[:2]]
            yield f"power cut in a sync of {len(written)} changes, the first two lost", disk.cut(kept)

    def _refusals(self, first: Tape, bounds: Bounds) -> Iterator[tuple[str, Disk]]:
        """What lives leave that end because the disk refuses to sync (fault 11), early and late ones."""
        syncs = sum(isinstance(op, Sync) for op in first.operations) // 2  # of the others it is not asked
        for number in range(bounds.refusals if self._scene.refusals else 0):
            if self.tally.enough:
                return
            refused = 1 + number * syncs // bounds.refusals
            ended = self.life(first.start, refused)
            if "ended" not in ended.end.marks:
                continue  # it has fewer
            self.cut(ended, bounds.states_of_a_life, bounds.draws, f"sync {refused} fails, then ")
            if not self.tally.enough:
                yield f"sync {refused} failed", ended.end

    def _second_lives(self, first: Tape, bounds: Bounds) -> Iterator[tuple[str, Disk]]:
        """A SIGKILL, then a power cut, and so on, at moments spread over those that have much to lose; those
        at which a name changed come first."""
        moments = [(moment, disk) for moment, disk in first.moments() if moment and disk.pending]
        moments.sort(key=lambda one: not isinstance(first.operations[one[0] - 1], Names))
        lives = min(bounds.lives, 2 * len(moments))
        for number in range(lives):
            if self.tally.enough:
                return
            moment, disk = moments[(2 * number + 1) * len(moments) // (2 * lives)]
            if number % 2:
                kept = self._dice.choice(list(outcomes_of(disk, self._dice, 0)))
                yield f"power cut at {moment} ({first.told(moment)})", disk.cut(kept)
            else:
                yield f"SIGKILL at {moment} ({first.told(moment)})", disk

    def cut(self, tape: Tape, limit: int | None, draws: int, before: str = "") -> None:
        """Judge what cuts may leave: all of it, or every so many-th."""
        seed = self._dice.random()
        cuts = sum(1 for _ in self._cuts(tape, Random(seed), draws))
        every = 1 if limit is None else max(1, -(-cuts // limit))
        self.tally.moments += len(tape.operations) + 1
        for number, (moment, disk, kept) in enumerate(self._cuts(tape, Random(seed), draws)):
            if (number + 1) % every == 0 and (why := self._judge(disk, kept)):
                parts = ", ".join(map(describe, kept[-4:])) or "none"
                self.tally.violations.append(
                    f"{self._scene.name}: {before}power cut at {moment} ({tape.told(moment)}), "
                    f"{len(disk.pending)} changes unsynced; kept {len(kept)}, the last ones {parts}: {why}"
                )
                if self.tally.enough:
                    return

    @staticmethod
    def _cuts(tape: Tape, dice: Random, draws: int) -> Iterator[tuple[int, Disk, tuple[Change, ...]]]:
        for moment, disk in tape.moments():
            for kept in outcomes_of(disk, dice, draws):
                yield moment, disk, kept

    def _judge(self, disk: Disk, kept: tuple[Change, ...]) -> str:
        image = disk.durable.after(kept)
        what = digest(image, disk.folders, disk.marks)
        if what in self._seen:
            return ""
        self._seen.add(what)
        self.tally.states += 1
        place = self._empty("cut")
        materialise(image, disk.folders, place)
        why = self._scene.judge(place, disk.marks)
        shutil.rmtree(place)
        return why

    def _empty(self, name: str) -> Path:
        place = self._place / name
        place.mkdir()
        return place


def image_of(place: Path) -> Disk:
    """What lies there, all of it durable."""
    files: dict[int, bytes] = {}
    folders: dict[int, dict[str, int]] = {}
    numbers = {os.fspath(place): 0}
    for folder, subfolders, names in os.walk(place):
        entries = folders.setdefault(numbers[folder], {})
        for name in sorted([*subfolders, *names]):
            path = os.path.join(folder, name)
            entries[name] = numbers[path] = len(numbers)
            if name in names:
                files[numbers[path]] = Path(path).read_bytes()
    return Disk(durable=Image(files, folders), folders=frozenset(folders))


def environment() -> dict[str, str]:
    """Of the programs: this interpreter's modules, and what is planted here."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", planting.VARIABLE) if name in os.environ}
    paths = [str(programs.REPOSITORY), *filter(None, sys.path)]
    return {**inherited, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def memory() -> str | None:
    """A file system in memory for `tempfile`; None: wherever it likes."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
