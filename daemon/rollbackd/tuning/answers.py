"""Answers in files: those that a backtest saved, and a range response as Prometheus gave it.

A saved file is one JSON document, a line for each column, gzipped if its name ends in `.gz`:

    {"version": "rollbackd/answers/v1", "source": …, "saved": MS, "alignments": […], "histories": [
     {"queries": [{"expr", "role"}], "per": […], "first": MS, "last": MS, "step": MS,
      "failed": [[FIRST WINDOW, WINDOWS, WHY]],
      "columns": [[{"subject": KEY, "runs": [[FIRST WINDOW, [VALUES]]]}, …] for each query]}]}
"""

from __future__ import annotations

import gzip
import re
import zlib
from itertools import groupby, pairwise
from math import isfinite
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Literal

import msgspec
from msgspec import Raw, Struct

from rollbackd.core.effects import WindowQuery
from rollbackd.core.events import AlignmentLearned
from rollbackd.core.history import Column, History, text
from rollbackd.core.notation import span, visible
from rollbackd.core.signals import Unreachable, Unusable
from rollbackd.outputs import whole
from rollbackd.world.client import Answer
from rollbackd.world.prometheus.answer import matrix, misread, opened
from rollbackd.world.prometheus.history import MOST_CELLS, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollbackd.core.model import Ms, Trigger

VERSION: Final = "rollbackd/answers/v1"

MOST_BYTES: Final = 1 << 30
"""Of a file, also once it is decompressed."""

MOST_WINDOWS: Final = 20_000_000

Value = float | Literal["NaN", "+Inf", "-Inf"]


class BadFile(Exception):
    """It cannot be used: which file, where, why, what to do; one line."""


class _Column(Struct, forbid_unknown_fields=True):
    subject: str
    runs: list[tuple[int, list[Value]]]


class _History(Struct, forbid_unknown_fields=True):
    queries: tuple[WindowQuery, ...]
    per: tuple[str, ...]
    first: int
    last: int
    step: int
    failed: list[tuple[int, int, str]]
    columns: list[list[Raw]]


class _File(Struct, forbid_unknown_fields=True):
    version: str
    source: str
    saved: int
    alignments: tuple[AlignmentLearned, ...]
    histories: list[Raw]


class Kept(Struct, frozen=True):
    """One history, and the labels that its subjects are told apart by."""

    per: tuple[str, ...]
    history: History


class Saved(Struct, frozen=True):
    """What a file of answers holds. `source`: who gave them; `saved`: when, by the wall clock."""

    source: str
    saved: Ms
    alignments: tuple[AlignmentLearned, ...]
    kept: tuple[Kept, ...]

    def of(self, queries: tuple[WindowQuery, ...], per: tuple[str, ...], interval: Ms) -> list[History]:
        """The answers to these queries, in the order of time."""
        found = [one.history for one in self.kept if one.history.queries == queries and one.per == per]
        return sorted((one for one in found if one.ends.step == interval), key=lambda one: one.ends.start)


# Writing


def write(path: Path, saved: Saved) -> None:
    """The whole file, or none. OSError."""
    with whole(path) as file:
        if path.name.endswith(".gz"):
            with gzip.open(file, "wb", 6) as packed:
                _write(packed, saved)
        else:
            _write(file, saved)


def _write(file: IO[bytes] | gzip.GzipFile, saved: Saved) -> None:
    head = {
        "version": VERSION,
        "source": saved.source,
        "saved": saved.saved,
        "alignments": saved.alignments,
    }
    file.write(msgspec.json.encode(head)[:-1] + b',"histories":[')
    for number, kept in enumerate(saved.kept):
        file.write(b",\n" if number else b"\n")
        for piece in _history_pieces(kept):
            file.write(piece)
    file.write(b"]}\n")


