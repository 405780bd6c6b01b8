"""Files that are none, or that mean harm (fault 69): one problem each, and quickly."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rollbackd.config import check_paths
from rollbackd.config.problem import Position
from rollbackd.config.yaml_source import MAX_BYTES, NULL, Document, read


def reading(tmp_path: Path, raw: bytes) -> Document:
    path = tmp_path / "file.yml"
    path.write_bytes(raw)
    return read(path, "file.yml", "file.yml")


HOSTILE = {
    "deep flow": (b"a: " + b"[" * 100_000, "nested deeper"),
    "deep mappings": (b"a: " + b"{a: " * 50_000, "nested deeper"),
    "deep blocks": (b"".join(b" " * i + b"a:\n" for i in range(1000)), "nested deeper"),
    "deep by aliases": (
        b"a0: &a0 [x]\n" + b"".join(b"a%d: &a%d [*a%d]\n" % (i, i, i - 1) for i in range(1, 60)),
        "nested deeper",
    ),
    "laughs": (
        b"a0: &a0 [x, x]\n"
        + b"".join(b"a%d: &a%d [*a%d, *a%d]\n" % (i, i, i - 1, i - 1) for i in range(1, 20)),
        "holds more than",
    ),
    "many values": (b"a: [" + b"x," * 300_000 + b"]", "holds more than"),
    "too large": (b"a: " + b"x" * MAX_BYTES, "is larger than 4 MiB"),
    "binary": (bytes(range(128)), "control character"),
    "not UTF-8": (b"a: \xc3\x28", "is not UTF-8"),
    "UTF-16": ("a: 1".encode("utf-16"), "is not UTF-8"),
    "line separator": ("a: x\u2028y".encode(), "control character U+2028"),
    "carriage return": (b"a: 1\rb: 2", "control character U+000D"),
    "tag of python": (b"!!python/object/apply:os.system [true]", "has no meaning here"),
    "empty": (b"", "is empty"),
    "comments alone": (b"# nothing\n", "is empty"),
    "null": (b"~", "is empty"),
    "surrogate": (b'a: "\\ud800"', "Unicode"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_one_problem(name: str, tmp_path: Path) -> None:
    raw, what = HOSTILE[name]
    document = reading(tmp_path, raw)
    assert any(what in problem.what for problem in document.problems), document.problems
    assert len(document.problems) <= 2


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yml")
    (tmp_path / "folder.yml").mkdir()
    (tmp_path / "loop.yml").symlink_to("loop.yml")
    wanted = {
        "fifo.yml": "is not a regular file",
        "folder.yml/": "holds no configuration",
        "loop.yml": "cannot be read (Too many levels of symbolic links)",
        "gone.yml": "cannot be read (No such file or directory)",
        "x" * 5000: "cannot be read (File name too long)",
        "nul\0": "cannot be read (embedded null byte)",
    }
    for name, what in wanted.items():
        [problem] = check_paths([f"{tmp_path}/{name}"])
        assert (problem.what, problem.line, problem.column) == (what, 1, 1)


def test_a_huge_scalar_is_cut_where_it_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "plan.yml"
    path.write_text("version: rollbackd/v1\nplan: " + "x" * 1_000_000)
    assert all(len(str(problem)) < 1000 for problem in check_paths([path]))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8), ("-1", -1), ("0", 0), ("1.5", 1.5), ("true", True), ("false", False),
        ("010", "010"), ("1e3", "1e3"), ("1:30", "1:30"), ("on", "on"), ("yes", "yes"), ("True", "True"),
        ("0x1f", "0x1f"), ("1_000", "1_000"), (".5", ".5"), ("5.", "5."), (".inf", ".inf"), (".nan", ".nan"),
        ("2025-12-09", "2025-12-09"), ("+1", "+1"), ("=", "="), ("'8'", "8"), ('"true"', "true"),
        ("null", NULL), ("~", NULL), ("", NULL), ("Null", "Null"), ("|\n  x\n", "x\n"),
    ],
)  # fmt: skip
def test_plain_scalars(text: str, value: object, tmp_path: Path) -> None:
    document = reading(tmp_path, f"a: {text}".encode())
    assert document.data is not None
    assert (type(document.data["a"]), document.data["a"]) == (type(value), value)


def test_positions(tmp_path: Path) -> None:
    document = reading(tmp_path, "\ufeffa:\r\n  - x: 1\r\n    é: {k: [u, v]}\r\n".encode())
    assert document.problems == []
    assert document.where(("a", 0, "x")) == Position(2, 8)
    assert document.where(("a", 0, "é", "k", 1)) == Position(3, 16)
    assert document.where(("a", 0, "é"), at_key=True) == Position(3, 5)
    assert document.where(("a", 0, "gone")) == Position(2, 5)
    assert document.where(("a", 7)) == Position(2, 3)


def test_what_is_left_empty_stands_before_the_end(tmp_path: Path) -> None:
    assert reading(tmp_path, b"?").where(("",)) == Position(1, 2)
    assert reading(tmp_path, b"a:\n  ? ").where(("a", "")) == Position(2, 5)
    assert reading(tmp_path, b"? \n").where(("",)) == Position(2, 1)


def test_an_alias_stands_where_it_is_used(tmp_path: Path) -> None:
    document = reading(tmp_path, b"a: &x [1]\nb: *x\n")
    assert document.data == {"a": [1], "b": [1]}
    assert document.where(("b",)) == Position(2, 4)
