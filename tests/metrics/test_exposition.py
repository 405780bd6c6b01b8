"""What Prometheus scrapes: names, label sets that start at 0, and durations that survive a restart."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.web.scene import INTERVAL, MINUTE, Scene, config, plan, trigger

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.engine import Engine
from rollbackd.core.fold import apply
from rollbackd.core.model import Group
from rollbackd.core.state import State
from rollbackd.metrics import Metrics
from rollbackd.metrics.families import REQUESTS
from rollbackd.world.prometheus import RESULTS

NAMES = [
    "build_info",
    "config_last_reload_successful",
    "config_last_reload_success_timestamp_seconds",
    "windows_evaluated_total",
    "window_lag_seconds",
    "group_last_evaluation_timestamp_seconds",
    "prometheus_requests_total",
    "prometheus_request_duration_seconds",
    "prometheus_clock_skew_seconds",
    "trigger_streak_max",
    "trigger_blind",
    "trigger_armed",
    "decisions_total",
    "rollbacks_total",
    "rollback_in_progress",
    "rollback_duration_seconds",
    "rollback_sla_seconds",
    "rollback_target_seconds",
    "rollback_deadline_timestamp_seconds",
    "rollback_sla_breaches_total",
    "rollback_phase_duration_seconds",
    "rollback_detect_seconds",
    "rollback_decide_seconds",
    "step_attempts_total",
    "escalation_rung",
    "escalations_total",
    "pages_total",
    "ack_seconds",
    "paused",
    "group_aligned",
    "reports_total",
    "journal_append_seconds",
    "journal_events_total",
    "loop_block_seconds",
]


class Page:
    """One scrape, parsed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.types: dict[str, str] = {}
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(text):
            self.types[family.name] = family.type
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self.samples, key
                self.samples[key] = sample.value

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples.get((f"rollbackd_{name}", frozenset(labels.items())))


async def scrape(scene: Scene, metrics: Metrics | None = None) -> Page:
    return Page((await (metrics or scene.metrics).exposition(scene.state, scene.soft)).decode())


async def test_every_name_is_there() -> None:
    page = await scrape(Scene())
    for name in NAMES:
        assert f"# TYPE rollbackd_{name} " in page.text, name


async def test_known_label_sets_start_at_0() -> None:
    page = await scrape(Scene())
    for verdict in ("breach", "ok", "no_data", "low_traffic", "unknown"):
        assert page.value("windows_evaluated_total", group="api", verdict=verdict) == 0
    for automatic in ("true", "false"):
        labels = {"plan": "api", "level": "3", "automatic": automatic}
        assert page.value("rollbacks_total", outcome="verified", **labels) == 0
    assert page.value("decisions_total", **_decision("auto", "")) == 0
    assert page.value("pages_total", receiver="am", result="accepted") == 0
    assert page.value("escalations_total", rung="1") == 0
    assert page.value("step_attempts_total", plan="api", step="drain", outcome="in_doubt") == 0
    assert page.value("journal_events_total", kind="life_opened") == 0
    assert page.value("prometheus_requests_total", result="unreachable") == 0
    assert page.value("rollback_sla_breaches_total", plan="api", level="3", region="") == 0
    assert page.value("rollback_duration_seconds_count", plan="api") == 0


async def test_groups_that_learn_when_their_targets_are_scraped() -> None:
    scene = Scene(config(groups=(Group("api", INTERVAL, 0, "s", "t"), Group("web", INTERVAL, 0, "s", "t"))))
    assert (await scrape(scene)).value("group_aligned", group="api") == 0
    event = e.AlignmentLearned(
        at=1,
        group="api",
        interval=INTERVAL,
        align=25,
        since=1,
        why="learned",
        targets=1,
        observations=4,
        spread=0,
        took=20,
    )
    scene.engine.state = apply(scene.engine.state, event)
    scene.pass_time(1)
    page = await scrape(scene)
    assert [page.value("group_aligned", group=name) for name in ("api", "web")] == [1, 0]


def _decision(action: str, lowered_by: str) -> dict[str, str]:
    return {
        "trigger": "ApiErrorRatioHigh",
        "severity": "critical",
        "action": action,
        "lowered_by": lowered_by,
    }


async def test_a_rollback_as_metrics() -> None:
    scene = Scene()
    scene.window({"canary": "0.001"})
    life = scene.fire()
    page = await scrape(scene)
    assert page.value("windows_evaluated_total", group="api", verdict="breach") == 2
    assert page.value("trigger_streak_max", trigger="ApiErrorRatioHigh") == 2
    assert page.value("trigger_armed", trigger="ApiErrorRatioHigh") == 0
    assert page.value("decisions_total", **_decision("auto", "")) == 1
    assert page.value("rollback_in_progress", plan="api") == 1
    decided = scene.state.lives[life].decided
    assert decided is not None
    assert page.value("rollback_deadline_timestamp_seconds", plan="api") == (decided + 15 * MINUTE) / 1000
    assert page.value("rollback_detect_seconds_sum") == pytest.approx(30.2)
    assert page.value("rollback_decide_seconds_count") == 1
    scene.run_step(life)
    scene.run_step(life, status=1)
    scene.pass_time(3_000)
    scene.run_step(life)
    scene.page()
    for _ in range(3):
        scene.window({"canary": "0.001"})
    scene.run_step(life)
    page = await scrape(scene)
    labels = {"plan": "api", "level": "3", "outcome": "verified", "automatic": "true"}
    assert page.value("rollbacks_total", **labels) == 1
    assert page.value("rollback_in_progress", plan="api") == 0
    assert page.value("rollback_deadline_timestamp_seconds", plan="api") is None
    assert page.value("rollback_duration_seconds_sum", plan="api") == 45
    assert page.value("rollback_phase_duration_seconds_sum", plan="api", phase="revert") == 7
    assert page.value("step_attempts_total", plan="api", step="revert", outcome="failed") == 1
    assert page.value("step_attempts_total", plan="api", step="revert", outcome="done") == 1


