"""A window that is passed over leaves a watch as judging it in full would (W2, W4, W5, W14)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.fakes import made
from tests.fakes.made import INTERVAL, START

from rollbackd.core import polling, quiet
from rollbackd.core.model import OPERATORS, Condition, Limit, composed
from rollbackd.core.signals import QueryAnswer, Series, Unreachable, Unusable, WindowsAnswered
from rollbackd.core.windows import Watch

VALUES = ["0", "0.5", "1", "1.0", "2", "-1", "1e3", "NaN", "+Inf", "-Inf", "nonsense"]
SUBJECTS = ["a", "b", "c"]
CONDITIONS = {
    "plain": Condition("x", Limit(">", 1)),
    "covered": Condition("x", Limit(">", 1), coverage=("newest", "other")),
    "traffic": Condition("x", Limit(">", 1), traffic="t", at_least=1, coverage=("newest",)),
    "ratio": Condition("x", Limit(">", 1), total="t", traffic="t", at_least=1, coverage=("newest",)),
}
CONDITIONS["composed"] = composed(
    "all",
    [
        CONDITIONS["covered"],
        composed("any", [CONDITIONS["ratio"], replace(CONDITIONS["plain"], no_data="breach")]),
    ],
)


def watch(condition: Condition) -> Watch:
    trigger = made.trigger(condition=condition, per=("cohort",))
    return Watch("w", trigger, condition, START)


def state(one: Watch) -> dict[str, Any]:
    """All that a watch knows, by value. What `pass_over` may leave as it is: which evidence it had."""
    told = {
        name: value for name, value in vars(one).items() if name not in ("streaks", "partial", "condition")
    }
    streaks = {key: [getattr(each, name) for name in each.__slots__] for key, each in one.streaks.items()}
    partial = one.partial and (one.partial.end, one.partial.waiting, one.partial.tries)
    return {**told, "verdicts": dict(one.verdicts), "streaks": streaks, "partial": partial}


def take(one: Watch, answers: tuple[QueryAnswer, ...], number: int, *, quietly: bool) -> bool:
    """The window's asks, and its answer; whether it was passed over."""
    end = START + number * INTERVAL
    polling.next_asks(one, end, 0)
    signal = WindowsAnswered(one.key, (end,), answers, 0)
    if quietly and quiet.pass_over(one, signal, end + 5):
        return True
    list(polling.answered(one, signal, end + 5, lambda _: 0))
    return False


def newest(number: int, kind: str) -> str:
    begin = (START + (number - 1) * INTERVAL) / 1000
    return {"inside": f"{begin + 9}", "edge": f"{begin}", "before": f"{begin - 60}", "none": "NaN"}[kind]


well = st.fixed_dictionaries({subject: st.just("0.5") for subject in SUBJECTS})
any_values = st.dictionaries(st.sampled_from(SUBJECTS), st.sampled_from(VALUES))
enough = st.fixed_dictionaries({subject: st.just("9") for subject in SUBJECTS})
samples = st.one_of(
    st.fixed_dictionaries({subject: st.just("inside") for subject in SUBJECTS}),
    st.fixed_dictionaries({"*": st.just("inside")}),
    st.dictionaries(st.sampled_from([*SUBJECTS, "*"]), st.sampled_from(["inside", "edge", "before", "none"])),
)
windows = st.tuples(
    st.one_of(well, well, any_values),
    st.one_of(enough, enough, any_values),
    st.one_of(samples),
    st.sampled_from(["", "", "", "", "unusable", "unreachable"]),
)


def among(window: Any, subjects: list[str]) -> Any:
    """The same window, where there are no other subjects."""
    *told, failed = window
    known = {*subjects, "*"}
    return (*({name: each for name, each in one.items() if name in known} for one in told), failed)


def breaching(condition: Condition, limit: Limit) -> Condition:
    parts = tuple(breaching(part, limit) for part in condition.parts)
    return replace(condition, parts=parts, breach=limit)


