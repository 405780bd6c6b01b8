"""History by range queries, from servers that refuse, limit, cut off and talk nonsense (rules W2, W3)."""

from __future__ import annotations

import asyncio
import itertools
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.adapters.prometheus.asking import wall
from tests.adapters.prometheus.evil import Behave, Evil, Form, cuts, failure, http, says, vector

from rollbackd.core.effects import WindowQuery
from rollbackd.core.history import History
from rollbackd.core.model import Ms
from rollbackd.core.signals import Series, Unusable
from rollbackd.settings import PrometheusSettings
from rollbackd.world.prometheus import NoHistory, Past, Wanted
from rollbackd.world.prometheus.history import MOST_POINTS, Patience

STEP: Ms = 15_000
BEGIN: Ms = 1_700_000_000_000 // STEP * STEP

Labels = dict[str, str]
Values = Callable[[int], str | None]
"""What a series has at a moment (ms); None: nothing."""


async def _at_once(_: float) -> None:
    return


@asynccontextmanager
async def past(*urls: str, **settings: Any) -> AsyncIterator[Past]:
    async with Past(PrometheusSettings(urls, **settings), wall, Patience(sleep=_at_once)) as opened:
        yield opened


def windows(count: int) -> range:
    return range(BEGIN, BEGIN + count * STEP, STEP)


def wanted(count: int, *queries: str | WindowQuery, per: tuple[str, ...] = ()) -> Wanted:
    asked = tuple(WindowQuery(one) if isinstance(one, str) else one for one in queries)
    return Wanted(asked, per, windows(count))


def span_of(form: Form) -> range:
    start, end = (round(float(form[name][0]) * 1000) for name in ("start", "end"))
    return range(start, end + 1, int(form["step"][0].removesuffix("ms")))


def matrix(*series: tuple[Labels, Values], status: int = 200, most: int = 11_000) -> Behave:
    """A Prometheus with these series; it gives `most` points of each, as the real one 11,000."""

    async def behave(form: Form, writer: asyncio.StreamWriter) -> None:
        moments = span_of(form)
        if len(moments) > most + 1:
            writer.write(http(failure("bad_data", "exceeded maximum resolution of 11,000 points"), 400))
            return
        result = [
            {"metric": labels, "values": [[at / 1000, v] for at in moments if (v := values(at)) is not None]}
            for labels, values in series
        ]
        document = {"status": "success", "data": {"resultType": "matrix", "result": result}}
        writer.write(http(json.dumps(document).encode(), status))

    return behave


def first_then(*behaves: Behave) -> Behave:
    """Each request another of them; the last one for ever."""
    rest = itertools.chain(behaves[:-1], itertools.repeat(behaves[-1]))

    async def behave(form: Form, writer: asyncio.StreamWriter) -> None:
        await next(rest)(form, writer)

    return behave


def index(at: Ms) -> int:
    return (at - BEGIN) // STEP


def value_of(at: Ms) -> str:
    return str(index(at))


def texts(history: History, query: int = 0) -> list[dict[str, str] | str]:
    """By window: the texts of one query's answer, or why there is none."""
    found: list[dict[str, str] | str] = []
    for window in range(len(history.ends)):
        answer = history.answers(window)[query]
        found.append(answer.windows[0] if isinstance(answer, Series) else answer.reason)
    return found


async def fetched(behave: Behave, what: Wanted, **settings: Any) -> tuple[History, Evil]:
    async with Evil(behave) as evil, past(evil.url, **settings) as opened:
        (history,) = await opened.fetch([what])
        return history, evil


async def test_chunks_under_the_point_limit_give_each_window_once() -> None:
    count = 2 * MOST_POINTS + 777
    history, evil = await fetched(matrix(({}, value_of)), wanted(count, "up"))
    column = history.columns[0][""]
    assert list(column.values) == list(range(count))
    assert all(column.there)
    assert not history.failed
    asked = [at for form in evil.forms for at in span_of(form)]
    assert sorted(asked) == list(windows(count))
    assert max(len(span_of(form)) for form in evil.forms) <= MOST_POINTS
    assert evil.most_at_once <= 4


