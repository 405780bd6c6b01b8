"""Mappings that are never changed, only made anew; order is that of insertion."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

V = TypeVar("V")


def put(mapping: Mapping[str, V], key: str, value: V) -> dict[str, V]:
    return {**mapping, key: value}


def drop(mapping: Mapping[str, V], *keys: str) -> dict[str, V]:
    return {key: value for key, value in mapping.items() if key not in keys}
