"""The demo's parts, each by itself: the release with a bug, the balance, the simulated source, the view."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from rollbackd.config.promql import analyse, coverage
from rollbackd.demo.load import Answer, Tally
from rollbackd.demo.proxy import Balance, Cohort
from rollbackd.demo.scene import Scene, percent, strip
from rollbackd.demo.service import Release
from rollbackd.demo.simulated import Scrape, Store, Unsupported, read
from rollbackd.demo.view import Told, sla, steps

PAGE = """\
# TYPE demo_requests_total counter
demo_requests_total{{cohort="stable",code="200"}} {0}
demo_requests_total{{cohort="canary",code="200"}} {1}
demo_requests_total{{cohort="canary",code="500"}} {2}
# TYPE demo_weight gauge
demo_weight{{cohort="canary"}} 50
"""


def test_the_bug_shows_after_a_while_and_hits_exactly_its_share() -> None:
    release = Release("1.5.0", after=200, share=0.3)
    failed = [release.fails() for _ in range(1200)]
    assert sum(failed[:200]) == 0
    assert sum(failed[200:]) == 300
    assert not any(Release("1.4.2").fails() for _ in range(500))


@pytest.mark.parametrize(
    ("weights", "of_100"),
    [
        ({"stable": 50, "canary": 50}, (50, 50)),
        ({"stable": 50, "canary": 0}, (100, 0)),
        ({"stable": 3, "canary": 1}, (75, 25)),
    ],
)
def test_every_cohort_gets_exactly_its_share(weights: dict[str, int], of_100: tuple[int, int]) -> None:
    balance = Balance({name: Cohort(name, weight) for name, weight in weights.items()})
    seen = Counter(cohort.name for _ in range(100) if (cohort := balance.next()) is not None)
    assert (seen["stable"], seen["canary"]) == of_100


def test_a_changed_weight_holds_from_the_next_request() -> None:
    balance = Balance({"stable": Cohort("stable", 50), "canary": Cohort("canary", 50)})
    balance.next()
    balance.weigh("canary", 0)
    assert {cohort.name for _ in range(20) if (cohort := balance.next()) is not None} == {"stable"}
    balance.weigh("stable", 0)
    assert balance.next() is None


def store() -> Store:
    """Scrapes at 1, 2, … 10 s: 20 requests a second, half of them to the canary, of which 3 fail."""
    found = Store()
    for second in range(1, 11):
        found.add(Scrape(float(second), read(PAGE.format(10 * second, 7 * second, 3 * second))))
    return found


@pytest.mark.parametrize(
    ("expr", "value"),
    [
        ("time()", 10.5),
        ('sum by (cohort) (rate(demo_requests_total{code=~"5.."}[4s]))', {(("cohort", "canary"),): 3.0}),
        ('sum(rate(demo_requests_total{code=~"5.."}[4s])) / sum(rate(demo_requests_total[4s]))', {(): 0.15}),
        ('max(demo_weight{cohort="canary"})', {(): 50.0}),
        ('demo_weight{cohort!="canary"}', {}),
        ('max by (cohort) (timestamp(demo_requests_total{code="500"}))', {(("cohort", "canary"),): 10.0}),
        ("2 * (1 + sum(demo_weight))", {(): 102.0}),
    ],
)
def test_the_simulated_source_answers_as_prometheus_would(expr: str, value: object) -> None:
    assert store().value(expr, 10.5) == pytest.approx(value)


def test_a_counter_that_fell_began_anew() -> None:
    found = Store()
    for at, value in ((1, 100), (2, 110), (3, 5)):
        found.add(Scrape(float(at), read(PAGE.format(value, 0, 0))))
    assert found.value('sum(rate(demo_requests_total{cohort="stable"}[4s]))', 3.0) == {(): 7.5}


@pytest.mark.parametrize(
    "expr", ["demo_weight or vector(0)", "histogram_quantile(0.9, x)", "avg(x)", "x[5m]"]
)
def test_what_is_not_simulated_is_said(expr: str) -> None:
    with pytest.raises(Unsupported):
        store().value(expr, 10.0)


def test_the_simulated_source_answers_every_expression_that_is_shipped() -> None:
    for expr in shipped_expressions():
        store().value(expr, 10.0)


def shipped_expressions() -> list[str]:
    """Of the demo's trigger and plan, the coverage queries included."""
    import yaml

    root = Path(__file__).parents[2]
    trigger = yaml.safe_load((root / "triggers/demo.yml").read_text())["groups"][0]["triggers"][0]
    plan = yaml.safe_load((root / "plans/demo/plan.yml").read_text())
    found = [trigger["ratio"]["errors"], trigger["ratio"]["total"]]
    found += coverage(analyse(trigger["ratio"]["total"]), tuple(trigger["per"]))
    checks = [*plan["safety_checks"], *plan["verification"]]
    checks += [step.get("verify", {}) for phase in plan["phases"] for step in phase["steps"]]
    found += [check["expr"] for check in checks if "expr" in check]
    assert len(found) == 6
    return found


def test_the_tally_looks_back_a_few_seconds() -> None:
    tally = Tally()
    for second in range(10):
        tally.add(Answer(float(second), "canary", error=second < 8))
    assert (tally.total, tally.errors) == (10, 8)
    assert tally.ratio("canary") == 0.5
    assert tally.ratio("stable") is None


LIFE = {
    "decided": "2026-01-01T00:00:00.000Z",
    "verified": "2026-01-01T00:00:30.000Z",
    "ended": None,
    "sla": {"seconds": 120.0, "target_seconds": 45.0},
    "steps": [
        {
            "phase": "revert",
            "step": "previous-release",
            "state": "done",
            "began": "2026-01-01T00:00:01.000Z",
            "ended": "2026-01-01T00:00:02.500Z",
        },
        {"phase": "quarantine", "step": "mark-bad", "state": "to_come", "began": None, "ended": None},
    ],
    "timeline": [
        {"kind": "life_opened", "text": "decided"},
        {"kind": "page_promised", "text": "tell to terminal"},
        {"kind": "rollback_began", "text": "began"},
    ],
}


def test_what_is_shown_of_a_rollback() -> None:
    assert sla(LIFE) == "SLA █████░░░░░░░░░░░░░░░ 30 s of 120 s (target 45 s)"
    assert list(steps(LIFE)) == [
        "✓ revert         previous-release done         1.5 s",
        "· quarantine     mark-bad         to come    ",
    ]
    told, scene = Told(), Scene(life=LIFE)
    assert list(told.new(scene)) == ["decided", "began"]
    assert list(told.new(scene)) == []
    assert strip(["ok", "breach", "no_data", "low_traffic", "unknown"]) == ".X_-?"
    assert (percent(None), percent(0.304)) == ("-", "30%")
