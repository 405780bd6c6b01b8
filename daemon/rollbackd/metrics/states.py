"""The families that are read off the hard state at each scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from rollbackd.core import sla
from rollbackd.core.permit import permit
from rollbackd.core.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from rollbackd.core.state import Paused


class StateCollector(Collector):
    """`state` is a frozen value: collecting may happen on any thread."""

    def __init__(self) -> None:
        self.state = State()

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        state = self.state
        yield from _plans(state)
        yield _paused(state)
        yield _aligned(state)
        yield _gates(state)


def _family(name: str, text: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"rollbackd_{name}", text, labels=[label])


def _plans(state: State) -> Iterator[Metric]:
    running = _family("rollback_in_progress", "Rollbacks that have begun and not ended.", "plan")
    slas = _family("rollback_sla_seconds", "How long a rollback may take.", "plan")
    targets = _family("rollback_target_seconds", "How long a rollback should take.", "plan")
    deadlines = _family(
        "rollback_deadline_timestamp_seconds", "When the SLA of the running rollback is breached.", "plan"
    )
    rungs = _family("escalation_rung", "Rungs reached by the open matter that climbed highest.", "plan")
    under_way: dict[str, int] = {}
    climbed: dict[str, int] = {}
    for life in state.lives.values():
        name = life.plan.name
        if life.began is not None and life.ended is None:
            under_way[name] = under_way.get(name, 0) + 1
        deadline = sla.deadline(life)
        if deadline is not None and life.ended is None:
            deadlines.add_metric([name], deadline / 1000)
    for matter in state.matters.values():
        if matter.plan is not None:
            climbed[matter.plan] = max(climbed.get(matter.plan, 0), matter.rung)
    for plan in state.config.plans if state.config is not None else ():
        running.add_metric([plan.name], under_way.pop(plan.name, 0))
        slas.add_metric([plan.name], plan.allowed() / 1000)
        targets.add_metric([plan.name], plan.target / 1000)
        rungs.add_metric([plan.name], climbed.pop(plan.name, 0))
    for name, count in under_way.items():  # plans that left the files with a life open
        running.add_metric([name], count)
    for name, rung in climbed.items():
        rungs.add_metric([name], rung)
    yield from (running, slas, targets, deadlines, rungs)


def _paused(state: State) -> Metric:
    family = _family("paused", "1 where automatic starts for the service are paused.", "service")
    plans = state.config.plans if state.config is not None else ()
    for service in sorted({service for plan in plans for service in plan.services}):
        family.add_metric([service], int(any(_covers(pause, service) for pause in state.pauses)))
    return family


def _aligned(state: State) -> Metric:
    text = "1 where windows end just after the scrape, of the groups that learn when that is."
    family = _family("group_aligned", text, "group")
    for group in state.config.groups if state.config is not None else ():
        known = state.alignments.get(group.name)
        family.add_metric([group.name], int(known is not None and known.targets > 0))
    return family


def _gates(state: State) -> Metric:
    text = "1 where the gate is open: the plan is complete and proven enough for its level."
    family = GaugeMetricFamily("rollbackd_gate_open", text, labels=["gate", "plan"])
    config = state.config if state.finish_only is None else None
    for plan in config.plans if config is not None else ():
        family.add_metric(["permit", plan.name], int(permit(state, plan).granted))
    return family


def _covers(pause: Paused, service: str) -> bool:
    return pause.service == service or (pause.service is None and pause.trigger is None)
