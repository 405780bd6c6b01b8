"""The last good settings, kept beside the journal: what finishing needs when the files are broken (J2).

The journal holds the last good triggers and plans; addresses and receivers are not for the journal,
so they are kept here, readable by the daemon alone.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from rollbackd.core.model import Ms
from rollbackd.journal import files
from rollbackd.settings import AlertmanagerSettings, AuditSettings, PrometheusSettings, WebhookSettings

_NAME = "last-good.json"


class WorldSettings(msgspec.Struct, frozen=True):
    """All that the world's parts need to know of the configuration."""

    prometheus: PrometheusSettings
    webhooks: tuple[WebhookSettings, ...] = ()
    alertmanagers: tuple[AlertmanagerSettings, ...] = ()
    external_url: str | None = None
    listen: tuple[str, int] | None = None
    saved: Ms = 0
    audit: AuditSettings = AuditSettings()

    @property
    def receivers(self) -> tuple[WebhookSettings | AlertmanagerSettings, ...]:
        return (*self.webhooks, *self.alertmanagers)


def save(folder: Path, settings: WorldSettings) -> None:
    """Whole or not at all, durably. OSError: it could not be kept."""
    files.replace(folder / _NAME, msgspec.json.encode(settings))


def load(folder: Path) -> WorldSettings | None:
    try:
        return msgspec.json.decode((folder / _NAME).read_bytes(), type=WorldSettings)
    except (OSError, msgspec.MsgspecError):
        return None
