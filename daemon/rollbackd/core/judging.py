"""From answers to verdicts: one window of one condition, for every subject at once (W2, W3, W10, W14).

Ten thousand subjects pass through here each window, so the loops are plain and nothing is made for
a subject that is well.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, TypeVar

from rollbackd.core.composition import NOTHING, Composed, Heard, compose
from rollbackd.core.effects import WindowQuery
from rollbackd.core.model import OPERATORS, Condition, Ms, Verdict
from rollbackd.core.signals import Series, Unreachable, Unusable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rollbackd.core.model import NoData
    from rollbackd.core.signals import QueryAnswer

T = TypeVar("T")

EVERYONE = "*"
"""The key of a coverage value that stands for every subject."""


def window_queries(condition: Condition) -> tuple[WindowQuery, ...]:
    """What to ask for one window; `judge` reads the answers in this order."""
    queries = []
    for leaf in condition.leaves():
        queries.append(WindowQuery(leaf.expr))
        if leaf.traffic is not None:
            queries.append(WindowQuery(leaf.traffic, "traffic"))
        queries += [WindowQuery(expr, "coverage") for expr in leaf.coverage]
    return tuple(queries)


def by_leaf(condition: Condition, answers: Sequence[T]) -> Iterator[tuple[Condition, Sequence[T]]]:
    """Each leaf with the answers to its queries."""
    if condition.how == "one":
        yield condition, answers
        return
    at = 0
    for leaf in condition.leaves():
        first, at = at, at + 1 + (leaf.traffic is not None) + len(leaf.coverage)
        yield leaf, answers[first:at]


def unreachable(condition: Condition, answers: Sequence[QueryAnswer]) -> str | None:
    """Why nothing of these windows was answered; None where a whole leaf was, at least (W6, W10)."""
    reasons = [first_unreachable(found) for _, found in by_leaf(condition, answers)]
    return None if None in reasons else reasons[0]


def first_unreachable(answers: Sequence[QueryAnswer]) -> str | None:
    return next((answer.reason for answer in answers if isinstance(answer, Unreachable)), None)


class Judgement:
    """The verdicts of one window.

    `uncovered` are the subjects whose decisive samples do not lie inside the window (W14);
    `problem` says why no answer was usable (W2), `lost` why a part of it has none (W10); `newest` is the
    first coverage query's answer; `no_data` says how a missing verdict counts, where its trigger does not.
    """

    __slots__ = (
        "_traffic",
        "_values",
        "floor",
        "lost",
        "newest",
        "no_data",
        "problem",
        "ratio",
        "uncovered",
        "verdicts",
    )

    def __init__(self, *, ratio: bool = False) -> None:
        self.verdicts: dict[str, Verdict] = {}
        self.uncovered: set[str] = set()
        self.problem: str | None = None
        self.lost: str | None = None
        self.newest: dict[str, str] = {}
        self.no_data: dict[str, NoData] = {}
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

    def complete(self, known: Iterable[str], waiting: Iterable[str], *, aligned: bool) -> None:
        """A verdict for every known subject that it does not speak of. Where windows are aligned, its sample
        may be late: a range as short as the window holds nothing then. `waiting`: whom it is judged for
        again."""
        verdicts = self.verdicts
        silent: Verdict = "no_data" if self.problem is None else "unknown"
        for subject in known:
            if subject not in verdicts:
                verdicts[subject] = silent
                if aligned and self.behind(subject):
                    self.uncovered.add(subject)

    def closed(self, waiting: Iterable[str]) -> Judgement:
        """What it is for those who waited, once it is too late for what they waited for (W14)."""
        judgement = Judgement()
        judgement.verdicts = dict.fromkeys(waiting, "no_data")
        return judgement

    def heard(self, subject: str) -> bool:
        """Whether anything was told of the subject: else it may be gone (W5)."""
        return self.verdicts.get(subject, "no_data") != "no_data"

    def samples(self) -> tuple[dict[str, str] | None, ...]:
        """For each leaf `newest`; None where it was not answered."""
        return (self.newest,)


class Composition(Judgement):
    """The judgement of a composed condition (W10). Its verdicts are those of its leaves once it is
    completed; a leaf that was not answered waits like samples that are late."""

    __slots__ = ("_condition", "_leaves")

    def __init__(self, condition: Condition, leaves: Sequence[Judgement | Unreachable]) -> None:
        super().__init__()
        self._condition = condition
        self._leaves = leaves
        self.problem = next((leaf.problem for leaf in self._answered() if leaf.problem), None)
        self.lost = next((leaf.reason for leaf in leaves if isinstance(leaf, Unreachable)), None)

    def _answered(self) -> Iterator[Judgement]:
        return (leaf for leaf in self._leaves if isinstance(leaf, Judgement))

    def complete(self, known: Iterable[str], waiting: Iterable[str], *, aligned: bool) -> None:
        spoken = (leaf.verdicts for leaf in self._answered())
        subjects = dict.fromkeys(subject for each in (*spoken, known, waiting) for subject in each)
        for leaf in self._answered():
            leaf.complete(subjects, (), aligned=aligned)
        for subject in subjects:
            self._put(subject, compose(self._condition, [_heard(leaf, subject) for leaf in self._leaves]))

    def _put(self, subject: str, composed: Composed) -> None:
        if composed.verdict is None:
            self.verdicts[subject] = "no_data"
            self.uncovered.add(subject)
            return
        self.verdicts[subject] = composed.verdict
        if composed.no_data is not None:
            self.no_data[subject] = composed.no_data

    def closed(self, waiting: Iterable[str]) -> Judgement:
        judgement = Composition(self._condition, [_late(leaf) for leaf in self._leaves])
        judgement.lost = self.lost
        for subject in waiting:
            heard = [_heard(leaf, subject) for leaf in judgement._leaves]
            judgement._put(subject, compose(self._condition, heard))
        return judgement

    def heard(self, subject: str) -> bool:
        return any(_heard(leaf, subject) != NOTHING for leaf in self._leaves)

    def samples(self) -> tuple[dict[str, str] | None, ...]:
        return tuple(leaf.newest if isinstance(leaf, Judgement) else None for leaf in self._leaves)

    def value(self, subject: str) -> str | None:
        """The leaves' readings, `-` for one that told neither `breach` nor `ok`."""
        return ", ".join(_reading(leaf, subject) for leaf in self._leaves)


