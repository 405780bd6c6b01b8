"""What an answer of Prometheus means for one subject: an own reading of W2, W3 and W14."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.sim.audit.book import Doc
    from rollbackd.sim.tape import Answer, Ms, Told


class Reading(NamedTuple):
    verdict: str  # "" where nothing was heard, or its samples are still to come
    value: str | None = None


UNHEARD = Reading("")
NO_DATA = Reading("no_data")


def breaches(value: float, limit: Doc) -> bool:
    bound: float = limit["value"]
    match limit["op"]:
        case ">":
            return value > bound
        case ">=":
            return value >= bound
        case "<":
            return value < bound
        case "<=":
            return value <= bound
        case "==":
            return value == bound
    return value != bound


class Window:
    """One window as one `Told` gave it; `later`: at later moments of its grace (W1)."""

    __slots__ = ("begin", "condition", "coverage", "failure", "later", "steady", "traffic", "values")

    def __init__(self, told: Told, index: int, condition: Doc, begin: Ms) -> None:
        self.steady = told.steady
        self.condition = condition
        self.begin = begin
        self.later: list[Window] = []
        self.failure = _failure(told.answers)
        self.values: dict[str, str] = {}
        self.traffic: dict[str, str] | None = None
        self.coverage: list[dict[str, str]] = []
        if self.failure:
            return
        for answer in told.answers:
            series = answer.windows[index] if answer.windows is not None else {}
            if answer.role == "value":
                self.values = series
            elif answer.role == "traffic":
                self.traffic = series
            else:
                self.coverage.append(series)

    def subjects(self) -> Iterator[str]:
        yield from self.values
        for subject in self.traffic or ():
            if subject not in self.values:
                yield subject

    def read(self, subject: str) -> Reading:
        """By the first moment at which its sample is there."""
        readings = (moment.read_once(subject) for moment in (self, *self.later))
        return next((reading for reading in readings if reading.verdict), UNHEARD)

    def read_once(self, subject: str) -> Reading:
        if self.failure:
            return Reading("unknown") if self.failure == "unusable" else UNHEARD
        try:
            reading = self._judge(subject)
            covered = not self.coverage or self._covered(subject, reading.verdict)
        except ValueError:  # not a number: the answer has a wrong shape (W2)
            self.failure = "unusable"
            return Reading("unknown")
        return reading if covered else UNHEARD

    def _judge(self, subject: str) -> Reading:
        text, condition = self.values.get(subject), self.condition
        value = float(text) if text is not None else None
        if self.traffic is None:
            if value is None or not isfinite(value):
                return NO_DATA
            return Reading("breach" if breaches(value, condition["breach"]) else "ok", text)
        known = self.traffic.get(subject)
        if known is None or not isfinite(traffic := float(known)):
            return NO_DATA
        if traffic < condition.get("at_least", 0.0):
            return Reading("low_traffic")
        if condition.get("total") is not None:
            text = f"{text or '0'}/{known}"
            value = 0.0 if value is None else value
            if traffic == 0 or not isfinite(value):
                return NO_DATA
            value /= traffic
        elif value is None or not isfinite(value):
            return NO_DATA
        return Reading("breach" if breaches(value, condition["breach"]) else "ok", text)

    def _covered(self, subject: str, verdict: str) -> bool:
        for newest in self.coverage:
            text = newest.get(subject, newest.get("*"))
            if text is None:
                if verdict != "no_data":
                    return False
            elif not float(text) > self.begin / 1000:
                return False
        return True


def _failure(answers: tuple[Answer, ...]) -> str:
    failures = {answer.failure for answer in answers}
    return "unreachable" if "unreachable" in failures else "unusable" if "unusable" in failures else ""
