"""The campaigns in small, and what their judge sees (faults 1, 2, 10, 19, 48, 63, 64; X3, I2–I4)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from tests.campaign import runs
from tests.campaign.judge import compare
from tests.campaign.lane import STEPS
from tests.disks import NoDisk

from rollbackd.core import events as e
from rollbackd.core import model as m


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_moments(tmp_path: Path, seed: int) -> None:
    """The daemon, a child of it or a wrapper: no step twice without leave, none lost, every life ends."""
    report = runs.kill(tmp_path / "lane", f"kill/{seed}", kills=12, pace=0.3)
    assert report.violations == []
    assert report.counts["kills"] >= 12


def test_everything_at_once_on_a_disk_that_fills(tmp_path: Path) -> None:
    try:
        report = runs.hardship(tmp_path / "lane", "hardship", seconds=15)
    except NoDisk as error:
        pytest.skip(str(error))
    assert report.violations == []
    assert sum(number for name, number in report.counts.items() if name.startswith("faults")) >= 3


# Each word is a line of the script, or an event: o(rdered), s(ettled), r(etry), d(one, by a person).
WHOLE = "o:drain begin:drain end:drain s:drain o:revert begin:revert end:revert s:revert"
TAPES = [
    (WHOLE, ""),
    (f"{WHOLE} o:restore begin:restore end:restore s:restore", ""),
    ("o:drain begin:drain o:drain begin:drain end:drain s:drain", ""),
    (f"{WHOLE} o:restore begin:restore r:restore o:restore begin:restore end:restore s:restore", ""),
    (f"{WHOLE} o:restore begin:restore d:restore s:restore", ""),
    ("begin:drain", "drain began 1 times on 0 orders"),
    ("o:drain begin:drain overlap:drain", "drain ran beside another step"),
    (f"{WHOLE} o:restore begin:restore o:restore begin:restore", "restore (once) began 2 times"),
    ("o:drain begin:drain end:drain o:drain begin:drain", "drain began again though its probe knew"),
    ("o:revert begin:revert", "revert began, and drain was never behind it"),
    ("o:revert begin:revert s:revert o:drain begin:drain s:drain", "revert began before drain"),
    ("o:drain begin:drain s:drain", "drain is recorded as done, and never came to its end"),
    ("opened", "api-1 has no end"),
]


@pytest.mark.parametrize(("tape", "violation"), TAPES)
def test_what_the_judge_sees(tape: str, violation: str) -> None:
    lines, events = [], []
    for word in tape.split():
        what, _, step = word.partition(":")
        if event := _event(what, step):
            events.append(event)
        else:
            lines.append(f"{what} api-1 {step}")
    found = list(compare(lines, STEPS, events))
    assert any(violation in each for each in found) if violation else found == []


def _event(what: str, step: str) -> e.Event | None:
    match what:
        case "o":
            return e.StepOrdered(at=0, life="api-1", phase="all", step=step, execution=1, attempt=1)
        case "s":
            return e.StepSettled(
                at=0,
                life="api-1",
                phase="all",
                step=step,
                result="done",
                by="rollbackd",
                attempts=1,
                executions=(1,),
            )
        case "r" | "d":
            answer: Literal["done", "retry"] = "retry" if what == "r" else "done"
            return e.StepConfirmed(at=0, life="api-1", step=step, answer=answer, by="root", channel="socket")
        case "opened":
            plan = m.Plan(name="api", hash="", owner="tests", level=3, services=(), summary="", phases=())
            return e.LifeOpened(at=0, life="api-1", plan=plan, by="root", top="auto", action="auto")
        case _:
            return None
