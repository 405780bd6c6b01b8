"""What a Prometheus, or something in its place, may do to us; numbers are those of the fault list."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
import tracemalloc
import zlib
from typing import Any

import pytest
from tests.adapters.prometheus.asking import Counted, asks, source_at, wall
from tests.adapters.prometheus.evil import Behave, Evil, Form, cuts, failure, http, says, vector
from tests.servers import wait_for

from rollbackd.core.effects import WindowQuery
from rollbackd.core.signals import Series, Unreachable, Unusable
from rollbackd.world.prometheus import NoValue

GOOD = http(vector(({}, "1")))


async def answered(behave: Behave, **settings: Any) -> Series | Unreachable | Unusable:
    """The answer to one query of a server that behaves so."""
    async with Evil(behave) as evil, source_at(evil.url, **settings) as source:
        (answer,) = (await source.ask(asks("up"))).answers
        return answer


@pytest.mark.parametrize(
    ("response", "kind", "reason"),
    [
        (http(b"bad gateway", 502), Unreachable, "status 502: bad gateway"),
        (http(b"", 500), Unreachable, "status 500"),
        (http(failure("unavailable", "starting"), 503), Unreachable, "unavailable: starting"),
        (http(failure("timeout", "query timed out"), 503), Unreachable, "timeout: query timed out"),
        (http(b"slow down", 429), Unreachable, "status 429: slow down"),
        (http(b"", 408), Unreachable, "status 408"),
        (http(failure("timeout", "t"), 422), Unreachable, "status 422: timeout: t"),
        (http(failure("canceled", "c"), 499), Unreachable, "status 499: canceled: c"),
        (http(failure("execution", "too many samples"), 422), Unusable, "execution: too many samples"),
        (http(failure("bad_data", "1:3: parse error"), 400), Unusable, "bad_data: 1:3: parse error"),
        (http(b"who are you?", 401), Unusable, "status 401: who are you?"),
        (http(b"<html>\x1b[2J", 404), Unusable, r"status 404: <html>\x1b[2J"),
    ],
)
async def test_19_statuses(response: bytes, kind: type, reason: str) -> None:
    answer = await answered(says(response))
    assert isinstance(answer, kind)
    assert reason in answer.reason  # type: ignore[union-attr]


async def test_19_refused() -> None:
    with socket.socket() as unused:  # bound, not listening
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with source_at(url) as source:
            signal = await source.ask(asks("up", "down"))
    assert [type(answer) for answer in signal.answers] == [Unreachable, Unreachable]
    assert signal.answers[0].reason == f"{url}: cannot connect: Connection refused"  # type: ignore[union-attr]
    assert signal.skew is None


@pytest.mark.parametrize("delay", ["first byte", "drip"])
async def test_20_one_total_deadline_over_slow_drip(delay: str) -> None:
    async def drip(_: Form, writer: asyncio.StreamWriter) -> None:
        if delay == "first byte":
            await asyncio.Event().wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with Evil(drip) as evil, source_at(evil.url) as source:
        async with asyncio.timeout(10):
            signal = await source.ask(asks("up", budget=300))
        assert isinstance(signal.answers[0], Unreachable)
        async with asyncio.timeout(10):
            with pytest.raises(NoValue):
                await source.check_query("up", budget=300)


@pytest.mark.parametrize("clock", [None, says(http(b"busy", 503))])
async def test_20_a_slow_clock_is_within_the_deadline_too(clock: Behave | None) -> None:
    async def never(_: Form, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with Evil(says(GOOD), clock=clock or never) as evil, source_at(evil.url) as source:
        async with asyncio.timeout(10):
            (answer,) = (await source.ask(asks("up", budget=300))).answers
    assert isinstance(answer, Unreachable)


BODY = vector(*(({"i": str(index)}, "1") for index in range(50)))


@pytest.mark.parametrize(
    ("behave", "kind"),
    [
        (cuts(http(BODY)[:-100]), Unreachable),  # less than Content-Length
        (cuts(http(BODY[:-100], Connection="close")), Unreachable),  # JSON that stops
        (cuts(b""), Unreachable),
        (cuts(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"), Unreachable),
        (says(http(gzip.compress(BODY)[:-20], Content_Encoding="gzip")), Unreachable),
        (says(http(b"<html>sign in</html>")), Unusable),
        (says(http(b"\xff\xfe\x00")), Unusable),
        (says(http(b"null")), Unusable),
        (says(http(b"{}")), Unusable),
        (says(http(b'{"status":"success"}')), Unusable),
        (says(http(b'{"status":"success","data":{"resultType":"vector","result":{}}}')), Unusable),
        (says(http(b'{"status":"success","data":{"resultType":"string","result":[1,"x"]}}')), Unusable),
        (says(http(b'{"status":"success","data":{"resultType":"streams","result":[]}}')), Unusable),
        (says(http(vector(({}, "1")).replace(b'"1"]', b"1]"))), Unusable),
        (says(http(b'[{"a":' * 10_000)), Unusable),
        (says(b"SSH-2.0-OpenSSH_9.2\r\n"), Unusable),
        (says(http(b"x", Content_Encoding="br")), Unusable),
        (says(http(b"no gzip", Content_Encoding="gzip")), Unusable),
    ],
)
async def test_21_truncated_or_no_answer_of_prometheus(behave: Behave, kind: type) -> None:
    assert isinstance(await answered(behave), kind)


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e-9", "1.7976931348623157e+308"])
async def test_22_values_come_as_they_were_written(value: str) -> None:
    assert await answered(says(http(vector(({}, value))))) == Series(({"": value},))


async def test_22_what_is_no_number_is_unusable() -> None:
    for value in ("abc", "", " 1", "1\n", "1_0", "١", "0x1", "1\x00", "9" * 65, "9" * 100_000):
        answer = await answered(says(http(vector(({}, "1"), ({}, value)))))
        assert isinstance(answer, Unusable), value
        assert "is not a number" in answer.reason or "of length <= 64" in answer.reason
        assert len(answer.reason) < 300


async def test_22_a_coverage_that_is_no_number_is_unusable() -> None:
    query = WindowQuery("timestamp(up)", "coverage")
    behave = says(http(vector(({"i": "a"}, "abc"), ({"i": "a"}, "1"))))
    async with Evil(behave) as evil, source_at(evil.url) as source:
        (answer,) = (await source.ask(asks(query, per=("i",)))).answers
        with pytest.raises(NoValue, match="is not a number"):
            await source.check_query("up")
    assert isinstance(answer, Unusable)
    assert 'value "abc" is not a number' in answer.reason


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (http(b'{"status":"success","x":' + DEEP + b"}"), Unusable),
        (http(b'{"status":"success","data":{"resultType":"vector","result":' + DEEP + b"}}"), Unusable),
        (http(b'{"status":"success","x":' + DEEP + b"}", 503), Unreachable),
    ],
)
async def test_21_deep_documents(response: bytes, kind: type) -> None:
    assert isinstance(await answered(says(response)), kind)


@pytest.mark.parametrize("at", ["1e308", "-1e308", "1e999"])
async def test_21_a_time_beyond_all_times(at: str) -> None:
    series = f'{{"metric":{{}},"values":[[{at},"1"]]}}'
    body = f'{{"status":"success","data":{{"resultType":"matrix","result":[{series}]}}}}'
    end = wall() // 1000 * 1000 - 1_000
    async with Evil(says(http(body.encode()))) as evil, source_at(evil.url) as source:
        (answer,) = (await source.ask(asks("up", ends=(end - 1_000, end)))).answers
    assert isinstance(answer, Unusable)


@pytest.mark.parametrize("time", ["1e300", "-1e300", "1e999", "NaN", "+Inf", "-1"])
async def test_17_a_clock_that_tells_no_time(time: str) -> None:
    data = {"resultType": "scalar", "result": [1, time]}
    clock = says(http(json.dumps({"status": "success", "data": data}).encode()))
    async with Evil(says(GOOD), clock=clock) as evil, source_at(evil.url) as source:
        signal = await source.ask(asks("up"))
    assert isinstance(signal.answers[0], Unusable)
    assert signal.skew is None


@pytest.mark.parametrize("per", [("i",), ("i", "j")])
async def test_24_a_subject_is_no_book(per: tuple[str, ...]) -> None:
    for length, kind in ((1_024, Series), (1_025, Unusable)):
        behave = says(http(vector(({"i": "x" * length, "j": "y" * 1_024}, "1"))))
        async with Evil(behave) as evil, source_at(evil.url) as source:
            (answer,) = (await source.ask(asks("up", per=per))).answers
        assert isinstance(answer, kind)
        if isinstance(answer, Unusable):
            assert "the label 'i' has a value of 1025 characters" in answer.reason
            assert len(answer.reason) < 300


async def test_23_an_empty_vector_is_absence() -> None:
    assert await answered(says(http(vector()))) == Series(({},))


async def test_24_more_series_than_declared() -> None:
    answer = await answered(says(http(vector(({"pod": "a"}, "1"), ({"pod": "b"}, "1")))))
    assert isinstance(answer, Unusable)


async def test_24_native_histograms() -> None:
    sample = {"metric": {}, "histogram": [1.0, {"count": "1", "sum": "1", "buckets": []}]}
    document = {"status": "success", "data": {"resultType": "vector", "result": [sample]}}
    answer = await answered(says(http(json.dumps(document).encode())))
    assert isinstance(answer, Unusable)
    assert "native histograms" in answer.reason


GIGABYTE = 1 << 30


async def _plain_gigabyte(_: Form, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    for _sent in range(GIGABYTE >> 20):
        writer.write(b" " * (1 << 20))
        await writer.drain()


async def _zipped_gigabyte(_: Form, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n")
    squeeze = zlib.compressobj(1, wbits=zlib.MAX_WBITS + 16)
    for _sent in range(GIGABYTE >> 20):
        writer.write(squeeze.compress(b" " * (1 << 20)))
        await writer.drain()


@pytest.mark.parametrize(
    "behave", [_plain_gigabyte, _zipped_gigabyte, says(http(b"", Content_Length=str(GIGABYTE)))]
)
async def test_25_a_huge_body_is_capped_while_it_comes(behave: Behave) -> None:
    async with Evil(behave) as evil, source_at(evil.url, max_body_bytes=4 << 20) as source:
        tracemalloc.start()
        try:
            (answer,) = (await source.ask(asks("up", budget=20_000))).answers
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert isinstance(answer, Unreachable)
    assert "larger than" in answer.reason
    assert most < 40 << 20


async def test_a_compressed_answer_is_understood_though_none_was_asked_for() -> None:
    body = gzip.compress(vector(({}, "5")))
    async with Evil(says(http(body, Content_Encoding="gzip"))) as evil, source_at(evil.url) as source:
        assert (await source.ask(asks("up"))).answers == (Series(({"": "5"},)),)
        assert "accept-encoding: identity" in evil.heads[0].lower()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_26_a_redirect_is_refused(status: int) -> None:
    async with Evil(says(GOOD)) as other:
        target = f"{other.url}/x\t<b>"
        answer = await answered(says(http(b"", status, Location=target)))
        assert other.asked == []
    assert isinstance(answer, Unusable)
    assert f"redirected to {target}".replace("\t", r"\t") in answer.reason


@pytest.mark.parametrize(
    ("more", "setting", "usable"),
    [
        ({"warnings": ["partial response: store gone"]}, "unusable", False),
        ({"warnings": ["partial response: store gone"]}, "ignore", True),
        ({"warnings": ["PromQL info: metric might not be a counter"]}, "unusable", True),
        ({"warnings": ["PromQL info: x", "real"]}, "unusable", False),
        ({"infos": ["PromQL info: x"]}, "unusable", True),
        ({"warnings": []}, "unusable", True),
    ],
)
async def test_27_warnings(more: dict[str, list[str]], setting: str, usable: bool) -> None:
    answer = await answered(says(http(vector(({}, "1"), **more))), warnings=setting)
    assert isinstance(answer, Series if usable else Unusable)


@pytest.mark.parametrize("skew", [-0.4, 3_600.0, 86_400.0])
async def test_17_a_skewed_clock_is_measured_and_windows_follow_it(skew: float) -> None:
    counted = Counted()
    async with Evil(says(GOOD), skew=skew) as evil, source_at(evil.url, observer=counted) as source:
        end = wall() + int(skew * 1000)
        signal = await source.ask(asks("up", ends=(end,)))
        prometheus_now = time.time() * 1000 + skew * 1000
    assert isinstance(signal.answers[0], Series)
    assert signal.skew is not None
    assert signal.skew <= skew * 1000 + 1
    assert abs(signal.skew - skew * 1000) < 1_000
    assert prometheus_now >= end
    assert abs(counted.skews[-1] - skew) < 1


async def test_17_a_clock_far_behind_is_no_answer_and_asks_nothing() -> None:
    async with Evil(says(GOOD), skew=-3_600) as evil, source_at(evil.url) as source:
        signal = await source.ask(asks("up"))
        assert evil.asked == ["time()"]
    assert isinstance(signal.answers[0], Unreachable)
    assert "clock is 3599" in signal.answers[0].reason or "clock is 3598" in signal.answers[0].reason
    assert signal.skew is not None
    assert signal.skew < -3_500_000


async def test_30_everything_down_at_once_is_unreachable_for_everyone_in_time() -> None:
    async def never(_: Form, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with Evil(never) as evil, source_at(evil.url) as source, asyncio.timeout(20):
        signals = await asyncio.gather(
            *(source.ask(asks(f"q{index}", watch=f"w{index}", budget=500)) for index in range(200))
        )
    assert {type(answer) for signal in signals for answer in signal.answers} == {Unreachable}


async def test_a_capped_number_of_queries_is_under_way_at_once() -> None:
    """W11: the others wait their turn, also when every answer is slow."""
    release = asyncio.Event()

    async def held(_: Form, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(GOOD)

    async with Evil(says(GOOD)) as evil, source_at(evil.url, concurrency=4) as source, asyncio.timeout(20):
        evil.behave = held
        asked = [
            asyncio.create_task(source.ask(asks(f"q{index}", watch=f"w{index}", budget=15_000)))
            for index in range(40)
        ]
        await asyncio.to_thread(wait_for, lambda: evil.at_once >= 4)
        for _ in range(1_000):  # turns of the loop, for a fifth to arrive in, if there were one
            await asyncio.sleep(0)
        assert evil.most_at_once == 4
        release.set()
        signals = await asyncio.gather(*asked)
    assert {type(answer) for signal in signals for answer in signal.answers} == {Series}
