"""Promtool's notation of series, against promtool itself."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from rollbackd.config.series import MOST, Mark, Value, labels, parse

ABSENT, STALE, UNASKED = Mark.ABSENT, Mark.STALE, Mark.UNASKED

UNDERSTOOD: list[tuple[str, tuple[Value, ...]]] = [
    ("1", (1.0,)),
    ("-1.5 +2 .5 5. 1e3 1E-2", (-1.5, 2.0, 0.5, 5.0, 1000.0, 0.01)),
    ("010 008 -011", (8.0, 8.0, -9.0)),  # as Go reads whole numbers
    ("1x3", (1.0, 1.0, 1.0, 1.0)),
    ("0x10", (0.0,) * 11),  # no hexadecimal
    ("1x0", (1.0,)),
    ("1+2x3", (1.0, 3.0, 5.0, 7.0)),
    ("1-2x3 9", (1.0, -1.0, -3.0, -5.0, 9.0)),
    ("0+0.1x3", (0.0, 0.1, 0.2, 0.1 + 0.1 + 0.1)),  # not 0.3
    ("_ _x3 _x0 1", (ABSENT,) * 4 + (1.0,)),
    (" 1\t 2 ", (1.0, 2.0)),
    ("stale Inf -iNF +inf", (STALE, math.inf, -math.inf, math.inf)),
]


@pytest.mark.parametrize(("text", "values"), UNDERSTOOD)
def test_understood(text: str, values: tuple[Value, ...]) -> None:
    assert parse(text) == values


def test_a_repeated_sum_of_no_number_is_none() -> None:
    first, *rest = parse("stale+1x2")
    assert first is STALE
    assert [math.isnan(value) for value in rest if isinstance(value, float)] == [True, True]
    (value,) = parse("NaN")
    assert isinstance(value, float)
    assert math.isnan(value)


WRONG = (
    "x",
    "1x",
    "1x2x3",
    "__",
    "_1",
    "1_0",
    "1+1",
    "1+Infx2",
    "Infx3",
    "stalex2",
    "Stale",
    "--1",
    "1e",
    "1e999",
    "1,2",
    "0x1f",
    "sum",
    "{{schema:1}}",
    "?",
    "1\n2",
    f"1x{MOST}",
)


@pytest.mark.parametrize("word", WRONG)
def test_the_word_that_is_none_is_named(word: str) -> None:
    with pytest.raises(ValueError, match=re.escape(word)) as wrong:
        parse(f"1 {word} 2")
    assert str(wrong.value) == word


def test_what_could_not_be_asked_is_ours() -> None:
    assert parse("1 ? ?x2", unasked=True) == (1.0, UNASKED, UNASKED, UNASKED)


def test_so_many_and_no_more() -> None:
    assert len(parse(f"1x{MOST - 1}")) == MOST
    with pytest.raises(ValueError, match="1"):
        parse(f"1x{MOST - 1} 1")


LABELS: list[tuple[str, dict[str, str] | str]] = [
    ("m", {"__name__": "m"}),
    ("m{}", {"__name__": "m"}),
    ('m{b="2",a="1"}', {"__name__": "m", "a": "1", "b": "2"}),
    ('{__name__="m",a=""}', {"__name__": "m"}),
    (r"""m{a='it\'s',b="é\n"}""", {"__name__": "m", "a": "it's", "b": "é\n"}),
    ('m{a=~"1"}', "`a` is not given by `=`"),
    ('m{a="1",a="2"}', "a label stands in it twice"),
    ('m{__name__="n"}', "metric name must not be set twice: 'm' or 'n'"),
    ("m[5m]", "more than a name and labels"),
    ("m offset 5m", "more than a name and labels"),
    ("m @ 5", "more than a name and labels"),
    ("sum(m)", "more than a name and labels"),
    ("1", "more than a name and labels"),
    ('m{a="1" or b="2"}', "`or` is no label"),
]


@pytest.mark.parametrize(("text", "expected"), LABELS)
def test_labels(text: str, expected: dict[str, str] | str) -> None:
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=re.escape(expected)):
            labels(text)
    else:
        assert labels(text) == expected


# Beside promtool

STEPS = 24
SHOWN_FOR = 5  # minutes; at exactly so many it depends on promtool's version


Seen: TypeAlias = dict[tuple[int, int], float | str]


def number(value: float) -> float | str:
    return "NaN" if math.isnan(value) else value


def by_promtool(folder: Path, texts: Sequence[str]) -> list[Seen | None]:
    """For each text what promtool sees at each step, by (minutes between samples, step);
    None where it refuses it. It tells what it sees where that was not expected: nothing is."""
    for index, text in enumerate(texts):
        groups = [
            {
                "interval": f"{minutes}m",
                "input_series": [{"series": "m", "values": text}],
                "promql_expr_test": [
                    {"expr": f"m + 0 * {minutes}", "eval_time": f"{minutes * step}m"} for step in range(STEPS)
                ],
            }
            for minutes in (10, 1)
        ]
        (folder / f"{index}.json").write_text(json.dumps({"tests": groups}))  # JSON is YAML
    command = ["promtool", "test", "rules", *(f"{index}.json" for index in range(len(texts)))]
    said = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return [seen(part) for part in said.stdout.split("Unit Testing:")[1:]]


def seen(said: str) -> Seen | None:
    if "parse error" in said:
        return None
    found: Seen = {}
    rows = re.findall(r'expr: "m \+ 0 \* (\d+)", time: (\S+),\s+exp: nil\s+got: \{\} (\S+)', said)
    for minutes, at, value in rows:
        hours, rest = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:0s)?", at).groups(default="0")  # type: ignore[union-attr]
        found[int(minutes), (int(hours) * 60 + int(rest)) // int(minutes)] = number(float(value))
    return found


def by_us(text: str) -> Seen | None:
    try:
        values = parse(text)
    except ValueError:
        return None
    found: Seen = {}
    for step, value in enumerate(values[:STEPS]):
        if isinstance(value, float):
            found[10, step] = number(value)
    for step in range(STEPS):
        past = [(step - at, value) for at, value in enumerate(values[: step + 1]) if value is not ABSENT]
        if past and past[-1][0] <= SHOWN_FOR and isinstance(past[-1][1], float):
            found[1, step] = number(past[-1][1])
    return found


def at_the_edge(text: str) -> set[tuple[int, int]]:
    """Steps at which the newest sample is exactly so old that versions differ."""
    try:
        there = [value is not ABSENT for value in parse(text)]
    except ValueError:
        return set()
    there += [False] * STEPS
    return {
        (1, step)
        for step in range(SHOWN_FOR, STEPS)
        if there[step - SHOWN_FOR] and not any(there[step - SHOWN_FOR + 1 : step + 1])
    }


NUMBERS = st.one_of(
    st.integers(-20, 20).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["010", "-07", "09", ".5", "5.", "1e3", "1E-2", "+3", "0.1", "99999999999999999999"]),
)
SIGNED = NUMBERS.map(lambda text: text if text[0] in "+-" else f"+{text}")
TIMES = st.integers(0, 9).map(lambda times: f"x{times}")
ITEMS = st.one_of(
    NUMBERS,
    st.sampled_from(["_", "stale", "NaN", "Inf", "-Inf", "+inf", "nan"]),
    TIMES.map("_".__add__),
    st.tuples(NUMBERS, TIMES).map("".join),
    st.tuples(NUMBERS, SIGNED, TIMES).map("".join),
)
NOISE = st.text("0123456789.+-x_eEInfNasl ", min_size=1, max_size=8)
TEXTS = st.one_of(
    st.lists(ITEMS, min_size=1, max_size=6).map(" ".join),
    st.lists(st.one_of(ITEMS, NOISE), min_size=1, max_size=3).map(" ".join).filter(str.strip),
)


def assert_the_same(folder: Path, texts: Sequence[str]) -> None:
    theirs = by_promtool(folder, texts)
    assert len(theirs) == len(texts)
    for text, their in zip(texts, theirs, strict=True):
        ours, edge = by_us(text), at_the_edge(text)
        sure = [
            seen and {at: value for at, value in seen.items() if at not in edge} for seen in (ours, their)
        ]
        assert sure[0] == sure[1], text


needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus"
)


@needs_promtool
def test_the_table_is_promtools(tmp_path: Path) -> None:
    assert_the_same(
        tmp_path, [text for text, _ in UNDERSTOOD] + [word for word in WRONG if word != f"1x{MOST}"]
    )


@needs_promtool
@settings(
    max_examples=8, phases=[Phase.explicit, Phase.generate]
)  # shrinking would start it a thousand times
@given(texts=st.lists(TEXTS, min_size=12, max_size=16))
def test_the_same_as_promtool(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    assert_the_same(tmp_path_factory.mktemp("promtool"), texts)
