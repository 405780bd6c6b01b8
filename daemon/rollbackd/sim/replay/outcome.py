"""What a replay found of one trigger. All moments are window ends, in ms of Prometheus' time."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from rollbackd.core.model import Action, Ms, Trigger, Verdict


class Run(Struct, frozen=True):
    """`windows` windows in a row with one verdict; the first ends at `first`."""

    first: Ms
    windows: int
    verdict: Verdict


class Fire(Struct, frozen=True):
    """It would have fired. `action`: what would have come of it, after `lowered` (rule D2)."""

    end: Ms
    subjects: tuple[str, ...]
    values: tuple[str, ...]  # the deciding reading of each subject
    action: Action
    lowered: tuple[str, ...] = ()


class Hidden(Struct, frozen=True):
    """A new streak was long enough, but its subject was disarmed by the fire at `by` for all or some of it
    (rule W8). `why`: that fire's own streak had not been seen to end, or its cooldown was not over. A streak
    that goes on while its subject is armed again counts anew, and may fire later."""

    end: Ms
    subject: str
    by: Ms
    why: Literal["streak", "cooldown"]


class Peak(Struct, frozen=True):
    """How far a streak got that neither fired nor was hidden: `count` breaches of the `windows` needed."""

    end: Ms  # of its last breach
    subject: str
    count: int


class Subject(Struct, frozen=True):
    """One subject's whole story; `runs` cover all windows from its first to the last."""

    key: str
    labels: dict[str, str]
    verdicts: dict[Verdict, int]  # windows
    longest: int  # the longest streak, in breaches
    streak: int  # the one that is open at the end
    runs: tuple[Run, ...]


class Outcome(Struct, frozen=True):
    """Of one trigger over the windows that end at `ends`."""

    trigger: Trigger
    ends: tuple[Ms, Ms]  # the first and the last window's
    windows: int
    subjects: tuple[Subject, ...]
    fires: tuple[Fire, ...]
    hidden: tuple[Hidden, ...]
    peaks: tuple[Peak, ...]  # of streaks that are over: the longest first, at most 1,000
    partial: int = 0  # windows × subjects without their decisive samples inside (rule W14)
