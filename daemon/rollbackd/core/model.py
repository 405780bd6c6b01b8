"""What the configuration means once it is read: triggers, plans, ladders, limits.

Every duration and every moment in the core is a whole number of milliseconds (`Ms`). A moment is
either *steady UTC* (rule T1) or, where a name says `end` or `prom`, Prometheus' time (rule T2).
"""

from __future__ import annotations

from operator import eq, ge, gt, le, lt, ne
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Ms: TypeAlias = int

Category = Literal["metric", "health", "business", "data_quality", "security", "customer_impact"]
Severity = Literal["critical", "high", "medium"]
Action = Literal["auto", "auto_with_warning", "ask", "notify", "shadow"]
Verdict = Literal["breach", "ok", "no_data", "low_traffic", "unknown"]
NoData = Literal["keep", "reset", "breach", "ok"]
Arm = Literal["rollout", "always"]
Operator = Literal[">", ">=", "<", "<=", "==", "!="]
PlanType = Literal["application", "database", "infrastructure", "configuration", "workflow"]

CheckKind = Literal["version", "schema", "health", "metrics", "functional", "data_consistency"]
Requirement = Literal[
    "estimates",
    "verification",
    "automation",
    "scopes",
    "data_consistency",
    "checklist",
    "regions",
    "gates",
    "communication",
    "data_integrity",
]
EvidenceKind = Literal[
    "staging",
    "production-like",
    "automatic-triggers",
    "manual",
    "partial",
    "time-measured",
    "verification",
    "rehearsal",
    "multi-region",
    "training",
    "review",
]

ACTIONS: tuple[Action, ...] = ("auto", "auto_with_warning", "ask", "notify", "shadow")
"""Highest first (rule D1)."""

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">": gt,
    ">=": ge,
    "<": lt,
    "<=": le,
    "==": eq,
    "!=": ne,
}


def lower(one: Action, other: Action) -> Action:
    """The lower of two actions (rule D2: an action is only ever lowered)."""
    return one if ACTIONS.index(one) >= ACTIONS.index(other) else other


def higher(one: Action, other: Action) -> Action:
    """The higher of two actions (rule D10: the highest trigger of a life counts)."""
    return one if ACTIONS.index(one) <= ACTIONS.index(other) else other


class Limit(Struct, frozen=True):
    """A comparison with a number: `> 0.01`."""

    op: Operator
    value: float

    def holds(self, reading: float) -> bool:
        return OPERATORS[self.op](reading, self.value)

    def __str__(self) -> str:
        return f"{self.op} {repr(self.value).removesuffix('.0')}"


class Condition(Struct, frozen=True):
    """What is asked of Prometheus each window, and when the answer is a breach.

    For a `ratio`, `expr` asks for the errors, `total` for the total, and the reading is their
    quotient; errors that are absent while the total exists are 0. `traffic` is the query whose value
    must be at least `at_least` for a window to count (for a ratio it is the total).
    `coverage` holds, for each selector, the query for the time of its newest sample (rule W14).

    Where `how` is `all` or `any` it is composed of `parts` (rule W10): of itself it asks nothing, and of
    the fields above only `longest_range` means anything, the longest of its leaves. `no_data` is a leaf's
    own.
    """

    expr: str
    breach: Limit
    total: str | None = None
    traffic: str | None = None
    at_least: float = 0.0
    coverage: tuple[str, ...] = ()
    longest_range: Ms = 0
    how: Literal["one", "all", "any"] = "one"
    parts: tuple[Condition, ...] = ()
    no_data: NoData | None = None

    def leaves(self) -> Iterator[Condition]:
        """What it asks, in order: itself, or the leaves of its parts."""
        if self.how == "one":
            yield self
        for part in self.parts:
            yield from part.leaves()

    @property
    def limit(self) -> str:
        """For people: `> 0.01`, `all(> 0.01, any(> 500, < 1))`."""
        if self.how == "one":
            return str(self.breach)
        return f"{self.how}({', '.join(part.limit for part in self.parts)})"


def composed(how: Literal["all", "any"], parts: Sequence[Condition]) -> Condition:
    """All of the parts, or any (rule W10)."""
    longest = max(part.longest_range for part in parts)
    return Condition("", Limit(">", 0.0), longest_range=longest, how=how, parts=tuple(parts))


ALL = "all"
"""The scope that is the whole plan."""