def _history_pieces(kept: Kept) -> Iterator[bytes]:
    history = kept.history
    ends = history.ends
    head = {
        "queries": history.queries,
        "per": kept.per,
        "first": ends[0],
        "last": ends[-1],
        "step": ends.step,
        "failed": list(_failed_runs(history)),
    }
    yield msgspec.json.encode(head)[:-1] + b',"columns":['
    for number, columns in enumerate(history.columns):
        yield b",[" if number else b"["
        for place, (subject, column) in enumerate(columns.items()):
            yield b",\n" if place else b"\n"
            yield msgspec.json.encode(_Column(subject, list(_runs(column))))
        yield b"]"
    yield b"]}"


def _failed_runs(history: History) -> Iterator[tuple[int, int, str]]:
    """Successive windows with one reason."""
    numbered = enumerate(sorted(history.failed))
    for (_, why), group in groupby(numbered, lambda at: (at[1] - at[0], history.failed[at[1]].reason)):
        windows = [window for _, window in group]
        yield windows[0], len(windows), why


def _runs(column: Column) -> Iterator[tuple[int, list[Value]]]:
    """Successive windows that have a value."""
    start, there = 0, column.there
    while (begin := there.find(1, start)) >= 0:
        start = there.find(0, begin)
        start = len(there) if start < 0 else start
        yield begin, [v if isfinite(v) else text(v) for v in column.values[begin:start]]  # type: ignore[misc]


# Reading


def content(path: Path, most: int = MOST_BYTES) -> bytes:
    """All of the file, decompressed. Raises BadFile."""
    found = start(path, most + 1)
    if len(found) > most:
        raise BadFile(f"{path}: larger than {most >> 20:,} MiB; save a shorter time")
    return found


def start(path: Path, most: int = 4_096) -> bytes:
    """The first `most` bytes of it, decompressed. Raises BadFile."""
    try:
        with gzip.open(path) if packed(path) else path.open("rb") as file:
            return file.read(most)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadFile(f"{path}: damaged or cut off inside its compression ({error}); copy it anew") from None
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from None


def packed(path: Path) -> bool:
    """Whether it is gzipped, whatever its name. Raises BadFile."""
    try:
        with path.open("rb") as file:
            return file.read(2) == b"\x1f\x8b"
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from None


def read(path: Path, body: bytes) -> Saved:
    """A file that `write` made, or that looks like one. Raises BadFile."""
    try:
        version = msgspec.json.decode(body, type=_Versioned).version
        if version != VERSION:
            raise BadFile(f"{path}: its version is {visible(version, 40)}, this rollbackd reads {VERSION}")
        file = msgspec.json.decode(body, type=_File)
        histories = [msgspec.json.decode(raw, type=_History) for raw in file.histories]
        _check_cells(sum(len(_grid(one)) * sum(map(len, one.columns)) for one in histories))
        kept = tuple(map(_kept, histories))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _Garbled) as error:
        raise bad_json(path, body, error, "saved answers") from None
    return Saved(file.source, file.saved, file.alignments, kept)


class _Versioned(Struct):
    version: str


class _Garbled(ValueError):
    """A number that does not fit the others; the message says which."""


def _check_cells(cells: int) -> None:
    """Columns take their room whether or not values are in them."""
    if cells > MOST_CELLS:
        raise _Garbled(f"{cells:,} windows x subjects are more than fit into memory")


def _grid(saved: _History) -> range:
    if saved.step <= 0 or saved.last < saved.first or (saved.last - saved.first) % saved.step:
        raise _Garbled(f"first {saved.first}, last {saved.last} and step {saved.step} make no windows")
    ends = range(saved.first, saved.last + 1, saved.step)
    if len(ends) > MOST_WINDOWS:
        raise _Garbled(f"{len(ends):,} windows are too many")
    return ends


def _kept(saved: _History) -> Kept:
    ends = _grid(saved)
    if len(saved.columns) != len(saved.queries):
        raise _Garbled(f"{len(saved.queries)} queries and {len(saved.columns)} lists of columns")
    columns = tuple(dict(_column(raw, len(ends)) for raw in raws) for raws in saved.columns)
    history = History(saved.queries, ends, columns, {})
    for first, many, why in saved.failed:
        if not 0 <= first < first + many <= len(ends):
            raise _Garbled(f"failed windows {first} to {first + many} of {len(ends)}")
        history.failed.update(dict.fromkeys(range(first, first + many), Unusable(why)))
    return Kept(saved.per, history)


