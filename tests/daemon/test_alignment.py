"""`align: auto` on a real Prometheus: windows end just after the scrape, before and after SIGKILL (W1)."""

from __future__ import annotations

import asyncio

from tests.daemon.rig import Rig
from tests.servers import wait_for

from rollbackd.core import events as e
from rollbackd.core.model import Ms
from rollbackd.journal.reader import Reader
from rollbackd.journal.statedir import read_uuid

INTERVAL: Ms = 1_000


def journalled(rig: Rig) -> list[e.Event]:
    return asyncio.run(_read(rig))


async def _read(rig: Rig) -> list[e.Event]:
    reader = Reader(rig.state_dir / "journal.db", origin=read_uuid(rig.state_dir))
    try:
        return [row.event for row in await reader.events(0, 10_000) if row.event is not None]
    finally:
        await reader.close()


def learned(rig: Rig) -> list[e.AlignmentLearned]:
    return [event for event in journalled(rig) if isinstance(event, e.AlignmentLearned)]


def breaches(rig: Rig, life: str) -> list[Ms]:
    """The ends of the windows that the decision rested on."""
    (opened,) = [x for x in journalled(rig) if isinstance(x, e.LifeOpened) and x.life == life]
    return [window.end for window in opened.firings[0].windows if window.verdict == "breach"]


def scraped(rig: Rig, end: Ms) -> Ms:
    """How long before `end` the newest scrape began."""
    newest = rig.prometheus.value('timestamp(up{job="test"})', at=end / 1000)
    assert newest is not None
    return end - round(newest * 1000)


def test_windows_end_just_after_the_scrape(rig: Rig) -> None:
    rig.write(group={"align": "auto"})
    rig.start()
    wait_for(lambda: learned(rig), 60, "an alignment")
    event = learned(rig)[0]
    assert (event.why, event.targets, event.interval) == ("learned", 1, INTERVAL)
    rig.kill()
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    rig.wait_state("api-1", "verified")
    windows = breaches(rig, "api-1")
    known = [x.align for x in learned(rig)]
    assert all(end % INTERVAL in known for end in windows), (windows, known)
    assert windows[0] - INTERVAL >= event.since
    for end in windows:
        assert 0 <= scraped(rig, end) < INTERVAL // 2, "the newest sample is of this half of the window"
