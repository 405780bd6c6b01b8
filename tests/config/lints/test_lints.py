"""Each lint on what it is meant for, and on what looks like it and is right."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.config.lints.files import HEAD, PLAN, RELEASE, TODAY, entry, found, lay, lints

from rollbackd.config import examine
from rollbackd.config.lints import LINTS, Lint, document

ROOT = Path(__file__).parents[3]
SHOWN = [lint for lint in LINTS.values() if lint.bad]


def test_the_document_is_fresh() -> None:
    """`python -m rollbackd.config.lints > docs/lints.md` writes it."""
    assert (ROOT / "docs/lints.md").read_text() == document()


def test_each_lint_says_what_people_need() -> None:
    for lint in LINTS.values():
        assert lint.means
        assert lint.reason.endswith(".")
        assert lint.remedy
        assert not lint.remedy.endswith(".")
        assert "\n" not in lint.remedy
        assert bool(lint.bad) == bool(lint.good)
        assert lint.bad or lint.find is None or lint.id == "untested"


@pytest.mark.parametrize("lint", SHOWN, ids=lambda lint: lint.id)
def test_the_bad_example_is_bad_for_that_alone(lint: Lint, tmp_path: Path) -> None:
    assert found(tmp_path, lint.bad) == [lint.id]


@pytest.mark.parametrize("lint", [one for one in SHOWN if one.id != "untested"], ids=lambda lint: lint.id)
def test_the_good_example_is_good(lint: Lint, tmp_path: Path) -> None:
    assert found(tmp_path, lint.good) == []


PLAIN = 'expr: "sum(rate(x_errors_total[1m]))"\n'

EXPRESSIONS: list[tuple[str, list[str]]] = [
    # what people write, and is right
    ("max by (instance) (pg_up)", ["several-series"]),
    ('sum(up{job="api"})', []),
    ("min(probe_success)", []),
    ("max(time() - node_boot_time_seconds)", []),
    ("max(node_filesystem_avail_bytes / node_filesystem_size_bytes)", []),
    ('1 - avg(rate(node_cpu_seconds_total{mode="idle"}[1m]))', []),
    (
        'sum(rate(node_cpu_seconds_total{mode!="idle"}[1m])) / sum(rate(node_cpu_seconds_total[1m]))',
        [],
    ),
    ("sum(container_memory_working_set_bytes) / sum(kube_pod_container_resource_limits)", []),
    ("sum(kube_deployment_spec_replicas) - sum(kube_deployment_status_replicas_available)", []),
    ('sum(increase(kube_pod_container_status_restarts_total{namespace="api"}[5m]))', []),
    ('max(kube_pod_container_status_waiting_reason{reason="CrashLoopBackOff"})', []),
    ("max(probe_ssl_earliest_cert_expiry - time()) / 86400", []),
    ("max(instance:node_cpu_utilisation:rate5m)", []),
    ("job:slo_errors_per_request:ratio_rate5m", []),
    ('sum(rate(x_total{code=~"5.."}[1m]))', []),
    ('sum(rate(x_total{code=~"5.*|429"}[1m]))', []),
    ('sum(rate(x_total{path=~"^/api/.*"}[1m]))', []),
    ('sum(rate(x_total{path=~"^/api$"}[1m]))', []),
    ('sum(rate(x_total{price=~".*\\\\$"}[1m]))', []),
    ('sum(rate(envoy_cluster_upstream_rq_xx{envoy_response_code_class=~"5"}[1m]))', []),
    ("sum(queue > bool 60)", []),
    ("count(queue > 60) or vector(0)", ["age-unseen"]),
    ("sum(a) / (sum(b) > 0)", []),
    ("sum(a) / (sum(b) != 0)", []),
    ("sum(a) / (sum(b) > 5)", ["comparison-inside"]),
    ("sum(a) - (sum(b) > 0)", ["comparison-inside"]),
    ("sum(queue) and on () (sum(b) > 5)", ["comparison-inside"]),
    ("max_over_time((sum(a) > 1)[5m:])", ["comparison-inside"]),
    ("sum(queue - queue offset 1h)", []),
    ("sum(x_total) - sum(x_total offset 5m)", []),
    ("sum(queue offset 1h)", ["not-now"]),
    ("sum(max_over_time(queue[5m] offset 1h))", ["not-now"]),
    ("max_over_time(sum(queue)[5m:] offset 1h)", ["not-now"]),
    ("sum(queue @ 1609746000)", ["not-now"]),
    ("sum(queue @ end()) - sum(queue)", []),
    ("sum(rate(x_total[29s]))", ["range-too-short"]),
    ("sum(rate(x_total[30s]))", []),
    ("max(last_over_time(queue[20s]))", []),
    ("sum(rate(x_total[1m]))", []),
    ("max(deriv(queue[1m]))", []),
    ("sum(idelta(x_total[1m]))", ["delta-of-counter"]),
    ("sum(resets(x_total[5m]))", []),
    ("count(x_total)", []),
    ("sum(x_total)", ["counter-without-rate"]),
    ("max(timestamp(x_total))", []),
    ("sum(rate(a_total[1m])) / sum(b_total)", ["counter-without-rate"]),
    ("rate(sum(rate(x_total[1m]))[5m:])", []),
    ("rate(max(x_total)[5m:])", ["rate-of-sum"]),
    ("max(histogram_quantile(0.9, sum by (le, pod) (rate(x_bucket[1m]))))", []),
    ("avg(histogram_quantile(0.9, sum by (le, pod) (rate(x_bucket[1m]))))", ["averaged-quantile"]),
    ("sum(rate(x_seconds_sum[1m])) / sum(rate(x_seconds_count[1m]))", ["no-traffic-floor"]),
    ("histogram_quantile(0.9, sum(rate(x_native[1m])))", ["no-traffic-floor"]),
    ("histogram_quantile(0.9, sum by (le) (rate(x_bucket[1m])))", ["no-traffic-floor"]),
    (
        "histogram_quantile(0.9, sum without (le) (rate(x_bucket[1m])))",
        ["bucket-without-le", "no-traffic-floor"],
    ),
    (
        '100 * (sum(rate(x_total{status=~"5.."}[1m])) / sum(rate(x_total[1m])))',
        ["ratio-by-hand", "no-traffic-floor"],
    ),
    (
        '1 - sum(rate(x_total{code!~"5.."}[1m])) / sum(rate(x_total[1m]))',
        ["ratio-by-hand", "no-traffic-floor"],
    ),
    (
        "sum(rate(http_errors_total[1m])) / sum(rate(http_requests_total[1m]))",
        ["ratio-by-hand", "no-traffic-floor"],
    ),
    (
        '(sum(rate(x_total{code="500"}[1m])) or vector(0)) / sum(rate(x_total[1m]))',
        ["no-traffic-floor"],
    ),
    ('sum(rate(x_bucket{le="0.3"}[1m])) / sum(rate(x_count[1m]))', ["no-traffic-floor"]),
    ("sum(lag) / clamp_min(sum(rate(x_total[1m])), 1)", []),
    ("sum(topk(3, queue))", []),
    ("topk(1, sum by (a) (queue))", ["topk", "several-series"]),
    ("pg_up", ["unaggregated"]),
    ('pg_up{instance="db:9187"}', []),
    ("rate(x_total[1m])", ["unaggregated"]),
    ("100 * abs(a - b)", ["unaggregated"]),
    ("last_over_time(a[30s]) or b or c", ["instant-selector", "unaggregated"]),
    ("scalar(pg_up)", []),
    ('sum(rate(x_total{job!~".*"}[1m]))', ["matcher-without-effect"]),
    ('sum(rate(x_total{job=~".+"}[1m]))', []),
    ('sum(rate(x_total{path=~"^/api"}[1m]))', ["regex-anchors"]),
    ('sum(rate(x_total{path!~"/api$"}[1m]))', ["regex-anchors"]),
    ('sum(rate(x_total{status=~"4|5"}[1m]))', ["regex-anchors"]),
    ("vector(1)", ["age-unseen"]),
    ('absent(up{job="api"})', ["absent-never-ok"]),
    ('absent(up{job="api"}) or vector(0)', ["age-unseen"]),
    ("sum(a) unless on () maintenance", []),
    ("sum(a or b)", ["instant-selector"]),
    ("sum(last_over_time(a[30s]) or b)", []),
    ("topk by (a) (1, max by (a, b) (queue))", []),
    # of kube-prometheus, nearly as they stand
    ("count by (job) (up == 0) / count by (job) (up)", ["comparison-inside", "several-series"]),
    (
        '(node_filesystem_avail_bytes{fstype!=""} / node_filesystem_size_bytes{fstype!=""} * 100 < 5'
        ' and node_filesystem_readonly{fstype!=""} == 0)',
        ["comparison-inside", "comparison-inside", "unaggregated"],
    ),
    (
        'max by (cluster) (kube_job_status_start_time{job="kube-state-metrics"})',
        ["several-series"],
    ),
    ('max(node_timex_maxerror_seconds{job="node-exporter"})', []),
    ('min(min_over_time(node_timex_sync_status{job="node-exporter"}[5m]))', []),
    ('sum(increase(node_vmstat_oom_kill{job="node-exporter"}[5m]))', []),
    ('sum(kube_node_status_condition{condition="Ready",status="true"})', []),
    ('sum(kube_resourcequota{type="used"}) / sum(kube_resourcequota{type="hard"})', []),
    (
        'sum(rate(apiserver_request_total{code=~"5.."}[5m])) / sum(rate(apiserver_request_total[5m]))',
        ["ratio-by-hand", "no-traffic-floor"],
    ),
    (
        'sum(increase(container_cpu_cfs_throttled_periods_total{container!=""}[5m]))'
        " / sum(increase(container_cpu_cfs_periods_total[5m]))",
        ["no-traffic-floor"],
    ),
    (
        'max(kubelet_volume_stats_available_bytes{job="kubelet"} / kubelet_volume_stats_capacity_bytes)'
        " and on () (max(predict_linear(kubelet_volume_stats_available_bytes[5m], 345600)) < 0)",
        ["comparison-inside"],
    ),
    ("sum(a) * on () group_left (version) build_info", []),
]


@pytest.mark.parametrize(("expression", "expected"), EXPRESSIONS)
def test_expressions(expression: str, expected: list[str], tmp_path: Path) -> None:
    assert sorted(found(tmp_path, f"expr: '{expression}'")) == sorted(expected)


RATIO = """\
ratio:
  errors: 'sum by (cohort) (rate(x_total{code=~"5.."}[1m]))'
  total: 'sum by (cohort) (rate(x_total[1m]))'
  min_total: 5
