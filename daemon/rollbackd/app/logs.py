"""Logs: logfmt lines on stderr, with journald's priorities where it listens."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

_PRIORITIES = {"critical": "<2>", "error": "<3>", "warning": "<4>", "info": "<6>", "debug": "<7>"}


FIELD = 500
"""Characters of one field of a line."""

LINE = 8 * 1024
"""Bytes of a line."""


def configure() -> None:
    """One line a fact; control characters escaped, so that a label cannot forge a line (fault 68)."""
    journald = "JOURNAL_STREAM" in os.environ
    steps: list[structlog.types.Processor] = [structlog.processors.add_log_level]
    if not journald:
        steps.append(structlog.processors.TimeStamper(fmt="iso", utc=True))
    steps += [
        structlog.processors.format_exc_info,
        _cut_fields,
        structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], drop_missing=True),
        _Escape(journald),
    ]
    structlog.configure(
        processors=steps,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _cut_fields(_logger: object, _level: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """No field is longer than a person reads, whoever sent it."""
    for name, value in line.items():
        text = value if isinstance(value, str) else str(value)
        if len(text) > FIELD:
            line[name] = _cut(text, FIELD)
    return line


def _cut(text: str, limit: int) -> str:
    """At most `limit` characters of it, and how many there were."""
    if len(text) <= limit:
        return text
    rest = f"… ({len(text)} characters)"
    return text[: limit - len(rest)] + rest


class _Escape:
    def __init__(self, journald: bool) -> None:
        self._journald = journald

    def __call__(self, _logger: object, level: str, line: MutableMapping[str, Any] | str) -> str:
        text = str(line)
        if not text.isprintable():
            text = "".join(
                char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
            )
        if self._journald:
            text = _PRIORITIES.get(level, "") + text
        return _whole(text)


def _whole(text: str) -> str:
    """At most `LINE` bytes with its end, cut between two characters."""
    data = text.encode()
    if len(data) < LINE:
        return text
    rest = f"… ({len(data)} bytes)"
    return data[: LINE - 1 - len(rest.encode())].decode("utf-8", "ignore") + rest
