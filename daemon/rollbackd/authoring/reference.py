"""docs/reference.md: every key of every file, from the models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

from rollbackd.authoring.keys import default, reachable, words
from rollbackd.authoring.kinds import KINDS, Kind
from rollbackd.config.models.base import Model, fields, said

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

HEAD = """\
# Reference

Every key of every file, generated from what reads them (`python -m rollbackd.authoring`). How the files
work together is in [configuration.md](configuration.md), rules such as (W3) are in
[semantics.md](semantics.md). `rollbackd schema KIND` prints the same as JSON Schema, for editors.
"""


def reference() -> str:
    return "\n".join([HEAD, *(line for name, kind in KINDS.items() for line in _kind(name, kind))])


def _kind(name: str, kind: Kind) -> Iterator[str]:
    yield f"## {kind.file}\n"
    yield f"The schema is `rollbackd schema {name}`.\n"
    places = {model: place for place, model in reachable(kind.model).items()}
    places |= {
        other: f"{places[entry]} with {next(iter(fields(other)))}" for entry, other in kind.instead.items()
    }
    for model, place in places.items():
        if place:
            yield f"### `{place}`\n"
        yield from _section(model, places)


def _section(model: type[Model], places: dict[type[Model], str]) -> Iterator[str]:
    if model.__doc__:
        yield f"{_sentence(model.__doc__)}\n"
    if model.rules:
        yield "\n".join(f"- {_sentence(said(rule))}" for rule in model.rules) + "\n"
    yield "| key | what | default | meaning |\n|---|---|---|---|"
    for name, info in model.model_fields.items():
        key = info.alias or name
        inner = fields(model)[key].model
        what = words(info)
        if inner is not None:
            before, _, after = what.rpartition("mapping")
            what = f"{before}[mapping](#{_anchor(places[inner])}){after}"
        cells = [f"`{key}`", what, _default(info), _sentence(info.description or "")]
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def _default(info: FieldInfo) -> str:
    if info.is_required() and not _nullable(info):
        return "**required**"
    written: Any = default(info)
    match written:
        case None:
            return "–"
        case bool():
            return f"`{str(written).lower()}`"
        case list():
            return f"`[{', '.join(written)}]`"
    return f"`{written}`"


def _nullable(info: FieldInfo) -> bool:
    """Whether rules between keys say when it is needed."""
    return type(None) in get_args(info.annotation)


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _anchor(place: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w -]", "", place.lower()).replace(" ", "-")
