"""The keys of a model: where they stand, what they take, what holds where they are left out."""

from __future__ import annotations

from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from pydantic import BeforeValidator
from pydantic_core import PydanticUndefined

from rollbackd.config.models.base import Model, fields
from rollbackd.config.models.types import AutoDuration, Duration, Listen, Parsed
from rollbackd.core.notation import span

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_AT = {"one": "{}", "list": "{}[]", "dict": "{}.NAME", "dict of lists": "{}.NAME[]"}


def reachable(model: type[Model]) -> dict[str, type[Model]]:
    """Every model of a file by the nearest place where it stands: `groups[].triggers[].ratio`. The file's own
    is at the empty place. Each model once, what stands in it after it, in the order of the keys."""
    nearest = {model: ""}
    pending = [model]
    for each in pending:
        for key, field in fields(each).items():
            if field.model is not None and field.model not in nearest:
                nearest[field.model] = _AT[field.shape].format(f"{nearest[each]}.{key}".lstrip("."))
                pending.append(field.model)
    return {nearest[each]: each for each in _inward(model, {})}


def _inward(model: type[Model], seen: dict[type[Model], None]) -> dict[type[Model], None]:
    if model not in seen:
        seen[model] = None
        for field in fields(model).values():
            if field.model is not None:
                _inward(field.model, seen)
    return seen


def default(info: FieldInfo) -> Any:
    """What holds where the key is left out, as it is written in YAML; None where nothing does, or where the
    default is the sum of the defaults inside."""
    value = info.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined or isinstance(value, Model) or value in ([], {}, ""):
        return None
    parsed = [each for each in info.metadata if isinstance(each, Parsed)]
    match parsed:
        case [AutoDuration()] if value is None:
            return "auto"
        case [Duration()]:
            return span(value)
        case [Listen()]:
            return ":".join(map(str, value))
    return int(value) if isinstance(value, float) and value.is_integer() else value


def words(info: FieldInfo) -> str:
    """What may be written, in a few words, with its limits."""
    return _words(info.annotation, tuple(info.metadata))


def _words(annotation: Any, metadata: tuple[Any, ...]) -> str:
    parsed = next((each for each in metadata if isinstance(each, Parsed)), None)
    if parsed is not None:
        return parsed.words()
    before = next((each for each in metadata if isinstance(each, BeforeValidator)), None)
    if before is not None and before.json_schema_input_type is not PydanticUndefined:
        return _inner(before.json_schema_input_type)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return "mapping"
    if origin is Literal:
        return " · ".join(f"`{each}`" for each in arguments)
    if origin is list:
        return f"list of {_inner(arguments[0])}"
    if origin is dict:
        return f"mapping of {_inner(arguments[0])} to {_inner(arguments[1])}"
    if origin in (Union, UnionType):
        return " or ".join(_inner(each) for each in arguments if each is not type(None))
    return {bool: "`true` · `false`", str: "text"}.get(annotation, str(annotation))


def _inner(annotation: Any) -> str:
    if hasattr(annotation, "__metadata__"):
        return _words(get_args(annotation)[0], annotation.__metadata__)
    return _words(annotation, ())
