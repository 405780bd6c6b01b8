"""Tests of triggers, run: the live engine over what each case answers, and what it did against `expect`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Literal, get_args

from msgspec import Struct

from rollbackd.config.suites import Case, Expected, Instance
from rollbackd.core.model import Action, Trigger, Verdict
from rollbackd.sim.replay.outcome import Fire, Outcome
from rollbackd.sim.replay.replaying import replay
from rollbackd.tuning.evaluation import Answered, asked, given

Aspect = Literal["fires", "recovers", "no data", "low traffic"]
ASPECTS: tuple[Aspect, ...] = get_args(Aspect)


class Mismatch(Struct, frozen=True):
    """`key` of `expect`, in that line of the file, is not so: why, in one line."""

    key: Expected
    line: int
    what: str


class Result(Struct, frozen=True):
    """Of one case. `skipped`: why it could not be run; then nothing else is known. `seen`: what the trigger
    went through. `unusable`: why answers of Prometheus meant nothing, if any did."""

    case: Case
    mismatches: tuple[Mismatch, ...] = ()
    skipped: str = ""
    seen: frozenset[Aspect] = frozenset()
    unusable: str = ""

    @property
    def passed(self) -> bool:
        return not self.skipped and not self.mismatches


def run(cases: Sequence[Case], instance: Instance) -> list[Result]:
    """The cases' results, in their order. A Prometheus runs for it only where a case has series."""
    prometheus = iter(asked([case for case in cases if case.model.input_series is not None], instance))
    answers = [given(case) if case.model.input_series is None else next(prometheus) for case in cases]
    return [
        Result(case, skipped=answer) if isinstance(answer, str) else _result(answer, instance.max_action)
        for case, answer in zip(cases, answers, strict=True)
    ]


class _Did(Struct, frozen=True):
    """What the trigger did for the case's subject: a verdict a window, fires with their windows."""

    strip: tuple[Verdict, ...]
    fires: tuple[tuple[int, Fire], ...]
    streak: int


def _result(answered: Answered, ceiling: Action) -> Result:
    placed = answered.placed
    did = _did(placed.case, replay(placed.trigger, [answered.history], max_action=ceiling))
    return Result(placed.case, tuple(_mismatches(placed.case, did)), "", _seen(did), answered.unusable)


def _did(case: Case, outcome: Outcome) -> _Did:
    """A subject that was not seen yet, or is forgotten, has no data."""
    first, interval = outcome.ends[0], outcome.trigger.interval
    strip: list[Verdict] = ["no_data"] * case.windows
    streak = 0
    for subject in outcome.subjects:
        if subject.key == case.subject:
            streak = subject.streak
            for run in subject.runs:
                at = (run.first - first) // interval
                strip[at : at + run.windows] = [run.verdict] * run.windows
    fires = [fire for fire in outcome.fires if case.subject in fire.subjects]
    return _Did(tuple(strip), tuple(((fire.end - first) // interval + 1, fire) for fire in fires), streak)


def _seen(did: _Did) -> frozenset[Aspect]:
    """No data counts once there was some: that a rate takes two samples to begin shows nothing."""
    seen: set[Aspect] = set()
    if did.fires:
        seen.add("fires")
    open_, known = False, False
    for verdict in did.strip:
        if verdict == "ok" and open_:
            seen.add("recovers")
        if verdict == "low_traffic":
            seen.add("low traffic")
        if verdict in ("no_data", "unknown") and known:
            seen.add("no data")
        open_ = verdict == "breach" or (open_ and verdict != "ok")
        known = known or verdict not in ("no_data", "unknown")
    return frozenset(seen)


# Against what was expected


def _mismatches(case: Case, did: _Did) -> Iterator[Mismatch]:
    expect = case.model.expect
    fired = [window for window, _ in did.fires]
    actions = [fire.action for _, fire in did.fires]
    if expect.fires is not None and expect.fires != fired:
        what = f"expected {_listed(expect.fires)}, got {_listed(fired)}"
        yield _mismatch(case, "fires", f"{what} ({strip_text(did.strip)})")
    if expect.verdicts is not None and expect.verdicts != did.strip:
        yield _mismatch(case, "verdicts", _difference(expect.verdicts, did.strip))
    if expect.streak is not None and expect.streak != did.streak:
        what = f"expected {expect.streak}, got {did.streak}"
        yield _mismatch(case, "streak", f"{what} ({strip_text(did.strip)})")
    if expect.actions is not None and expect.actions != actions:
        lowered = dict.fromkeys(why for _, fire in did.fires for why in fire.lowered)
        what = f"expected {_listed(expect.actions)}, got {_listed(actions)}"
        yield _mismatch(case, "actions", what + (f" ({'; '.join(lowered)})" if lowered else ""))


def _mismatch(case: Case, key: Expected, what: str) -> Mismatch:
    return Mismatch(key, case.line("expect", key), what)


def _difference(expected: Sequence[Verdict], got: Sequence[Verdict]) -> str:
    """The first window that differs, then both strips."""
    window = next(at for at, (one, other) in enumerate(zip(expected, got, strict=True)) if one != other)
    what = f"window {window + 1}: expected {expected[window]}, got {got[window]}"
    return f"{what} (expected {strip_text(expected)}; got {strip_text(got)})"


MOST_RUNS = 16


def strip_text(strip: Iterable[Verdict]) -> str:
    """`ok breachx8`, as `verdicts:` takes it; where it is long, its beginning."""
    runs = [(verdict, len(list(run))) for verdict, run in groupby(strip)]
    words = [verdict if count == 1 else f"{verdict}x{count}" for verdict, count in runs]
    return " ".join(words if len(words) <= MOST_RUNS else [*words[:MOST_RUNS], "…"])


def _listed(values: Iterable[object]) -> str:
    return f"[{', '.join(map(str, values))}]"


# Coverage


class Covered(Struct, frozen=True):
    """What passing tests show of one trigger. `tests`: how many there are, whatever came of them. `wanted`:
    what there is to be shown; low traffic only where the trigger looks at traffic."""

    trigger: str
    tests: int
    seen: frozenset[Aspect]
    wanted: tuple[Aspect, ...]

    @property
    def gaps(self) -> tuple[Aspect, ...]:
        return tuple(aspect for aspect in self.wanted if aspect not in self.seen)


def covered(triggers: Mapping[str, Trigger], results: Iterable[Result]) -> list[Covered]:
    """Of each of these triggers, in their order."""
    found: dict[str, list[Result]] = {name: [] for name in triggers}
    for result in results:
        found[result.case.model.trigger].append(result)
    return [_covered(name, trigger, found[name]) for name, trigger in triggers.items()]


def _covered(name: str, trigger: Trigger, results: Sequence[Result]) -> Covered:
    seen = frozenset(aspect for result in results if result.passed for aspect in result.seen)
    floor = any(leaf.at_least > 0 for leaf in trigger.condition.leaves())
    wanted = tuple(aspect for aspect in ASPECTS if floor or aspect != "low traffic")
    return Covered(name, len(results), seen, wanted)
