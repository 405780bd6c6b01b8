"""What one value may say: texts, names, numbers, durations, limits, expressions, addresses.

Each type parses the plain value of the YAML and refuses it in the project's words: what; remedy.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlsplit

from pydantic_core import PydanticCustomError, core_schema

from rollbackd.config.problem import one_line
from rollbackd.config.promql import MAX_LENGTH, analyse
from rollbackd.config.yaml_source import NULL, Null
from rollbackd.core.model import SPAN
from rollbackd.core.notation import UNITS, parse_duration, parse_limit, span

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

    from rollbackd.core.model import Limit, Ms, Operator

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")

REFUSED = "refused"
"""The type of this module's errors; `ctx` holds `what` and `remedy`."""


def refuse(what: str, remedy: str) -> PydanticCustomError:
    return PydanticCustomError(REFUSED, "{what}; {remedy}", {"what": what, "remedy": remedy})


def shown(value: object) -> str:
    """A value as an error may show it."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{one_line(value)}"'
        case int() | float():
            return one_line(str(value))
        case Null():
            return "nothing"
        case list():
            return "a list"
        case dict():
            return "a mapping"
    return "something else"


class Parsed:
    """A type that is read by `parse`: the plain value → the meant value, or `refuse(…)` raised."""

    def parse(self, value: object) -> Any:
        raise NotImplementedError

    def words(self) -> str:
        """What may be written, with its limits, for people."""
        return "text"

    def schema(self) -> JsonSchemaValue:
        """What may be written, as JSON Schema: never less than `parse` takes. Here: anything."""
        return {}

    def __get_pydantic_json_schema__(
        self, core: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return self.schema()

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)


def quoted(value: object) -> str:
    """What to do about a value that should have been text."""
    if isinstance(value, int | float):
        return f'write it in quotes: "{shown(value)}"'
    return "write text"


@dataclass(frozen=True)
class Text(Parsed):
    """Text without control characters; on one line unless `lines`. `secret` values are never shown."""

    most: int = 200
    least: int = 1
    lines: bool = False
    secret: bool = False

    def parse(self, value: object) -> str:
        if not isinstance(value, str):
            secret = self.secret and isinstance(value, int | float)
            what = "expected text" if secret else f"expected text, got {shown(value)}"
            raise refuse(what, "write it in quotes" if secret else quoted(value))
        if not self.least <= len(value) <= self.most:
            if not value:
                raise refuse("is empty", "write something")
            raise refuse(f"has {len(value)} characters, more than {self.most}", "shorten it")
        if _CONTROL.search(value):
            raise refuse("holds a control character", "remove it")
        if not self.lines and "\n" in value:
            raise refuse("holds a line break", "write it on one line")
        return value

    def words(self) -> str:
        return f"text{', also of several lines' if self.lines else ''}, up to {self.most} characters"

    def schema(self) -> JsonSchemaValue:
        found: JsonSchemaValue = {"type": "string", "minLength": self.least, "maxLength": self.most}
        return found if self.lines else {**found, "pattern": r"^[^\n]*$"}


@dataclass(frozen=True)
class Matching(Text):
    """Text of a given form."""

    form: str = ".*"
    says: str = ""
    what: str = ""  # one word for it

    def parse(self, value: object) -> str:
        text = super().parse(value)
        if not re.fullmatch(self.form, text, re.ASCII):
            raise refuse(f"cannot be {shown(text)}", f"use {self.says}")
        return text

    def words(self) -> str:
        return self.what or f"text: {self.says}"

    def schema(self) -> JsonSchemaValue:
        return {**super().schema(), "pattern": f"^(?:{self.form})$"}


NAME = Matching(
    most=100,
    form=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    says="letters, digits, `-`, `_` and `.`, a letter or digit first",
    what="name",
)
LABEL = Matching(
    form=r"(?!__)[A-Za-z_][A-Za-z0-9_]*",
    says="letters, digits and `_`, no digit first, not `__` first",
    what="label",
)
VARIABLE = Matching(
    form=r"(?!ROLLBACK_)[A-Za-z_][A-Za-z0-9_]*",
    says="letters, digits and `_`, no digit first; `ROLLBACK_…` is the daemon's",
    what="variable",
)
HEADER = Matching(form=r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", says="the name of an HTTP header", what="header")
JSON_PATH = Matching(
    form=r"[^.\s]+(\.[^.\s]+)*", says="field names joined by dots", what="fields joined by dots"
)


@dataclass(frozen=True)
class Whole(Parsed):
    """A whole number within bounds, both included."""

    low: int
    high: int

    def parse(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            remedy = _plain(value) or f"write a number from {self.low} to {self.high}"
            raise refuse(f"expected a whole number, got {shown(value)}", remedy)
        _bound(value, self.low, self.high)
        return value

    def words(self) -> str:
        return f"whole number, {self.low} to {self.high}"

    def schema(self) -> JsonSchemaValue:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Number(Parsed):
    """A number within bounds, both included."""

    low: float
    high: float

    def parse(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            remedy = _plain(value) or "write a number such as 5 or 0.5"
            raise refuse(f"expected a number, got {shown(value)}", remedy)
        _bound(value, self.low, self.high)
        return float(value)

    def words(self) -> str:
        return (
            f"number, {self.low:g} or more" if self.high >= 1e15 else f"number, {self.low:g} to {self.high:g}"
        )

    def schema(self) -> JsonSchemaValue:
        return {"type": "number", "minimum": self.low, "maximum": self.high}


def _bound(value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        bounds = f"{low:g} or more" if high >= 1e15 else f"a number from {low:g} to {high:g}"
        raise refuse(f"is {value}", f"write {bounds}")


def _plain(value: object) -> str:
    """How a text that looks like a number is written as one; empty if it does not."""
    if isinstance(value, float) and value == int(value):
        return f"write {int(value)}"
    if not isinstance(value, str) or len(value) > 18:
        return ""
    if re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", value, re.ASCII):
        return "remove the quotes"
    if re.fullmatch(r"[-+]?[0-9_]*\.?[0-9]+([eE][-+]?[0-9]{1,2})?", value, re.ASCII):
        number = float(value)
        return f"write {int(number) if number == int(number) else number}"
    return ""


_DURATION = r"^(?=\d)(\d{1,9}w)?(\d{1,9}d)?(\d{1,9}h)?(\d{1,9}m(?!s))?(\d{1,9}s)?(\d{1,9}ms)?$"
_COMPARISON = r"^\s*(>=|<=|==|!=|>|<)\s*[-+]?\d{1,18}(\.\d{1,18})?([eE][-+]?\d{1,3})?\s*$"
"""`parse_duration` and `parse_limit`, as JSON Schema can say them."""


@dataclass(frozen=True)
class Duration(Parsed):
    """`15s`, `5m`, `1h30m`, `500ms`, within bounds, both included; in ms."""

    low: str = "0s"
    high: str = "30d"

    def parse(self, value: object) -> Ms:
        try:
            duration = parse_duration(value if isinstance(value, str) else "")
        except ValueError:
            raise refuse(f"expected a duration, got {shown(value)}", self._remedy(value)) from None
        if not self._within(duration):
            raise refuse(f"is {span(duration)}", f"write a duration from {self.low} to {self.high}")
        return duration

    def _within(self, duration: Ms) -> bool:
        return parse_duration(self.low) <= duration <= parse_duration(self.high)

    def _remedy(self, value: object) -> str:
        meant = _duration_meant(value)
        if meant is None:
            return "write it like 15s, 5m, 1h30m or 500ms"
        return f"write {span(meant)}" if self._within(meant) else f"write one from {self.low} to {self.high}"

    def words(self) -> str:
        return f"duration, {self.low} to {self.high}"

    def schema(self) -> JsonSchemaValue:
        return {"type": "string", "pattern": _DURATION, "examples": [self.low, self.high]}


_SPELT = re.compile(
    r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*(w|d|h|m|s|ms)"
    r"(?:(?<=w)eeks?|(?<=d)ays?|(?<=h)(?:ou)?rs?|(?<=m)in(?:ute)?s?|(?<=s)ec(?:ond)?s?)?[\s,]*",
    re.ASCII | re.IGNORECASE,
)


def _duration_meant(value: object) -> Ms | None:
    """What `15`, `15 S`, `1.5m`, `90 seconds` or `30s1m` was meant to be."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value)
    if text.isascii() and text.isdigit():
        text += "s"
    total, at = 0.0, 0
    while at < len(text):
        part = _SPELT.match(text, at)
        if part is None:
            return None
        total += float(part[1]) * UNITS[part[2].lower()]
        at = part.end()
    return round(total) if text else None


