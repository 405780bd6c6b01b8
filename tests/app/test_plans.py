"""Plan folders as `check` and the store see them: links (X2), and copies that were changed."""

from __future__ import annotations

import errno
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
    script = folder / "scripts" / "undo.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (folder / "latest").symlink_to("scripts/undo.sh")
    (folder / "scripts" / "up").symlink_to("../latest")
    (tmp_path / "plans" / "other").mkdir()
    return folder


LINKS = [
    ("/etc/passwd", "leads out"),
    ("../other", "leads out"),
    ("scripts/../../other", "leads out"),
    ("../api/scripts/undo.sh", "leads out"),
    ("..", "leads out"),
    ("/", "leads out"),
    ("odd", "leads to itself"),
    ("twin", "leads to itself"),
]


@pytest.mark.parametrize(("target", "says"), LINKS)
def test_check_and_store_refuse_the_same_links(source: Path, tmp_path: Path, target: str, says: str) -> None:
    (source / "odd").symlink_to(target)
    (source / "twin").symlink_to("odd")
    with pytest.raises(ValueError, match=rf"(odd|twin): .*{says}.*; "):
        hash_folder(source)
    with pytest.raises(PlanFolderRefused, match=rf"(odd|twin): .*{says}.*; "):
        store_plan_folder(source, tmp_path / "state", "aa")
    assert list((tmp_path / "state" / "plans").iterdir()) == []


def _append(copy: Path) -> None:
    script = copy / "scripts" / "undo.sh"
    script.chmod(0o755)
    script.write_text("#!/bin/sh\ncurl evil\n")


def _to_link(copy: Path) -> None:
    copy.rename(copy.with_name("elsewhere"))
    copy.symlink_to("elsewhere")


def _to_file(copy: Path) -> None:
    copy.rename(copy.with_name("elsewhere"))
    copy.write_text("")


CHANGES: list[Callable[[Path], object]] = [
    _append,
    lambda copy: (copy / "scripts" / "undo.sh").unlink(),
    lambda copy: (copy / "scripts" / "undo.sh").chmod(0o644),
    lambda copy: (copy / "new").touch(),
    lambda copy: (copy / "way-out").symlink_to("/etc"),
    lambda copy: os.mkfifo(copy / "pipe"),
    _to_link,
    _to_file,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_changed_copy_is_replaced(
    source: Path,
    tmp_path: Path,
    change: Callable[[Path], object],
    can_exchange: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not can_exchange:
        monkeypatch.setattr(planstore, "_RENAME_EXCHANGE", 1 << 30)  # EINVAL, as from such a file system
    name = hash_folder(source)
    copy = store_plan_folder(source, tmp_path / "state", name, hash_folder)
    change(copy)
    assert store_plan_folder(source, tmp_path / "state", name, hash_folder) == copy
    assert not copy.is_symlink()
    assert hash_folder(copy) == name
    left = {path.name for path in copy.parent.iterdir()} - {"elsewhere"}
    assert left == {name}
    assert "a stored plan was changed; it is replaced" in "".join(capsys.readouterr())


def test_a_sound_copy_is_left_alone(source: Path, tmp_path: Path) -> None:
    name = hash_folder(source)
    copy = store_plan_folder(source, tmp_path / "state", name, hash_folder)
    before = copy.stat().st_ino
    store_plan_folder(source, tmp_path / "state", name, hash_folder)
    assert copy.stat().st_ino == before


def test_a_changed_copy_stays_where_no_sound_one_can_be_made(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = hash_folder(source)
    copy = store_plan_folder(source, tmp_path / "state", name, hash_folder)
    _append(copy)

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(planstore, "_file", no_room)
    with pytest.raises(OSError, match="No space"):
        store_plan_folder(source, tmp_path / "state", name, hash_folder)
    assert [path.name for path in copy.parent.iterdir()] == [name]
