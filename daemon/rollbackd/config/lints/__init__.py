"""What is doubtful in triggers that can be used, each by an ID by which it can be explained and disabled."""

from __future__ import annotations

from rollbackd.config.lints.lint import Finding, Lint, Needs, expressions, leaves
from rollbackd.config.lints.linting import Disabled, Settled, Severity, find, problem, settle
from rollbackd.config.lints.registry import LINTS, document, explanation, named

__all__ = [
    "LINTS",
    "Disabled",
    "Finding",
    "Lint",
    "Needs",
    "Settled",
    "Severity",
    "document",
    "explanation",
    "expressions",
    "find",
    "leaves",
    "named",
    "problem",
    "settle",
]
