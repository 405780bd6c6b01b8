"""What composed conditions mean: Kleene's tables, and every window against a brute-force oracle (W10)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from tests.core.kleene import ALL, ANY, TREES, cells, oracle, owns
from tests.fakes import made

from rollbackd.core.composition import Heard, compose, unheard
from rollbackd.core.judging import judge, window_queries
from rollbackd.core.model import Condition, Limit, NoData, Verdict, composed
from rollbackd.core.signals import QueryAnswer, Series, Unreachable, Unusable

LETTERS: dict[str, Heard] = {
    "B": Heard("breach"),
    "o": Heard("ok"),
    "?": Heard("unknown"),
    "_": Heard("no_data"),
    "L": Heard("low_traffic"),
    "w": Heard("no_data", waits=True),
}
SAID: dict[str, Verdict | None] = {key: None if one.waits else one.verdict for key, one in LETTERS.items()}


def leaf(no_data: NoData | None = None, name: str = "x", **changes: Any) -> Condition:
    return Condition(name, Limit(">", 1), no_data=no_data, **changes)


@pytest.mark.parametrize(("how", "table"), [("all", ALL), ("any", ANY)])
def test_kleenes_tables(how: Any, table: str) -> None:
    found = cells(table)
    assert len(found) == 36
    for one, other, cell in found:
        said = compose(composed(how, [leaf(), leaf()]), [LETTERS[one], LETTERS[other]])
        assert said == (SAID[cell], None), (one, other)


@pytest.mark.parametrize("how", ["all", "any"])
@pytest.mark.parametrize("letter", LETTERS)
def test_one_part_alone_is_what_it_says(how: Any, letter: str) -> None:
    assert compose(composed(how, [leaf()]), [LETTERS[letter]]) == (SAID[letter], None)


BREACH, OK, KEEP, RESET = leaf("breach"), leaf("ok"), leaf("keep"), leaf("reset")
ONE = leaf()
OWN: list[tuple[Condition, str, str, NoData | None]] = [
    (composed("all", [ONE, BREACH]), "B_", "B", None),
    (composed("all", [ONE, BREACH]), "B?", "B", None),  # of unusable answers too
    (composed("all", [ONE, BREACH]), "BL", "L", None),  # but not of little traffic
    (composed("all", [ONE, BREACH]), "Bw", "w", None),  # nor before it is too late to come
    (composed("all", [ONE, BREACH]), "o_", "o", None),
    (composed("any", [ONE, BREACH]), "o_", "B", None),
    (composed("any", [ONE, OK]), "o_", "o", None),
    (composed("any", [ONE, OK]), "B_", "B", None),
    (composed("all", [ONE, OK]), "B_", "o", None),
    (composed("all", [ONE, KEEP]), "B_", "_", None),
    (composed("all", [ONE, RESET]), "B_", "_", "reset"),
    (composed("all", [ONE, RESET]), "B?", "?", "reset"),
    (composed("all", [ONE, RESET]), "_B", "_", None),  # the one that is missing keeps
    (composed("all", [ONE, RESET]), "BL", "L", None),
    (composed("all", [ONE, RESET]), "L_", "_", "reset"),
    (composed("all", [RESET, ONE]), "_o", "o", None),
    (composed("any", [composed("all", [ONE, RESET]), ONE]), "o__", "_", None),  # decided without it
    (composed("any", [composed("all", [ONE, RESET]), ONE]), "B__", "_", "reset"),
    (composed("any", [ONE, BREACH]), "__", "_", "breach"),  # nobody told anything: it proves nothing
    (composed("any", [ONE, BREACH]), "?_", "?", "breach"),
    (composed("any", [ONE, BREACH]), "L_", "_", "breach"),
    (composed("any", [ONE, BREACH]), "w_", "_", "breach"),
    (composed("all", [ONE, OK]), "__", "_", "ok"),
    (composed("all", [ONE, OK]), "L_", "_", "ok"),
    (composed("all", [OK, OK]), "__", "_", "ok"),
    (composed("all", [BREACH, OK]), "__", "_", "ok"),
    (composed("all", [BREACH, BREACH]), "__", "_", "breach"),
    (composed("all", [BREACH, ONE]), "__", "_", None),
]


@pytest.mark.parametrize(("condition", "letters", "verdict", "counts"), OWN)
def test_what_a_parts_own_no_data_does(
    condition: Condition, letters: str, verdict: str, counts: NoData | None
) -> None:
    assert compose(condition, [LETTERS[letter] for letter in letters]) == (SAID[verdict], counts)


def test_of_whom_nothing_is_told_counts_as_its_parts_say() -> None:
    assert unheard(composed("any", [ONE, BREACH])) == ("no_data", "breach")
    assert unheard(composed("all", [ONE, RESET])) == ("no_data", "reset")
    assert unheard(ONE) == ("no_data", None)


# Against a brute-force oracle


def condition_of(tree: Any, names: Any) -> Condition:
    how, inside = tree
    if how == "one":
        name = next(names)
        return leaf(inside, name, traffic=f"{name}/traffic", at_least=5, coverage=(f"{name}/newest",))
    return composed(how, [condition_of(each, names) for each in inside])


WINDOW = made.START
GLYPHS = {  # (value, traffic, whether its sample is in time) → what the leaf says
    "B": ("2", "9", True),
    "o": ("0", "9", True),
    "N": ("NaN", "9", True),
    "M": ("2", None, True),
    "L": ("2", "1", True),
    "_": (None, None, True),
    "w": ("2", "9", False),
}
SAYS = {
    **{"B": "breach", "o": "ok", "N": "no_data", "M": "no_data", "L": "low_traffic", "_": "no_data"},
    **{"w": "waits", "U": "unknown", "X": "waits"},
}
READS = {"B": "2", "o": "0"}


def answers_of(glyphs: dict[str, str]) -> list[QueryAnswer]:
    """One leaf's, from what it is to say of each subject; or `U` or `X` of all."""
    if "U" in glyphs.values() or "X" in glyphs.values():
        failed = Unusable("422") if "U" in glyphs.values() else Unreachable("refused")
        return [failed, Series(({},)), Series(({},))]
    told = {subject: GLYPHS[glyph] for subject, glyph in glyphs.items()}
    times = {True: WINDOW / 1000 + 5, False: WINDOW / 1000 - 60}
    return [
        Series(({subject: value for subject, (value, _, _) in told.items() if value is not None},)),
        Series(({subject: traffic for subject, (_, traffic, _) in told.items() if traffic is not None},)),
        Series(({subject: f"{times[fresh]}" for subject, (_, _, fresh) in told.items()},)),
    ]


