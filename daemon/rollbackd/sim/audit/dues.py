"""What the daemon must do by itself, and by when (steady UTC)."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from typing import TypeAlias

from rollbackd.sim.tape import Ms, Violation

Key: TypeAlias = tuple[str, ...]

PATIENCE: Ms = 3_000
"""How late a daemon that is up and can write may be."""


class Dues:
    """Nothing is late before the daemon was there for `PATIENCE` after its time: an absence and a full
    disk excuse. Where something goes wrong it counts from when the daemon was seen after that, since a
    machine may have slept."""

    def __init__(self) -> None:
        self._owed: dict[Key, tuple[Ms, str]] = {}
        self._heap: list[tuple[Ms, int, Key]] = []
        self._order = count()
        self._noticed: dict[Key, Ms] = {}
        self._up: Ms | None = None  # since when the daemon is there

    def owe(self, key: Key, at: Ms, rule: str) -> None:
        """The same key again puts it to another moment."""
        known = self._owed.get(key)
        if known is not None and known[0] == at:
            return
        self._owed[key] = (at, rule)
        self._noticed.pop(key, None)
        heappush(self._heap, (at, next(self._order), key))

    def owes(self, key: Key) -> bool:
        return key in self._owed

    def settle(self, key: Key) -> None:
        if self._owed.pop(key, None) is not None:
            self._noticed.pop(key, None)

    def settle_all(self, *prefix: str) -> None:
        length = len(prefix)
        for key in [key for key in self._owed if key[:length] == prefix]:
            self.settle(key)

    def look(self, now: Ms, *, calm: bool) -> None:
        """The daemon is seen to be up at `now`; `calm`: nothing has gone wrong since it was seen last."""
        heap = self._heap
        if self._up is None or not calm:
            self._up = now
        while heap and heap[0][0] <= now:
            at, _, key = heappop(heap)
            owed = self._owed.get(key)
            if owed is not None and owed[0] == at:
                self._noticed.setdefault(key, max(at, self._up))
        for key, since in self._noticed.items():
            if now - since > PATIENCE:
                at, rule = self._owed[key]
                raise Violation(rule, f"{' '.join(key)} was due at {at} and has not happened by {now}")

    def excuse(self) -> None:
        """No daemon, or none that can write: whatever is late is counted anew."""
        for key in self._noticed:
            heappush(self._heap, (self._owed[key][0], next(self._order), key))
        self._noticed.clear()
        self._up = None
