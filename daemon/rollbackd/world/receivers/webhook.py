"""The webhook receiver: one signed JSON document a page.

    POST URL
    X-Rollbackd-Timestamp: 1767225600
    X-Rollbackd-Signature: sha256=HEX     HMAC-SHA256 of TIMESTAMP + "." + BODY, with `secret_file`

Whoever receives it should compare the signature in constant time, refuse old timestamps, and treat
documents with the same `dedup` and `status` as one.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from rollbackd.core.effects import Page
from rollbackd.core.model import Ms
from rollbackd.settings import WebhookSettings
from rollbackd.world.client import Client
from rollbackd.world.receivers.post import Patience, Postbox, Refused, Reserve

VERSION: Final = "rollbackd/v1"
_AT_ONCE: Final = 8


def moment(at: Ms) -> str:
    """RFC 3339, in UTC, with milliseconds."""
    text = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def document(page: Page) -> bytes:
    """What is posted. `kind`: `page` wants somebody, `tell` does not."""
    return msgspec.json.encode(
        {
            "version": VERSION,
            "kind": page.kind,
            "status": page.status,
            "dedup": page.dedup,
            "alert": page.alert,
            "title": page.title,
            "text": page.text,
            "labels": page.labels,
            "annotations": page.annotations,
            "began": moment(page.began),
        }
    )


class Webhook:
    def __init__(
        self, settings: WebhookSettings, wall: Callable[[], Ms], patience: Patience, reserve: Reserve
    ) -> None:
        self._settings = settings
        self._wall = wall
        self._patience = patience
        self._client = Client(settings.http)
        self._postbox = Postbox(self._client, settings.timeout, reserve)
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def deliver(self, page: Page) -> str:
        """Raises `Busy` or `Refused`."""
        await self.send(document(page))
        return ""

    async def send(self, body: bytes) -> None:
        """Post a document, signed. Raises `Busy` or `Refused`, after retries."""

        async def attempt() -> None:
            async with self._slots:
                await self._postbox.post(self._settings.url, body, self._signed(body))

        await self._patience.over(attempt)

    def keep(self, page: Page) -> None:
        """A webhook holds no state: it was told, and will be told of the end."""

    def drop(self, page: str) -> None:
        """See `keep`."""

    async def close(self) -> None:
        await self._client.close()

    def _signed(self, body: bytes) -> dict[str, str]:
        file = self._settings.secret_file
        if file is None:
            return {}
        try:
            secret = Path(file).read_bytes().strip()
        except OSError as error:
            raise Refused(f"cannot read secret_file {file}: {error.strerror}") from None
        if not secret:
            raise Refused(f"secret_file {file} is empty")
        timestamp = str(self._wall() // 1000)
        return {
            "X-Rollbackd-Timestamp": timestamp,
            "X-Rollbackd-Signature": signature(secret, timestamp, body),
        }
