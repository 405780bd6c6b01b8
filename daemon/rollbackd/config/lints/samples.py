"""Lints of what an expression reads: which samples, over which range, by which function."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rollbackd.config.lints.lint import Lint, in_expressions
from rollbackd.config.lints.tree import COMPARISONS, Node, Place, nodes, selectors, tree
from rollbackd.config.promql import analyse
from rollbackd.core.notation import span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.config.lints.lint import Asked
    from rollbackd.config.models.triggers import ConditionModel

SLOPES = ("rate", "irate", "increase", "delta", "idelta", "deriv", "predict_linear")
"""Functions that need two samples in their range."""

_COUNTER = re.compile(r".*_(total|bucket)\Z")
_INFO = re.compile(r".*_(info|labels|created)\Z")
_OUTCOME = re.compile(r"(?:.*_)?(?:code|status)(?:_code)?\Z")
_SHORT_CODES = re.compile(r"\(?[0-9]{1,2}(?:\|[0-9]{1,2})*\)?\Z")
_ALL = frozenset([".*", "^.*$", "^.*", ".*$", "(.*)"])


def _named(node: Node) -> str:
    return f"`{node.name}`" if node.name else "a selector without a name"


def _instant_selector(asked: Asked) -> Iterator[str]:
    bare = [place.node for place in asked.tree.of("selector") if _is_bare(place)]
    judged = _judged(asked.condition) if bare and asked.condition.coverage is None else set()
    for node in bare if judged else ():  # where the age of nothing is looked at: see `age-unseen`
        if node.name not in judged:
            yield f"{_named(node)} is read bare, and its age is not looked at"


def _is_bare(place: Place) -> bool:
    if ":" in place.node.name or place.moved or _INFO.match(place.node.name):
        return False
    excluding = any(each.name == "unless" and index == 1 for each, index in place.above)
    return not excluding and not place.within("range") and not place.within("call", "absent", "timestamp")


def _judged(condition: ConditionModel) -> set[str]:
    """The metrics whose samples' age is looked at (W14)."""
    deciding = condition.ratio.total if condition.ratio is not None else condition.expr
    return {tree(text).root.name for text in analyse(deciding or "").selectors}


def _range_too_short(asked: Asked) -> Iterator[str]:
    least = 2 * asked.within.read.group.interval
    for place in asked.tree.of("call", *SLOPES):
        for inner in place.node.inside:
            if inner.kind == "range" and inner.length < least:
                ranged = f"{place.node.name}() over {span(inner.length)}"
                yield f"{ranged}, and two intervals are {span(least)}: it may hold one sample"


def _irate(asked: Asked) -> Iterator[str]:
    for _ in asked.tree.of("call", "irate"):
        yield "irate() reads the last two samples alone"


def _rate_of_sum(asked: Asked) -> Iterator[str]:
    for place in asked.tree.of("call", "rate", "irate", "increase"):
        for inner in place.node.inside:
            if inner.kind != "subquery" or inner.inside[0].kind != "aggregate":
                continue
            summed = inner.inside[0]
            if not any(each.kind == "range" for each in nodes(summed)):
                yield f"{place.node.name}() of {summed.name}(): a restart of one instance looks like a burst"


def _counter_without_rate(asked: Asked) -> Iterator[str]:
    moved = {node.name for node in asked.tree.selectors if node.moved}
    for place in asked.tree.of("selector"):
        node = place.node
        if not _COUNTER.match(node.name) or node.moved or node.name in moved or ":" in node.name:
            continue
        if place.within("range") or place.within("subquery") or place.within("binary", *COMPARISONS):
            continue
        counted = place.within("aggregate", "count", "group", "count_values")
        if not counted and not place.within("call", "absent", "timestamp"):
            yield f"{_named(node)} is a counter, and is compared as it stands"


def _delta_of_counter(asked: Asked) -> Iterator[str]:
    for place in asked.tree.of("call", "delta", "idelta", "deriv", "predict_linear"):
        for inner in place.node.inside:
            if inner.kind == "range" and _COUNTER.match(inner.inside[0].name):
                yield f"{place.node.name}() of the counter {_named(inner.inside[0])}"


