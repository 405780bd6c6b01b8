"""Durations and limits as people write them: `1h30m`, `> 0.01`. Numbers as Prometheus does."""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING

import msgspec

from rollbackd.core.model import Limit, Ms

if TYPE_CHECKING:
    from collections.abc import Collection

UNITS: dict[str, Ms] = {
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_DURATION = re.compile(
    r"(?=[0-9])"
    + "".join(rf"(?:([0-9]{{1,9}}){unit})?" for unit in ("w", "d", "h", "m(?!s)", "s", "ms"))
    + r"\Z"
)
_LIMIT = re.compile(r"(>=|<=|==|!=|>|<)\s*([-+]?[0-9]{1,18}(?:\.[0-9]{1,18})?(?:[eE][-+]?[0-9]{1,3})?)\Z")


def parse_duration(text: str) -> Ms:
    """`1h30m`, `500ms`, `0s` → milliseconds. Units descend, each at most once. ValueError otherwise."""
    match = _DURATION.match(text)
    if match is None:
        raise ValueError("not a duration")
    return sum(int(part) * unit for part, unit in zip(match.groups(), UNITS.values(), strict=True) if part)


def span(duration: Ms) -> str:
    """The shortest text that `parse_duration` reads as the same; 0 is `0s`."""
    shown, rest = "", duration
    for name, unit in UNITS.items():
        count, rest = divmod(rest, unit)
        if count:
            shown += f"{count}{name}"
    return shown or "0s"


def about(duration: Ms) -> str:
    """As `span`, for measured times: to the second from a second up."""
    return span(duration if duration < 1_000 else duration // 1_000 * 1_000)


def visible(text: str, most: int = 200) -> str:
    """Text from outside as one harmless line: what cannot be seen is escaped, what is long is cut."""
    cut = text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def quotient(text: str) -> float | None:
    """A reading as evidence keeps it, `0.2` or `4/20`, as a number; None where it is none."""
    try:
        errors, _, total = text.partition("/")
        return float(errors) / float(total) if total else float(errors)
    except (ValueError, ZeroDivisionError):
        return None


def parse_limit(text: str) -> Limit:
    """`> 0.01` → the comparison. ValueError otherwise, with what is wrong."""
    match = _LIMIT.match(text.strip())
    if match is None:
        raise ValueError("not a comparison with a number")
    value = float(match[2])
    if not isfinite(value):
        raise ValueError("not a finite number")
    return Limit(op=match[1], value=value)  # type: ignore[arg-type]


_NUMBERS = msgspec.json.Decoder(list[float])


def numbers(texts: Collection[str]) -> list[float]:
    """Equal to what `float` makes of each (-0 is 0), at a fourth of its price where all are as JSON has them.
    ValueError where one is no number."""
    try:
        found = _NUMBERS.decode(f"[{','.join(texts)}]")
    except msgspec.DecodeError:  # NaN and the infinities, or worse
        found = []
    return found if len(found) == len(texts) else list(map(float, texts))