@pytest.mark.parametrize("most", [1_000, 127, 0])
async def test_a_server_with_a_lower_limit_is_asked_for_less(most: int) -> None:
    history, _ = await fetched(matrix(({}, value_of), most=most), wanted(600, "up"))
    assert list(history.columns[0][""].values) == list(range(600))


async def test_answers_over_the_cap_are_halved_until_they_fit() -> None:
    history, evil = await fetched(matrix(({}, value_of)), wanted(3_000, "up"), max_body_bytes=2_000)
    assert list(history.columns[0][""].values) == list(range(3_000))
    assert max(len(span_of(form)) for form in evil.forms) == 128  # the first: then it is known what fits


async def test_one_window_over_the_cap_names_the_query() -> None:
    with pytest.raises(NoHistory, match=r"^up: http.*larger than 50 bytes"):
        await fetched(matrix(({}, value_of)), wanted(3, "up"), max_body_bytes=50)


async def test_gaps_nan_and_infinities_are_kept_apart() -> None:
    told = ["1", None, "NaN", "+Inf", "-Inf", "1e-05"]
    history, _ = await fetched(matrix(({}, lambda at: told[index(at)])), wanted(len(told), "up"))
    found = texts(history)
    assert found == [{"": "1"}, {}, {"": "NaN"}, {"": "+Inf"}, {"": "-Inf"}, {"": "1e-05"}]


async def test_W3_each_window_is_unusable_by_itself() -> None:
    """Two series of one subject in different windows are one subject; in the same, that window is lost. A
    series without the label spoils the windows in which it is there."""
    series: list[tuple[Labels, Values]] = [
        ({"c": "a", "v": "1"}, lambda at: "1" if index(at) < 4 else None),
        ({"c": "a", "v": "2"}, lambda at: "2" if index(at) > 2 else None),
        ({}, lambda at: "7" if index(at) == 6 else None),
    ]
    history, _ = await fetched(matrix(*series), wanted(8, "up", per=("c",)))
    found = texts(history)
    assert found[2] == {"a": "1"}
    assert found[4] == {"a": "2"}
    assert sorted(history.failed) == [3, 6]
    assert "two series for the subject {c='a'}" in found[3]
    assert "no label 'c'" in found[6]
    assert all(isinstance(failure, Unusable) for failure in history.failed.values())


async def test_W3_without_per_a_second_series_spoils_its_windows() -> None:
    two = [({"i": name}, lambda at, name=name: "1" if name == "x" or index(at) else None) for name in "xy"]
    history, _ = await fetched(matrix(*two), wanted(2, "up"))
    assert texts(history)[0] == {"": "1"}
    assert "the trigger has no `per`" in texts(history)[1]


async def test_W14_of_coverage_the_newest_counts_and_whoever_lacks_the_label_is_everyone() -> None:
    series: list[tuple[Labels, Values]] = [
        ({"c": "a", "i": "1"}, lambda at: "10"),
        ({"c": "a", "i": "2"}, lambda at: ["9", "11", "NaN"][index(at)]),
        ({"i": "3"}, lambda at: "5"),
    ]
    query = WindowQuery("timestamp(up)", "coverage")
    history, _ = await fetched(matrix(*series), wanted(3, query, per=("c",)))
    newest = ["10", "11", "10"]
    assert texts(history) == [{"a": newest[window], "*": "5"} for window in range(3)]


async def test_equal_queries_of_several_conditions_are_asked_once() -> None:
    async with Evil(matrix(({"c": "a"}, value_of))) as evil, past(evil.url) as opened:
        one, other = await opened.fetch(
            [wanted(9, "up", "down", per=("c",)), wanted(9, "up", WindowQuery("down", "coverage"))]
        )
    assert sorted(evil.asked) == ["down", "up"]
    assert texts(one) == [{"a": str(at)} for at in range(9)]
    assert texts(other, 1) == [{"": str(at)} for at in range(9)]


