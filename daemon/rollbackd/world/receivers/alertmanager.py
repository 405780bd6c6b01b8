"""The Alertmanager receiver: a page is a state, maintained at every peer until it is resolved (E2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
import structlog

from rollbackd.core.effects import Page
from rollbackd.core.model import Ms
from rollbackd.settings import AlertmanagerSettings
from rollbackd.world.client import Client, Closed, origin, place
from rollbackd.world.receivers.post import Busy, Patience, Postbox, Refused, Reserve
from rollbackd.world.receivers.webhook import moment

log = structlog.get_logger()

RESEND: Final[Ms] = 60_000
AHEAD: Final[Ms] = 5 * 60_000
"""How far `endsAt` lies ahead: some resends may fail before the alert ends by itself."""


class Alertmanager:
    """`now` is steady UTC, `wall` the wall clock.

    Alertmanager compares `endsAt` with its own clock. Ours may have jumped (fault 16), so a firing
    alert ends late by the later of our two clocks, and a resolved one ended by the earlier.
    """

    def __init__(
        self,
        settings: AlertmanagerSettings,
        now: Callable[[], Ms],
        wall: Callable[[], Ms],
        patience: Patience,
        reserve: Reserve,
        resend: Ms = RESEND,
    ) -> None:
        self._now = now
        self._wall = wall
        self._resend = resend
        self._patience = patience
        self._client = Client(settings.http, 2 * len(settings.urls))
        postbox = Postbox(self._client, settings.timeout, reserve)
        self._peers = [_Peer(url, postbox) for url in settings.urls]
        self._kept: dict[str, Page] = {}
        self._changed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._sending: dict[asyncio.Task[None], str] = {}
        self._closed = False

    async def deliver(self, page: Page) -> str:
        """Tell every peer; return once one has accepted, while the others are still being told.

        Raises `Busy` or `Refused`, whichever the last peer gave.
        """
        if page.status == "resolved":
            self._stop_sending(page.page)
            if self._still_firing(page):
                return "another page with the same labels is still firing"
        pending = {self._tell(peer, page) for peer in self._peers}
        reasons: list[str] = []
        hope = False
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.cancelled() and self._closed:
                    raise Busy(str(Closed()))
                if task.cancelled():
                    return "resolved meanwhile"
                error = task.exception()
                if error is None:
                    return "; ".join(reasons)
                if not isinstance(error, Busy | Refused):
                    raise error
                hope = hope or isinstance(error, Busy)
                reasons.append(str(error))
        raise (Busy if hope else Refused)("; ".join(reasons))

    def keep(self, page: Page) -> None:
        """Send it at once (after a restart the state may be about to lapse) and then each minute."""
        self._kept[page.page] = page
        self._changed.set()
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep(), name="alertmanager resend")

    def drop(self, page: str) -> None:
        self._kept.pop(page, None)

    async def close(self) -> None:
        self._closed = True
        tasks: list[asyncio.Task[None]] = [*self._sending, *([self._keeper] if self._keeper else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    async def _keep(self) -> None:
        while self._kept:
            self._changed.clear()
            await asyncio.gather(*(peer.refresh(self._kept_alerts) for peer in self._peers))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self._resend / 1000)

    def _tell(self, peer: _Peer, page: Page) -> asyncio.Task[None]:
        async def tell() -> None:
            await self._patience.over(lambda: peer.post(lambda: [self._alert(page)]))

        task = asyncio.create_task(tell(), name=f"page {page.page}")
        self._sending[task] = page.page
        task.add_done_callback(self._told)
        return task

    def _told(self, task: asyncio.Task[None]) -> None:
        del self._sending[task]
        if not task.cancelled():
            task.exception()  # a peer that is told after another accepted may fail in silence

    def _stop_sending(self, page: str) -> None:
        """A late "firing" would undo "resolved"."""
        self._kept.pop(page, None)
        for task, sends in self._sending.items():
            if sends == page:
                task.cancel()

    def _still_firing(self, page: Page) -> bool:
        """Alertmanager knows an alert by its labels alone."""
        labels = _labels(page)
        return any(_labels(kept) == labels for kept in self._kept.values())

    def _kept_alerts(self) -> list[dict[str, Any]]:
        return [self._alert(page) for page in self._kept.values()]

    def _alert(self, page: Page) -> dict[str, Any]:
        if page.status == "firing":
            ends = max(self._now(), self._wall()) + AHEAD
        else:
            ends = min(self._now(), self._wall())
        annotations = {"title": page.title, "text": page.text, "dedup": page.dedup, **page.annotations}
        return {
            "labels": _labels(page),
            "annotations": {name: value for name, value in annotations.items() if value},
            "startsAt": moment(min(page.began, ends)),
            "endsAt": moment(ends),
        }


class _Peer:
    """One Alertmanager. What it is sent, it is sent in order."""

    def __init__(self, url: str, postbox: Postbox) -> None:
        self._url = url.rstrip("/") + "/api/v2/alerts"
        self._place = place(url)
        self._postbox = postbox
        self._order = asyncio.Lock()

    async def post(self, alerts: Callable[[], Sequence[dict[str, Any]]]) -> None:
        """One attempt. The alerts are made when it is their turn. Raises `Busy` or `Refused`."""
        async with self._order:
            document = alerts()
            if not document:
                return
            try:
                await self._postbox.post(self._url, msgspec.json.encode(document))
            except Busy as error:
                raise Busy(f"{self._place}: {error}", error.after) from None
            except Refused as error:
                raise Refused(f"{self._place}: {error}") from None

    async def refresh(self, alerts: Callable[[], Sequence[dict[str, Any]]]) -> None:
        """A peer that misses one is told again next time."""
        try:
            with suppress(Busy, Refused):
                await self.post(alerts)
        except Exception as error:  # Danger: the resending of every alert hangs on this one task.
            log.error("alerts not sent again", receiver=self._place, error=origin(error))


def _labels(page: Page) -> dict[str, str]:
    labels: Iterable[tuple[str, str]] = {**page.labels, "alertname": page.alert}.items()
    return {name: value for name, value in labels if value}
