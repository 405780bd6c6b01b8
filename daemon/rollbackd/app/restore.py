"""The state from the journal: the newest snapshot, and the fold of what came after (I12, J3)."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import rollbackd.core
from rollbackd.core.fold import Own, apply
from rollbackd.core.state import State
from rollbackd.journal.sqlite import SqliteJournal

if TYPE_CHECKING:
    from rollbackd.core.record import Snapshot
    from rollbackd.journal.statedir import StateDir

_SHAPES = ("events.py", "fold/*.py", "model.py", "state.py")
"""What a snapshot's meaning hangs on."""


class Restored(msgspec.Struct):
    """`unknown`: the kinds of events that this version cannot read (J2)."""

    state: State
    journal: SqliteJournal
    rows: int
    unknown: tuple[str, ...] = ()

    @property
    def fresh(self) -> bool:
        return self.rows == 0


def code_version() -> str:
    """Names the fold: a snapshot made by another one is not used."""
    core = Path(rollbackd.core.__file__).parent
    digest = sha256()
    for pattern in _SHAPES:
        for path in sorted(core.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def open_journal(state_dir: StateDir) -> SqliteJournal:
    """JournalBroken, JournalFull. A full disk is given the reserve once (fault 10)."""
    from rollbackd.core.record import JournalFull

    code = code_version()
    try:
        return SqliteJournal(state_dir.journal, origin=state_dir.uuid, code=code)
    except JournalFull:
        if not state_dir.free_reserve():
            raise
        return SqliteJournal(state_dir.journal, origin=state_dir.uuid, code=code)


def restore(journal: SqliteJournal) -> Restored:
    """Read the state back; verifies the rows it folds (J3)."""
    snapshot = journal.snapshot()
    state, after = _from(snapshot)
    unknown: dict[str, None] = {}
    checkpoint = journal.checkpoint()
    if checkpoint is not None and checkpoint.seq > after:  # the rows before it need not be there any more
        state, after = State(), checkpoint.seq - 1
    own = Own()
    for recorded in journal.replay(after):
        if recorded.event is not None:
            state = apply(state, recorded.event, own)
        else:
            unknown[f"{recorded.kind} v{recorded.version}"] = None
    return Restored(state, journal, journal.head().seq, tuple(unknown))


def _from(snapshot: Snapshot | None) -> tuple[State, int]:
    if snapshot is None:
        return State(), 0
    try:
        return msgspec.msgpack.decode(snapshot.state, type=State), snapshot.head.seq
    except msgspec.MsgspecError:
        return State(), 0


def encode(state: State) -> bytes:
    return msgspec.msgpack.encode(state)
