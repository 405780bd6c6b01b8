"""Reports on the disk: STATE_DIR/reports/LIFE.{md,html,json}, until each is written (E6)."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING

import structlog

from rollbackd.core.signals import ReportWritten
from rollbackd.journal import files
from rollbackd.web.answers import Problem
from rollbackd.web.archive import Archive
from rollbackd.web.reports import FORMATS
from rollbackd.world.client import origin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from rollbackd.core.effects import WriteReport
    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Life
    from rollbackd.report.parts import Earlier
    from rollbackd.web.daemon import Daemon

log = structlog.get_logger()

FIRST_RETRY, LONGEST_RETRY = 30.0, 3_600.0
"""s"""
MODE, FOLDER_MODE = 0o640, 0o750


class Reports:
    """Writes one report after the other. `counted` is told of each try: whether it was written."""

    def __init__(
        self,
        folder: Path,
        daemon: Daemon,
        counted: Callable[[bool], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._folder = folder
        self._archive = Archive(daemon)
        self._counted = counted
        self._sleep = sleep
        self._one = asyncio.Semaphore(1)

    async def write(self, effect: WriteReport) -> ReportWritten:
        """Once it is on the disk; what fails is logged, counted, and tried again. A life of which nothing is
        kept any more has no report: then there are no files."""
        pause = FIRST_RETRY
        while True:
            try:
                async with self._one:
                    found = await self._write(effect.life)
            except Exception as error:  # a report never stops what acts, whatever is wrong with it
                self._counted(False)
                said = str(error) if isinstance(error, OSError) else origin(error)
                log.error("report not written", life=effect.life, error=said, again_s=pause)
            else:
                self._counted(bool(found))
                return ReportWritten(effect.life, effect.number, found)
            await self._sleep(pause)
            pause = min(2 * pause, LONGEST_RETRY)

    async def _write(self, name: str) -> dict[str, str]:
        try:
            life, rows = await self._archive.find(name)
        except Problem as problem:
            log.error("no report", life=name, why=problem.text)
            return {}
        before = await self._archive.earlier(life)
        return await asyncio.to_thread(self._put, life, rows, before)

    def _put(self, life: Life, rows: Sequence[Recorded], before: Sequence[Earlier]) -> dict[str, str]:
        """On a thread. OSError: some files may be new, each whole."""
        if not self._folder.is_dir():
            self._folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
            files.sync_directory(self._folder.parent)
        found = {}
        for form, (_, make) in FORMATS.items():
            body = make(life, rows, before)
            path = self._folder / f"{life.id}.{form}"
            files.replace(path, body, MODE)
            found[path.name] = sha256(body).hexdigest()
        return found
