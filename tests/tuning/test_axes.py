"""What a sweep varies: values within the files' limits, and errors that name the key."""

from __future__ import annotations

import pytest
from tests.fakes import made
from tests.sim.replay.histories import PLAIN, RATIO, TRAFFIC

from rollbackd.core.model import Limit, composed
from rollbackd.tuning.axes import Refused, cells, parse_axes, setting_of, settings, with_setting

CONDITIONS = {"plain": PLAIN, "ratio": RATIO, "traffic": TRAFFIC, "composed": composed("all", [PLAIN, RATIO])}


@pytest.mark.parametrize(
    ("text", "condition", "values"),
    [
        ("windows=2,4,8", "plain", ("2", "4", "8")),
        ("windows=2:10:5", "plain", ("2", "4", "6", "8", "10")),
        ("for=30s, 2m", "plain", ("30s", "2m")),
        ("for=1m:3m:3", "plain", ("1m", "2m", "3m")),
        ("breach=0.01,0.5", "plain", ("> 0.01", "> 0.5")),
        ("breach=>=1,< 0.5", "plain", (">= 1", "< 0.5")),
        ("breach=0.005:0.02:4", "plain", ("> 0.005", "> 0.01", "> 0.015", "> 0.02")),
        ("breach=-1:1:3", "plain", ("> -1", "> 0", "> 1")),
        ("min_total=0,2.5,1e3", "ratio", ("0", "2.5", "1000")),
        ("at_least=5:15:3", "traffic", ("5", "10", "15")),
        ("no_data=keep,breach", "plain", ("keep", "breach")),
        ("cooldown=0s:1h:3", "plain", ("0s", "30m", "1h")),
        ("windows=3", "composed", ("3",)),
    ],
)
def test_values(text: str, condition: str, values: tuple[str, ...]) -> None:
    (axis,) = parse_axes([text], made.trigger(condition=CONDITIONS[condition]))
    assert (axis.key, axis.values) == (text.split("=")[0], values)


@pytest.mark.parametrize(
    ("texts", "condition", "said"),
    [
        (["windoes=1"], "plain", "windoes: cannot be varied; did you mean `windows`?"),
        (
            ["expr=1"],
            "plain",
            "expr: cannot be varied; "
            "vary one of windows, for, breach, min_total, at_least, no_data, cooldown",
        ),
        (["windows"], "plain", "windows: has no values; write windows=A,B,C or windows=FROM:TO:COUNT"),
        (["windows=0"], "plain", "windows: is 0; write a number from 1 to 10000"),
        (
            ["windows=a"],
            "plain",
            'windows: expected a whole number, got "a"; write a number from 1 to 10000',
        ),
        (["for=15s"], "plain", "for: 15s is not a multiple of the interval (10s); write one that is"),
        (["for=8d"], "plain", "for: is 1w1d; write a duration from 1s to 7d"),
        (
            ["breach=0.1:x:3"],
            "plain",
            "breach: 0.1:x:3 is no range; write breach=FROM:TO:COUNT, such as 0.005:0.05:10",
        ),
        (
            ["cooldown=1m:2m"],
            "plain",
            "cooldown: 1m:2m is no range; write cooldown=FROM:TO:COUNT, such as 1m:10m:4",
        ),
        (["breach=0:1:9999"], "plain", "breach: a range of 9999; write a count from 2 to 1000"),
        (["no_data=a:b:2"], "plain", "no_data: its values are words; write no_data=A,B"),
        (
            ["no_data=foo"],
            "plain",
            "no_data: expected 'keep', 'reset', 'breach' or 'ok', got foo; write one of them",
        ),
        (["windows=2,2"], "plain", "windows: 2 stands here twice; keep one"),
        (["windows=2", "windows=3"], "plain", "windows: stands beside `windows`; name it once"),
        (["for=10s", "windows=3"], "plain", "windows: stands beside `for`; vary one of them"),
        (["at_least=3"], "ratio", "at_least: errors has no `traffic`; vary min_total"),
        (["min_total=3"], "traffic", "min_total: errors has no `ratio`; leave it out"),
        (["min_total=-1"], "ratio", "min_total: is -1; write 0 or more"),
        (
            ["breach=3"],
            "composed",
            "breach: errors has several conditions; vary windows, for, no_data or cooldown",
        ),
    ],
)
def test_what_is_wrong(texts: list[str], condition: str, said: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_axes(texts, made.trigger(condition=CONDITIONS[condition]))
    assert str(caught.value) == f"--sweep {said}"


def test_a_setting_is_put_into_the_trigger_and_read_off_it() -> None:
    one = made.trigger(condition=RATIO)
    axes = parse_axes(["for=10s,40s", "breach=0.2,<0.5", "min_total=5,7", "no_data=ok", "cooldown=1m"], one)
    assert cells(axes) == 8
    every = list(settings(axes))
    assert every[:3] == [
        ("10s", "> 0.2", "5", "ok", "1m"),
        ("10s", "> 0.2", "7", "ok", "1m"),
        ("10s", "< 0.5", "5", "ok", "1m"),
    ]
    for setting in every:
        assert setting_of(with_setting(one, axes, setting), axes) == setting
    other = with_setting(one, axes, every[-1])
    assert (other.windows, other.no_data, other.cooldown) == (4, "ok", 60_000)
    assert (other.condition.breach, other.condition.at_least) == (Limit("<", 0.5), 7)
    assert (other.condition.expr, other.name) == (one.condition.expr, one.name)