class Trigger(Struct, frozen=True):
    """One trigger rule, with every default resolved.

    `fingerprint` names what its windows mean: it changes when expr, breach, traffic, per, interval,
    windows or no_data change (rule W13).
    """

    name: str
    group: str
    plan: str
    category: Category
    severity: Severity
    action: Action
    condition: Condition
    interval: Ms
    windows: int
    fingerprint: str
    enforced: Action = "auto"  # what its severity means, where `action` is shadow
    align: Ms = 0
    auto_align: bool = False  # where windows end is learned for the group (W1); `align` is 0
    delay: Ms = 0
    per: tuple[str, ...] = ()
    no_data: NoData = "keep"
    recovered: Condition | None = None
    scope: str = ALL
    arm: Arm = "rollout"
    initial_delay: Ms = 0
    cooldown: Ms = 30 * 60_000
    veto: Ms = 5 * 60_000
    expires: Ms = 15 * 60_000
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    source: str = ""

    def recovery(self) -> Condition:
        """The condition that must be `ok` for S3."""
        return self.recovered or self.condition

    def subject_labels(self, subject: str) -> dict[str, str]:
        """The labels of a subject key (see `subject_key`)."""
        return dict(zip(self.per, subject.split(SEPARATOR), strict=True)) if self.per else {}


class Group(Struct, frozen=True):
    """A trigger group whose alignment is learned (W1). `sampled` asks when each target behind its selectors
    was last scraped, `took` for how long; one series a target, by `job` and `instance`."""

    name: str
    interval: Ms
    delay: Ms
    sampled: str
    took: str


SEPARATOR = "\x1f"
"""Joins the values of a subject's labels; a label value that contains it is refused (rule W3)."""


def subject_key(values: tuple[str, ...]) -> str:
    """The key of a subject: the values of the trigger's `per` labels, in their order.

    A string, not a tuple: ten thousand subjects are held in memory for each trigger.
    """
    return SEPARATOR.join(values)


class Command(Struct, frozen=True):
    """An argv. `./x` is relative to the plan's stored copy; a bare name is looked up on PATH."""

    argv: tuple[str, ...]
    shell: bool = False
    timeout: Ms = 30_000
    env: dict[str, str] = {}


class HttpGet(Struct, frozen=True):
    """A GET that must answer with `status`, and with `json` where given (dotted path → value)."""

    url: str
    status: int = 200
    json: dict[str, str | int | float | bool | None] = {}
    timeout: Ms = 10_000


class Query(Struct, frozen=True):
    """One PromQL expression that must yield one value within the limit."""

    expr: str
    passes: Limit


class Measure(Struct, frozen=True):
    """One PromQL expression whose one value is wanted, as of a moment (steady)."""

    expr: str
    at: Ms


class CaptureItem(Struct, frozen=True):
    """What is put aside before a change (C1): the files that a command leaves, or a reading."""

    name: str
    run: Command | None = None
    expr: str | None = None
    timeout: Ms = 10 * 60_000


class Artifact(Struct, frozen=True):
    """A captured file; `path` is below its capture's folder: ITEM/FILE. `size` in bytes."""

    path: str
    size: int
    sha256: str


class Stored(Struct, frozen=True):
    """What a capture's items are to hold on disk: these files, and no others."""

    capture: str
    items: tuple[str, ...]
    artifacts: tuple[Artifact, ...]


class Baseline(Struct, frozen=True):
    """A captured item that a check compares with: its value, times and plus something."""

    item: str
    times: float = 1.0
    plus: float = 0.0

    def of(self, value: float) -> float:
        return value * self.times + self.plus

    def __str__(self) -> str:
        times = f" * {self.times:g}" if self.times != 1 else ""
        plus = f" {'+' if self.plus > 0 else '-'} {abs(self.plus):g}" if self.plus else ""
        return f"baseline {self.item}{times}{plus}"


PREVIOUS, NEXT, BASELINE = "$previous", "$next", "$baseline"
"""What a check may want in place of a text: the version gone back to, the one that went bad, what the item
of its `baseline` printed."""


class Shown(Struct, frozen=True):
    """Evidence of the plan as it is, no older than `within`."""

    evidence: EvidenceKind
    within: Ms


class Check(Struct, frozen=True):
    """A question with the answers pass, fail, cannot tell. Exactly one of run, http, query, stored,
    measure is set; what is measured is a pass's `output`.

    As it is declared, texts may be `$previous` and the like, and with `baseline` the number of its query's
    limit is still to come; `capture.resolved` fills them in. `unknown`: why it cannot be asked."""

    name: str
    run: Command | None = None
    http: HttpGet | None = None
    query: Query | None = None
    windows: int | None = None
    on_fail: Literal["fail", "warn"] = "fail"
    every: Ms | None = None  # of validation: in place of its stage's
    prints: str | None = None  # what a command must print, and nothing else
    baseline: Baseline | None = None
    stored: Stored | None = None
    unknown: str = ""
    measure: Measure | None = None
    kind: CheckKind | None = None  # what it is about (P1)
    shown: Shown | None = None  # of safety checks: nothing is asked, the record tells


