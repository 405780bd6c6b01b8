"""One life after another: the real daemon, a real Prometheus, real scripts."""

from __future__ import annotations

from datetime import datetime

from tests.daemon.rig import Rig
from tests.servers import wait_for


def test_a_bad_release_is_rolled_back_verified_and_reported(rig: Rig) -> None:
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    assert rig.wait_state("api-1", "verified") == "verified"
    assert rig.done() == ["drain", "revert", "restore"]
    life = rig.life("api-1")
    assert [firing["labels"] for firing in life["firings"]] == [{"cohort": "canary"}]
    rollouts = rig.get("/api/v1/rollouts")[1]["data"]
    assert [(r["id"], r["state"]) for r in rollouts] == [("api-r1", "rolled_back")]
    report = rig.cli("report", "api-1").stdout
    assert "verified" in report
    assert "drain" in report
    assert rig.cli("audit", "verify", "--config", str(rig.folder / "rollbackd.yml")).returncode == 0


def test_a_composed_trigger_rolls_back_what_all_of_it_says_and_no_more(rig: Rig) -> None:
    """W10: `stable` breaches in one part alone; a part that has no data for anybody decides nothing."""
    composed = {
        "all": [
            {"any": [{"expr": "bad", "breach": "> 0"}, {"expr": "gone", "breach": "> 0"}]},
            {"expr": 'bad{cohort="canary"} or bad * 0', "breach": "> 0"},
        ]
    }
    trigger = {key: each for key, each in rig.trigger().items() if key not in ("expr", "breach")}
    rig.write(triggers=[{**trigger, **composed}])
    rig.start()
    rig.begin_rollout()
    rig.service.set("bad", 1, cohort="stable")
    rig.break_canary()
    rig.wait_state("api-1", "verified", "unverified", "failed", "verifying")
    (firing,) = rig.life("api-1")["firings"]
    assert firing["labels"] == {"cohort": "canary"}
    assert (firing["value"], firing["limit"]) == ("1, -, 1", "all(any(> 0, > 0), > 0)")
    assert "any(bad > 0, gone > 0)" in rig.cli("report", "api-1").stdout


def test_it_fires_in_exactly_the_right_window(rig: Rig) -> None:
    """W4: the third breaching window in a row, and no other."""
    rig.start()
    rig.begin_rollout()
    rig.windows(1.2)  # windows that began before the rollout do not count (W9)
    rig.break_canary()
    rig.wait_state("api-1", "verified", "running", "verifying")
    firing = rig.life("api-1")["firings"][0]
    assert firing["streak"] == 3
    ends = [window["end"] for window in firing["windows"]]
    assert len(ends) == 3
    (series,) = rig.prometheus.query('bad{cohort="canary"}[10m]')
    first = min(at for at, value in series["values"] if value == "1")
    began = datetime.fromisoformat(firing["began"]).timestamp()
    assert began < first <= began + 1


def test_recovery_one_window_early_does_not_fire(rig: Rig) -> None:
    """W4: `ok` ends a streak."""
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    wait_for(lambda: streak(rig) == 2, what="two breaches")
    rig.heal_canary()
    wait_for(lambda: streak(rig) == 0, what="the streak's end")
    rig.windows(3)
    assert rig.lives() == []


def streak(rig: Rig) -> int:
    (trigger,) = rig.get("/api/v1/triggers")[1]["data"]
    return max((s["streak"] for s in trigger["subjects"]), default=0)


def test_a_breach_without_a_rollout_is_only_told(rig: Rig) -> None:
    """W9: nothing to undo."""
    rig.start()
    rig.break_canary()
    wait_for(lambda: any("nothing to undo" in title for title in rig.titles()), what="the page")
    assert rig.state_of("api-1") == "notified"
    assert rig.ran() == []


def test_a_breach_older_than_the_rollout_does_not_undo_it(rig: Rig) -> None:
    """W9: a standing streak pages when it is satisfied and does not act until it was ok once."""
    rig.start()
    rig.break_canary()
    wait_for(lambda: streak(rig) == 1)
    rig.begin_rollout()
    wait_for(lambda: any("does not act" in title for title in rig.titles()), what="the page")
    assert rig.ran() == []
    rig.heal_canary()
    wait_for(lambda: streak(rig) == 0)
    rig.windows(1)
    rig.break_canary()
    rig.wait_state("api-1", "verified")


