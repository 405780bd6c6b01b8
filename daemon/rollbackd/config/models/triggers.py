"""`triggers/*.yml`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from rollbackd.config.models.base import (
    Complaint,
    Defines,
    JsonSchema,
    Model,
    Refers,
    Rule,
    drawn,
    needs,
    one_of,
)
from rollbackd.config.models.instance import Version
from rollbackd.config.models.types import (
    LABEL,
    NAME,
    AutoDuration,
    Comparison,
    Duration,
    Number,
    Promql,
    Text,
    Whole,
)
from rollbackd.config.yaml_source import Mapping
from rollbackd.core.model import ALL, Action, Arm, Category, Limit, Ms, NoData, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.config.yaml_source import Loc

Expr = Annotated[str, Promql()]
OWN_LABELS = frozenset(["alertname", "instance", "plan", "service", "trigger", "severity", "rung"])


def labels_are_free(mapping: Mapping) -> Iterator[Complaint]:
    """`labels` sets none of alertname, instance, plan, rung, service, severity, trigger: the daemon does."""
    labels = mapping.get("labels")
    for name in labels if isinstance(labels, dict) else ():
        if name in OWN_LABELS:
            yield Complaint(("labels", name), "is set by the daemon", "choose another name")


MAX_LEVELS = 4
MAX_LEAVES = 20


_COMPOSED: JsonSchema = {"anyOf": [{"required": ["all"]}, {"required": ["any"]}]}
_LIMITED: JsonSchema = {"anyOf": [{"required": ["breach"]}, {"required": ["coverage"]}]}


@drawn({"if": _COMPOSED, "then": {"not": _LIMITED}, "else": {"required": ["breach"]}})
def composed_or_not(mapping: Mapping) -> Iterator[Complaint]:
    """With `all` or `any`, `breach` and `coverage` stand in the parts; else `breach` is needed (W10)."""
    how = next((key for key in ("all", "any") if key in mapping), None)
    alone = how is not None and "expr" not in mapping and "ratio" not in mapping
    for key in ("breach", "coverage"):
        if alone and key in mapping:
            yield Complaint((key,), f"cannot stand beside `{how}`", "write it in each part")


def bounded(mapping: Mapping) -> Iterator[Complaint]:
    """At most 4 levels of `all` and `any`, and 20 conditions in all."""
    for key in ("all", "any"):
        if key in mapping:
            if _levels(mapping) > MAX_LEVELS:
                yield Complaint((key,), f"is nested deeper than {MAX_LEVELS} levels", "write it flatter")
            leaves = _leaves(mapping)
            if leaves > MAX_LEAVES:
                yield Complaint((key,), f"has {leaves} conditions, more than {MAX_LEAVES}", "write fewer")


def _inside(mapping: Mapping) -> list[Mapping]:
    lists = [mapping[key] for key in ("all", "any") if isinstance(mapping.get(key), list)]
    return [part for parts in lists for part in parts if isinstance(part, Mapping)]


def _levels(mapping: Mapping) -> int:
    return max((1 + _levels(part) for part in _inside(mapping)), default=0)


def _leaves(mapping: Mapping) -> int:
    inside = _inside(mapping)
    return sum(map(_leaves, inside)) if inside else 1


@drawn({"if": _COMPOSED, "then": {"not": {"required": ["no_data"]}}})
def no_data_of_a_leaf(mapping: Mapping) -> Iterator[Complaint]:
    """`no_data` not beside `all` or `any` here: it stands in the parts."""
    how = next((key for key in ("all", "any") if key in mapping), None)
    if how is not None and "no_data" in mapping:
        yield Complaint(("no_data",), f"cannot stand beside `{how}` here", "write it in its parts")


@drawn({"not": {"required": ["traffic", "ratio"]}})
def traffic_of_a_ratio(mapping: Mapping) -> Iterator[Complaint]:
    """`traffic` not beside `ratio`, whose total is its traffic: write `min_total`."""
    if "traffic" in mapping and "ratio" in mapping:
        yield Complaint(("traffic",), "cannot stand beside `ratio`", "write `min_total` inside `ratio`")


class RatioModel(Model):
    errors: Annotated[Expr, Field(description="absent while the total exists means 0")]
    total: Annotated[Expr, Field(description="what the errors are divided by")]
    min_total: Annotated[
        float, Number(0, 1e15), Field(description="a window with less total is low_traffic")
    ] = 0.0


class TrafficModel(Model):
    expr: Annotated[Expr, Field(description="how much there was. With the labels of `per`")]
    at_least: Annotated[float, Number(0, 1e15), Field(description="less is low_traffic")]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Queries = Annotated[
    list[Expr], BeforeValidator(_listed, json_schema_input_type=list[Expr] | Expr), Field(max_length=20)
]


class ConditionModel(Model):
    """What is asked each window, and when the answer is a breach."""

    rules: ClassVar[tuple[Rule, ...]] = (
        one_of("expr", "ratio", "all", "any"),
        needs("traffic", "expr", "ratio"),
        traffic_of_a_ratio,
        composed_or_not,
        bounded,
    )

    expr: Annotated[Expr | None, Field(description="PromQL; or ratio, all, any")] = None
    ratio: Annotated[
        RatioModel | None, Field(description="errors divided by total. Says which total makes a window count")
    ] = None
    all_: Annotated[
        Annotated[list[PartModel], Field(min_length=1)] | None,
        Field(alias="all", description="conditions that breach together (W10). Each with its own `breach`"),
    ] = None
    any_: Annotated[
        Annotated[list[PartModel], Field(min_length=1)] | None,
        Field(alias="any", description="conditions of which one breaches (W10). Each with its own `breach`"),
    ] = None
    breach: Annotated[
        Annotated[Limit, Comparison()] | None, Field(description='the comparison that is a breach: "> 0.01"')
    ]
    traffic: Annotated[
        TrafficModel | None,
        Field(
            description="what must be there for a window to count. "
            "With less it is `low_traffic`, which is kept as missing data is"
        ),
    ] = None
    coverage: Annotated[
        Queries | None,
        Field(description="queries for the time of the newest sample; default: of each selector (W14)"),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _a_composed_one_has_no_limit(cls, data: Any) -> Any:
        composed = isinstance(data, dict) and ("all" in data or "any" in data)
        return {"breach": None, **data} if composed else data

    def parts(self) -> tuple[tuple[Loc, PartModel], ...]:
        """Of a composed one, each with where it stands."""
        found = (("all", self.all_), ("any", self.any_))
        return tuple(((key, i), part) for key, parts in found for i, part in enumerate(parts or ()))

    def leaves(self, loc: Loc = ()) -> Iterator[tuple[Loc, ConditionModel]]:
        """What asks something, each with where it stands."""
        if not self.parts():
            yield loc, self
        for place, part in self.parts():
            yield from part.leaves((*loc, *place))


class PartModel(ConditionModel):
    """One of several conditions."""

    rules = (*(rule for rule in ConditionModel.rules if rule is not bounded), no_data_of_a_leaf)

    no_data: Annotated[
        NoData | None, Field(description="what its own missing data means; default: it is missing (W10)")
    ] = None


for _model in (ConditionModel, PartModel):  # they name each other
    _model.model_rebuild(force=True)


class TriggerModel(ConditionModel):
    rules = (*ConditionModel.rules, one_of("windows", "for"), labels_are_free)

    trigger: Annotated[str, NAME, Defines("trigger"), Field(description="its name")]
    category: Annotated[
        Category, Field(description="what kind of harm it sees. For people, in pages and metrics")
    ]
    severity: Annotated[Severity, Field(description="says the action (see `actions`). Unless `action` does")]
    action: Annotated[
        Action | None,
        Field(description="in place of the severity's. `shadow` only records what would have been done"),
    ] = None
    windows: Annotated[
        Annotated[int, Whole(1, 10_000)] | None,
        Field(description="breaches in a row that fire (W4). A window is one interval of the group"),
    ] = None
    for_: Annotated[
        Annotated[Ms, Duration("1s", "7d")] | None,
        Field(alias="for", description="the same as a duration: a multiple of the interval"),
    ] = None
    per: Annotated[
        list[Annotated[str, LABEL]],
        Field(
            default_factory=list,
            max_length=10,
            description="labels that make subjects (W3). "
            "Each set of their values has a streak of its own; the expressions must keep them",
        ),
    ]
    no_data: Annotated[
        NoData,
        Field(
            description="what a window without data does (W5). "
            "`keep` leaves a streak as it is, for at most `windows` windows"
        ),
    ] = "keep"
    recovered: Annotated[
        ConditionModel | None,
        Field(description="what must not breach to be verified; default the trigger (S3)"),
    ] = None
    arm: Annotated[
        Arm, Field(description="when it may act (W9). `rollout`: only while a rollout of the plan is open")
    ] = "rollout"
    initial_delay: Annotated[
        Ms,
        Duration("0s", "1d"),
        Field(description="after a rollout began, not counted. Starting up is not failing"),
    ] = 0
    plan: Annotated[str, NAME, Refers("plan"), Field(description="what is done. A plan, by name")]
    scope: Annotated[
        str, NAME, Field(description="which part of the plan; default the whole. A scope of it, by name")
    ] = ALL
    cooldown: Annotated[
        Ms,
        Duration("0s", "7d"),
        Field(description="after its end, before it may fire. Then it arms again once it was ok (W8)"),
    ] = 30 * 60_000
    veto: Annotated[
        Annotated[Ms, Duration("10s", "1d")] | None, Field(description="in place of the severity's")
    ] = None
    expires: Annotated[
        Annotated[Ms, Duration("1m", "7d")] | None, Field(description="in place of the severity's")
    ] = None
    labels: Annotated[
        dict[Annotated[str, LABEL], Annotated[str, Text()]],
        Field(default_factory=dict, description="on every page. Plain text: templates are not filled in"),
    ]
    annotations: Annotated[
        dict[Annotated[str, LABEL], Annotated[str, Text(most=4000, lines=True)]],
        Field(default_factory=dict, description="summary, runbook_url and what else people should see"),
    ]


class GroupHeadModel(Model):
    name: Annotated[str, NAME, Defines("group"), Field(description="its name")]
    interval: Annotated[
        Ms,
        Duration("1s", "1d"),
        Field(description="how long a window is (W1). No shorter than the targets are scraped"),
    ] = 15_000
    align: Annotated[
        Ms | None,
        AutoDuration("0s", "1d"),
        Field(description="where windows end; below the interval; or `auto`: just after the scrape (W1)"),
    ] = 0
    delay: Annotated[
        Ms,
        Duration("0s", "10m"),
        Field(description="how late samples become visible. A window is asked so long after its end (T2)"),
    ] = 0


class GroupModel(GroupHeadModel):
    triggers: Annotated[
        list[TriggerModel], Field(min_length=1, description="asked together. Windows of a group end together")
    ]


class TriggerFileModel(Model):
    version: Annotated[Version, Field(description="of the file's form")]
    groups: Annotated[list[GroupModel], Field(min_length=1, description="triggers with one interval")]
