"""A trigger of an `auto_rollback` monitor as one of ours that only watches."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

from rollbackd.authoring.conditions import CannotCarry, limit
from rollbackd.authoring.names import Names
from rollbackd.config.problem import one_line
from rollbackd.core.model import Ms
from rollbackd.core.notation import span

INTERVAL: Ms = 15_000
_MOST_WINDOWS = 10_000
_COMPARISONS = {
    "greater_than": ">",
    "greater_than_or_equal": ">=",
    "less_than": "<",
    "less_than_or_equal": "<=",
    "equals": "==",
    "not_equals": "!=",
    "greater_than_or_equal_to": ">=",
    "less_than_or_equal_to": "<=",
    "equal": "==",
    "equal_to": "==",
    "not_equal": "!=",
    "not_equal_to": "!=",
} | {sign: sign for sign in (">", ">=", "<", "<=", "==", "!=")}
_COMMON = ", ".join(list(_COMPARISONS)[:6])
_KEYS = frozenset(["metric", "threshold", "duration_seconds", "consecutive", "comparison"])


class _Measure(NamedTuple):
    """The library's template for a metric. `set`: its parameters, `{}` for the service; a `share` above 1 is
    in per cent; `scale` brings the threshold into the template's unit."""

    template: str
    set: dict[str, str]
    share: bool = False
    scale: float = 1.0
    in_a_row: bool = False


_MEASURES = {
    "error_rate": _Measure("error-ratio", {"service": "{}"}, share=True),
    "latency_p99": _Measure("latency-p99", {"service": "{}"}, scale=0.001),
    "auth_failure_rate": _Measure("authentication-failures", {}, share=True),
    "health_check_failures": _Measure("probe-failures", {"target": "{}"}, in_a_row=True),
    "cpu": _Measure("cpu-usage", {"hosts": 'instance=~"{}.*"'}, share=True),
    "cpu_usage": _Measure("cpu-usage", {"hosts": 'instance=~"{}.*"'}, share=True),
    "db_connection_errors": _Measure("database-connection-errors", {"service": "{}"}),
    "database_connection_errors": _Measure("database-connection-errors", {"service": "{}"}),
}
"""What monitors call what the library measures."""


class Became(NamedTuple):
    """What became of one trigger. `why`: it was not carried."""

    name: str
    keys: dict[str, Any]
    notes: list[str]
    why: str = ""


class Around(NamedTuple):
    """What the triggers of one file have in common."""

    plan: str
    service: str
    severity: str


def carry(raw: Any, around: Around, names: Names) -> Became:
    called = one_line(str(raw.get("metric"))) if isinstance(raw, dict) else "a trigger"
    notes: list[str] = []
    try:
        keys = _condition(raw, around.service, notes)
    except CannotCarry as cannot:
        return Became(called, {}, notes, str(cannot))
    use = {key: keys.pop(key) for key in ("use", "set") if key in keys}
    own = {} if use else {"category": "metric"}
    name = names.take(f"{around.plan}-{called}".replace("_", "-"))
    head = {**use, "trigger": name, **own, "severity": around.severity, "action": "shadow"}
    return Became(called, {**head, **keys, "plan": around.plan}, notes)


def _condition(raw: Any, service: str, notes: list[str]) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise CannotCarry("it is no mapping")
    metric, threshold = raw.get("metric"), raw.get("threshold")
    if not isinstance(metric, str) or not re.fullmatch(r"[A-Za-z_:][A-Za-z0-9_:]{0,200}", metric, re.ASCII):
        raise CannotCarry("its `metric` is no name of a metric")
    if not is_number(threshold) or not math.isfinite(threshold):
        raise CannotCarry("its `threshold` is no number")
    operator = _operator(raw, notes)
    notes += [f"the key {one_line(key)} is lost" for key in raw if key not in _KEYS]
    in_a_row = raw.get("consecutive", False)
    if not isinstance(in_a_row, bool):
        raise CannotCarry("its `consecutive` is neither true nor false")
    windows = _in_a_row(operator, float(threshold), raw, notes) if in_a_row else _windows(raw, notes)
    measured = _measured(metric, operator, float(threshold), in_a_row, windows, service, notes)
    if measured is not None:
        return measured
    notes.append(
        f"`{metric}` is asked of Prometheus by this name: correct the expression where it is another"
    )
    worst = "min" if operator in ("<", "<=") else "max"
    breach = "> 0" if in_a_row else limit(operator, float(threshold))
    return {"expr": f"{worst}({metric})", "breach": breach, "windows": windows}


def _operator(raw: Mapping[str, Any], notes: list[str]) -> str:
    said = raw.get("comparison")
    if said is None:
        notes.append("no comparison is said: greater_than")
        return ">"
    if not isinstance(said, str) or said not in _COMPARISONS:
        raise CannotCarry(f"its `comparison` {one_line(str(said))} is none of {_COMMON}")
    return _COMPARISONS[said]


def _measured(
    metric: str, operator: str, threshold: float, in_a_row: bool, windows: int, service: str, notes: list[str]
) -> dict[str, Any] | None:
    """An entry that uses the library's template for the metric; None where none says the same."""
    measure = _MEASURES.get(metric)
    if measure is None or operator not in (">", ">=") or measure.in_a_row is not in_a_row:
        return None
    values: dict[str, Any] = {key: text.format(service) for key, text in measure.set.items()}
    notes.append(
        f"library/{measure.template} measures it: `rollbackd library {measure.template}` tells of what"
    )
    if in_a_row:
        return {"use": f"library/{measure.template}", "set": {**values, "windows": windows}}
    scaled = threshold * (0.01 if measure.share and threshold > 1 else measure.scale)
    if threshold < 0 or (measure.share and scaled > 1):
        return None
    scaled = float(f"{scaled:.12g}")
    if scaled != threshold:
        notes.append(f"{threshold:g} is {scaled:g} there: {'a share' if measure.share else 'seconds'}")
    own = {} if operator == ">" else {"breach": limit(operator, scaled)}
    given = {**values, "threshold": int(scaled) if scaled.is_integer() else scaled}
    return {"use": f"library/{measure.template}", "set": given, **own, "windows": windows}


def is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18


def _in_a_row(operator: str, threshold: float, raw: Mapping[str, Any], notes: list[str]) -> int:
    """`> 3` in a row are four windows that each failed."""
    counts = {">": math.floor(threshold) + 1, ">=": math.ceil(threshold), "==": math.ceil(threshold)}
    windows = counts.get(operator, 0)
    if not 1 <= windows <= _MOST_WINDOWS:
        raise CannotCarry(f"`{operator} {threshold:g}` in a row is no count of windows")
    notes.append(
        f"{operator} {threshold:g} in a row: {windows} windows of {span(INTERVAL)} in which it failed"
    )
    if raw.get("duration_seconds") is not None:
        notes.append("its duration_seconds is lost: it counts what fails in a row")
    return windows


def _windows(raw: Mapping[str, Any], notes: list[str]) -> int:
    seconds = raw.get("duration_seconds")
    if seconds is None:
        notes.append("no duration_seconds is said: one window fires; think of 2 or more")
        return 1
    if not is_number(seconds) or not 0 <= seconds * 1000 <= _MOST_WINDOWS * INTERVAL:
        raise CannotCarry("its `duration_seconds` is no number of seconds that windows can cover")
    windows = max(1, math.ceil(seconds * 1000 / INTERVAL))
    exact = windows * INTERVAL == seconds * 1000
    notes.append(f"{seconds:g} s are {windows} windows of {span(INTERVAL)}{'' if exact else ', rounded up'}")
    return windows
