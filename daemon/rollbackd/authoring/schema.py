"""JSON Schema (2020-12) of the files, from the models that read them: what an editor completes and checks.

A schema accepts every file that the reader accepts. What only the reader can tell (names in other files,
PromQL, scripts that exist) is left to `rollbackd check`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from rollbackd.authoring.keys import default, reachable
from rollbackd.authoring.kinds import KINDS
from rollbackd.config.models.base import Drawn, Model, fields

if TYPE_CHECKING:
    from pydantic_core import core_schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(kind: str) -> dict[str, Any]:
    """The schema of a kind of file: a key of KINDS."""
    model = KINDS[kind].model
    made = model.model_json_schema(schema_generator=_Generator)
    definitions = made.pop("$defs", {})
    for place, each in reachable(model).items():
        name = each.__name__
        drawn = made if each is model else definitions[name]
        _complete(each, drawn, KINDS[kind].file if each is model else place)
    for entry, other in KINDS[kind].instead.items():
        _instead(definitions, entry.__name__, other)
    return {"$schema": DIALECT, **made, "$defs": dict(sorted(definitions.items()))}


def text(kind: str) -> str:
    """The same as a file."""
    return json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n"


def _instead(definitions: dict[str, Any], name: str, other: type[Model]) -> None:
    """Where the entry called `name` stands, the other may stand with what it says of its own: which of the
    two is told by the other's first key."""
    drawn = other.model_json_schema(schema_generator=_Generator)
    _complete(other, drawn, f"{definitions[name]['title']} with `{next(iter(fields(other)))}`")
    own = definitions[name]["properties"]
    drawn["properties"] |= {key: _in_part(definitions, value) for key, value in own.items()}
    full, used = f"{name}Whole", other.__name__
    definitions[full], definitions[used] = definitions[name], drawn
    definitions[name] = {
        "if": {"required": drawn["required"]},
        "then": {"$ref": f"#/$defs/{used}"},
        "else": {"$ref": f"#/$defs/{full}"},
    }


def _in_part(definitions: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """What is laid over a template's own need not be whole: its mapping may say one key alone."""
    name = value.get("$ref", "").rpartition("/")[2]
    if "properties" not in definitions.get(name, {}):
        return value
    whole = definitions[name]
    definitions[f"{name}InPart"] = {key: whole[key] for key in whole if key not in ("required", "allOf")}
    return {**value, "$ref": f"#/$defs/{name}InPart"}


class _Generator(GenerateJsonSchema):
    """Keys without titles of their own: what would be made of them says nothing new."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Defaults are given as they are written: the models hold milliseconds and pairs."""
        return self.generate_inner(schema["schema"])

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        drawn = super().dict_schema(schema)
        return {**drawn, "additionalProperties": False} if "patternProperties" in drawn else drawn


def _complete(model: type[Model], drawn: dict[str, Any], title: str) -> None:
    """Title, the defaults as they are written, and the rules between keys."""
    drawn["title"] = title
    if model.__doc__ and "description" not in drawn:
        drawn["description"] = model.__doc__.strip()
    for name, info in model.model_fields.items():
        key = info.alias or name
        written = default(info)
        if written is not None:
            drawn["properties"][key]["default"] = written
        if _without_null(drawn["properties"][key]) and key in drawn.get("required", ()):
            drawn["required"].remove(key)  # whether it is needed, the rules say
    rules = [rule.schema for rule in model.rules if isinstance(rule, Drawn)]
    if rules:
        drawn["allOf"] = rules


def _without_null(drawn: dict[str, Any]) -> bool:
    """An absent key is None for the model; in a file `null` is an error. Whether it was so."""
    choices = drawn.get("anyOf")
    if choices is None or {"type": "null"} not in choices:
        return False
    rest = [choice for choice in choices if choice != {"type": "null"}]
    del drawn["anyOf"]
    if len(rest) == 1:
        drawn.update({key: value for key, value in rest[0].items() if key not in drawn})
    else:
        drawn["anyOf"] = rest
    return True
