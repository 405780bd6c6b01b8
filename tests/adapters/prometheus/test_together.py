"""A family asked at once gets what each would have got alone (W2, W3, W11)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import product

import pytest
from tests.adapters.prometheus.asking import Counted, source_at, wall
from tests.adapters.prometheus.evil import Behave, Evil, Form, failure, http, vector
from tests.fakes import made
from tests.servers import Exporter, Prometheus, prometheus, wait_for

from rollbackd.config.families import AGGREGATIONS, FUNCTIONS, families
from rollbackd.config.promql import analyse, coverage
from rollbackd.core.effects import Ask
from rollbackd.core.judging import window_queries
from rollbackd.core.model import Condition, Family, Limit, Ms, Trigger, composed
from rollbackd.core.signals import Series, Unreachable, Unusable, WindowsAnswered
from rollbackd.world.prometheus import Together
from rollbackd.world.prometheus.source import Source

SERVICES = [
    "a",
    "b",
    "a|b",
    "c.d",
    "(e)+[f]{2}^$?*",
    'g"h\\i',
    "j k",
    "ü漢\n\t-/#&~'`",
    ".*",
    "gone",
    "10.0.0.1:90",
]
SELECTOR = 'x{%s,code=~"5.."}'
INNER = [*(f"{name}({SELECTOR}[2s])" for name in sorted(FUNCTIONS)), SELECTOR, f"timestamp({SELECTOR})"]
BY = ["", " by (cohort)", " by (service)", " by (cohort, code)"]
SHAPES = [
    *((BY[0], inner, ()) for inner in INNER),
    *product(BY[1:], [INNER[0], SELECTOR, INNER[-1]], [(), ("cohort",)]),
]
ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t"})


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, tuple[Ms, ...]]]:
    """Series whose sums depend on their order, and services that look like patterns or are subjects twice."""
    with (
        Exporter() as exporter,
        prometheus(tmp_path_factory.mktemp("together"), "200ms", [exporter.target]) as server,
    ):
        values = iter(0.1 * 3.7**index for index in range(1_000))
        for service, cohort, code in product(SERVICES[:-2], ("one", "two", ""), ("200", "500", "503")):
            exporter.set("x", next(values), service=service, cohort=cohort, code=code)
        exporter.set("x", "NaN", service="b", cohort="odd", code="500")
        exporter.set("x", 7, service="10.0.0.1:90", code="500")
        exporter.set("x", 8, code="500")  # no service at all
        exporter.set("x", 9, service="nobody", code="500")
        wait_for(lambda: server.query("x offset 4s"), what="four seconds of samples")
        first = int(float(server.query("timestamp(x offset 4s)")[0]["value"][0]) * 1000) - 1_000
        yield server, (first, first + 500, first + 1_000)


def conditions(expr: str, per: tuple[str, ...]) -> list[Condition]:
    """Of every service: `%s` is its matcher."""
    texts = [expr % f'service="{service.translate(ESCAPES)}"' for service in SERVICES]
    return [Condition(text, Limit(">", 1), coverage=coverage(analyse(text), per)) for text in texts]


def family_of(found: list[Condition], per: tuple[str, ...]) -> tuple[Family, list[Trigger]]:
    triggers = [made.trigger(f"t{index}", condition=each, per=per) for index, each in enumerate(found)]
    (family,) = families(triggers)
    assert len(family.members) == len(found)
    return family, triggers


def asks(family: Family, triggers: list[Trigger], ends: tuple[Ms, ...]) -> list[Ask]:
    return [
        Ask(
            one.name,
            ends,
            500,
            0,
            window_queries(one.condition),
            one.per,
            8_000,
            family,
            family.members[one.name],
        )
        for one in triggers
    ]


def refuse(family: Family, begun: tuple[Ask, ...]) -> None:
    raise AssertionError("nothing was added")


def told(answered: Sequence[WindowsAnswered]) -> list[tuple[str, object]]:
    return [(one.watch, one.answers) for one in answered]


@pytest.mark.parametrize("operation", sorted(AGGREGATIONS))
async def test_asked_at_once_or_alone_is_the_same(
    real: tuple[Prometheus, tuple[Ms, ...]], operation: str
) -> None:
    """Every whitelisted shape, to the last digit; instant and range; where one label is a subject's or a
    subject comes twice, that too."""
    server, ends = real
    for by, inner, per in SHAPES:
        expr = f"{operation}{by} ({inner})"
        if set(per) - (analyse(expr % 'service="a"').labels or set()):
            continue
        family, triggers = family_of(conditions(expr, per), per)
        for windows in (ends[:1], ends):
            together = asks(family, triggers, windows)
            async with source_at(server.url) as source:
                alone = await asyncio.gather(*map(source.ask, together))
            observer = Counted()
            async with source_at(server.url, observer=observer) as source:
                whole = await Together(refuse).ask(source, family, together)
            assert told(whole) == told(alone), expr
            if not by:
                assert observer.results == ["success"] * (
                    2 if "timestamp" in expr and operation == "max" else 3
                )


# What is wrong with one


def well(*wrong: str) -> Behave:
    """Answers every service by 1, where a query names several with one of `wrong` a 422; and a 400 alone."""

    async def behave(form: Form, writer: asyncio.StreamWriter) -> None:
        expr = form["query"][0]
        named = expr.partition('"')[2].partition('"')[0].split("|")
        if any(one in wrong for one in named):
            writer.write(http(failure("bad_data", f"{len(named)} asked"), 400 if len(named) == 1 else 422))
        else:
            by = "by (service)" in expr
            writer.write(http(vector(*(({"service": one} if by else {}, "1") for one in named))))
        await writer.drain()

    return behave


def many(count: int) -> tuple[Family, list[Trigger]]:
    found = [Condition(f'sum(x{{service="s{index}"}})', Limit(">", 1)) for index in range(count)]
    triggers = [made.trigger(f"t{index}", condition=each) for index, each in enumerate(found)]
    (family,) = families(triggers)
    return family, triggers


class Played:
    """A source, and all that `Together` begins for what is added at once."""

    def __init__(self, source: Source, family: Family, triggers: list[Trigger]) -> None:
        self._source, self._family, self._triggers = source, family, triggers
        self._begun: list[tuple[Ask, ...]] = []
        self._all_begun = asyncio.Event()
        self._together = Together(self._begin)

    def _begin(self, _: Family, part: tuple[Ask, ...]) -> None:
        self._begun.append(part)
        if sum(map(len, self._begun)) == len(self._triggers):
            self._all_begun.set()

    async def window(self) -> dict[str, WindowsAnswered]:
        self._begun.clear()
        self._all_begun.clear()
        for ask in asks(self._family, self._triggers, (wall() - 1_000,)):
            self._together.add(self._family, ask)
        async with asyncio.timeout(10):
            await self._all_begun.wait()
        answered = [
            one for part in self._begun for one in await self._together.ask(self._source, self._family, part)
        ]
        return {one.watch: one for one in answered}

    @property
    def parts(self) -> list[int]:
        return sorted(map(len, self._begun), reverse=True)


async def test_one_that_is_wrong_spoils_no_other_and_ends_up_alone() -> None:
    family, triggers = many(250)
    async with Evil(well("s7")) as evil, source_at(evil.url, concurrency=8) as source:
        played = Played(source, family, triggers)
        sizes = []
        for _ in range(4):
            answered = await played.window()
            sizes.append(played.parts)
            assert isinstance(answered["t7"].answers[0], Unusable)
            assert "1 asked" in answered["t7"].answers[0].reason
            others = [one.answers for watch, one in answered.items() if watch != "t7"]
            assert others == [(Series(({"": "1"},)),)] * 249
        evil.asked.clear()
        await played.window()
    assert sizes == [[250], [100, 100, 50], [100, 50, *[10] * 10], [100, 50, *[10] * 9, *[1] * 10]]
    assert sum('"s7"' in expr for expr in evil.asked) == 1


async def test_unreachable_is_said_to_each_and_asked_in_smaller_parts() -> None:
    family, triggers = many(250)

    async def fails(form: Form, writer: asyncio.StreamWriter) -> None:
        writer.write(http(b"", 503))
        await writer.drain()

    async with Evil(fails) as evil, source_at(evil.url) as source:
        played = Played(source, family, triggers)
        answered = await played.window()
        assert all(isinstance(one.answers[0], Unreachable) for one in answered.values())
        assert len([expr for expr in evil.asked if expr != "time()"]) == 1
        evil.behave = well()
        answered = await played.window()
        assert played.parts == [100, 100, 50]
        assert all(one.answers == (Series(({"": "1"},)),) for one in answered.values())


async def test_where_one_query_of_a_window_fails_nobody_is_given_what_is_everyones() -> None:
    """A composed condition would take the answered half for its own subjects' (W10)."""
    found = [
        composed(
            "any",
            [Condition(f'{metric}(x{{service="s{index}"}})', Limit(">", 1)) for metric in ("sum", "max")],
        )
        for index in range(3)
    ]
    family, triggers = family_of(found, ())

    async def half(form: Form, writer: asyncio.StreamWriter) -> None:
        if "max" in form["query"][0]:
            writer.write(http(b"", 503))
            await writer.drain()
        else:
            await well()(form, writer)

    async with Evil(half) as evil, source_at(evil.url) as source:
        answered = await Played(source, family, triggers).window()
    assert len(answered) == 3
    assert all(isinstance(one, Unreachable) for each in answered.values() for one in each.answers)