_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
    r"\s?([Zz]|[-+][0-9]{2}:?[0-9]{2})?",
    re.ASCII,
)


class Moment(Parsed):
    """`2026-11-01T10:00:00Z`: a date, a time and a zone; in ms of UTC."""

    def parse(self, value: object) -> Ms:
        text = value if isinstance(value, str) else ""
        found = _MOMENT.fullmatch(text)
        if found is None:
            raise refuse(f"expected a moment, got {shown(value)}", "write it like 2026-11-01T10:00:00Z")
        if found[1] is None:
            remedy = "end it with Z for UTC, or an offset such as +01:00"
            raise refuse(f"{shown(value)} has no time zone", remedy)
        try:
            return round(datetime.fromisoformat(text.upper()).timestamp() * 1000)
        except (ValueError, OverflowError) as error:
            raise refuse(f"there is no {shown(value)} ({error})", "write a moment that there was") from None


_SIGNS = {"≥": ">=", "≤": "<=", "≠": "!=", "=>": ">=", "=<": "<=", "=": "==", "<>": "!="}
_FLIPPED = {">": "<", ">=": "<=", "<": ">", "<=": ">="}
_NEARLY = re.compile(r"([<>=!≥≤≠]{1,2})\s*([-+]?[0-9]+(?:[.,][0-9]+)?)\s*(%?)", re.ASCII)
_BACKWARDS = re.compile(r"([-+]?[0-9]+(?:[.,][0-9]+)?)(%?)\s*([<>]=?)", re.ASCII)


