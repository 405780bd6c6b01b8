"""One trigger under many settings: each cell is a replay of its own, whoever does it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.fakes import made
from tests.fakes.made import INTERVAL, START
from tests.sim.replay.histories import RATIO, of

from rollbackd.core.history import History, no_answers
from rollbackd.core.model import Trigger
from rollbackd.sim.replay.replaying import replay
from rollbackd.tuning.axes import parse_axes
from rollbackd.tuning.scoring import Incident, score
from rollbackd.tuning.sweep import MOST, Refused, Sweep, sweep

TAPE = "....B....BB...BBB....BBBB..."


def swept(tape: str, *texts: str, incidents: Any = None, **trigger: Any) -> Sweep:
    one = made.trigger(cooldown=0, **trigger)
    spans = None
    if incidents is not None:
        spans = [Incident(START + first * INTERVAL, START + last * INTERVAL) for first, last in incidents]
    return sweep(one, [of(one, tape)], parse_axes(texts, one), spans, early=0)


def test_each_cell_is_a_replay() -> None:
    found = swept(TAPE, "windows=1:5:5")
    assert [(cell.values, cell.fires, cell.longest) for cell in found.cells] == [
        (("1",), 4, 4),
        (("2",), 3, 4),
        (("3",), 2, 4),
        (("4",), 1, 4),
        (("5",), 0, 4),
    ]
    assert found.current == 2
    assert len(found.outcome.fires) == 2
    assert all(cell.score is None for cell in found.cells)
    assert found.knee is None


@pytest.mark.parametrize(
    ("incidents", "texts", "knee"),
    [
        ([(15, 18)], ["windows=1:5:5"], ("3",)),  # 4 has no false fire, and catches nothing
        ([(22, 25)], ["windows=1:5:5"], ("4",)),
        ([(15, 18), (22, 25)], ["windows=1:5:5"], ("3",)),  # 4 misses one
        ([(10, 12), (15, 18), (22, 25)], ["windows=3,2"], ("2",)),  # both without a false one: more caught
        ([(5, 5), (10, 12), (15, 18), (22, 25)], ["no_data=ok,keep", "windows=1,2"], ("ok", "1")),
        ([(15, 18), (22, 25)], ["breach=0,5", "windows=3"], ("> 0", "3")),  # what never fires is no advice
        ([(1, 2)], ["windows=3"], None),
    ],
)
def test_the_knee(incidents: list[tuple[int, int]], texts: list[str], knee: tuple[str, ...] | None) -> None:
    found = swept(TAPE, *texts, incidents=incidents)
    assert (None if found.knee is None else found.cells[found.knee].values) == knee


def test_of_equal_cells_the_earliest_and_then_the_fewest_windows() -> None:
    found = swept("....BBBBB....", "windows=5,3,4", incidents=[(5, 20)])
    assert found.knee is not None
    assert found.cells[found.knee].values == ("3",)
    same = swept("....BBBBB....", "no_data=ok,keep", "windows=3", incidents=[(5, 20)])
    assert same.knee == 0


def test_processes_find_what_one_finds() -> None:
    one = made.trigger(condition=RATIO, per=("pod",))
    history = of(one, {"a": TAPE, "b": TAPE[::-1], "c": "." * 7 + "?" + "." * 20})
    axes = parse_axes(["windows=1,2,3", "breach=0.1,0.3"], one)
    incidents = [Incident(history.ends[14], history.ends[17], "note")]
    said: list[int] = []
    found = sweep(one, [history], axes, incidents, workers=2, progress=said.append)
    assert found == sweep(one, [history], axes, incidents, workers=1)
    assert said == [1, 2, 3, 4, 5, 6]
    assert found.outcome == replay(one, [history])
    third = replay(replace(one, windows=2), [history])
    assert found.cells[2].score == score(third, incidents)


def test_what_is_too_large_is_told_by_how_much() -> None:
    one = made.trigger(per=("pod",))
    history = of(one, {"a": "." * 1_000, "b": "." * 1_000})
    axes = parse_axes(["breach=0:1:1000", "cooldown=0s:1h:1000"], one)
    with pytest.raises(Refused) as caught:
        sweep(one, [history], axes)
    assert str(caught.value) == (
        "--sweep: 1,000,000 settings × 1,000 windows × 2 subjects are 2,000,000,000 verdicts, "
        f"more than {MOST:,}; take at most 125,000 settings, or a shorter time"
    )


def test_one_setting_alone_may_be_too_large() -> None:
    one: Trigger = made.trigger()
    history: History = no_answers(of(one, ".").queries, range(INTERVAL, INTERVAL * (MOST + 2), INTERVAL))
    with pytest.raises(Refused, match="; take a shorter time"):
        sweep(one, [history], parse_axes(["windows=2"], one))
