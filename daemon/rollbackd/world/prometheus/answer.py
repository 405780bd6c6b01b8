"""From the bytes of Prometheus' HTTP API to `Series` (rules W2, W3; faults 19, 21–24, 27).

The envelope is read first with its series left as they are; these are then read in portions, and the
loop goes on between two of them: ten thousand series cost about 5 ms.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from math import isnan
from operator import attrgetter
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from rollbackd.core.model import SEPARATOR, Ms, subject_key
from rollbackd.core.notation import numbers
from rollbackd.core.signals import Series, Unreachable, Unusable
from rollbackd.world.client import Answer, one_line, redirect

EVERYONE: Final = "*"
"""Keys the coverage of a selector that lacks the `per` labels."""

LONGEST_VALUE: Final = 64
"""Characters of a sample's value; Prometheus writes at most 24."""

LONGEST_LABEL: Final = 1_024
"""Characters of a label's value that names a subject."""

_PORTION: Final = 2_000

_AT_ONCE: Final = 1 << 20
"""Bytes of series that are decoded in one go: 2 ms. Of more, each portion is decoded by itself."""

_IN_NUMBERS: Final = b"0123456789+-.eEInfNa"

LATEST: Final = 1e12
"""Seconds: no time is as late."""

_AGAIN: Final = frozenset({"timeout", "canceled", "unavailable"})
"""Error types of Prometheus' API that are worth asking again, whatever their status."""


class Shape(Struct, frozen=True):
    """How a query's answer is to be read. `ends`: of the windows asked, in their order."""

    ends: tuple[Ms, ...]
    per: tuple[str, ...]
    coverage: bool = False
    ignore_warnings: bool = False


class Point(Struct, array_like=True, gc=False):
    at: float  # seconds
    value: Annotated[str, Meta(max_length=LONGEST_VALUE)]


class Data(Struct):
    resultType: str  # the API's name
    result: Raw


class _Envelope(Struct):
    status: str
    data: Data | None = None
    errorType: str = ""  # the API's name
    error: str = ""
    warnings: tuple[str, ...] = ()


class Failure(Struct, frozen=True):
    """An answer that is none. `kind`: the API's error type, where it speaks the API; `again`: whether it is
    worth asking again."""

    kind: str
    reason: str
    again: bool


class Wrong(Exception):
    """The answer is unusable; the message says why."""


_HISTOGRAMS: Final = "the expression yields native histograms; use histogram_quantile() or the like"

_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_RAWS: Final = msgspec.json.Decoder(list[Raw])
_POINT: Final = msgspec.json.Decoder(Point)


async def read(answer: Answer, shape: Shape) -> Series | Unreachable | Unusable:
    """The answer to one query. Never raises."""
    try:
        data = opened(answer, ignore_warnings=shape.ignore_warnings)
        return data if isinstance(data, Unreachable) else Series(await _windows(data, shape))
    except Exception as error:
        return misread(error)


def misread(error: Exception) -> Unreachable | Unusable:
    """What an answer is worth whose reading raised this."""
    match error:
        case Wrong():
            return Unusable(str(error))
        case msgspec.DecodeError() if "truncated" in str(error):
            return Unreachable("the answer was cut off")
        case msgspec.DecodeError():
            why = one_line(str(error))
        case UnicodeDecodeError():
            why = "not UTF-8"
        case RecursionError():
            why = "nested too deeply"
        case _:
            why = one_line(repr(error))
    return Unusable(f"not an answer of Prometheus' API: {why}")


def opened(answer: Answer, *, ignore_warnings: bool) -> Data | Unreachable:
    """What an answer holds, its series not read yet. Raises what `misread` takes."""
    if target := redirect(answer):
        raise Wrong(f"redirected to {target}, which is not followed; put the final address into `urls`")
    if answer.status == 200:
        envelope = _ENVELOPE.decode(answer.body)
        if not ignore_warnings and (warned := _warnings(envelope)):
            raise Wrong(f"Prometheus warns: {warned}; `warnings: ignore` accepts such answers")
        if envelope.status == "success" and envelope.data is not None:
            return envelope.data
    failed = failure(answer)
    if failed.again:
        return Unreachable(failed.reason)
    raise Wrong(failed.reason)


