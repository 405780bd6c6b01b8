"""`plans/NAME/plan.yml`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from rollbackd.config.models.base import (
    Complaint,
    Defines,
    Model,
    Refers,
    drawn,
    needs,
    one_of,
    shell_is_said,
)
from rollbackd.config.models.checks import (
    Program,
    SafetyCheckModel,
    ValidationCheckModel,
    VerificationModel,
    argv_is_a_list,
)
from rollbackd.config.models.instance import Version
from rollbackd.config.models.types import (
    NAME,
    VARIABLE,
    Comparison,
    Duration,
    Promql,
    SpannedPromql,
    Text,
    Whole,
)
from rollbackd.core.model import Limit, Ms, PlanType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.config.yaml_source import Mapping

CommandTimeout = Annotated[Ms, Duration("100ms", "10m")]
Env = dict[Annotated[str, VARIABLE], Annotated[str, Text(most=10_000, least=0, lines=True, secret=True)]]
Line = Annotated[str, Text()]


def irreversible_is_not_repeatable(mapping: Mapping) -> Iterator[Complaint]:
    """An `irreversible` step is neither `repeatable` nor tried more than once, and never interrupted (X8)."""
    if mapping.get("irreversible") is not True:
        return
    if mapping.get("repeatable") is True:
        yield Complaint(("repeatable",), "an irreversible step cannot be repeatable", "remove one of them")
    retry = mapping.get("retry")
    attempts = retry.get("attempts") if isinstance(retry, dict) else None
    if isinstance(attempts, int) and attempts > 1:
        yield Complaint(("retry",), "an irreversible step is tried once", "remove `retry`")
    if mapping.get("interrupt") == "always":
        yield Complaint(("interrupt",), "an irreversible step is never interrupted", "remove `interrupt`")


class RetryModel(Model):
    attempts: Annotated[int, Whole(1, 20), Field(description="tries in all. The first among them")]
    backoff: Annotated[
        Ms, Duration("0s", "5m"), Field(description="between them; doubles. Up to five minutes")
    ] = 2_000


class StepVerifyModel(Model):
    expr: Annotated[str, Promql(), Field(description="a query that yields one value")]
    pass_: Annotated[Limit, Comparison(), Field(alias="pass", description="what it must satisfy")]
    within: Annotated[
        Ms, Duration("1s", "1h"), Field(description="how long to wait for it. Then the step has failed")
    ]


@drawn({"properties": {"probe": {"type": "array"}}})
def probe_is_a_list(mapping: Mapping) -> Iterator[Complaint]:
    """`probe` is a list: it has no shell (X2)."""
    if isinstance(mapping.get("probe"), str):
        yield Complaint(("probe",), "is one text, and there is no shell", 'write a list: ["./scripts/x.sh"]')


OF_PROGRAMS = ("shell", "env", "timeout", "interrupt", "retry", "repeatable", "probe", "expect")


def in_each_region(mapping: Mapping) -> Iterator[Complaint]:
    """A gate, and what is done by hand, are asked about in one region after the other."""
    if (
        mapping.get("each") == "parallel"
        and "run" not in mapping
        and ("gate" in mapping or "manual" in mapping)
    ):
        yield Complaint(("each",), "people are asked one after the other", "write serial")


@drawn(
    {
        "allOf": [
            {"if": {"required": ["run"]}, "then": {"required": ["timeout"]}},
            {"if": {"required": ["manual"]}, "then": {"required": ["owner"]}},
        ]
    }
)
def people_run_nothing(mapping: Mapping) -> Iterator[Complaint]:
    """`run` needs `timeout`, `manual` needs `owner`; a gate and what is done by hand have nothing else of a
    program's."""
    kind = next((key for key in ("gate", "manual") if key in mapping), None)
    if kind is None and "run" in mapping and "timeout" not in mapping:
        yield Complaint(("timeout",), "is missing", "add `timeout:` (how long it may take: 1m)")
    for key in OF_PROGRAMS if kind is not None and "run" not in mapping else ():
        if key in mapping:
            yield Complaint((key,), f"means nothing beside `{kind}`", "remove it")
    if kind == "gate" and "verify" in mapping:
        yield Complaint(("verify",), "means nothing beside `gate`", "remove it")
    if "manual" in mapping and "owner" not in mapping:
        yield Complaint(("owner",), "is missing", "write who does it")


