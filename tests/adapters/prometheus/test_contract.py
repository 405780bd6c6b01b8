"""The contract of a source: a real Prometheus and the fake answer alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from tests.adapters.prometheus.asking import asks, source_at, wall
from tests.fakes.prometheus import FakePrometheus
from tests.servers import Exporter, Prometheus, prometheus, wait_for

from rollbackd.core.effects import WindowQuery
from rollbackd.core.model import SEPARATOR, Ms, subject_key
from rollbackd.core.signals import Series, Unreachable, Unusable
from rollbackd.world.prometheus import NoValue, Source

SERIES: list[tuple[str, str, dict[str, str]]] = [
    ("alone", "7", {}),
    ("by_cohort", "0.25", {"cohort": "canary"}),
    ("by_cohort", "0.5", {"cohort": "wide"}),
    ("by_two", "1", {"region": "eu", "cohort": "canary"}),
    ("by_two", "2", {"region": "us", "cohort": "canary"}),
    ("by_keyword", "3", {"class": "gold"}),
    ("by_text", "4", {"cohort": 'a "b"\n\\ ü 漢 $(x) \x1b[31m <b>'}),
    ("by_separator", "1", {"cohort": f"a{SEPARATOR}b"}),
    ("half_labelled", "1", {"cohort": "canary"}),
    ("half_labelled", "1", {"region": "eu"}),
    ("odd", "NaN", {"cohort": "nan"}),
    ("odd", "+Inf", {"cohort": "up"}),
    ("odd", "-Inf", {"cohort": "down"}),
]


@dataclass
class World:
    source: Source | FakePrometheus
    ends: tuple[Ms, ...]  # consecutive, a second apart, with every series in each


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, tuple[Ms, ...]]]:
    with (
        Exporter() as exporter,
        prometheus(tmp_path_factory.mktemp("contract"), "200ms", [exporter.target]) as server,
    ):
        for name, value, labels in SERIES:
            exporter.set(name, value, **labels)
        wait_for(lambda: server.query("by_separator offset 3s"), what="three seconds of samples")
        first = int(float(server.query("timestamp(by_separator offset 3s)")[0]["value"][0]) * 1000) - 3_000
        yield server, (first, first + 1_000, first + 2_000)


@pytest.fixture(params=["fake", "real"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "fake":
        fake = FakePrometheus(wall)
        for name, value, labels in SERIES:
            fake.set(name, value, **labels)
        fake.set_scalar("scalar(alone)", 7)
        yield World(fake, tuple(wall() - ago for ago in (3_000, 2_000, 1_000)))
        return
    server, ends = request.getfixturevalue("real")
    async with source_at(server.url) as source:
        yield World(source, ends)


async def answer(
    world: World, expr: str | WindowQuery, *per: str, several: bool = False
) -> Series | Unreachable | Unusable:
    ends = world.ends if several else world.ends[-1:]
    signal = await world.source.ask(asks(expr, ends=ends, per=per))
    assert (signal.watch, signal.ends) == ("a", ends)
    assert signal.skew is not None
    assert abs(signal.skew) < 5_000
    (only,) = signal.answers
    return only


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(
    ("expr", "per", "window"),
    [
        ("alone", (), {"": "7"}),
        ("by_cohort", ("cohort",), {"canary": "0.25", "wide": "0.5"}),
        (
            "by_two",
            ("region", "cohort"),
            {subject_key(("eu", "canary")): "1", subject_key(("us", "canary")): "2"},
        ),
        ("by_keyword", ("class",), {"gold": "3"}),
        ("by_text", ("cohort",), {'a "b"\n\\ ü 漢 $(x) \x1b[31m <b>': "4"}),
        ("odd", ("cohort",), {"nan": "NaN", "up": "+Inf", "down": "-Inf"}),
        ("nothing_of_the_kind", (), {}),
        ("nothing_of_the_kind", ("cohort",), {}),
    ],
)
async def test_values_by_subject(
    world: World, expr: str, per: tuple[str, ...], window: dict[str, str], several: bool
) -> None:
    """W1, W3; faults 22 and 23: the strings come as they are, absence as absence; 68."""
    count = 3 if several else 1
    assert await answer(world, expr, *per, several=several) == Series((window,) * count)


async def test_a_scalar_is_one_subject(world: World) -> None:
    assert await answer(world, "scalar(alone)") == Series(({"": "7"},))


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(
    ("expr", "per", "reason"),
    [
        ("by_cohort", (), "more than one series, and the trigger has no `per`"),
        ("by_two", ("cohort",), "two series for the subject {cohort='canary'}"),
        ("half_labelled", ("cohort",), "a series has no label 'cohort'"),
        ("by_cohort", ("cohort", "region"), "a series has no label 'region'"),
        ("by_separator", ("cohort",), "U+001F cannot be used"),
    ],
)
async def test_what_w3_forbids_is_unusable(
    world: World, expr: str, per: tuple[str, ...], reason: str, several: bool
) -> None:
    """Fault 24."""
    found = await answer(world, expr, *per, several=several)
    assert isinstance(found, Unusable)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("expr", "per", "window"),
    [
        ("by_cohort", ("cohort",), {"canary": "0.25", "wide": "0.5"}),
        ("by_cohort", (), {"": "0.5"}),
        ("by_two", ("cohort",), {"canary": "2"}),
        ("alone", ("cohort",), {"*": "7"}),
        ("half_labelled", ("cohort",), {"canary": "1", "*": "1"}),
        ("by_cohort", ("cohort", "region"), {"*": "0.5"}),
    ],
)
async def test_coverage_takes_the_newest_and_needs_no_labels(
    world: World, expr: str, per: tuple[str, ...], window: dict[str, str]
) -> None:
    """W14."""
    assert await answer(world, WindowQuery(expr, "coverage"), *per) == Series((window,))


async def test_queries_are_answered_in_their_order(world: World) -> None:
    signal = await world.source.ask(asks("alone", "nothing_of_the_kind", "alone", ends=world.ends[-1:]))
    assert signal.answers == (Series(({"": "7"},)), Series(({},)), Series(({"": "7"},)))


@pytest.mark.parametrize("apart", [1, 15, 1_001])
async def test_one_window_is_asked_at_moments_milliseconds_apart(world: World, apart: Ms) -> None:
    """W1. Steps of 1.001 s and others are cut to whole seconds where they are read as a number."""
    moments = tuple(world.ends[0] + n * apart for n in range(4))
    signal = await world.source.ask(asks("alone", ends=moments, interval=apart))
    assert signal.answers == (Series(({"": "7"},) * 4),)


async def test_a_window_is_asked_once_prometheus_clock_has_passed_it(world: World) -> None:
    """T2."""
    end = wall() + 300
    signal = await world.source.ask(asks("alone", ends=(end,), delay=200))
    assert signal.skew is not None
    assert wall() + signal.skew >= end + 200
    assert signal.answers == (Series(({"": "7"},)),)


async def test_a_window_beyond_the_budget_is_unreachable(world: World) -> None:
    signal = await world.source.ask(asks("alone", ends=(wall() + 60_000,), budget=2_000))
    assert isinstance(signal.answers[0], Unreachable)
    assert signal.skew is not None


async def test_a_check_wants_one_finite_number(world: World) -> None:
    assert await world.source.check_query("alone") == 7
    assert await world.source.check_query("alone", world.ends[0]) == 7
    for expr in ("nothing_of_the_kind", "by_cohort", "odd"):
        with pytest.raises(NoValue):
            await world.source.check_query(expr)
