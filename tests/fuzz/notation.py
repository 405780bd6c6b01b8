"""Durations, limits, readings, texts from outside: read, or a ValueError; written, and read as the same."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from rollbackd.config.models.types import Comparison, Duration
from rollbackd.core.notation import about, parse_duration, parse_limit, quotient, span, visible


def one(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    duration = _read(parse_duration, text)
    if duration is not None:
        assert 0 <= duration < 10**18
        assert parse_duration(span(duration)) == duration, span(duration)
        assert parse_duration(about(duration)) <= duration
    limit = _read(parse_limit, text)
    if limit is not None:
        assert isfinite(limit.value)
        assert parse_limit(str(limit)) == limit, str(limit)
        limit.holds(0.0)
    quotient(text)
    shown = visible(text)
    assert shown.isprintable()
    assert len(shown) <= 200 * 10 + 40
    _read(Duration().parse, text)
    _read(Comparison().parse, text)


def _read(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError:
        return None
