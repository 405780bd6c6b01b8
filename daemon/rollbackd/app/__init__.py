"""The composition root: reads the configuration, opens the state, ties the parts, runs."""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from rollbackd.app import lastgood, logs, restore
from rollbackd.app.files import FilesRefused, Loaded, ReaderFailed, Reading
from rollbackd.core.record import JournalBroken, JournalFull
from rollbackd.journal.files import NO_ROOM
from rollbackd.journal.statedir import StateDir, StateDirError, StateDirFull
from rollbackd.world.planstore import PlanFolderRefused

if TYPE_CHECKING:
    from rollbackd.core.model import Action

log = structlog.get_logger()

UNUSABLE = 78
"""The exit status for a configuration that cannot be used (EX_CONFIG)."""


class CannotStart(Exception):
    """Why, and what to do."""


class NoRoom(Exception):
    """The disk is full: what to do. Starting again will do once there is room (fault 10)."""


def run(files: Path, max_action: Action | None = None) -> int:
    """Run until told to stop. 0: stopped; 1: the journal failed, the disk is full, or nobody could read the
    files; 78: the configuration is unusable, and starting again will not mend it."""
    logs.configure()
    reading = Reading(files)
    import rollbackd.app.daemon  # noqa: F401  # all that the daemon needs is imported while the files are read

    try:
        loaded, problem = _loaded(reading)
        state_dir = StateDir.open(reading.state_dir)
    except (ReaderFailed, StateDirFull) as error:
        print(f"rollbackd: {error}", file=sys.stderr)
        return 1
    except (CannotStart, StateDirError) as error:
        print(f"rollbackd: {error}", file=sys.stderr)
        return UNUSABLE
    try:
        return _run(files, max_action, loaded, problem, state_dir)
    except CannotStart as error:
        print(f"rollbackd: {error}", file=sys.stderr)
        return UNUSABLE
    except (JournalBroken, JournalFull, NoRoom) as error:
        print(f"rollbackd: {error}", file=sys.stderr)
        return 1
    finally:
        state_dir.close()


def _loaded(reading: Reading) -> tuple[Loaded | None, str]:
    try:
        return reading.result(), ""
    except ReaderFailed:
        raise
    except FilesRefused as refused:
        for problem in refused.problems:
            print(problem, file=sys.stderr)
        more = f" (and {len(refused.problems) - 1} more)" if len(refused.problems) > 1 else ""
        return None, refused.problems[0] + more


def _run(
    files: Path,
    max_action: Action | None,
    loaded: Loaded | None,
    problem: str,
    state_dir: StateDir,
) -> int:
    from rollbackd.app import halt
    from rollbackd.app.daemon import Daemon

    try:
        restored = restore.restore(restore.open_journal(state_dir))
    except JournalBroken as broken:
        known = loaded.settings if loaded is not None else lastgood.load(state_dir.path)
        if known is not None:
            instance = loaded.core.instance if loaded is not None else ""
            halt.tell_of_a_start(state_dir, known, instance, str(broken))
        raise
    settings, full = None, False
    if loaded is not None:
        try:
            settings = _keep(loaded, state_dir)
        except (PlanFolderRefused, OSError) as error:
            full = isinstance(error, OSError) and error.errno in NO_ROOM
            loaded, problem = None, f"{error}; mend it and start again"
            print(f"rollbackd: {problem}", file=sys.stderr)
    if settings is None:
        settings = lastgood.load(state_dir.path)
        if settings is None or not restored.state.lives:
            if full:
                raise NoRoom(problem)
            why = problem or "it cannot be read"
            raise CannotStart(f"the configuration cannot be used, and no rollback is open to finish: {why}")

    async def main() -> None:
        gc.enable()
        await Daemon(files, max_action, loaded, problem, settings, state_dir, restored).run()

    asyncio.run(main())
    return 0


def _keep(loaded: Loaded, state_dir: StateDir) -> lastgood.WorldSettings:
    """Store what finishing needs; a full disk is given the reserve once (fault 10). PlanFolderRefused,
    OSError."""
    from rollbackd.app.daemon import store_plans

    def keep() -> None:
        store_plans(loaded, state_dir.path)
        lastgood.save(state_dir.path, loaded.settings)

    try:
        keep()
    except OSError as error:
        if error.errno not in NO_ROOM or not state_dir.free_reserve():
            raise
        log.warning("no room; the reserve was given up", error=str(error))
        keep()
    return loaded.settings
