"""The scorecard of this journal, kept up as it grows: nothing is read twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rollbackd.report.scorecard import KINDS, WINDOWS, Scorecard, Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollbackd.core.model import Ms
    from rollbackd.journal.reader import Reader
    from rollbackd.metrics import Metrics

AT_ONCE = 2_000
"""Rows."""

EVERY = 300.0
"""s: how old the metrics may be."""


class Scoring:
    def __init__(self, reader: Reader, now: Callable[[], Ms]) -> None:
        self._reader = reader
        self._now = now
        self._tally = Tally()
        self._lock = asyncio.Lock()

    async def scorecard(self, days: int, service: str | None) -> Scorecard:
        """JournalBroken: the journal cannot be read."""
        async with self._lock:
            tally = self._tally
            while facts := await self._reader.facts(KINDS, tally.upto, AT_ONCE):
                await asyncio.to_thread(tally.fold, facts)
            return await asyncio.to_thread(tally.scorecard, self._now(), days, service)

    async def keep_up(self, metrics: Metrics) -> None:
        """For ever: the usual spans."""
        while True:
            for days in WINDOWS:
                score = (await self.scorecard(days, None)).all
                shares: dict[str, float | None] = {name: share.share for name, share in score.shares.items()}
                metrics.scored(days, shares, score.rollbacks, score.incidents)
            await asyncio.sleep(EVERY)