per: [cohort]
"""
OF_TWO = RATIO.replace("x_total{", "y_total{")
TRIGGERS: list[tuple[str, list[str]]] = [
    (RATIO, []),
    (RATIO.replace("  min_total: 5\n", ""), ["no-traffic-floor"]),
    (RATIO.replace("min_total: 5", "min_total: 0"), ["no-traffic-floor"]),
    (RATIO + 'breach: "> 1"', ["breach-out-of-reach"]),
    (RATIO + 'breach: ">= 1"', []),
    (RATIO + 'breach: ">= 0"', ["breach-out-of-reach"]),
    (RATIO + 'breach: "> -0.1"', ["breach-out-of-reach"]),
    (RATIO + 'breach: "< -0.1"', ["breach-out-of-reach"]),
    (RATIO + "recovered: {expr: 'sum by (cohort) (queue)', breach: '> 1'}", []),
    (RATIO + 'breach: "<= 1"', ["breach-out-of-reach"]),
    (RATIO + 'breach: "< 0"', ["breach-out-of-reach"]),
    (RATIO + 'breach: "< 0.1"', []),
    (RATIO + 'breach: "== 0.1"', ["float-equality"]),
    (RATIO + 'breach: "== 0"', []),
    (OF_TWO + 'breach: "> 2"', []),
    (RATIO.replace("total: 'sum", "total: 'sum by (cohort) (queue) + sum") + 'breach: "> 2"', []),
    (RATIO.replace("errors: 'sum", "errors: '100 * sum") + 'breach: "> 2"', []),
    (RATIO.replace("[1m]))'\n  total", "[1m])) / 0.01'\n  total") + 'breach: "> 2"', []),
    (RATIO.replace('(rate(x_total{code=~"5.."}[1m]))', "(bad_jobs > 3)"), ["instant-selector"]),
    (PLAIN + 'breach: "== 3"', ["float-equality"]),
    (PLAIN + 'breach: "== 0"', []),
    ('expr: "sum(up)"\nbreach: "== 3"', []),
    ('expr: "sum(used) / sum(hard)"\nbreach: "== 1"', []),
    ('expr: "avg(used)"\nbreach: "!= 1"', ["float-equality"]),
    ('expr: "sum(up)"\nbreach: "== 0.5"', ["float-equality"]),
    (PLAIN + "windows: 1", ["windows-within-range"]),
    ('expr: "sum(up)"\nwindows: 1', ["one-sample"]),
    ('expr: "sum(up)"\nfor: 15s\n'.replace("windows", ""), ["one-sample"]),
    (PLAIN + "no_data: breach", []),
    (RATIO + "no_data: breach", ["no-data-breach-per"]),
    ('expr: "sum by (cohort) (rate(x_total[1m])) or sum by (cohort) (y)"\nper: [cohort]', []),
    ('expr: "sum by (cohort) (rate(x_total[1m])) or sum(y)"\nper: [cohort]', ["or-drops-per"]),
    ('expr: "sum by (cohort) (rate(x_total[1m])) or y"\nper: [cohort]', ["unaggregated"]),
    ('expr: "sum by (a) (x) / on (b) sum by (a, b) (y)"\nper: [a]', ["per-not-kept"]),
    ('expr: "sum by (a) (x) / ignoring (b) sum by (a, b) (y)"\nper: [a]', []),
    ('expr: "sum by (a) (x) * on (a) group_left (c) sum by (a, c) (y)"\nper: [a]', []),
    ('expr: "pg_up"\nper: [instance]', []),
    ('expr: "pg_up"\nper: [datname]', ["unaggregated"]),
    (PLAIN + "recovered: {expr: 'irate(sum(x)[5m:])', breach: '> 1'}", ["irate", "rate-of-sum"]),
    (PLAIN + "traffic: {expr: 'sum(jobs offset 1w)', at_least: 1}\n", []),
    (PLAIN + "traffic: {expr: 'jobs', at_least: 1}\n", ["instant-selector", "unaggregated"]),
    (PLAIN + "traffic: {expr: 'jobs', at_least: 1}\ncoverage: 'max(timestamp(jobs))'", ["unaggregated"]),
]


COMPOSED = """\
all:
  - expr: "sum by (cohort) (rate(x_total[1m]))"
    breach: "== 2.5"
  - any:
      - {expr: "sum by (cohort) (irate(x_total[1m]))", breach: "> 1"}
      - {expr: "sum by (cohort) (queue)", breach: "> 1", no_data: breach}
