"""Data against models: every complaint as a problem with a position and a remedy."""

from __future__ import annotations

import re
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from rollbackd.config.models.base import Model, fields, walk
from rollbackd.config.models.types import REFUSED, quoted, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rollbackd.config.yaml_source import Document, Loc

M = TypeVar("M", bound=Model)

_QUIET = {"url", "urls", "external_url", "webhook", "alertmanager"}.union(
    ["basic_auth", "authorization", "http_headers", "params", "env"]
)
"""What stands under these keys may be a secret: it is never shown."""

_EXPECTED = {
    "list_type": ("a list", "write [one, two], or `- ` lines"),
    "dict_type": ("a mapping", "write `key: value` lines"),
    "model_type": ("a mapping", "write `key: value` lines"),
    "model_attributes_type": ("a mapping", "write `key: value` lines"),
}
_BOOLEANS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def validate(model: type[M], document: Document, data: Any, loc: Loc = ()) -> M | None:
    """The data as the model; None if anything is wrong with it, and then the document's problems say what."""
    before = len(document.problems)
    for visited in walk(model, data, loc):
        for rule in visited.model.rules:
            for complaint in rule(visited.mapping):
                document.problem(
                    (*visited.loc, *complaint.loc), complaint.what, complaint.remedy, at_key=True
                )
    try:
        value = model.model_validate(data)
    except ValidationError as error:
        _tell(error, model, document, data, loc)
        return None
    return value if len(document.problems) == before else None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    matches = get_close_matches(word[:100], list(islice(known, 1000)), n=1, cutoff=0.6)
    return matches[0] if matches else None


def _tell(error: ValidationError, model: type[Model], document: Document, data: Any, loc: Loc) -> None:
    models = {visited.loc: visited.model for visited in walk(model, data)}
    for each in error.errors(include_url=False):
        inner = each["loc"]
        at_key = False
        if inner and inner[-1] == "[key]":
            inner, at_key = inner[:-1], True
        quiet = not _QUIET.isdisjoint(inner)
        if each["type"] == "extra_forbidden":
            at_key = True
            what, remedy = _unknown(str(inner[-1]), models.get(inner[:-1]))
        elif each["type"] == "missing":
            what, remedy = _missing(str(inner[-1]), models.get(inner[:-1]))
        else:
            what, remedy = _words(each["type"], each.get("ctx", {}), each["input"], quiet)
        if document.where((*loc, *inner)) not in document.spoilt:
            document.problem((*loc, *inner), what, remedy, at_key=at_key)


def _unknown(key: str, model: type[Model] | None) -> tuple[str, str]:
    known = list(fields(model)) if model is not None else []
    close = nearest(key, known)
    if close is not None:
        return "unknown key", f"did you mean `{close}`?"
    if len(known) > 12:
        return "unknown key", "remove it; docs/configuration.md lists the keys"
    return "unknown key", f"remove it; known are {', '.join(known)}"


def _missing(key: str, model: type[Model] | None) -> tuple[str, str]:
    info = None
    if model is not None:
        fields_ = model.model_fields.items()
        info = next((info for name, info in fields_ if (info.alias or name) == key), None)
    means = f" ({info.description})" if info is not None and info.description else ""
    return "is missing", f"add `{key}:`{means}"


def _words(kind: str, context: Mapping[str, Any], value: object, quiet: bool) -> tuple[str, str]:
    """What and remedy for an error of pydantic's, in the project's form."""
    got = "text" if quiet and isinstance(value, str) else shown(value)
    match kind:
        case _ if kind == REFUSED:
            return context["what"], context["remedy"]
        case _ if kind in _EXPECTED:
            expected, remedy = _EXPECTED[kind]
            return f"expected {expected}, got {got}", remedy
        case "bool_type":
            word = _BOOLEANS.get(value.lower()) if isinstance(value, str) else None
            if isinstance(value, str) and value in ("true", "false"):
                return f"expected true or false, got {got}", "remove the quotes"
            return f"expected true or false, got {got}", f"write {word or 'true or false'}"
        case "literal_error":
            return _choice(context["expected"], value, got)
        case "too_short":
            return "is empty", "add an entry"
        case "too_long":
            return f"has {context['actual_length']} entries; at most {context['max_length']}", "shorten it"
        case "string_type":
            return f"expected text, got {got}", quoted(value)
    return f"is not usable ({kind.replace('_', ' ')})", "see docs/configuration.md"


def _choice(expected: str, value: object, got: str) -> tuple[str, str]:
    """`'a', 'b' or 'c'` as pydantic lists them."""
    choices = [choice.strip("'") for choice in re.split(r", | or ", expected)]
    listed = " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))
    what = f"expected {listed}, got {got}"
    if isinstance(value, str) and value in choices:
        return what, "remove the quotes"
    close = nearest(value, choices) if isinstance(value, str) else None
    return what, f"write {close or listed}"
