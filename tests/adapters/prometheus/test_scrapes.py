"""When targets were scraped, as a real Prometheus tells it, and as one that misbehaves does (W1)."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from tests.adapters.prometheus.asking import source_at, wall
from tests.adapters.prometheus.evil import Evil, Form, failure, http, vector
from tests.servers import Exporter, prometheus, wait_for

from rollbackd.config.promql import analyse, scraped
from rollbackd.core.effects import AskScrapes
from rollbackd.core.model import Ms
from rollbackd.core.signals import Scrape, ScrapesSeen


def ask(*exprs: str, at: Ms = 0) -> AskScrapes:
    queries = scraped(map(analyse, exprs))
    assert queries is not None
    return AskScrapes("api", at or wall() - 1_000, *queries, 5_000)


async def test_a_real_prometheus_says_when_each_target_was_scraped(tmp_path: Path) -> None:
    with (
        Exporter() as one,
        Exporter() as two,
        Exporter() as other,
        prometheus(tmp_path, "500ms", [x.target for x in (one, two, other)]) as server,
    ):
        one.set("errors", 1)
        one.set("requests", 1, path="/a")
        one.set("requests", 1, path="/b")
        two.set("requests", 1)
        other.set("unrelated", 1)
        wait_for(lambda: len(server.query("requests offset 2s")) == 3, what="two seconds of scrapes")
        at = wall() - 1_000
        async with source_at(server.url) as source:
            seen = await source.scrapes(ask("rate(errors[1m]) / rate(requests[1m])", at=at))
            nothing = await source.scrapes(ask("no_such_thing", at=at))
        expected = {
            f"test\x1f{row['metric']['instance']}": round(float(row["value"][1]) * 1000)
            for row in server.query("timestamp(up)", at=at / 1000)
            if row["metric"]["instance"] != other.target
        }
    assert (seen.group, seen.at) == ("api", at)
    assert seen.scrapes is not None
    assert {target: scrape.at for target, scrape in seen.scrapes.items()} == expected
    assert len(expected) == 2
    assert all(0 <= at - scrape.at <= 5_000 and scrape.took > 0 for scrape in seen.scrapes.values())
    assert nothing.scrapes == {}, "nothing is scraped for it"


A = {"job": "j", "instance": "a"}
B = {"job": "j", "instance": "b"}


@pytest.mark.parametrize(
    ("times", "durations", "scrapes"),
    [
        (http(vector((A, "12.5"))), http(vector((A, "0.0201"))), {"j\x1fa": Scrape(12_500, 21)}),
        (http(vector()), http(vector()), {}),
        (http(vector((A, "1"), (A, "2"))), http(vector((A, "1"))), {}),  # two targets under one name
        (http(vector(({"job": "j"}, "1"))), http(vector(({"job": "j"}, "1"))), {}),
        (http(vector((A, "1"))), http(vector((B, "1"))), {}),  # one appeared, one went meanwhile
        (http(vector((A, "NaN"))), http(vector((A, "1"))), {}),
        (http(vector((A, "1"))), http(vector((A, "+Inf"))), {}),
        (http(vector((A, "-1"))), http(vector((A, "1"))), {}),
        (http(failure("execution", "many-to-many"), 422), http(vector((A, "1"))), {}),
        (http(b"bad gateway", 502), http(vector((A, "1"))), None),
        (http(vector((A, "1"))), http(b"", 503), None),
    ],
)
async def test_what_cannot_be_told_is_no_phase_and_no_answer_is_none(
    times: bytes, durations: bytes, scrapes: dict[str, Scrape] | None
) -> None:
    async def behave(form: Form, writer: asyncio.StreamWriter) -> None:
        writer.write(times if form["query"][0].startswith("timestamp") else durations)
        await writer.drain()

    async with Evil(behave) as evil, source_at(evil.url) as source:
        assert await source.scrapes(ask("up", at=60_000)) == ScrapesSeen("api", 60_000, scrapes)


async def test_refused_is_no_answer() -> None:
    with socket.socket() as unused:  # bound, not listening
        unused.bind(("127.0.0.1", 0))
        async with source_at(f"http://127.0.0.1:{unused.getsockname()[1]}") as source:
            assert (await source.scrapes(ask("up"))).scrapes is None
