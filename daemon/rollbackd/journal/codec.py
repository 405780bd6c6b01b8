"""Events to bytes, and bytes of any version back to events (rule J2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from rollbackd.core.events import EVENTS, Event

Raw: TypeAlias = dict[str, Any]
Upcaster: TypeAlias = Callable[[Raw], Raw]
"""A document of one version to the next. It gets the decoded JSON object, with its `kind`."""

UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}
"""(kind, version) → the function from that version to the next."""


class Document(Struct, frozen=True):
    """An event as it is stored. The bytes are what is hashed; they are never encoded again."""

    kind: str
    version: int
    life: str | None
    body: bytes


class Codec:
    """Knows every kind, its version, and the way from its older versions.

    Mappings keep their order, so that an event read back equals the one that was applied, the order
    of iteration included (I12).
    """

    def __init__(self, events: Iterable[type[Event]], upcasters: Mapping[tuple[str, int], Upcaster]) -> None:
        self._types = {event.kind(): event for event in events}
        self._upcasters = upcasters
        self._decoders: dict[str, msgspec.json.Decoder[Event]] = {}
        self._encoder = msgspec.json.Encoder()
        for kind, event in self._types.items():
            for version in range(1, event.version):
                if (kind, version) not in upcasters:
                    raise ValueError(f"{kind}: no upcaster from version {version}; add one to UPCASTERS")

    def encode(self, event: Event) -> Document:
        """ValueError: the event holds text that is not Unicode; nothing of it can be stored."""
        kind = event.kind()
        life: str | None = getattr(event, "life", None)
        try:
            body = self._encoder.encode(event)
        except (UnicodeEncodeError, msgspec.MsgspecError) as error:
            raise ValueError(f"{kind}: cannot be stored: {error}") from error
        return Document(kind=kind, version=event.version, life=life, body=body)

    def decode(self, kind: str, version: int, body: bytes) -> Event | None:
        """None: this code cannot read it (an unknown kind, a newer version, another shape), so it must
        not act on what it means (J2)."""
        known = self._types.get(kind)
        if known is None or not 1 <= version <= known.version:
            return None
        decoder = self._decoder(kind)
        try:
            if version == known.version:
                return decoder.decode(body)
            raw = msgspec.json.decode(body, type=dict[str, Any])
            for step in range(version, known.version):
                raw = self._upcasters[kind, step](raw)
            return decoder.decode(msgspec.json.encode(raw))
        except (msgspec.MsgspecError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None

    def of_today(self, kind: str, version: int, body: bytes) -> bytes | None:
        """The body in the form of this version, not decoded where it has it. None as from `decode`."""
        known = self._types.get(kind)
        if known is not None and known.version == version:
            return body
        event = self.decode(kind, version, body)
        return None if event is None else self._encoder.encode(event)

    def _decoder(self, kind: str) -> msgspec.json.Decoder[Event]:
        decoder = self._decoders.get(kind)
        if decoder is None:
            decoder = self._decoders[kind] = msgspec.json.Decoder(self._types[kind])
        return decoder


CODEC = Codec(EVENTS, UPCASTERS)
