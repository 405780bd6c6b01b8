"""Answers in files: what is written is read back; what is broken says where."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from math import inf, isnan, nan
from pathlib import Path
from typing import Any

import pytest
from tests.tuning.plainly import trigger
from tests.tuning.test_grids import aligned

from rollbackd.core.effects import WindowQuery
from rollbackd.core.history import Column, History, no_answers
from rollbackd.core.model import Condition, Limit, Trigger
from rollbackd.core.signals import Unusable
from rollbackd.tuning import answers
from rollbackd.tuning.answers import BadFile, Kept, Saved

ENDS = range(15_000, 15_000 * 9, 15_000)
QUERIES = (WindowQuery("errors"), WindowQuery("total", "traffic"), WindowQuery("seen", "coverage"))
LEARNED = aligned(7, 2, interval=15_000)


def column(*values: float | None) -> Column:
    made = Column(len(ENDS))
    for window, value in enumerate(values):
        if value is not None:
            made.put(window, value)
    return made


def history() -> History:
    made = no_answers(QUERIES, ENDS)
    made.columns[0]["canary"] = column(None, 1, 0.1 + 0.2, None, nan, inf, -inf, 1e-300)
    made.columns[0]['"\n\x1f☃'] = column()
    made.columns[1]["canary"] = column(*range(8))
    made.columns[2]["*"] = column(1_793_491_200.125)
    made.failed.update({1: Unusable("two series"), 2: Unusable("two series"), 3: Unusable("other")})
    return made


def saved(*kept: History) -> Saved:
    return Saved("http://prometheus:9090", 5, (LEARNED,), tuple(Kept(("cohort",), one) for one in kept))


def plainly(each: History) -> Any:
    columns = [
        {key: [repr(v) for v in map(float, one.values)] + list(one.there) for key, one in columns.items()}
        for columns in each.columns
    ]
    return each.queries, each.ends, each.failed, columns


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    answers.write(path, saved(history(), no_answers(QUERIES, ENDS)))
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    assert [each.name for each in tmp_path.iterdir()] == [name]
    body = answers.content(path)
    json.loads(body)
    found = answers.read(path, body)
    assert (found.source, found.saved, found.alignments) == ("http://prometheus:9090", 5, (LEARNED,))
    assert plainly(found.kept[0].history) == plainly(history())
    assert found.of(QUERIES, ("cohort",), 15_000) == [one.history for one in found.kept]
    for wrong in ((QUERIES[:1], ("cohort",), 15_000), (QUERIES, (), 15_000), (QUERIES, ("cohort",), 1_000)):
        assert found.of(*wrong) == []


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    bad = saved(history())
    bad.kept[0].history.columns[0]["\ud800"] = column()
    with pytest.raises(UnicodeEncodeError):
        answers.write(path, bad)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def written(tmp_path: Path) -> bytes:
    answers.write(tmp_path / "good", saved(history()))
    return (tmp_path / "good").read_bytes()


def swap(old: str, new: str) -> Callable[[bytes], bytes]:
    return lambda body: body.replace(old.encode(), new.encode(), 1)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda body: body[: len(body) // 2], r"a:\d+: the file ends in the middle; copy or save it anew"),
        (swap("answers/v1", "answers/v9"), "its version is rollbackd/answers/v9, this rollbackd reads"),
        (swap('"saved":5', '"saved":5,"extra":1'), "unknown field `extra`"),
        (swap('"first":15000', '"first":-1'), "first -1, last 120000 and step 15000 make no windows"),
        (swap('"step":15000', '"step":0'), "make no windows"),
        (swap('"last":120000', '"last":1500000000000000'), "windows are too many"),
        (swap('"runs":[[1,', '"runs":[[7,'), "values of windows 7 to 9 of 8"),
        (swap('"runs":[[1,', '"runs":[[-1,'), "values of windows -1"),
        (swap('"NaN"', '"many"'), "Invalid enum value 'many'"),
        (swap('"failed":[[1,2,', '"failed":[[7,2,'), "failed windows 7 to 9 of 8"),
        (swap('{"expr":"errors"', '[{"expr":"errors"'), r"a:2: .*malformed"),
        (swap('{"expr":"errors","role":"value"},', ""), "2 queries and 3 lists of columns"),
        (swap("canary", "\udc80canary".encode("utf-8", "surrogateescape").decode("latin-1")), None),
    ],
)  # fmt: skip
def test_a_broken_file_says_where_in_one_line(
    tmp_path: Path, spoil: Callable[[bytes], bytes], says: str | None
) -> None:
    path = tmp_path / "a"
    body = spoil(written(tmp_path))
    if says is None:
        answers.read(path, body)
        return
    with pytest.raises(BadFile, match=says) as caught:
        answers.read(path, body)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_compressed_file_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"x" * 100_000)[:-30])
    with pytest.raises(BadFile, match="cut off inside its compression"):
        answers.content(path)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"\0" * 3_000_000))
    with pytest.raises(BadFile, match="larger than 1 MiB"):
        answers.content(path, 1 << 20)


def test_what_would_not_fit_into_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before room is made for it."""
    saved, range_of_two = written(tmp_path), response([100, "1"], [115, "1"])
    monkeypatch.setattr(answers, "MOST_CELLS", 1)
    with pytest.raises(BadFile, match="are more than fit into memory"):
        answers.read(Path("a"), saved)
    with pytest.raises(BadFile, match="2 windows x subjects are more than fit into memory"):
        answers.response(Path("a"), range_of_two, plain())


