"""What the daemon says, as a terminal may show it; moments and spans for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

Doc: TypeAlias = Mapping[str, Any]
"""One JSON object of the API."""


def visible(text: object) -> str:
    """On one line, with control characters, ANSI and invisible marks spelled out (fault 68)."""
    said = text if isinstance(text, str) else str(text)
    if said.isprintable():
        return said
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in said)


def visible_lines(text: str) -> str:
    """As `visible`, with its lines kept."""
    return "\n".join(visible(line) for line in text.replace("\r\n", "\n").split("\n"))


def labels(found: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{visible(name)}={visible(value)}" for name, value in found.items()) + "}"


def moment(said: object) -> datetime | None:
    """RFC 3339 → the moment; None where there is none."""
    if not isinstance(said, str):
        return None
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def clock(said: object) -> str:
    """`2026-01-31 12:00:00Z`; what is no moment is shown as it came."""
    found = moment(said)
    if found is None:
        return "" if said is None else visible(said)
    return found.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def span(seconds: float) -> str:
    """`1h30m`, `45s`: whole seconds, two units at most."""
    whole = int(abs(seconds))
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "m"), (whole % 60, "s")]
    first = next((at for at, (count, _) in enumerate(parts) if count), 3)
    shown = "".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count) or "0s"
    return f"-{shown}" if seconds <= -1 else shown


def until(said: object, now: datetime) -> str:
    """`12:30:00Z (in 4m10s)`, or how long ago."""
    found = moment(said)
    if found is None:
        return visible(said)
    left = (found - now).total_seconds()
    form = "%H:%M:%SZ" if abs(left) < 86400 else "%Y-%m-%d %H:%M:%SZ"
    return f"{found.astimezone(UTC).strftime(form)} ({_distance(left)})"


def _distance(left: float) -> str:
    return f"in {span(left)}" if left >= 0 else f"{span(-left)} ago"


_MOMENT = re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\b")


def with_distance(text: str, now: datetime) -> str:
    """`… by 2026-01-31 12:30:00 UTC (in 4m10s): …`: each moment of a sentence, also from now."""

    def told(match: re.Match[str]) -> str:
        found = moment(match[0].removesuffix(" UTC"))
        return match[0] if found is None else f"{match[0]} ({_distance((found - now).total_seconds())})"

    return _MOMENT.sub(told, text)


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
