"""Broken files beside the lines that are said about them (faults 42 and 69).

A case is a file, whose first line says where in the base set it goes, or a folder laid over the base set.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from rollbackd.config import ConfigErrors, check_paths, load

HERE = Path(__file__).parent
CASES = sorted(path for path in (HERE / "broken").iterdir() if path.suffix != ".expected")


def lay_out(case: Path, into: Path) -> Path:
    """The base set with the case laid over it; the path of its rollbackd.yml."""
    shutil.copytree(HERE / "base", into)
    if case.is_dir():
        shutil.copytree(case, into, dirs_exist_ok=True)
    else:
        raw = case.read_bytes()
        place = re.match(rb"# as: (\S+)\n", raw)
        assert place is not None, case
        shutil.copyfile(case, into / place[1].decode())
    return into / "rollbackd.yml"


def told(main: Path) -> list[str]:
    found = check_paths([main])
    return [f"{problem.severity}: {problem}".replace(f"{main.parent}/", "") for problem in found]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_says_what_is_wrong_where_and_what_to_do(case: Path, tmp_path: Path) -> None:
    main = lay_out(case, tmp_path / "set")
    assert told(main) == case.with_suffix(".expected").read_text().splitlines()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_loading_says_the_same_as_checking(case: Path, tmp_path: Path) -> None:
    main = lay_out(case, tmp_path / "set")
    found = check_paths([main])
    if any(problem.severity == "error" for problem in found):
        with pytest.raises(ConfigErrors) as refused:
            load(main)
        assert list(refused.value.problems) == found
    else:
        assert list(load(main).warnings) == found


def test_there_are_enough() -> None:
    assert len(CASES) >= 60


def test_the_base_set_is_sound(tmp_path: Path) -> None:
    shutil.copytree(HERE / "base", tmp_path / "set")
    assert told(tmp_path / "set" / "rollbackd.yml") == []
