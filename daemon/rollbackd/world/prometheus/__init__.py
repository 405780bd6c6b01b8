"""Asking Prometheus: a `Source` answers what the engine asks, an `Observer` counts."""

from rollbackd.world.prometheus.endpoint import RESULTS, Observer
from rollbackd.world.prometheus.source import NoValue, Source

__all__ = ["RESULTS", "NoValue", "Observer", "Source"]
