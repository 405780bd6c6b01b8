"""The files are read in a process of their own, and mean there what they mean here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rollbackd import config
from rollbackd.app.files import FilesRefused, ReaderFailed, Reading, read

GOOD = Path(__file__).parents[1] / "config" / "good" / "rollbackd.yml"


def test_both_readings_agree() -> None:
    loaded, state_dir = read(GOOD)
    here = config.load(GOOD)
    assert loaded.core == here.core
    assert loaded.settings.prometheus == here.world.prometheus
    by_name = {receiver.name: receiver for receiver in loaded.settings.receivers}
    assert by_name == {receiver.name: receiver for receiver in here.world.receivers}
    assert loaded.settings.listen == (here.web.host, here.web.port)
    assert state_dir == here.state_dir
    assert {name: Path(folder) for name, folder in loaded.plan_folders.items()} == here.plan_folders


def test_what_is_wrong_is_told_line_by_line_and_the_state_is_found_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "rollbackd.yml"
    file.write_text("version: rollbackd/v1\nstate_dir: here\nnonsense: 1\n")
    reading = Reading(file)
    assert reading.state_dir == tmp_path / "here"
    with pytest.raises(FilesRefused) as refused:
        reading.result()
    assert any(problem.startswith(f"{file}:3:1: nonsense:") for problem in refused.value.problems)


def test_a_reader_that_always_dies_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ReaderFailed, match="could not be read"):
        read(tmp_path / "rollbackd.yml")


def test_a_reader_that_is_killed_once_says_nothing_about_the_files() -> None:
    """Fault 2: the kernel may take it for its memory."""
    reading = Reading(GOOD)
    reading._process.kill()
    assert reading.result().core == config.load(GOOD).core


def test_what_validates_the_files_is_not_kept_in_the_daemon() -> None:
    code = "import sys, rollbackd.app.daemon; print(sorted({'pydantic', 'yaml'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
