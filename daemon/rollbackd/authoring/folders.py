"""Files that are written all together or not at all, and never over others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rollbackd.config.problem import one_line


class File(NamedTuple):
    name: str  # relative to the folder they go to
    text: str
    program: bool = False


class InTheWay(Exception):
    """What is there already, and what to do."""


def place(folder: Path, files: Sequence[File]) -> list[Path]:
    """Write the files into the folder, which is made where it is missing. InTheWay: one of them, or a file
    where a folder is wanted, is there: then nothing was written. OSError."""
    paths = [folder / file.name for file in files]
    there = [path for path in paths if os.path.lexists(path)]
    there += [nearest for nearest in dict.fromkeys(map(_nearest, paths)) if not nearest.is_dir()]
    if there:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise InTheWay(
            f"{one_line(str(there[0]), 4096)}{more} is there already; move it, or name another folder"
        )
    made: list[Path] = []
    try:
        for file, path in zip(files, paths, strict=True):
            _write(file, path, made)
    except BaseException:
        _take_back(made)
        raise
    return paths


def _write(file: File, path: Path, made: list[Path]) -> None:
    for above in reversed([each for each in path.parents if not each.exists()]):
        above.mkdir()
        made.append(above)
    with open(path, "x", encoding="utf-8") as opened:
        made.append(path)
        opened.write(file.text)
    if file.program:
        path.chmod(0o755)


def _take_back(made: Sequence[Path]) -> None:
    for path in reversed(made):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()


def _nearest(path: Path) -> Path:
    """The nearest above it that is there."""
    return next(each for each in path.absolute().parents if os.path.lexists(each))
