"""Alerts' expressions as conditions: the same series breach at the same times, or it is said what is lost."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackd.authoring.conditions import CannotCarry, condition
from rollbackd.config.promql import analyse

RATE = 'sum by (job) (rate(e{code=~"5.."}[5m]))'
ALL = "sum by (job) (rate(e[5m]))"
SHARED = "they share one streak"
QUIET = "a dead exporter is not noticed"

CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("sum(x) > 3", {"expr": "sum(x)", "breach": "> 3"}, []),
    ("(((sum(x)) >= (3.5)))", {"expr": "sum(x)", "breach": ">= 3.5"}, []),
    ("5 > sum(x)", {"expr": "sum(x)", "breach": "< 5"}, []),
    ("0 == sum(x)", {"expr": "sum(x)", "breach": "== 0"}, []),
    ("sum(x) > -0.5", {"expr": "sum(x)", "breach": "> -0.5"}, []),
    ("sum(x) > 1e-9", {"expr": "sum(x)", "breach": "> 0.000000001"}, []),
    ("sum(x) > 0x10", {"expr": "sum(x)", "breach": "> 16"}, []),
    ("sum(x) > 2 * (3 + 4) / 7 - 1", {"expr": "sum(x)", "breach": "> 1"}, []),
    ("sum by (a) (x) < 1", {"expr": "sum by (a) (x)", "breach": "< 1"}, ["a"]),
    ('sum(x{a="> 3 and (", b=`>`}) > 3', {"expr": 'sum(x{a="> 3 and (", b=`>`})', "breach": "> 3"}, []),
    ('sum(x{a="\\"> 1"}) > 3', {"expr": 'sum(x{a="\\"> 1"})', "breach": "> 3"}, []),
    ("sum(x) # a > 1\n > 3 # b", {"expr": "sum(x) # a > 1", "breach": "> 3"}, []),
    ("sum(sum by (a) (x) > 3) > 3", {"expr": "sum(sum by (a) (x) > 3)", "breach": "> 3"}, []),
    (f"{RATE} / {ALL} > 0.05", {"ratio": {"errors": RATE, "total": ALL}, "breach": "> 0.05"}, ["job"]),
    (
        f"({RATE}) / ({ALL}) > 0",
        {"ratio": {"errors": f"({RATE})", "total": f"({ALL})"}, "breach": "> 0"},
        ["job"],
    ),
    # Without errors there is no series: a `ratio` would be 0, and breach.
    (f"{RATE} / {ALL} < 0.05", {"expr": f"{RATE} / {ALL}", "breach": "< 0.05"}, ["job"]),
    (f"{RATE} / {ALL} >= 0", {"expr": f"{RATE} / {ALL}", "breach": ">= 0"}, ["job"]),
    (f"{RATE} / sum(y) > 1", {"expr": f"{RATE} / sum(y)", "breach": "> 1"}, ["job"]),
    (f"100 * {RATE} / {ALL} > 5", {"expr": f"100 * {RATE} / {ALL}", "breach": "> 5"}, ["job"]),
    (
        "avg by (a) (x) / avg by (a) (y) > 1",
        {"expr": "avg by (a) (x) / avg by (a) (y)", "breach": "> 1"},
        ["a"],
    ),
    ("sum(x) > sum(y)", {"expr": "(sum(x)) - (sum(y))", "breach": "> 0"}, []),
    (
        "sum by (a) (x) <= on (a) sum by (a, b) (y)",
        {"expr": "(sum by (a) (x)) - on (a) (sum by (a, b) (y))", "breach": "<= 0"},
        ["a"],
    ),
    ('absent(up{job="a"})', {"expr": 'max(absent(up{job="a"}) or vector(0))', "breach": "> 0"}, []),
    ("absent(up) == 1", {"expr": "max(absent(up) or vector(0))", "breach": "> 0"}, []),
    ("up == 0", {"expr": "max by (instance, job) ((up) == bool 0)", "breach": "> 0"}, ["instance", "job"]),
    ("x > 3", {"expr": "max (x)", "breach": "> 3"}, []),
    ("x # why\n < 3", {"expr": "min (x # why\n)", "breach": "< 3"}, []),
    ("x != 3", {"expr": "max ((x) != bool 3)", "breach": "> 0"}, []),
    ("time() - x > 3600", {"expr": "max (time() - x)", "breach": "> 3600"}, []),
    (
        "sum by (a) (x) > 1 and sum by (a) (y) < 2 and (3 <= max by (a) (z))",
        {
            "all": [
                {"expr": "sum by (a) (x)", "breach": "> 1"},
                {"expr": "sum by (a) (y)", "breach": "< 2"},
                {"expr": "max by (a) (z)", "breach": ">= 3"},
            ]
        },
        ["a"],
    ),
    (
        f"{RATE} / {ALL} > 0.05 or {ALL} > 9",
        {
            "any": [
                {"ratio": {"errors": RATE, "total": ALL}, "breach": "> 0.05"},
                {"expr": ALL, "breach": "> 9"},
            ]
        },
        ["job"],
    ),
    # Other labels on either side: which go together only Prometheus knows.
    (
        "sum by (a) (x) > 1 and on () sum(y) > 2",
        {"expr": "count by (a) (sum by (a) (x) > 1 and on () sum(y) > 2)", "breach": "> 0", "no_data": "ok"},
        ["a"],
    ),
    ("x > 1 and y > 2", {"expr": "count(x > 1 and y > 2) or vector(0)", "breach": "> 0"}, []),
    ("hour() > 9 and sum(x)", {"expr": "count(hour() > 9 and sum(x)) or vector(0)", "breach": "> 0"}, []),
    (
        "sum by (a) (x) > 1 unless sum by (a) (y)",
        {"expr": "count by (a) (sum by (a) (x) > 1 unless sum by (a) (y))", "breach": "> 0", "no_data": "ok"},
        ["a"],
    ),
]


@pytest.mark.parametrize(("text", "keys", "per"), CASES, ids=[text for text, _, _ in CASES])
def test_becomes(text: str, keys: dict[str, Any], per: list[str]) -> None:
    found = condition(text)
    assert (found.keys, found.per) == (keys, per)
    for part in found.keys.get("all") or found.keys.get("any") or [found.keys]:
        for said in part["ratio"].values() if "ratio" in part else [part["expr"]]:
            assert analyse(said).filters is None


@pytest.mark.parametrize(
    ("text", "named", "expr"),
    [
        ("x > 3", ("pod",), "max by (pod) (x)"),
        ("x < 3", ("pod", "ns"), "min by (pod, ns) (x)"),
        ("x unless y", ("pod",), "count by (pod) (x unless y)"),
        ("sum(x) > 3", ("pod",), "sum(x)"),  # has no such label
        ("up == 0", ("instance",), "max by (instance) ((up) == bool 0)"),
    ],
)
def test_labels_that_annotations_name_tell_subjects_apart(
    text: str, named: tuple[str, ...], expr: str
) -> None:
    assert condition(text, named).keys["expr"] == expr


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("sum(x) > 3", []),
        (f"{RATE} / {ALL} > 0.05", []),
        ("absent(x)", []),
        ("x > 3", [SHARED]),
        ("x unless y", [SHARED, QUIET]),
        ("sum(x) > 1 and sum(y)", [QUIET]),
    ],
)
def test_says_what_is_lost(text: str, lost: list[str]) -> None:
    found = condition(text).lost
    assert len(found) == len(lost)
    assert all(part in said for part, said in zip(lost, found, strict=True))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not understood"),
        ("sum(x", "is not understood"),
        ("x[5m]", "yields a matrix"),
        ('"x"', "yields a string"),
        ("vector(1)", "reads no series"),
        ("1 > 0", "is not understood"),
        ("hour() > 9", "reads no series"),
        ("x > bool 3", "`bool` at the top"),
        ("sum(x) > Inf", "compares with inf"),
        ("sum(x) > 1e30", "compares with 1e+30"),
        ("absent(x) > 1", "never fires"),
        ("(" * 200 + "x" + ")" * 200, "nested deeper"),
        ("x" * 9000, "longer than"),
    ],
)
def test_what_cannot_be_carried_has_a_reason(text: str, why: str) -> None:
    with pytest.raises(CannotCarry, match=why.replace("+", r"\+")):
        condition(text)
