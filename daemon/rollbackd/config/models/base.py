"""What every model of the configuration has: strictness, and rules between the keys of one mapping.

The rules look at the mapping as it was read, so that they are told together with what the values
themselves have against them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict

from rollbackd.config.yaml_source import Mapping


class Complaint(NamedTuple):
    """Against what stands at `loc` in a mapping; an absent key stands for the mapping."""

    loc: tuple[str, ...]
    what: str
    remedy: str


Rule: TypeAlias = Callable[[Mapping], Iterator[Complaint]]


class Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True, defer_build=True)
    rules: ClassVar[tuple[Rule, ...]] = ()  # between the keys of one mapping


@dataclass(frozen=True)
class Defines:
    """The field's texts (or keys) are names of this kind, each to be given once."""

    kind: str
    within: Literal["all", "file"] = "all"


@dataclass(frozen=True)
class Refers:
    """The field's texts must be names of this kind, but for those that begin with `beyond`."""

    kind: str
    within: Literal["all", "file"] = "all"
    beyond: str = ""


Mark: TypeAlias = Defines | Refers


def one_of(*keys: str) -> Rule:
    """Exactly one of the keys."""
    listed = " or ".join(f"`{key}`" for key in keys)

    def rule(mapping: Mapping) -> Iterator[Complaint]:
        present = [key for key in keys if key in mapping]
        if not present:
            yield Complaint((keys[0],), "is missing", f"write {listed}")
        for key in present[1:]:
            yield Complaint((key,), f"cannot stand beside `{present[0]}`", "remove one of them")

    return rule


def any_of(*keys: str) -> Rule:
    def rule(mapping: Mapping) -> Iterator[Complaint]:
        if not any(key in mapping for key in keys):
            listed = " or ".join(f"`{key}`" for key in keys)
            yield Complaint((keys[0],), "is missing", f"write {listed}")

    return rule


def at_most_one(*keys: str) -> Rule:
    def rule(mapping: Mapping) -> Iterator[Complaint]:
        present = [key for key in keys if key in mapping]
        for key in present[1:]:
            yield Complaint((key,), f"cannot stand beside `{present[0]}`", "remove one of them")

    return rule


def needs(key: str, *others: str) -> Rule:
    """`key` means something only beside one of the others."""
    listed = " or ".join(f"`{other}`" for other in others)

    def rule(mapping: Mapping) -> Iterator[Complaint]:
        if key in mapping and not any(other in mapping for other in others):
            yield Complaint((key,), f"means nothing without {listed}", f"add {listed}, or remove it")

    return rule


def shell_is_said(mapping: Mapping) -> Iterator[Complaint]:
    """Rule X2: no shell unless the plan says so."""
    shell = mapping.get("shell") is True
    run = mapping.get("run")
    if isinstance(run, str) and not shell:
        remedy = 'write a list: ["./scripts/x.sh", "argument"], or add `shell: true`'
        yield Complaint(("run",), "is one text, and there is no shell", remedy)
    if isinstance(run, list) and shell:
        yield Complaint(
            ("run",), "is a list, and `shell: true` takes one text", "remove `shell`, or write text"
        )


class Field(NamedTuple):
    """What the walk needs to know of a model's field."""

    model: type[Model] | None
    shape: Literal["one", "list", "dict", "dict of lists"]
    marks: tuple[Mark, ...]


@lru_cache(maxsize=256)
def fields(model: type[Model]) -> dict[str, Field]:
    """The fields by the key that YAML knows them by."""
    found = {}
    for name, info in model.model_fields.items():
        inner, shape = _unwrap(info.annotation)
        marks = tuple(mark for mark in info.metadata if isinstance(mark, Defines | Refers))
        found[info.alias or name] = Field(inner, shape, marks)
    return found


def _unwrap(annotation: Any) -> tuple[type[Model] | None, Any]:
    """`dict[str, list[Rung]]` → (Rung, "dict of lists")."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _unwrap(arguments[0])
    if origin in (Union, UnionType):
        rest = [each for each in arguments if each is not type(None)]
        return _unwrap(rest[0])
    if origin is list:
        return _unwrap(arguments[0])[0], "list"
    if origin is dict:
        inner, shape = _unwrap(arguments[1])
        return inner, "dict of lists" if shape == "list" else "dict"
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation, "one"
    return None, "one"


class Visited(NamedTuple):
    loc: tuple[int | str, ...]
    model: type[Model]
    mapping: Mapping


def walk(model: type[Model], data: Any, loc: tuple[int | str, ...] = ()) -> Iterator[Visited]:
    """Every mapping of the data with the model that it should be, however wrong its values are."""
    if not isinstance(data, Mapping):
        return
    yield Visited(loc, model, data)
    for key, field in fields(model).items():
        if field.model is None or key not in data:
            continue
        for path, value in _spread(field.shape, data[key], (*loc, key)):
            yield from walk(field.model, value, path)


def _spread(
    shape: str, value: Any, loc: tuple[int | str, ...]
) -> Iterator[tuple[tuple[int | str, ...], Any]]:
    if shape == "list" and isinstance(value, list):
        for index, item in enumerate(value):
            yield (*loc, index), item
    elif shape.startswith("dict") and isinstance(value, dict):
        for key, item in value.items():
            yield from _spread("list" if shape == "dict of lists" else "one", item, (*loc, key))
    elif shape == "one":
        yield loc, value