class StepVerify(Struct, frozen=True):
    """What must become true within `within` after a step's exit 0 (rule X6)."""

    query: Query
    within: Ms


class Gate(Struct, frozen=True):
    """A person approves before the plan goes on. `role`: who is asked, for people."""

    role: str = ""


class Manual(Struct, frozen=True):
    """What a person does and then confirms."""

    instruction: str
    owner: str


class Step(Struct, frozen=True):
    """One step of a phase (rules X2–X6, X8, X9). Exactly one of run, gate, manual is set."""

    name: str
    run: Command | None = None
    interrupt: Literal["always", "never"] = "always"
    irreversible: bool = False
    attempts: int = 1
    backoff: Ms = 2_000
    repeatable: bool = False  # safe to run again when we cannot tell whether it ran
    probe: Command | None = None
    expect: str | None = None
    verify: StepVerify | None = None
    gate: Gate | None = None
    manual: Manual | None = None
    each: Literal["once", "serial", "parallel"] = "once"  # serial, parallel: in each of the regions
    regions: tuple[str, ...] = ()  # of a step in each: its own, in place of the plan's
    region: str = ""  # where this one runs; "": it is of no region

    def here(self, region: str) -> Step:
        """This step as it runs in one region."""
        return replace(self, name=f"{self.name}@{region}", region=region)

    @property
    def timeout(self) -> Ms:
        """0: it waits for a person, for as long as that takes."""
        return self.run.timeout if self.run is not None else 0

    def interruptible(self) -> bool:
        return self.interrupt == "always" and not self.irreversible


class Phase(Struct, frozen=True):
    name: str
    steps: tuple[Step, ...]
    estimate: Ms | None = None
    after_verified: bool = False
    on_failure: Literal["stop", "continue"] = "stop"


class Scope(Struct, frozen=True):
    """A part of a plan that can be rolled back by itself; `widen_to`: the scope that follows if that fails
    (rule X7)."""

    name: str
    phases: tuple[str, ...]
    services: tuple[str, ...]
    widen_to: str | None = None
    summary: str = ""
    regions: tuple[str, ...] = ()  # these alone; none: the plan's


class Item(Struct, frozen=True):
    """What a named person looks at and ticks; `owner`: who is to."""

    item: str
    owner: str = ""


StageName = Literal["immediate", "short_term", "long_term"]

STAGES: Mapping[StageName, tuple[Ms, Ms]] = {
    "immediate": (15 * 60_000, 60_000),
    "short_term": (60 * 60_000, 5 * 60_000),
    "long_term": (24 * 3_600_000, 30 * 60_000),
}
"""Until when after *verified* a stage of the validation lasts, and how often its checks are asked (S4)."""


class ValidationStage(Struct, frozen=True):
    name: StageName
    checks: tuple[Check, ...] = ()
    items: tuple[Item, ...] = ()


SPAN = "$span"
"""In an impact's expression: how long the life lasted, as PromQL writes a range."""


class ImpactQuery(Struct, frozen=True):
    """What a rollback's time cost (S5). `words`: what people call a value, by the first limit that holds."""

    name: str
    expr: str
    words: dict[str, Limit] = {}

    def word(self, value: float) -> str:
        return next((word for word, limit in self.words.items() if limit.holds(value)), "")


class ReversibleWhile(Struct, frozen=True):
    """The point of no return: exit 0 may undo, 20 no longer, anything else cannot tell (rule D2)."""

    run: Command
    guards: tuple[str, ...]
    alternative_plan: str | None = None
    description: str = ""


