"""Bytes from the journal's `body` column: an event that is written and read as the same, or None (J2).

The first byte says which kind, the second which version; old versions go through an upcaster that only
this target has, and that does what upcasters do.
"""

from __future__ import annotations

from typing import Any, ClassVar

from rollbackd.core import events as e
from rollbackd.journal.codec import CODEC, Codec


class Renamed(e.SubjectDisarmed, frozen=True, kw_only=True, tag="subject_disarmed"):
    """The third version of an event whose fields were once called otherwise."""

    version: ClassVar[int] = 3

    @classmethod
    def kind(cls) -> str:
        return "subject_disarmed"


def _to_2(raw: dict[str, Any]) -> dict[str, Any]:
    return {"trigger": raw.pop("name"), **raw}


def _to_3(raw: dict[str, Any]) -> dict[str, Any]:
    raw["subject"] = ",".join(raw["subject"])
    return raw


UPCAST = Codec([Renamed], {("subject_disarmed", 1): _to_2, ("subject_disarmed", 2): _to_3})


def one(data: bytes) -> None:
    kind, version, body = data[:1], data[1:2], data[2:]
    event = e.EVENTS[kind[0] % len(e.EVENTS)] if kind else e.EVENTS[0]
    _decode(CODEC, event.kind(), version[0] if version else 1, body)
    for number in range(5):
        _decode(UPCAST, Renamed.kind(), number, body)


def _decode(codec: Codec, kind: str, version: int, body: bytes) -> None:
    found = codec.decode(kind, version, body)
    if found is not None:
        document = codec.encode(found)
        assert document.kind == kind
        assert len(document.body) <= 8 * len(body) + 4_000, "grew"
        back = codec.decode(kind, document.version, document.body)
        assert back == found
        assert repr(back) == repr(found)
