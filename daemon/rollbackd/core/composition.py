"""What a window means where conditions are composed: Kleene's logic over their verdicts (W10).

`breach` is true, `ok` false, and the others are missing: neither. A part decides where Kleene decides without
what is missing; else the missing verdict stands, the first of unknown, no data, low traffic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollbackd.core.model import Condition, NoData, Verdict

_RANK = {"waits": 4, "unknown": 3, "no_data": 2, "low_traffic": 1}
_TOLD = ("breach", "ok")
_ABSENT = ("no_data", "unknown")


class Heard(NamedTuple):
    """What one leaf says of one subject. `waits`: that is still to come (W6, W14)."""

    verdict: Verdict
    waits: bool = False


class Composed(NamedTuple):
    """`verdict`: None where something that is still to come decides it. `no_data`: how a missing verdict
    counts, in place of the trigger's `no_data`."""

    verdict: Verdict | None
    no_data: NoData | None = None


NOTHING = Heard("no_data")


def compose(condition: Condition, heard: Sequence[Heard]) -> Composed:
    """One subject's window; `heard` are its leaves in their order.

    Where no leaf told `breach` or `ok` the verdict is the missing one, whatever the leaves' own `no_data`
    make of it: it proves nothing, and counts as they say.
    """
    if condition.how == "one":
        return Composed(heard[0].verdict) if not heard[0].waits else Composed(None)
    verdict, resets = _of(condition, iter(heard))
    if verdict == "waits":
        return Composed(None)
    if verdict in _TOLD:
        if any(leaf.verdict in _TOLD and not leaf.waits for leaf in heard):
            return Composed(verdict)  # type: ignore[arg-type]
        missing: Verdict = "unknown" if any(leaf.verdict == "unknown" for leaf in heard) else "no_data"
        return Composed(missing, verdict)  # type: ignore[arg-type]
    return Composed(verdict, "reset" if resets else None)  # type: ignore[arg-type]


def unheard(condition: Condition) -> Composed:
    """Of a subject of which nothing is told."""
    return compose(condition, [NOTHING] * sum(1 for _ in condition.leaves()))


def _of(condition: Condition, heard: Iterator[Heard]) -> tuple[str, bool]:
    """A verdict, or `waits`; and whether it is missing by a leaf that says `reset`."""
    if condition.how == "one":
        return _leaf(condition, next(heard))
    found = [_of(part, heard) for part in condition.parts]
    decisive, otherwise = ("ok", "breach") if condition.how == "all" else ("breach", "ok")
    if any(verdict == decisive for verdict, _ in found):
        return decisive, False
    missing = [one for one in found if one[0] in _RANK]
    if not missing:
        return otherwise, False
    worst = max((verdict for verdict, _ in missing), key=_RANK.__getitem__)
    return worst, any(resets for _, resets in missing)


def _leaf(condition: Condition, heard: Heard) -> tuple[str, bool]:
    if heard.waits:
        return "waits", False
    if heard.verdict in _ABSENT:
        if condition.no_data == "breach" or condition.no_data == "ok":
            return condition.no_data, False
        return heard.verdict, condition.no_data == "reset"
    return heard.verdict, False
