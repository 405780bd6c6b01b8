"""Lints of which series an expression yields: those that vanish, and those that are too many."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rollbackd.config.lints.lint import Lint, in_expressions
from rollbackd.config.lints.tree import COMPARISONS, Node, Place, nodes, selectors
from rollbackd.config.promql import KEEP_LABELS, analyse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.config.lints.lint import Asked

_OUTCOME = re.compile(
    r"(?:.*_)?(?:code|status|result|outcome|error|errors|reason|exception|success|flags)(?:_.*)?\Z"
)
"""Labels that tell good from bad: a series appears with the first of its kind."""

_FAILURES = re.compile(r"(?:.*_)?(?:error|errors|failed|failures|exceptions)(?:_.*)?\Z")
_ARITHMETIC = frozenset("+-*/%^")
_CARRIED = ("histogram_quantile", "label_replace", "label_join")
_GATES = frozenset(["and", "unless"])


def top(node: Node) -> Iterator[Node]:
    """What the yielded series are made of: down through arithmetic and functions that keep labels, and what
    ends each way (a selector, an aggregation)."""
    yield node
    binary = node.inside[: 1 if node.name in _GATES else 2]
    for inner in binary if node.kind == "binary" else _kept(node):
        yield from top(inner)


def carriers(node: Node) -> Iterator[Node]:
    """Of `top`, those whose labels the yielded series carry: of two vectors matched, the one side."""
    yield node
    for inner in _many(node) if node.kind == "binary" else _kept(node):
        yield from carriers(inner)


def _kept(node: Node) -> tuple[Node, ...]:
    """What is inside, where its series go through with their labels."""
    if node.kind == "call" and (KEEP_LABELS.match(node.name) or node.name in _CARRIED):
        return node.inside
    picks = node.kind == "aggregate" and node.name in ("topk", "bottomk") and node.by is node.without is None
    return node.inside[-1:] if picks or node.kind in ("range", "subquery") else ()


def _many(node: Node) -> tuple[Node, ...]:
    left, right = node.inside
    if node.name == "or":
        return node.inside
    return (right,) if node.right or _is_scalar(left) else (left,)


def _is_scalar(node: Node) -> bool:
    if node.kind == "binary":
        return all(map(_is_scalar, node.inside))
    return node.kind == "number" or (node.kind == "call" and node.name in ("scalar", "time", "pi"))


def quotients(node: Node) -> Iterator[Node]:
    """The divisions of one vector by another that the reading is made of."""
    for each in top(node):
        if each.kind == "binary" and each.name == "/" and any(selectors(each.inside[1])):
            yield each


def narrower(one: Node, other: Node) -> set[str]:
    """The labels that a selector of the same metric matches besides."""
    if one.name != other.name or not set(other.matchers) <= set(one.matchers):
        return set()
    return {matcher.label for matcher in set(one.matchers) - set(other.matchers)}


def _ratio_by_hand(asked: Asked) -> Iterator[str]:
    if asked.role != "expr":
        return
    for quotient in quotients(asked.tree.root):
        above, below = quotient.inside
        if any(each.kind == "binary" and each.name == "or" for each in nodes(above)):
            continue
        for node in selectors(above):
            labels = set[str]().union(*(narrower(node, other) for other in selectors(below)))
            outcome = any(_OUTCOME.match(label) for label in labels)
            failures = _FAILURES.match(node.name) and not any(
                _FAILURES.match(other.name) for other in selectors(below)
            )
            if (outcome or failures) and ":" not in node.name:
                yield f"is divided by hand: while there is no `{node.name}` above, there is no reading"
                break


def _comparison_inside(asked: Asked) -> Iterator[str]:
    if asked.role == "errors":  # absent while the total is there means 0
        return
    for place in asked.tree.of("binary", *COMPARISONS):
        node = place.node
        scalars = all(inner.kind == "number" for inner in node.inside)
        if not place.above or node.bool_ or scalars or _is_excused(place):
            continue
        yield f"`{node.name}` inside: series that do not satisfy it vanish, and nothing is left to be ok"


def _is_excused(place: Place) -> bool:
    """Left of `or` something takes its place; absent() asks for it; a divisor is kept from being 0."""
    if place.within("call", "absent", "absent_over_time"):
        return True
    if any(node.name == "or" and index == 0 for node, index in place.above):
        return True
    limit = place.node.inside[1]
    zero = limit.kind == "number" and limit.number == 0
    divides = any(node.name == "/" and index == 1 for node, index in place.above)
    return zero and divides and place.node.name in (">", "!=")


def _or_drops_per(asked: Asked) -> Iterator[str]:
    if not asked.per:
        return
    for node in carriers(asked.tree.root):
        if node.kind == "binary" and node.name == "or":
            lost = [label for label in asked.per if _lacks(node.inside[1], label)]
            if lost:
                yield f"what stands right of `or` has no label `{lost[0]}`, and is always there"


def _lacks(node: Node, label: str) -> bool:
    if node.kind == "call":
        return node.name in ("vector", "time")
    aggregated = node.kind == "aggregate" and node.name not in ("topk", "bottomk", "count_values")
    return aggregated and node.without is None and label not in (node.by or ())


def _age_unseen(asked: Asked) -> Iterator[str]:
    deciding = asked.role in ("expr", "total") and asked.condition.coverage is None
    if not deciding or analyse(asked.text).selectors or _absent(asked.tree.root):
        return
    places = list(asked.tree.of("selector"))
    elsewhere = bool(places) and all(place.moved for place in places)  # see `not-now`
    if not elsewhere and not any(_or_drops_per(asked)):
        yield "holds no selector whose age is looked at: dead or alive, the reading is the same"


def _absent(root: Node) -> bool:
    return root.kind == "call" and root.name in ("absent", "absent_over_time")


def _absent_never_ok(asked: Asked) -> Iterator[str]:
    if asked.role in ("expr", "total") and _absent(asked.tree.root):
        yield f"{asked.tree.root.name}() yields nothing while all is well, so no window is ever ok"


def _topk(asked: Asked) -> Iterator[str]:
    for node in carriers(asked.tree.root):
        picks = node.kind == "aggregate" and node.name in ("topk", "bottomk", "limitk", "limit_ratio")
        if picks and node.by is node.without is None:  # with `by` it is a way to get one series of each
            yield f"{node.name}() yields other series from window to window"


def _per_not_kept(asked: Asked) -> Iterator[str]:
    labels = analyse(asked.text).labels
    if labels is not None:  # then it is an error, or all is well
        return
    for node in carriers(asked.tree.root):
        for label in asked.per:
            if node.kind == "aggregate" and node.without is not None and label in node.without:
                yield f"`without ({label})` drops a label that `per` names"
            elif _matched_away(node, label):
                yield f"the match of two vectors drops `{label}`, which `per` names"


def _matched_away(node: Node, label: str) -> bool:
    if node.kind != "binary" or not (node.name in _ARITHMETIC or node.name in COMPARISONS):
        return False
    return label in (node.ignoring or ()) or (node.on is not None and label not in node.on)


def _unaggregated(asked: Asked) -> Iterator[str]:
    if analyse(asked.text).labels is not None or "instance" in asked.per:
        return
    for node in carriers(asked.tree.root):
        if node.kind == "selector" and ":" not in node.name and not _is_one(node):
            named = f"`{node.name}`" if node.name else "the selector"
            subject = "each subject" if asked.per else "the trigger"
            yield f"nothing aggregates {named}: a second instance gives {subject} a second series"
            return


def _is_one(node: Node) -> bool:
    return any(matcher[:2] == ("instance", "=") for matcher in node.matchers)


LINTS = (
    Lint(
        "ratio-by-hand",
        "a quotient whose upper part exists only after the first error",
        "Counters with labels appear with the first event of their kind: while nothing fails there is nothing"
        " to divide, each window is no_data instead of ok, no streak ends, nothing is ever verified.",
        "write `ratio: {errors: …, total: …, min_total: …}`: absent errors are 0 there",
        "W2",
        bad="expr: 'sum(rate(http_requests_total{code=~\"5..\"}[1m])) / sum(rate(http_requests_total[1m]))'\n"
        'traffic: {expr: "sum(rate(http_requests_total[1m]))", at_least: 5}',
        good="ratio:\n  errors: 'sum(rate(http_requests_total{code=~\"5..\"}[1m]))'\n"
        '  total: "sum(rate(http_requests_total[1m]))"\n  min_total: 5\nbreach: "> 0.01"',
        find=in_expressions(_ratio_by_hand),
    ),
    Lint(
        "comparison-inside",
        "a comparison inside an expression, which filters",
        "What does not satisfy it is not 0 but gone. While all is well there is no series, the window is"
        " no_data, not ok, and a dead target looks just the same.",
        "split it with `all:`, compare with `bool`, write `or vector(0)`, or use `traffic`",
        "W2",
        bad='expr: "count(queue_age_seconds > 60)"',
        good='expr: "sum(queue_age_seconds > bool 60)"',
        find=in_expressions(_comparison_inside),
    ),
    Lint(
        "or-drops-per",
        "`or` with something that lacks a label of `per`",
        "`or` adds what has no match on the left, and without the label nothing has: one more series that"
        " belongs to no subject. The whole answer is unusable, in every window.",
        "leave it out: a ratio's absent errors are 0 anyway",
        "W3",
        bad='expr: "sum by (cohort) (rate(http_errors_total[1m])) or vector(0)"\nper: [cohort]',
        good='expr: "sum by (cohort) (rate(http_errors_total[1m]))"\nper: [cohort]',
        find=in_expressions(_or_drops_per),
    ),
    Lint(
        "age-unseen",
        "an expression of which no sample's age is looked at",
        "`x or vector(0)` has a value when every target is dead and when Prometheus has just started: with"
        ' `breach: "< 1"` that fires, with `"> 1"` the dead look healthy.',
        "say what must have been sampled, as in `coverage: 'max(timestamp(up{job=\"api\"}))'`",
        "W14",
        bad='expr: "sum(rate(orders_total[1m])) or vector(0)"\nbreach: "== 0"',
        good='expr: "sum(rate(orders_total[1m])) or vector(0)"\nbreach: "== 0"\n'
        "coverage: 'max(timestamp(up{job=\"orders\"}))'",
        find=in_expressions(_age_unseen),
    ),
    Lint(
        "absent-never-ok",
        "absent() as the whole expression",
        "It is 1 or nothing: there is no ok that ends a streak, stands a rollback down or verifies it; and"
        " for a moment after Prometheus starts everything is absent.",
        "watch the series itself, with `no_data: breach`",
        "W4",
        bad='expr: \'absent(up{job="api"})\'\nbreach: "== 1"',
        good='expr: \'sum(up{job="api"})\'\nbreach: "< 1"\nno_data: breach',
        find=in_expressions(_absent_never_ok),
    ),
    Lint(
        "topk",
        "topk() or the like in a condition",
        "A subject that is overtaken by another is gone from the answer, and forgotten while others answer:"
        " its streak begins anew each time. The worse it gets elsewhere, the less is seen.",
        "leave it out: a threshold tells who is bad, or take max()",
        "W5",
        bad='expr: "topk(3, sum by (service) (rate(http_errors_total[1m])))"\nper: [service]',
        good='expr: "sum by (service) (rate(http_errors_total[1m]))"\nper: [service]',
        find=in_expressions(_topk),
    ),
    Lint(
        "per-not-kept",
        "a label of `per` that the expression drops on its way",
        "A series without the label belongs to no subject: the answer is unusable, in every window.",
        "keep the label: sum by (…), on (…) group_left",
        "W3",
        bad='expr: "sum without (cohort) (rate(http_errors_total[1m]))"\nper: [cohort]',
        good='expr: "sum by (cohort) (rate(http_errors_total[1m]))"\nper: [cohort]',
        find=in_expressions(_per_not_kept),
    ),
    Lint(
        "unaggregated",
        "series as they were scraped, where one a subject is wanted",
        "Each instance has a series of its own. With one all is well; when a second is started, or a pod is"
        " replaced, there are two for one subject, and the answer is unusable: blind in mid-rollout.",
        "aggregate, by `per`: sum by (…), max by (…)",
        "W3",
        bad='expr: "rate(http_errors_total[1m])"\nper: [cohort]',
        good='expr: "sum by (cohort) (rate(http_errors_total[1m]))"\nper: [cohort]',
        find=in_expressions(_unaggregated),
    ),
    Lint(
        "several-series",
        "series with labels, and no `per`",
        "Without `per` there is one series, or the answer is unusable: as soon as a second value of the label"
        " appears, the trigger is blind.",
        "name the labels in `per`, or aggregate them away",
        "W3",
        bad='expr: "sum by (cohort) (rate(http_errors_total[1m]))"',
        good='expr: "sum by (cohort) (rate(http_errors_total[1m]))"\nper: [cohort]',
    ),
)
