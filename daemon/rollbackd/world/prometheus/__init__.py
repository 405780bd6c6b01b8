"""Asking Prometheus: a `Source` answers what the engine asks, an `Observer` counts."""

from rollbackd.world.prometheus.endpoint import RESULTS, Observer
from rollbackd.world.prometheus.history import NoHistory, Past, Wanted
from rollbackd.world.prometheus.source import NoValue, Source
from rollbackd.world.prometheus.together import Together

__all__ = ["RESULTS", "NoHistory", "NoValue", "Observer", "Past", "Source", "Together", "Wanted"]
