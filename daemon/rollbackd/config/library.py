"""`use: library/NAME` with `set:` → the trigger, before anything else reads the file.

A template is a trigger with `${parameter}` in its texts. An entry that uses it becomes an ordinary trigger:
the template's keys, filled in, under the entry's own. What the template gave stands, for every problem, at
the entry's `use:`, or at the value of `set:` that it was made of.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import PydanticCustomError

from rollbackd.config.models.library import BOUNDS, LibraryModel, TemplateModel
from rollbackd.config.models.triggers import GroupHeadModel, TriggerModel
from rollbackd.config.models.types import shown
from rollbackd.config.parameters import Value, parse
from rollbackd.config.problem import Position, errors, one_line
from rollbackd.config.triggers import ReadTrigger, check_trigger
from rollbackd.config.validate import nearest, validate
from rollbackd.config.yaml_source import Document, Mapping, Sequence, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.config.models.library import ParameterModel
    from rollbackd.config.yaml_source import Loc
    from rollbackd.core.model import Ms

PREFIX = "library/"
RUNBOOKS = "runbooks"
ALTERNATIVES = (("windows", "for"), ("expr", "ratio", "all", "any"))
"""Of each only one can stand in a mapping: the entry's takes the place of the template's."""

PROMQL = frozenset(["expr", "errors", "total", "coverage"])
"""Under these keys texts are expressions."""

_PLACEHOLDER = re.compile(r"(,\s*)?\$\{(\w+)\}", re.ASCII)
_HEAD = GroupHeadModel.model_construct(name="library", interval=15_000, align=0, delay=0)


@dataclass(frozen=True, slots=True)
class Template:
    """One of the library's. `raw` is its trigger as it was read, with its `category`, and with a `runbook`
    among its annotations: the command that prints it."""

    document: Document
    loc: Loc
    model: TemplateModel
    raw: Mapping

    @property
    def name(self) -> str:
        return self.model.template

    @property
    def runbook(self) -> Path:
        return self.document.path.parent / RUNBOOKS / f"{self.name}.md"


class Filled(NamedTuple):
    """A parameter's value, and where the user's file gives it; None: it is the template's."""

    value: Value
    at: Position | None


class Use(NamedTuple):
    """Where a file uses a template: `name` under the last of `named`, its parameters under the last of
    `set_`."""

    document: Document
    named: Loc
    name: object
    set_: Loc
    said: object


def folder() -> Path:
    """Where the library is: in the installed package, else in the checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "library"
    return installed if installed.is_dir() else package.parents[1] / "triggers"


@lru_cache(maxsize=1)
def shipped() -> dict[str, Template]:
    """The library's templates by name, in the order of its files. OSError where it cannot be read."""
    found: dict[str, Template] = {}
    where = folder()
    for name in sorted(os.listdir(where)):
        if name.endswith(".yml") and not name.endswith(".test.yml"):
            document = read(where / name, str(where / name), name)
            if document.data is not None and "templates" in document.data:
                found |= {template.name: template for template in templates(document)}
    return found


def templates(document: Document) -> list[Template]:
    """The templates of a file of the library; none where any has problems, which are noted."""
    model = validate(LibraryModel, document, document.data)
    if model is None or document.data is None:
        return []
    made = []
    for index, (one, raw) in enumerate(zip(model.templates, document.data["templates"], strict=True)):
        given = Mapping(raw["trigger"].at)
        _put(given, "category", model.category, document.where(("category",)))
        annotations = Mapping(given.at)
        _put(annotations, "runbook", f"rollbackd library {one.template}", given.at)
        _put(given, "annotations", annotations, given.at)
        made.append(Template(document, ("templates", index), one, _merged(given, raw["trigger"])))
    return made


def expand(document: Document) -> None:
    """Put triggers in the place of the entries that use templates. What is wrong with a use is noted; the
    entry is then made of the example's values, or left out."""
    groups = document.data.get("groups") if document.data is not None else None
    for i, group in enumerate(groups if isinstance(groups, list) else ()):
        entries = group.get("triggers") if isinstance(group, Mapping) else None
        if not isinstance(entries, Sequence):
            continue
        loc: Loc = ("groups", i, "triggers")
        lost = []
        for j, entry in enumerate(entries):
            if isinstance(entry, Mapping) and "use" in entry:
                made = _entry(document, (*loc, j), entry)
                if made is None:
                    lost.append(j)
                else:
                    entries[j] = made
        for j in reversed(lost):
            del entries[j], entries.items_at[j]
            document.spoilt.add(document.where(loc))


def _entry(document: Document, loc: Loc, entry: Mapping) -> Mapping | None:
    use = Use(document, (*loc, "use"), entry["use"], (*loc, "set"), entry.get("set"))
    made = fill(use)
    if made is None:
        return None
    document.templates[document.where(loc)] = str(entry["use"]).removeprefix(PREFIX)
    return _merged(made, entry, frozenset(["use", "set"]))


