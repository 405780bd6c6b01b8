"""On a real Prometheus an alert's expression leaves series over exactly where what it became breaches."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from rollbackd.authoring.conditions import condition
from rollbackd.config.series import Mark
from rollbackd.core.notation import parse_limit
from rollbackd.tuning import remote_write
from rollbackd.tuning.evaluation import FLAGS, WEEK
from rollbackd.tuning.temporary import temporary_prometheus

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed: apt-get install prometheus"
)

STEP, WINDOWS = 15, 80
BASE = 100 * WEEK // 1000
RATE, ALL = "sum by (a) (rate(errors[1m]))", "sum by (a) (rate(requests[1m]))"
Fired = dict[int, set[tuple[str, ...]]]
"""By window, whom it is about."""


def samples() -> Iterator[remote_write.Labelled]:
    rng = random.Random(7)
    for name in ("x", "y", "z", "up"):
        for a in "123":
            labels = {"__name__": name, "a": a, "b": "1", "instance": a, "job": "j"}
            yield labels, [(at, _gauge(rng, name == "up")) for at in _moments()]
    # Never no requests: what is divided by 0 is infinite, which an alert takes for a number (W2 does not).
    for name, least, most in (("errors", 0, 3), ("requests", 1, 9)):
        for a in "12":
            grown = 0
            values: list[remote_write.Sample] = []
            for at in _moments():
                grown += rng.randrange(least, most)
                values.append((at, float(grown)))
            yield {"__name__": name, "a": a}, values if (name, a) != ("errors", "2") else values[40:]


def _gauge(rng: random.Random, bit: bool) -> float | Mark:
    """Now and then it is gone for a while: stale markers, so that no window sees an old sample."""
    return Mark.STALE if rng.random() < 0.2 else float(rng.randrange(2 if bit else 6))


def _moments() -> Iterator[int]:
    return ((BASE + window * STEP) * 1000 for window in range(WINDOWS))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with temporary_prometheus(tmp_path_factory.mktemp("prometheus"), flags=FLAGS) as url:
        remote_write.write(url, samples())
        yield url


def asked(url: str, expr: str, per: tuple[str, ...]) -> dict[int, dict[tuple[str, ...], float]]:
    end = BASE + (WINDOWS - 1) * STEP
    form = urlencode({"query": expr, "start": BASE, "end": end, "step": STEP})
    with urlopen(f"{url}/api/v1/query_range?{form}") as answer:
        found = json.load(answer)["data"]["result"]
    values: dict[int, dict[tuple[str, ...], float]] = {at: {} for at in range(BASE, end + 1, STEP)}
    for series in found:
        subject = tuple(series["metric"].get(label, "") for label in per)
        for at, value in series["values"]:
            values[int(at)][subject] = float(value)
    return values


def breaches(url: str, keys: dict[str, Any], per: tuple[str, ...]) -> Fired:
    for how, join in (("all", set.intersection), ("any", set.union)):
        if how in keys:
            parts = [breaches(url, part, per) for part in keys[how]]
            return {at: join(*(part[at] for part in parts)) for at in parts[0]}
    limit = parse_limit(keys["breach"])
    readings = _quotients(url, keys["ratio"], per) if "ratio" in keys else asked(url, keys["expr"], per)
    return {
        at: {who for who, value in values.items() if math.isfinite(value) and limit.holds(value)}
        for at, values in readings.items()
    }


def _quotients(
    url: str, ratio: dict[str, str], per: tuple[str, ...]
) -> dict[int, dict[tuple[str, ...], float]]:
    errors, total = asked(url, ratio["errors"], per), asked(url, ratio["total"], per)
    return {
        at: {who: errors[at].get(who, 0.0) / value for who, value in values.items() if value}
        for at, values in total.items()
    }


ALERTS = [
    "sum(x) > 6",
    "sum by (a) (x) >= 3",
    "2 > sum by (a) (x)",
    "sum by (a) (x) == 0",
    "sum by (a) (x) > 2 * 1.5",
    f"{RATE} / {ALL} > 0.3",
    f"100 * {RATE} / {ALL} > 30",
    f"{RATE} / {ALL} < 0.3",
    "sum by (a) (x) > sum by (a) (y)",
    "sum by (a) (x) <= on (a) sum by (a) (y)",
    "sum by (a) (x) == sum by (a) (y)",
    "absent(x)",
    'absent(x{a="1"}) == 1',
    "up == 0",
    "x > 3",
    "x < 1",
    "x != 2",
    "x - y > 1",
    "sum by (a) (x) > 2 and sum by (a) (y) < 4 and sum by (a) (z) != 0",
    "sum by (a) (x) > 4 or sum by (a) (y) > 4",
    f"{RATE} / {ALL} > 0.3 or {ALL} > 0.3",
    "x > 2 and y > 2",
    "sum by (a) (x) > 2 unless sum by (a) (y) > 2",
    "x > 2 unless on (a) y",
]


@pytest.mark.parametrize("alert", ALERTS)
@pytest.mark.parametrize("named", [(), ("a",)], ids=["", "annotations name a"])
def test_agrees(alert: str, named: tuple[str, ...], url: str) -> None:
    found = condition(alert, named)
    per = tuple(found.per)
    left = {at: set(values) for at, values in asked(url, alert, per).items()}
    assert breaches(url, found.keys, per) == left
    fired = sum(map(bool, left.values()))
    assert 0 < fired < WINDOWS, "the data show both"
