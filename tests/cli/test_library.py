"""`library`: on the shipped one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.fake import rollbackd

from rollbackd.config import library


def test_a_row_for_each_template() -> None:
    result = rollbackd("library")
    assert result.exit_code == 0
    title, head, *rows = result.stdout.splitlines()
    assert (title, head.split()) == ("LIBRARY", ["template", "category", "severity", "fires", "when", "set"])
    (row,) = [row.split() for row in rows if row.startswith("error-ratio ")]
    assert row == ["error-ratio", "metric", "critical", ">", "0.01", "for", "2m", "service"]
    assert [row.split()[0] for row in rows] == [entry["name"] for entry in documents()]


def documents() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(rollbackd("library", "--json").stdout)
    return found


def test_one_with_what_to_paste_and_its_runbook() -> None:
    said = rollbackd("library", "error-ratio").stdout
    assert said.startswith("library/error-ratio: metric, critical, > 0.01 for 2m; a window of 15s\n")
    assert "\n- use: library/error-ratio\n  set:\n    service: api  # the service\n" in said
    assert "\n  #   threshold: 0.01  # the share of errors, 0 to 1\n" in said
    assert "\n## Mitigation\n" in said
    assert rollbackd("library", "library/error-ratio").stdout == said
    document = json.loads(rollbackd("library", "error-ratio", "--json").stdout)
    assert document["runbook"] in said
    assert [one["name"] for one in document["parameters"]][:2] == ["service", "service_label"]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("eror-ratio", "did you mean error-ratio?"), ("qqq", "`rollbackd library` lists them")],
)
def test_an_unknown_name(name: str, remedy: str) -> None:
    result = rollbackd("library", name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"rollbackd: there is no template {name}; {remedy}\n"


def test_a_library_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "folder", lambda: tmp_path / "gone")
    library.shipped.cache_clear()
    try:
        result = rollbackd("library")
    finally:
        library.shipped.cache_clear()
    assert result.exit_code == 1
    assert result.stderr.startswith("rollbackd: the library cannot be read (")
    assert result.stderr.count("\n") == 1
