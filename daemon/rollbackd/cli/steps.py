"""The steps of a rollback, in full and for a small screen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rollbackd.cli import output
from rollbackd.cli.text import Doc, clock, moment, span, visible

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

STYLES = {"done": "green", "failed": "bold red", "running": "cyan", "to_come": "dim", "not_run": "dim"}
AWAY = ("done", "skipped", "to_come", "not_run")
WRONG = ("failed", "doubtful", "in_doubt")
BEFORE, AFTER = 3, 5  # steps around the one at hand, on a small screen


def table(steps: Sequence[Doc], life: Doc, now: datetime) -> Table:
    made = output.table("steps", "phase", "step", "state", "began", "took", "attempts", "detail")
    for step in steps:
        cells: output.Cells = [
            visible(step["phase"]),
            visible(step["step"]),
            _state(step),
            clock(step.get("began")),
            took(step, life, now),
            visible(step.get("attempts") or ""),
            visible(step.get("detail") or ""),
        ]
        output.row(made, cells)
    return made


def small(steps: Sequence[Doc], life: Doc, now: datetime) -> Table:
    """One line a step, within 80 columns for names of usual length; those around the one at hand."""
    made = output.table("steps", "phase", "step", "state", "began", "took", "attempts")
    at = at_hand(steps)
    first, last = max(0, at - BEFORE), min(len(steps), at + AFTER + 1)
    if first:
        output.row(made, [f"… {first} more", *[""] * 5], "dim")
    for step in steps[first:last]:
        began = moment(step.get("began"))
        cells: output.Cells = [
            cut(visible(step["phase"]), 14),
            cut(visible(step["step"]), 22),
            _state(step),
            began.astimezone(UTC).strftime("%H:%M:%SZ") if began else "",
            took(step, life, now),
            visible(step.get("attempts") or ""),
        ]
        output.row(made, cells)
    if last < len(steps):
        output.row(made, [f"… {len(steps) - last} more", *[""] * 5], "dim")
    return made


def at_hand(steps: Sequence[Doc]) -> int:
    """Where the step is that runs or went wrong; else the last that is behind."""
    for at, step in enumerate(steps):
        if step["state"] not in AWAY:
            return at
    return max((at for at, step in enumerate(steps) if step.get("began")), default=0)


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _state(step: Doc) -> Text:
    by = f" by {visible(step['by'])}" if step.get("by") not in (None, "", "run") else ""
    late = " OVERDUE" if step.get("overdue") else ""
    return output.note(visible(step["state"]) + by + late, STYLES.get(step["state"], "yellow"))


def took(step: Doc, life: Doc, now: datetime) -> str:
    began, ended = moment(step.get("began")), moment(step.get("ended")) or moment(life.get("ended"))
    return span(((ended or now) - began).total_seconds()) if began else ""


def last_words(steps: Sequence[Doc], life: Doc) -> list[Text]:
    """What the steps that went wrong said last, and where the whole is."""
    found: list[Text] = []
    for step in steps:
        if step["state"] not in WRONG or not (step.get("said") or step.get("detail")):
            continue
        said, detail = visible(step.get("said") or ""), visible(step.get("detail") or "")
        parts = [detail] if detail else []
        if said and said not in detail:
            parts.append(f"its last line: {said}")
        found.append(output.note(f"{visible(step['step'])}: {'; '.join(parts)}", STYLES["failed"]))
    if found:
        found.append(output.note(f"the whole output: `rollbackd report {visible(life['id'])}`"))
    return found
