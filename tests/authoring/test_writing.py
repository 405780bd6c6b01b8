"""What is written is read as it was meant, by our reader and by others'."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rollbackd.authoring.comments import beside
from rollbackd.authoring.folders import File, InTheWay, place
from rollbackd.authoring.names import MOST, Names, name_from
from rollbackd.authoring.writing import comment, dump, item
from rollbackd.config.comments import comments
from rollbackd.config.models.types import NAME
from rollbackd.config.yaml_source import parsed
from rollbackd.outputs import whole

SURPRISES = [
    "on",
    "off",
    "yes",
    "No",
    "NULL",
    "~",
    "",
    "null",
    "true",
    "010",
    "0o7",
    "0x1F",
    "1e3",
    "1_000",
    "1:30",
]
SURPRISES += [
    "-1",
    "+1",
    ".5",
    "1.",
    ".inf",
    ".NaN",
    "2026-01-01",
    "<<",
    "=",
    "> 1",
    "!x",
    "&a",
    "*a",
    "- a",
    "? a",
]
SURPRISES += [
    "a: b",
    "a #b",
    "#a",
    " a",
    "a ",
    "a\nb",
    "a \nb",
    "\n",
    "a\n\n",
    "\ta",
    "'",
    '"',
    "\\",
    "{{ a }}",
    "[a]",
]
SURPRISES += [
    "%a",
    "@a",
    "`a`",
    "a,b",
    "a]b",
    "---",
    "...",
    "|",
    ">",
    "é",
    "\u2028",
    "\x85",
    "\ufeff",
    "😀",
    "\\u0041",
]
TEXT = st.one_of(
    st.sampled_from(SURPRISES), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
)
VALUE = st.recursive(
    st.one_of(TEXT, st.booleans(), st.integers(-(10**16), 10**16)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(TEXT.filter(lambda key: key != "<<"), inner, max_size=4)
    ),
    max_leaves=8,
)


def as_read(text: str) -> Any:
    document = parsed(text, Path("x.yml"), "x.yml", "x.yml")
    assert document.problems == []
    return document.data


@given(VALUE)
def test_every_value_is_read_back(value: Any) -> None:
    for text in (dump({"key": value}), f"key:\n{item({'in': value}, 2)}"):
        ours = as_read(text)
        assert ours in ({"key": value}, {"key": [{"in": value}]})
        assert yaml.safe_load(text) == ours


@pytest.mark.parametrize("value", SURPRISES)
def test_every_surprise_of_yaml(value: str) -> None:
    text = dump({"key": value, "list": [value]})
    assert as_read(text) == yaml.safe_load(text) == {"key": value, "list": [value]}


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_a_comment_stays_one(lines: list[str]) -> None:
    assert as_read(f"{comment(lines, 2)}a: 1\n") == {"a": 1}


@given(st.text())
def test_every_name_is_one(text: str) -> None:
    assert NAME.parse(name_from(text)) == name_from(text)


def test_names_are_given_once() -> None:
    names = Names()
    found = [names.take(text) for text in ["a", "a", "a-2", "x" * 200, "x" * 200, "", ""]]
    assert len(set(found)) == 7
    assert max(map(len, found)) == MOST


BESIDE = """\
# head
a: # a
  - b: '# no' # b
    # in b
    c: |
      # no
  # of d
  - d: "x
    # no" #d
  #  e

# end
"""


@pytest.mark.parametrize(
    "said",
    [
        "rollbackd: disable all until 2099-01-01",
        "  rollbackd: shadow since 2001-01-01",
        "severity x # rollbackd: disable all until 2099-01-01 became medium",
        "two\u2028rollbackd: disable all until 2099-01-01",
        "yaml-language-server: $schema=https://example.com/x.json",
    ],
)
def test_a_comment_of_others_says_nothing_to_tools(said: str) -> None:
    written = comment([said]) + "a: 1\n"
    assert comments(written) == []
    assert "# yaml-language-server:" not in written
    assert "rollbackd :" in written or "server :" in written


def test_comments_stand_beside_what_they_are_about() -> None:
    assert beside(BESIDE, [2, 3, 8]) == ([["head", "a"], ["b", "in b"], ["of d", "d"]], [" e", "end"])


def test_files_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    files = [File("a/b.yml", "b"), File("c.sh", "c", program=True)]
    assert place(tmp_path / "new", files) == [tmp_path / "new/a/b.yml", tmp_path / "new/c.sh"]
    assert (tmp_path / "new/c.sh").stat().st_mode & 0o111 == 0o111
    (tmp_path / "old").mkdir()
    (tmp_path / "old/c.sh").symlink_to("nowhere")
    with pytest.raises(InTheWay, match=r"old/c\.sh is there already"):
        place(tmp_path / "old", files)
    (tmp_path / "file").write_text("")
    with pytest.raises(InTheWay, match="file is there"):
        place(tmp_path / "file", files)
    assert {path.name for path in (tmp_path / "old").iterdir()} == {"c.sh"}


def test_a_set_that_cannot_be_written_whole_leaves_nothing(tmp_path: Path) -> None:
    files = [File("new/a/b.yml", "b"), File("c.sh", "c"), File("\ud800", "no name on a disk")]
    with pytest.raises(UnicodeEncodeError):
        place(tmp_path / "deep/er", files)
    assert list(tmp_path.iterdir()) == []


def test_a_file_has_all_of_it_or_what_it_had(tmp_path: Path) -> None:
    path, link = tmp_path / "x", tmp_path / "link"
    link.symlink_to(path)
    with whole(link) as file:
        file.write(b"one")
    assert link.is_symlink()
    with pytest.raises(TypeError), whole(path) as file:
        file.writelines([b"half", None])  # type: ignore[list-item]
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"x": b"one", "link": b"one"}


def test_what_is_no_file_is_written_to_and_stays_what_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with whole(pipe) as file:
            file.write(b"all")
        assert os.read(reading, 10) == b"all"
    finally:
        os.close(reading)
    assert pipe.is_fifo()
