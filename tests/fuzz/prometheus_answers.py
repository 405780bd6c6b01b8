"""Prometheus' answers: what is read is what an independent, slow reader reads, or it is refused.

The first byte chooses how the query was asked and what status came; the rest is the body.
"""

from __future__ import annotations

import asyncio
import json
from math import isnan
from typing import Any

from rollbackd.core.model import subject_key
from rollbackd.core.signals import Series, Unreachable, Unusable
from rollbackd.world.client import Answer
from rollbackd.world.prometheus.answer import EVERYONE, Shape, read

PER: tuple[tuple[str, ...], ...] = ((), ("cohort",), ("cohort", "class"))
ENDS = ((1_000_000,), (1_000_000, 1_015_000, 1_030_000))
STATUS = (200, 200, 200, 503)


def one(data: bytes) -> None:
    choice = data[0] if data else 0
    body = data[1:]
    shape = Shape(ENDS[choice & 1], PER[(choice >> 1) % 3], bool(choice & 8), bool(choice & 16))
    status = STATUS[choice >> 6]
    found = asyncio.run(read(Answer(status, {}, body), shape))
    match found:
        case Series(windows):
            assert status == 200
            assert len(windows) == len(shape.ends)
            assert sum(len(key) + len(value) for window in windows for key, value in window.items()) <= (
                len(body) + 2 * len(windows)
            ), "more than the body held"
            expected = _slowly(body, shape)
            assert expected is None or [*windows] == expected, (windows, expected)
        case Unreachable(reason) | Unusable(reason):
            assert reason.isprintable(), reason
            assert 0 < len(reason) < 2_000, reason


def _slowly(body: bytes, shape: Shape) -> list[dict[str, str]] | None:
    """The windows by the letter of Prometheus' API; None where the two may rightly differ: texts that are
    not quite JSON are the first reader's to refuse, and names twice in one object mean nothing."""
    try:
        document = json.loads(body, object_pairs_hook=_once)
        kind, result = document["data"]["resultType"], document["data"]["result"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    windows: list[dict[str, str]] = [{} for _ in shape.ends]
    if kind == "scalar":
        windows[0][EVERYONE if shape.per else ""] = result[1]
        return windows
    for series in result:
        subject = _subject(series["metric"], shape)
        points = [series["value"]] if kind == "vector" else series["values"]
        for at, value, *_ in points:
            places = (
                [0] if kind == "vector" else [k for k, e in enumerate(shape.ends) if e == round(at * 1000)]
            )
            for place in places:
                window = windows[place]
                assert subject not in window or shape.coverage, f"two series for {subject!r}"
                if (
                    subject not in window
                    or isnan(float(window[subject]))
                    or float(value) > float(window[subject])
                ):
                    window[subject] = value
    return windows


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _subject(metric: dict[str, str], shape: Shape) -> str:
    values = tuple(metric.get(label, "") for label in shape.per)
    if all(values):
        return subject_key(values)
    assert shape.coverage, "a series without a label of `per`"
    return EVERYONE
