"""The Alertmanager receiver, with real Alertmanagers: a page is a maintained state (E2)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.receivers.paging import TEXT, Slept, page, receivers, wall
from tests.servers import Recorder, Reply, alertmanager, wait_for

from rollbackd.core.effects import KeepAlert
from rollbackd.settings import AlertmanagerSettings
from rollbackd.world.receivers.alertmanager import AHEAD, Alertmanager
from rollbackd.world.receivers.post import Patience, Reserve


async def until(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_for, condition)


def ms(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() * 1000


async def test_a_page_is_an_alert_until_it_is_resolved(tmp_path: Path) -> None:
    """Fault 68: labels come back as they were sent."""
    with alertmanager(tmp_path) as server:
        async with receivers(AlertmanagerSettings("am", (server.url,))) as made:
            firing = page("am")
            assert (await made.deliver(firing)).accepted
            await until(server.alerts)
            (alert,) = server.alerts()
            assert alert["labels"] == {**firing.labels, "alertname": "RollbackdRollback"}
            assert alert["annotations"] == {
                **firing.annotations,
                "title": firing.title,
                "text": TEXT,
                "dedup": firing.dedup,
            }
            assert abs(ms(alert["startsAt"]) - firing.began) < 2
            assert ms(alert["endsAt"]) > wall() + 3 * 60_000
            assert (await made.deliver(page("am", status="resolved"))).accepted
            await until(lambda: not server.alerts())


async def test_every_peer_is_told_and_one_is_enough(tmp_path: Path) -> None:
    """Fault 48."""
    with socket.socket() as unused, alertmanager(tmp_path, "a") as a, alertmanager(tmp_path, "b") as b:
        unused.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with receivers(AlertmanagerSettings("am", (gone, a.url, b.url))) as made:
            assert (await made.deliver(page("am"))).accepted
            await until(lambda: a.alerts() and b.alerts())


async def test_no_peer_is_a_refusal_that_names_each() -> None:
    with Recorder(Reply(503)) as busy, Recorder(Reply(400, b"bad label")) as picky:
        async with receivers(AlertmanagerSettings("am", (busy.url, picky.url))) as made:
            answer = await made.deliver(page("am"))
        assert len(busy.requests) == 4
        assert len(picky.requests) == 1
    assert not answer.accepted
    assert f"{busy.url}: status 503" in answer.detail
    assert f"{picky.url}: status 400: bad label" in answer.detail


async def test_a_hanging_peer_delays_nobody() -> None:
    with Recorder(Reply(after=60)) as hanging, Recorder() as well:
        async with receivers(AlertmanagerSettings("am", (hanging.url, well.url), timeout=60_000)) as made:
            async with asyncio.timeout(20):
                assert (await made.deliver(page("am"))).accepted
                await until(lambda: hanging.requests)


def keeping(url: str, resend: int, clocks: tuple[int, int] = (0, 0)) -> Alertmanager:
    """`clocks`: what steady UTC and the wall clock are ahead by."""
    return Alertmanager(
        AlertmanagerSettings("am", (url,)),
        lambda: wall() + clocks[0],
        lambda: wall() + clocks[1],
        Patience(sleep=Slept()),
        Reserve(),
        resend,
    )


def sent(server: Recorder) -> list[list[Any]]:
    return [request.json() for request in server.requests]


async def test_what_is_kept_is_sent_at_once_and_again_and_again() -> None:
    """After a restart nothing else is known but what is to be kept."""
    with Recorder() as server:
        receiver = keeping(server.url, 30)
        receiver.keep(page("am"))
        receiver.keep(page("am", page="p2", labels={"plan": "web"}))
        await until(lambda: len(server.requests) >= 4)
        receiver.drop("p1")
        await until(lambda: len(sent(server)[-1]) == 1)
        receiver.drop("p2")
        await receiver.close()
        plans = [[alert["labels"]["plan"] for alert in alerts] for alerts in sent(server)]
    assert plans[0] == ["api", "web"]
    assert plans[-1] == ["web"]


async def test_the_state_survives_a_restart_of_both_sides(tmp_path: Path) -> None:
    """Sending it again is one alert; an Alertmanager that forgot learns it anew."""
    with alertmanager(tmp_path) as server:
        async with receivers(AlertmanagerSettings("am", (server.url,))) as made:
            await made.deliver(page("am"))
        async with receivers(AlertmanagerSettings("am", (server.url,))) as made:
            made.keep(KeepAlert(page("am")))
            made.keep(KeepAlert(page("am")))
            await made.deliver(page("am"))
            await until(server.alerts)
            assert len(server.alerts()) == 1
        server.kill()
        server.start()
        assert server.alerts() == []
        async with receivers(AlertmanagerSettings("am", (server.url,))) as made:
            made.keep(KeepAlert(page("am")))
            await until(server.alerts)


async def test_a_resolved_page_is_not_kept_any_more() -> None:
    with Recorder() as server:
        receiver = keeping(server.url, 20)
        receiver.keep(page("am"))
        await until(lambda: server.requests)
        await receiver.deliver(page("am", status="resolved"))
        count = len(server.requests)
        receiver.keep(page("am", page="p2", labels={"plan": "web"}))
        await until(lambda: len(server.requests) >= count + 3)
        await receiver.close()
        after = sent(server)[count:]
    assert all(alert["labels"]["plan"] == "web" for alerts in after for alert in alerts)


async def test_resolved_overtakes_a_firing_page_that_is_still_being_tried() -> None:
    with Recorder(Reply(503)) as server:
        waiting = asyncio.Event()
        receiver = Alertmanager(
            AlertmanagerSettings("am", (server.url,)),
            wall,
            wall,
            Patience(sleep=lambda _: waiting.wait()),  # type: ignore[arg-type,return-value]
            Reserve(),
        )
        firing = asyncio.create_task(receiver.deliver(page("am")))
        await until(lambda: server.requests)
        server.replies = [Reply()]
        await receiver.deliver(page("am", status="resolved"))
        waiting.set()
        assert await firing == "resolved meanwhile"
        await receiver.close()
        assert len(server.requests) == 2


async def test_two_pages_with_the_same_labels_are_one_alert() -> None:
    with Recorder() as server:
        receiver = keeping(server.url, 60_000)
        receiver.keep(page("am", page="p2"))
        await until(lambda: server.requests)
        remark = await receiver.deliver(page("am", page="p1", status="resolved"))
        assert len(server.requests) == 1
        receiver.drop("p2")
        await receiver.deliver(page("am", page="p2", status="resolved"))
        await receiver.close()
        assert len(server.requests) == 2
    assert remark == "another page with the same labels is still firing"


@pytest.mark.parametrize("clocks", [(0, 3_600_000), (3_600_000, 0), (0, -86_400_000), (-86_400_000, 0)])
async def test_16_a_jump_of_a_clock_neither_ends_an_alert_nor_keeps_it(clocks: tuple[int, int]) -> None:
    with Recorder() as server:
        receiver = keeping(server.url, 60_000, clocks)
        began = wall()
        await receiver.deliver(page("am", began=began + max(clocks)))
        await receiver.deliver(page("am", began=began + max(clocks), status="resolved"))
        await receiver.close()
        (firing,), (resolved,) = sent(server)
    assert ms(firing["endsAt"]) >= began + AHEAD
    assert ms(resolved["endsAt"]) <= wall()
    assert resolved["startsAt"] <= resolved["endsAt"]
