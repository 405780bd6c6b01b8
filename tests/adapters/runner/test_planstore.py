"""Plan folders are stored whole, under the name of their contents (rule X2; fault 41)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rollbackd.folder import hash_folder
from rollbackd.world import planstore
from rollbackd.world.planstore import PlanFolderRefused, store_plan_folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "plans" / "api"
    (folder / "scripts").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "plan.yml").write_text("plan: api\n")
    script = folder / "scripts" / "undo.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (folder / "latest").symlink_to("scripts/undo.sh")
    return folder


def test_a_copy_has_the_same_hash(source: Path, tmp_path: Path) -> None:
    name = hash_folder(source)
    stored = store_plan_folder(source, tmp_path / "state", name, hash_folder)
    assert stored == tmp_path / "state" / "plans" / name
    assert hash_folder(stored) == name
    assert os.access(stored / "scripts" / "undo.sh", os.X_OK)
    assert (stored / "plan.yml").stat().st_mode & 0o777 == 0o444
    assert store_plan_folder(source, tmp_path / "state", name) == stored
    assert [path.name for path in (tmp_path / "state" / "plans").iterdir()] == [name]


def _touch(folder: Path) -> None:
    os.utime(folder / "plan.yml", (0, 0))


def _relink(folder: Path) -> None:
    (folder / "latest").unlink()
    (folder / "latest").symlink_to("plan.yml")


CHANGES: list[tuple[str, Callable[[Path], object], bool]] = [
    ("time", _touch, False),
    ("read permission", lambda folder: (folder / "plan.yml").chmod(0o600), False),
    ("content", lambda folder: (folder / "plan.yml").write_text("plan: apj\n"), True),
    ("name", lambda folder: (folder / "plan.yml").rename(folder / "plan.yaml"), True),
    ("execute bit", lambda folder: (folder / "scripts/undo.sh").chmod(0o644), True),
    ("new file", lambda folder: (folder / "new").touch(), True),
    ("new folder", lambda folder: (folder / "new").mkdir(), True),
    ("link", _relink, True),
]


@pytest.mark.parametrize(("what", "change", "differs"), CHANGES, ids=[change[0] for change in CHANGES])
def test_what_the_hash_is_of(
    source: Path, what: str, change: Callable[[Path], object], differs: bool
) -> None:
    before = hash_folder(source)
    change(source)
    assert (hash_folder(source) != before) is differs


@pytest.mark.parametrize("destination", ["/etc/passwd", "../other", "scripts/../../other", "/"])
def test_no_link_leads_out(source: Path, tmp_path: Path, destination: str) -> None:
    (source / "way-out").symlink_to(destination)
    with pytest.raises(PlanFolderRefused, match=r"way-out: leads out of the plan's folder; put a copy there"):
        store_plan_folder(source, tmp_path / "state", "aa")
    assert list((tmp_path / "state" / "plans").iterdir()) == []


def test_no_odd_files(source: Path, tmp_path: Path) -> None:
    os.mkfifo(source / "pipe")
    with pytest.raises(PlanFolderRefused, match="neither a file, a folder nor a link"):
        store_plan_folder(source, tmp_path / "state", "aa")
    with pytest.raises(ValueError, match="neither a file, a folder nor a link"):
        hash_folder(source)


def test_too_much_is_refused(source: Path, tmp_path: Path) -> None:
    with (source / "image.iso").open("wb") as file:
        file.truncate(planstore.LIMIT + 1)
    with pytest.raises(PlanFolderRefused, match=r"over 64 MiB at image.iso"):
        store_plan_folder(source, tmp_path / "state", "aa")
    with pytest.raises(ValueError, match=r"over 64 MiB at image.iso"):
        hash_folder(source)


def test_a_folder_that_changes_meanwhile_is_not_stored(source: Path, tmp_path: Path) -> None:
    name = hash_folder(source)
    (source / "plan.yml").write_text("plan: apj\n")
    with pytest.raises(PlanFolderRefused, match="changed while it was being read; reload"):
        store_plan_folder(source, tmp_path / "state", name, hash_folder)
    assert list((tmp_path / "state" / "plans").iterdir()) == []


def test_what_a_crash_left_is_begun_anew(source: Path, tmp_path: Path) -> None:
    draft = tmp_path / "state" / "plans" / ".aa.new"
    draft.mkdir(parents=True)
    (draft / "half").write_text("a scr")
    stored = store_plan_folder(source, tmp_path / "state", "aa")
    assert not (stored / "half").exists()
    assert not draft.exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b"])
def test_a_hash_is_a_hash(source: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not a hash"):
        store_plan_folder(source, tmp_path / "state", name)