async def test_where_nothing_is_there_nothing_is_learnt_from_it() -> None:
    family, triggers = many(250)
    async with Evil(well()) as evil, source_at(evil.url) as source:
        played = Played(source, family, triggers)

        async def gone(form: Form, writer: asyncio.StreamWriter) -> None:
            writer.close()

        evil.clock = gone
        answered = await played.window()
        assert all(isinstance(one.answers[0], Unreachable) for one in answered.values())
        evil.clock = None
        await played.window()
        assert played.parts == [250]


async def test_a_source_that_cuts_answers_short_is_asked_one_by_one() -> None:
    family, triggers = many(3)
    async with Evil(well()) as evil, source_at(evil.url, params={"limit": ("2",)}) as source:
        answered = await Played(source, family, triggers).window()
    assert [one.answers for one in answered.values()] == [(Series(({"": "1"},)),)] * 3
    assert not any("|" in expr for expr in evil.asked)


async def test_no_query_is_longer_than_servers_take() -> None:
    found = [Condition(f'sum(x{{service="{index:0200}"}})', Limit(">", 1)) for index in range(100)]
    triggers = [made.trigger(f"t{index}", condition=each) for index, each in enumerate(found)]
    (family,) = families(triggers)
    async with Evil(well()) as evil, source_at(evil.url) as source:
        answered = await Played(source, family, triggers).window()
    assert len(answered) == 100
    assert max(map(len, evil.asked)) < 16_384
    assert len(evil.asked) == 3