class StepModel(Model):
    rules = (
        one_of("run", "gate", "manual"),
        needs("from", "gate"),
        needs("owner", "manual"),
        needs("regions", "each"),
        in_each_region,
        shell_is_said,
        probe_is_a_list,
        irreversible_is_not_repeatable,
        people_run_nothing,
    )

    step: Annotated[str, NAME, Defines("step", "file"), Field(description="its name, unique in the plan")]
    run: Annotated[
        Program | None,
        Field(
            description="a program and its arguments; ./ is the plan's folder; a bare name is on PATH. "
            "A script must be executable"
        ),
    ] = None
    gate: Annotated[
        Literal["approve"] | None,
        Field(
            description="a person approves before the plan goes on. Until then it is parked, on its ladder"
        ),
    ] = None
    from_: Annotated[Line | None, Field(alias="from", description="who is asked to approve")] = None
    manual: Annotated[
        Annotated[str, Text(most=4000, lines=True)] | None,
        Field(description="what a person does, and confirms"),
    ] = None
    owner: Annotated[Line | None, Field(description="who does it by hand")] = None
    shell: Annotated[
        bool,
        Field(
            description="run is one text for /bin/sh. "
            "Labels and operators' words reach it as ROLLBACK_*, never as text (X2)"
        ),
    ] = False
    env: Annotated[
        Env,
        Field(
            default_factory=dict,
            description="added to PATH, HOME, LANG and ROLLBACK_*. "
            "The daemon's own environment is not passed on",
        ),
    ]
    timeout: Annotated[
        Annotated[Ms, Duration("1s", "1d")] | None,
        Field(description="of a program; then it is stopped, and in doubt (X4)"),
    ] = None
    interrupt: Annotated[
        Literal["always", "never"], Field(description="never: a timeout pages and does not stop it (X9)")
    ] = "always"
    irreversible: Annotated[
        bool, Field(description="after it, abort is refused (X8). It is tried once and never interrupted")
    ] = False
    retry: Annotated[RetryModel | None, Field(description="after a failure; default one attempt (X6)")] = None
    repeatable: Annotated[
        bool, Field(description="safe to run again when nobody can tell whether it ran (X4)")
    ] = False
    probe: Annotated[
        Program | None, Field(description="tells whether it was done: 0 done, 20 not done, else cannot tell")
    ] = None
    expect: Annotated[
        Annotated[str, Text(most=1000)] | None,
        Field(description="a text its output must hold. Else it failed, whatever its exit status (X6)"),
    ] = None
    verify: Annotated[
        StepVerifyModel | None,
        Field(description="what must become true after exit 0. Asked of Prometheus until `within` is over"),
    ] = None
    each: Annotated[
        Literal["serial", "parallel"] | None,
        Field(description="runs in each region, one after the other or at once; it sees ROLLBACK_REGION"),
    ] = None
    regions: Annotated[
        list[Annotated[str, NAME]] | None,
        Field(min_length=1, max_length=50, description="of `each`; default the plan's"),
    ] = None


class PhaseModel(Model):
    phase: Annotated[str, NAME, Defines("phase", "file"), Field(description="its name")]
    estimate: Annotated[
        Annotated[Ms, Duration("1s", "1d")] | None,
        Field(description="how long it takes, for the SLA. Default: the timeouts of its steps"),
    ] = None
    on_failure: Annotated[
        Literal["stop", "continue"],
        Field(
            description="of a failed step: stop, or go on with the next phase (X7). "
            "Where it stops the life ends, and people are paged"
        ),
    ] = "stop"
    after: Annotated[
        Literal["verified"] | None, Field(description="clean-up: after verification, outside the SLA (X1)")
    ] = None
    steps: Annotated[
        list[StepModel],
        Field(
            min_length=1,
            max_length=200,
            description="in their order. The next begins when the last succeeded (X1)",
        ),
    ]


class ReleaseModel(Model):
    rules = (argv_is_a_list,)

    run: Annotated[Program, Field(description="prints what is running now (D6)")]
    timeout: Annotated[CommandTimeout, Field(description="then it cannot tell. Which is never a yes")] = (
        30_000
    )


class CaptureModel(Model):
    rules = (one_of("run", "expr"), needs("shell", "run"), shell_is_said)

    name: Annotated[str, NAME, Defines("item", "file"), Field(description="unique in the plan")]
    run: Annotated[
        Program | None,
        Field(description="a program: what it leaves in $ROLLBACK_CAPTURE_DIR is kept, with what it prints"),
    ] = None
    shell: Annotated[bool, Field(description="run is one text for /bin/sh")] = False
    expr: Annotated[
        Annotated[str, Promql()] | None, Field(description="a query that yields one value: a baseline")
    ] = None
    timeout: Annotated[
        Ms, Duration("1s", "1d"), Field(description="then the capture has failed, and no rollout begins")
    ] = 10 * 60_000


