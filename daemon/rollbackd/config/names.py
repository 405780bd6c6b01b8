"""Names across the files: each given once, each reference to one that exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rollbackd.config.models.base import Defines, Mark, Model, Refers, fields, walk
from rollbackd.config.problem import one_line
from rollbackd.config.validate import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rollbackd.config.yaml_source import Document, Loc

MAX_SUGGESTIONS = 100  # looking for the nearest of many names is slow

ALWAYS = {"ladder": frozenset(["default"])}
"""Names that exist without a definition (rule E1)."""


class Named(NamedTuple):
    mark: Mark
    name: str
    document: Document
    loc: Loc


def check_names(read: Sequence[tuple[type[Model], Document]], known: frozenset[str]) -> None:
    """Note duplicate names, and references to names of the `known` kinds that nothing defines.

    A kind is known where every file that may define its names could be read. Looks at the raw data, so that
    errors elsewhere in a file hide nothing here.
    """
    found = [named for model, document in read for named in _named(model, document)]
    defined: dict[tuple[str, str], dict[str, Named]] = {}
    for named in found:
        if isinstance(named.mark, Defines):
            _define(named, defined.setdefault(_space(named), {}))
    suggestions = MAX_SUGGESTIONS
    for named in found:
        if isinstance(named.mark, Refers) and (named.mark.kind in known or named.mark.within == "file"):
            names = defined.get(_space(named), {})
            always = ALWAYS.get(named.mark.kind, frozenset())
            missing = named.name not in names and named.name not in always
            if missing and not _beyond(named) and not _refused(named):
                _unknown(named, always.union(names) if suggestions > 0 else ())
                suggestions -= 1


def _refused(named: Named) -> bool:
    """Whether something was already told of this very text."""
    at = named.document.where(named.loc)
    return any((problem.line, problem.column) == at for problem in named.document.problems)


def _beyond(named: Named) -> bool:
    """Whether it is defined where nothing of this is read."""
    beyond = named.mark.beyond if isinstance(named.mark, Refers) else ""
    return bool(beyond) and named.name.startswith(beyond)


def _space(named: Named) -> tuple[str, str]:
    """Names are told apart within a kind, and some only within a file."""
    return named.mark.kind, str(named.document.path) if named.mark.within == "file" else ""


def _define(named: Named, names: dict[str, Named]) -> None:
    first = names.setdefault(named.name, named)
    if first is named:
        return
    line = first.document.where(first.loc).line
    where = f"{first.document.shown}:{line}"
    what = f"`{one_line(named.name)}` is already the name of another {named.mark.kind} ({where})"
    named.document.problem(named.loc, what, "choose another name")


def _unknown(named: Named, names: Iterable[str]) -> None:
    what = f"there is no {named.mark.kind} `{one_line(named.name)}`"
    ordered = sorted(names)
    close = nearest(named.name, ordered)
    if close is not None:
        remedy = f"did you mean `{one_line(close)}`?"
    elif ordered:
        more = " …" if len(ordered) > 5 else ""
        remedy = f"define it, or use one of {', '.join(map(one_line, ordered[:5]))}{more}"
    else:
        remedy = "define it"
    named.document.problem(named.loc, what, remedy)


def _named(model: type[Model], document: Document) -> Iterator[Named]:
    for visited in walk(model, document.data):
        for key, field in fields(visited.model).items():
            for mark in field.marks if key in visited.mapping else ():
                for name, loc in _texts(visited.mapping[key], (*visited.loc, key)):
                    yield Named(mark, name, document, loc)


def _texts(value: Any, loc: Loc) -> Iterator[tuple[str, Loc]]:
    """The texts of a value, of a list's items, or of a mapping's keys."""
    if isinstance(value, str):
        yield value, loc
    elif isinstance(value, list):
        yield from ((item, (*loc, index)) for index, item in enumerate(value) if isinstance(item, str))
    elif isinstance(value, dict):
        yield from ((key, (*loc, key)) for key in value)
