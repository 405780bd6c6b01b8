"""Old bodies go behind a checkpoint, and what belongs to them with them (rule J4)."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import structlog

from rollbackd.core.record import JournalFull
from rollbackd.journal import aging

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from rollbackd.core.model import Ms
    from rollbackd.core.signals import CheckpointDue
    from rollbackd.journal.statedir import StateDir

log = structlog.get_logger()

FIRST_LOOK = 600.0
"""s after the start: by then a clock that was wrong at boot has been put right."""

LOOK_EVERY = 6 * 3600.0

WEEK: Ms = 7 * 86_400_000
"""Between two checkpoints, at most: each holds the whole state."""

AT_ONCE = 500
"""Rows looked at in one transaction, so that no append waits for long."""


class Keeper(Protocol):
    """What retention asks of the daemon."""

    loading: asyncio.Lock
    """Held while plans are being stored."""

    def live(self) -> Collection[str]:
        """The lives that are open."""
        ...

    def keep(self) -> Ms: ...

    def plans(self) -> Collection[str]:
        """The hashes of plans that are configured, or that an open life runs."""
        ...

    def old(self, keep: Ms) -> aging.Ages: ...

    def checkpoint(self, due: CheckpointDue) -> Awaitable[None]:
        """Have it recorded; returns once it is durable."""
        ...

    def prune(self, limit: int) -> Awaitable[bool]:
        """`SqliteJournal.prune`, on the journal's thread."""
        ...


async def look_on(keeper: Keeper, state_dir: StateDir, sleep: Callable[[float], Awaitable[None]]) -> None:
    """For ever. JournalBroken: the record cannot be trusted, and the process must end."""
    await sleep(FIRST_LOOK)
    while True:
        await look(keeper, state_dir)
        await sleep(LOOK_EVERY)


async def look(keeper: Keeper, state_dir: StateDir) -> None:
    """Go on where a crash left it, then let go of what has become old. JournalBroken."""
    await _prune(keeper)
    keep = keeper.keep()
    old, live = keeper.old(keep), tuple(keeper.live())
    last = old.steady + keep - min(WEEK, keep // 10)
    due = await asyncio.to_thread(aging.due, state_dir.journal, old, last, live)
    if due is not None:
        log.info("checkpoint", upto=due.upto, kept=len(due.kept))
        await keeper.checkpoint(due)
        await _prune(keeper)
    async with keeper.loading:
        known, open_lives = set(keeper.plans()), set(keeper.live())
        await asyncio.to_thread(_remove_files, state_dir, known, open_lives)


async def _prune(keeper: Keeper) -> None:
    more = True
    try:
        while more:
            more = await keeper.prune(AT_ONCE)
    except JournalFull as error:
        log.warning("nothing more is pruned for now", error=str(error))


def _remove_files(state_dir: StateDir, plans: Collection[str], live: Collection[str]) -> None:
    """Attempts and reports of lives whose bodies are gone, and copies of plans that no kept life ran."""
    folders = {path.name: [path] for path in _entries(state_dir.attempts)}
    for path in _entries(state_dir.path / "reports"):
        folders.setdefault(path.stem, []).append(path)
    gone = aging.forgotten(state_dir.journal, [life for life in folders if life not in live])
    for life in sorted(gone):
        _remove(folders[life])
    copies = {path.name: path for path in _entries(state_dir.plans) if path.name not in plans}
    ran = aging.plans(state_dir.journal) if copies else None
    if ran is not None:
        for name in sorted(copies.keys() - ran):
            _remove([copies[name]])


def _entries(folder: Path) -> Iterable[Path]:
    """What it holds, but what is being made."""
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]


def _remove(paths: Iterable[Path]) -> None:
    """A removal that a crash breaks off is ended the next time: what is left still has its name."""
    for path in paths:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("not removed", path=str(path), error=str(error))
        else:
            log.info("removed", path=str(path))
