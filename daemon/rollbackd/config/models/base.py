"""What every model of the configuration has: strictness, and rules between the keys of one mapping.

The rules look at the mapping as it was read, so that they are told together with what the values
themselves have against them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
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
JsonSchema: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Drawn:
    """A rule that JSON Schema can say, too. `says`: the same for people, as one sentence."""

    rule: Rule
    says: str
    schema: JsonSchema

    def __call__(self, mapping: Mapping) -> Iterator[Complaint]:
        return self.rule(mapping)


def drawn(schema: JsonSchema) -> Callable[[Rule], Rule]:
    """Gives a rule its schema; what it says is its docstring."""
    return lambda rule: Drawn(rule, inspect.getdoc(rule) or "", schema)


def said(rule: Rule) -> str:
    """The rule for people, as one sentence."""
    return rule.says if isinstance(rule, Drawn) else inspect.getdoc(rule) or ""


def listed(keys: Iterable[str], word: str) -> str:
    """`` `a`, `b` or `c` `` for the word `or`."""
    *first, last = (f"`{key}`" for key in keys)
    return f"{', '.join(first)} {word} {last}" if first else last


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


def _required(*keys: str) -> list[JsonSchema]:
    return [{"required": [key]} for key in keys]


def one_of(*keys: str) -> Rule:
    """Exactly one of the keys."""
    named = " or ".join(f"`{key}`" for key in keys)

    def rule(mapping: Mapping) -> Iterator[Complaint]:
        present = [key for key in keys if key in mapping]
        if not present:
            yield Complaint((keys[0],), "is missing", f"write {named}")
        for key in present[1:]:
            yield Complaint((key,), f"cannot stand beside `{present[0]}`", "remove one of them")

    return Drawn(rule, f"Exactly one of {listed(keys, 'and')}.", {"oneOf": _required(*keys)})


def any_of(*keys: str) -> Rule:
    """At least one of the keys."""

    def rule(mapping: Mapping) -> Iterator[Complaint]:
        if not any(key in mapping for key in keys):
            named = " or ".join(f"`{key}`" for key in keys)
            yield Complaint((keys[0],), "is missing", f"write {named}")

    return Drawn(rule, f"At least one of {listed(keys, 'and')}.", {"anyOf": _required(*keys)})


def at_most_one(*keys: str) -> Rule:
    """None of the keys, or one."""

    def rule(mapping: Mapping) -> Iterator[Complaint]:
        present = [key for key in keys if key in mapping]
        for key in present[1:]:
            yield Complaint((key,), f"cannot stand beside `{present[0]}`", "remove one of them")

    both = [{"required": list(pair)} for pair in combinations(keys, 2)]
    return Drawn(rule, f"At most one of {listed(keys, 'and')}.", {"not": {"anyOf": both}})


def needs(key: str, *others: str) -> Rule:
    """`key` means something only beside one of the others."""
    named = " or ".join(f"`{other}`" for other in others)

    def rule(mapping: Mapping) -> Iterator[Complaint]:
        if key in mapping and not any(other in mapping for other in others):
            yield Complaint((key,), f"means nothing without {named}", f"add {named}, or remove it")

    schema = {"if": {"required": [key]}, "then": {"anyOf": _required(*others)}}
    return Drawn(rule, f"`{key}` only beside {listed(others, 'or')}.", schema)


_TEXT, _LIST = ({"properties": {"run": {"type": kind}}} for kind in ("string", "array"))
_SHELL: JsonSchema = {"properties": {"shell": {"const": True}}, "required": ["shell"]}


@drawn({"if": _SHELL, "then": _TEXT, "else": _LIST})
def shell_is_said(mapping: Mapping) -> Iterator[Complaint]:
    """`run` is a list; with `shell: true` it is one text (X2)."""
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
