"""Asks of a family, which differ in the value of one label, asked as one query (rule W11).

Each gets the answer that it would have got alone; whatever is not plainly so is asked alone, there and then.
What failed together is asked in smaller parts for a while, so that one that is too much, or wrong, does not
blind the others.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from rollbackd.core.effects import Ask, WindowQuery
from rollbackd.core.model import SEPARATOR, Family, Ms
from rollbackd.core.signals import Series, Unreachable, WindowsAnswered
from rollbackd.world.prometheus.answer import EVERYONE
from rollbackd.world.prometheus.source import Source

PARTS: Final = (1_000, 100, 10, 1)
"""Asks in one query: at first, and each time after it failed."""

LONGEST: Final = 12_000
"""Characters of all values in one query; some servers take no query of more than 16 KiB."""

AGAIN_AFTER: Final = 600.0
"""s: for how long what failed together is asked in smaller parts."""

QUIET: Final = 10
"""Turns of the loop without another ask after which a part is begun, full or not."""

_META: Final = re.compile(r"[\\.+*?()|\[\]{}^$]")
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t", "\r": r"\r"})

_Key = tuple[str, tuple[Ms, ...], int]


class _Part:
    __slots__ = ("asks", "family", "length")

    def __init__(self, family: Family) -> None:
        self.family = family
        self.asks: list[Ask] = []
        self.length = 0


class Together:
    """Gathers what is to be asked, part by part for `begin`; `ask` then asks a part."""

    def __init__(self, begin: Callable[[Family, tuple[Ask, ...]], None]) -> None:
        self._begin = begin
        self._parts: dict[_Key, _Part] = {}
        self._failed: dict[str, tuple[int, float]] = {}  # watch → how often, and until when it counts

    def add(self, family: Family, ask: Ask) -> None:
        often = self._often(ask.watch)
        key = (family.key, ask.ends, often)
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = _Part(family)
            asyncio.get_running_loop().call_soon(self._look, key, part, 0, 0)
        part.asks.append(ask)
        part.length += len(ask.value) + 1
        if len(part.asks) >= PARTS[often] or part.length >= LONGEST:
            self._close(key, part)

    async def ask(self, source: Source, family: Family, asks: Sequence[Ask]) -> list[WindowsAnswered]:
        """The answer to each. Never raises."""
        values = list(dict.fromkeys(ask.value for ask in asks))
        if len(values) == 1 or source.truncates:
            return await _alone(source, asks)
        began = asyncio.get_running_loop().time()
        whole = await source.ask(_whole(family, asks, values))
        lost = next((answer for answer in whole.answers if isinstance(answer, Unreachable)), None)
        if lost is not None:  # the other answers are of everyone, and nobody's
            if whole.skew is not None:  # else Prometheus is not there at all
                self._note(asks)
            none = (lost,) * len(whole.answers)
            return [WindowsAnswered(ask.watch, ask.ends, none, whole.skew) for ask in asks]
        found = _apart(whole, asks[0].per)
        if found is None:
            self._note(asks)
            passed = int((asyncio.get_running_loop().time() - began) * 1000)
            return await _alone(source, [replace(ask, budget=max(ask.budget - passed, 1)) for ask in asks])
        nothing = tuple(Series(({},) * len(whole.ends)) for _ in whole.answers)
        return [
            WindowsAnswered(ask.watch, ask.ends, found.get(ask.value, nothing), whole.skew) for ask in asks
        ]

    def _look(self, key: _Key, part: _Part, seen: int, quiet: int) -> None:
        """Begin the part once nobody has joined it for some turns."""
        if self._parts.get(key) is not part:
            return
        quiet = quiet + 1 if len(part.asks) == seen else 0
        if quiet == QUIET:
            self._close(key, part)
        else:
            asyncio.get_running_loop().call_soon(self._look, key, part, len(part.asks), quiet)

    def _close(self, key: _Key, part: _Part) -> None:
        del self._parts[key]
        self._begin(part.family, tuple(part.asks))

    def _often(self, watch: str) -> int:
        known = self._failed.get(watch)
        if known is None:
            return 0
        if known[1] > asyncio.get_running_loop().time():
            return known[0]
        del self._failed[watch]
        return 0

    def _note(self, asks: Sequence[Ask]) -> None:
        until = asyncio.get_running_loop().time() + AGAIN_AFTER
        for ask in asks:
            self._failed[ask.watch] = (min(self._often(ask.watch) + 1, len(PARTS) - 1), until)


async def _alone(source: Source, asks: Sequence[Ask]) -> list[WindowsAnswered]:
    return list(await asyncio.gather(*map(source.ask, asks)))


def _whole(family: Family, asks: Sequence[Ask], values: Sequence[str]) -> Ask:
    """One ask for them all, whose subjects have the family's label before their own."""
    first = asks[0]
    pattern = "|".join(map(_quoted, values))
    queries = tuple(
        WindowQuery(f"{opened.head}{pattern}{opened.tail}", query.role)
        for opened, query in zip(family.queries, first.queries, strict=True)
    )
    budget = min(ask.budget for ask in asks)
    per = (family.label, *first.per)
    return Ask(family.key, first.ends, first.interval, first.delay, queries, per, budget)


@lru_cache(maxsize=1 << 16)
def _quoted(value: str) -> str:
    """As a regular expression, in PromQL's quotes."""
    return _META.sub(r"\\\g<0>", value).translate(_ESCAPES)


def _apart(whole: WindowsAnswered, per: tuple[str, ...]) -> dict[str, tuple[Series, ...]] | None:
    """Value → its answers; None where they cannot be told apart."""
    columns: list[dict[str, Series]] = []
    for answer in whole.answers:
        if not isinstance(answer, Series) or any(EVERYONE in window for window in answer.windows):
            return None
        columns.append(_column(answer, per))
    nothing = Series(({},) * len(whole.ends))
    values = {value for column in columns for value in column}
    return {value: tuple([column.get(value, nothing) for column in columns]) for value in values}


def _column(answer: Series, per: tuple[str, ...]) -> dict[str, Series]:
    if not per and len(answer.windows) == 1:
        return {value: Series(({"": text},)) for value, text in answer.windows[0].items()}
    found: dict[str, tuple[dict[str, str], ...]] = {}
    for index, window in enumerate(answer.windows):
        for key, text in window.items():
            value, _, subject = key.partition(SEPARATOR)
            if value not in found:
                found[value] = tuple({} for _ in answer.windows)
            found[value][index][subject] = text
    return {value: Series(windows) for value, windows in found.items()}
