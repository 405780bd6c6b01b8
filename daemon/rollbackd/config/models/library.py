"""The library: files of templates, and the entries of `triggers/*.yml` that use one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from rollbackd.config.models.base import Complaint, Defines, Model, Rule
from rollbackd.config.models.instance import Version
from rollbackd.config.models.types import LABEL, NAME, Duration, Text
from rollbackd.core.model import Category, Ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.config.yaml_source import Mapping

ParameterType = Literal[
    "label-value", "regex", "label-name", "labels", "matchers", "metric-name", "number", "whole", "duration"
]


BOUNDS = ("at_least", "at_most")
SIZED = frozenset(["number", "whole", "duration"])


def bounds_of_a_size(mapping: Mapping) -> Iterator[Complaint]:
    """`at_least` and `at_most` only beside `type` number, whole or duration."""
    for key in BOUNDS:
        if key in mapping and mapping.get("type") not in SIZED:
            yield Complaint((key,), "means nothing here", "remove it: a number or a duration has bounds")


class ParameterModel(Model):
    rules: ClassVar[tuple[Rule, ...]] = (bounds_of_a_size,)

    type: Annotated[ParameterType, Field(description="how it is read, and how it is written into PromQL")]
    about: Annotated[str, Text(), Field(description="what it says")]
    default: Annotated[Any, Field(description="left out: it must be set")] = None
    at_least: Annotated[Any, Field(description="of a number, whole number or duration")] = None
    at_most: Annotated[Any, Field(description="of a number, whole number or duration")] = None


class TemplateModel(Model):
    template: Annotated[str, NAME, Defines("template"), Field(description="its name: library/NAME")]
    about: Annotated[
        str, Text(most=2000, lines=True), Field(description="what it sees, and why this severity")
    ]
    interval: Annotated[Ms, Duration("1s", "1d"), Field(description="of the group it is meant for")] = 15_000
    parameters: Annotated[
        dict[Annotated[str, LABEL], ParameterModel],
        Field(default_factory=dict, description="what can be set"),
    ]
    example: Annotated[
        dict[str, Any], Field(default_factory=dict, description="values for those without a default")
    ]
    trigger: Annotated[
        dict[str, Any], Field(description="the trigger but for `category` and `plan`, with ${parameters}")
    ]


class LibraryModel(Model):
    version: Annotated[Version, Field(description="of the file's form")]
    category: Annotated[Category, Field(description="of all its templates")]
    templates: Annotated[list[TemplateModel], Field(min_length=1, description="triggers to be filled in")]


class UseModel(Model):
    """An entry of `triggers:` that is made from a template; its other keys are those of a trigger."""

    use: Annotated[str, Text(), Field(description="library/NAME; `rollbackd library` lists them")]
    set: Annotated[dict[str, Any], Field(default_factory=dict, description="the template's parameters")]
