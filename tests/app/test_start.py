"""A start that cannot store its plans finishes what is open (J2), and a full disk gets the reserve (10)."""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.daemon.rig import Rig
from tests.servers import wait_for

from rollbackd import app
from rollbackd.app import daemon, lastgood
from rollbackd.app.files import Loaded
from rollbackd.core.model import Config
from rollbackd.journal.statedir import StateDir
from rollbackd.settings import PrometheusSettings

SETTINGS = lastgood.WorldSettings(PrometheusSettings(("http://127.0.0.1:9",)))


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """What is started meanwhile writes no larger file: EFBIG, even as root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_plans_that_cannot_be_stored_leave_what_is_open_to_be_finished(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.slow("revert", 3)
        rig.start()
        rig.begin_rollout()
        rig.break_canary()
        wait_for(lambda: any(line.startswith("revert") for line in rig.ran()), 40, "the step")
        rig.kill()
        (rig.folder / "plans" / "api" / "data").write_bytes(bytes(20 << 20))
        with files_up_to(16 << 20):
            rig.start(ready=False)
        rig_daemon = rig.daemon
        assert rig_daemon is not None
        wait_for(lambda: rig.get("/-/healthy")[0] == 200, what="the daemon")
        reasons = rig.get("/-/ready")
        assert reasons[0] == 503
        assert "File too large" in str(reasons[1])
        rig.wait_state("api-1", "verified")
        assert rig.done() == ["drain", "revert", "restore"]
        assert rig_daemon.poll() is None


def test_plans_that_cannot_be_stored_stop_a_start_with_nothing_open(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        (rig.folder / "plans" / "api" / "data").write_bytes(bytes(20 << 20))
        with files_up_to(16 << 20):
            rig.start(ready=False)
        assert rig.daemon is not None
        assert rig.daemon.wait(20) == 78
        rig.daemon = None
        assert "File too large; mend it and start again" in " ".join(rig.log().split())
        assert "Traceback" not in rig.log()


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[StateDir]:
    opened = StateDir.open(tmp_path / "state", reserve=1 << 20)
    yield opened
    opened.close()


def _full_disk(state_dir: StateDir, needs: Callable[[], bool]) -> Callable[..., None]:
    def write(*_: object) -> None:
        if not needs():
            raise OSError(errno.ENOSPC, "No space left on device", str(state_dir.path))

    return write


@pytest.mark.parametrize("what", ["store_plans", "save"])
@pytest.mark.parametrize("enough", [True, False])
def test_10_a_full_disk_is_given_the_reserve_once(
    state_dir: StateDir, what: str, enough: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = _full_disk(state_dir, lambda: enough and not state_dir.reserved)
    monkeypatch.setattr(daemon, "store_plans", write if what == "store_plans" else lambda *_: None)
    if what == "save":
        monkeypatch.setattr(lastgood, "save", write)
    loaded = Loaded(Config("hash", "test"), SETTINGS, {})
    assert state_dir.reserved
    if enough:
        assert app._keep(loaded, state_dir) == SETTINGS
    else:
        with pytest.raises(OSError, match="No space"):
            app._keep(loaded, state_dir)
    assert not state_dir.reserved


def test_10_a_full_disk_is_no_configuration_to_give_up_on(
    state_dir: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "store_plans", _full_disk(state_dir, lambda: False))
    with pytest.raises(app.NoRoom, match="No space left"):
        app._run(Path("rollbackd.yml"), None, Loaded(Config("hash", "test"), SETTINGS, {}), "", state_dir)


def test_the_last_good_settings_are_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    lastgood.save(tmp_path, SETTINGS)
    large = lastgood.WorldSettings(
        PrometheusSettings(("http://127.0.0.1:9",), params={"x": ("y" * (4 << 20),)})
    )
    with files_up_to(1 << 20), pytest.raises(OSError, match="File too large"):
        lastgood.save(tmp_path, large)
    assert lastgood.load(tmp_path) == SETTINGS
    assert [path.name for path in tmp_path.iterdir()] == ["last-good.json"]
    assert (tmp_path / "last-good.json").stat().st_mode & 0o777 == 0o600
    lastgood.save(tmp_path, large)
    assert lastgood.load(tmp_path) == large


def test_9_the_second_daemon_is_told_who_has_the_state_directory(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.start()
        assert rig.daemon is not None
        second = rig.cli("run", "--config", str(rig.folder / "rollbackd.yml"), ok=False)
        assert second.returncode == 78
        assert f"in use by a rollbackd with pid {rig.daemon.pid}" in second.stderr