def answers_to(condition: Condition, row: list[Any], number: int) -> tuple[QueryAnswer, ...]:
    """Each leaf has a window of its own."""
    found = (
        answers_of(leaf, row[(number + n) % len(row)], number) for n, leaf in enumerate(condition.leaves())
    )
    return tuple(answer for each in found for answer in each)


def answers_of(condition: Condition, window: Any, number: int) -> tuple[QueryAnswer, ...]:
    values, traffic, times, failed = window
    queries = len(condition.coverage) + (1 if condition.traffic is None else 2)
    if failed:
        return (Unusable("422") if failed == "unusable" else Unreachable("refused"),) * queries
    covered = Series(({subject: newest(number, kind) for subject, kind in times.items()},))
    first = [Series((values,))] if condition.traffic is None else [Series((values,)), Series((traffic,))]
    return (*first, *[covered] * len(condition.coverage))


@given(
    st.sampled_from(sorted(CONDITIONS)),
    st.sampled_from(sorted(OPERATORS)),
    st.sampled_from([SUBJECTS, SUBJECTS[:1]]),
    st.lists(windows, min_size=2, max_size=6),
)
def test_passed_over_or_judged_in_full(kind: str, operator: Any, subjects: list[str], row: list[Any]) -> None:
    condition = breaching(CONDITIONS[kind], Limit(operator, 1.0))
    quick, full = watch(condition), watch(condition)
    row = [among(window, subjects) for window in row]
    for number in range(1, len(row) + 1):
        answers = answers_to(condition, row, number)
        take(quick, answers, number, quietly=True)
        take(full, answers, number, quietly=False)
        assert state(quick) == state(full)


TIMES: list[dict[str, str]] = [
    *({"a": kind} for kind in ("inside", "edge", "before", "none")),
    *({"*": kind} for kind in ("inside", "edge", "before", "none")),
    {},
    {"b": "inside"},
    {"a": "inside", "*": "before"},
    {"a": "inside", "b": "before"},
]


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_a_subject_alone_is_passed_over_or_judged_in_full(operator: Any) -> None:
    """As nearly all triggers have, where there are many: every value, every time of its sample."""
    condition = Condition("x", Limit(operator, 1.0), coverage=("newest",))
    well = next(text for text in ("1", "0.5", "2") if not OPERATORS[operator](float(text), 1.0))
    first: Any = ({"a": well}, {}, {"a": "inside"}, "")
    values: list[dict[str, str]] = [{}, *({"a": text} for text in VALUES), {"a": well, "b": well}]
    for value, times in itertools.product(values, TIMES):
        quick, full = watch(condition), watch(condition)
        for number, window in enumerate([first, (value, {}, times, "")], 1):
            answers = answers_of(condition, window, number)
            take(quick, answers, number, quietly=True)
            take(full, answers, number, quietly=False)
        assert state(quick) == state(full), (value, times)


@pytest.mark.parametrize("kind", sorted(CONDITIONS))
@pytest.mark.parametrize("subjects", [SUBJECTS, SUBJECTS[:1]])
def test_all_well_is_passed_over_from_the_second_window_on(kind: str, subjects: list[str]) -> None:
    one = watch(CONDITIONS[kind])
    sunny = (*(dict.fromkeys(subjects, each) for each in ("0.5", "9", "inside")), "")
    found = [
        take(one, answers_to(one.condition, [sunny], number), number, quietly=True) for number in (1, 2, 3)
    ]
    assert found == [False, True, True]


def test_what_was_wrong_with_a_part_is_over_where_the_next_window_is_passed_over() -> None:
    """It decided nothing, so that the window before was well all the same (W10)."""
    condition = composed("all", [CONDITIONS["plain"], CONDITIONS["plain"], CONDITIONS["plain"]])
    quick, full = watch(condition), watch(condition)
    well = Series(({"a": "0.5"},))
    told: list[tuple[QueryAnswer, ...]] = [(well, Unreachable("refused"), Unusable("422")), (well,) * 3]
    for number, answers in enumerate(told, 1):
        passed = take(quick, answers, number, quietly=True)
        take(full, answers, number, quietly=False)
        assert state(quick) == state(full)
    assert (passed, quick.lost, quick.problem) == (True, None, None)
