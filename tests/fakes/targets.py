"""Targets that are scraped once a window, late at times, behind a trigger whose windows are aligned (W1)."""

from __future__ import annotations

from typing import Any

from tests.fakes import made
from tests.fakes.made import INTERVAL, START
from tests.fakes.story import Story

from rollbackd.core import events as e
from rollbackd.core.alignment import slack
from rollbackd.core.model import Condition, Config, Limit, Ms
from rollbackd.core.signals import Scrape
from rollbackd.core.state import Alignment

PHASE: Ms = 3_000
TOOK: Ms = 20
AFTER: Ms = TOOK + slack(INTERVAL)
"""From a scrape to the window's end."""

ALIGNED = Alignment(INTERVAL, PHASE + AFTER, START, 1)
RUNG, GRACE = ALIGNED.rung, ALIGNED.grace
LATEST = AFTER + GRACE


class Targets:
    """One a subject, scraped once a window. Scrape 0 is decisive for window 0, the first after all is
    learned; a scrape is seen only once it is over."""

    def __init__(self, story: Story, subjects: tuple[str, ...] = ("",)) -> None:
        self.story = story
        self.subjects = subjects
        self.late: dict[tuple[str, int], Ms] = {}
        self.dead: set[int] = set()
        self.reaches: Ms = 10**9  # the expression reads no sample that is so old
        self.bad: set[int] = set()
        self.first = START + PHASE
        story.world.readings["newest"] = lambda at: {s: str(self.began(s, at) / 1000) for s in subjects}
        story.world.readings["errors"] = self._errors

    def begin(self) -> None:
        event = self.story.of(e.AlignmentLearned)[-1]
        assert event.align == PHASE + AFTER
        end = (event.since - event.align) // INTERVAL * INTERVAL + event.align + 3 * INTERVAL
        self.first = end - AFTER

    def end(self, number: int) -> Ms:
        return self.first + AFTER + number * INTERVAL

    def began(self, subject: str, at: Ms) -> Ms:
        """When the newest scrape of all that are seen by now began, as of `at`."""
        number = (at - self.first) // INTERVAL
        while True:
            began = self.first + number * INTERVAL + self.late.get((subject, number), 0)
            if number not in self.dead and began <= at and began + TOOK <= self.story.now:
                return began
            number -= 1

    def _errors(self, at: Ms) -> dict[str, str]:
        newest = {subject: self.began(subject, at) for subject in self.subjects}
        return {s: self.value(began) for s, began in newest.items() if at - began < self.reaches}

    def value(self, began: Ms) -> str:
        """Each sample has its own."""
        number = (began - self.first) // INTERVAL
        return f"{2 if number in self.bad else 0}.{number % 1000:03}"


def watched(subjects: tuple[str, ...] = ("",), **trigger: Any) -> Config:
    condition = Condition("errors", Limit(">", 1.0), coverage=("newest",))
    per = () if subjects == ("",) else ("pod",)
    one = made.trigger(auto_align=True, condition=condition, action="shadow", per=per, **trigger)
    return made.config(one, groups=(made.group(),))


def align(one: Story, subjects: tuple[str, ...] = ("",)) -> Targets:
    """Let a story of `watched` go on until its windows have just been aligned."""
    one.world.scrapes = lambda at: {"": Scrape((at - PHASE) // INTERVAL * INTERVAL + PHASE, TOOK)}
    targets = Targets(one, subjects)
    one.run_to(lambda: bool(one.of(e.AlignmentLearned)))
    targets.begin()
    return targets


def aligned(subjects: tuple[str, ...] = ("",), **trigger: Any) -> tuple[Story, Targets]:
    one = Story(watched(subjects, **trigger))
    return one, align(one, subjects)
