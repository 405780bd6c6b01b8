"""`*.test.yml`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_args

from pydantic import BeforeValidator, Field

from rollbackd.config import series as notation
from rollbackd.config.models.base import Complaint, Defines, Model, Refers, Rule, any_of, needs, one_of
from rollbackd.config.models.http import FilePath
from rollbackd.config.models.instance import Version
from rollbackd.config.models.types import (
    LABEL,
    Duration,
    Matching,
    Parsed,
    Text,
    Whole,
    quoted,
    refuse,
    shown,
)
from rollbackd.config.validate import nearest
from rollbackd.config.yaml_source import NULL
from rollbackd.core.model import Action, Ms, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.json_schema import JsonSchemaValue

    from rollbackd.config.yaml_source import Mapping

MOST_WINDOWS = notation.MOST
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

TRIGGER = Matching(
    most=150,
    form=r"(library/)?[A-Za-z0-9][A-Za-z0-9._-]*",
    says="the name of a trigger, or library/NAME",
)


LIBRARY = "library/"
_SOME = {"type": "string", "pattern": r"\S"}


@dataclass(frozen=True)
class Values(Parsed):
    """Promtool's notation of a series → its values; with `windows` of readings, one a window. `null` is
    None where there may be none."""

    windows: bool = False
    optional: bool = False

    def parse(self, value: object) -> tuple[notation.Value, ...] | None:
        if self.optional and value is NULL:
            return None
        text = _words(value)
        try:
            found = notation.parse(text, unasked=self.windows)
        except ValueError as error:
            raise refuse(*self._complaint(str(error))) from None
        if not found:
            raise refuse(f"{shown(text)} has no value", "write one a window" if self.windows else "write one")
        if self.windows and notation.Mark.STALE in found:
            raise refuse("a reading cannot be stale", "write `_`, which is absent")
        return found

    def words(self) -> str:
        return "readings, one a window" if self.windows else "values in promtool's notation"

    def schema(self) -> JsonSchemaValue:
        return {**_SOME, "type": ["string", "null"]} if self.optional else dict(_SOME)

    def _complaint(self, word: str) -> tuple[str, str]:
        if "{{" in word:
            return "native histograms are not understood", "write the series of a classic one: x_bucket{le=…}"
        if re.fullmatch(r"\S*x[0-9]+", word) and len(word.rpartition("x")[2]) >= len(str(notation.MOST)):
            return f"has more than {notation.MOST} values", "write fewer"
        more = ", ? could not be asked" if self.windows else ", stale"
        return f"{shown(word)} is no value", f"write a number, NaN, +Inf, _ absent{more}; 0+10x5, 1x5, _x5"


@dataclass(frozen=True)
class Strip(Parsed):
    """`ok breachx3`: a verdict a window; `x3` is three of them."""

    def parse(self, value: object) -> tuple[Verdict, ...]:
        verdicts: list[Verdict] = []
        for word in _words(value).split():
            name, times = re.fullmatch(r"(.*?)(?:x([0-9]{1,5}))?", word, re.DOTALL).groups()  # type: ignore[union-attr]
            if name not in VERDICTS:
                close = nearest(name, VERDICTS)
                remedy = f"did you mean {close}?" if close else f"write {', '.join(VERDICTS)}"
                raise refuse(f"{shown(word)} is no verdict", remedy)
            verdicts += [name] * int(times or 1)
        if len(verdicts) > MOST_WINDOWS:
            raise refuse(f"has more than {MOST_WINDOWS} verdicts", "write fewer")
        return tuple(verdicts)

    def words(self) -> str:
        return "verdicts, one a window"

    def schema(self) -> JsonSchemaValue:
        word = f"({'|'.join(VERDICTS)})(x[0-9]{{1,5}})?"
        return {"type": "string", "pattern": rf"^\s*{word}(\s+{word})*\s*$"}


def _words(value: object) -> str:
    text = Text(most=200_000).parse(value)
    if not text.strip():
        raise refuse("is empty", "write words with blanks between them")
    return text


class Selector(Parsed):
    """`name{label="value"}` → its labels, `__name__` among them."""

    def parse(self, value: object) -> dict[str, str]:
        if not isinstance(value, str):
            raise refuse(f"expected a series, got {shown(value)}", quoted(value))
        try:
            return notation.labels(value)
        except ValueError as error:
            remedy = 'write it like errors_total{job="api",code="500"}'
            raise refuse(f"is not a series ({error})", remedy) from None

    def words(self) -> str:
        return "series"

    def schema(self) -> JsonSchemaValue:
        return dict(_SOME)


def counts_agree(mapping: Mapping) -> Iterator[Complaint]:
    """As many `actions` as `fires`."""
    fires, actions = mapping.get("fires"), mapping.get("actions")
    if isinstance(fires, list) and isinstance(actions, list) and len(fires) != len(actions):
        what = f"{len(actions)} for {len(fires)} in `fires`"
        yield Complaint(("actions",), what, "write one for each fire, in their order")


def fires_in_order(mapping: Mapping) -> Iterator[Complaint]:
    """`fires` are in their order, each once."""
    fires = mapping.get("fires")
    whole = [each for each in fires if isinstance(each, int)] if isinstance(fires, list) else []
    if whole != sorted(set(whole)):
        yield Complaint(("fires",), "windows are not in their order, or one stands here twice", "sort them")


class ExpectModel(Model):
    rules: ClassVar[tuple[Rule, ...]] = (
        any_of("fires", "verdicts", "streak", "actions"),
        counts_agree,
        fires_in_order,
    )

    fires: Annotated[
        Annotated[list[Annotated[int, Whole(1, MOST_WINDOWS)]], Field(max_length=1000)] | None,
        Field(description="the windows, counted from 1, in which it would have fired; [] for none"),
    ] = None
    verdicts: Annotated[
        tuple[Verdict, ...] | None,
        Strip(),
        Field(description="a word a window: breach ok no_data low_traffic; breachx8 is eight"),
    ] = None
    streak: Annotated[
        Annotated[int, Whole(0, MOST_WINDOWS)] | None, Field(description="breaches in the streak at the end")
    ] = None
    actions: Annotated[
        Annotated[list[Action], Field(max_length=1000)] | None,
        Field(description="what each fire would have come to, after what lowers it (D2)"),
    ] = None


class InputSeriesModel(Model):
    series: Annotated[dict[str, str], Selector(), Field(description="its name and labels")]
    values: Annotated[
        tuple[notation.Value, ...],
        Values(),
        Field(description="promtool's notation; the first is window 1's"),
    ]


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Each = Annotated[tuple[notation.Value, ...], Values(windows=True)]
Readings = Annotated[
    list[Each],
    BeforeValidator(_listed, json_schema_input_type=Each | list[Each]),
    Field(min_length=1, max_length=50),
]
Floor = Annotated[tuple[notation.Value, ...] | None, Values(windows=True, optional=True)]
Traffic = Annotated[
    list[Floor],
    BeforeValidator(_listed, json_schema_input_type=Each | list[Floor]),
    Field(min_length=1, max_length=50),
]


def set_fills_a_template(mapping: Mapping) -> Iterator[Complaint]:
    """`set` only where `trigger` is library/NAME."""
    trigger = mapping.get("trigger")
    if "set" in mapping and isinstance(trigger, str) and not trigger.startswith(LIBRARY):
        yield Complaint(("set",), "means nothing for a trigger of a file", "remove it")


class CaseModel(Model):
    rules: ClassVar[tuple[Rule, ...]] = (
        one_of("readings", "input_series"),
        needs("traffic", "readings"),
        needs("interval", "input_series"),
        set_fills_a_template,
    )

    name: Annotated[str, Text(), Defines("test", within="file"), Field(description="what it shows")]
    trigger: Annotated[
        str,
        TRIGGER,
        Refers("trigger", beyond=LIBRARY),
        Field(description="a trigger of these files, or library/NAME"),
    ]
    set_: Annotated[
        dict[str, Any],
        Field(alias="set", default_factory=dict, description="parameters of the library's template"),
    ]
    subject: Annotated[
        dict[Annotated[str, LABEL], Annotated[str, Text(most=1024)]],
        Field(default_factory=dict, description="values of the trigger's `per`: whom `expect` speaks of"),
    ]
    readings: Annotated[
        Readings | None,
        Field(description="what is read, one a window; of `all` and `any` a list, one text a part"),
    ] = None
    traffic: Annotated[
        Traffic | None,
        Field(description="the ratio's total, or the traffic, one a window; null: of that part none"),
    ] = None
    interval: Annotated[
        Annotated[Ms, Duration("1s", "1d")] | None,
        Field(description="between the values of the series; default: the group's"),
    ] = None
    input_series: Annotated[
        Annotated[list[InputSeriesModel], Field(min_length=1, max_length=1000)] | None,
        Field(description="what Prometheus holds"),
    ] = None
    expect: Annotated[ExpectModel, Field(description="each optional, at least one")]


class TestFileModel(Model):
    __test__ = False  # for pytest, whose name it bears

    version: Annotated[Version, Field(description="of the file's form")]
    triggers: Annotated[
        list[FilePath],
        Field(default_factory=list, description="files of triggers, relative to this one"),
    ]
    tests: Annotated[list[CaseModel], Field(min_length=1, description="each on its own")]