class ReversibleWhileModel(Model):
    rules = (argv_is_a_list,)

    run: Annotated[Program, Field(description="0 may undo, 20 no longer, else cannot tell (D2)")]
    timeout: Annotated[CommandTimeout, Field(description="then it cannot tell")] = 30_000
    guards: Annotated[
        list[Annotated[str, NAME]],
        Refers("phase", "file"),
        Field(min_length=1, description="the phases that must not run past that point. By name"),
    ]
    alternative_plan: Annotated[
        Annotated[str, NAME] | None,
        Refers("plan"),
        Field(description="what is done instead. Another plan: people are told to start it"),
    ] = None
    description: Annotated[str, Text(most=4000, least=0, lines=True), Field(description="for people")] = ""


class ScopeModel(Model):
    phases: Annotated[
        list[Annotated[str, NAME]],
        Refers("phase", "file"),
        Field(min_length=1, max_length=100, description="the phases of this part"),
    ]
    services: Annotated[
        list[Annotated[str, NAME]] | None,
        Field(min_length=1, max_length=100, description="what it takes hold of; default all of the plan's"),
    ] = None
    widen_to: Annotated[
        Annotated[str, NAME] | None,
        Field(description="the scope that follows, from its beginning, if this one fails (X7)"),
    ] = None
    regions: Annotated[
        list[Annotated[str, NAME]] | None,
        Field(min_length=1, max_length=50, description="these alone; default all of the plan's"),
    ] = None
    summary: Annotated[Line, Field(description="when it is enough")] = ""


class ExceptionsModel(Model):
    """By requirement: why the plan does without. It is shown to whoever grants a permit (rule P1)."""

    estimates: Annotated[Line | None, Field(description="why a phase says no estimate")] = None
    verification: Annotated[Line | None, Field(description="why only the trigger proves it")] = None
    automation: Annotated[Line | None, Field(description="why not all of it runs by itself")] = None
    scopes: Annotated[Line | None, Field(description="why no part can be rolled back by itself")] = None
    data_consistency: Annotated[Line | None, Field(description="why no check of the data")] = None
    checklist: Annotated[Line | None, Field(description="why people have nothing to go through")] = None
    regions: Annotated[Line | None, Field(description="why it names no regions")] = None
    gates: Annotated[Line | None, Field(description="why no person approves before it goes on")] = None
    communication: Annotated[Line | None, Field(description="why nobody is told")] = None
    data_integrity: Annotated[Line | None, Field(description="why the data is not checked in full")] = None


class ItemModel(Model):
    item: Annotated[Line, Field(description="what a person looks at")]
    owner: Annotated[str, Text(least=0), Field(description="who is to")] = ""


class StageModel(Model):
    checks: Annotated[
        list[ValidationCheckModel],
        Field(default_factory=list, max_length=100, description="asked for as long as the stage lasts"),
    ]
    items: Annotated[
        list[ItemModel], Field(default_factory=list, max_length=100, description="ticked by a person")
    ]


class ValidationModel(Model):
    immediate: Annotated[StageModel | None, Field(description="the first 15 minutes after verified")] = None
    short_term: Annotated[StageModel | None, Field(description="until an hour after")] = None
    long_term: Annotated[StageModel | None, Field(description="until a day after")] = None


class ImpactModel(Model):
    expr: Annotated[
        str,
        SpannedPromql(),
        Field(description="a query that yields one value, as of the end; `$span` is how long it lasted"),
    ]
    words: Annotated[
        dict[Line, Annotated[Limit, Comparison()]],
        Field(
            default_factory=dict, max_length=20, description="what a value is called; the first that holds"
        ),
    ]


