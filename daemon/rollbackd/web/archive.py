"""Finding rollbacks, open or long ended, by id or by a prefix that fits one alone."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from rollbackd.core.fold import fold_life
from rollbackd.report.parts import earlier
from rollbackd.web.answers import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.record import Recorded
    from rollbackd.core.state import Life, State
    from rollbackd.report.parts import Earlier
    from rollbackd.web.daemon import Daemon

MOST_KEPT = 256
MOST_LOOKED_AT, MOST_EARLIER = 500, 30
"""Ends looked through for rollbacks of one plan, and how many of these say what it takes."""


class Archive:
    """Lives that have left the state never change: the newest of them are kept at hand."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._kept: OrderedDict[str, Life] = OrderedDict()

    async def find(self, target: str) -> tuple[Life, list[Recorded]]:
        """The life and its rows; raises Problem."""
        name = resolve(self._daemon.state, target)
        rows = await self._daemon.life(name)
        life = self._daemon.state.lives.get(name) or await asyncio.to_thread(_fold, rows, name)
        if life is None:
            raise Problem("not_found", f"the events of {target} are no longer kept")
        return life, rows

    async def lives(self, limit: int) -> list[Life]:
        """The open ones, the newest first, then at most `limit` that have left the state."""
        state = self._daemon.state
        known = sorted(state.lives.values(), key=lambda life: (life.ended is not None, -life.opened))
        ended = await self._daemon.recent("life_ended", limit + len(known))
        names = dict.fromkeys(row.life for row in ended if row.life and row.life not in state.lives)
        return [*known, *[life for name in list(names)[:limit] if (life := await self._ended(name))]]

    async def earlier(self, life: Life) -> list[Earlier]:
        """What verified rollbacks of its plan took, of the newest that ended before it."""
        ended = await self._daemon.recent("life_ended", MOST_LOOKED_AT)
        mine = [row.life for row in ended if row.life and row.life.rpartition("-")[0] == life.plan.name]
        names = [name for name in dict.fromkeys(mine) if _number(name) < _number(life.id)]
        found = []
        for name in names[:MOST_EARLIER]:
            known = self._daemon.state.lives.get(name) or await self._ended(name)
            if known is not None and (one := earlier(known)) is not None:
                found.append(one)
        return found

    async def _ended(self, name: str) -> Life | None:
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        life = await asyncio.to_thread(_fold, await self._daemon.life(name), name)
        if life is not None and name not in self._daemon.state.lives:
            self._kept[name] = life
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return life


def _number(life: str) -> int:
    """Of `PLAN-N`."""
    return int(life.rpartition("-")[2])


def _fold(rows: list[Recorded], life: str) -> Life | None:
    return fold_life((row.event for row in rows if row.event is not None), life)


def resolve(state: State, target: str) -> str:
    """The id that `target` means; open rollbacks come before ended ones. Raises Problem."""
    if target in state.lives:
        return target
    still_open = [name for name in state.lives if name.startswith(target)]
    fits = still_open if target and still_open else []
    if not fits:
        fits = list(_ended_fits(state, target))
    if target in fits:
        return target
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise Problem("bad_data", f"{target} fits {', '.join(fits[:5])} and perhaps more: say which")
    known = ", ".join(state.lives) or "none"
    raise Problem("not_found", f"there is no rollback {target}; open: {known}")


def _ended_fits(state: State, target: str) -> Iterator[str]:
    """At most a few of the ids ever given that begin with `target`; the id itself first."""
    if not target:
        return
    for plan, count in state.numbers.items():
        stem = f"{plan}-"
        if stem.startswith(target):
            yield from (f"{stem}{number}" for number in range(1, min(count, 6) + 1))
        elif target.startswith(stem):
            digits = target[len(stem) :]
            if digits.isascii() and digits.isdigit() and len(digits) < 16 and digits[0] != "0":
                yield from _numbered(stem, int(digits), count)


def _numbered(stem: str, number: int, count: int) -> Iterator[str]:
    width = 1
    while number * width <= count:
        last = min((number + 1) * width - 1, count)
        yield from (f"{stem}{one}" for one in range(number * width, min(last, number * width + 5) + 1))
        width *= 10
