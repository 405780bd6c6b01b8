"""Lints of plans: what one lacks for its level (rule P1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.config.lints.lint import Finding, Lint
from rollbackd.core.levels import WANTED, idle_exceptions, lacks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollbackd.core.model import Plan

LACKS = Lint(
    "plan-level",
    "a plan without what its level asks for",
    "The level is a promise to whoever permits the change: that the way back is written down, and at level 3"
    " runs by itself, in parts, and looks at the data. `rollbackd gate permit` says no to such a plan.",
    "add it, give the plan a lower level, or say in `exceptions` why it does without",
    rule="P1",
)
IDLE = Lint(
    "plan-exception",
    "an exception from what the plan has, or its level does not ask for",
    "It would excuse the plan once it no longer has it, and nobody would have thought of that.",
    "remove it",
    rule="P1",
)
LINTS = (LACKS, IDLE)


def of_plan(plan: Plan, notify: Sequence[str]) -> Iterator[tuple[Lint, Finding]]:
    """`notify`: who is told where the plan names nobody."""
    for lack in lacks(plan, notify):
        yield LACKS, Finding(lack.key, str(lack), f"{lack.remedy}, or say in `exceptions` why not")
    for name in idle_exceptions(plan, notify):
        level = WANTED[name][0]
        why = "the plan has it" if level <= plan.level else f"level {plan.level} does not ask for it"
        yield IDLE, Finding(("exceptions", name), f"{name}: {why}")
