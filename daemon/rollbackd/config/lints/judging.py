"""Lints of how readings are judged: thresholds, windows, missing data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.config.lints.lint import Finding, Lint
from rollbackd.config.lints.samples import SLOPES
from rollbackd.config.lints.tree import Node, nodes, selectors, tree
from rollbackd.config.lints.vectors import narrower, quotients, top
from rollbackd.config.models.triggers import PartModel
from rollbackd.config.promql import analyse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.config.lints.lint import Watched
    from rollbackd.config.models.triggers import ConditionModel, RatioModel


def _no_traffic_floor(watched: Watched) -> Iterator[Finding]:
    for loc, leaf in watched.leaves:
        if leaf.ratio is not None and leaf.ratio.min_total <= 0:
            what = "has no `min_total`: one failure among one request is 100 %"
            yield Finding((*loc, "ratio"), what, "say from how much total on a window counts")
        elif leaf.expr is not None and leaf.traffic is None:
            reading = _thin(tree(leaf.expr).root)
            if reading:
                yield Finding((*loc, "expr"), f"{reading}, and there is no `traffic`")


def _thin(root: Node) -> str:
    """What the reading is, where it may be made of hardly anything."""
    divisors = [quotient.inside[1] for quotient in quotients(root)]
    if any(_is_flow(divisor) and divisor.name != "clamp_min" for divisor in divisors):
        return "divides by a rate, which may be next to nothing"
    if any(node.kind == "call" and node.name == "histogram_quantile" for node in top(root)):
        return "is a quantile, perhaps of a handful of requests"
    return ""


def _is_flow(node: Node) -> bool:
    """Whether it is made of rates of what may cease. (Seconds of processors never do.)"""
    return any(
        inner.kind == "call"
        and inner.name in SLOPES
        and not all(each.name.endswith("_seconds_total") for each in selectors(inner))
        for inner in nodes(node)
    )


def _breach_out_of_reach(watched: Watched) -> Iterator[Finding]:
    for loc, leaf in watched.leaves:
        if leaf.breach is None or leaf.ratio is None or not _is_share(leaf.ratio):
            continue
        op, value = leaf.breach.op, leaf.breach.value
        never = (op == ">" and value >= 1) or (op == ">=" and value > 1) or (op, value) == ("<", 0)
        never = never or (op in ("<", "<=") and value < 0)
        always = (op == ">=" and value <= 0) or (op == ">" and value < 0)
        always = always or (op == "<=" and value >= 1) or (op == "<" and value > 1)
        if never or always:
            holds = "never" if never else "always"
            yield Finding((*loc, "breach"), f"a share lies between 0 and 1, so this {holds} holds")


def _is_share(ratio: RatioModel) -> bool:
    """Whether the errors are certainly a part of the total: the same metric, matched more narrowly."""
    parts, whole = list(selectors(tree(ratio.errors).root)), list(selectors(tree(ratio.total).root))
    counted = any(node.kind == "binary" for node in nodes(tree(ratio.errors).root))
    if len(parts) != 1 or len(whole) != 1 or counted:
        return False
    return bool(narrower(parts[0], whole[0]))


def _float_equality(watched: Watched) -> Iterator[Finding]:
    for loc, leaf in watched.leaves:
        if leaf.breach is None:
            continue
        op, value = leaf.breach.op, leaf.breach.value
        if op in ("==", "!=") and (value != round(value) or (value != 0 and _is_computed(leaf))):
            yield Finding((*loc, "breach"), f"`{leaf.breach}` of a number that is computed")


def _is_computed(leaf: ConditionModel) -> bool:
    if leaf.ratio is not None:
        return True
    for node in nodes(tree(leaf.expr or "").root):
        if node.kind == "call" and node.name in (*SLOPES, "avg_over_time", "histogram_quantile"):
            return True
        if node.kind == "aggregate" and node.name in ("avg", "quantile", "stddev", "stdvar"):
            return True
    return False


def _one_sample(watched: Watched) -> Iterator[Finding]:
    """Its sibling with a range is `windows-within-range`."""
    model = watched.read.model
    composed = bool(watched.leaves) and watched.leaves[0][1] is not model
    if watched.trigger.windows == 1 and not composed:
        texts = [model.expr] if model.ratio is None else [model.ratio.errors, model.ratio.total]
        if not any(analyse(text).longest_range for text in texts if text is not None):
            key = "windows" if model.windows is not None else "for"
            yield Finding((*watched.read.loc, key), "1 window of what one scrape said")


def _no_data_breach_per(watched: Watched) -> Iterator[Finding]:
    model, loc = watched.read.model, watched.read.loc
    if not model.per:
        return
    subject = f"{{{', '.join(model.per)}}}"
    places = [loc] if model.no_data == "breach" else []
    places += [at for at, leaf in watched.leaves if leaf is not model and _own_no_data(leaf) == "breach"]
    for place in places:
        yield Finding((*place, "no_data"), f"breach, for each {subject}: one that is finished breaches, too")


def _own_no_data(leaf: ConditionModel) -> str | None:
    return leaf.no_data if isinstance(leaf, PartModel) else None


LINTS = (
    Lint(
        "no-traffic-floor",
        "a quotient or a quantile of however little traffic",
        "At 3 a.m. there are four requests a minute, one fails, and the ratio is 25 %; a p99 of four requests"
        " is the slowest of them. Below a floor a window is low_traffic, and decides nothing.",
        "add `traffic: {expr: …, at_least: …}`",
        "W2",
        bad="ratio:\n  errors: 'sum(rate(http_requests_total{code=~\"5..\"}[1m]))'\n"
        '  total: "sum(rate(http_requests_total[1m]))"\nbreach: "> 0.01"',
        good="ratio:\n  errors: 'sum(rate(http_requests_total{code=~\"5..\"}[1m]))'\n"
        '  total: "sum(rate(http_requests_total[1m]))"\n  min_total: 5\nbreach: "> 0.01"',
        find=_no_traffic_floor,
    ),
    Lint(
        "breach-out-of-reach",
        "a threshold that a share never, or always, passes",
        "Errors divided by the total lie between 0 and 1. A percentage written as `> 5` never fires, and"
        " nobody learns of it before the night on which it should have.",
        "write a share: 5 % is 0.05",
        bad="ratio:\n  errors: 'sum(rate(http_requests_total{code=~\"5..\"}[1m]))'\n"
        '  total: "sum(rate(http_requests_total[1m]))"\n  min_total: 5\nbreach: "> 5"',
        good="ratio:\n  errors: 'sum(rate(http_requests_total{code=~\"5..\"}[1m]))'\n"
        '  total: "sum(rate(http_requests_total[1m]))"\n  min_total: 5\nbreach: "> 0.05"',
        find=_breach_out_of_reach,
    ),
    Lint(
        "float-equality",
        "equality with a number that is computed",
        "Rates are extrapolated and quotients rounded: increase() says 2.98 where three were counted, so"
        ' `"== 3"` never holds, and `"!= 3"` always.',
        "write a threshold: > or <",
        bad='expr: "sum(increase(jobs_failed_total[1m]))"\nbreach: "== 3"',
        good='expr: "sum(increase(jobs_failed_total[1m]))"\nbreach: "> 2.5"',
        find=_float_equality,
    ),
    Lint(
        "one-sample",
        "a trigger that fires on what a single scrape said",
        "One reading in the middle of a restart, one exporter that answers half, and production is rolled"
        " back. Two windows cost one interval.",
        "ask for two windows or more",
        "W12",
        bad='expr: "max(queue_age_seconds)"\nwindows: 1',
        good='expr: "max(queue_age_seconds)"\nwindows: 4',
        find=_one_sample,
    ),
    Lint(
        "windows-within-range",
        "windows that together cover no more than the longest range",
        "Windows sample an expression, and one sample stays in its range for the whole of it: one bad scrape"
        " can breach every window of the streak.",
        "ask for more windows, or a shorter range",
        "W12",
        bad='expr: "sum(rate(http_errors_total[5m]))"\nwindows: 8',
        good='expr: "sum(rate(http_errors_total[1m]))"\nwindows: 8',
    ),
    Lint(
        "no-data-breach-per",
        "missing data is a breach, for each subject",
        "A canary that was promoted, a pod that was replaced, a version that nobody uses any more: its series"
        " end, or divide by zero, and the finished subject fires.",
        "write `no_data: keep`, and watch for silence with a trigger without `per`",
        "W5",
        bad='expr: "sum by (cohort) (rate(http_requests_total[1m]))"\n'
        'breach: "< 1"\nper: [cohort]\nno_data: breach',
        good='expr: "sum by (cohort) (rate(http_requests_total[1m]))"\nbreach: "< 1"\nper: [cohort]',
        find=_no_data_breach_per,
    ),
    Lint(
        "nothing-to-align-by",
        "`align: auto` of a group that reads nothing that is scraped",
        "Where windows should end is learned from when targets are scraped; of these expressions no target is"
        " known, or too many kinds of them, so windows stay where they are.",
        "leave it out",
        "W1",
    ),
)