def _averaged_quantile(asked: Asked) -> Iterator[str]:
    for place in asked.tree.of("aggregate", "avg", "sum"):
        for node in nodes(place.node):
            quantile = node.kind == "call" and node.name == "histogram_quantile"
            if quantile or any(matcher[:2] == ("quantile", "=") for matcher in node.matchers):
                yield f"{place.node.name}() of quantiles"
                break


def _bucket_without_le(asked: Asked) -> Iterator[str]:
    for place in asked.tree.of("call", "histogram_quantile"):
        for node in selectors(place.node):
            if node.name.endswith("_bucket") and _loses(place.node, node):
                yield f"histogram_quantile() of {_named(node)} without its label `le`"
                break


def _loses(holder: Node, wanted: Node) -> bool:
    """Whether an aggregation between the two drops `le`."""
    if holder.kind == "aggregate" and holder.name not in ("topk", "bottomk"):
        kept = "le" not in holder.without if holder.without is not None else "le" in (holder.by or ())
        if not kept and any(each is wanted for each in nodes(holder)):
            return True
    return any(_loses(inner, wanted) for inner in holder.inside)


def _matcher_without_effect(asked: Asked) -> Iterator[str]:
    for node in asked.tree.selectors:
        for label, op, value in node.matchers:
            if op in ("=~", "!~") and value in _ALL:
                met = "every" if op == "=~" else "no"
                yield f'{label}{op}"{value}" of {_named(node)} matches {met} series'


def _regex_anchors(asked: Asked) -> Iterator[str]:
    for node in asked.tree.selectors:
        for label, op, value in node.matchers:
            if op not in ("=~", "!~") or value in _ALL:
                continue
            head = value.startswith("^") and not value.endswith(("$", ".*", ".+"))
            tail = value.endswith("$") and not value.startswith(("^", ".*", ".+")) and value[-2:] != r"\$"
            short = _OUTCOME.match(label) and _SHORT_CODES.match(value)
            if head or tail or short:
                yield f'{label}{op}"{value}" must match the whole value'


def _not_now(asked: Asked) -> Iterator[str]:
    places = list(asked.tree.of("selector"))
    for place in places:
        if place.node.fixed:
            yield f"{_named(place.node)} is read at a fixed time, which never changes"
            return
    floor = asked.role == "traffic"  # how much there was then may say whether now can be judged
    if places and not floor and all(place.moved for place in places):
        yield "everything is read at another time than the window's end"


