"""Words that every section of a report uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core.wording import moment

if TYPE_CHECKING:
    from rollbackd.core.model import Ms, Plan
    from rollbackd.core.state import Life

UNKNOWN = "unknown"


def fact(name: str, value: str) -> str:
    return f"- **{name}**: {value}"


def at(when: Ms | None) -> str:
    return moment(when) if when is not None else UNKNOWN


def plain(word: str) -> str:
    """A name of ours as words: `auto_with_warning`."""
    return word.replace("_", " ")


def target(plan: Plan) -> Ms:
    """Of the whole: with regions it is of each, as the SLA is (S1)."""
    return plan.target * (plan.allowed() // plan.sla)


def elapsed(life: Life) -> Ms | None:
    """S1: the decision to verified, or to the end where it never was; None where neither is known."""
    over = life.verified if life.verified is not None else life.ended
    if life.decided is None or over is None:
        return None
    return over - life.decided