def fill(use: Use) -> Mapping | None:
    """The template's trigger with its parameters filled in, which lacks a `plan` alone. None where there is
    no such template; what is wrong is noted."""
    template = _named(use)
    if template is None:
        return None
    at = use.document.where(use.named)
    made = _filled(template.raw, _values(use, template), at, expression=False)
    return made if isinstance(made, Mapping) else None


def read_example(use: Use, interval: Ms | None = None) -> ReadTrigger | None:
    """The trigger that the template makes by itself, for a plan that does not exist, in a group with the
    template's interval where no other is given. None where it cannot be; what is wrong is noted."""
    before = len(errors(use.document.problems))
    template = _named(use)
    made = fill(use) if template is not None else None
    if template is None or made is None or len(errors(use.document.problems)) > before:
        return None
    head = _HEAD.model_copy(update={"interval": interval or template.model.interval})
    return _judged(use.document, use.named, made, head)


def _judged(document: Document, loc: Loc, made: Mapping, head: GroupHeadModel) -> ReadTrigger | None:
    _put(made, "plan", "example", made.at)
    model = validate(TriggerModel, document, made, loc)
    if model is None:
        return None
    trigger = ReadTrigger(document, loc, head, model)
    before = len(errors(document.problems))
    check_trigger(trigger)
    return trigger if len(errors(document.problems)) == before else None


def _named(use: Use) -> Template | None:
    name, document = use.name, use.document
    try:
        known = shipped()
    except OSError as error:
        what = f"the library cannot be read ({error.strerror})"
        document.problem(use.named, what, f"install rollbackd anew: {folder()}")
        return None
    if isinstance(name, str) and name.startswith(PREFIX) and name.removeprefix(PREFIX) in known:
        return known[name.removeprefix(PREFIX)]
    text = name if isinstance(name, str) else ""
    close = text if text in known else nearest(text.rpartition("/")[2], known)
    remedy = f"did you mean `{PREFIX}{close}`?" if close else "`rollbackd library` lists them"
    document.problem(use.named, f"{shown(name)} is no template of the library", remedy)
    return None


def _values(use: Use, template: Template) -> dict[str, Filled]:
    """A value for each parameter, whatever is wrong: what is missing or refused has the example's."""
    model, said = template.model, use.said
    if said is not None and not isinstance(said, Mapping):
        use.document.problem(use.set_, f"expected a mapping, got {shown(said)}", "write `key: value` lines")
        return _defaults(model)
    given = said if said is not None else Mapping(use.document.where(use.named))
    for name in given:
        if name not in model.parameters:
            use.document.problem((*use.set_, name), *_unknown(name, model), at_key=True)
    found = _defaults(model)
    for name, parameter in model.parameters.items():
        if name in given:
            try:
                found[name] = Filled(parse(parameter, given[name]), given.values_at[name])
            except PydanticCustomError as refused:
                said_of = refused.context or {}
                use.document.problem((*use.set_, name), said_of["what"], said_of["remedy"])
        elif parameter.default is None:
            close = any(nearest(each, [name]) for each in given if each not in model.parameters)
            if not close:  # what was written instead is told of
                use.document.problem(
                    (*use.set_, name), "is missing", f"add `{name}:` to `set` ({parameter.about})"
                )
    return found


def _unknown(name: str, model: TemplateModel) -> tuple[str, str]:
    close = nearest(name, model.parameters)
    if close:
        return "unknown parameter", f"did you mean `{close}`?"
    known = f"it has {', '.join(model.parameters)}" if model.parameters else "it has none"
    if name in TriggerModel.model_fields or name == "for":
        return "unknown parameter", f"a trigger's own key stands beside `set`; {known}"
    return "unknown parameter", f"remove it; {known}"


def _defaults(model: TemplateModel) -> dict[str, Filled]:
    return {
        name: Filled(
            parse(parameter, model.example[name] if parameter.default is None else parameter.default), None
        )
        for name, parameter in model.parameters.items()
        if parameter.default is not None or name in model.example
    }


def _filled(raw: Any, values: dict[str, Filled], at: Position | None, *, expression: bool) -> Any:
    """A copy with every placeholder replaced, standing at `at`; None: where it stood in the template."""
    if isinstance(raw, Mapping):
        made = Mapping(at or raw.at)
        for key, inner in raw.items():
            value = _filled(inner, values, at, expression=key in PROMQL)
            where = at and (_set_at(inner, values) or at)
            _put(made, key, value, where or raw.values_at[key], at or raw.keys_at[key])
        return made
    if isinstance(raw, Sequence):
        listed = Sequence(at or raw.at)
        for inner, place in zip(raw, raw.items_at, strict=True):
            listed.append(_filled(inner, values, at, expression=expression))
            listed.items_at.append(at or place)
        return listed
    return _written(raw, values, expression) if isinstance(raw, str) else raw


