"""The families with a series for each trigger, rendered from cached text.

`prometheus_client` needs some 10 µs a series; ten thousand triggers would hold up the loop.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING

from rollbackd.core.glance import armed, disarmed_subjects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.model import Action, Trigger
    from rollbackd.core.soft import Soft
    from rollbackd.core.state import State

BLINDNESS = ("absent", "sparse", "unusable")

SLICE = 100
"""Triggers looked at before the loop gets a turn: a millisecond's worth."""

_HEADS = {
    "trigger_streak_max": ("gauge", "Breaching windows in a row of the subject that has the most."),
    "trigger_armed": ("gauge", "1 where a breach could open a rollback now."),
    "trigger_blind": ("gauge", "1 where the trigger sees nothing, by reason."),
    "decisions_total": ("counter", "Decisions since the daemon started, by what lowered the action."),
}

DecisionKey = tuple[str, str, str, str]  # trigger, severity, action, lowered_by


def escape(value: str) -> str:
    """A label value in the text format."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _head(family: str) -> str:
    kind, text = _HEADS[family]
    return f"# HELP rollbackd_{family} {text}\n# TYPE rollbackd_{family} {kind}\n"


class TriggerFamilies:
    """Cut from templates: only values are put in at a scrape."""

    def __init__(self) -> None:
        self._triggers: tuple[Trigger, ...] = ()
        self._streak: list[str] = []
        self._armed: list[str] = []
        self._decided: dict[DecisionKey, int] = {}
        self._version = 0  # of what `_cached` is made from
        self._cached = (b"", b"")
        self._cached_for: tuple[int, frozenset[tuple[str, str]]] | None = None

    def configure(self, triggers: tuple[Trigger, ...]) -> None:
        """A configuration was loaded: known label sets start at 0."""
        self._triggers = triggers
        names = [escape(trigger.name) for trigger in triggers]
        self._streak = [f'rollbackd_trigger_streak_max{{trigger="{name}"}} ' for name in names]
        self._armed = [f'rollbackd_trigger_armed{{trigger="{name}"}} ' for name in names]
        for trigger in triggers:
            self._decided.setdefault((trigger.name, trigger.severity, trigger.action, ""), 0)
        self._version += 1

    def decided(self, trigger: Trigger, action: Action, lowered_by: str) -> None:
        key = (trigger.name, trigger.severity, action, lowered_by)
        self._decided[key] = self._decided.get(key, 0) + 1
        self._version += 1

    async def render(self, state: State, soft: Soft) -> list[bytes]:
        """The text of all four families in pieces; gives the loop a turn after each slice."""
        streaks = [_head("trigger_streak_max").encode()]
        armings = [_head("trigger_armed").encode()]
        disarmed = disarmed_subjects(state)
        rows = iter(zip(self._triggers, self._streak, self._armed, strict=True))
        while part := list(islice(rows, SLICE)):
            lines: list[str] = []
            answers: list[str] = []
            for trigger, streak, arming in part:
                watch = soft.watch(trigger)
                longest = watch.longest() if watch is not None and watch.streaks else 0
                subjects = watch.verdicts if watch is not None else {}
                may = armed(state, trigger, subjects, disarmed.get(trigger.name))
                lines.append(f"{streak}{longest}\n")
                answers.append(f"{arming}1\n" if may else f"{arming}0\n")
            streaks.append("".join(lines).encode())
            armings.append("".join(answers).encode())
            await asyncio.sleep(0)
        return [*streaks, *armings, *await self._rarely(frozenset(_blind(state)))]

    async def _rarely(self, blind: frozenset[tuple[str, str]]) -> tuple[bytes, bytes]:
        """The two families that seldom change, from the cache or made anew on a thread.

        What changes while the thread works makes its text old at once: it serves this scrape alone."""
        made_for = (self._version, blind)
        if self._cached_for != made_for:
            cached = await asyncio.to_thread(_texts, self._triggers, blind, dict(self._decided))
            if made_for[0] != self._version:
                return cached
            self._cached, self._cached_for = cached, made_for
        return self._cached


def _texts(
    triggers: tuple[Trigger, ...], blind: frozenset[tuple[str, str]], decided: dict[DecisionKey, int]
) -> tuple[bytes, bytes]:
    return _blind_text(triggers, blind), _decisions_text(decided)


def _blind_text(triggers: tuple[Trigger, ...], blind: frozenset[tuple[str, str]]) -> bytes:
    lines = [_head("trigger_blind")]
    for trigger in triggers:
        name = escape(trigger.name)
        for reason in BLINDNESS:
            value = int((trigger.name, reason) in blind)
            lines.append(f'rollbackd_trigger_blind{{reason="{reason}",trigger="{name}"}} {value}\n')
    return "".join(lines).encode()


def _decisions_text(decided: dict[DecisionKey, int]) -> bytes:
    lines = [_head("decisions_total")]
    for (trigger, severity, action, lowered_by), count in decided.items():
        labels = (
            f'action="{action}",lowered_by="{lowered_by}",severity="{severity}",trigger="{escape(trigger)}"'
        )
        lines.append(f"rollbackd_decisions_total{{{labels}}} {count}\n")
    return "".join(lines).encode()


def _blind(state: State) -> Iterator[tuple[str, str]]:
    for matter in state.matters.values():
        if matter.kind == "blind" and matter.trigger is not None:
            yield matter.trigger, matter.cause
