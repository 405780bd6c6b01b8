"""Equal queries are asked once, never too many at a time, of the first server that answers (W6, W11)."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tests.adapters.prometheus.asking import Counted, asks, source_at, wall
from tests.adapters.prometheus.evil import Evil, Form, http, says, vector
from tests.servers import wait_for

from rollbackd.core.effects import WindowQuery
from rollbackd.core.signals import Series, Unreachable
from rollbackd.settings import PrometheusSettings
from rollbackd.world.prometheus import Source
from rollbackd.world.prometheus.source import RETURN_AFTER

GOOD = says(http(vector(({"cohort": "a"}, "1"))))
BROKEN = says(http(b"", 503))
ONE = Series(({"": "1"},))


async def test_equal_queries_at_one_time_are_asked_once() -> None:
    end = wall() - 1_000
    async with Evil(GOOD) as evil, source_at(evil.url) as source:
        signals = await asyncio.gather(
            *(source.ask(asks("up", "up", ends=(end,), watch=f"w{index}")) for index in range(20)),
            source.ask(asks("up", ends=(end,), watch="by cohort", per=("cohort",))),
            source.ask(asks(WindowQuery("up", "coverage"), ends=(end,), watch="coverage")),
        )
        assert evil.asked == ["time()", "up"]
    assert all(signal.answers == (ONE, ONE) for signal in signals[:20])
    assert signals[20].answers == (Series(({"a": "1"},)),)
    assert signals[21].answers == (ONE,)


async def test_an_answer_just_given_is_given_to_others_but_not_again_to_the_same() -> None:
    end = wall() - 1_000
    async with Evil(GOOD) as evil, source_at(evil.url) as source:
        await source.ask(asks("up", ends=(end,), watch="a"))
        await source.ask(asks("up", ends=(end,), watch="b"))
        assert evil.asked.count("up") == 1
        await source.ask(asks("up", ends=(end,), watch="a"))  # a partial window is asked again (W14)
        assert evil.asked.count("up") == 2
        await source.ask(asks("up", ends=(end - 1,), watch="b"))
        assert evil.asked.count("up") == 3


async def test_what_failed_is_not_kept() -> None:
    end = wall() - 1_000
    async with Evil(BROKEN) as evil, source_at(evil.url) as source:
        assert isinstance((await source.ask(asks("up", ends=(end,), watch="a"))).answers[0], Unreachable)
        evil.behave = GOOD
        assert (await source.ask(asks("up", ends=(end,), watch="b"))).answers == (ONE,)


async def test_who_gives_up_does_not_take_the_answer_from_others() -> None:
    release = asyncio.Event()

    async def slow(form: Form, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        await GOOD(form, writer)

    end = wall() - 1_000
    async with Evil(slow) as evil, source_at(evil.url) as source:
        patient = asyncio.create_task(source.ask(asks("up", ends=(end,), watch="a", budget=20_000)))
        hasty = await source.ask(asks("up", ends=(end,), watch="b", budget=200))
        assert isinstance(hasty.answers[0], Unreachable)
        release.set()
        assert (await patient).answers == (ONE,)
        assert evil.asked.count("up") == 1


async def test_concurrency_is_capped() -> None:
    async def brief(form: Form, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        await GOOD(form, writer)

    async with Evil(brief) as evil, source_at(evil.url, concurrency=5) as source:
        signals = await asyncio.gather(
            *(source.ask(asks(f"q{index}", watch=f"w{index}", budget=20_000)) for index in range(60))
        )
        assert evil.most_at_once == 5
    assert all(signal.answers == (ONE,) for signal in signals)


async def test_a_slow_group_leaves_slots_to_the_others() -> None:
    """W11: what was slow once may hold half of the slots."""
    hang = asyncio.Event()

    async def behave(form: Form, writer: asyncio.StreamWriter) -> None:
        if form["query"][0].startswith("slow"):
            await hang.wait()
        await GOOD(form, writer)

    async with Evil(behave) as evil, source_at(evil.url, concurrency=4, timeout=60_000) as source:
        slow = [asks(f"slow{index}", watch=f"s{index}", budget=1_200) for index in range(4)]
        await asyncio.gather(*map(source.ask, slow))  # now it is known which are slow
        patient = [asks(f"slow{index}", watch=f"s{index}", budget=60_000) for index in range(4)]
        waiting = [asyncio.create_task(source.ask(one)) for one in patient]
        async with asyncio.timeout(10):
            quick = await source.ask(asks("quick", watch="q"))
        assert quick.answers == (ONE,)
        hang.set()
        assert all(signal.answers == (ONE,) for signal in await asyncio.gather(*waiting))


async def test_instant_and_range_queries_as_prometheus_wants_them() -> None:
    """W1, W6: `time` is the window's end, to the millisecond."""
    async with (
        Evil(GOOD) as evil,
        source_at(evil.url, params={"dedup": ("true",), "partial_response": ("a", "b")}) as source,
    ):
        await source.ask(asks("up", ends=(1_800_000_000_005,), budget=1, watch="future"))
        await source.ask(asks("up", ends=(1_700_000_000_005,)))
        ends = (1_700_000_000_250, 1_700_000_015_250, 1_700_000_030_250)
        await source.ask(asks("up", ends=ends, interval=15_000))
        instant, several = evil.forms[-2:]
    assert "POST /api/v1/query_range HTTP" in evil.heads[-1]
    common = {"query": ["up"], "timeout": ["10000ms"], "dedup": ["true"], "partial_response": ["a", "b"]}
    assert instant == {**common, "time": ["1700000000.005"]}
    assert several == {
        **common,
        "start": ["1700000000.250"],
        "end": ["1700000030.250"],
        "step": ["15000ms"],
    }