LINTS = (
    Lint(
        "instant-selector",
        "a bare selector where the age of its sample is not looked at",
        "Prometheus serves a sample for five minutes after it was taken. A window counts only if what decides"
        " it was sampled inside it; left of `or`, as `traffic`, and as `errors` of another metric than the"
        " total's nobody looks, so a dead target's last value is taken for now.",
        'read over a range that one window spans, as in last_over_time(x[30s]), or say `coverage: "…"`',
        "W14",
        bad='expr: "rate(jobs_failed_total[1m])"\nper: [instance]\n'
        'traffic: {expr: "jobs_active", at_least: 5}',
        good='expr: "rate(jobs_failed_total[1m])"\nper: [instance]\n'
        'traffic: {expr: "last_over_time(jobs_active[30s])", at_least: 5}',
        find=in_expressions(_instant_selector),
    ),
    Lint(
        "range-too-short",
        "rate() or the like over less than two intervals",
        "A rate needs two samples. Targets are scraped once an interval at best, so a scrape that comes late"
        " leaves one, and the window is no_data: the trigger is blind whenever things are slow.",
        "read over four scrapes or more: four intervals are never wrong",
        "W12",
        bad='expr: "sum(rate(http_errors_total[20s]))"',
        good='expr: "sum(rate(http_errors_total[1m]))"',
        find=in_expressions(_range_too_short),
    ),
    Lint(
        "irate",
        "irate(), which looks at two samples whatever its range",
        "Between two windows most samples are never looked at, and a burst between two scrapes is all there"
        " is in the next: streaks break and begin by chance.",
        "write rate()",
        bad='expr: "sum(irate(http_errors_total[1m]))"',
        good='expr: "sum(rate(http_errors_total[1m]))"',
        find=in_expressions(_irate),
    ),
    Lint(
        "rate-of-sum",
        "rate() of a sum, in place of a sum of rates",
        "The sum falls when one instance restarts or goes, and rate() takes that for a counter that began"
        " anew: a rollout, of all things, shows as a burst as high as the counters are.",
        "write sum(rate(x[…]))",
        bad='expr: "rate(sum(http_errors_total)[5m:15s])"\nwindows: 30',
        good='expr: "sum(rate(http_errors_total[5m]))"\nwindows: 30',
        find=in_expressions(_rate_of_sum),
    ),
    Lint(
        "counter-without-rate",
        "a counter's own value, which only grows",
        "It passes every threshold in the end, most likely on a quiet night, and stays there until the"
        " process starts anew: rolled back is what was well.",
        "write rate(x[…]) or increase(x[…])",
        bad='expr: "sum(http_errors_total)"\nbreach: "> 100"',
        good='expr: "sum(increase(http_errors_total[1m]))"\nbreach: "> 100"',
        find=in_expressions(_counter_without_rate),
    ),
    Lint(
        "delta-of-counter",
        "delta(), deriv() or the like of a counter",
        "They know nothing of counters that begin anew: each restart is a fall as deep as the counter was"
        " high, and a rollout restarts everything.",
        "write increase() or rate()",
        bad='expr: "sum(delta(http_errors_total[1m]))"',
        good='expr: "sum(increase(http_errors_total[1m]))"',
        find=in_expressions(_delta_of_counter),
    ),
    Lint(
        "averaged-quantile",
        "an average or a sum of quantiles",
        "It is no quantile of anything: ten idle instances hide one that serves everybody, and the streak"
        " never begins.",
        "aggregate the buckets, then take the quantile: histogram_quantile(0.99, sum by (le) (rate(…)))",
        bad="expr: 'avg(rpc_duration_seconds{quantile=\"0.99\"})'",
        good="expr: 'max(rpc_duration_seconds{quantile=\"0.99\"})'",
        find=in_expressions(_averaged_quantile),
    ),
    Lint(
        "bucket-without-le",
        "histogram_quantile() of buckets that were aggregated without `le`",
        "It yields nothing, for ever: each window is no_data, and the trigger never fires.",
        "keep it: sum by (le, …) (rate(…_bucket[…]))",
        bad='expr: "histogram_quantile(0.99, sum(rate(http_seconds_bucket[1m])))"\n'
        'traffic: {expr: "sum(rate(http_seconds_count[1m]))", at_least: 5}',
        good='expr: "histogram_quantile(0.99, sum by (le) (rate(http_seconds_bucket[1m])))"\n'
        'traffic: {expr: "sum(rate(http_seconds_count[1m]))", at_least: 5}',
        find=in_expressions(_bucket_without_le),
    ),
    Lint(
        "matcher-without-effect",
        "a regular expression that matches everything, or nothing",
        'label=~".*" is met by series without the label, too; label!~".*" by none at all. Mostly a variable'
        " of a dashboard was left behind, and other services are counted with this one.",
        'name what is meant, or write =~".+" where the label must be there',
        bad="expr: 'sum(rate(http_errors_total{service=~\".*\"}[1m]))'",
        good="expr: 'sum(rate(http_errors_total{service=\"api\"}[1m]))'",
        find=in_expressions(_matcher_without_effect),
    ),
    Lint(
        "regex-anchors",
        "a regular expression that is meant to match a part",
        'Prometheus matches whole values: code=~"5" is met by no 503, and a ratio of zero looks healthy.',
        'write code=~"5..", or .* where more may follow',
        bad="expr: 'sum(rate(http_requests_total{code=~\"5\"}[1m]))'",
        good="expr: 'sum(rate(http_requests_total{code=~\"5..\"}[1m]))'",
        find=in_expressions(_regex_anchors),
    ),
    Lint(
        "not-now",
        "a condition that does not read the present",
        "`offset` and `@` move the reading away from the window's end, and no sample's age is looked at then:"
        " what fires is the past, perhaps that of the release before.",
        "read the present too, as in x - x offset 1d",
        "W1",
        bad='expr: "sum(rate(http_errors_total[1m] offset 5m))"',
        good='expr: "sum(rate(http_errors_total[1m])) - sum(rate(http_errors_total[1m] offset 1d))"',
        find=in_expressions(_not_now),
    ),
)
