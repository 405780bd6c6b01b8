"""One YAML text by itself: plain data in which everything knows where it stands, or problems that do."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from rollbackd.config.problem import Position
from rollbackd.config.yaml_source import MAX_DEPTH, MAX_VALUES, Document, Mapping, Sequence, read


@cache
def _path() -> Path:
    return Path(tempfile.mkdtemp(prefix="rollbackd-fuzz-")) / "file.yml"


def one(data: bytes) -> None:
    _path().write_bytes(data)
    document = read(_path(), "file.yml", "file.yml")
    lines = data.decode(errors="replace").split("\n")
    for problem in document.problems:
        _check_place(Position(problem.line, problem.column), lines)
        assert str(problem).isprintable(), problem
    assert document.data is not None or document.problems
    if document.data is not None:
        assert _walk(document, document.data, (), lines) <= MAX_VALUES + 1


def _walk(document: Document, value: Any, loc: tuple[int | str, ...], lines: list[str]) -> int:
    assert len(loc) <= MAX_DEPTH
    _check_place(document.where(loc), lines)
    match value:
        case Mapping():
            assert list(value) == list(value.keys_at) == list(value.values_at)
            inner: list[tuple[int | str, Any]] = list(value.items())
        case Sequence():
            assert len(value) == len(value.items_at)
            inner = list(enumerate(value))
        case _:
            return 1
    return 1 + sum(_walk(document, each, (*loc, key), lines) for key, each in inner)


def _check_place(at: Position, lines: list[str]) -> None:
    assert 1 <= at.line <= len(lines), at
    assert 1 <= at.column <= len(lines[at.line - 1]) + 1, at