async def test_the_next_server_answers_and_is_remembered() -> None:
    counted = Counted()
    async with (
        Evil(BROKEN) as first,
        Evil(GOOD) as second,
        source_at(first.url, second.url, observer=counted) as source,
    ):
        for index in range(3):
            assert (await source.ask(asks("up", ends=(1_000 + index,)))).answers == (ONE,)
        assert first.asked == ["time()", "up"]
        assert second.asked.count("up") == 3
        assert await source.check_query("up") == 1
    assert counted.results.count("unreachable") == 1
    assert counted.results.count("success") == len(counted.results) - 1


async def test_all_answers_of_a_window_come_from_one_server() -> None:
    async def half(form: Form, writer: asyncio.StreamWriter) -> None:
        await (BROKEN if form["query"] == ["errors"] else says(http(vector(({}, "9")))))(form, writer)

    async with Evil(half) as first, Evil(GOOD) as second, source_at(first.url, second.url) as source:
        signal = await source.ask(asks("total", "errors"))
        assert signal.answers == (ONE, ONE)
        second.behave = BROKEN
        signal = await source.ask(asks("total", "errors", ends=(1_000,)))
        assert signal.answers[0] == Series(({"": "9"},))
        assert isinstance(signal.answers[1], Unreachable)


async def test_a_server_that_hangs_leaves_the_next_one_time() -> None:
    async def never(_: Form, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with (
        Evil(GOOD, clock=never) as first,
        Evil(GOOD) as second,
        source_at(first.url, second.url) as source,
    ):
        assert (await source.ask(asks("up", budget=2_000))).answers == (ONE,)


async def test_after_a_while_the_first_server_is_used_again() -> None:
    ahead = 0
    async with Evil(BROKEN, clock=BROKEN) as first, Evil(GOOD) as second:
        source = Source(PrometheusSettings((first.url, second.url)), lambda: wall() + ahead)
        try:
            await source.ask(asks("up", ends=(0,)))
            first.behave, first.clock = GOOD, None
            await source.ask(asks("up", ends=(0,), watch="b"))
            assert "up" not in first.asked
            ahead = RETURN_AFTER
            await source.ask(asks("up", ends=(0,), watch="c"))
            await asyncio.to_thread(wait_for, lambda: "time()" in first.asked[1:])
            async with asyncio.timeout(10):
                while "up" not in first.asked:
                    await source.ask(asks("up", ends=(0,), watch="d"))
        finally:
            await source.close()


async def test_one_reading_of_the_clock_serves_all_who_ask_at_once() -> None:
    end = wall() + 200
    async with Evil(GOOD) as evil, source_at(evil.url) as source:
        await asyncio.gather(*(source.ask(asks(f"q{i}", ends=(end,), watch=f"w{i}")) for i in range(30)))
        assert evil.asked.count("time()") == 1


async def test_closing_answers_what_is_under_way() -> None:
    begun = asyncio.Event()

    async def never(_: Form, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with Evil(never) as evil:
        source = Source(PrometheusSettings((evil.url,)), wall)
        asking = asyncio.create_task(source.ask(asks("up", budget=60_000)))
        async with asyncio.timeout(10):
            await begun.wait()
        await source.close()
        assert isinstance((await asking).answers[0], Unreachable)
        assert isinstance((await source.ask(asks("up"))).answers[0], Unreachable)


async def test_the_clock_is_read_ahead_of_the_windows_that_come_next() -> None:
    """T2: so that they need not wait for it."""
    again = asyncio.Event()

    class Looks(Counted):
        def clock_skew(self, seconds: float) -> None:
            super().clock_skew(seconds)
            if len(self.skews) == 2:
                again.set()

    async with Evil(GOOD) as evil, source_at(evil.url, observer=Looks()) as source, asyncio.timeout(20):
        end = wall()
        await asyncio.gather(
            *(source.ask(asks("up", ends=(end,), watch=f"w{index}", interval=2_000)) for index in range(3))
        )
        await again.wait()
        assert evil.asked == ["time()", "up", "time()"]


async def test_values_are_asked_for_once_their_samples_are_known_to_be_there() -> None:
    """W14: of a sample that becomes visible between the two, the value would be its predecessor's."""
    early, covered = asyncio.Event(), False

    async def answers(form: Form, writer: asyncio.StreamWriter) -> None:
        nonlocal covered
        if form["query"] == ["newest"]:
            with suppress(TimeoutError):
                await asyncio.wait_for(early.wait(), 0.2)
            covered = True
        elif not covered:
            early.set()
        await GOOD(form, writer)

    async with Evil(answers) as evil, source_at(evil.url) as source:
        await source.ask(asks("up", WindowQuery("newest", "coverage")))
        assert not early.is_set()
        assert evil.asked == ["time()", "newest", "up"]


async def test_no_part_of_a_condition_waits_for_the_samples_of_another() -> None:
    """W10: where the time of its samples never comes, the others are decided all the same."""
    asked = asyncio.Event()

    async def hangs(form: Form, writer: asyncio.StreamWriter) -> None:
        if form["query"] == ["stuck"]:
            await asked.wait()
        if form["query"] == ["a"]:
            asked.set()
        await GOOD(form, writer)

    newest, stuck = WindowQuery("newest", "coverage"), WindowQuery("stuck", "coverage")
    async with Evil(hangs) as evil, source_at(evil.url) as source:
        signal = await source.ask(asks("a", newest, "b", stuck, "c"))
    assert signal.answers == (ONE,) * 5
    assert evil.asked.index("newest") < evil.asked.index("a")
    assert evil.asked.index("stuck") < evil.asked.index("b")


async def test_a_value_from_before_its_samples_were_there_is_not_shared() -> None:
    """W11, W14: who knows more than the one who asked before asks anew; and both later ones at once."""
    end, newest = wall() - 1_000, WindowQuery("newest", "coverage")
    async with Evil(GOOD) as evil, source_at(evil.url) as source:
        await source.ask(asks("up", ends=(end,)))
        await asyncio.gather(
            *(source.ask(asks("up", newest, ends=(end,), watch=f"w{index}")) for index in range(5))
        )
        assert evil.asked == ["time()", "up", "newest", "up"]