def failure(answer: Answer) -> Failure:
    """W2: 5xx, 408, 429 and Prometheus' own timeouts are worth asking again; all else is unusable."""
    try:
        envelope = _ENVELOPE.decode(answer.body)
        kind, reason = envelope.errorType, one_line(f"{envelope.errorType}: {envelope.error}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        kind, reason = "", one_line(bytes(answer.body[:200]).decode("utf-8", "replace").strip())
    reason = f"status {answer.status}" + (f": {reason}" if reason else "")
    return Failure(kind, reason, answer.status >= 500 or answer.status in (408, 429) or kind in _AGAIN)


def _warnings(envelope: _Envelope) -> str:
    """`PromQL info:` notes, which some versions send among the warnings, never matter."""
    real = [text for text in envelope.warnings if not text.startswith("PromQL info:")]
    return one_line("; ".join(real))


async def _windows(data: Data, shape: Shape) -> tuple[dict[str, str], ...]:
    into = _Windows(shape)
    if data.resultType == "scalar":
        if shape.per and not shape.coverage:
            raise Wrong(f"a scalar has no label {shape.per[0]!r}, which `per` asks for")
        into.put(0, [EVERYONE if shape.per else ""], [_POINT.decode(data.result).value])
        return into.windows
    if data.resultType not in ("vector", "matrix"):
        raise Wrong(f"the expression yields a {one_line(data.resultType, 40)}, not numbers")
    one, whole = _series_decoders(shape.per, data.resultType)
    fill = _fill_vector if data.resultType == "vector" else _fill_matrix
    at_once = memoryview(data.result).nbytes <= _AT_ONCE
    rest = iter(whole.decode(data.result)) if at_once else map(one.decode, _RAWS.decode(data.result))
    while portion := list(islice(rest, _PORTION)):
        fill(portion, _subjects(portion, shape), into)
        if len(portion) == _PORTION:
            await asyncio.sleep(0)
    return into.windows


def matrix(data: Data, per: tuple[str, ...], *, coverage: bool) -> Iterator[tuple[str | Wrong, list[Point]]]:
    """The series of a range query one by one, so that no more than one is in memory: its subject, or why it
    has none (W3), and its points, whose values are numbers. Raises what `misread` takes."""
    if data.resultType != "matrix":
        raise Wrong(f"a range query yields a {one_line(data.resultType, 40)}, not a matrix")
    one, _ = _series_decoders(per, data.resultType)
    for sample in map(one.decode, _RAWS.decode(data.result)):
        if sample.values is None or sample.histograms is not None:
            raise Wrong(_HISTOGRAMS)
        points: list[Point] = sample.values
        if not all(-LATEST < point.at < LATEST for point in points):
            raise Wrong("a sample has a time that is none")
        _check_numbers([point.value for point in points])
        try:
            yield _subject(sample.metric, per, coverage), points
        except Wrong as error:
            yield error, points


@lru_cache(maxsize=512)
def _series_decoders(
    per: tuple[str, ...], kind: str
) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[list[Any]]]:
    """Of one series, and of a list of them. They read no labels but `per`, which become the attributes
    l0, l1, …: a label's name may be a Python keyword. Prometheus has no empty label: what is empty is
    missing (W3)."""
    names = {f"l{index}": label for index, label in enumerate(per)}
    metric = msgspec.defstruct("Metric", [(name, str, "") for name in names], rename=names, gc=False)
    fields: list[Any] = [("metric", metric)]
    if kind == "vector":
        fields += [("value", Point | None, None)]
    else:
        fields += [("values", list[Point] | None, None), ("histograms", Any, None)]
    sample = msgspec.defstruct("Sample", fields, gc=False)
    return msgspec.json.Decoder(sample), msgspec.json.Decoder(list[sample])  # type: ignore[valid-type]


def _fill_vector(samples: Sequence[Any], subjects: list[str], into: _Windows) -> None:
    try:
        values = [sample.value.value for sample in samples]
    except AttributeError:
        raise Wrong(_HISTOGRAMS) from None
    into.put(0, subjects, values)


def _fill_matrix(samples: Sequence[Any], subjects: list[str], into: _Windows) -> None:
    """The points of all series, sorted into their windows by their times."""
    columns: list[tuple[list[str], list[str]]] = [([], []) for _ in into.windows]
    for sample, subject in zip(samples, subjects, strict=True):
        if sample.values is None or sample.histograms is not None:
            raise Wrong(_HISTOGRAMS)
        for point in sample.values:
            if not -LATEST < point.at < LATEST:
                raise Wrong(f"a sample has the time {point.at:g}, which is none")
            index = into.index.get(round(point.at * 1000))
            if index is not None:
                column = columns[index]
                column[0].append(subject)
                column[1].append(point.value)
    for index, (column_subjects, values) in enumerate(columns):
        into.put(index, column_subjects, values)


