"""YAML files as plain data that knows where each value stands.

The YAML of 1.2's core schema, less what surprises: plain `true`, `false`, `null`, whole numbers and
decimal fractions are what they look like; `on`, `1:30`, `010` and `1e3` are text. Duplicate keys, tags and
merge keys are errors. Size, depth and what aliases expand to are capped (fault 69).
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Any, Final

import yaml

from rollbackd.config.comments import Comment, comments
from rollbackd.config.problem import START, Position, Problem, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence as Seq
    from pathlib import Path

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 24
MAX_VALUES = 200_000
MAX_NUMBER = 18

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# YAML's own set, less its other line breaks: editors do not count them as lines.
_UNPRINTABLE = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)\Z")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+\Z")


class Null:
    """A value that was left empty, or written `null` or `~`. Not None: no key means anything by it."""

    def __repr__(self) -> str:
        return "null"


NULL: Final = Null()
_WORDS: Final[dict[str, object]] = {"": NULL, "~": NULL, "null": NULL, "true": True, "false": False}


class Mapping(dict[str, Any]):
    """A YAML mapping. `keys_at` and `values_at` say where each entry stands."""

    __slots__ = ("at", "keys_at", "values_at")

    def __init__(self, at: Position) -> None:
        super().__init__()
        self.at = at
        self.keys_at: dict[str, Position] = {}
        self.values_at: dict[str, Position] = {}


class Sequence(list[Any]):
    """A YAML sequence. `items_at` says where each item stands."""

    __slots__ = ("at", "items_at")

    def __init__(self, at: Position) -> None:
        super().__init__()
        self.at = at
        self.items_at: list[Position] = []


Loc = tuple[int | str, ...]


class Document:
    """One file that was read: its data (None: there is none to speak of) and what YAML had against it."""

    def __init__(self, path: Path, shown: str, name: str) -> None:
        self.path = path
        self.shown = shown  # for problems
        self.name = name  # relative to the folder of the configuration; the same wherever it is loaded
        self.data: Mapping | None = None
        self.problems: list[Problem] = []
        self.comments: list[Comment] = []  # that speak to us
        self.templates: dict[Position, str] = {}  # of entries that were made of one, by where they stand
        self.spoilt: set[Position] = set()  # values that an error was told of when they were read

    def where(self, loc: Seq[int | str], *, at_key: bool = False) -> Position:
        """The position of the value at `loc`, or of the nearest thing around it."""
        value: Any = self.data
        at = self.data.at if self.data is not None else START
        for part in loc:
            if isinstance(value, Mapping) and isinstance(part, str) and part in value.values_at:
                at = value.keys_at[part] if at_key and part == loc[-1] else value.values_at[part]
                value = value[part]
            elif isinstance(value, Sequence) and isinstance(part, int) and part < len(value):
                at, value = value.items_at[part], value[part]
            else:
                break
        return at

    def problem(self, loc: Seq[int | str], what: str, remedy: str, *, at_key: bool = False) -> None:
        """Note an error at `loc`; its key is the last named part."""
        at = self.where(loc, at_key=at_key)
        self.problems.append(Problem(self.shown, *at, _key(loc), what, remedy))

    def warn(self, loc: Seq[int | str], what: str, remedy: str, lint: str = "") -> None:
        """Note a doubt at `loc`. `lint`: its ID, where it can be disabled."""
        at = self.where(loc)
        self.problems.append(Problem(self.shown, *at, _key(loc), what, remedy, "warning", lint))


def _key(loc: Seq[int | str]) -> str:
    return next((one_line(part) for part in reversed(loc) if isinstance(part, str)), "file")


def read(path: Path, shown: str, name: str) -> Document:
    """Read one file. Never raises for what the file is or holds; see `Document.problems`."""
    text = text_of(path, shown)
    if isinstance(text, str):
        return parsed(text, path, shown, name)
    document = Document(path, shown, name)
    document.problems.append(text)
    return document


def parsed(text: str, path: Path, shown: str, name: str) -> Document:
    """As `read`, of a text that is read already."""
    document = Document(path, shown, name)
    try:
        document.data = _Builder(document).build(text)
        document.comments = comments(text)
    except _Unusable as unusable:
        document.problems.append(unusable.problem(shown))
    return document


def text_of(path: Path, shown: str) -> str | Problem:
    """What a file holds, without a byte order mark, its lines ended by newlines; or why it cannot be used."""
    try:
        return _text(path)
    except _Unusable as unusable:
        return unusable.problem(shown)


class _Unusable(Exception):
    """The file means nothing."""

    def __init__(self, at: Position, key: str, what: str, remedy: str) -> None:
        super().__init__(what)
        self.at, self.key, self.what, self.remedy = at, key, what, remedy

    def problem(self, shown: str) -> Problem:
        return Problem(shown, *self.at, self.key, self.what, self.remedy)


def _text(path: Path) -> str:
    try:
        raw = _bytes(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        remedy = _remedy_for(error)
        if isinstance(error, FileNotFoundError) and os.path.islink(path):
            remedy = "correct the link: what it names is not there"
        raise _Unusable(START, "file", f"cannot be read ({reason})", remedy) from error
    if raw is None and path.is_dir():
        raise _Unusable(START, "file", "is a folder", f"name a YAML file, or {one_line(path.name)}/*.yml")
    if raw is None:
        raise _Unusable(START, "file", "is not a regular file", "name a YAML file")
    if len(raw) > MAX_BYTES:
        limit = MAX_BYTES // 1024 // 1024
        raise _Unusable(START, "file", f"is larger than {limit} MiB", "split it into several files")
    return _decoded(raw)


def _bytes(path: Path) -> bytes | None:
    """At most one byte more than is allowed; None for what is no regular file."""
    # O_NONBLOCK: a FIFO would hold the daemon for ever.
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 1)
    finally:
        os.close(handle)


def _remedy_for(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "create it or correct the path"
    if isinstance(error, PermissionError):
        return "let this user read it"
    return "name a YAML file"


def _decoded(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        at = _position(raw[: error.start].decode())
        raise _Unusable(at, "file", "is not UTF-8 text here", "save it as UTF-8") from error
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if bad := _UNPRINTABLE.search(text):
        code = f"U+{ord(bad.group()):04X}"
        at = _position(text[: bad.start()])
        raise _Unusable(at, "file", f"holds the control character {code}", "remove it")
    return text


def _position(before: str) -> Position:
    return Position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


class _Open:
    """A collection whose end has not been seen. `weight` counts its values with aliases expanded."""

    __slots__ = ("anchor", "container", "height", "key", "key_at", "weight")

    def __init__(self, container: Mapping | Sequence, anchor: str | None) -> None:
        self.container = container
        self.anchor = anchor
        self.key: str | None = None
        self.key_at = START
        self.weight = 1
        self.height = 1


class _Builder:
    """Builds the data from libyaml's events, without recursion: depth in the file costs no stack."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int, int] | None] = {}
        self._root: Any = NULL
        self._documents = 0
        self._last = START  # the end of the text

    def build(self, text: str) -> Mapping:
        self._last = _position(text)
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                self._take(event)
        except yaml.MarkedYAMLError as error:
            raise _syntax(error, text) from error
        except yaml.YAMLError as error:
            raise _Unusable(START, "yaml", one_line(str(error)), "correct the YAML") from error
        if self._root is NULL:
            raise _Unusable(START, "version", "the file is empty", "begin with `version: rollbackd/v1`")
        if not isinstance(self._root, Mapping):
            raise _Unusable(
                START, "file", "expected `key: value` lines", "begin with `version: rollbackd/v1`"
            )
        return self._root

    def _at(self, event: Any) -> Position:
        """For libyaml, what is left empty at the end may stand on the line after it."""
        return min(Position(event.start_mark.line + 1, event.start_mark.column + 1), self._last)

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._start(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                at = self._at(event)
                raise _Unusable(at, "yaml", "a second document begins here", "use one file for each")

    def _scalar(self, event: Any) -> None:
        at = self._at(event)
        frame = self._open[-1] if self._open else None
        self._refuse_tag(event)
        if "\0" in event.value or _SURROGATE.search(event.value):
            raise _Unusable(at, "yaml", "a text holds what is not a character", "remove the escape")
        if frame is not None and isinstance(frame.container, Mapping) and frame.key is None:
            frame.key, frame.key_at = event.value, at
            if event.anchor:
                self._anchors[event.anchor] = (event.value, 1, 0)
            return
        value = event.value if event.style else self._plain(event.value, at)
        if event.anchor:
            self._anchors[event.anchor] = (value, 1, 0)
        self._place(value, at, 1, 0)

    def _plain(self, text: str, at: Position) -> object:
        if text in _WORDS:
            return _WORDS[text]
        integer = _INTEGER.match(text)
        if not integer and not _FRACTION.match(text):
            return text
        if len(text) > MAX_NUMBER:
            self._error(
                at, f"the number has more than {MAX_NUMBER} digits", "write a smaller one, or quote it"
            )
            return text
        return int(text) if integer else float(text)

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None:
            self._error(self._at(event), f"the tag {one_line(event.tag)} has no meaning here", "remove it")

    def _start(self, event: Any) -> None:
        at = self._at(event)
        self._refuse_tag(event)
        if len(self._open) >= MAX_DEPTH:
            raise _Unusable(at, "yaml", f"nested deeper than {MAX_DEPTH} levels", "write it flatter")
        frame = self._open[-1] if self._open else None
        if frame is not None and isinstance(frame.container, Mapping) and frame.key is None:
            remedy = "put text with brackets in quotes, and render templates first"
            raise _Unusable(at, "yaml", "a key must be plain text", remedy)
        if event.anchor:
            self._anchors[event.anchor] = None
        mapping = isinstance(event, yaml.MappingStartEvent)
        self._open.append(_Open(Mapping(at) if mapping else Sequence(at), event.anchor))

    def _end(self) -> None:
        frame = self._open.pop()
        if frame.anchor:
            self._anchors[frame.anchor] = (frame.container, frame.weight, frame.height)
        self._place(frame.container, frame.container.at, frame.weight, frame.height)

    def _alias(self, event: Any) -> None:
        at = self._at(event)
        known = self._anchors.get(event.anchor, ())
        name = one_line(event.anchor)
        if known is None:
            raise _Unusable(at, "yaml", f"the alias *{name} lies inside what it stands for", "write it out")
        if not known:
            raise _Unusable(
                at, "yaml", f"no anchor &{name} before this alias", "define it, or quote the text"
            )
        value, weight, height = known
        frame = self._open[-1] if self._open else None
        if frame is not None and isinstance(frame.container, Mapping) and frame.key is None:
            raise _Unusable(at, "yaml", "an alias cannot be a key", "write the key out")
        if len(self._open) + height > MAX_DEPTH:
            raise _Unusable(at, "yaml", f"nested deeper than {MAX_DEPTH} levels", "write it flatter")
        self._place(value, at, weight, height)

    def _place(self, value: Any, at: Position, weight: int, height: int) -> None:
        if not self._open:
            self._root = value
            return
        frame = self._open[-1]
        frame.weight += weight
        frame.height = max(frame.height, height + 1)
        if frame.weight > MAX_VALUES:
            raise _Unusable(
                at, "yaml", f"holds more than {MAX_VALUES} values", "split the file; avoid aliases"
            )
        container = frame.container
        if isinstance(container, Sequence):
            container.append(value)
            container.items_at.append(at)
            return
        key, frame.key = frame.key, None
        if key is not None:
            self._enter(container, key, frame.key_at, value, at)

    def _enter(self, container: Mapping, key: str, key_at: Position, value: Any, at: Position) -> None:
        if key in container:
            first = container.keys_at[key].line
            self._error(key_at, f"appears twice (first on line {first})", "keep one", one_line(key))
        elif key == "<<":
            self._error(key_at, "merge keys are YAML 1.1", "write the keys out", "<<")
        else:
            container[key] = value
            container.keys_at[key] = key_at
            container.values_at[key] = at

    def _error(self, at: Position, what: str, remedy: str, key: str | None = None) -> None:
        if key is None:
            frame = self._open[-1] if self._open else None
            key = one_line(frame.key) if frame is not None and frame.key else "yaml"
        self._document.spoilt.add(at)
        self._document.problems.append(Problem(self._document.shown, *at, key, what, remedy))


_LOOKALIKES = "\u00a0\u2013\u2014\u2018\u2019\u201c\u201d\uff0c\uff1a"
_CONFLICT = re.compile(r"^(<{7} |={7}$|>{7} )", re.MULTILINE)
_ON_THE_LINE = (
    (re.compile(r"\{\{"), "render the template first"),
    (re.compile(r"^\s*\t", re.MULTILINE), "indent with spaces, not with tabs"),
    (re.compile(r"^\s*-\w", re.MULTILINE), "put a space after the dash"),
    (re.compile(r"^\s*[\w-]+:[^\s/]", re.MULTILINE), "put a space after the colon"),
)
"""What is often meant by a line that YAML cannot read, or by the one before."""

_REMEDIES = (
    ("scanning a block scalar", "quote text that begins with > or |"),
    ("unknown escape", "use single quotes, or write \\\\ for a backslash"),
    ("<document start>", "nothing may follow here: correct what stands before"),
    ("cannot start any token", "put the text in quotes"),
    ("mapping values are not allowed", "quote text that holds `: `, or correct the indentation"),
    ("could not find expected ':'", "end the key with a colon, or indent the text below its key"),
    ("did not find expected ',' or", "close the bracket"),
    ("did not find expected key", "correct the indentation, or double the quotes inside quotes"),
    ("unexpected end of stream", "close the quotes"),
    ("expected", "correct the indentation or the brackets"),
)


def _remedy_at(line: int, text: str, said: str) -> str:
    around = "\n".join(text.split("\n")[max(line - 2, 0) : line])
    if _CONFLICT.search(text):
        return "resolve the merge conflict"
    odd = next((char for char in around if char in _LOOKALIKES), "")
    if odd:
        return f"write plain ASCII in place of U+{ord(odd):04X}"
    meant = (remedy for sign, remedy in _ON_THE_LINE if sign.search(around))
    known = (remedy for sign, remedy in _REMEDIES if sign in said)
    return next(meant, None) or next(known, "correct the YAML here")


def _syntax(error: yaml.MarkedYAMLError, text: str) -> _Unusable:
    mark = error.problem_mark or error.context_mark
    lines = text.count("\n") + 1
    at = Position(min(mark.line + 1, lines), mark.column + 1) if mark else START
    if mark and mark.line + 1 > lines:
        at = Position(lines, 1)
    said = one_line(", ".join(part for part in (error.context, error.problem) if part), 160)
    remedy = _remedy_at(at.line, text, said)
    return _Unusable(at, "yaml", said or "not valid YAML", remedy)
