"""What a journal need not keep any more, asked of it from outside (rule J4). Never writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from pathlib import Path

import msgspec
from msgspec import Struct

from rollbackd.core.model import Ms
from rollbackd.core.signals import CheckpointDue
from rollbackd.journal.audit import opened
from rollbackd.journal.chain import behind
from rollbackd.journal.table import checkpoint, first_since, row_at

_STRADDLING = """
SELECT life FROM entries WHERE life IS NOT NULL GROUP BY life HAVING MIN(seq) <= ? AND MAX(seq) > ?
"""
_PLANS = ("life_opened", "scope_widened")


class Ages(Struct, frozen=True):
    """What was recorded before both of these is old: `steady` alone leaps where a machine boots with a wrong
    clock, and never comes back (T1)."""

    steady: Ms
    wall: Ms


def due(path: Path, old: Ages, last: Ms, live: Collection[str]) -> CheckpointDue | None:
    """The checkpoint behind which all is old; None where there is nothing new behind it, or the last one was
    recorded after `last`. Lives that are not old throughout, and those in `live`, are kept whole.
    JournalBroken."""
    with opened(path) as db:
        upto = first_since(db, old.steady) - 1
        row = row_at(db, upto) if upto else None
        before = checkpoint(db)
        if row is None or row.wall >= old.wall or (before is not None and before.steady > last):
            return None
        if upto <= behind(before).upto:
            return None
        straddling = db.execute(_STRADDLING, (upto, upto))
        return CheckpointDue(upto, tuple(sorted({life for (life,) in straddling} | set(live))))


def forgotten(path: Path, lives: Collection[str]) -> set[str]:
    """Which of these the journal knows by their rows' hashes alone. JournalBroken."""
    with opened(path) as db:
        return {life for life in lives if _bodies(db, life) == 0}


def plans(path: Path) -> set[str] | None:
    """The hashes of all plans that lives whose rows are kept were run by; None: nothing was let go yet.
    JournalBroken."""
    found: set[str] = set()
    with opened(path) as db:
        if checkpoint(db) is None:
            return None
        for kind in _PLANS:
            rows = db.execute("SELECT body FROM entries WHERE kind = ? AND body IS NOT NULL", (kind,))
            for (body,) in rows:
                said = _RAN.decode(body)
                found |= {plan.hash for plan in (said.plan, said.whole) if plan is not None}
    return found


class _Plan(Struct):
    hash: str = ""


class _Ran(Struct):
    plan: _Plan
    whole: _Plan | None = None


_RAN = msgspec.json.Decoder(_Ran)


def _bodies(db: sqlite3.Connection, life: str) -> int | None:
    """0 or 1 for how many of its rows have one; None: it has no rows."""
    if not db.execute("SELECT 1 FROM entries WHERE life = ? LIMIT 1", (life,)).fetchone():
        return None
    row = db.execute("SELECT 1 FROM entries WHERE life = ? AND body IS NOT NULL LIMIT 1", (life,)).fetchone()
    return 0 if row is None else 1