@st.composite
def windows(draw: st.DrawFn) -> tuple[Any, list[dict[str, str]]]:
    tree = draw(TREES.filter(lambda tree: tree[0] != "one"))
    subjects = draw(st.sampled_from([[""], ["a", "b"]]))
    glyphs = []
    for _ in owns(tree):
        failed = draw(st.sampled_from(["", "", "", "", "U", "X"]))
        glyphs.append({s: failed or draw(st.sampled_from("BBBoooNML_w")) for s in subjects})
    return tree, glyphs


@given(windows())
def test_a_window_says_what_the_oracle_says(drawn: tuple[Any, list[dict[str, str]]]) -> None:
    tree, glyphs = drawn
    condition = condition_of(tree, iter(f"q{n}" for n in range(len(glyphs))))
    answers = [answer for each in glyphs for answer in answers_of(each)]
    assert len(window_queries(condition)) == len(answers)
    judgement = judge(condition, answers, 0, WINDOW)
    if all("X" in each.values() for each in glyphs):
        assert judgement == Unreachable("refused")
        return
    assert not isinstance(judgement, Unreachable)
    judgement.complete(glyphs[0], (), aligned=False)
    waiting = [subject for subject in glyphs[0] if subject in judgement.uncovered]
    late = judgement.closed(waiting)
    for subject in glyphs[0]:
        leaves = list(zip((SAYS[each[subject]] for each in glyphs), owns(tree), strict=True))
        verdict, counts = oracle(tree, leaves)
        event(verdict)
        assert (subject in waiting) == (verdict == "waits")
        if verdict == "waits":
            leaves = [("no_data" if said == "waits" else said, own) for said, own in leaves]
            verdict, counts = oracle(tree, leaves)
        said = late if subject in waiting else judgement
        assert (said.verdicts[subject], said.no_data.get(subject, "")) == (verdict, counts)
        assert said.value(subject) == ", ".join(READS.get(each[subject], "-") for each in glyphs)
        assert said.heard(subject) == any(one != "no_data" for one, _ in leaves)
