"""The shape of the record, as the driver asks for it and every journal keeps it (rule J1)."""

from __future__ import annotations

from msgspec import Struct

from rollbackd.core.events import Event
from rollbackd.core.model import Ms


class Stamp(Struct, frozen=True):
    """When, where and by whom a batch was recorded."""

    steady: Ms
    wall: Ms  # for display only (T1)
    boottime: Ms  # CLOCK_BOOTTIME, which together with `boot` carries steady time on (T1)
    boot: str
    epoch: int
    actor: str


class Recorded(Struct, frozen=True):
    """One row, read back."""

    seq: int
    batch: int
    stamp: Stamp
    event: Event | None  # None: the body was pruned, or its kind is unknown (J2)
    kind: str
    version: int
    life: str | None
    hash: str


class Fact(Struct, frozen=True):
    """One row for whoever counts many: `body` is the event's JSON, in the form of today. `life`: empty where
    it is of none."""

    seq: int
    at: Ms  # steady
    kind: str
    life: str
    body: bytes


class Head(Struct, frozen=True):
    """Where the chain ends: the outside anchor (I13)."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


class JournalFull(Exception):
    """No room: nothing was written, and the journal is intact (fault 10)."""


class JournalBroken(Exception):
    """The disk failed (fault 11), or the record does not verify (12, 13): the process must end."""


class Snapshot(Struct, frozen=True):
    """The state as it was at `head`, for a quick start: a cache, never the truth (J3)."""

    head: Head
    code: str  # the version of the code that folded it
    state: bytes


class VerifyResult(Struct, frozen=True):
    """How far the chain verifies: rows `after` + 1 to `upto`, the last of them with `hash`."""

    after: int
    upto: int
    hash: str
    pruned: int = 0  # rows among them without a body
    bad: int | None = None  # the first row that does not follow
    why: str = ""

    @property
    def ok(self) -> bool:
        return self.bad is None
