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


def configure() -> None:
    """One line a fact; control characters escaped, so that a label cannot forge a line (fault 68)."""
    journald = "JOURNAL_STREAM" in os.environ
    steps: list[structlog.types.Processor] = [structlog.processors.add_log_level]
    if not journald:
        steps.append(structlog.processors.TimeStamper(fmt="iso", utc=True))
    steps += [
        structlog.processors.format_exc_info,
        structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], drop_missing=True),
        _Escape(journald),
    ]
    structlog.configure(
        processors=steps,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


class _Escape:
    def __init__(self, journald: bool) -> None:
        self._journald = journald

    def __call__(self, _logger: object, level: str, line: MutableMapping[str, Any] | str) -> str:
        text = "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(line)
        )
        return _PRIORITIES.get(level, "") + text if self._journald else text