class PlanModel(Model):
    rules = (needs("at_once", "regions"),)

    version: Annotated[Version, Field(description="of the file's form")]
    plan: Annotated[str, NAME, Defines("plan"), Field(description="its name")]
    owner: Annotated[Line, Field(description="who answers for it. For people")]
    level: Annotated[
        Literal[2, 3, 4],
        Field(description="sets the SLA (S1). Verified within 30m at level 2, 15m at 3, 10m at 4"),
    ]
    exceptions: Annotated[
        ExceptionsModel | None,
        Field(description="what of its level the plan does without, and why (P1)"),
    ] = None
    type: Annotated[PlanType, Field(description="what is rolled back. For people")] = "application"
    risk: Annotated[Line | None, Field(description="for people")] = None
    operation: Annotated[Line | None, Field(description="the change it undoes. For people, in reports")] = (
        None
    )
    permit: Annotated[Line | None, Field(description="who allowed the change. For people, in reports")] = None
    created: Annotated[Line | None, Field(description="for people")] = None
    updated: Annotated[Line | None, Field(description="for people")] = None
    services: Annotated[
        list[Annotated[str, NAME]],
        Field(
            min_length=1,
            max_length=100,
            description="what it takes hold of (D3). Two plans that share a service never run together",
        ),
    ]
    regions: Annotated[
        list[Annotated[str, NAME]],
        Field(
            default_factory=list, max_length=50, description="where steps with `each` run; the SLA is of each"
        ),
    ]
    at_once: Annotated[
        Annotated[int, Whole(1, 50)] | None, Field(description="regions at once; default all of them")
    ] = None
    summary: Annotated[Line, Field(description="what it does")]
    notify: Annotated[
        list[Annotated[str, NAME]],
        Refers("receiver"),
        Field(
            default_factory=list,
            max_length=100,
            description="told of each turn. Receivers by name; default: `notify` of rollbackd.yml",
        ),
    ]
    ladder: Annotated[
        str, NAME, Refers("ladder"), Field(description="who is paged. A ladder of rollbackd.yml")
    ] = "default"
    env: Annotated[
        Env,
        Field(default_factory=dict, description="for everything the plan runs. A step's own comes on top"),
    ]
    needs_previous: Annotated[bool, Field(description="without a previous version known: ask (D2)")] = False
    release: Annotated[
        ReleaseModel | None,
        Field(
            description="which release runs now. "
            "A release that is neither the bad nor the restored one ends what is spent (D6)"
        ),
    ] = None
    capture: Annotated[
        list[CaptureModel],
        Field(default_factory=list, max_length=50, description="what is put aside before a change (C1)"),
    ]
    reversible_while: Annotated[
        ReversibleWhileModel | None,
        Field(description="the point of no return. Asked before the phases that it guards"),
    ] = None
    safety_checks: Annotated[
        list[SafetyCheckModel],
        Field(
            default_factory=list,
            max_length=100,
            description="a failure lowers to ask (D2). Asked before anything is done",
        ),
    ]
    phases: Annotated[list[PhaseModel], Field(min_length=1, max_length=100, description="in their order")]
    scopes: Annotated[
        dict[Annotated[str, NAME], ScopeModel],
        Field(default_factory=dict, max_length=50, description="parts that can be rolled back by themselves"),
    ]
    verification: Annotated[
        list[VerificationModel],
        Field(
            default_factory=list,
            max_length=100,
            description="what must pass to be verified (S3). "
            "Beside the trigger itself, from the last step plus `settle` on",
        ),
    ]
    manual_verification: Annotated[
        list[ItemModel],
        Field(default_factory=list, max_length=100, description="what people look at (S3)"),
    ]
    validation: Annotated[
        ValidationModel | None, Field(description="what is looked at for a day after success (S4)")
    ] = None
    impact: Annotated[
        dict[Annotated[str, NAME], ImpactModel],
        Field(default_factory=dict, max_length=50, description="what it cost, asked once at its end (S5)"),
    ]
    verify_windows: Annotated[
        int,
        Whole(0, 100),
        Field(description="ok windows in a row; 0: the checks alone. Of each subject that fired (S3)"),
    ] = 3
    settle: Annotated[
        Annotated[Ms, Duration("0s", "1d")] | None,
        Field(description="wait after the last step; default the expression's longest range"),
    ] = None
    verify_within: Annotated[
        Annotated[Ms, Duration("1s", "1d")] | None,
        Field(description="then unverified; default settle + 2·verify_windows·interval"),
    ] = None
    timeout: Annotated[
        Ms, Duration("1s", "1d"), Field(description="of all steps together; then parked (X9)")
    ] = 15 * 60_000
    sla: Annotated[
        Annotated[Ms, Duration("10s", "30m")] | None,
        Field(
            description="not laxer than the level's. From the decision to verified (S1); default: the level's"
        ),
    ] = None
    target: Annotated[
        Annotated[Ms, Duration("10s", "30m")] | None, Field(description="not laxer than the level's")
    ] = None
