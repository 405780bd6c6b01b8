"""A real Prometheus that is killed, frozen and restarted; and many series."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.adapters.prometheus.asking import asks, source_at, wall
from tests.servers import Exporter, prometheus, wait_for

from rollbackd.core.effects import WindowQuery
from rollbackd.core.signals import Series, Unreachable, Unusable
from rollbackd.world.client import Answer
from rollbackd.world.prometheus.answer import Shape, read


async def test_31_missed_windows_are_answered_at_their_own_times(tmp_path: Path) -> None:
    """W1, W6: what was unreachable while Prometheus was down is the same when asked afterwards, in one
    range query as in single ones."""
    with Exporter() as exporter, prometheus(tmp_path, "200ms", [exporter.target]) as server:
        for step in range(4):
            exporter.set("step", step)
            wait_for(lambda step=step: server.value("step") == step)  # type: ignore[misc]
        last = wall() // 500 * 500 + 500
        ends = tuple(range(last - 4_000, last + 1, 500))
        async with source_at(server.url) as source:
            before = await source.ask(asks("step", ends=ends, interval=500))
            server.kill()
            during = await source.ask(asks("step", ends=ends, interval=500))
            assert isinstance(during.answers[0], Unreachable)
            server.start()
            after = await source.ask(asks("step", ends=ends, interval=500))
            singles = [await source.ask(asks("step", ends=(end,), watch="d")) for end in ends]
    assert isinstance(after.answers[0], Series)
    assert after.answers == before.answers
    assert tuple(single.answers[0].windows[0] for single in singles) == after.answers[0].windows  # type: ignore[union-attr]
    assert after.answers[0].windows[-1] == {"": "3"}


async def test_a_frozen_prometheus_is_unreachable_within_the_budget(tmp_path: Path) -> None:
    with prometheus(tmp_path) as server:
        async with source_at(server.url) as source:
            assert isinstance((await source.ask(asks("up"))).answers[0], Series)
            server.freeze()
            async with asyncio.timeout(10):
                answer = (await source.ask(asks("up", budget=300, watch="b"))).answers[0]
            assert isinstance(answer, Unreachable)
            server.thaw()
            async with asyncio.timeout(10):
                while not isinstance(answer, Series):
                    answer = (await source.ask(asks("up", watch="c"))).answers[0]


async def test_coverage_tells_when_the_newest_sample_is_old(tmp_path: Path) -> None:
    """W14: the value looks alive for five minutes, its sample's time does not."""
    with Exporter() as exporter, prometheus(tmp_path, "200ms", [exporter.target]) as server:
        exporter.set("errors", 1, cohort="canary")
        wait_for(lambda: server.value("errors") == 1)
        server.kill()
        stopped = wall()
        server.start()
        wait_for(lambda: server.value("timestamp(up)") and server.value("timestamp(up)") > stopped / 1000)  # type: ignore[operator]
        exporter.status = 500
        coverage = WindowQuery("timestamp(errors)", "coverage")
        async with source_at(server.url) as source:
            signal = await source.ask(asks("errors", coverage, ends=(stopped,), per=("cohort",)))
    value, newest = signal.answers
    assert value == Series(({"canary": "1"},))
    assert isinstance(newest, Series)
    assert float(newest.windows[0]["canary"]) * 1000 <= stopped


async def test_real_errors_are_unusable(tmp_path: Path) -> None:
    with prometheus(tmp_path) as server:
        async with source_at(server.url) as source:
            signal = await source.ask(asks("rate(up", 'label_replace(up, "a", "$1", "b", "(")', '"text"'))
    assert [type(answer) for answer in signal.answers] == [Unusable] * 3
    assert "parse error" in signal.answers[0].reason  # type: ignore[union-attr]


async def test_the_loop_goes_on_between_portions_of_many_series() -> None:
    """Ten thousand subjects are read in several turns of the loop."""
    result = [{"metric": {"c": f"c{index}"}, "value": [1.0, "0.5"]} for index in range(10_000)]
    document = {"status": "success", "data": {"resultType": "vector", "result": result}}
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    answer = await read(Answer(200, {}, json.dumps(document).encode()), Shape((1_000,), ("c",)))
    counting.cancel()
    assert isinstance(answer, Series)
    assert len(answer.windows[0]) == 10_000
    assert turns >= 4
