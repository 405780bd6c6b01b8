"""What `--sweep` says: `windows=2,4,8`, `breach=0.005:0.05:10`. Its values are held to the files' limits."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_args

from msgspec import Struct
from msgspec.structs import replace
from pydantic import TypeAdapter, ValidationError

from rollbackd.config.models.triggers import RatioModel, TrafficModel, TriggerModel
from rollbackd.config.models.types import REFUSED
from rollbackd.config.validate import nearest
from rollbackd.core.notation import parse_duration, span, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rollbackd.config.models.base import Model
    from rollbackd.core.model import Condition, Trigger

Key = Literal["windows", "for", "breach", "min_total", "at_least", "no_data", "cooldown"]
"""What can be varied without asking Prometheus anything else."""

MOST_VALUES = 1_000


class Axis(Struct, frozen=True):
    """One key and its values, as people write them."""

    key: Key
    values: tuple[str, ...]


class Refused(Exception):
    """A sweep that cannot be made: one line that says what is wrong, and the remedy."""


_NUMBER = re.compile(r"[-+]?[0-9]{1,15}(\.[0-9]{1,15})?([eE][-+]?[0-9]{1,2})?\Z")


def _number(text: str) -> float:
    if not _NUMBER.match(text):
        raise ValueError("not a number")
    return float(text)


def _plain_number(text: str) -> Any:
    if not _NUMBER.match(text):
        return text
    found = float(text)
    return int(found) if found.is_integer() else found


def _shown(number: float) -> str:
    """Without what a division leaves behind: 0.015, not 0.015000000000000001."""
    return f"{number:.12g}"


class _Form(NamedTuple):
    """How a value is written. `plain`: the text as YAML has it; `number` and `back`: of a range's ends, and
    of what lies between; None: there are no ranges."""

    plain: Callable[[str], Any]
    number: Callable[[str], float] | None
    back: Callable[[float], str]
    show: Callable[[Any], str]


_NUMBERS = _Form(_plain_number, _number, _shown, _shown)
_SPANS = _Form(str, parse_duration, lambda duration: span(round(duration)), span)
_LIMITS = _Form(str, _number, _shown, str)
_WORDS = _Form(str, None, str, str)


class _Kind(NamedTuple):
    """A key: the model that bounds it, what a trigger has, and a trigger that has another."""

    form: _Form
    model: type[Model]
    field: str
    now: Callable[[Trigger], Any]
    put: Callable[[Trigger, Any], Trigger]


def _put_condition(trigger: Trigger, **changes: Any) -> Trigger:
    return replace(trigger, condition=replace(trigger.condition, **changes))


def _put_least(trigger: Trigger, least: float) -> Trigger:
    return _put_condition(trigger, at_least=least)


def _least(trigger: Trigger) -> float:
    return trigger.condition.at_least


_KINDS: dict[Key, _Kind] = {
    "windows": _Kind(
        _NUMBERS, TriggerModel, "windows", lambda t: t.windows, lambda t, count: replace(t, windows=count)
    ),
    "for": _Kind(
        _SPANS,
        TriggerModel,
        "for_",
        lambda t: t.windows * t.interval,
        lambda t, duration: replace(t, windows=duration // t.interval),
    ),
    "breach": _Kind(
        _LIMITS,
        TriggerModel,
        "breach",
        lambda t: t.condition.breach,
        lambda t, limit: _put_condition(t, breach=limit),
    ),
    "min_total": _Kind(_NUMBERS, RatioModel, "min_total", _least, _put_least),
    "at_least": _Kind(_NUMBERS, TrafficModel, "at_least", _least, _put_least),
    "no_data": _Kind(
        _WORDS, TriggerModel, "no_data", lambda t: t.no_data, lambda t, policy: replace(t, no_data=policy)
    ),
    "cooldown": _Kind(
        _SPANS, TriggerModel, "cooldown", lambda t: t.cooldown, lambda t, pause: replace(t, cooldown=pause)
    ),
}


def parse_axes(texts: Sequence[str], trigger: Trigger) -> tuple[Axis, ...]:
    """`KEY=A,B,C` or `KEY=FROM:TO:COUNT`, each key once. Raises `Refused`."""
    axes = [_axis(text, trigger) for text in texts]
    seen: dict[str, Key] = {}
    for axis in axes:
        means = {"for": "windows", "min_total": "at_least"}.get(axis.key, axis.key)
        if means in seen:
            remedy = "name it once" if seen[means] == axis.key else "vary one of them"
            raise _refused(axis.key, f"stands beside `{seen[means]}`", remedy)
        seen[means] = axis.key
    return tuple(axes)


def settings(axes: Sequence[Axis]) -> Iterator[tuple[str, ...]]:
    """Each setting, one value an axis; the last axis varies fastest."""
    return product(*(axis.values for axis in axes))


def cells(axes: Sequence[Axis]) -> int:
    return prod(len(axis.values) for axis in axes)


def with_setting(trigger: Trigger, axes: Sequence[Axis], setting: Sequence[str]) -> Trigger:
    for axis, text in zip(axes, setting, strict=True):
        trigger = _KINDS[axis.key].put(trigger, _read(axis.key, text, trigger))
    return trigger


def setting_of(trigger: Trigger, axes: Sequence[Axis]) -> tuple[str, ...]:
    """What the trigger itself says, as a setting."""
    return tuple(_KINDS[axis.key].form.show(_KINDS[axis.key].now(trigger)) for axis in axes)


def _axis(text: str, trigger: Trigger) -> Axis:
    name, equals, listed = text.partition("=")
    key = next((known for known in get_args(Key) if known == name.strip()), None)
    if key is None:
        close = nearest(name, get_args(Key))
        remedy = f"did you mean `{close}`?" if close else f"vary one of {', '.join(get_args(Key))}"
        raise _refused(name, "cannot be varied", remedy)
    if not equals or not listed.strip():
        raise _refused(key, "has no values", f"write {key}=A,B,C or {key}=FROM:TO:COUNT")
    _fits(key, trigger)
    texts = _range(key, listed) if ":" in listed else [each.strip() for each in listed.split(",")]
    if len(texts) > MOST_VALUES:
        raise _refused(key, f"has {len(texts)} values, more than {MOST_VALUES}", "write fewer")
    values = [_KINDS[key].form.show(_read(key, each, trigger)) for each in texts]
    twice = next((value for at, value in enumerate(values) if value in values[:at]), None)
    if twice is not None:
        raise _refused(key, f"{twice} stands here twice", "keep one")
    return Axis(key, tuple(values))


def _fits(key: Key, trigger: Trigger) -> None:
    condition: Condition = trigger.condition
    if key in ("breach", "min_total", "at_least") and condition.how != "one":
        raise _refused(
            key, f"{trigger.name} has several conditions", "vary windows, for, no_data or cooldown"
        )
    if key == "min_total" and condition.total is None:
        raise _refused(key, f"{trigger.name} has no `ratio`", "leave it out")
    if key == "at_least" and (condition.traffic is None or condition.total is not None):
        remedy = "leave it out" if condition.total is None else "vary min_total"
        raise _refused(key, f"{trigger.name} has no `traffic`", remedy)


def _range(key: Key, listed: str) -> list[str]:
    form, parts = _KINDS[key].form, listed.split(":")
    if form.number is None:
        raise _refused(key, "its values are words", f"write {key}=A,B")
    try:
        first, last = map(form.number, parts[:2])
        count = int(parts[2] if len(parts) == 3 else "")
    except ValueError:
        example = "1m:10m:4" if form is _SPANS else "0.005:0.05:10"
        remedy = f"write {key}=FROM:TO:COUNT, such as {example}"
        raise _refused(key, f"{visible(listed, 60)} is no range", remedy) from None
    if not 2 <= count <= MOST_VALUES:
        raise _refused(key, f"a range of {count}", f"write a count from 2 to {MOST_VALUES}")
    return [form.back(first + (last - first) * at / (count - 1)) for at in range(count)]


def _read(key: Key, text: str, trigger: Trigger) -> Any:
    """The value, as the files would have it."""
    kind = _KINDS[key]
    plain = kind.form.plain(text)
    if key == "breach" and _NUMBER.match(text):
        plain = f"{trigger.condition.breach.op} {text}"
    try:
        value = _adapter(kind.model, kind.field).validate_python(plain)
    except ValidationError as error:
        raise _refused(key, *_said(error)) from None
    if key == "for" and value % trigger.interval:
        what = f"{span(value)} is not a multiple of the interval ({span(trigger.interval)})"
        raise _refused(key, what, "write one that is")
    return value


@lru_cache(maxsize=16)
def _adapter(model: type[Model], field: str) -> TypeAdapter[Any]:
    info = model.model_fields[field]
    meant: Any = info.annotation
    for each in info.metadata:
        meant = Annotated[meant, each]
    return TypeAdapter(meant)


def _said(error: ValidationError) -> tuple[str, str]:
    first = error.errors(include_url=False)[0]
    context = first.get("ctx", {})
    if first["type"] == REFUSED:
        return context["what"], context["remedy"]
    shown = visible(str(first["input"]), 60)
    return f"expected {context.get('expected', 'another value')}, got {shown}", "write one of them"


def _refused(key: str, what: str, remedy: str) -> Refused:
    return Refused(f"--sweep {visible(key, 40)}: {what}; {remedy}")
