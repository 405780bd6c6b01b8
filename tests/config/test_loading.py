"""What a sound configuration becomes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from pydantic_core import PydanticCustomError

from rollbackd.config import ConfigErrors, Loaded, check_paths, load
from rollbackd.config.instance import default_ladder
from rollbackd.config.models.types import Relative, RelativeComparison
from rollbackd.core.model import (
    Baseline,
    CaptureItem,
    Captures,
    Command,
    Condition,
    ImpactQuery,
    Limit,
    Trigger,
)
from rollbackd.settings import AlertmanagerSettings, WebhookSettings

HERE = Path(__file__).parent
MINUTE = 60_000


@pytest.fixture
def good(tmp_path: Path) -> Path:
    shutil.copytree(HERE / "good", tmp_path / "good")
    return tmp_path / "good" / "rollbackd.yml"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    shutil.copytree(HERE / "base", tmp_path / "base")
    return tmp_path / "base" / "rollbackd.yml"


def edit(path: Path, *changes: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def trigger(loaded: Loaded, name: str) -> Trigger:
    found = loaded.core.trigger(name)
    assert found is not None
    return found


def test_a_ratio(good: Path) -> None:
    loaded = load(good)
    assert loaded.warnings == ()
    ratio = trigger(loaded, "ApiErrorRatioHigh")
    total = 'sum by (cohort) (rate(http_requests_total{service="api"}[1m]))'
    assert ratio.condition == Condition(
        expr='sum by (cohort) (rate(http_requests_total{service="api",code=~"5.."}[1m]))',
        breach=Limit(">", 0.01),
        total=total,
        traffic=total,
        at_least=5.0,
        coverage=('max by (cohort) (timestamp(http_requests_total{service="api"}))',),
        longest_range=MINUTE,
    )
    assert (ratio.action, ratio.veto, ratio.expires) == ("auto", 5 * MINUTE, 15 * MINUTE)
    assert (ratio.windows, ratio.interval, ratio.align, ratio.delay) == (8, 15_000, 3_000, 1_000)
    assert ratio.source == "triggers/api.yml:8"


def test_a_trigger_of_the_library_is_one_of_the_files(good: Path) -> None:
    shop = load(good).core.trigger("shop-error-ratio")
    assert shop is not None
    assert (shop.source, shop.group, shop.windows) == ("triggers/library.yml:5", "library", 12)
    assert shop.condition.total == (
        'sum by (cohort) (rate(http_requests_total{service="shop",namespace="prod"}[1m]))'
    )
    assert (str(shop.condition.breach), shop.condition.at_least, shop.per) == ("> 0.02", 2, ("cohort",))
    assert shop.labels == {"team": "shop"}
    assert shop.annotations["runbook"] == "rollbackd library error-ratio"


def test_recovered_has_the_triggers_subjects_and_its_own_coverage(good: Path) -> None:
    recovered = trigger(load(good), "ApiErrorRatioHigh").recovered
    assert recovered is not None
    selector = 'http_requests_total{service="api",code=~"5.."}'
    assert recovered.coverage == (f"max by (cohort) (timestamp({selector}))",)
    assert (recovered.longest_range, recovered.total, recovered.traffic) == (30_000, None, None)


def test_for_is_windows_and_severities_say_the_action(good: Path) -> None:
    latency = trigger(load(good), "ApiLatencyHigh")
    assert (latency.windows, latency.action, latency.veto) == (8, "auto_with_warning", 2 * MINUTE)
    assert latency.condition.traffic == 'sum(rate(http_requests_total{service="api"}[1m]))'
    assert latency.condition.at_least == 1.0


def test_said_on_the_trigger_overrides(good: Path) -> None:
    orders = trigger(load(good), "OrdersStopped")
    assert (orders.action, orders.expires, orders.arm, orders.no_data) == (
        "notify",
        20 * MINUTE,
        "always",
        "breach",
    )
    assert orders.condition.coverage == ('max(timestamp(up{job="orders"}))',)


def test_a_composed_condition(good: Path) -> None:
    condition = trigger(load(good), "OrdersFailFast").condition
    ratio, failed, age = condition.leaves()
    assert condition.limit == "all(> 0.02, any(> 5, > 60))"
    assert condition.longest_range == 2 * MINUTE
    assert (ratio.total, ratio.traffic) == ("sum(rate(orders_total[2m]))",) * 2
    assert [leaf.no_data for leaf in (ratio, failed, age)] == [None, "ok", None]
    assert [leaf.coverage for leaf in (ratio, failed, age)] == [
        ("max(timestamp(orders_total))",),
        ("max(timestamp(orders_failed_total))",),
        ('max(timestamp(up{job="orders"}))',),
    ]


def test_all_is_filled_by_one_scrape_only_where_each_part_is(base: Path) -> None:
    """W12: the short window of a burn rate keeps one scrape from filling the long one for it."""
    long, short = 'expr: "sum(rate(x[5m]))", breach: "> 1"', 'expr: "sum(rate(x[30s]))", breach: "> 1"'
    path, before = base.parent / "triggers/ok.yml", 'expr: up, breach: "< 1"'
    edit(path, (before, f"all: [{{{long}}}, {{{short}}}]"))
    assert load(base).warnings == ()
    edit(path, ("all:", "any:"))
    (warning,) = load(base).warnings
    assert "3 windows span 45s, no more than the range of 5m" in warning.what


def test_a_plan(good: Path) -> None:
    plan = load(good).core.plan("api")
    assert plan is not None
    drain, restore, remove = (step for _, step in plan.steps())
    assert drain.run == Command(("./scripts/drain.sh", "--all"), timeout=MINUTE, env={"DRAIN_SECONDS": "10"})
    assert (drain.attempts, drain.backoff, drain.repeatable, drain.expect) == (3, 2_000, True, "drained")
    assert drain.probe == Command(("./scripts/check.sh", "drained"))
    assert (restore.irreversible, restore.interrupt, restore.interruptible()) == (True, "never", False)
    assert remove.run is not None
    assert (remove.run.shell, remove.run.argv) == (True, ("echo removing $ROLLBACK_NEXT_VERSION",))
    assert [phase.after_verified for phase in plan.phases] == [False, False, True]
    assert plan.verification[1].http is not None
    assert plan.verification[1].http.json == {"status.state": "healthy", "old": None}
    assert (plan.sla, plan.target, plan.timeout, plan.settle) == (
        14 * MINUTE,
        9 * MINUTE,
        12 * MINUTE,
        30_000,
    )


@pytest.mark.parametrize(("level", "sla", "target"), [(2, 30, 20), (3, 15, 10), (4, 10, 5)])
def test_the_level_sets_the_sla(level: int, sla: int, target: int, base: Path) -> None:
    edit(base.parent / "plans/ok/plan.yml", ("level: 2", f"level: {level}"))
    [plan] = load(base).core.plans
    assert (plan.sla, plan.target) == (sla * MINUTE, target * MINUTE)


def test_the_target_is_never_beyond_a_stricter_sla(base: Path) -> None:
    edit(base.parent / "plans/ok/plan.yml", ("level: 2", "level: 2\nsla: 6m"))
    [plan] = load(base).core.plans
    assert (plan.sla, plan.target) == (6 * MINUTE, 6 * MINUTE)


def test_settings_of_the_world(good: Path) -> None:
    loaded = load(good)
    folder = good.parent
    assert loaded.world.prometheus.urls == ("http://127.0.0.1:9090", "https://prometheus.example/prom")
    assert loaded.world.prometheus.params == {"dedup": ("true",)}
    assert loaded.world.prometheus.http.basic_auth is not None
    assert loaded.world.prometheus.http.basic_auth.password_file == f"{folder}/secrets/prometheus"
    manager, hook = loaded.world.receivers
    assert isinstance(manager, AlertmanagerSettings)
    assert isinstance(hook, WebhookSettings)
    assert (hook.url, hook.secret_file, hook.timeout) == (
        "http://127.0.0.1:9999/hook",
        f"{folder}/secrets/hook",
        5_000,
    )
    assert (loaded.web.host, loaded.web.port) == ("127.0.0.1", 9797)
    assert loaded.state_dir == folder / "state"
    assert loaded.plan_folders == {name: folder / "plans" / name for name in ("api", "api-forward-fix")}


def test_impact_is_what_the_plan_asks(base: Path) -> None:
    text = """impact:
  downtime_seconds: {expr: 'sum_over_time(down[$span])'}
  customer_impact: {expr: cost, words: {minimal: '< 0.01', severe: '>= 0.01'}}
