"""Files that others wrote, read for an import: YAML whose values are texts, JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from rollbackd.config.problem import START, Position, Problem, one_line
from rollbackd.config.yaml_source import NULL, Document, Loc, Mapping, parsed, text_of


class Unusable(Exception):
    """The file cannot be imported: where, what, what to do, in one line."""

    def __init__(self, path: Path, at: Position, what: str, remedy: str) -> None:
        super().__init__(f"{one_line(str(path), 4096)}:{at.line}:{at.column}: {what}; {remedy}")


class Source(NamedTuple):
    """A YAML file. Others read what is plain as text (`version: 1.10`): `text` gives it as it stands."""

    document: Document
    data: Mapping
    lines: list[str]

    def unusable(self, loc: Loc, what: str, remedy: str) -> Unusable:
        return Unusable(self.document.path, self.document.where(loc), what, remedy)

    def line(self, loc: Loc) -> int:
        return self.document.where(loc).line

    def value(self, loc: Loc) -> Any:
        """What stands at `loc`; NULL where nothing does."""
        value: Any = self.data
        for part in loc:
            if isinstance(value, dict):
                value = value.get(part, NULL)
            else:
                value = value[part] if isinstance(value, list) and isinstance(part, int) else NULL
        return value

    def text(self, loc: Loc) -> str | None:
        """The text of the value at `loc`, empty where nothing stands there; None: it is no single value."""
        value = self.value(loc)
        if value is NULL:
            return ""
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if not isinstance(value, int | float):
            return None
        at = self.document.where(loc)
        plain = re.match(r"-?[0-9.]+", self.lines[at.line - 1][at.column - 1 :])
        return plain[0] if plain else str(value)

    def texts(self, loc: Loc) -> dict[str, str] | None:
        """A mapping of single values, empty where nothing stands there; None: it is none."""
        value = self.value(loc)
        if value is NULL:
            return {}
        if not isinstance(value, dict):
            return None
        found = {key: self.text((*loc, key)) for key in value}
        return None if None in found.values() else {key: said or "" for key, said in found.items()}


def _text(path: Path) -> str:
    text = text_of(path, str(path))
    if isinstance(text, Problem):
        raise Unusable(path, Position(text.line, text.column), text.what, text.remedy)
    return text


def yaml_source(path: Path, remedy: str) -> Source:
    """Read YAML by the rules of our own files: a key twice, a tag, more than 4 MiB are errors. Unusable."""
    text = _text(path)
    document = parsed(text, path, str(path), path.name)
    if document.problems or document.data is None:
        first = document.problems[0]
        empty = first.key == "version"
        what = "is empty" if empty else first.what
        said = remedy if empty or "rollbackd/v1" in first.remedy else first.remedy
        raise Unusable(path, Position(first.line, first.column), what, said)
    return Source(document, document.data, text.split("\n"))


def json_source(path: Path) -> Any:
    """Read JSON; a key twice and what is no number of JSON's are errors. Unusable."""
    text = _text(path)
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        what = f"is not JSON here ({error.msg})" if text.strip() else "is empty"
        raise Unusable(path, Position(error.lineno, error.colno), what, "correct it") from None
    except (ValueError, RecursionError) as error:
        what = "is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Unusable(path, START, what, "correct it") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f'holds the key "{one_line(twice)}" twice')
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"holds {name}, which is no number of JSON's")