def test_the_first_boot_in_the_middle_of_a_breach_does_not_act(rig: Rig) -> None:
    """W13: nobody knows how long this has been so."""
    rig.break_canary()
    wait_for(lambda: rig.prometheus.value('bad{cohort="canary"}') == 1)
    rig.windows(2)  # the first window that is judged must lie wholly in the breach
    rig.start()
    rig.begin_rollout()
    wait_for(lambda: any("does not act" in title for title in rig.titles()), what="the page")
    rig.windows(4)
    assert rig.ran() == []


def test_a_second_trigger_after_the_rollback_only_asks(rig: Rig) -> None:
    """D6: otherwise it would undo the undo."""
    other = rig.trigger(trigger="Worse", expr="worse", per=[], arm="always")
    rig.write(triggers=[rig.trigger(arm="always"), other])
    rig.service.set("worse", 0)
    wait_for(lambda: rig.prometheus.value("worse") == 0)
    rig.start()
    rig.break_canary()
    rig.wait_state("api-1", "verified")
    rig.service.set("worse", 1)
    rig.wait_state("api-2", "waiting_approval")
    life = rig.life("api-2")
    assert [lowering["reason"] for lowering in life["lowered_by"]] == ["spent"]
    assert rig.done() == ["drain", "revert", "restore"]
    assert any("approve a rollback?" in title for title in rig.titles())


def test_healing_during_the_veto_stands_down(rig: Rig) -> None:
    """D7, D8: the veto window opens when the page was accepted, and `ok` in it ends the life."""
    rig.write(triggers=[rig.trigger(severity="high", veto="60s")])
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    rig.wait_state("api-1", "waiting_veto")
    wait_for(lambda: rig.life("api-1")["veto_until"] is not None, what="the accepted page")
    rig.heal_canary()
    rig.wait_state("api-1", "stood_down")
    assert rig.ran() == []
    wait_for(lambda: any(page["status"] == "resolved" for page in rig.pages()), what="the resolved page")


def test_a_veto_that_nobody_uses_ends_in_the_rollback(rig: Rig) -> None:
    rig.write(triggers=[rig.trigger(severity="high", veto="10s")])
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    rig.wait_state("api-1", "verified")
    assert rig.done() == ["drain", "revert", "restore"]


def test_approve_by_the_command_line(rig: Rig) -> None:
    rig.write(triggers=[rig.trigger(severity="medium")])
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    rig.wait_state("api-1", "waiting_approval")
    assert rig.cli("approve", "api-1", ok=False).returncode == 0
    rig.wait_state("api-1", "verified")
    assert rig.cli("approve", "api-1", ok=False).returncode == 5
    timeline = rig.life("api-1")["timeline"]
    assert any(entry["kind"] == "life_approved" for entry in timeline)


def test_a_failing_step_keeps_the_services_and_pages_until_resolved(rig: Rig) -> None:
    rig.write(
        phases=[
            {
                "phase": "only",
                "estimate": "1s",
                "steps": [{"step": "revert", "run": ["./step.sh"], "timeout": "5s"}],
            }
        ]
    )
    rig.fail("revert")
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    rig.wait_state("api-1", "failed")
    assert rig.ran() == ["revert 1"]
    wait_for(lambda: any("FAILED" in title for title in rig.titles()), what="the page")
    assert rig.cli("rollout", "begin", "api", "--previous", "a", "--next", "b", ok=False).returncode == 5
    rig.cli("resolve", "api-1", "--approach", "by hand", "--description", "reverted by hand")
    rig.cli("rollout", "begin", "api", "--previous", "a", "--next", "b")


def test_unverified_where_the_metrics_do_not_recover(rig: Rig) -> None:
    """S3: never success by exit status alone."""
    rig.write(
        phases=[
            {
                "phase": "only",
                "estimate": "1s",
                "steps": [{"step": "drain", "run": ["./step.sh"], "timeout": "5s"}],
            }
        ],
        verify_within="4s",
    )
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    rig.wait_state("api-1", "unverified")
    wait_for(lambda: any("NOT proven" in title for title in rig.titles()), what="the page")
