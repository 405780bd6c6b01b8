"""The families that `prometheus_client` keeps, and the label sets that start at 0."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, get_args

from prometheus_client import Counter, Gauge, Histogram, Info, disable_created_metrics

from rollbackd.core.events import EVENTS
from rollbackd.core.model import STAGES, Verdict
from rollbackd.core.state import End
from rollbackd.metrics.lags import Lags

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from rollbackd.core.model import Config

ATTEMPTS = ("done", "failed", "timed_out", "stopped", "refused", "unstarted", "in_doubt")
REQUESTS = ("success", "unreachable", "unusable")
DELIVERIES = ("accepted", "refused")

_LAG = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0)
_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
_PEOPLE = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)


class Families:
    """Names are fixed: people script against them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry
        self.build = Info("rollbackd_build", "The program that runs.", registry=registry)
        self.reload_ok = self._gauge("config_last_reload_successful", "1 where the last load succeeded.")
        self.reload_at = self._gauge(
            "config_last_reload_success_timestamp_seconds", "When the configuration was last loaded."
        )
        self.windows = self._counter("windows_evaluated_total", "Verdicts given.", "group", "verdict")
        self.lag = Lags(_LAG)
        registry.register(self.lag)
        self.evaluated = self._gauge(
            "group_last_evaluation_timestamp_seconds", "When a window was last judged.", "group"
        )
        self.requests = self._counter("prometheus_requests_total", "Requests to Prometheus.", "result")
        self.request_seconds = self._histogram(
            "prometheus_request_duration_seconds", "How long requests to Prometheus took.", _LAG
        )
        self.skew = self._gauge("prometheus_clock_skew_seconds", "Prometheus' clock minus this one's.")
        self._rollback_families()
        self._people_families()
        self.reports = self._counter("reports_total", "Tries to write a report, by result.", "result")
        for result in ("written", "failed"):
            self.reports.labels(result)
        self.append = self._histogram("journal_append_seconds", "How long appends took.", _QUICK)
        self.events = self._counter("journal_events_total", "Events recorded.", "kind")
        self.block = self._histogram("loop_block_seconds", "How late the event loop woke.", _QUICK)
        self.score = self._gauge("scorecard_ratio", "The share of rollbacks, as judged.", "measure", "days")
        self.scored = self._gauge("scorecard_rollbacks", "Rollbacks that ended.", "days")
        self.incidents = self._gauge("scorecard_incidents", "Incidents from failed rollbacks.", "days")
        self.anchors = self._counter("anchors_total", "Heads published, by where and how.", "to", "result")
        self.anchored_at = self._gauge("anchor_last_success_timestamp_seconds", "When one was.", "to")
        for event in EVENTS:
            self.events.labels(event.kind())
        for result in REQUESTS:
            self.requests.labels(result)

    def _rollback_families(self) -> None:
        self.rollbacks = self._counter(
            "rollbacks_total", "Rollbacks that ended, by how.", "plan", "level", "outcome", "automatic"
        )
        self.duration = self._histogram(
            "rollback_duration_seconds", "Decision to verified, or to the end.", _PEOPLE, "plan"
        )
        self.sla_breaches = self._counter(
            "rollback_sla_breaches_total", "SLAs breached.", "plan", "level", "region"
        )
        self.validation = self._counter(
            "validation_checks_total", "Checks of validation stages, by answer.", "stage", "result"
        )
        for stage, result in product(STAGES, ("pass", "fail", "cannot_tell")):
            self.validation.labels(stage, result)
        self.phase = self._histogram(
            "rollback_phase_duration_seconds", "How long phases took.", _PEOPLE, "plan", "phase"
        )
        self.detect = self._histogram(
            "rollback_detect_seconds", "Start of the breach to the trigger's fire.", _PEOPLE
        )
        self.decide = self._histogram("rollback_decide_seconds", "Fire to decision.", _PEOPLE)
        self.attempts = self._counter(
            "step_attempts_total", "Executions of steps, by outcome.", "plan", "step", "outcome"
        )

    def _people_families(self) -> None:
        self.escalations = self._counter("escalations_total", "Rungs reached.", "rung")
        self.pages = self._counter("pages_total", "Pages sent, by answer.", "receiver", "result")
        self.ack = self._histogram("ack_seconds", "Matter opened to acknowledged.", _PEOPLE)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"rollbackd_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"rollbackd_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"rollbackd_{name}", text, labels, registry=self._registry, buckets=buckets)

    def configure(self, config: Config) -> None:
        """All label sets that this configuration knows exist from now on."""
        for group in {trigger.group: None for trigger in config.triggers}:
            self.lag.known(group)
            for verdict in get_args(Verdict):
                self.windows.labels(group, verdict)
        for receiver in config.receivers:
            for result in DELIVERIES:
                self.pages.labels(receiver, result)
        for rung in range(max((len(ladder) for ladder in config.ladders.values()), default=0)):
            self.escalations.labels(str(rung))
        for plan in config.plans:
            level = str(plan.level)
            self.duration.labels(plan.name)
            self.sla_breaches.labels(plan.name, level, "")
            for outcome in get_args(End):
                for automatic in ("true", "false"):
                    self.rollbacks.labels(plan.name, level, outcome, automatic)
            for phase in plan.phases:
                self.phase.labels(plan.name, phase.name)
                for step in phase.steps:
                    for result in ATTEMPTS:
                        self.attempts.labels(plan.name, step.name, result)
