"""A backtest as JSON: names and forms that people script against."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from tests.tuning import hostile
from tests.tuning.month import shown
from tests.tuning.plainly import INTERVAL, START, outcome, score, spelled, trigger

from rollbackd.tuning import backtest
from rollbackd.tuning import document as documents
from rollbackd.tuning.document import VERSION, document
from rollbackd.tuning.scoring import Incident
from rollbackd.tuning.sweep import Axis, Cell, Sweep

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")
MOMENTS = {"at", "by", "begin", "end", "made", "first", "last", "start"}


def full() -> dict[str, object]:
    found = spelled(trigger(), canary="..XXX.XXX..__XX..", stable="................?")
    known = (
        Incident(START + INTERVAL, START + 6 * INTERVAL + 1, "db down"),
        Incident(START + 20 * INTERVAL, START + 30 * INTERVAL),
    )
    scored = score(found, known)
    sweep = Sweep(
        (Axis("windows", ("2", "3")),),
        (Cell(("2",), 2, 1, 3, scored, scored.lead), Cell(("3",), 1, 0, 3, None, None)),
        1,
        0,
        found,
    )
    written: dict[str, object] = json.loads(
        json.dumps(document(shown(backtest.Tested(found, score=scored, sweep=sweep))), allow_nan=False)
    )
    return written


def leaves(node: object, way: str = "") -> Iterator[tuple[str, object]]:
    """Each value with its way: `triggers[].fires[].at`."""
    if isinstance(node, dict):
        yield from ((f"{way}.{key}".lstrip("."), None) for key in node if not node[key])
        for key, value in node.items():
            yield from leaves(value, f"{way}.{key}".lstrip("."))
    elif isinstance(node, list):
        for value in node:
            yield from leaves(value, f"{way}[]")
    else:
        yield way, node


def test_every_name_is_documented() -> None:
    words = set(re.findall(r"\w+", documents.__doc__ or ""))
    names = {part.removesuffix("[]") for way, _ in leaves(full()) for part in way.split(".")}
    free = {"cohort"}  # a label
    assert names - words - free == set()
    assert all(name == name.lower() for name in names)


def test_the_version_and_what_was_asked() -> None:
    found = full()
    assert found["version"] == VERSION == "rollbackd/backtest/v1"
    assert (found["begin"], found["incidents_from"]) == ("2026-11-01T00:00:00.000Z", "incidents.yml")


def test_moments_are_rfc_3339_with_milliseconds() -> None:
    moments = {way: value for way, value in leaves(full()) if way.split(".")[-1] in MOMENTS and value}
    assert len(moments) >= 10
    assert [value for value in moments.values() if not MOMENT.match(str(value))] == []


@pytest.mark.parametrize(
    ("way", "value"),
    [
        (("fires", 0, "at"), "2026-11-01T00:01:15.000Z"),
        (("fires", 0, "readings", 0), {"subject": {"cohort": "canary"}, "text": "0.02", "value": 0.02}),
        (("fires", 0, "fate"), "caught"),
        (("fires", 0, "lead_seconds"), -60.0),
        (("fires", 0, "lowered"), ["paused"]),
        (("fires", 0, "incident", "end"), "2026-11-01T00:01:30.001Z"),
        (("hidden", 0, "why"), "cooldown"),
        (("hidden", 0, "by"), "2026-11-01T00:01:15.000Z"),
        (("near_misses", 0, "streak"), 2),
        (("subjects", 0, "verdicts"), {"breach": 8, "ok": 7, "no_data": 2, "low_traffic": 0, "unknown": 0}),
        (("subjects", 1, "blind_seconds"), 15.0),
        (("subjects", 1, "blind_share"), 1 / 17),
        (("score", "recall"), 0.5),
        (("score", "false"), 0),
        (("score", "missed", 0, "note"), ""),
        (("sweep", "current"), 1),
        (("sweep", "knee"), 0),
        (("sweep", "cells", 0, "setting"), {"windows": "2"}),
        (("sweep", "cells", 1, "score"), None),
        (("limit",), "> 0.01"),
        (("interval_seconds",), 15.0),
    ],
)
def test_values(way: tuple[str | int, ...], value: object) -> None:
    node = full()["triggers"][0]  # type: ignore[index]
    for step in way:
        node = node[step]
    assert node == value


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.5", 0.5),
        ("1/4", 0.25),
        ("NaN", None),
        ("+Inf", None),
        ("1/0", None),
        ("-", None),
        ("0.2, 7", None),
    ],
)
def test_readings_are_numbers_where_they_can_be(text: str, number: float | None) -> None:
    made = spelled(trigger(), canary="XXX.")
    found = replace(made, fires=(replace(made.fires[0], values=(text,)),))
    read = document(shown(backtest.Tested(found)))["triggers"][0]["fires"][0]["readings"][0]  # type: ignore[index]
    assert (read["text"], read["value"]) == (text, number)


def test_what_is_not_known_is_null() -> None:
    made = replace(shown(backtest.Tested(outcome(trigger(), [], {}))), incidents="")
    written = json.loads(json.dumps(document(made), allow_nan=False))
    only = written["triggers"][0]
    assert written["incidents_from"] is None
    assert (only["judged"]["first"], only["score"], only["sweep"], only["fires"]) == (None, None, None, [])


def test_nothing_is_cut_whatever_it_is() -> None:
    written = json.loads(json.dumps(document(hostile.backtest()), allow_nan=False))
    assert [one["subject"]["cohort"] for one in written["triggers"][0]["subjects"]] == list(hostile.WORDS)
