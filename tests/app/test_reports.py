"""Reports reach the disk whole, and what they hold is what the API answers (E6)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.web.scene import Scene

from rollbackd.app.reports import Reports
from rollbackd.core.effects import WriteReport
from rollbackd.core.record import Recorded
from rollbackd.core.signals import ReportWritten
from rollbackd.journal import files
from rollbackd.report import markdown
from rollbackd.report.document import encoded
from rollbackd.report.page import page
from rollbackd.web.reports import FORMATS


class Stage:
    """One life's rows; `pauses` are what would have been slept."""

    def __init__(self, folder: Path) -> None:
        self.scene = Scene()
        self.life = self.scene.roll_back()
        self.tries: list[bool] = []
        self.pauses: list[float] = []
        self.reports = Reports(folder, self.scene, self.tries.append, self.sleep)
        self.mend: Callable[[], None] = lambda: None

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if len(self.pauses) == 3:
            self.mend()

    def rows(self) -> list[Recorded]:
        return self.scene.journal.life(self.life)


@pytest.fixture
def mask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("mask")
async def test_three_files_each_whole_and_hashed_whatever_the_umask(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "reports")
    written = await stage.reports.write(WriteReport(stage.life, 7))
    names = {f"{stage.life}.{form}" for form in ("md", "html", "json")}
    folder = tmp_path / "reports"
    assert {path.name for path in folder.iterdir()} == names
    assert written == ReportWritten(
        stage.life, 7, {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    )
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}
    assert stage.tries == [True]
    life = stage.scene.state.lives.get(stage.life)
    found = life if life is not None else (await stage.reports._archive.find(stage.life))[0]
    assert (folder / f"{stage.life}.md").read_text() == markdown(found, stage.rows())
    assert (folder / f"{stage.life}.json").read_bytes() == encoded(found, stage.rows())
    assert (folder / f"{stage.life}.html").read_text() == page(found, stage.rows())


async def test_what_cannot_be_written_is_tried_again_and_leaves_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path / "reports")
    replace = files.replace

    def full(path: Path, content: bytes, mode: int = 0o600) -> None:
        if path.suffix == ".html":
            raise OSError(28, "No space left on device")
        replace(path, content, mode)

    monkeypatch.setattr(files, "replace", full)
    stage.mend = lambda: monkeypatch.setattr(files, "replace", replace)
    written = await stage.reports.write(WriteReport(stage.life, 1))
    assert stage.tries == [False, False, False, True]
    assert stage.pauses == [30.0, 60.0, 120.0]
    assert len(written.files) == 3
    assert not [path for path in (tmp_path / "reports").iterdir() if path.name.startswith(".")]


async def test_a_defect_in_one_report_is_tried_again_later_and_says_no_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Stage(tmp_path / "reports")

    def broken(*_: Any) -> bytes:
        raise RecursionError("hush")

    forms = "rollbackd.app.reports.FORMATS"
    monkeypatch.setattr(forms, {"md": ("text/markdown", broken)})
    stage.mend = lambda: monkeypatch.setattr(forms, FORMATS)
    assert len((await stage.reports.write(WriteReport(stage.life, 1))).files) == 3
    logged = "".join(capsys.readouterr())
    assert "report not written" in logged
    assert "hush" not in logged


async def test_a_life_of_which_nothing_is_kept_has_no_report(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "reports")
    assert await stage.reports.write(WriteReport("gone-1", 2)) == ReportWritten("gone-1", 2, {})
    assert stage.tries == [False]
    assert stage.pauses == []


async def test_earlier_rollbacks_of_the_plan_say_what_it_takes(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "reports")
    first = stage.life
    stage.scene.pass_time(40 * 60_000)
    stage.scene.window({"canary": "0.001"})
    second = stage.scene.fire()
    found, _ = await stage.reports._archive.find(second)
    assert [one.life for one in await stage.reports._archive.earlier(found)] == [first]
    before, _ = await stage.reports._archive.find(first)
    assert await stage.reports._archive.earlier(before) == []
    document = json.loads(encoded(found, [], await stage.reports._archive.earlier(found)))
    assert document["rollback_metrics"]["quality_metrics"]["rollback_tested_before"] is True