class AutoDuration(Duration):
    """A duration, or `auto`, which is None."""

    def parse(self, value: object) -> Ms | None:  # type: ignore[override]
        if value == "auto":
            return None
        try:
            return super().parse(value)
        except PydanticCustomError as error:
            said = error.context or {}
            raise refuse(said["what"], f"{said['remedy']}, or auto") from None

    def words(self) -> str:
        return f"{super().words()}, or `auto`"

    def schema(self) -> JsonSchemaValue:
        return {"anyOf": [{"const": "auto"}, super().schema()]}


class Comparison(Parsed):
    """`> 0.01`: an operator and a number."""

    def parse(self, value: object) -> Limit:
        try:
            return parse_limit(value if isinstance(value, str) else "")
        except ValueError:
            raise refuse(f"expected a comparison, got {shown(value)}", _compared(value)) from None

    def words(self) -> str:
        return "comparison"

    def schema(self) -> JsonSchemaValue:
        return {"type": "string", "pattern": _COMPARISON, "examples": ["> 0.01"]}


class Relative(NamedTuple):
    """A limit whose number comes out of what was captured: `<= baseline * 1.1`."""

    op: Operator
    times: float = 1.0
    plus: float = 0.0


_RELATIVE = re.compile(
    r"(?P<op>>=|<=|==|!=|>|<) *baseline *(?:\* *(?P<times>[0-9]{1,9}(?:\.[0-9]{1,9})?) *)?"
    r"(?:(?P<sign>[-+]) *(?P<plus>[0-9]{1,9}(?:\.[0-9]{1,9})?) *)?",
    re.ASCII,
)


class RelativeComparison(Comparison):
    """`> 0.01`, or `<= baseline * 1.1`."""

    def parse(self, value: object) -> Limit | Relative:  # type: ignore[override]
        if not isinstance(value, str) or "baseline" not in value:
            return super().parse(value)
        found = _RELATIVE.fullmatch(value.strip())
        if found is None:
            remedy = 'write "<= baseline * 1.1", "<= baseline + 5" or "== baseline"'
            raise refuse(f"expected a comparison, got {shown(value)}", remedy)
        plus = float(found["plus"] or 0) * (-1 if found["sign"] == "-" else 1)
        return Relative(cast("Operator", found["op"]), float(found["times"] or 1), plus)

    def schema(self) -> JsonSchemaValue:
        relative = (
            r"^\s*(>=|<=|==|!=|>|<) *baseline *(\* *\d{1,9}(\.\d{1,9})? *)?([-+] *\d{1,9}(\.\d{1,9})? *)?$"
        )
        return {
            "anyOf": [super().schema(), {"type": "string", "pattern": relative}],
            "examples": ["> 0.01", "<= baseline * 1.1"],
        }