per: [cohort]
"""


def test_of_a_composed_condition_each_part_is_looked_at(tmp_path: Path) -> None:
    checked = examine([lay(tmp_path, entry(COMPOSED))], TODAY)
    assert [(problem.line, problem.key, problem.lint) for problem in checked.problems] == [
        (8, "breach", "float-equality"),
        (10, "expr", "irate"),
        (11, "no_data", "no-data-breach-per"),
    ]


@pytest.mark.parametrize(("keys", "expected"), TRIGGERS)
def test_triggers(keys: str, expected: list[str], tmp_path: Path) -> None:
    if "for:" in keys:
        head, text = HEAD, entry(keys).replace("        windows: 30\n", "")
        assert lints(examine([lay(tmp_path, text, head=head)], TODAY)) == expected
    else:
        assert sorted(found(tmp_path, keys)) == sorted(expected)


@pytest.mark.parametrize(
    ("keys", "plan", "expected"),
    [
        ("severity: critical\narm: always", PLAN, ["undoes-the-undo"]),
        ("severity: high\narm: always", PLAN, ["undoes-the-undo"]),
        ("action: auto\narm: always", PLAN, ["undoes-the-undo"]),
        ("action: auto\narm: always", PLAN + RELEASE, []),
        ("action: auto\narm: rollout", PLAN, []),
        ("severity: critical\naction: ask\narm: always", PLAN, []),
        ("severity: medium\narm: always", PLAN, []),
    ],
)
def test_what_may_act(keys: str, plan: str, expected: list[str], tmp_path: Path) -> None:
    assert found(tmp_path, PLAIN + keys, plan=plan) == expected


def test_an_instance_that_only_asks_undoes_nothing(tmp_path: Path) -> None:
    main = lay(tmp_path, entry(PLAIN + "severity: critical\narm: always"))
    main.write_text(main.read_text() + "max_action: ask\n")
    assert lints(examine([main], TODAY)) == []


def test_a_file_alone_knows_nothing_of_the_plan(tmp_path: Path) -> None:
    lay(tmp_path, entry(PLAIN + "severity: critical\narm: always"))
    assert lints(examine([tmp_path / "triggers/api.yml"], TODAY)) == []


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("", ["shadow-undated"]),
        (" # rollbackd: shadow since 2026-10-22", []),
        (" # rollbackd: shadow since 2026-10-21", ["shadow-too-long"]),
        (" # rollbackd: shadow since 2026-10-21 as agreed", ["shadow-too-long"]),
        (" # rollbackd: shadow since 2026-13-01", ["disable-malformed", "shadow-undated"]),
    ],
)
def test_how_long_in_shadow(comment: str, expected: list[str], tmp_path: Path) -> None:
    assert sorted(found(tmp_path, f"{PLAIN}action: shadow{comment}")) == expected


def test_who_is_tested(tmp_path: Path) -> None:
    main = lay(tmp_path, entry(PLAIN), entry(f"trigger: V\n{PLAIN}"))
    [problem] = examine([main], TODAY).problems
    assert (problem.lint, problem.what) == ("untested", "no test names V")
    tests = tmp_path / "triggers/api.test.yml"
    tests.write_text("tests: [{trigger: V}, nonsense, {trigger: 3}]\n")
    assert [problem.what for problem in examine([main], TODAY).problems] == ["no test names T"]
    tests.write_text("tests: [{trigger: T}]\nmore: [")
    assert lints(examine([main], TODAY)) == ["untested", "untested"]
    tests.unlink()
    assert all(problem.what.endswith("beside this file") for problem in examine([main], TODAY).problems)


def test_a_finding_stands_where_it_is_and_says_what_to_do(tmp_path: Path) -> None:
    main = lay(tmp_path, entry(PLAIN), entry('trigger: U\nexpr:\n  "sum(irate(x_total[1m]))"'))
    [problem] = examine([main], TODAY).problems
    assert str(problem) == (
        f"{tmp_path}/triggers/api.yml:14:11: expr: irate() reads the last two samples alone; write rate()"
    )


def test_what_cannot_be_used_is_not_linted(tmp_path: Path) -> None:
    main = lay(tmp_path, entry(PLAIN + "windows: 0"), entry('trigger: U\nexpr: "irate(sum("'))
    assert all(problem.severity == "error" for problem in examine([main], TODAY).problems)


def test_without_a_day_nothing_is_linted(tmp_path: Path) -> None:
    assert lints(examine([lay(tmp_path, entry('expr: "irate(x_total[1m])"'))])) == []