class Plan(Struct, frozen=True):
    """A rollback plan as it was loaded; `hash` names the stored copy of its folder."""

    name: str
    hash: str
    owner: str
    level: Literal[2, 3, 4]
    services: tuple[str, ...]
    phases: tuple[Phase, ...]
    summary: str
    type: PlanType = "application"
    risk: str | None = None
    operation: str | None = None
    permit: str | None = None
    created: str | None = None
    updated: str | None = None
    notify: tuple[str, ...] = ()
    ladder: str = "default"
    env: dict[str, str] = {}
    needs_previous: bool = False
    release: Command | None = None
    capture: tuple[CaptureItem, ...] = ()  # in this order
    reversible_while: ReversibleWhile | None = None
    safety_checks: tuple[Check, ...] = ()
    verification: tuple[Check, ...] = ()
    manual_verification: tuple[Item, ...] = ()
    validation: tuple[ValidationStage, ...] = ()  # in the order of their times
    impact: tuple[ImpactQuery, ...] = ()
    verify_windows: int = 3
    settle: Ms | None = None  # None: the firing expression's longest range (S3)
    verify_within: Ms | None = None  # None: settle + 2·verify_windows·interval (S3)
    timeout: Ms = 15 * 60_000
    sla: Ms = 15 * 60_000
    target: Ms = 10 * 60_000
    scopes: tuple[Scope, ...] = ()
    scope: str = ALL  # which part of the plan this is
    regions: tuple[str, ...] = ()
    at_once: int = 0  # regions in which a parallel step runs at once; 0: all of them
    exceptions: dict[str, str] = {}  # what of its level it does without, and why (P1)

    def narrowed(self, scope: str) -> Plan:
        """This part of the whole plan: its phases, on its services. KeyError if there is no such scope."""
        if scope == ALL:
            return self
        part = {each.name: each for each in self.scopes}[scope]
        phases = tuple(phase for phase in self.phases if phase.name in part.phases)
        regions = part.regions or self.regions
        return replace(self, scope=scope, phases=phases, services=part.services, regions=regions)

    def allowed(self) -> Ms:
        """The SLA of the whole: with regions it holds for each, and those that come one after the other have
        their time one after the other (S1)."""
        serial = any(step.each == "serial" for phase in self.phases for step in phase.steps)
        return self.sla * len(self.regions) if serial and self.regions else self.sla

    def scope_names(self) -> tuple[str, ...]:
        return (ALL, *(scope.name for scope in self.scopes))

    def stages(self) -> tuple[ValidationStage, ...]:
        """What is looked at after *verified* (S4); what people verify by hand has the first stage's time."""
        if self.manual_verification and not self.validation:
            return (ValidationStage("immediate"),)
        return self.validation

    def items(self) -> tuple[Item, ...]:
        return (*self.manual_verification, *(item for stage in self.validation for item in stage.items))

    def batches(self) -> tuple[tuple[tuple[Phase, Step], ...], ...]:
        """Every step with its phase, in the order of running; clean-up phases last (rule X1). Steps of one
        batch run at once: one step in several regions. A step of a region is named `STEP@REGION`."""
        ordered = sorted(self.phases, key=lambda phase: phase.after_verified)
        return tuple(
            batch for phase in ordered for step in phase.steps for batch in self._batches(phase, step)
        )

    def _batches(self, phase: Phase, step: Step) -> tuple[tuple[tuple[Phase, Step], ...], ...]:
        if step.each == "once":
            return (((phase, step),),)
        regions = [region for region in step.regions or self.regions if region in self.regions]
        everywhere = tuple((phase, step.here(region)) for region in regions)
        if step.each == "serial":
            return tuple((one,) for one in everywhere)
        return (everywhere,) if everywhere else ()

    def steps(self) -> tuple[tuple[Phase, Step], ...]:
        """The steps of all batches, one after the other."""
        return tuple(one for batch in self.batches() for one in batch)


class Rung(Struct, frozen=True):
    """One rung of an escalation ladder (rule E1). `after` counts from the matter's beginning."""

    after: Ms
    receivers: tuple[str, ...]
    repeat: Ms | None = None
    until: Literal["acked", "resolved"] = "acked"
    title: str = ""
    instructions: str = ""


class Limits(Struct, frozen=True):
    """How many rollbacks may begin by themselves, and when the brake is drawn (rules D2, D9)."""

    rollbacks_per_hour: int = 6
    per_service_per_hour: int = 2
    brake: int = 3


class Captures(Struct, frozen=True):
    """How long captures are kept, and how many bytes one item may take."""

    keep: Ms = 30 * 24 * 3_600_000
    most: int = 10 << 30


class Opened(Struct, frozen=True):
    """A query without a label's value: what stands before and after it, in the quotes of a `=~`."""

    head: str
    tail: str


class Family(Struct, frozen=True):
    """Triggers of a group whose conditions differ in nothing but the value of one label, so that they
    can be asked at once (rule W11). `queries` are those of a window, in their order, for any values; their
    series carry `label`. `members`: trigger → value."""

    key: str
    label: str
    queries: tuple[Opened, ...]
    members: dict[str, str]


class Config(Struct, frozen=True):
    """All the core knows of the configuration. Addresses and secrets are not part of it."""

    hash: str
    instance: str
    triggers: tuple[Trigger, ...] = ()
    plans: tuple[Plan, ...] = ()
    max_action: Action = "auto"
    limits: Limits = Limits()
    captures: Captures = Captures()
    receivers: tuple[str, ...] = ()
    notify: tuple[str, ...] = ()
    ladders: dict[str, tuple[Rung, ...]] = {}
    groups: tuple[Group, ...] = ()  # those that learn their alignment
    families: tuple[Family, ...] = ()

    def plan(self, name: str) -> Plan | None:
        return next((plan for plan in self.plans if plan.name == name), None)

    def trigger(self, name: str) -> Trigger | None:
        return next((trigger for trigger in self.triggers if trigger.name == name), None)