def _written(raw: str, values: dict[str, Filled], expression: bool) -> Any:
    whole = _PLACEHOLDER.fullmatch(raw)
    if whole is not None and whole[2] in values and not expression:
        return values[whole[2]].value.data

    def replaced(found: re.Match[str]) -> str:
        filled = values.get(found[2])
        if filled is None:
            return found[0]
        text = filled.value.promql if expression else filled.value.text
        return (found[1] or "") + text if text else ""  # nothing to list takes its comma along

    return _PLACEHOLDER.sub(replaced, raw)


def _set_at(raw: Any, values: dict[str, Filled]) -> Position | None:
    """Where the user gave what a text is made of."""
    names = [found[2] for found in _PLACEHOLDER.finditer(raw)] if isinstance(raw, str) else []
    return next((values[name].at for name in names if name in values and values[name].at), None)


def _merged(template: Mapping, own: Mapping, without: frozenset[str] = frozenset()) -> Mapping:
    """The template's keys under the entry's own: mappings key by key, anything else whole."""
    made = Mapping(own.at)
    out = {key for group in ALTERNATIVES if any(key in own for key in group) for key in group}
    if "expr" in out and not any(key in own and key in template for key in ALTERNATIVES[1]):
        out |= {"breach", "traffic", "coverage"}
    for key, value in template.items():
        if key not in out or key in own:
            _put(made, key, value, template.values_at[key], template.keys_at[key])
    for key, value in own.items():
        if key in without:
            continue
        under = made.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            value = _merged(under, value)
        _put(made, key, value, own.values_at[key], own.keys_at[key])
    return made


def _put(into: Mapping, key: str, value: Any, at: Position, key_at: Position | None = None) -> None:
    into[key] = value
    into.values_at[key] = at
    into.keys_at[key] = key_at or at


def check_templates(document: Document) -> list[ReadTrigger]:
    """Judge a file of the library: each template as the trigger that its defaults and its example make,
    at its own places. Those that are sound."""
    return [found for template in templates(document) for found in _checked(template)]


def example(template: Template) -> Mapping:
    """The trigger, but for `plan`, that a sound template's defaults and example make, at its own places."""
    made = _filled(template.raw, _defaults(template.model), None, expression=False)
    if not isinstance(made, Mapping):
        raise TypeError(f"{template.name} is no mapping")
    return made


def _checked(template: Template) -> Iterator[ReadTrigger]:
    document, model = template.document, template.model
    before = len(errors(document.problems))
    _check_parameters(template)
    if len(errors(document.problems)) > before:
        return
    head, loc = _HEAD.model_copy(update={"interval": model.interval}), (*template.loc, "trigger")
    document.templates[document.where(loc)] = model.template
    found = _judged(document, loc, example(template), head)
    if found is not None:
        yield found


def _check_parameters(template: Template) -> None:
    document, model, loc = template.document, template.model, template.loc
    for key in ("plan", "category"):
        if key in model.trigger:
            what = "is the user's to say" if key == "plan" else "is the file's to say"
            document.problem((*loc, "trigger", key), what, "remove it", at_key=True)
    for name, parameter in model.parameters.items():
        at = (*loc, "parameters", name)
        bare = parameter.model_copy(update=dict.fromkeys(BOUNDS))
        bounds = [(key, getattr(parameter, key)) for key in BOUNDS if getattr(parameter, key) is not None]
        sound = [_check_value(document, (*at, key), bare, bound) for key, bound in bounds]
        given, where = parameter.default, (*at, "default")
        if name in model.example:
            given, where = model.example[name], (*loc, "example", name)
        if given is None:
            document.problem((*loc, "example", name), "is missing", "give a value: there is no default")
        else:
            _check_value(document, where, parameter if all(sound) else bare, given)
    for name in model.example:
        if name not in model.parameters:
            document.problem((*loc, "example", name), *_unknown(name, model), at_key=True)
        elif model.parameters[name].default is not None:
            document.problem((*loc, "example", name), "has a default already", "remove one", at_key=True)
    _check_placeholders(template)


def _check_value(document: Document, loc: Loc, parameter: ParameterModel, value: object) -> bool:
    try:
        parse(parameter, value)
    except PydanticCustomError as refused:
        said = refused.context or {}
        document.problem(loc, said["what"], said["remedy"])
        return False
    return True


def _check_placeholders(template: Template) -> None:
    """Each names a parameter, and each parameter is used."""
    document, loc = template.document, template.loc
    names = dict(_placeholders(template.raw, (*loc, "trigger")))
    for name, place in names.items():
        if name not in template.model.parameters:
            document.problem(place, f"there is no parameter `{one_line(name)}`", "add it to `parameters`")
    for name in template.model.parameters:
        if name not in names:
            remedy = f"write ${{{name}}} in the trigger, or remove it"
            document.problem((*loc, "parameters", name), "is not used", remedy, at_key=True)


def _placeholders(raw: Any, loc: Loc) -> Iterator[tuple[str, Loc]]:
    if isinstance(raw, str):
        yield from ((found[2], loc) for found in _PLACEHOLDER.finditer(raw))
    elif isinstance(raw, dict | list):
        for key, inner in raw.items() if isinstance(raw, dict) else enumerate(raw):
            yield from _placeholders(inner, (*loc, key))
