"""The last good settings, kept beside the journal: what finishing needs when the files are broken (J2).

The journal holds the last good triggers and plans; addresses and receivers are not for the journal,
so they are kept here, readable by the daemon alone.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from rollbackd.core.model import Ms
from rollbackd.settings import AlertmanagerSettings, PrometheusSettings, WebhookSettings

_NAME = "last-good.json"


class WorldSettings(msgspec.Struct, frozen=True):
    """All that the world's parts need to know of the configuration."""

    prometheus: PrometheusSettings
    webhooks: tuple[WebhookSettings, ...] = ()
    alertmanagers: tuple[AlertmanagerSettings, ...] = ()
    external_url: str | None = None
    listen: tuple[str, int] | None = None
    saved: Ms = 0

    @property
    def receivers(self) -> tuple[WebhookSettings | AlertmanagerSettings, ...]:
        return (*self.webhooks, *self.alertmanagers)


def save(folder: Path, settings: WorldSettings) -> None:
    """OSError: it could not be kept."""
    draft = folder / f".{_NAME}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, msgspec.json.encode(settings))
        os.fsync(fd)
    finally:
        os.close(fd)
    draft.rename(folder / _NAME)


def load(folder: Path) -> WorldSettings | None:
    try:
        return msgspec.json.decode((folder / _NAME).read_bytes(), type=WorldSettings)
    except (OSError, msgspec.MsgspecError):
        return None
