"""Samples into a real Prometheus, and out of it again to the last bit."""

from __future__ import annotations

import math
import shutil
import socket
import struct
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tests.servers import fetch

from rollbackd.config.series import Mark, parse
from rollbackd.tuning import remote_write
from rollbackd.tuning.evaluation import FLAGS
from rollbackd.tuning.remote_write import Labelled, Refused, literal, write
from rollbackd.tuning.temporary import temporary_prometheus

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed: apt-get install prometheus"
)
START = 1_000_000_000_000
VALUES = [0.1 + 0.2, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan, 2.0**53 + 2]


def stored(url: str, selector: str) -> dict[str, list[tuple[int, str]]]:
    """The raw samples of each series, by its label `a`."""
    query = urlencode({"query": f"{selector}[1d]", "time": START / 1000 + 3600})
    found = fetch(f"{url}/api/v1/query?{query}")["data"]["result"]
    return {
        row["metric"].get("a", ""): [(round(at * 1000) - START, value) for at, value in row["values"]]
        for row in found
    }


def test_every_value_comes_out_as_it_went_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In messages of any size; labels may be any text."""
    names = ["", "x", "é", "日本", "a" * 300, 'quote"\\\n']
    series: list[Labelled] = [
        ({"a": name, "__name__": "m"}, [(START + at * 7, value) for at, value in enumerate(VALUES)])
        for name in names
    ]
    monkeypatch.setattr(remote_write, "MOST_BYTES", 500)
    with temporary_prometheus(tmp_path, flags=FLAGS) as url:
        write(url, series)
        found = stored(url, "m")
    assert sorted(found) == sorted(names)
    for samples in found.values():
        assert [at for at, _ in samples] == [at * 7 for at in range(len(VALUES))]
        assert [struct.pack(">d", float(value)) for _, value in samples] == [
            struct.pack(">d", value) for value in VALUES
        ]


def test_marks_are_no_samples(tmp_path: Path) -> None:
    values = parse("1 _ 2 stale 3")
    with temporary_prometheus(tmp_path, flags=FLAGS) as url:
        write(url, [({"__name__": "m"}, [(START + at, value) for at, value in enumerate(values)])])
        assert stored(url, "m") == {"": [(0, "1"), (2, "2"), (4, "3")]}
        query = urlencode({"query": "m", "time": f"{START / 1000 + 0.003:.3f}"})
        assert fetch(f"{url}/api/v1/query?{query}")["data"]["result"] == [], "it is stale at once"
    assert values[1] is Mark.ABSENT


def test_what_is_refused_is_said(tmp_path: Path) -> None:
    one: Labelled = ({"__name__": "m"}, [(START, 1.0)])
    with (
        temporary_prometheus(tmp_path / "a") as url,
        pytest.raises(Refused, match=r"^status 404: .*receiver"),
    ):
        write(url, [one])
    unsorted: Labelled = ({"__name__": "m"}, [(START, 1.0), (START - 10**9, 2.0)])
    with temporary_prometheus(tmp_path / "b", flags=[remote_write.FLAG]) as url:
        with pytest.raises(Refused, match=r"^status 400: out of (order|bounds)"):
            write(url, [unsorted])
        write(url, [])


def test_nobody_answers() -> None:
    with socket.socket() as unused:  # bound, not listening
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(Refused, match=r"^no answer \(ConnectionRefusedError: .*\)$"):
            write(f"http://127.0.0.1:{unused.getsockname()[1]}", [({"__name__": "m"}, [(START, 1.0)])])


def test_a_literal_says_how_long_it_is() -> None:
    assert literal(b"ab") == b"\x02\xfc\x01\x00\x00\x00ab"
    assert literal(b"x" * 300)[:7] == b"\xac\x02\xfc\x2b\x01\x00\x00"