def nothing(condition: Condition) -> Judgement:
    """Of a window that was never answered."""
    if condition.how == "one":
        return Judgement()
    return Composition(condition, [Judgement() for _ in condition.leaves()])


def _heard(leaf: Judgement | Unreachable, subject: str) -> Heard:
    if isinstance(leaf, Unreachable):
        return Heard("no_data", waits=True)
    return Heard(leaf.verdicts.get(subject, "no_data"), subject in leaf.uncovered)


def _reading(leaf: Judgement | Unreachable, subject: str) -> str:
    told = _heard(leaf, subject)
    if isinstance(leaf, Unreachable) or told.waits or told.verdict not in ("breach", "ok"):
        return "-"
    return leaf.value(subject) or "-"


def _late(leaf: Judgement | Unreachable) -> Judgement:
    """The leaf without those who wait."""
    if isinstance(leaf, Unreachable):
        return Judgement()
    judgement = Judgement(ratio=leaf.ratio)
    judgement._values, judgement._traffic, judgement.problem = leaf._values, leaf._traffic, leaf.problem
    kept = leaf.verdicts.items()
    judgement.verdicts = {
        subject: "no_data" if subject in leaf.uncovered else verdict for subject, verdict in kept
    }
    return judgement


def judge(
    condition: Condition, answers: Sequence[QueryAnswer], window: int, begin: Ms
) -> Judgement | Unreachable:
    """The verdicts of the `window`-th window in the answers, which begins at `begin` (ms, Prometheus);
    those of a composed condition once it is completed."""
    if condition.how == "one":
        return _judge(condition, answers, window, begin)
    leaves = [_judge(leaf, found, window, begin) for leaf, found in by_leaf(condition, answers)]
    if all(isinstance(leaf, Unreachable) for leaf in leaves):
        return leaves[0]
    return Composition(condition, leaves)


def _judge(
    condition: Condition, answers: Sequence[QueryAnswer], window: int, begin: Ms
) -> Judgement | Unreachable:
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
    coverage = [
        answer.windows
        for leaf, found in by_leaf(condition, answers)
        for answer in found[1 if leaf.traffic is None else 2 :]
        if isinstance(answer, Series)
    ]
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
