"""What became true. Past tense; each is one row of the journal.

A kind's fields only ever grow, with defaults; anything else is a new `version` and an upcaster in
`journal.codec` (rule J2). Golden files hold one row of each.
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from msgspec import Struct

from rollbackd.core.model import (
    Action,
    Artifact,
    Config,
    EvidenceKind,
    Ms,
    Plan,
    Rung,
    StageName,
    Trigger,
)
from rollbackd.core.state import (
    Captured,
    DisarmCause,
    End,
    Firing,
    Lowering,
    LoweringReason,
    MatterKind,
    Measured,
    ParkReason,
    RolloutAsked,
    Seen,
    Stage,
    State,
    WaitKind,
)

StepResult = Literal["done", "failed", "skipped"]
BadEnd = Literal["failed", "aborted", "unverified"]
AlignmentReason = Literal["learned", "drifted", "lost"]
ArmReason = Literal["ok", "streak_ended", "cooled_down", "person", "rollout", "forgotten"]


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Event(Struct, frozen=True, kw_only=True, tag_field="kind", tag=_snake, omit_defaults=True):
    """The base of all events; `at` is steady UTC."""

    version: ClassVar[int] = 1
    at: Ms

    @classmethod
    def kind(cls) -> str:
        return _snake(cls.__name__)


class LifeEvent(Event, frozen=True, kw_only=True):
    """An event of one life."""

    life: str


# The daemon


class DaemonStarted(Event, frozen=True, kw_only=True):
    absent: Ms = 0
    fresh: bool = False
    finish_only: str | None = None  # why the configuration cannot be used (J2)


class ConfigurationLoaded(Event, frozen=True, kw_only=True):
    config: Config
    by: str = "rollbackd"
    channel: str = ""


class ConfigurationRefused(Event, frozen=True, kw_only=True):
    problem: str
    by: str = "rollbackd"
    channel: str = ""


class JournalRecovered(Event, frozen=True, kw_only=True):
    reason: str
    down: Ms
    reserve_freed: bool = False


class Checkpoint(Event, frozen=True, kw_only=True):
    """`state` is the fold of all rows before this one, which need not be there any more (J4): the bodies of
    rows up to `upto` may go, but those of the lives in `kept`, and those of older checkpoints."""

    upto: int
    kept: tuple[str, ...]
    state: State


# Counting and arming (W8, W9, W13)


class TriggerCounted(Event, frozen=True, kw_only=True):
    """Windows of this trigger that begin at `since` or later count."""

    trigger: str
    fingerprint: str
    since: Ms
    why: Literal["loaded", "changed", "unpaused", "rearmed"]
    first: bool = False


class AlignmentLearned(Event, frozen=True, kw_only=True):
    """The windows of this group that begin at `since` (Prometheus' time) or later end at whole multiples
    of the interval plus `align` (W1). It rests on successive observations of its targets' scrapes, which
    began within `spread` of each other and took `took`. `lost`: they no longer share a phase."""

    group: str
    interval: Ms
    align: Ms
    since: Ms
    why: AlignmentReason
    targets: int
    observations: int
    spread: Ms
    took: Ms


class TriggerForgotten(Event, frozen=True, kw_only=True):
    """The trigger is gone from the files."""

    trigger: str


class FirstWindowJudged(Event, frozen=True, kw_only=True):
    trigger: str


class SubjectDisarmed(Event, frozen=True, kw_only=True):
    trigger: str
    subject: str
    cause: DisarmCause
    life: str | None = None


class StandingTold(Event, frozen=True, kw_only=True):
    """A breach that may not act (standing, or found at the first boot) was told to people."""

    trigger: str
    subject: str


class StreakEnded(Event, frozen=True, kw_only=True):
    """A disarmed subject was `ok`, or retired."""

    trigger: str
    subject: str


class SubjectArmed(Event, frozen=True, kw_only=True):
    trigger: str
    subject: str
    why: ArmReason
    by: str = "rollbackd"
    channel: str = ""
    comment: str = ""


class Relapsed(Event, frozen=True, kw_only=True):
    """A disarmed subject's streak was satisfied by windows that began after its life ended."""

    trigger: str
    subject: str
    life: str
    end: Ms


# Rollouts (W9)


class RolloutBegan(Event, frozen=True, kw_only=True):
    rollout: str
    plan: str
    previous: str
    next: str
    until: Ms
    by: str
    channel: str
    permit: str | None = None
    capture: str | None = None
    without_capture: str = ""  # why somebody did without


class RolloutFinished(Event, frozen=True, kw_only=True):
    rollout: str
    plan: str
    by: str
    channel: str


class RolloutExpired(Event, frozen=True, kw_only=True):
    rollout: str
    plan: str


class RolloutRolledBack(Event, frozen=True, kw_only=True):
    rollout: str
    plan: str
    life: str


# Captures (C1)


class CaptureBegan(Event, frozen=True, kw_only=True):
    """Before a change: the items of `plan` are put aside in their order. `rollout`: what begins then."""

    capture: str
    plan: Plan
    by: str
    channel: str
    comment: str = ""
    rollout: RolloutAsked | None = None


class CaptureTaken(Event, frozen=True, kw_only=True):
    """This item is durable on disk, with these hashes."""

    capture: str
    item: str
    artifacts: tuple[Artifact, ...] = ()
    value: float | None = None
    said: str = ""


class CaptureFailed(Event, frozen=True, kw_only=True):
    """The capture is over; a rollout that waited for it does not begin."""

    capture: str
    item: str
    detail: str


class CaptureCompleted(Event, frozen=True, kw_only=True):
    """`refused`: why the rollout that waited for it may no longer begin."""

    capture: str
    refused: str = ""


class CapturePruned(Event, frozen=True, kw_only=True):
    """It is old and nobody needs it: its files are removed."""

    capture: str


class CaptureRemoved(Event, frozen=True, kw_only=True):
    """Nothing of it is left on disk."""

    capture: str


# Pauses and re-arming by people


class PauseBegan(Event, frozen=True, kw_only=True):
    by: str
    channel: str
    comment: str
    service: str | None = None
    trigger: str | None = None
    until: Ms | None = None


class PauseEnded(Event, frozen=True, kw_only=True):
    by: str
    channel: str
    comment: str = ""
    service: str | None = None
    trigger: str | None = None


class ServicesUnspent(Event, frozen=True, kw_only=True):
    """These services count as fresh again (D6)."""

    services: tuple[str, ...]
    why: Literal["rollout", "release", "person", "stood_down"]
    by: str = "rollbackd"
    channel: str = ""
    comment: str = ""


# What was shown of plans (P1)


class EvidenceAdded(Event, frozen=True, kw_only=True):
    """It holds for the plan with that hash alone. `said_by` showed it, says `by`."""

    plan: str
    plan_hash: str
    evidence: EvidenceKind
    said_by: str
    by: str
    channel: str
    took: Ms | None = None
    artifact: str = ""
    sha256: str = ""
    size: int = 0  # bytes
    comment: str = ""


# A life before it begins


class LifeOpened(LifeEvent, frozen=True, kw_only=True):
    """Triggers fired, or a person started a plan. The plan and triggers are as they stood."""

    plan: Plan
    by: str
    channel: str = ""
    top: Action
    action: Action
    lowered: tuple[Lowering, ...] = ()
    triggers: dict[str, Trigger] = {}
    trigger: str = ""
    firings: tuple[Firing, ...] = ()
    reason: str = ""
    subject: dict[str, str] = {}
    from_step: str | None = None
    rollout: str | None = None
    previous: str | None = None
    next: str | None = None
    whole: Plan | None = None  # where `plan` is a part of it: the whole, for widening
    capture: str | None = None
    captured: tuple[Captured, ...] = ()


class SubjectJoined(LifeEvent, frozen=True, kw_only=True):
    firing: Firing
    definition: Trigger


class SubjectLeft(LifeEvent, frozen=True, kw_only=True):
    trigger: str
    subject: str
    end: Ms  # of the `ok` window


class ActionChanged(LifeEvent, frozen=True, kw_only=True):
    top: Action
    action: Action
    lowered: tuple[Lowering, ...]
    trigger: str = ""


class CheckAnswered(LifeEvent, frozen=True, kw_only=True):
    """`check` is the key it was asked under; `name` the check's own."""

    check: str
    name: str
    answer: Literal["pass", "fail", "cannot_tell"]
    status: int | None = None
    detail: str = ""
    output: str = ""


class WaitBegan(LifeEvent, frozen=True, kw_only=True):
    """`until` is the veto's or approval's end; a veto has none until a receiver accepted its page (D8)."""

    wait: WaitKind | Literal["approval"]
    until: Ms | None = None
    blocked_by: str | None = None


class VetoOpened(LifeEvent, frozen=True, kw_only=True):
    until: Ms


class WaitEnded(LifeEvent, frozen=True, kw_only=True):
    """An automatic wait is over; what follows needs a window judged from now on (D7)."""

    wait: WaitKind


class LifeApproved(LifeEvent, frozen=True, kw_only=True):
    by: str
    channel: str
    reasons: tuple[LoweringReason, ...]
    comment: str = ""


# Execution


class RollbackBegan(LifeEvent, frozen=True, kw_only=True):
    """The decision is final: the services are taken and spent, and the rate is counted.

    Carries the whole plan, the triggers and the windows that fired, as they stood."""

    plan: Plan
    triggers: dict[str, Trigger]
    firings: tuple[Firing, ...]
    action: Action
    lowered: tuple[Lowering, ...]
    decided: Ms
    overrun_at: Ms
    rollout: str | None = None
    previous: str | None = None
    next: str | None = None
    config_hash: str = ""


class StepReached(LifeEvent, frozen=True, kw_only=True):
    """The next step is at hand; `stage` is guarding where the point of no return is asked first."""

    phase: str
    step: str
    stage: Stage


class StepOrdered(LifeEvent, frozen=True, kw_only=True):
    """The intent, durable before the process exists (X3)."""

    phase: str
    step: str
    execution: int
    attempt: int
    doubts: int = 0
    not_after: Ms | None = None


class StepStarted(LifeEvent, frozen=True, kw_only=True):
    step: str
    execution: int


class StepEnded(LifeEvent, frozen=True, kw_only=True):
    """One execution is over, or in doubt; what it means for the step follows."""

    step: str
    execution: int
    outcome: Literal["exited", "timed_out", "stopped", "refused", "unstarted", "in_doubt"]
    status: int | None = None
    detail: str = ""
    output: str = ""
    output_bytes: int = 0
    expect_matched: bool = True
    tree_gone: bool = True
    output_sha256: str = ""  # of what was kept of it, in the attempt's directory


class StepStaged(LifeEvent, frozen=True, kw_only=True):
    """The step at hand goes on to another stage: verifying, probing, backing off."""

    step: str
    stage: Stage
    until: Ms | None = None
    detail: str = ""


class StepOverdue(LifeEvent, frozen=True, kw_only=True):
    """Past its timeout, and never to be interrupted: people are told (X9)."""

    step: str
    execution: int


class StepSettled(LifeEvent, frozen=True, kw_only=True):
    """The step is behind us."""

    phase: str
    step: str
    result: StepResult
    by: str
    attempts: int
    executions: tuple[int, ...]
    detail: str = ""
    tree_gone: bool = True


class PhaseFailed(LifeEvent, frozen=True, kw_only=True):
    """One of its steps failed, and the plan goes on without the rest of it (`on_failure: continue`, X7)."""

    phase: str
    detail: str


class ScopeWidened(LifeEvent, frozen=True, kw_only=True):
    """The part that was to be rolled back was not enough: `plan` is run from its beginning (X7)."""

    plan: Plan
    overrun_at: Ms
    why: str


class LifeParked(LifeEvent, frozen=True, kw_only=True):
    """It waits for a person; `step`: about which step, where it is about one."""

    reason: ParkReason
    detail: str
    step: str = ""


class LifeResumed(LifeEvent, frozen=True, kw_only=True):
    """By a person, from held or parked. `overrun_at` is the new one (X9)."""

    by: str
    channel: str
    overrun_at: Ms | None = None
    comment: str = ""


class StepConfirmed(LifeEvent, frozen=True, kw_only=True):
    """A person said what became of a step in doubt (X4)."""

    step: str
    answer: Literal["done", "retry", "skip"]
    by: str
    channel: str
    overrun_at: Ms | None = None
    comment: str = ""


class GateApproved(LifeEvent, frozen=True, kw_only=True):
    """A person let the plan go on past this step. `overrun_at` is the new one (X9)."""

    step: str
    by: str
    channel: str
    overrun_at: Ms | None = None
    comment: str = ""


class LifeHeld(LifeEvent, frozen=True, kw_only=True):
    by: str
    channel: str
    comment: str = ""


class AbortAsked(LifeEvent, frozen=True, kw_only=True):
    by: str
    channel: str
    now: bool
    comment: str = ""


class VerificationBegan(LifeEvent, frozen=True, kw_only=True):
    settled: Ms
    deadline: Ms
    interval: Ms


class RollbackVerified(LifeEvent, frozen=True, kw_only=True):
    """Proven by S3; `windows` are the `ok` windows of each firing subject."""

    windows: dict[str, tuple[Seen, ...]] = {}


class ValidationBegan(LifeEvent, frozen=True, kw_only=True):
    """Looking on for a day (S4)."""


class ValidationFailed(LifeEvent, frozen=True, kw_only=True):
    """A check has failed twice running: people are paged, as of a relapse."""

    stage: StageName
    check: str
    detail: str


class ValidationRecovered(LifeEvent, frozen=True, kw_only=True):
    stage: StageName
    check: str


class StageEnded(LifeEvent, frozen=True, kw_only=True):
    """`unproven`: checks that never passed in it; `unticked`: items nobody looked at."""

    stage: StageName
    failing: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    unticked: tuple[str, ...] = ()


class ValidationEnded(LifeEvent, frozen=True, kw_only=True):
    """All its stages are over, or something has overtaken it."""

    why: str = ""


class ItemTicked(LifeEvent, frozen=True, kw_only=True):
    item: str
    by: str
    channel: str
    comment: str = ""


class CleanupFailed(LifeEvent, frozen=True, kw_only=True):
    detail: str


class SlaBreached(LifeEvent, frozen=True, kw_only=True):
    """By the whole, or by one region (S1)."""

    sla: Ms
    consequence: str
    region: str = ""


class LifeEnded(LifeEvent, frozen=True, kw_only=True):
    end: End
    detail: str = ""
    by: str = "rollbackd"
    channel: str = ""
    comment: str = ""
    processes_gone: bool = True
    successor: str | None = None  # the life that took its subjects over (superseded)


class LifeResolved(LifeEvent, frozen=True, kw_only=True):
    by: str
    channel: str
    approach: str
    description: str
    lessons: tuple[str, ...] = ()


class ImpactMeasured(LifeEvent, frozen=True, kw_only=True):
    """What the time from `since` to `until` cost, as the plan's queries say (S5)."""

    since: Ms
    until: Ms
    found: tuple[Measured, ...]


class ReportWritten(LifeEvent, frozen=True, kw_only=True):
    """`files`: name → SHA-256 of what was written (E6)."""

    number: int
    files: dict[str, str]


# Telling people (E1–E3)


class MatterOpened(Event, frozen=True, kw_only=True):
    matter: str
    matter_kind: MatterKind
    cause: str
    title: str
    text: str
    ladder: tuple[Rung, ...]
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    life: str | None = None
    plan: str | None = None
    trigger: str | None = None


class MatterChanged(Event, frozen=True, kw_only=True):
    """The same matter has another cause now: it climbs its ladder anew."""

    matter: str
    cause: str
    title: str
    text: str
    life: str | None = None


class RungReached(Event, frozen=True, kw_only=True):
    matter: str
    rung: int
    repeat: bool = False
    life: str | None = None


class MatterAcked(Event, frozen=True, kw_only=True):
    matter: str
    by: str
    channel: str
    until: Ms
    comment: str = ""
    life: str | None = None


class MatterResolved(Event, frozen=True, kw_only=True):
    matter: str
    why: str
    life: str | None = None


class PagePromised(Event, frozen=True, kw_only=True):
    """A page is owed to these receivers, from now until each accepted it or it is given up (E2)."""

    page: str
    page_kind: Literal["page", "tell"]
    alert: Literal["RollbackdRollback", "RollbackdBlind", "RollbackdSLABreach", "RollbackdHalt"]
    receivers: tuple[str, ...]
    dedup: str
    title: str
    text: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    matter: str | None = None
    life: str | None = None


class PageDelivered(Event, frozen=True, kw_only=True):
    page: str
    receiver: str
    status: Literal["firing", "resolved"]
    life: str | None = None


class PageRefused(Event, frozen=True, kw_only=True):
    """The receiver did not take it; `next` are the receivers that get it instead, `again` when this
    one is tried again (None: given up)."""

    page: str
    receiver: str
    detail: str
    next: tuple[str, ...] = ()
    again: Ms | None = None
    life: str | None = None


EVENTS: tuple[type[Event], ...] = (
    DaemonStarted,
    ConfigurationLoaded,
    ConfigurationRefused,
    JournalRecovered,
    Checkpoint,
    TriggerCounted,
    AlignmentLearned,
    TriggerForgotten,
    FirstWindowJudged,
    SubjectDisarmed,
    StandingTold,
    StreakEnded,
    SubjectArmed,
    Relapsed,
    RolloutBegan,
    RolloutFinished,
    RolloutExpired,
    RolloutRolledBack,
    CaptureBegan,
    CaptureTaken,
    CaptureFailed,
    CaptureCompleted,
    CapturePruned,
    CaptureRemoved,
    PauseBegan,
    PauseEnded,
    ServicesUnspent,
    EvidenceAdded,
    LifeOpened,
    SubjectJoined,
    SubjectLeft,
    ActionChanged,
    CheckAnswered,
    WaitBegan,
    VetoOpened,
    WaitEnded,
    LifeApproved,
    RollbackBegan,
    StepReached,
    StepOrdered,
    StepStarted,
    StepEnded,
    StepStaged,
    StepOverdue,
    StepSettled,
    PhaseFailed,
    ScopeWidened,
    LifeParked,
    LifeResumed,
    StepConfirmed,
    GateApproved,
    LifeHeld,
    AbortAsked,
    VerificationBegan,
    RollbackVerified,
    ValidationBegan,
    ValidationFailed,
    ValidationRecovered,
    StageEnded,
    ValidationEnded,
    ItemTicked,
    CleanupFailed,
    SlaBreached,
    LifeEnded,
    LifeResolved,
    ImpactMeasured,
    ReportWritten,
    MatterOpened,
    MatterChanged,
    RungReached,
    MatterAcked,
    MatterResolved,
    PagePromised,
    PageDelivered,
    PageRefused,
)
