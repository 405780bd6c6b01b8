"""Which triggers are asked at once (W11): whitelisted shapes and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.fakes import made

from rollbackd.config import load
from rollbackd.config.families import choices, families
from rollbackd.config.promql import analyse
from rollbackd.core.model import Condition, Limit, Opened, Trigger, composed

SHAPES = [
    ('sum(rate(x{service="a"}[1m]))', 'sum by (service) (rate(x{service=~"VALUES"}[60000ms]))'),
    (
        'max by (cohort) (timestamp(x{service="a"}))',
        'max by (cohort, service) (timestamp(x{service=~"VALUES"}))',
    ),
    ('sum by (service) (x{service="a"})', 'sum by (service) (x{service=~"VALUES"})'),
    (
        'count(x{code!~"5\\\\..",service="a",zone!="b\\"c"})',
        'count by (service) (x{code!~"5\\\\..",service=~"VALUES",zone!="b\\"c"})',
    ),
    (
        'avg(avg_over_time({__name__="x",service="a"}[1h]))',
        'avg by (service) (avg_over_time({__name__="x",service=~"VALUES"}[3600000ms]))',
    ),
]

NOT_SHAPES = [
    "sum(x)",
    'sum(x{service=""})',
    'sum(x{service!="a"})',
    'sum(x{service=~"a"})',
    'sum(x{service="a",service="b"})',
    'sum(x{service="a",service!="b"})',
    'sum(x{service="a" or service="b"})',
    'sum({__name__="a"})',
    'sum({"utf.8"="a",service="b"})',
    'x{service="a"}',
    'rate(x{service="a"}[1m])',
    'topk(1, x{service="a"})',
    'quantile(0.5, x{service="a"})',
    'stddev(x{service="a"})',
    'sum without (zone) (x{service="a"})',
    'sum by ("utf.8") (x{service="a"})',
    'sum(x{service="a"} offset 5m)',
    'sum(rate(x{service="a"}[1m] offset 5m))',
    'sum(x{service="a"} @ end())',
    'sum(rate(x{service="a"}[1m])) * 2',
    'sum(x{service="a"}) / sum(y{service="a"})',
    'sum(absent(x{service="a"}))',
    'sum(absent_over_time(x{service="a"}[1m]))',
    'sum(quantile_over_time(0.5, x{service="a"}[1m]))',
    'sum(predict_linear(x{service="a"}[1m], 60))',
    'sum(max_over_time(rate(x{service="a"}[1m])[5m:]))',
    'sum(timestamp(sum(x{service="a"})))',
    'sum(abs(x{service="a"}))',
    'sum(label_replace(x{service="a"}, "service", "b", "", ""))',
    'sum(sum(x{service="a"}))',
    "1",
]


@pytest.mark.parametrize(("alone", "whole"), SHAPES)
def test_a_shape_that_can_be_asked_at_once(alone: str, whole: str) -> None:
    (choice,) = choices(alone)
    assert (choice.label, choice.value) == ("service", "a")
    assert f"{choice.head}VALUES{choice.tail}" == whole
    labels = analyse(alone).labels
    assert labels is not None
    assert analyse(whole).labels == labels | {"service"}
    assert analyse(whole).longest_range == analyse(alone).longest_range


@pytest.mark.parametrize("expr", NOT_SHAPES)
def test_everything_else_is_asked_alone(expr: str) -> None:
    assert choices(expr) == []


def asking(name: str, service: str, text: str = 'sum(x{{service="{}"}})', **changes: Any) -> Trigger:
    condition = Condition(
        text.format(service), Limit(">", 1), coverage=(f'max(timestamp(x{{service="{service}"}}))',)
    )
    return made.trigger(name, condition=condition, **changes)


def test_a_family_is_a_group_that_differs_in_one_value() -> None:
    (family,) = families(
        [
            asking("one", "a"),
            asking("two", "b"),
            asking("again", "b", windows=9, plan="web", no_data="breach"),
            asking("longer", "c", 'sum(rate(x{{service="{}"}}[1m]))'),
            asking("grouped", "c", group="other"),
            asking("delayed", "c", delay=1_000),
            asking("slower", "c", interval=20_000),
            asking("split", "c", 'sum by (zone) (x{{service="{}"}})', per=("zone",)),
            asking("own", "c", 'sum by (service) (x{{service="{}"}})', per=("service",)),
            made.trigger("simple"),
        ]
    )
    assert family.members == {"one": "a", "two": "b", "again": "b"}
    assert family.label == "service"
    assert family.queries == (
        Opened('sum by (service) (x{service=~"', '"})'),
        Opened('max by (service) (timestamp(x{service=~"', '"}))'),
    )


def test_composed_conditions_are_a_family_where_all_their_queries_are() -> None:
    """However each of them puts the answers together: that is not asked of Prometheus."""

    def leaves(one: str, other: str) -> list[Condition]:
        texts = f'sum(x{{service="{one}"}})', f'max(y{{service="{other}"}})'
        return [Condition(text, Limit(">", 1)) for text in texts]

    (family,) = families(
        [
            made.trigger("both", condition=composed("all", leaves("a", "a"))),
            made.trigger("either", condition=composed("any", leaves("b", "b"))),
            made.trigger("nested", condition=composed("any", [composed("all", leaves("c", "c"))])),
            made.trigger("mixed", condition=composed("all", leaves("a", "b"))),
            made.trigger("one", condition=leaves("d", "d")[0]),
        ]
    )
    assert family.members == {"both": "a", "either": "b", "nested": "c"}
    assert [opened.head for opened in family.queries] == [
        'sum by (service) (x{service=~"',
        'max by (service) (y{service=~"',
    ]


def test_all_queries_of_a_window_name_the_same_value() -> None:
    other = Condition('sum(x{service="c"})', Limit(">", 1), coverage=('max(timestamp(x{service="d"}))',))
    (family,) = families([asking("one", "a"), asking("two", "b"), made.trigger("other", condition=other)])
    assert "other" not in family.members


def test_of_several_labels_the_one_that_most_leave_open() -> None:
    both = 'sum(x{{zone="z",service="{}"}})'
    conditions = [Condition(both.format(service), Limit(">", 1)) for service in "abc"]
    zones = Condition('sum(x{zone="y",service="a"})', Limit(">", 1))
    triggers = [made.trigger(f"t{index}", condition=each) for index, each in enumerate([*conditions, zones])]
    (family,) = families(triggers)
    assert family.label == "service"
    assert family.members == {"t0": "a", "t1": "b", "t2": "c"}


MAIN = """\
version: rollbackd/v1
instance: test
prometheus: {urls: ["http://127.0.0.1:9090"]}
triggers: [triggers.yml]
receivers: [{name: hook, webhook: {url: "http://127.0.0.1:9/hook"}}]
"""
GROUP = """\
version: rollbackd/v1
groups:
  - name: g
    interval: 10s
    triggers:
