"""Mutants of the good set: whatever the bytes, problems with positions and never a traceback (fault 69)."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollbackd.config import ConfigErrors, Problem, check_paths, load
from rollbackd.config.models.base import Model, fields, walk
from rollbackd.config.models.instance import InstanceModel
from rollbackd.config.models.plans import PlanModel
from rollbackd.config.models.triggers import TriggerFileModel
from rollbackd.config.yaml_source import read

HERE = Path(__file__).parent
FILES = (
    "rollbackd.yml",
    "triggers/api.yml",
    "triggers/library.yml",
    "plans/api/plan.yml",
    "plans/api-forward-fix/plan.yml",
)
GARBAGE = (
    b"\0",
    b"\xff\xfe",
    b"\t",
    b"[[[[",
    b"&a *a",
    b"{",
    b"- ",
    b": ",
    b"!!python/object:os.system ",
    b"%",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    8,
    1.5,
    10**30,
    "",
    "yes",
    "0x1",
    "8",
    "\x00",
    "é\u2028",
    [],
    {},
)
VALUES += ([[]], {"a": 1}, [None], "> 1", "1h", "x[5m]", "..", "/", "*", "a" * 10_000, ["x"] * 500)


def mutate_bytes(raw: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(raw))
    match rng.randrange(5):
        case 0:
            return raw[:at]
        case 1:
            return raw[:at] + bytes([raw[at] ^ (1 << rng.randrange(8))]) + raw[at + 1 :]
        case 2:
            return raw[:at] + rng.choice(GARBAGE) + raw[at:]
        case 3:
            return raw[:at] + raw[at + rng.randrange(1, 40) :]
        case _:
            lines = raw.splitlines(keepends=True)
            line = rng.randrange(len(lines))
            return b"".join([*lines[: line + 1], *lines[line:]])


def containers(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    here = [value] if isinstance(value, dict | list) and value else []
    return here + [each for item in inner for each in containers(item)]


def mutate_tree(raw: bytes, rng: random.Random) -> bytes:
    data = yaml.safe_load(raw)
    target = rng.choice(containers(data))
    key = rng.choice(list(target)) if isinstance(target, dict) else rng.randrange(len(target))
    match rng.randrange(4):
        case 0:
            del target[key]
        case 1 if isinstance(target, dict):
            target[rng.choice(["", "windws", "plan", "null", "<<", "x\ny"])] = target.pop(key)
        case 2 if isinstance(target, list):
            target.append(target[key])
        case _:
            target[key] = rng.choice(VALUES)
    return yaml.safe_dump(data, allow_unicode=True).encode()


def stands_within(problem: Problem) -> bool:
    """Whether the problem's position is one of its file's."""
    raw = Path(problem.file).read_bytes() if os.path.isfile(problem.file) else b""
    lines = raw.decode(errors="replace").split("\n")
    column_most = len(lines[problem.line - 1]) + 1 if 1 <= problem.line <= len(lines) else 0
    return 1 <= problem.column <= column_most


@pytest.mark.parametrize("seed", range(40))
def test_a_mutant_never_ends_in_a_traceback(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    shutil.copytree(HERE / "good", tmp_path / "set")
    main = tmp_path / "set" / "rollbackd.yml"
    for number in range(10):
        mutate = mutate_bytes if number % 2 else mutate_tree
        name = rng.choice(FILES)
        good = (HERE / "good" / name).read_bytes()
        (tmp_path / "set" / name).write_bytes(mutate(good, rng))
        found = check_paths([main])
        for problem in found:
            assert stands_within(problem), problem
            assert str(problem).isprintable(), problem
            assert problem.what, problem
            assert problem.remedy, problem
        if any(problem.severity == "error" for problem in found):
            with pytest.raises(ConfigErrors):
                load(main)
        else:
            load(main)
        (tmp_path / "set" / name).write_bytes(good)


def test_the_good_set_uses_nearly_every_key() -> None:
    """So that its mutants reach them."""
    used: set[tuple[str, str]] = set()
    known: set[tuple[str, str]] = set()
    roots: list[tuple[type[Model], str]] = [
        (InstanceModel, "rollbackd.yml"),
        (TriggerFileModel, "triggers/api.yml"),
        (PlanModel, "plans/api/plan.yml"),
    ]
    for model, name in roots:
        document = read(HERE / "good" / name, name, name)
        for visited in walk(model, document.data):
            used |= {(visited.model.__name__, key) for key in visited.mapping}
            known |= {(visited.model.__name__, key) for key in fields(visited.model)}
    assert len(used & known) > 0.75 * len(known)
