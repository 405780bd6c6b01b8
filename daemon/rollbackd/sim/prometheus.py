"""A Prometheus that scrapes the simulated service, and has every fault of its own (faults 17, 19-32)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rollbackd.core import signals as s
from rollbackd.sim.happenings import UNREACHABLE, UNUSABLE
from rollbackd.sim.service import COHORTS

if TYPE_CHECKING:
    from rollbackd.core.effects import Ask, WindowQuery
    from rollbackd.core.model import Ms
    from rollbackd.sim.chance import Chance
    from rollbackd.sim.service import Service

SCRAPE: Ms = 5_000
TOOK: Ms = 4
LOOK_BACK: Ms = 5 * 60_000
CALMS: Ms = 25_000

_METRIC = re.compile(r"""\b(value|errors|total|calm|healthy|verify)\{of="(\w+)"\}""")


class Prometheus:
    """`troubles` are the faults that are on, by name, with their amounts."""

    def __init__(self, service: Service, troubles: dict[str, Ms], chance: Chance) -> None:
        self._service = service
        self._troubles = troubles
        self._chance = chance
        self._phase = chance.below(SCRAPE, "phase")
        self._late: list[tuple[Ms, Ms, Ms]] = []  # scrapes begin late from, until, by so much at most
        self._frozen_since: Ms | None = None
        self._dark: list[tuple[Ms, Ms]] = []  # no scrapes from, until

    @property
    def skew(self) -> Ms:
        """Its clock minus true time."""
        return self._troubles.get("skewed", 0)

    def freeze(self, now: Ms) -> None:
        self._frozen_since = now

    def thaw(self, now: Ms) -> None:
        if self._frozen_since is not None:
            self._dark.append((self._frozen_since, now))
            self._frozen_since = None

    def delay(self, since: Ms, until: Ms, most: Ms) -> None:
        """Some scrapes of that time begin late."""
        self._late.append((since, until, most))

    def why_not(self) -> s.Unreachable | s.Unusable | None:
        """Why nothing can be had of it now."""
        for name in self._troubles:
            if name in UNREACHABLE:
                return s.Unreachable(name)
            if name in UNUSABLE:
                return s.Unusable(name)
        return None

    def answers(self, ask: Ask, now: Ms) -> tuple[s.QueryAnswer, ...]:
        failed = self.why_not()
        if failed is not None:
            return (failed,) * len(ask.queries)
        return tuple(self._series(query, ask, now) for query in ask.queries)

    def scrapes(self, at: Ms) -> dict[str, s.Scrape] | None:
        """When the one target behind everything had last been scraped as of `at`, its own time."""
        if self.why_not() is not None:
            return None
        sample = self._scrape_before(at)
        while self._missed(sample - self.skew):
            sample = self._scrape_before(sample - 1)
        return {"service": s.Scrape(sample, TOOK)} if at - sample <= LOOK_BACK else {}

    def value(self, expr: str, now: Ms) -> float | None:
        """One number for a check; None: there is none."""
        found = _METRIC.search(expr)
        if found is None or self.why_not() is not None:
            return None
        if found[1] == "verify":
            return 0.0
        return float(self._service.well(found[2], now))

    def _series(self, query: WindowQuery, ask: Ask, now: Ms) -> s.QueryAnswer:
        found = _METRIC.search(query.expr)
        if found is None:
            raise ValueError(f"nothing is known of {query.expr}")
        failed = self._service.asked(found[2], now)
        if failed is not None:
            return s.Unreachable(failed) if failed == "lost" else s.Unusable(failed)
        subjects = COHORTS if ask.per else ("",)
        windows = []
        for end in ask.ends:
            window: dict[str, str] = {}
            for index, subject in enumerate(subjects):
                text = self._read(found[1], found[2], index, end, now, query.role == "coverage")
                if text is not None:
                    window[subject] = text
            windows.append(window)
        return s.Series(tuple(windows))

    def _read(self, metric: str, trigger: str, subject: int, end: Ms, now: Ms, coverage: bool) -> str | None:
        sample = self._newest(trigger, subject, end, now)
        if end - sample > LOOK_BACK:
            return None
        how = self._service.how(trigger, subject, sample - self.skew)
        if metric == "calm" and how is None:  # what it takes longer to recover from
            how = self._service.how(trigger, subject, sample - self.skew - CALMS)
        if how == "absent":
            return None
        if coverage:
            return f"{sample / 1000:.3f}"
        if metric == "total":
            return "1" if how == "low_traffic" else "100"
        if how in ("nan", "infinite"):
            return "NaN" if how == "nan" else "+Inf"
        # Each sample has a value of its own, so that evidence names its window.
        digit = (sample - self._phase) // SCRAPE % 10
        bad = how in ("breach", "low_traffic")
        if metric == "errors":
            return f"5{digit}" if bad else None
        return f"5.{digit}" if bad else f"0.{digit}"

    def _newest(self, trigger: str, subject: int, end: Ms, now: Ms) -> Ms:
        """When the newest sample at `end` was scraped: Prometheus' time, like `end`."""
        sample = self._scrape_before(min(end, now + self.skew))
        while self._missed(sample - self.skew) or self._unscraped(trigger, subject, sample - self.skew):
            sample = self._scrape_before(sample - 1)
        return sample

    def _scrape_before(self, moment: Ms) -> Ms:
        number = (moment - self._phase) // SCRAPE
        began = self._began(number)
        return began if began <= moment else self._began(number - 1)

    def _began(self, number: int) -> Ms:
        planned = number * SCRAPE + self._phase
        for since, until, most in self._late:
            if since <= planned - self.skew < until and self._chance.yes(30, "is late", number):
                return planned + self._chance.between(1, most, "late", number)
        return planned

    def _missed(self, at: Ms) -> bool:
        if self._frozen_since is not None and at >= self._frozen_since:
            return True
        return any(begin <= at < end for begin, end in self._dark)

    def _unscraped(self, trigger: str, subject: int, at: Ms) -> bool:
        return self._service.how(trigger, subject, at) == "unscraped"
