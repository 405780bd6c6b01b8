"""What is doubtful in triggers that can be used, each by an ID by which it can be explained and disabled."""

from __future__ import annotations

from rollbackd.config.lints.lint import Lint, Needs
from rollbackd.config.lints.linting import Disabled, Settled, find, settle
from rollbackd.config.lints.registry import LINTS, document, explanation, named

__all__ = [
    "LINTS",
    "Disabled",
    "Lint",
    "Needs",
    "Settled",
    "document",
    "explanation",
    "find",
    "named",
    "settle",
]
