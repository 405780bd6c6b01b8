"""Events of every kind, made from their types: one full example of each, and any of them at random."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from rollbackd.core.events import EVENTS, Checkpoint, Event
from rollbackd.core.state import State

_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
_INTEGER = st.integers(-(2**63), 2**63 - 1)


def example(event: type[Event]) -> Event:
    """Every field set, each to what follows from its name: a change shows where it is, and nowhere else."""
    raw = _filled(inspect.type_info(event), "")
    return _build(event, _one_of_each(raw) if event is Checkpoint else raw)


def any_event() -> st.SearchStrategy[Event]:
    return st.sampled_from(EVENTS).flatmap(
        lambda event: _strategy(inspect.type_info(event)).map(lambda raw: _build(event, raw))
    )


def _one_of_each(raw: Any) -> Any:
    """One element of each list and mapping: a checkpoint's state holds all there is, many times over."""
    match raw:
        case dict() if set(raw) == {"a", "b"}:
            return {"b": _one_of_each(raw["b"])}
        case dict():
            return {key: _one_of_each(value) for key, value in raw.items()}
        case list():
            return [_one_of_each(each) for each in raw[:1]]
    return raw


def _build(event: type[Event], raw: Any) -> Event:
    return msgspec.convert({**raw, "kind": event.kind()}, event)


def _filled(kind: inspect.Type, name: str) -> Any:
    number = crc32(name.encode()) % 100_000
    match kind:
        case inspect.StructType(fields=fields):
            path = f"{name}." if name else ""
            return {field.encode_name: _filled_field(field, path + field.encode_name) for field in fields}
        case inspect.UnionType(types=types):
            return _filled(next(one for one in types if not isinstance(one, inspect.NoneType)), name)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            nested = name.count("parts.") > 0 and name.endswith("parts")  # once is enough
            return [] if nested else [_filled(item, f"{name}.{place}") for place in (1, 2)]
        case inspect.DictType(value_type=value):
            return {key: _filled(value, f"{name}.{key}") for key in ("b", "a")}
        case inspect.LiteralType(values=values):
            return values[number % len(values)]
        case inspect.BoolType():
            return True
        case inspect.IntType():
            return number
        case inspect.FloatType():
            return number / 8
        case inspect.StrType():
            return name
        case inspect.NoneType():
            return None
    raise TypeError(f"no example of {kind}")


def _filled_field(field: inspect.Field, name: str) -> Any:
    """Never the default, which would not be written."""
    match field.type:
        case inspect.BoolType():
            return field.default is not True
        case inspect.LiteralType(values=values):
            return _filled(inspect.LiteralType(tuple(v for v in values if v != field.default)), name)
    return _filled(field.type, name)


def _strategy(kind: inspect.Type, inside: tuple[type, ...] = ()) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.StructType(cls=cls) if cls is State:
            return st.sampled_from(({}, msgspec.to_builtins(example(Checkpoint))["state"]))
        case inspect.StructType(cls=cls, fields=fields):
            inside = (*inside, cls)
            return st.fixed_dictionaries(
                {field.encode_name: _strategy(field.type, inside) for field in fields}
            )
        case inspect.UnionType(types=types):
            return st.one_of([_strategy(one, inside) for one in types])
        case inspect.VarTupleType(item_type=inspect.StructType(cls=cls)) if inside.count(cls) > 1:
            return st.just([])  # parts of parts: once is enough
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return st.lists(_strategy(item, inside), max_size=2)
        case inspect.DictType(value_type=value):
            return st.dictionaries(_TEXT, _strategy(value, inside), max_size=2)
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return _INTEGER
        case inspect.FloatType():
            return st.floats(allow_nan=False, allow_infinity=False)
        case inspect.StrType():
            return _TEXT
        case inspect.NoneType():
            return st.none()
    raise TypeError(f"no strategy for {kind}")
