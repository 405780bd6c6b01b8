"""One bug, in a process of its own: lives are played until a rule is broken, or a bound is reached."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from tests.planted.bugs import every_bug, plant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.sim.happenings import Scenario


class Hunt(Struct, frozen=True):
    """`rule`: the one that was broken, "" where none was. `played`: lives until then."""

    rule: str
    text: str
    played: int
    crashes: int
    seconds: float  # of CPU


def hunt(name: str, seeds: int, seconds: float) -> Hunt:
    """Play `seeds` lives at most, for so many seconds of CPU at most; and crash each at every append
    where the bug needs it."""
    bug = next(bug for bug in every_bug() if bug.name == name)
    plant(bug)
    from rollbackd.sim.trial import attempt  # only now: with the bug

    began = time.process_time()
    played = crashes = 0
    for crashed, scenario in _lives(seeds, also_crashed=bug.by == "crashes"):
        spent = time.process_time() - began
        if spent > seconds:
            break
        played, crashes = played + (not crashed), crashes + crashed
        violation = attempt(scenario).violation
        if violation is not None:
            spent = time.process_time() - began
            return Hunt(violation.rule, violation.text.splitlines()[-1], played, crashes, spent)
    return Hunt("", "", played, crashes, time.process_time() - began)


def _lives(seeds: int, *, also_crashed: bool) -> Iterator[tuple[bool, Scenario]]:
    from rollbackd.sim.crashes import calm, crashed, points
    from rollbackd.sim.generator import draw

    for seed in range(seeds):
        yield False, draw(seed)
        if also_crashed:
            scenario = calm(draw(seed))
            for each in crashed(scenario, points(scenario)[0]):
                yield True, each


if __name__ == "__main__":
    name, seeds, seconds = sys.argv[1:]
    sys.stdout.buffer.write(msgspec.json.encode(hunt(name, int(seeds), float(seconds))))