async def test_a_restart_changes_no_duration() -> None:
    """S1: the facts are in the journal; only what counts since the start begins anew."""
    scene = Scene()
    life = scene.fire()
    scene.run_step(life)
    state = State()
    for row in scene.journal.replay():
        assert row.event is not None
        state = apply(state, row.event)
    scene.engine = Engine(state)
    scene.metrics = Metrics()
    scene.now += MINUTE
    scene.take(s.DaemonStarted(state.config, absent=MINUTE))
    scene.run_step(life)
    for _ in range(4):
        scene.window({"canary": "0.001"})
    decided = state.lives[life].decided
    verified = scene.state.lives[life].verified
    assert decided is not None
    assert verified is not None
    scene.run_step(life)
    page = await scrape(scene)
    assert page.value("rollback_duration_seconds_sum", plan="api") == (verified - decided) / 1000
    assert page.value("rollback_duration_seconds_count", plan="api") == 1
    assert page.value("rollback_phase_duration_seconds_sum", plan="api", phase="revert") == MINUTE / 1000 + 2


async def test_lowered_asked_paged_acknowledged() -> None:
    scene = Scene()
    scene.take(s.OperatorSpoke(0, s.Pause(service="api", comment="c"), "ann", "socket"))
    life = scene.fire()
    scene.page()
    scene.now += 20_000
    scene.take(s.OperatorSpoke(0, s.Ack(life), "ann", "socket"))
    page = await scrape(scene)
    assert page.value("decisions_total", **_decision("ask", "paused")) == 1
    assert page.value("paused", service="api") == 1
    assert page.value("pages_total", receiver="am", result="accepted") == 1
    assert page.value("escalations_total", rung="0") == 1
    assert page.value("escalation_rung", plan="api") == 1
    assert page.value("ack_seconds_sum") == 20
    scene.take(s.OperatorSpoke(0, s.Veto(life), "ann", "socket"))
    page = await scrape(scene)
    labels = {"plan": "api", "level": "3", "outcome": "vetoed", "automatic": "true"}
    assert page.value("rollbacks_total", **labels) == 1
    assert page.value("rollback_duration_seconds_count", plan="api") == 0


async def test_a_blind_trigger() -> None:
    scene = Scene()
    scene.window({"canary": "0.001"})
    scene.now += 10 * MINUTE
    scene.window({})
    page = await scrape(scene)
    reasons = {
        reason: page.value("trigger_blind", trigger="ApiErrorRatioHigh", reason=reason)
        for reason in ("absent", "sparse", "unusable")
    }
    assert reasons == {"absent": 1, "sparse": 0, "unusable": 0}


async def test_the_sla() -> None:
    scene = Scene()
    scene.fire()
    scene.pass_time(16 * MINUTE)
    page = await scrape(scene)
    assert page.value("rollback_sla_breaches_total", plan="api", level="3", region="") == 1
    assert page.value("rollback_sla_seconds", plan="api") == 900
    assert page.value("rollback_target_seconds", plan="api") == 600


async def test_what_the_parts_report() -> None:
    scene = Scene()
    assert (await scrape(scene)).value("config_last_reload_successful") == 1
    scene.metrics.request("success", 0.02)
    scene.metrics.clock_skew(-1.5)
    scene.metrics.config_loaded(True, 1_700_000_000_500)
    scene.metrics.config_loaded(False, 1_700_000_001_000)
    page = await scrape(scene)
    assert page.value("prometheus_requests_total", result="success") == 1
    assert page.value("prometheus_clock_skew_seconds") == -1.5
    assert page.value("config_last_reload_successful") == 0
    assert page.value("config_last_reload_success_timestamp_seconds") == 1_700_000_000.5


async def test_the_loop_sampler() -> None:
    scene = Scene()
    task = asyncio.create_task(scene.metrics.sample_loop())
    async with asyncio.timeout(10):
        while not (await scrape(scene)).value("loop_block_seconds_count"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def test_results_are_those_of_the_source() -> None:
    assert REQUESTS == RESULTS


async def test_no_id_is_a_label() -> None:
    scene = Scene()
    scene.roll_back()
    assert "api-1" not in (await scrape(scene)).text


async def test_odd_names_are_escaped() -> None:
    """Fault 68."""
    odd = 'a"b\\c\nd{e="f"} 1'
    scene = Scene(config(triggers=(trigger(odd, plan=odd),), plans=(plan(odd),)))
    page = await scrape(scene)
    assert page.value("trigger_armed", trigger=odd) == 1
    assert page.value("rollback_in_progress", plan=odd) == 0


async def test_a_reload_keeps_the_counts() -> None:
    scene = Scene()
    scene.fire()
    scene.take(
        s.ConfigurationLoaded(config(hash="h2", triggers=(trigger(), trigger("Other", fingerprint="x"))))
    )
    page = await scrape(scene)
    assert page.value("decisions_total", **_decision("auto", "")) == 1
    assert page.value("trigger_armed", trigger="Other") == 1


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
async def test_promtool_finds_nothing_wrong() -> None:
    scene = Scene()
    scene.roll_back()
    page = await scrape(scene)
    checked = await asyncio.to_thread(
        subprocess.run, ["promtool", "check", "metrics"], input=page.text, capture_output=True, text=True
    )
    assert (checked.returncode, checked.stderr) == (0, "")
