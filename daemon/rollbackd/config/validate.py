"""Data against models: every complaint as a problem with a position and a remedy."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

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
    "dict_type": ("a mapping", "write `key: value` lines"),
    "model_type": ("a mapping", "write `key: value` lines"),
    "model_attributes_type": ("a mapping", "write `key: value` lines"),
}
_MEANT = {
    "alert": ("trigger",),
    "name": ("trigger", "step", "phase", "check", "plan"),
    "rules": ("triggers",),
    "rule_files": ("triggers",),
    "command": ("run",),
    "cmd": ("run",),
    "script": ("run",),
    "exec": ("run",),
    "query": ("expr",),
    "condition": ("breach",),
    "threshold": ("breach",),
    "breach": ("pass",),
    "retries": ("attempts",),
    "delay": ("backoff",),
    "wait": ("after",),
    "environment": ("env",),
    "description": ("summary",),
    "headers": ("http_headers",),
    "tls": ("tls_config",),
    "bearer_token": ("authorization",),
    "bearer_token_file": ("authorization",),
    "port": ("listen",),
    "global": (),
}
"""What people write who come from elsewhere, and what it is called here."""

_BOOLEANS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


MISSING = "is missing"


def validate(model: type[M], document: Document, data: Any, loc: Loc = ()) -> M | None:
    """The data as the model; None if anything is wrong with it, and then the document's problems say what."""
    before = len(document.problems)
    for visited in walk(model, data, loc):
        known = fields(visited.model)
        meant = {_meant(str(key), visited.model) for key in visited.mapping if key not in known}
        for rule in visited.model.rules:
            for complaint in rule(visited.mapping):
                if complaint.what == MISSING and complaint.loc[0] in meant:
                    continue  # the key that was written instead is told of
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
    complaints = error.errors(include_url=False)
    unknown = {each["loc"] for each in complaints if each["type"] == "extra_forbidden"}
    meant = {(*loc[:-1], _meant(str(loc[-1]), models.get(loc[:-1]))) for loc in unknown}
    for each in complaints:
        inner = each["loc"]
        if each["type"] == "missing" and inner in meant:
            continue  # the key that was written instead is told of
        at_key = False
        if inner and inner[-1] == "[key]":
            inner, at_key = inner[:-1], True
        quiet = not _QUIET.isdisjoint(inner)
        if each["type"] == "extra_forbidden":
            at_key = True
            what, remedy = _unknown(str(inner[-1]), models.get(inner[:-1]), model)
        elif each["type"] == "missing":
            what, remedy = _missing(str(inner[-1]), models.get(inner[:-1]))
        else:
            what, remedy = _words(each["type"], each.get("ctx", {}), each["input"], quiet)
        if document.where((*loc, *inner)) not in document.spoilt:
            document.problem((*loc, *inner), what, remedy, at_key=at_key)


def _unknown(key: str, model: type[Model] | None, root: type[Model]) -> tuple[str, str]:
    meant = _meant(key, model)
    if meant is not None:
        return "unknown key", f"did you mean `{meant}`?"
    inner = fields(model).items() if model is not None else ()
    near = [name for name, field in inner if field.model is not None and key in fields(field.model)]
    places = near if len(near) == 1 else _places(root).get(key, ())
    if len(places) == 1:
        where = f"`{places[0]}`" if places[0] else "the top of the file"
        return "unknown key", f"move it to {where}, or remove it"
    known = list(fields(model)) if model is not None else []
    if len(known) > 12:
        return "unknown key", "remove it; docs/reference.md lists the keys"
    return "unknown key", f"remove it; known are {', '.join(known)}"


def _meant(key: str, model: type[Model] | None) -> str | None:
    known = list(fields(model)) if model is not None else []
    return next((each for each in _MEANT.get(key, ()) if each in known), None) or nearest(key, known)


@lru_cache(maxsize=8)
def _places(root: type[Model]) -> dict[str, tuple[str, ...]]:
    """Under which keys of the file each key may stand; empty text is the top."""
    found: dict[str, dict[str, None]] = {}
    pending = [("", root)]
    seen = set()
    while pending:
        place, model = pending.pop()
        for key, field in fields(model).items():
            found.setdefault(key, {})[place] = None
            if field.model is not None and (key, field.model) not in seen:
                seen.add((key, field.model))
                pending.append((key, field.model))
    return {key: tuple(places) for key, places in found.items()}


def _missing(key: str, model: type[Model] | None) -> tuple[str, str]:
    info = None
    if model is not None:
        fields_ = model.model_fields.items()
        info = next((info for name, info in fields_ if (info.alias or name) == key), None)
    choices = get_args(info.annotation) if info is not None and get_origin(info.annotation) is Literal else ()
    if len(choices) == 1:
        return "is missing", f"add `{key}: {choices[0]}`"
    # What more there is to say of it, the reference says.
    means = f" ({info.description.split('. ')[0]})" if info is not None and info.description else ""
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
        case "list_type":
            return f"expected a list, got {got}", _listed(value, quiet)
        case "too_short":
            return "is empty", "add an entry"
        case "too_long":
            most = context["max_length"]
            return f"has {context['actual_length']} entries, more than {most}", f"keep {most}"
        case "string_type":
            return f"expected text, got {got}", quoted(value)
    return f"is not usable ({kind.replace('_', ' ')})", "see docs/reference.md"


def _listed(value: object, quiet: bool) -> str:
    if isinstance(value, dict):
        return "begin each entry with `- `"
    if isinstance(value, str) and not quiet and re.fullmatch(r"[\w./*-]{1,60}", value, re.ASCII):
        return f"write [{value}]"
    return "write [one, two], or `- ` lines"


def _choice(expected: str, value: object, got: str) -> tuple[str, str]:
    """`'a', 'b' or 'c'` as pydantic lists them."""
    choices = [choice.strip("'") for choice in re.split(r", | or ", expected)]
    listed = " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))
    what = f"expected {listed}, got {got}"
    if isinstance(value, str) and value in choices:
        return what, "remove the quotes"
    close = nearest(value, choices) if isinstance(value, str) else None
    return what, f"write {close or listed}"