"""
    path = base.parent / "plans" / "ok" / "plan.yml"
    path.write_text(path.read_text() + text)
    (plan,) = [plan for plan in load(base).core.plans if plan.name == "ok"]
    assert plan.impact == (
        ImpactQuery("downtime_seconds", "sum_over_time(down[$span])"),
        ImpactQuery("customer_impact", "cost", {"minimal": Limit("<", 0.01), "severe": Limit(">=", 0.01)}),
    )


def test_the_default_ladder(good: Path) -> None:
    ladders = load(good).core.ladders
    assert [(rung.after, rung.receivers) for rung in ladders["default"]] == [
        (minutes * MINUTE, ("am", "hook")) for minutes in (0, 5, 15, 30)
    ]
    assert all(rung.instructions for rung in ladders["default"])
    assert [bool(rung.title) for rung in ladders["default"]] == [False, True, True, True]
    brought_in = ("incident commander", "senior SRE", "CTO or VP Engineering", "incident response team")
    for level, (rung, role) in enumerate(zip(ladders["default"], brought_in, strict=True), 1):
        first, *actions = rung.instructions.splitlines()
        assert first == f"Where a rollback failed (level {level}):"
        assert [action.partition(".")[0] for action in actions] == list("12345"[: len(actions)])
        assert len(actions) in (4, 5)
        assert role in rung.instructions
    assert [rung.until for rung in ladders["payments"]] == ["acked", "resolved"]


def test_a_default_ladder_may_be_given(base: Path) -> None:
    edit(base, ("state_dir", "ladders: {default: [{after: 1m, receivers: [hook]}]}\nstate_dir"))
    assert [rung.after for rung in load(base).core.ladders["default"]] == [MINUTE]


def test_without_receivers_there_is_only_shadow(base: Path) -> None:
    edit(base, ("receivers:\n", "max_action: notify\nreceivers: []\nx:\n"))
    text = base.read_text()
    base.write_text(text[: text.index("x:\n")])
    with pytest.raises(ConfigErrors, match="nobody could be paged"):
        load(base)
    edit(base, ("notify", "shadow"))
    assert load(base).core.ladders == {"default": default_ladder(())} == {"default": ()}


def test_a_group_that_learns_its_alignment_asks_when_its_targets_were_scraped(good: Path) -> None:
    edit(good.parent / "triggers/api.yml", ("align: 3s", "align: auto"))
    loaded = load(good)
    ratio = trigger(loaded, "ApiErrorRatioHigh")
    assert (ratio.align, ratio.auto_align) == (0, True)
    (group,) = loaded.core.groups
    assert (group.name, group.interval, group.delay) == ("api", 15_000, 1_000)
    assert group.sampled.startswith("timestamp(up) and on (job, instance) (http_requests_total{")
    assert group.took.startswith("scrape_duration_seconds and on (job, instance) (http_requests_total{")
    assert not trigger(load(good), "ApiErrorRatioHigh").align
    edit(good.parent / "triggers/api.yml", ("align: auto", "align: 3s"))
    assert load(good).core.groups == ()


MEANINGS = [
    ('breach: "< 1"', 'breach: "< 2"'),
    ("expr: up", "expr: up offset 1m"),
    ("windows: 3", "windows: 4"),
    ("windows: 3", "windows: 3, no_data: reset"),
    ("windows: 3", "windows: 3, per: [job]"),
    ("windows: 3", "windows: 3, coverage: [up]"),
    ("windows: 3", "windows: 3, traffic: {expr: up, at_least: 1}"),
    ("name: ok\n", "name: ok\n    interval: 30s\n"),
    ("name: ok\n", "name: ok\n    align: 1s\n"),
    ("name: ok\n", "name: ok\n    align: auto\n"),
    ('expr: up, breach: "< 1"', 'all: [{expr: up, breach: "< 1"}]'),
]
COMPOSED = "all: [{expr: up, breach: < 1}, {expr: down, breach: > 1}]"
OTHERWISE_COMPOSED = [
    "any: [{expr: up, breach: < 1}, {expr: down, breach: > 1}]",
    "all: [{expr: up, breach: < 1}, {all: [{expr: down, breach: > 1}]}]",
    "all: [{expr: down, breach: > 1}, {expr: up, breach: < 1}]",
    "all: [{expr: up, breach: < 1}, {expr: down, breach: > 1, no_data: ok}]",
    "all: [{expr: up, breach: < 1}, {expr: down, breach: > 1, coverage: [up]}]",
    "all: [{expr: up, breach: < 1}, {expr: down, breach: > 1, traffic: {expr: up, at_least: 1}}]",
    "all: [{expr: up, breach: < 1}, {expr: down, breach: > 2}]",
]
NOT_MEANINGS = [
    ("windows: 3", "windows: 3, cooldown: 1h"),
    ("windows: 3", "for: 45s"),
    ("severity: medium", "severity: high"),
    ("windows: 3", "windows: 3, labels: {team: a}"),
    ("name: ok\n", "# a comment\n    name: ok\n"),
]


@pytest.mark.parametrize("change", MEANINGS)
def test_what_windows_mean_is_in_the_fingerprint(change: tuple[str, str], base: Path) -> None:
    edit(
        base.parent / "plans/ok/plan.yml",
        ("level: 2", 'level: 2\nverification: [{check: up, expr: up, pass: "> 0"}]'),
    )
    before = trigger(load(base), "Fine").fingerprint
    assert re.fullmatch(r"[0-9a-f]{16}", before)
    edit(base.parent / "triggers/ok.yml", change)
    assert trigger(load(base), "Fine").fingerprint != before


def test_so_is_how_conditions_are_composed(base: Path) -> None:
    verified = ("level: 2", 'level: 2\nverification: [{check: up, expr: up, pass: "> 0"}]')
    edit(base.parent / "plans/ok/plan.yml", verified)
    path = base.parent / "triggers/ok.yml"
    found, last = set(), 'expr: up, breach: "< 1"'
    for condition in (COMPOSED, *OTHERWISE_COMPOSED):
        text = re.sub(r"breach: (. \d)", r'breach: "\1"', condition)
        edit(path, (last, text))
        found.add(trigger(load(base), "Fine").fingerprint)
        last = text
    assert len(found) == 1 + len(OTHERWISE_COMPOSED)


def test_a_plain_condition_means_what_it_meant_to_older_versions(good: Path) -> None:
    """Else every running daemon would count its windows anew after an update."""
    found = {each.name: each.fingerprint for each in load(good).core.triggers}
    assert found["ApiErrorRatioHigh"] == "a02a7b37634ed4c5"
    assert found["ApiLatencyHigh"] == "1e76426c7e075512"
    assert found["OrdersStopped"] == "8b8b392762be618a"


@pytest.mark.parametrize("change", NOT_MEANINGS)
def test_nothing_else_is(change: tuple[str, str], base: Path) -> None:
    before = trigger(load(base), "Fine").fingerprint
    edit(base.parent / "triggers/ok.yml", change)
    assert trigger(load(base), "Fine").fingerprint == before


def test_the_hash_is_the_same_wherever_it_is_loaded_from(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(good.parent, tmp_path / "elsewhere")
    monkeypatch.chdir(good.parent)
    hashes = {
        load(path).core.hash for path in (good, Path("rollbackd.yml"), tmp_path / "elsewhere/rollbackd.yml")
    }
    assert len(hashes) == 1
    edit(good, ("brake: 3", "brake: 4"))
    assert load(good).core.hash not in hashes


def test_a_changed_script_changes_the_plan(base: Path) -> None:
    before = load(base)
    (base.parent / "plans/ok/go.sh").write_text("#!/bin/sh\nexit 1\n")
    after = load(base)
    assert before.core.plans[0].hash != after.core.plans[0].hash
    assert before.core.hash != after.core.hash


def test_problems_are_shown_as_the_path_was_given(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(base.parent / "triggers/ok.yml", ("windows: 3", 'windows: "3"'))
    monkeypatch.chdir(base.parent.parent)
    [problem] = check_paths(["base/rollbackd.yml"])
    remedy = 'windows: expected a whole number, got "3"; remove the quotes'
    assert str(problem) == f"base/triggers/ok.yml:5:95: {remedy}"
    monkeypatch.chdir(base.parent)
    assert [each.file for each in check_paths(["rollbackd.yml"])] == ["triggers/ok.yml"]


SECRET_PLACES = [
    ('urls: ["http://127.0.0.1:9090"]', 'urls: ["http://u:hunter2@h"]'),
    ('urls: ["http://127.0.0.1:9090"]', "urls: http://hunter2"),
    ('urls: ["http://127.0.0.1:9090"]', 'urls: ["http://h"], basic_auth: "hunter2"'),
    ('urls: ["http://127.0.0.1:9090"]', 'urls: ["http://h"], basic_auth: {username: a, password: [hunter2]}'),
    ('urls: ["http://127.0.0.1:9090"]', 'urls: ["http://h"], authorization: {credentials: "hunter2\\n"}'),
    ('urls: ["http://127.0.0.1:9090"]', 'urls: ["http://h"], http_headers: {A: {secrets: hunter2}}'),
    ("http://127.0.0.1:9999/hook", "htp://hooks.example/hunter2"),
    ('webhook: {url: "http://127.0.0.1:9999/hook"}', 'webhook: "https://hooks.example/hunter2"'),
]


@pytest.mark.parametrize("change", SECRET_PLACES)
def test_a_secret_is_in_no_problem(change: tuple[str, str], base: Path) -> None:
    edit(base, change)
    with pytest.raises(ConfigErrors) as refused:
        load(base)
    assert "hunter2" not in str(refused.value)


def test_a_secret_is_in_no_repr(base: Path) -> None:
    edit(
        base,
        ('["http://127.0.0.1:9090"]', '["http://h"], authorization: {credentials: hunter2}'),
        ("http://127.0.0.1:9999/hook", "http://127.0.0.1:9999/hunter2"),
    )
    loaded = load(base)
    assert "hunter2" not in repr(loaded)
    assert loaded.world.prometheus.http.authorization is not None
    assert loaded.world.prometheus.http.authorization.credentials == "hunter2"


def test_captures_and_what_is_compared_with_them(good: Path) -> None:
    core = load(good).core
    assert core.captures == Captures(keep=60 * 24 * 60 * MINUTE, most=2048 << 20)
    plan = core.plan("api")
    assert plan is not None
    assert plan.capture == (
        CaptureItem(
            "database", Command(("./scripts/check.sh", "dump"), timeout=5 * MINUTE), None, 5 * MINUTE
        ),
        CaptureItem("schema", Command(("echo 20251201120000",), shell=True, timeout=10 * MINUTE)),
        CaptureItem("errors", expr='sum(rate(http_requests_total{code=~"5.."}[5m]))'),
    )
    errors, schema, version = plan.verification[-3:]
    assert errors.query is not None
    assert (errors.query.passes.op, errors.baseline) == ("<=", Baseline("errors", 1.1, 1.0))
    assert (schema.prints, schema.baseline) == ("$baseline", Baseline("schema"))
    assert version.http is not None
    assert version.http.json == {"version": "$previous"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("== baseline", Relative("==")),
        ("<=baseline*1.1", Relative("<=", 1.1)),
        ("< baseline + 5", Relative("<", 1.0, 5.0)),
        (">= baseline * 0.9 - 2", Relative(">=", 0.9, -2.0)),
        ("> 0.01", Limit(">", 0.01)),
    ],
)
def test_a_limit_may_be_relative(text: str, wanted: Relative | Limit) -> None:
    assert RelativeComparison().parse(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["baseline", "baseline < 5", "<= baseline *", "<= 2 * baseline", "<= baseline * 1e3", "<= baselines"],
)
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(PydanticCustomError):
        RelativeComparison().parse(text)