def _compared(value: object) -> str:
    """What to write in place of what is no comparison."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'say when: "> {shown(value)}" or "< {shown(value)}", in quotes'
    text = value.strip() if isinstance(value, str) and len(value) < 40 else ""
    if found := _NEARLY.fullmatch(text):
        sign, number, percent = found.groups()
        sign = _SIGNS.get(sign, sign)
    elif found := _BACKWARDS.fullmatch(text):
        number, percent, sign = found.groups()
        sign = _FLIPPED[sign]
    else:
        return 'write one of > >= < <= == != and a number, in quotes: "> 0.01"'
    meant = float(number.replace(",", ".")) / (100 if percent else 1)
    return f'write "{sign} {meant:g}"'


class Promql(Parsed):
    """A PromQL expression that yields a vector or a scalar."""

    def parse(self, value: object) -> str:
        if not isinstance(value, str):
            raise refuse(f"expected a PromQL expression, got {shown(value)}", "write it in quotes, as text")
        if not value.strip():
            raise refuse("is empty", "write a PromQL expression")
        try:
            expression = analyse(value)
        except ValueError as error:
            if str(error) == "invalid promql query":
                remedy = "look for a missing operator, comma or bracket; Prometheus shows the place"
                raise refuse("is not valid PromQL", remedy) from None
            raise refuse(f"is not valid PromQL ({error})", "correct the expression") from None
        if expression.kind not in ("vector", "scalar"):
            what = "a range vector" if expression.kind == "matrix" else "a string"
            raise refuse(f"yields {what}", "write an expression that yields a vector or a scalar")
        return value

    def words(self) -> str:
        return "PromQL"

    def schema(self) -> JsonSchemaValue:
        return {"type": "string", "pattern": r"\S", "maxLength": MAX_LENGTH}


@dataclass(frozen=True)
class SpannedPromql(Promql):
    """The same, with `$span` wherever a range may stand."""

    def parse(self, value: object) -> str:
        if isinstance(value, str):
            super().parse(value.replace(SPAN, "60s"))
            return value
        return super().parse(value)


@dataclass(frozen=True)
class Url(Parsed):
    """An http or https address. Never shown: chat services put tokens into theirs."""

    with_credentials: bool = False

    def parse(self, value: object) -> str:
        if not isinstance(value, str) or not _is_url(value):
            bare = isinstance(value, str) and "://" not in value
            remedy = "begin it with http:// or https://" if bare else "write it like http://127.0.0.1:9090"
            raise refuse("expected an http or https URL", remedy)
        if "@" in urlsplit(value).netloc:
            raise refuse("holds a user or a password", "take it out")
        return value

    def words(self) -> str:
        return "http or https URL"

    def schema(self) -> JsonSchemaValue:
        return {"type": "string", "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://\S+$", "maxLength": 2000}


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    visible = all(char.isprintable() and not char.isspace() for char in text)
    sound = parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0
    return visible and sound and len(text) <= 2000


class Listen(Parsed):
    """`HOST:PORT` on loopback → (host, port). Port 0 takes a free one."""

    def parse(self, value: object) -> tuple[str, int]:
        match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]*):([0-9]{1,5})", str(value), re.ASCII)
        if not isinstance(value, str) or match is None or int(match[2]) > 65535:
            raise refuse(f"expected HOST:PORT, got {shown(value)}", "write 127.0.0.1:9797")
        host = match[1].strip("[]")
        if not _loopback(host):
            where = shown(host) if host else "every address"
            what = f"{where} is not loopback, and there is no sign-in yet"
            raise refuse(what, "write 127.0.0.1:9797, and reach it through a proxy that has sign-in")
        return host, int(match[2])

    def words(self) -> str:
        return "HOST:PORT"

    def schema(self) -> JsonSchemaValue:
        return {
            "type": "string",
            "pattern": r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]*):[0-9]{1,5}$",
            "examples": ["127.0.0.1:9797"],
        }


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Argv(Parsed):
    """A program and its arguments as a list; with `shell: true` one text. → a tuple"""

    def parse(self, value: object) -> tuple[str, ...]:
        if isinstance(value, str) and value.strip():
            return (value,)
        if value == []:
            raise refuse("is empty", 'write ["./scripts/x.sh", "argument"]')
        if not isinstance(value, list):
            raise refuse(f"expected a list, got {shown(value)}", 'write ["./scripts/x.sh", "argument"]')
        for number, part in enumerate(value, 1):
            if not isinstance(part, str):
                raise refuse(f"item {number} is {shown(part)}, expected text", quoted(part))
        if len(value) > 1000 or sum(map(len, value)) > 100_000:
            raise refuse("is too long", "put it into a script")
        if not value[0].strip():
            raise refuse("names no program", "write the program first")
        return tuple(value)

    def words(self) -> str:
        return "list: a program and its arguments"

    def schema(self) -> JsonSchemaValue:
        argv = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1000}
        return {"anyOf": [argv, {"type": "string", "pattern": r"\S"}]}


class Json(Parsed):
    """A JSON value that is compared: text, number, true, false or null."""

    def parse(self, value: object) -> str | int | float | bool | None:
        if isinstance(value, str | int | float):
            return value
        if value is NULL:
            return None
        raise refuse(f"expected a single value, got {shown(value)}", "name the field with dots: status.state")

    def words(self) -> str:
        return "text, number, true, false or null"

    def schema(self) -> JsonSchemaValue:
        return {"type": ["string", "number", "boolean", "null"]}
