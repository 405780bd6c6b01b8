"""Mappings that are made anew, not changed, once anybody has them; order is that of insertion."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

V = TypeVar("V")


def put(mapping: Mapping[str, V], key: str, value: V) -> dict[str, V]:
    return {**mapping, key: value}


class Own:
    """The mappings of the state that one batch has made, by field. Nobody else has them before it is over, so
    that they grow in place: a thousand events about ten thousand entries do not copy them a thousand times.

    States that come about within the batch share them; only its first and its last are values."""

    def __init__(self) -> None:
        self._made: dict[str, object] = {}

    def of(self, field: str, mapping: dict[str, V]) -> dict[str, V]:
        """The field's mapping, to be changed: the batch's own, or from now on a copy that is."""
        if self._made.get(field) is not mapping:
            mapping = dict(mapping)
            self._made[field] = mapping
        return mapping


def drop(mapping: Mapping[str, V], *keys: str) -> dict[str, V]:
    return {key: value for key, value in mapping.items() if key not in keys}