def _column(raw: Raw, windows: int) -> tuple[str, Column]:
    saved = msgspec.json.decode(raw, type=_Column)
    column = Column(windows)
    for first, values in saved.runs:
        if not 0 <= first <= first + len(values) <= windows:
            raise _Garbled(f"values of windows {first} to {first + len(values)} of {windows}")
        for window, value in enumerate(values, first):
            column.put(window, float(value))
    return saved.subject, column


def bad_json(path: Path, body: bytes, error: Exception, what: str) -> BadFile:
    """Where it is wrong, as far as the reader says."""
    said = "not UTF-8" if isinstance(error, UnicodeDecodeError) else visible(str(error))
    if "truncated" in said:
        lines = body.count(b"\n") + 1
        return BadFile(f"{path}:{lines}: the file ends in the middle; copy or save it anew")
    at = re.search(r"\(byte (\d+)\)", said)
    line = body.count(b"\n", 0, int(at[1])) + 1 if at else 1
    return BadFile(f"{path}:{line}: not {what}: {said}")


# A range response


def response(path: Path, body: bytes, trigger: Trigger) -> History:
    """What `curl …/api/v1/query_range` saved, as the answers to the trigger's value. Raises BadFile."""
    try:
        data = opened(Answer(200, {}, body), ignore_warnings=True)
        if isinstance(data, Unreachable):
            raise BadFile(f"{path}: it holds an error: {data.reason}")
        series = [points for _, points in matrix(data, trigger.per, coverage=False)]
        ends = _ends(path, [[round(point.at * 1000) for point in points] for points in series], trigger)
        reading = Reading(trigger.per, False, ends)
        for subject, points in matrix(data, trigger.per, coverage=False):
            reading.put(subject, points)
            _check_cells(len(reading.columns) * len(ends))
    except (msgspec.DecodeError, _Garbled) as error:
        raise bad_json(path, body, error, "a range response") from None
    except BadFile:
        raise
    except Exception as error:
        raise BadFile(f"{path}: {misread(error).reason}") from None
    return History((WindowQuery(trigger.condition.expr),), ends, (reading.columns,), dict(reading.failed))


def _ends(path: Path, series: Sequence[Sequence[Ms]], trigger: Trigger) -> range:
    """The windows: the grid that the points lie on, whose step must be the trigger's interval."""
    moments = sorted({at for one in series for at in one})
    if not moments:
        raise BadFile(f"{path}: it holds no sample")
    steps = {later - one for one, later in pairwise(moments)}
    step, wanted = min(steps, default=trigger.interval), span(trigger.interval)
    if step != trigger.interval:
        remedy = f"{trigger.name} has windows of {wanted}; ask with step={wanted}"
        raise BadFile(f"{path}: its step is {span(step)}, and {remedy}")
    if any(each % step for each in steps):
        raise BadFile(f"{path}: its samples do not lie whole steps of {wanted} apart")
    if len(found := range(moments[0], moments[-1] + 1, step)) > MOST_WINDOWS:
        raise BadFile(f"{path}: {len(found):,} windows are too many")
    return found


def cut(history: History, begin: Ms, end: Ms) -> History | None:
    """The windows that lie between `begin` and `end`; None where there are none."""
    ends = history.ends
    first = max(0, -((ends.start - begin) // ends.step) + 1)  # the first that begins at `begin` or later
    last = min(len(ends), (end - ends.start) // ends.step + 1)
    if first >= last:
        return None
    if (first, last) == (0, len(ends)):
        return history
    columns = tuple(
        {key: _part(one, first, last) for key, one in columns.items()} for columns in history.columns
    )
    failed = {window - first: why for window, why in history.failed.items() if first <= window < last}
    return History(history.queries, ends[first:last], columns, failed)


def _part(column: Column, first: int, last: int) -> Column:
    part = Column(0)
    part.values, part.there = column.values[first:last], column.there[first:last]
    return part
