"""What can be seen of the demo at one moment, read from the proxy, the customers and rollbackd's API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rollbackd.demo.daemon import Unanswered, Watchman
from rollbackd.demo.stage import COHORTS, Stage

GLYPHS = {"breach": "X", "ok": ".", "no_data": "_", "low_traffic": "-", "unknown": "?"}
"""As `rollbackd status` has them."""

STRIP = 40


@dataclass
class Cohort:
    release: str = ""
    weight: int = 0
    errors: float | None = None  # of its answers in the last seconds; None: it gave none
    verdicts: list[str] = field(default_factory=list)  # of its last windows
    streak: int = 0


@dataclass
class Scene:
    cohorts: dict[str, Cohort] = field(default_factory=lambda: {name: Cohort() for name in COHORTS})
    up: bool = False
    windows: int = 0  # the trigger's
    errors: float | None = None  # of all answers in the last seconds
    requests: int = 0
    failed: int = 0
    life: dict[str, Any] | None = None  # the newest rollback, in full
    window: object = None  # the last one that was judged

    async def look(self, stage: Stage, watchman: Watchman) -> None:
        """See how things are now; what rollbackd does not answer stays as it was."""
        if stage.load is not None:
            tally = stage.load.tally
            self.errors, self.requests, self.failed = tally.ratio(), tally.total, tally.errors
            for name, cohort in self.cohorts.items():
                cohort.errors = tally.ratio(name)
        for name, cohort in self.cohorts.items():
            cohort.weight = await stage.weight(name)
            cohort.release = await stage.release(name)
        try:
            self._judged(await watchman.data("triggers"))
            await self._rolled_back(watchman)
            self.up = True
        except Unanswered:
            self.up = False

    def _judged(self, triggers: list[dict[str, Any]]) -> None:
        trigger = next((each for each in triggers if each["plan"] == "demo"), None)
        if trigger is None:
            return
        self.windows = trigger["windows"]
        fresh = trigger["last_window"] not in (None, self.window)
        self.window = trigger["last_window"]
        for subject in trigger["subjects"]:
            cohort = self.cohorts.get(subject["labels"].get("cohort", ""))
            if cohort is None:
                continue
            cohort.streak = subject["streak"]
            if fresh:
                cohort.verdicts = [*cohort.verdicts, subject["verdict"]][-STRIP:]

    async def _rolled_back(self, watchman: Watchman) -> None:
        lives = await watchman.data("rollbacks")
        if lives:
            self.life = await watchman.data(f"rollbacks/{lives[0]['id']}")


def strip(verdicts: list[str]) -> str:
    return "".join(GLYPHS.get(verdict, "?") for verdict in verdicts)


def percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
