"""Telling people: `Receivers` delivers pages, and keeps what must be kept told (rule E2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, assert_never

import structlog

from rollbackd.core.effects import KeepAlert, Page
from rollbackd.core.model import Ms
from rollbackd.core.signals import PageAnswered
from rollbackd.settings import AlertmanagerSettings, ReceiverSettings, WebhookSettings
from rollbackd.world.client import origin
from rollbackd.world.receivers.alertmanager import Alertmanager
from rollbackd.world.receivers.post import Busy, Patience, Refused, Reserve
from rollbackd.world.receivers.webhook import Webhook

__all__ = ["Patience", "Receivers"]

log = structlog.get_logger()


class Receiver(Protocol):
    async def deliver(self, page: Page) -> str:
        """Returns once accepted, with a remark for people; raises `Busy` or `Refused` after retries."""

    def keep(self, page: Page) -> None:
        """Hold the state of an accepted page until `drop`."""

    def drop(self, page: str) -> None: ...

    async def close(self) -> None: ...


class Receivers:
    """All configured receivers by name. `now` is steady UTC, `wall` the wall clock.

    One that cannot be told after `patience` answers `accepted=False`; whom to tell next is the core's
    decision. Telling twice does no harm: the dedup key, or the labels, are the same.
    """

    def __init__(
        self,
        settings: Sequence[ReceiverSettings],
        now: Callable[[], Ms],
        wall: Callable[[], Ms],
        patience: Patience | None = None,
    ) -> None:
        self._reserve = Reserve()
        self._receivers = {
            one.name: _receiver(one, now, wall, patience or Patience(), self._reserve) for one in settings
        }
        self._kept: dict[str, Page] = {}

    async def deliver(self, effect: Page) -> PageAnswered:
        """Never raises."""
        receiver = self._receivers.get(effect.receiver)
        if receiver is None:
            return _answered(effect, False, f"no receiver is called {effect.receiver!r}")
        try:
            return _answered(effect, True, await receiver.deliver(effect))
        except (Busy, Refused) as error:
            return _answered(effect, False, str(error))
        except Exception as error:
            log.error("page failed", receiver=effect.receiver, page=effect.page, error=origin(error))
            return _answered(effect, False, f"failed inside rollbackd: {type(error).__name__}")

    def keep(self, effect: KeepAlert) -> None:
        """Go on telling it until `drop(effect.key)`; asked again for the same page, the newer counts."""
        receiver = self._receivers.get(effect.page.receiver)
        if receiver is not None:
            self._kept[effect.key] = effect.page
            receiver.keep(effect.page)

    def drop(self, key: str) -> None:
        page = self._kept.pop(key, None)
        if page is not None:
            self._receivers[page.receiver].drop(page.page)

    async def close(self) -> None:
        for receiver in self._receivers.values():
            await receiver.close()
        self._reserve.free()


def _receiver(
    settings: ReceiverSettings,
    now: Callable[[], Ms],
    wall: Callable[[], Ms],
    patience: Patience,
    reserve: Reserve,
) -> Receiver:
    match settings:
        case WebhookSettings():
            return Webhook(settings, wall, patience, reserve)
        case AlertmanagerSettings():
            return Alertmanager(settings, now, wall, patience, reserve)
        case _:
            assert_never(settings)


def _answered(effect: Page, accepted: bool, detail: str) -> PageAnswered:
    return PageAnswered(effect.page, effect.receiver, accepted, detail)
