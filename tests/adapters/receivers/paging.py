"""What the tests of this folder page with."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rollbackd.core.effects import Page
from rollbackd.core.model import Ms
from rollbackd.settings import ReceiverSettings
from rollbackd.world.receivers import Patience, Receivers

TEXT = 'canary is <b>bad</b> & "worse"; $(reboot) `id` \x1b[31m\n\x00 漢'


def wall() -> Ms:
    return time.time_ns() // 1_000_000


def page(receiver: str = "hook", **changes: Any) -> Page:
    labels = {"instance": "prod", "plan": "api", "rung": "0", "cohort": TEXT}
    fields: dict[str, Any] = {
        "page": "p1",
        "receiver": receiver,
        "status": "firing",
        "dedup": "uuid/api-1/0",
        "alert": "RollbackdRollback",
        "title": "api: rollback failed",
        "text": TEXT,
        "labels": labels,
        "annotations": {"link": "https://rollbackd.example/rollbacks/api-1"},
        "began": wall() - 60_000,
    }
    return Page(**{**fields, **changes})


class Slept:
    """Sleeps nowhere and keeps for how long it should have."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@asynccontextmanager
async def receivers(
    *settings: ReceiverSettings, slept: Slept | None = None, **patience: Any
) -> AsyncIterator[Receivers]:
    made = Receivers(settings, wall, wall, Patience(sleep=slept or Slept(), **patience))
    try:
        yield made
    finally:
        await made.close()