async def test_progress_counts_windows_up_to_all() -> None:
    told: list[tuple[int, int]] = []
    async with Evil(matrix(({}, value_of), most=300)) as evil, past(evil.url) as opened:
        await opened.fetch([wanted(1_000, "a", "b")], lambda done, of: told.append((done, of)))
    assert told[-1] == (2_000, 2_000)
    assert told == sorted(told)
    assert {of for _, of in told} == {2_000}


async def test_nothing_there_is_no_column_and_no_failure() -> None:
    history, _ = await fetched(matrix(), wanted(300, "up"))
    assert history.columns == ({},)
    assert texts(history)[0] == {}


# What goes wrong


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (http(failure("bad_data", "1:3: parse error"), 400), "status 400: bad_data: 1:3: parse error"),
        (http(b"who are you?", 401), "status 401: who are you?"),
        (http(b"<html>\x1b[2J", 404), r"status 404: <html>\x1b"),
        (http(b"<html>sign in</html>"), "not an answer of Prometheus' API"),
        (http(b"", 302, Location="http://elsewhere/"), "redirected to http://elsewhere/"),
        (http(vector(({}, "1"))), "a range query yields a vector"),
        (http(b'{"status":"success","data":{"resultType":"matrix","result":{}}}'), "not an answer"),
        (
            http(
                b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,2]]}]}}'
            ),
            "not an answer",
        ),
        (
            http(
                b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"x"]]}]}}'
            ),
            '"x" is not a number',
        ),
        (
            http(
                b'{"status":"success","data":{"resultType":"matrix","result":'
                b'[{"metric":{},"histograms":[[1,{}]]}]}}'
            ),
            "native histograms",
        ),
        (
            http(
                b'{"status":"success","warnings":["no store"],"data":{"resultType":"matrix","result":[]}}'
            ),
            "Prometheus warns: no store",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP"),
    ],
)  # fmt: skip
async def test_a_query_that_is_refused_ends_the_fetch_at_once(response: bytes, reason: str) -> None:
    async with Evil(cuts(response)) as evil, past(evil.url) as opened:
        with pytest.raises(NoHistory) as caught:
            await opened.fetch([wanted(50_000, "sum(up)")])
    assert str(caught.value).startswith("sum(up): ")
    assert reason in str(caught.value)
    assert not caught.value.unreachable
    assert len(evil.asked) == 1


async def test_warnings_may_be_ignored() -> None:
    body = {"status": "success", "warnings": ["w"], "data": {"resultType": "matrix", "result": []}}
    response = says(http(json.dumps(body).encode()))
    history, _ = await fetched(response, wanted(3, "up"), warnings="ignore")
    assert not history.failed


@pytest.mark.parametrize(
    "bad",
    [
        says(http(b"slow down", 429)),
        says(http(b"bad gateway", 502)),
        cuts(b""),
        cuts(http(vector(({}, "1")) * 9)[:-50]),
        says(http(b'{"status":"success","data":{"resultType":"matrix","result":[{"metr')),
    ],
)
async def test_what_is_unreachable_is_asked_again(bad: Behave) -> None:
    history, _ = await fetched(first_then(bad, bad, matrix(({}, value_of))), wanted(300, "up"))
    assert list(history.columns[0][""].values) == list(range(300))


async def test_what_stays_unreachable_says_how_far_it_came() -> None:
    good, bad = matrix(({}, value_of)), says(http(b"bad gateway", 502))
    async with Evil(first_then(good, bad)) as evil, past(evil.url) as opened:
        with pytest.raises(NoHistory, match=r"502.*; given up after 128 of 50,000 windows$") as caught:
            await opened.fetch([wanted(50_000, "up")])
    assert caught.value.unreachable


