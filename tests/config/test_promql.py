"""What is read from an expression: type, longest range, decisive selectors (W14), labels (W3)."""

from __future__ import annotations

import promql_parser
import pytest

from rollbackd.config.promql import MOST_SELECTORS, analyse, coverage, scraped


@pytest.mark.parametrize(
    ("expression", "queries"),
    [
        ("up", ["max by (a) (timestamp(up))"]),
        ('rate(x{code=~"5.."}[1m])', ['max by (a) (timestamp(x{code=~"5.."}))']),
        ("sum(rate(x[1m])) / sum(rate(y[1m]))", ["max by (a) (timestamp(x))", "max by (a) (timestamp(y))"]),
        ("x - x", ["max by (a) (timestamp(x))"]),
        ("x offset 5m", []),
        ("x - x offset 1d", ["max by (a) (timestamp(x))"]),
        ("x @ end()", []),
        ("rate(x[5m] offset 1m)", []),
        ("max_over_time(rate(x[1m])[10m:])", ["max by (a) (timestamp(x))"]),
        ("max_over_time(rate(x[1m])[10m:] offset 1h)", []),
        ('absent(up{job="x"})', []),
        ("sum(rate(e[1m])) or vector(0)", []),
        ("(sum(rate(e[1m])) or vector(0)) / sum(rate(t[1m]))", ["max by (a) (timestamp(t))"]),
        ("x unless y", ["max by (a) (timestamp(x))"]),
        ("time() - z", ["max by (a) (timestamp(z))"]),
        ("vector(1)", []),
        ('{__name__="x",b!="c"}', ['max by (a) (timestamp({__name__="x",b!="c"}))']),
    ],
)
def test_coverage(expression: str, queries: list[str]) -> None:
    assert list(coverage(analyse(expression), ("a",))) == queries


def test_coverage_without_subjects() -> None:
    assert coverage(analyse("up"), ()) == ("max(timestamp(up))",)


@pytest.mark.parametrize(
    ("expressions", "selectors"),
    [
        (["up"], "up"),
        (["rate(e[1m]) / rate(t[1m])", 'sum(rate(e{a="b"}[5m]))', "t"], 'e or t or e{a="b"}'),
        (["x offset 5m"], None),
        (["vector(1)", "time()"], None),
        ([f'x{{n="{n}",job="a"}}' for n in range(MOST_SELECTORS + 1)], 'x{job="a"}'),
        ([f'x{{n="{n}"}}' for n in range(MOST_SELECTORS + 1)], "x"),
        ([f'{{n="{n}"}}' for n in range(MOST_SELECTORS + 1)], None),
        ([f"x{n}" for n in range(MOST_SELECTORS + 1)], None),
    ],
)
def test_the_targets_behind_expressions(expressions: list[str], selectors: str | None) -> None:
    expected = None
    if selectors is not None:
        behind = f"and on (job, instance) ({selectors})"
        expected = (f"timestamp(up) {behind}", f"scrape_duration_seconds {behind}")
        for query in expected:
            promql_parser.parse(query)
    assert scraped(map(analyse, expressions)) == expected


@pytest.mark.parametrize("value", ['"', "\\", "\n", "\t", 'a"b\\n', "é", "$1", "{}"])
def test_a_selector_keeps_its_label_values(value: str) -> None:
    text = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    [query] = coverage(analyse(f'x{{a="{text}"}}'), ())
    found: list[str] = []

    def visit(node: object) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.extend(matcher.value for matcher in node.matchers.matchers)

    promql_parser.walk(promql_parser.parse(query), visit)
    assert found == [value]


@pytest.mark.parametrize(
    ("expression", "longest"),
    [
        ("up", 0),
        ("rate(x[1m])", 60_000),
        ("rate(x[1m]) / rate(y[5m])", 300_000),
        ("max_over_time(rate(x[1m])[10m:30s])", 660_000),
        ("rate(x[500ms])", 500),
        ("time()", 0),
    ],
)
def test_longest_range(expression: str, longest: int) -> None:
    assert analyse(expression).longest_range == longest


@pytest.mark.parametrize(
    ("expression", "labels"),
    [
        ("x", None),
        ("sum(x)", set()),
        ("sum by (a, b) (x)", {"a", "b"}),
        ("sum without (a) (x)", None),
        ("100 * sum by (a) (x)", {"a"}),
        ("sum by (a) (x) / sum by (a) (y)", {"a"}),
        ("sum by (a) (x) / on (a) group_left (c) y", None),
        ("sum by (a) (x) or vector(0)", {"a"}),
        ("sum by (a) (x) > 1", {"a"}),
        ("topk(5, sum by (a) (x))", {"a"}),
        ("abs(sum by (a) (x))", {"a"}),
        ("max_over_time(sum by (a) (x)[5m:])", {"a"}),
        ('label_replace(sum(x), "a", "b", "", "")', None),
        ("histogram_quantile(0.9, sum by (le) (x))", set()),
        ("histogram_quantile(0.9, sum by (a, le) (x))", {"a"}),
        ("histogram_quantile(0.9, x)", None),
        ("scalar(x)", set()),
    ],
)
def test_labels(expression: str, labels: set[str] | None) -> None:
    assert analyse(expression).labels == labels


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "   ",
        "sum(",
        "x[",
        "rate(x)",
        "1 == 2",
        'x{a=~"["}',
        "{}",
        "-" * 5000 + "x",
        "(" * 5000,
        "x+" * 5000 + "x",
        "x\0",
    ],
)
def test_nonsense_is_one_line(expression: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]{1,200}\Z"):
        analyse(expression)
