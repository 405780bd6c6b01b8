"""Questions: commands, HTTP requests, queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from rollbackd.config.models.base import Complaint, Defines, Model, Refers, Rule, drawn, needs, one_of
from rollbackd.config.models.types import (
    JSON_PATH,
    NAME,
    Argv,
    Duration,
    Json,
    Promql,
    Relative,
    RelativeComparison,
    Text,
    Url,
    Whole,
)
from rollbackd.core.model import BASELINE, CheckKind, EvidenceKind, Limit, Ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.config.yaml_source import Mapping

Program = Annotated[tuple[str, ...], Argv()]


def compares_with_the_captured(mapping: Mapping) -> Iterator[Complaint]:
    """`baseline` names what the limit or the text is taken from."""
    said = [
        key for key, name in (("pass", "baseline"), ("prints", BASELINE)) if name in str(mapping.get(key))
    ]
    if said and "baseline" not in mapping:
        yield Complaint(
            (said[0],), "names a baseline, and there is none", "add `baseline: ITEM` of `capture`"
        )
    if "baseline" in mapping and not said:
        remedy = 'write `pass: "<= baseline * 1.1"` or `prints: $baseline`'
        yield Complaint(("baseline",), "is compared with nothing", remedy)


@drawn({"properties": {key: {"type": "array"} for key in ("run", "probe")}})
def argv_is_a_list(mapping: Mapping) -> Iterator[Complaint]:
    """`run` is a list: only steps may use a shell (X2)."""
    for key in ("run", "probe"):
        if isinstance(mapping.get(key), str):
            yield Complaint((key,), "is one text, and there is no shell", 'write a list: ["./scripts/x.sh"]')


class HttpCheckModel(Model):
    url: Annotated[str, Url(), Field(description="asked with GET. Redirects are refused")]
    status: Annotated[int, Whole(100, 599), Field(description="the status that passes")] = 200
    json_: Annotated[
        dict[Annotated[str, JSON_PATH], Annotated[object, Json()]],
        Field(
            default_factory=dict,
            alias="json",
            description="fields of the answer, joined by dots, and what they must be",
        ),
    ]


class QuestionModel(Model):
    """Exactly one of `run`, `http` and `expr` with `pass`."""

    rules: ClassVar[tuple[Rule, ...]] = (
        one_of("run", "http", "expr"),
        needs("pass", "expr"),
        needs("expr", "pass"),
        needs("timeout", "run", "http"),
        needs("prints", "run"),
        compares_with_the_captured,
        argv_is_a_list,
    )

    check: Annotated[str, NAME, Defines("check", "file"), Field(description="its name")]
    run: Annotated[
        Program | None, Field(description="a program: exit 0 passes. It is run as a step is (X2)")
    ] = None
    http: Annotated[HttpCheckModel | None, Field(description="a request: the status passes")] = None
    expr: Annotated[Annotated[str, Promql()] | None, Field(description="a query that yields one value")] = (
        None
    )
    pass_: Annotated[
        Annotated[Limit | Relative, RelativeComparison()] | None,
        Field(alias="pass", description="what the value must satisfy: `< 0.01`, `<= baseline * 1.1`"),
    ] = None
    prints: Annotated[
        Annotated[str, Text(most=1000)] | None,
        Field(description="all that the program must print; $previous, $next, $baseline are filled in"),
    ] = None
    baseline: Annotated[
        Annotated[str, NAME] | None,
        Refers("item", "file"),
        Field(description="the captured item to compare with"),
    ] = None
    timeout: Annotated[
        Annotated[Ms, Duration("100ms", "10m")] | None,
        Field(description="then it cannot tell; default 30s (run), 10s (http)"),
    ] = None


class SafetyCheckModel(QuestionModel):
    """Asked before anything is done; a failure lowers to `ask` (rule D2). In place of a question, `evidence`:
    what was put on record of the plan as it is (rule P1)."""

    rules = (
        one_of("run", "http", "expr", "evidence"),
        needs("within", "evidence"),
        needs("evidence", "within"),
        *QuestionModel.rules[1:],
    )

    evidence: Annotated[
        EvidenceKind | None, Field(description="what must be on record of it: `rollbackd evidence add`")
    ] = None
    within: Annotated[
        Annotated[Ms, Duration("1h", "400d")] | None, Field(description="how old that evidence may be")
    ] = None


Kind = Annotated[
    CheckKind | None,
    Field(description="what it is about. Level 3 wants one of data_consistency (P1)"),
]


class ValidationCheckModel(QuestionModel):
    """Asked again and again after success; twice failed in a row, it pages (rule S4)."""

    kind: Kind = None

    every: Annotated[
        Annotated[Ms, Duration("10s", "6h")] | None,
        Field(description="default 1m, 5m, 30m in the three stages"),
    ] = None
    on_fail: Annotated[Literal["fail", "warn"], Field(description="warn: it stands in the report alone")] = (
        "fail"
    )


class VerificationModel(QuestionModel):
    """Asked each interval once the steps are done (rule S3)."""

    kind: Kind = None

    windows: Annotated[
        Annotated[int, Whole(1, 100)] | None,
        Field(description="passes in a row; default verify_windows. Asked once an interval"),
    ] = None
    on_fail: Annotated[
        Literal["fail", "warn"],
        Field(description="what a failure means. `warn` is told of, and decides nothing"),
    ] = "fail"
