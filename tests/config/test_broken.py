"""Broken files beside the lines that are said about them (faults 42 and 69).

By what is broken: `main` (rollbackd.yml), `triggers`, `plans`, `yaml` itself, and what files say `together`.
A case is a file, whose first line says where in the base set it goes, or a folder laid over the base set.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from rollbackd.config import ConfigErrors, Problem, check_paths, load

HERE = Path(__file__).parent
CASES = sorted(path for path in (HERE / "broken").glob("*/*") if path.suffix != ".expected")


def lay_out(case: Path, into: Path) -> Path:
    """The base set with the case laid over it; the path of its rollbackd.yml."""
    shutil.copytree(HERE / "base", into)
    if case.is_dir():
        shutil.copytree(case, into, dirs_exist_ok=True, symlinks=True)
    else:
        raw = case.read_bytes()
        place = re.match(rb"(?:\xef\xbb\xbf)?# as: (\S+)\r?\n", raw)
        assert place is not None, case
        shutil.copyfile(case, into / place[1].decode())
    return into / "rollbackd.yml"


def said(found: list[Problem], main: Path) -> list[str]:
    return [f"{problem.severity}: {problem}".replace(f"{main.parent}/", "") for problem in found]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.stem}")
def test_says_what_is_wrong_where_and_what_to_do(case: Path, tmp_path: Path) -> None:
    """And loading says the same as checking."""
    main = lay_out(case, tmp_path / "set")
    found = check_paths([main])
    assert said(found, main) == case.with_suffix(".expected").read_text().splitlines()
    if any(problem.severity == "error" for problem in found):
        with pytest.raises(ConfigErrors) as refused:
            load(main)
        assert list(refused.value.problems) == found
    else:
        assert list(load(main).warnings) == found


def test_there_are_enough_and_each_says_something_of_its_own() -> None:
    assert len(CASES) >= 300
    expected = {path.with_suffix("") for path in (HERE / "broken").glob("*/*.expected") if path.read_text()}
    assert expected == {case.with_suffix("") for case in CASES}
    bodies = [case.read_bytes() for case in CASES if case.is_file()]
    assert len(set(bodies)) == len(bodies)


def test_the_base_set_is_sound(tmp_path: Path) -> None:
    shutil.copytree(HERE / "base", tmp_path / "set")
    assert check_paths([tmp_path / "set" / "rollbackd.yml"]) == []
