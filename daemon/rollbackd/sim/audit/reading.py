"""What an answer of Prometheus means for one subject: an own reading of W2, W3, W10 and W14."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.sim.audit.book import Doc
    from rollbackd.sim.tape import Answer, Ms, Told


class Reading(NamedTuple):
    verdict: str  # "" where nothing was heard, or its samples are still to come
    value: str | None = None
    counts: str = ""  # of a missing verdict: what its parts' own `no_data` make of it (W10)


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

    def possible(self, subject: str) -> list[Reading]:
        """What may come of it: what it says, and what it is once it is too late to say more."""
        return [self.read(subject)]

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


class Whole:
    """One window of a composed condition, as one `Told` gave it (W10); else as `Window`."""

    __slots__ = ("begin", "condition", "later", "parts", "steady")

    def __init__(self, told: Told, index: int, condition: Doc, begin: Ms) -> None:
        self.steady = told.steady
        self.condition = condition
        self.begin = begin
        self.later: list[Whole] = []
        self.parts = [
            Window(replace(told, answers=answers), index, leaf, begin)
            for leaf, answers in apart(condition, told.answers)
        ]

    @property
    def failure(self) -> str:
        failures = {part.failure for part in self.parts}
        return failures.pop() if len(failures) == 1 else ""

    @property
    def values(self) -> dict[str, None]:
        return dict.fromkeys(self.subjects())

    def subjects(self) -> Iterator[str]:
        yield from dict.fromkeys(subject for part in self.parts for subject in part.subjects())

    def read(self, subject: str) -> Reading:
        readings = (moment.read_once(subject) for moment in (self, *self.later))
        return next((reading for reading in readings if reading.verdict), UNHEARD)

    def read_once(self, subject: str) -> Reading:
        return weigh(self.condition, [part.read_once(subject) for part in self.parts])

    def possible(self, subject: str) -> list[Reading]:
        found = [self.read(subject)]
        for moment in (self, *self.later) if not found[0].verdict else ():
            parts = [part.read_once(subject) for part in moment.parts]
            found.append(weigh(self.condition, [each if each.verdict else NO_DATA for each in parts]))
        return found


def window_of(told: Told, index: int, condition: Doc, begin: Ms) -> Window | Whole:
    return (Whole if condition.get("parts") else Window)(told, index, condition, begin)


def leaves(condition: Doc) -> list[Doc]:
    parts = condition.get("parts")
    return [leaf for part in parts for leaf in leaves(part)] if parts else [condition]


def apart(condition: Doc, answers: tuple[Answer, ...]) -> Iterator[tuple[Doc, tuple[Answer, ...]]]:
    """The leaves, each with its answers: a value comes first of each."""
    begins = [place for place, answer in enumerate(answers) if answer.role == "value"]
    for leaf, (begin, end) in zip(leaves(condition), pairwise([*begins, len(answers)]), strict=True):
        yield leaf, answers[begin:end]


def unreachable(condition: Doc, answers: tuple[Answer, ...]) -> bool:
    """Whether no part of it was answered."""
    return all(_failure(own) == "unreachable" for _, own in apart(condition, answers))


def unheard(condition: Doc) -> Reading:
    """Of a window of which nothing is told."""
    return weigh(condition, [NO_DATA] * len(leaves(condition)))


def weigh(condition: Doc, said: list[Reading]) -> Reading:
    """Breach weighs 1, ok 0, what is missing a half: `all` weighs as its lightest part, `any` as its
    heaviest, and at a half those are to blame that weigh as much."""
    weight, blamed = _weigh(condition, iter(said))
    told = [reading.verdict for reading in said]
    if weight == 0.5:
        verdicts = {verdict for verdict, _ in blamed}
        if "" in verdicts:
            return UNHEARD
        resets = any(own == "reset" and verdict != "low_traffic" for verdict, own in blamed)
        verdict = next(each for each in ("unknown", "no_data", "low_traffic") if each in verdicts)
        return Reading(verdict, counts="reset" if resets else "")
    decided = "breach" if weight else "ok"
    if "breach" not in told and "ok" not in told:
        return Reading("unknown" if "unknown" in told else "no_data", counts=decided)
    shown = [reading.value or "-" if reading.verdict in ("breach", "ok") else "-" for reading in said]
    return Reading(decided, ", ".join(shown))


def _weigh(condition: Doc, said: Iterator[Reading]) -> tuple[float, list[tuple[str, str]]]:
    parts = condition.get("parts")
    if parts:
        found = [_weigh(part, said) for part in parts]
        weight = (min if condition["how"] == "all" else max)(each for each, _ in found)
        return weight, [one for each, blamed in found if each == weight for one in blamed]
    verdict, own = next(said).verdict, condition.get("no_data") or ""
    if verdict in ("no_data", "unknown") and own in ("breach", "ok"):
        verdict = own
    if verdict in ("breach", "ok"):
        return float(verdict == "breach"), []
    return 0.5, [(verdict, own)]
