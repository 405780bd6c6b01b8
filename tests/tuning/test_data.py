"""The past of a real Prometheus, with gaps, NaN and counter resets, is what it would have answered then."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from tests.servers import fetch
from tests.tuning.plainly import trigger

from rollbackd.core.history import History
from rollbackd.core.judging import window_queries
from rollbackd.core.model import Condition, Limit, Ms, Trigger
from rollbackd.core.signals import Series
from rollbackd.settings import PrometheusSettings
from rollbackd.tuning.answers import BadFile
from rollbackd.tuning.data import BadTimes, Moment, NoData, Order, Times, gather
from rollbackd.tuning.openmetrics import openmetrics
from rollbackd.world.prometheus import Past, Wanted

BEGIN = 1_790_000_000 // 15 * 15
WINDOWS = 600

needs_prometheus = pytest.mark.skipif(shutil.which("promtool") is None, reason="apt-get install prometheus")


def metrics(path: Path) -> Path:
    """Requests that are counted anew at times, a gauge that is NaN or absent at times, and a target that goes
    stale."""
    lines = ["# TYPE requests counter"]
    for cohort, step in (("canary", 3), ("stable", 7)):
        for code, share in (("200", 10), ("500", 1)):
            count = 0
            for n in range(WINDOWS):
                count = 0 if n % 97 == 90 + step % 3 else count + share * (step if n % 41 < 9 else 1)
                if not 200 < n < 200 + 5 * step:
                    lines.append(
                        f'requests_total{{cohort="{cohort}",code="{code}"}} {count} {BEGIN + n * 15 + step}'
                    )
    lines.append("# TYPE load gauge")
    for n in range(WINDOWS):
        value = "NaN" if n % 13 == 0 else "+Inf" if n % 17 == 0 else n / 7
        if n % 60 < 30:
            lines.append(f'load{{cohort="canary"}} {value} {BEGIN + n * 15}')
    path.write_text("\n".join([*lines, "# EOF", ""]))
    return path


RATIO = Condition(
    expr='sum by (cohort) (rate(requests_total{code="500"}[1m]))',
    total="sum by (cohort) (rate(requests_total[1m]))",
    traffic="sum by (cohort) (rate(requests_total[1m]))",
    at_least=0.1,
    breach=Limit(">", 0.1),
    coverage=("max by (cohort) (timestamp(requests_total))",),
)
LOAD = Condition(expr="load", breach=Limit(">", 50), coverage=("timestamp(load)",))


def instant(url: str, expr: str, end: Ms) -> dict[str, str]:
    form = {"query": expr, "time": f"{end / 1000:.3f}"}
    result = fetch(f"{url}/api/v1/query", form)["data"]["result"]
    return {one["metric"].get("cohort", ""): one["value"][1] for one in result}


@needs_prometheus
@pytest.mark.parametrize("condition", [RATIO, LOAD], ids=["ratio", "gauge"])
def test_W2_each_window_has_the_answer_of_an_instant_query(tmp_path: Path, condition: Condition) -> None:
    async def past(url: str, ends: range) -> History:
        async with Past(PrometheusSettings((url,)), lambda: 0) as opened:
            (found,) = await opened.fetch([Wanted(window_queries(condition), ("cohort",), ends)])
            return found

    with openmetrics(metrics(tmp_path / "m.om")) as (url, first, last):
        assert (first, last) == (BEGIN * 1000, (BEGIN + (WINDOWS - 1) * 15 + 7) * 1000)
        found = asyncio.run(past(url, range(first + 7_500, last, 15_000)))
        for window in range(0, len(found.ends), 5):
            for query, answer in zip(found.queries, found.answers(window), strict=True):
                assert isinstance(answer, Series)
                expected = instant(url, query.expr, found.ends[window])
                assert {key: float(text) for key, text in answer.windows[0].items()} == pytest.approx(
                    {key: float(text) for key, text in expected.items()}, rel=0, abs=0, nan_ok=True
                )


def order(path: Path, *triggers: Trigger, **times: Moment) -> Order:
    return Order(triggers or (trigger(condition=LOAD),), Times(**times), file=path)


@needs_prometheus
def test_openmetrics_are_replayed_from_their_first_sample_to_their_last(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    found = gather(
        order(metrics(tmp_path / "m.om"), trigger(condition=RATIO)), lambda *done: told.append(done)
    )
    (history,) = found.gathered[0].stretches
    assert (found.begin, found.end) == (BEGIN * 1000, (BEGIN + (WINDOWS - 1) * 15 + 7) * 1000)
    assert len(history.ends) == WINDOWS - 1
    assert set(history.columns[0]) == {"canary", "stable"}
    assert told[-1] == (3 * len(history.ends),) * 2
    part = gather(order(tmp_path / "m.om", start=Moment(-3_600_000, relative=True)))
    assert part.begin == part.end - 3_600_000


@needs_prometheus
@pytest.mark.parametrize(
    ("times", "error", "says"),
    [
        ({"start": Moment((BEGIN + 15 * WINDOWS) * 1000)}, BadTimes, "is not before the end"),
        ({"start": Moment((BEGIN + 15 * WINDOWS - 20) * 1000)}, NoData, "no window of ApiErrorRatioHigh"),
    ],
)
def test_times_outside_the_data(
    tmp_path: Path, times: dict[str, Moment], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        gather(order(metrics(tmp_path / "m.om"), **times))


@needs_prometheus
def test_text_that_is_cut_off_is_not_half_read(tmp_path: Path) -> None:
    path = metrics(tmp_path / "m.om")
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(BadFile, match=r"m\.om: not OpenMetrics text: "):
        gather(order(path))
