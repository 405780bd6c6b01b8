"""What metrics do to us: silence, gaps, restarts, vanishing series (faults 19–23, 31, 32; W5, W6, W14)."""

from __future__ import annotations

import pytest
from tests.daemon.rig import Rig
from tests.daemon.test_story import streak
from tests.servers import wait_for


@pytest.mark.parametrize("how", ["freeze", "kill"])
def test_prometheus_away_in_mid_streak(rig: Rig, how: str) -> None:
    """Faults 19, 31 (W6): what was missed is asked again; nothing fires on what nobody saw."""
    rig.write(triggers=[rig.trigger(windows=6)])
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    wait_for(lambda: streak(rig) >= 2)
    getattr(rig.prometheus, how)()
    rig.windows(3)
    assert rig.lives() == []
    rig.prometheus.thaw() if how == "freeze" else rig.prometheus.start()
    rig.wait_state("api-1", "verified")
    windows = rig.life("api-1")["firings"][0]["windows"]
    breaches = [window for window in windows if window["verdict"] == "breach"]
    assert len(breaches) >= 6


def test_samples_from_before_a_restart_are_no_new_ones(rig: Rig) -> None:
    """W14: the look-back returns dead samples as if they were new; they do not count."""
    rig.write(triggers=[rig.trigger(windows=4)])
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    wait_for(lambda: streak(rig) >= 2)
    rig.service.status = 500  # every scrape fails from here on, but the last samples look alive
    before = streak(rig)
    rig.windows(4)
    assert streak(rig) <= before + 1
    assert rig.lives() == []


def test_nan_neither_fires_nor_ends_a_streak(rig: Rig) -> None:
    """Fault 22, W5: kept, never counted."""
    rig.write(triggers=[rig.trigger(windows=4)])
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    wait_for(lambda: streak(rig) == 2)
    rig.service.set("bad", "NaN", cohort="canary")
    rig.windows(2)
    assert rig.lives() == []
    rig.break_canary()
    rig.wait_state("api-1", "verified", "running", "verifying")
    verdicts = {window["verdict"] for window in rig.life("api-1")["firings"][0]["windows"]}
    assert verdicts == {"breach", "no_data"}


def test_a_vanishing_subject_does_not_fire(rig: Rig) -> None:
    """Fault 23, W5: absent while its sibling answers."""
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    wait_for(lambda: streak(rig) == 1)
    rig.service.remove("bad", cohort="canary")
    rig.windows(5)
    assert rig.lives() == []


def test_low_traffic_and_zero_errors_without_an_error_series(rig: Rig) -> None:
    """W2: no 5xx series while the total exists is 0; a total under the minimum is low traffic."""
    ratio = {"errors": "errors", "total": "requests", "min_total": 5}
    trigger = rig.trigger(ratio=ratio, breach="> 0.1", per=[])
    del trigger["expr"]
    rig.write(triggers=[trigger])
    rig.service.set("requests", 100)
    wait_for(lambda: rig.prometheus.value("requests") == 100)
    rig.start()
    rig.begin_rollout()
    wait_for(lambda: verdict(rig) == "ok", what="zero errors")
    rig.service.set("requests", 2)
    rig.service.set("errors", 2)
    wait_for(lambda: verdict(rig) == "low_traffic", what="low traffic")
    rig.windows(4)
    assert rig.lives() == []
    rig.service.set("requests", 100)
    rig.service.set("errors", 50)
    rig.wait_state("api-1", "running", "verifying", "unverified", "verified")


def verdict(rig: Rig) -> str | None:
    (trigger,) = rig.get("/api/v1/triggers")[1]["data"]
    return next((subject["verdict"] for subject in trigger["subjects"]), None)
