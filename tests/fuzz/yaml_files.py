"""The YAML files: problems that stand within their file, or a configuration; never anything else.

The first byte says which file of the good set the rest replaces.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from rollbackd.config import ConfigErrors, Problem, check_paths, load

GOOD = Path(__file__).parents[1] / "config/good"
FILES = ("rollbackd.yml", "triggers/api.yml", "plans/api/plan.yml")
MOST = 400
"""Problems of one small file: each key can have some, and each value."""


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="rollbackd-fuzz-")) / "set"
    shutil.copytree(GOOD, folder)
    return folder


def one(data: bytes) -> None:
    folder = _folder()
    replaced = folder / FILES[data[0] % len(FILES) if data else 0]
    original = (GOOD / replaced.relative_to(folder)).read_bytes()
    replaced.write_bytes(data[1:])
    try:
        _check(folder / "rollbackd.yml", len(data))
    finally:
        replaced.write_bytes(original)


def _check(main: Path, size: int) -> None:
    found = check_paths([main])
    assert len(found) <= MOST + size, "problems without end"
    for problem in found:
        assert stands_within(problem), problem
        assert str(problem).isprintable(), problem
        assert len(str(problem)) < 8_000
        assert problem.what, problem
        assert problem.remedy, problem
    try:
        load(main)
        refused = False
    except ConfigErrors:
        refused = True
    assert refused == any(problem.severity == "error" for problem in found), "`check` and `load` differ"


def stands_within(problem: Problem) -> bool:
    """Whether the problem's position is one of its file's."""
    raw = Path(problem.file).read_bytes() if os.path.isfile(problem.file) else b""
    lines = raw.decode(errors="replace").split("\n")
    column_most = len(lines[problem.line - 1]) + 1 if 1 <= problem.line <= len(lines) else 0
    return 1 <= problem.column <= column_most
