"""What `check --online` makes of answers that a real server gives too seldom: slow ones, and none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from tests.config.lints.files import entry, lay
from tests.fakes.prometheus import FakePrometheus

from rollbackd.config.bundle import gather, judge
from rollbackd.core.effects import Ask
from rollbackd.core.signals import WindowsAnswered
from rollbackd.tuning.online import Looked, Watched, look

NOW = 1_800_000_007_000
EXPR = "sum(up)"
SAMPLES = (
    "min(max (max_over_time(count_over_time(up[300000ms])[900000ms:300000ms]) and up offset 300000ms)) "
    "or vector(0)"
)


def watched(folder: Path, number: int = 1) -> Watched:
    triggers = [entry(f'trigger: T{index}\nexpr: "{EXPR}"') for index in range(number)]
    main = lay(folder, *triggers)
    bundle = gather(main, str(main))
    judge(bundle)
    return bundle.triggers


def ticking(step: float) -> Callable[[], float]:
    """A clock that moves on whenever somebody looks."""
    moments: Iterator[float] = (index * step for index in count())
    return lambda: next(moments)


@pytest.fixture
def prometheus() -> FakePrometheus:
    made = FakePrometheus(lambda: NOW)
    made.set("time()", str(NOW / 1000))
    made.set(EXPR, "0")
    made.set("max(timestamp(up))", lambda at: str(at / 1000 - 1))
    made.set(
        SAMPLES,
        "20",
    )
    return made


def told(looked: Looked) -> list[str]:
    return [f"{problem.severity}: {problem.lint}: {problem.what}" for problem in looked.problems]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (7.4, []),
        (7.6, ["warning: online-slow: a window took 7.6 s to be answered, and the interval is 15s"]),
    ],
)
async def test_a_window_must_be_answered_in_half_an_interval(
    step: float, expected: list[str], prometheus: FakePrometheus, tmp_path: Path
) -> None:
    looked = await look(watched(tmp_path), prometheus, ticking(step))
    assert (told(looked), looked.untold) == (expected, [])


async def test_the_window_before_the_newest_is_asked(prometheus: FakePrometheus, tmp_path: Path) -> None:
    await look(watched(tmp_path), prometheus, ticking(0))
    assert [ask.ends for ask in prometheus.asked] == [((NOW // 15_000 - 1) * 15_000,)]


async def test_a_sample_before_the_window_is_no_data(prometheus: FakePrometheus, tmp_path: Path) -> None:
    prometheus.set("max(timestamp(up))", lambda at: str(at / 1000 - 15))
    looked = await look(watched(tmp_path), prometheus, ticking(0))
    assert told(looked) == ["warning: online-no-data: no_data now: no sample inside the window"]


@pytest.mark.parametrize(("samples", "expected"), [(20, 0), (18, 0), (17, 1), (5, 1), (0, 0)])
async def test_how_often_it_is_scraped(
    samples: int, expected: int, prometheus: FakePrometheus, tmp_path: Path
) -> None:
    prometheus.set(SAMPLES, str(samples))
    looked = await look(watched(tmp_path), prometheus, ticking(0))
    assert len([each for each in told(looked) if "online-scrape-interval" in each]) == expected


class Failing(FakePrometheus):
    """Says what time it is, and answers nothing else."""

    async def ask(self, effect: Ask) -> WindowsAnswered:
        self.down = "refused"
        try:
            return await super().ask(effect)
        finally:
            self.down = ""


async def test_who_never_answers_is_asked_three_times(tmp_path: Path) -> None:
    prometheus = Failing(lambda: NOW)
    prometheus.set("time()", str(NOW / 1000))
    looked = await look(watched(tmp_path, 5), prometheus, ticking(0))
    assert looked.problems == []
    assert looked.untold == ["T0: refused", "T1: refused", "T2: refused", "2 other triggers were not asked"]
