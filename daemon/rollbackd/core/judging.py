"""From answers to verdicts: one window of one condition, for every subject at once (W2, W3, W14).

Ten thousand subjects pass through here each window, so the loops are plain and nothing is made for
a subject that is well.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from rollbackd.core.effects import WindowQuery
from rollbackd.core.model import OPERATORS, Condition, Ms, Verdict
from rollbackd.core.signals import Series, Unreachable, Unusable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollbackd.core.signals import QueryAnswer

EVERYONE = "*"
"""The key of a coverage value that stands for every subject."""


def window_queries(condition: Condition) -> tuple[WindowQuery, ...]:
    """What to ask for one window; `judge` reads the answers in this order."""
    queries = [WindowQuery(condition.expr)]
    if condition.traffic is not None:
        queries.append(WindowQuery(condition.traffic, "traffic"))
    queries += [WindowQuery(expr, "coverage") for expr in condition.coverage]
    return tuple(queries)


class Judgement:
    """The verdicts of one window.

    `uncovered` are the subjects whose decisive samples do not lie inside the window (W14);
    `problem` says why no answer was usable (W2); `newest` is the first coverage query's answer.
    """

    __slots__ = ("_traffic", "_values", "floor", "newest", "problem", "ratio", "uncovered", "verdicts")

    def __init__(self, *, ratio: bool = False) -> None:
        self.verdicts: dict[str, Verdict] = {}
        self.uncovered: set[str] = set()
        self.problem: str | None = None
        self.newest: dict[str, str] = {}
        self.floor = 0.0  # seconds: what was sampled by then lies before the window
        self.ratio = ratio
        self._values: dict[str, str] = {}
        self._traffic: dict[str, str] = {}

    def behind(self, subject: str) -> bool:
        """Whether the first coverage query knows the subject, by a sample from before the window."""
        text = self.newest.get(subject, self.newest.get(EVERYONE))
        try:
            return text is not None and float(text) <= self.floor
        except ValueError:
            return False

    def value(self, subject: str) -> str | None:
        """The reading as Prometheus wrote it; a ratio as `errors/total`."""
        if not self.ratio:
            return self._values.get(subject)
        total = self._traffic.get(subject)
        return None if total is None else f"{self._values.get(subject, '0')}/{total}"


def judge(
    condition: Condition, answers: Sequence[QueryAnswer], window: int, begin: Ms
) -> Judgement | Unreachable:
    """The verdicts of the `window`-th window in the answers, which begins at `begin` (ms, Prometheus)."""
    judgement = Judgement(ratio=condition.total is not None)
    judgement.floor = begin / 1000
    series: list[dict[str, str]] = []
    for answer in answers:
        if isinstance(answer, Unreachable):
            return answer
        if isinstance(answer, Unusable):
            judgement.problem = judgement.problem or answer.reason
        else:
            series.append(answer.windows[window])
    if judgement.problem is not None:
        return judgement
    try:
        _fill(condition, judgement, series, begin)
    except ValueError as error:  # whoever asks has looked already; a bad number must not stop the engine
        judgement = Judgement()
        judgement.problem = f"not a number: {error}"
    return judgement


def moments(condition: Condition, answers: Sequence[QueryAnswer]) -> Iterator[int]:
    """Of one window asked at several moments: the first, and each at which a sample is there that was not."""
    yield 0
    first = 1 if condition.traffic is None else 2
    coverage = [answer.windows for answer in answers[first:] if isinstance(answer, Series)]
    for index in range(1, min(map(len, coverage), default=0)):
        if any(newest[index] != newest[index - 1] for newest in coverage):
            yield index


def _fill(condition: Condition, judgement: Judgement, series: list[dict[str, str]], begin: Ms) -> None:
    judgement._values = series[0]
    coverage = series[1:]
    if condition.traffic is not None:
        judgement._traffic = series[1]
        coverage = series[2:]
    if condition.total is not None:
        _ratio(condition, judgement)
    elif condition.traffic is not None:
        _with_traffic(condition, judgement)
    else:
        _plain(condition, judgement)
    if coverage:
        judgement.newest = coverage[0]
    for newest in coverage:
        _cover(judgement, newest, begin)


def _plain(condition: Condition, judgement: Judgement) -> None:
    breaches, limit = OPERATORS[condition.breach.op], condition.breach.value
    verdicts = judgement.verdicts
    for subject, text in judgement._values.items():
        value = float(text)
        if not isfinite(value):
            verdicts[subject] = "no_data"
        else:
            verdicts[subject] = "breach" if breaches(value, limit) else "ok"


def _with_traffic(condition: Condition, judgement: Judgement) -> None:
    _plain(condition, judgement)
    verdicts, values = judgement.verdicts, judgement._values
    for subject, text in judgement._traffic.items():
        traffic = float(text)
        if not isfinite(traffic):
            verdicts[subject] = "no_data"
        elif traffic < condition.at_least:
            verdicts[subject] = "low_traffic"
        elif subject not in values:
            verdicts[subject] = "no_data"
    for subject in values:
        if subject not in judgement._traffic:
            verdicts[subject] = "no_data"


def _ratio(condition: Condition, judgement: Judgement) -> None:
    breaches, limit = OPERATORS[condition.breach.op], condition.breach.value
    verdicts, errors = judgement.verdicts, judgement._values
    least = condition.at_least
    for subject, text in judgement._traffic.items():
        total = float(text)
        if not isfinite(total):
            verdicts[subject] = "no_data"
        elif total < least:
            verdicts[subject] = "low_traffic"
        else:
            value = float(errors.get(subject, "0"))
            if not isfinite(value) or total == 0:
                verdicts[subject] = "no_data"
            else:
                verdicts[subject] = "breach" if breaches(value / total, limit) else "ok"
    for subject in errors:
        if subject not in judgement._traffic:
            verdicts[subject] = "no_data"


def _cover(judgement: Judgement, newest: dict[str, str], begin: Ms) -> None:
    floor = begin / 1000
    everyone = newest.get(EVERYONE)
    for subject, verdict in judgement.verdicts.items():
        text = newest.get(subject, everyone)
        if text is None:
            if verdict != "no_data":
                judgement.uncovered.add(subject)
        elif not float(text) > floor:
            judgement.uncovered.add(subject)
