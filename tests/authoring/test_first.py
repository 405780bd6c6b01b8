"""`init`: the first set works as it is."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest

from rollbackd.authoring.first import NEXT, first_set
from rollbackd.authoring.folders import place
from rollbackd.authoring.kinds import KINDS
from rollbackd.config import examine, load
from rollbackd.config.yaml_source import read

TODAY = date(2026, 11, 1)


def test_passes_every_check_and_every_lint(tmp_path: Path) -> None:
    place(tmp_path, first_set(TODAY))
    checked = examine([tmp_path], TODAY)
    assert checked.problems == []
    assert (checked.triggers, checked.plans) == (1, 1)
    assert load(tmp_path / "rollbackd.yml").core.max_action == "shadow"


def test_every_yaml_file_names_a_schema_that_is_there(tmp_path: Path) -> None:
    files = [path for path in place(tmp_path, first_set(TODAY)) if path.suffix == ".yml"]
    assert len(files) == 4
    for path in files:
        match = re.match(r"# yaml-language-server: \$schema=(\S+)\n", path.read_text())
        assert match is not None
        assert (path.parent / match[1]).resolve().stem in KINDS
        assert read(path, str(path), path.name).problems == []


def test_its_scripts_do_nothing_and_say_so(tmp_path: Path) -> None:
    scripts = [path for path in place(tmp_path, first_set(TODAY)) if path.suffix == ".sh"]
    for script in scripts:
        done = subprocess.run(
            [script], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("to be written: ")
    assert len(scripts) == 2


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_its_scripts_pass_shellcheck(tmp_path: Path) -> None:
    scripts = [path for path in place(tmp_path, first_set(TODAY)) if path.suffix == ".sh"]
    found = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert found.stdout == ""


def test_what_is_told_next_names_files_that_are_there(tmp_path: Path) -> None:
    place(tmp_path, first_set(TODAY))
    named = [word for command, _ in NEXT for word in command.split() if word.endswith(".yml")]
    assert named
    assert all((tmp_path / name).is_file() for name in named)