# A range response


def plain(**changes: Any) -> Trigger:
    return trigger(condition=Condition(expr="errors", breach=Limit(">", 0.5)), **changes)


def response(*rows: list[Any], metric: dict[str, str] | None = None) -> bytes:
    series = [{"metric": metric or {"cohort": "canary"}, "values": list(rows)}]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": series}}).encode()


def test_a_range_response_is_the_answers_to_one_query() -> None:
    found = answers.response(Path("a"), response([100, "1"], [115, "NaN"], [145, "3"]), plain())
    assert found.queries == (WindowQuery("errors"),)
    assert found.ends == range(100_000, 145_001, 15_000)
    canary = found.columns[0]["canary"]
    assert list(canary.there) == [1, 1, 0, 1]
    assert canary.values[0] == 1
    assert isnan(canary.values[1])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (response([100, "1"], [160, "1"]), "its step is 1m, and .* has windows of 15s; ask with step=15s"),
        (response([100, "1"], [115, "1"], [131, "1"]), "do not lie whole steps of 15s apart"),
        (response(), "it holds no sample"),
        (response([0, "1"], [15, "1"], [15e8, "1"]), "windows are too many"),
        (response([1, "x"]), '"x" is not a number'),
        (response([1, "1"])[:-20], "a:1: the file ends in the middle"),
        (b'{"status":"error","errorType":"bad_data","error":"parse error"}', "bad_data: parse error"),
        (b'{"status":"success","data":{"resultType":"vector","result":[]}}', "a range query yields a vector"),
        (b'{"status":"success",\n"data":x}', "a:2: not a range response"),
        (b"{}", "a:1: not a range response"),
    ],
)  # fmt: skip
def test_a_response_that_does_not_fit_says_why(body: bytes, says: str) -> None:
    with pytest.raises(BadFile, match=says):
        answers.response(Path("a"), body, plain())


def test_W3_a_series_without_the_label_spoils_its_windows() -> None:
    found = answers.response(Path("a"), response([100, "1"], metric={"job": "x"}), plain())
    assert list(found.failed) == [0]


@pytest.mark.parametrize(
    ("begin", "end", "first", "last"),
    [
        (0, 999_999, 0, 7),
        (15_000, 120_000, 1, 7),
        (14_999, 74_999, 1, 3),
        (1, 30_000, 1, 1),
        (0, 15_000, 0, 0),
    ],
)
def test_a_cut_has_the_windows_that_lie_whole_in_it(begin: int, end: int, first: int, last: int) -> None:
    whole = history()
    part = answers.cut(whole, begin, end)
    assert part is not None
    assert part.ends == ENDS[first : last + 1]
    assert [part.answers(window) for window in range(len(part.ends))].__repr__() == [
        whole.answers(window) for window in range(first, last + 1)
    ].__repr__()


@pytest.mark.parametrize(("begin", "end"), [(0, 14_999), (105_001, 200_000), (20_000, 30_000)])
def test_a_cut_without_a_window_is_none(begin: int, end: int) -> None:
    assert answers.cut(history(), begin, end) is None
