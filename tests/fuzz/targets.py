"""What is fuzzed. A target takes any bytes and returns; what it raises is a finding.

The rules are the same for all: only the documented exceptions, no more out than the input allows, and no
hang. Each stands in a module of its own, so that one target imports, and instruments, little else.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"

Target = Callable[[bytes], None]

TARGETS = (
    "attempt_files",
    "http_verbs",
    "journal_chain",
    "journal_codec",
    "notation",
    "prometheus_answers",
    "promql",
    "yaml_files",
    "yaml_text",
)


def target(name: str) -> Target:
    found: Target = import_module(f"tests.fuzz.{name}").one
    return found


def kept(name: str) -> list[Path]:
    """The target's corpus, for ever: what once failed, and what reaches far."""
    return sorted((CORPUS / name).iterdir())
