"""SIGKILL, restart, reload, SIGTERM: the process comes and goes, the rollback goes on."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.daemon.rig import Rig
from tests.servers import wait_for


def once_each(rig: Rig) -> None:
    """No step started twice without need: every step here is finished exactly once."""
    assert rig.done() == ["drain", "revert", "restore"]
    assert rig.ran() == ["drain 1", "revert 1", "restore 1"]


def test_sigkill_in_the_middle_of_a_step(rig: Rig) -> None:
    """Fault 1: the step goes on without the daemon and is found again."""
    rig.slow("revert", 2)
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    wait_for(lambda: "revert 1" in rig.ran(), 40)
    rig.kill()
    rig.start(ready=False)
    rig.wait_state("api-1", "verified")
    once_each(rig)


def test_sigterm_leaves_the_step_running(rig: Rig) -> None:
    """Fault 6: stop admitting, leave the step, find it again."""
    rig.slow("revert", 2)
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    wait_for(lambda: "revert 1" in rig.ran(), 40)
    assert rig.stop() == 0
    rig.start(ready=False)
    rig.wait_state("api-1", "verified")
    once_each(rig)


def test_a_second_daemon_refuses(rig: Rig) -> None:
    """Fault 9."""
    rig.start()
    second = rig.cli("run", "--config", str(rig.folder / "rollbackd.yml"), ok=False)
    assert second.returncode == 78
    assert "pid" in second.stderr


def test_the_plan_and_the_trigger_are_pinned(rig: Rig) -> None:
    """Faults 41, 65, I15: a reload that changes or deletes them does not touch the life under way."""
    rig.slow("drain", 3)
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    wait_for(lambda: "drain 1" in rig.ran(), 40)
    script = rig.folder / "plans" / "api" / "step.sh"
    rig.write(triggers=[rig.trigger(trigger="Other", expr="max(bad)", per=[])])
    script.write_text("#!/bin/sh\nexit 1\n")
    assert rig.cli("reload").returncode == 0
    rig.wait_state("api-1", "verified")
    once_each(rig)


def test_a_broken_reload_changes_nothing(rig: Rig) -> None:
    """Fault 63: the old configuration stays, the command line and a page say so."""
    rig.start()
    config = rig.folder / "rollbackd.yml"
    good = config.read_text()
    config.write_text(good + "nonsense: true\n")
    refused = rig.cli("reload", ok=False)
    assert refused.returncode == 1
    assert "nonsense" in refused.stderr + refused.stdout
    wait_for(lambda: any("cannot be used" in title for title in rig.titles()), what="the page")
    assert "rollbackd_config_last_reload_successful 0" in rig.get("/metrics")[1]
    config.write_text(good)
    assert rig.daemon is not None
    rig.daemon.send_signal(signal.SIGHUP)
    wait_for(lambda: "rollbackd_config_last_reload_successful 1" in rig.get("/metrics")[1])
    rig.begin_rollout()
    rig.break_canary()
    rig.wait_state("api-1", "verified")


def test_broken_files_at_the_start_finish_what_is_open(rig: Rig) -> None:
    """J2: finish only, on the last good configuration."""
    rig.slow("revert", 2)
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    wait_for(lambda: "revert 1" in rig.ran(), 40)
    rig.kill()
    (rig.folder / "triggers.yml").write_text("version: rollbackd/v1\ngroups: 7\n")
    rig.start(ready=False)
    rig.wait_state("api-1", "verified")
    once_each(rig)


def test_broken_files_at_the_start_with_nothing_open_end_with_78(rig: Rig) -> None:
    (rig.folder / "triggers.yml").write_text("version: rollbackd/v1\ngroups: 7\n")
    done = rig.cli("run", "--config", str(rig.folder / "rollbackd.yml"), ok=False)
    assert done.returncode == 78
    assert "triggers.yml:2:9: groups:" in done.stderr


def test_hold_resume_and_abort(rig: Rig) -> None:
    """D5, X8: humans win."""
    rig.slow("drain", 1)
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    wait_for(lambda: "drain 1" in rig.ran(), 40)
    rig.cli("hold", "api-1", "-c", "wait")
    rig.wait_state("api-1", "held")
    rig.windows(2)
    assert rig.ran() == ["drain 1"]
    rig.cli("abort", "api-1", "-c", "enough")
    rig.wait_state("api-1", "aborted")
    assert rig.ran() == ["drain 1"]


def test_state_directory_survives_its_own_copy(rig: Rig, tmp_path: Path) -> None:
    """Fault 1, I12: the journal of a life verifies and folds after the daemon is gone."""
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    rig.wait_state("api-1", "verified")
    rig.kill()
    verified = rig.cli("audit", "verify", "--config", str(rig.folder / "rollbackd.yml"))
    assert verified.returncode == 0
