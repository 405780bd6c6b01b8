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

SLICE = 500
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
        self._blind_for: frozenset[tuple[str, str]] | None = None
        self._blind = ""
        self._decided: dict[DecisionKey, int] = {}
        self._decisions: str | None = None

    def configure(self, triggers: tuple[Trigger, ...]) -> None:
        """A configuration was loaded: known label sets start at 0."""
        self._triggers = triggers
        names = [escape(trigger.name) for trigger in triggers]
        self._streak = [f'rollbackd_trigger_streak_max{{trigger="{name}"}} ' for name in names]
        self._armed = [f'rollbackd_trigger_armed{{trigger="{name}"}} ' for name in names]
        self._blind_for = None
        for trigger in triggers:
            self._decided.setdefault((trigger.name, trigger.severity, trigger.action, ""), 0)
        self._decisions = None

    def decided(self, trigger: Trigger, action: Action, lowered_by: str) -> None:
        key = (trigger.name, trigger.severity, action, lowered_by)
        self._decided[key] = self._decided.get(key, 0) + 1
        self._decisions = None

    async def render(self, state: State, soft: Soft) -> bytes:
        """The text of all four families; gives the loop a turn after each slice."""
        streaks: list[str] = []
        armings: list[str] = []
        disarmed = disarmed_subjects(state)
        rows = iter(zip(self._triggers, self._streak, self._armed, strict=True))
        while part := list(islice(rows, SLICE)):
            for trigger, streak, arming in part:
                watch = soft.watch(trigger)
                longest = watch.longest() if watch is not None and watch.streaks else 0
                subjects = watch.verdicts if watch is not None else {}
                may = armed(state, trigger, subjects, disarmed.get(trigger.name))
                streaks.append(f"{streak}{longest}\n")
                armings.append(f"{arming}1\n" if may else f"{arming}0\n")
            await asyncio.sleep(0)
        blind = frozenset(_blind(state))
        return await asyncio.to_thread(self._join, streaks, armings, blind)

    def _join(self, streaks: list[str], armings: list[str], blind: frozenset[tuple[str, str]]) -> bytes:
        return "".join(
            (
                _head("trigger_streak_max"),
                *streaks,
                _head("trigger_armed"),
                *armings,
                self._blind_text(blind),
                self._decisions_text(),
            )
        ).encode()

    def _blind_text(self, blind: frozenset[tuple[str, str]]) -> str:
        if self._blind_for != blind:
            lines = [_head("trigger_blind")]
            for trigger in self._triggers:
                name = escape(trigger.name)
                for reason in BLINDNESS:
                    value = int((trigger.name, reason) in blind)
                    lines.append(f'rollbackd_trigger_blind{{reason="{reason}",trigger="{name}"}} {value}\n')
            self._blind, self._blind_for = "".join(lines), blind
        return self._blind

    def _decisions_text(self) -> str:
        text = self._decisions
        if text is None:
            lines = [_head("decisions_total")]
            for (trigger, severity, action, lowered_by), count in list(self._decided.items()):
                labels = (
                    f'action="{action}",lowered_by="{lowered_by}",'
                    f'severity="{severity}",trigger="{escape(trigger)}"'
                )
                lines.append(f"rollbackd_decisions_total{{{labels}}} {count}\n")
            text = self._decisions = "".join(lines)
        return text


def _blind(state: State) -> Iterator[tuple[str, str]]:
    for matter in state.matters.values():
        if matter.kind == "blind" and matter.trigger is not None:
            yield matter.trigger, matter.cause
