"""Chance that can be asked again: every draw is a function of the seed and of what is asked, not of
what was asked before. So taking one happening out of a life changes nothing else in it."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")
Key = int | str

_WHOLE = 1 << 64


class Chance:
    def __init__(self, *seed: Key) -> None:
        self._hash = blake2b(repr(seed).encode(), digest_size=8)

    def _draw(self, key: tuple[Key, ...]) -> int:
        drawn = self._hash.copy()
        drawn.update(repr(key).encode())
        return int.from_bytes(drawn.digest(), "big")

    def below(self, limit: int, *key: Key) -> int:
        """A whole number from 0 to `limit` - 1."""
        return self._draw(key) * limit // _WHOLE

    def between(self, least: int, most: int, *key: Key) -> int:
        """A whole number, both ends included."""
        return least + self.below(most - least + 1, *key)

    def yes(self, percent: int, *key: Key) -> bool:
        return self.below(100, *key) < percent

    def pick(self, options: Sequence[T], *key: Key) -> T:
        return options[self.below(len(options), *key)]