class _Windows:
    """The windows as they fill; a subject has one value in each (W3), coverage the newest."""

    __slots__ = ("_shape", "index", "windows")

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self.index = {end: index for index, end in enumerate(shape.ends)}
        self.windows: tuple[dict[str, str], ...] = tuple({} for _ in shape.ends)

    def put(self, index: int, subjects: list[str], values: list[str]) -> None:
        # Samples of one scrape are of one time, and thousands of subjects are of a few targets.
        _check_numbers(list(dict.fromkeys(values)) if self._shape.coverage else values)
        window = self.windows[index]
        found = dict(zip(subjects, values, strict=True))
        once = len(found) == len(subjects) and window.keys().isdisjoint(found)
        if self._shape.coverage and not once:
            for subject, value in zip(subjects, values, strict=True):
                window[subject] = _later(window[subject], value) if subject in window else value
            return
        known = len(window)
        window.update(found)
        if not once:
            repeated, _ = Counter([*islice(window, known), *subjects]).most_common(1)[0]
            raise Wrong(twice(self._shape.per, repeated))


def twice(per: tuple[str, ...], subject: str) -> str:
    """Why a window with two series of one subject is unusable (W3)."""
    if not per:
        return "more than one series, and the trigger has no `per`; aggregate, or add the labels to `per`"
    values = zip(per, subject.split(SEPARATOR), strict=True)
    labels = ", ".join(f"{name}={one_line(value, 80)!r}" for name, value in values)
    return f"two series for the subject {{{labels}}}; aggregate by ({', '.join(per)})"


def _check_numbers(values: list[str]) -> None:
    """Every value is one as Prometheus writes it, NaN and ±Inf included; all at once, for speed."""
    if _numbers("".join(values), values):
        return
    for value in values:
        if not _numbers(value, [value]):
            raise Wrong(f'value "{one_line(value, 80)}" is not a number')


def _numbers(text: str, values: list[str]) -> bool:
    # Danger: `float` also takes blanks, line ends, underscores and digits of other scripts.
    if not text.isascii() or text.encode().translate(None, _IN_NUMBERS):
        return False
    try:
        numbers(values)
    except ValueError:
        return False
    return True


def _later(one: str, other: str) -> str:
    """The newer of two sample times; a time that is no number is none."""
    first, second = float(one), float(other)
    return other if isnan(first) or second > first else one


def _subjects(samples: Sequence[Any], shape: Shape) -> list[str]:
    """The key of each series, quickly where nothing is amiss."""
    per = shape.per
    if not per:
        return [""] * len(samples)
    if len(per) == 1:
        keys = [sample.metric.l0 for sample in samples]
        sound = "" not in keys
    else:
        labels = attrgetter(*(f"l{index}" for index in range(len(per))))
        rows = [labels(sample.metric) for sample in samples]
        keys = [subject_key(row) for row in rows]
        sound = all(map(all, rows))
    sound = sound and max(map(len, keys), default=0) <= LONGEST_LABEL
    if sound and "".join(keys).count(SEPARATOR) == len(keys) * (len(per) - 1):
        return keys
    return [_subject(sample.metric, per, shape.coverage) for sample in samples]


def _subject(metric: Any, per: tuple[str, ...], coverage: bool) -> str:
    values = tuple(getattr(metric, f"l{index}") for index in range(len(per)))
    for name, value in zip(per, values, strict=True):
        if not value and coverage:
            return EVERYONE
        if not value:
            by = ", ".join(per)
            raise Wrong(f"a series has no label {name!r}, which `per` asks for; aggregate by ({by})")
        if len(value) > LONGEST_LABEL:
            raise Wrong(
                f"the label {name!r} has a value of {len(value)} characters; a subject's has at most "
                f"{LONGEST_LABEL}: {one_line(value, 40)}"
            )
        if SEPARATOR in value:
            raise Wrong(f"the label {name!r} has the value {one_line(value, 80)!r}: U+001F cannot be used")
    return subject_key(values)