async def test_the_next_server_is_asked_and_kept() -> None:
    async with (
        Evil(says(http(b"", 503))) as dead,
        Evil(matrix(({}, value_of))) as well,
        past(dead.url, well.url) as opened,
    ):
        (history,) = await opened.fetch([wanted(20_000, "up")])
    assert all(history.columns[0][""].there)
    assert len(dead.asked) == 1


async def test_a_slow_server_is_asked_for_fewer_windows() -> None:
    async def behave(form: Form, writer: asyncio.StreamWriter) -> None:
        if len(span_of(form)) > 500:
            await asyncio.Event().wait()
        await matrix(({}, value_of))(form, writer)

    history, _ = await fetched(behave, wanted(2_000, "up"), timeout=300)
    assert list(history.columns[0][""].values) == list(range(2_000))


async def test_an_evaluation_that_fails_in_one_window_spoils_that_window_alone() -> None:
    """As live, where each window is a query of its own."""

    async def behave(form: Form, writer: asyncio.StreamWriter) -> None:
        if windows(3_000)[1_234] in span_of(form):
            writer.write(http(failure("execution", "duplicate series for the match group"), 422))
        else:
            await matrix(({}, value_of))(form, writer)

    history, _ = await fetched(behave, wanted(3_000, "up"))
    assert list(history.failed) == [1_234]
    assert "duplicate series" in texts(history)[1_234]
    assert all(there for window, there in enumerate(history.columns[0][""].there) if window != 1_234)


async def test_an_evaluation_that_always_fails_is_the_querys_fault() -> None:
    with pytest.raises(NoHistory, match=r"cannot be evaluated in many windows: .*422: execution: x"):
        await fetched(says(http(failure("execution", "x"), 422)), wanted(3_000, "up"))


async def test_times_off_the_grid_are_no_windows() -> None:
    rows = [[BEGIN / 1000 + offset, "1"] for offset in (-15, 0, 0.001, 7, 15, 15e9)]
    body = {
        "status": "success",
        "data": {"resultType": "matrix", "result": [{"metric": {}, "values": rows}]},
    }
    history, _ = await fetched(says(http(json.dumps(body).encode())), wanted(3, "up"))
    assert texts(history) == [{"": "1"}, {"": "1"}, {}]


async def test_more_than_fits_into_memory_is_said_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollbackd.world.prometheus.history.MOST_CELLS", 100_000)
    many = matrix(*(({"pod": str(pod)}, value_of) for pod in range(30)))
    with pytest.raises(NoHistory, match="11 subjects by now, over 10,000 windows"):
        await fetched(many, wanted(10_000, "up", per=("pod",)))


async def test_the_clock_is_the_servers_own() -> None:
    async with Evil(says(b""), skew=3_600) as evil, past(evil.url) as opened:
        assert 3_500_000 < await opened.clock() - wall() < 3_700_000


async def test_no_clock_is_an_error() -> None:
    async with Evil(says(b""), clock=says(http(b"<html>"))) as evil, past(evil.url) as opened:
        with pytest.raises(NoHistory, match=r"^time\(\): .*not an answer"):
            await opened.clock()
        gone = evil.url
    async with past(gone) as opened:
        with pytest.raises(NoHistory, match="cannot connect") as caught:
            await opened.clock()
    assert caught.value.unreachable


async def test_a_reading_takes_nine_bytes() -> None:
    series = [({"c": str(subject)}, value_of) for subject in range(4)]
    async with Evil(matrix(*series)) as evil, past(evil.url) as opened:
        await opened.fetch([wanted(100, "up", per=("c",))])  # what is made once
        tracemalloc.start()
        (history,) = await opened.fetch([wanted(12_000, "up", per=("c",))])
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert [len(column.there) for column in history.columns[0].values()] == [12_000] * 4
    assert kept < 48_000 * 9 + 400_000
