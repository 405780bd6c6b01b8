"""Knowing that nothing is known: blind triggers and a silent Prometheus (W5, W6, W14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import wording
from rollbackd.core.ladder import open_matter, resolve_matter
from rollbackd.core.windows import ABSENT_AFTER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.model import Ms
    from rollbackd.core.soft import Soft
    from rollbackd.core.turn import Turn
    from rollbackd.core.windows import Watch

SOURCE = "source/prometheus"
SILENCE: Ms = 120_000
"""W6: Prometheus may be silent for three intervals, and at least this long."""


def check(turn: Turn, watch: Watch) -> None:
    """After a window was judged, or could not be asked: is this trigger blind, or no longer?"""
    trigger = watch.trigger
    found = watch.blindness(turn.now)
    key = f"blind/{trigger.name}"
    if found is None:
        resolve_matter(turn, key, "it sees again")
        return
    reason, detail = found
    if reason == "unreachable" and turn.now - turn.soft.spoke_at < ABSENT_AFTER:
        return  # Prometheus itself was silent: that has its own page (W6)
    open_matter(
        turn,
        "blind",
        trigger.name,
        reason,
        title=f"{trigger.plan}: trigger {trigger.name} is blind",
        text=(
            f"Look at what {trigger.name} asks: {detail}.\n"
            "If nobody acts: a breach of it is not seen, and nothing is rolled back."
        ),
        labels={**wording.trigger_labels(turn.config, trigger), "reason": reason},
        annotations=trigger.annotations,
        plan=trigger.plan,
        trigger=trigger.name,
    )


def source_answered(turn: Turn, unreachable: str | None) -> None:
    """Any answer ends the silence; the first failure begins it."""
    soft = turn.soft
    if unreachable is None:
        soft.unreachable_since = None
        if SOURCE in turn.state.matters:
            soft.spoke_at = turn.now
        soft.answered = True
        resolve_matter(turn, SOURCE, "Prometheus answers again")
    elif soft.unreachable_since is None:
        soft.unreachable_since = turn.now
        soft.unreachable_why = unreachable
    else:
        soft.unreachable_why = unreachable


def patience(soft: Soft) -> Ms:
    shortest = min((watch.interval for watch in soft.watches.values()), default=0)
    return max(3 * shortest, SILENCE)


def progress(turn: Turn) -> None:
    """One page for the source, not one a trigger (W6)."""
    since = turn.soft.unreachable_since
    if since is None or SOURCE in turn.state.matters or turn.now - since < patience(turn.soft):
        return
    open_matter(
        turn,
        "source",
        "prometheus",
        "unreachable",
        title="Prometheus does not answer: rollbackd is blind",
        text=(
            "Bring Prometheus back, or mend `prometheus:` in rollbackd.yml and `rollbackd reload`.\n"
            f"Since {wording.moment(since)}: {turn.soft.unreachable_why}. "
            f"{len(turn.config.triggers)} triggers see nothing.\n"
            "If nobody acts: no breach is seen, and nothing is rolled back automatically."
        ),
        labels={"instance": turn.config.instance},
    )


def alarms(soft: Soft) -> Iterator[Ms]:
    if soft.unreachable_since is not None:
        yield soft.unreachable_since + patience(soft)