"""
RATIO = """\
      - trigger: T{n}
        category: metric
        severity: high
        ratio:
          errors: 'sum(rate(requests{{service="{n}",code=~"5.."}}[1m]))'
          total: 'sum(rate(requests{{service="{n}"}}[1m]))'
        breach: "> 0.01"
        windows: 9
        plan: api
"""
PLAN = """\
version: rollbackd/v1
plan: api
owner: oncall
level: 2
services: [api]
summary: Back to the previous version
phases: [{phase: revert, steps: [{step: go, run: ["true"], timeout: 1m}]}]
verification: [{check: well, expr: "up", pass: "> 0"}]
"""


def test_ratios_of_files_with_what_covers_them(tmp_path: Path) -> None:
    (tmp_path / "rollbackd.yml").write_text(MAIN)
    (tmp_path / "triggers.yml").write_text(GROUP + "".join(RATIO.format(n=n) for n in ("a", "b")))
    (tmp_path / "plans" / "api").mkdir(parents=True)
    (tmp_path / "plans" / "api" / "plan.yml").write_text(PLAN)
    (family,) = load(tmp_path / "rollbackd.yml").core.families
    assert family.members == {"Ta": "a", "Tb": "b"}
    assert [f"{query.head}…{query.tail}" for query in family.queries] == [
        'sum by (service) (rate(requests{service=~"…",code=~"5.."}[60000ms]))',
        'sum by (service) (rate(requests{service=~"…"}[60000ms]))',
        'max by (service) (timestamp(requests{service=~"…"}))',
    ]
