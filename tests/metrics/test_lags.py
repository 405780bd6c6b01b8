"""The histogram of lags says what the client library's would."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from rollbackd.metrics.lags import Lags

BOUNDS = (0.01, 0.5, 1.0, 15.0)
SEEN = [("a", 0.0), ("a", 0.01), ("a", 0.011), ("b", 0.5), ("a", 0.5), ("b", 14.0), ("a", 15.0), ("a", 99.0)]


def test_many_at_once_are_as_many_one_by_one() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    lags = Lags(BOUNDS)
    ours.register(lags)
    histogram = Histogram(
        "rollbackd_window_lag_seconds",
        "Window's end to its verdict.",
        ["group"],
        registry=theirs,
        buckets=BOUNDS,
    )
    for group in ("a", "b", "never"):
        lags.known(group)
        histogram.labels(group)
    for group, seconds in SEEN:
        lags.observe(group, seconds, 3)
        for _ in range(3):
            histogram.labels(group).observe(seconds)
    lines = [line for line in generate_latest(theirs).decode().splitlines() if "_created" not in line]
    assert sorted(generate_latest(ours).decode().splitlines()) == sorted(lines)
