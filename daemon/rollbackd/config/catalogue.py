"""The library for people: what each template sees, when it fires, and what to paste."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rollbackd.config.library import Template, example, shipped
from rollbackd.core.notation import span

if TYPE_CHECKING:
    from rollbackd.config.models.library import ParameterModel
    from rollbackd.config.yaml_source import Mapping

_BARE = re.compile(r"(?!(true|false|null)\Z)[A-Za-z_/][\w./-]*|[0-9]+[a-z]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Parameter:
    """`default` is None where it must be set; `value` is the default, else the example's."""

    name: str
    type: str
    about: str
    default: Any
    value: Any
    bounds: str


@dataclass(frozen=True, slots=True)
class Entry:
    """`fires`: the limit and how long, with the defaults. `interval`, in words, is its group's."""

    name: str
    category: str
    severity: str
    action: str | None
    fires: str
    about: str
    interval: str
    parameters: tuple[Parameter, ...]
    snippet: str

    def needs(self) -> list[str]:
        return [parameter.name for parameter in self.parameters if parameter.default is None]


def catalogue() -> list[Entry]:
    """Every template, in the order of the library's files. OSError where they cannot be read."""
    return [_entry(template) for template in shipped().values()]


def runbook(name: str) -> str:
    """The text of a template's runbook, Markdown. KeyError: no such template. OSError."""
    return shipped()[name].runbook.read_text()


def _entry(template: Template) -> Entry:
    model, made = template.model, example(template)
    parameters = tuple(
        _parameter(name, one, model.example.get(name)) for name, one in model.parameters.items()
    )
    return Entry(
        name=template.name,
        category=made["category"],
        severity=made["severity"],
        action=made.get("action"),
        fires=f"{_limit(made)} {_lasts(made)}",
        about=model.about,
        interval=span(model.interval),
        parameters=parameters,
        snippet=_snippet(template.name, parameters),
    )


def _parameter(name: str, model: ParameterModel, given: Any) -> Parameter:
    bounds = " to ".join(str(each) for each in (model.at_least, model.at_most) if each is not None)
    if bounds and model.at_most is None:
        bounds = f"{bounds} or more"
    value = given if model.default is None else model.default
    return Parameter(name, model.type, model.about, model.default, value, bounds)


def _limit(made: Mapping) -> str:
    for how in ("all", "any"):
        if how in made:
            return f"{how}({', '.join(map(_limit, made[how]))})"
    return str(made["breach"])


def _lasts(made: Mapping) -> str:
    return f"for {made['for']}" if "for" in made else f"in {made['windows']} windows"


def _snippet(name: str, parameters: tuple[Parameter, ...]) -> str:
    """An entry of `triggers:` as it can be pasted; what has a default stands there as a comment."""
    lines = [f"- use: library/{name}"]
    needed = any(parameter.default is None for parameter in parameters)
    if parameters:
        lines.append("  set:" if needed else "  # set:")
    for one in sorted(parameters, key=lambda one: one.default is not None):
        said = f"{one.name}: {_yaml(one.value)}"
        bounds = f", {one.bounds}" if one.bounds else ""
        lines.append(
            f"    {said}  # {one.about}" if one.default is None else f"  #   {said}  # {one.about}{bounds}"
        )
    return "\n".join([*lines, "  plan: api  # yours"])


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if not isinstance(value, str):
        return str(value)
    return value if _BARE.fullmatch(value) else "'" + value.replace("'", "''") + "'"
