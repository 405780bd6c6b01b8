"""Hard state: the fold of the journal, and nothing else (I12).

All values are frozen; `fold.apply` makes new ones. Lives leave `State` once nothing about them is
open: ended, services released, pages resolved.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from rollbackd.core.model import (
    Action,
    Artifact,
    CaptureItem,
    Config,
    EvidenceKind,
    Ms,
    Plan,
    Rung,
    Trigger,
    Verdict,
    higher,
    lower,
)

End = Literal[
    "verified",
    "unverified",
    "failed",
    "aborted",
    "stood_down",
    "vetoed",
    "expired",
    "superseded",
    "shadowed",
    "notified",
]
LifeState = Literal[
    "checking",
    "waiting_veto",
    "waiting_approval",
    "waiting_lock",
    "running",
    "held",
    "parked",
    "verifying",
    End,
]

AUTOMATIC = "rollbackd"
"""The actor of what the daemon does by itself."""

BAD_ENDS: frozenset[str] = frozenset({"unverified", "failed", "aborted"})
"""Ends that keep their services until a person resolves the life."""

WaitKind = Literal["checking", "veto", "lock", "refused", "hold"]

LoweringReason = Literal[
    "max_action",
    "paused",
    "spent",
    "no_previous",
    "rate_limit",
    "vetoed",
    "brake",
    "safety_check",
    "capture",
    "irreversible",
    "reversibility_unknown",
    "no_rollout",
    "rollout_ended",
    "page_undelivered",
    "no_fresh_breach",
]


class Lowering(Struct, frozen=True):
    """Why an action is not what its trigger says (rule D2)."""

    to: Action
    reason: LoweringReason
    detail: str


class Seen(Struct, frozen=True, gc=False):
    """One judged window as evidence; `value` is the string Prometheus sent."""

    end: Ms
    verdict: Verdict
    value: str | None = None


class Firing(Struct, frozen=True):
    """A subject that fired, with the windows its decision rested on."""

    trigger: str
    subject: str
    labels: dict[str, str]
    value: str
    limit: str
    began: Ms  # the start of the streak's first window: Prometheus' time
    end: Ms  # the end of its last
    streak: int
    windows: tuple[Seen, ...]
    left: bool = False  # seen `ok` while waiting (D10)


class Answered(Struct, frozen=True):
    """What a check answered, kept for the page and the report."""

    name: str
    answer: Literal["pass", "fail", "cannot_tell"]
    at: Ms
    status: int | None = None
    detail: str = ""
    output: str = ""


LASTING = ("reversible", "capture")
"""What is asked while `checking`, and again after an approval."""


class Approval(Struct, frozen=True):
    by: str
    channel: str
    at: Ms
    reasons: tuple[LoweringReason, ...]


class Held(Struct, frozen=True):
    by: str
    at: Ms


ParkReason = Literal["in_doubt", "overrun", "reversibility_unknown", "gate", "manual"]


class Parked(Struct, frozen=True):
    reason: ParkReason
    detail: str
    at: Ms
    step: str = ""


Stage = Literal[
    "guarding", "asking", "ready", "running", "ended", "probing", "verifying", "backing_off", "doubtful"
]
Outcome = Literal["exited", "timed_out", "stopped", "refused", "unstarted", "in_doubt"]


class Current(Struct, frozen=True):
    """The step at hand. `execution` numbers directories, `attempt` what X6 counts."""

    phase: str
    step: str
    began: Ms
    stage: Stage
    since: Ms
    execution: int = 0
    attempt: int = 0
    doubts: int = 0  # runs again after a crash, not counted as attempts (X4)
    until: Ms | None = None  # backing off: when to run again
    not_after: Ms | None = None
    started: bool = False
    overdue: bool = False  # past its timeout and not to be interrupted (X9)
    outcome: Outcome | None = None  # of the last execution
    status: int | None = None
    tree_gone: bool = True
    expect_matched: bool = True
    detail: str = ""
    said: str = ""  # the last line of the last execution's output
    ran: tuple[int, ...] = ()  # the executions so far


class StepRecord(Struct, frozen=True):
    """A step that is behind us."""

    phase: str
    step: str
    result: Literal["done", "failed", "skipped"]
    by: str  # "run", "probe" or the person
    began: Ms
    ended: Ms
    attempts: int
    executions: tuple[int, ...]
    detail: str = ""
    tree_gone: bool = True


class Verification(Struct, frozen=True):
    """S3. Windows that begin at `settled` or later count, and checks asked from then on."""

    began: Ms
    settled: Ms
    deadline: Ms
    interval: Ms
    passes: dict[str, int] = {}  # consecutive passes of each check
    asked: dict[str, int] = {}  # how often each was asked
    last_asked: dict[str, Ms] = {}


class Validating(Struct, frozen=True):
    """S4: the stage at hand, and how its checks stand."""

    began: Ms
    stage: int = 0  # of the plan's stages
    fails: dict[str, int] = {}  # in a row, by check
    passed: dict[str, int] = {}
    last_asked: dict[str, Ms] = {}
    failing: dict[str, str] = {}  # what people were told of: check → what it said
    relapses: int = 0
    ended: Ms | None = None


class Tick(Struct, frozen=True):
    """A person looked at an item."""

    by: str
    channel: str
    at: Ms
    comment: str = ""


class Resolution(Struct, frozen=True):
    by: str
    channel: str
    at: Ms
    approach: str
    description: str
    lessons: tuple[str, ...] = ()


class Measured(Struct, frozen=True):
    """What one of the plan's impact queries said (S5); `value` None: nothing, and why."""

    name: str
    value: float | None
    word: str = ""
    detail: str = ""


class Captured(Struct, frozen=True):
    """One item of a capture. `value`: its reading, or the one number its command printed; `said`: all that it
    printed, where that is one line."""

    item: str
    at: Ms
    artifacts: tuple[Artifact, ...] = ()
    value: float | None = None
    said: str = ""


class RolloutAsked(Struct, frozen=True):
    """The rollout that begins once its capture is complete."""

    previous: str
    next: str
    open_for: Ms
    permit: str | None = None


class Capture(Struct, frozen=True):
    """The state before a change, put aside (C1); `PLAN-cN`. Its files are in a folder of that name."""

    id: str
    plan: str
    hash: str  # of the plan's folder as it was
    services: tuple[str, ...]
    wanted: tuple[CaptureItem, ...]
    env: dict[str, str]
    began: Ms
    by: str
    channel: str
    comment: str = ""
    asked: RolloutAsked | None = None
    state: Literal["running", "complete", "failed", "pruned"] = "running"
    items: tuple[Captured, ...] = ()
    ended: Ms | None = None
    failed: str = ""  # the item that failed
    detail: str = ""  # why it did, or why no rollout followed
    rollout: str | None = None  # which began with it

    def next_item(self) -> CaptureItem | None:
        """The one to be taken now."""
        taken = {captured.item for captured in self.items}
        return next((item for item in self.wanted if item.name not in taken), None)


class Life(Struct, frozen=True):
    """One rollback, from decision to end."""

    id: str
    plan: Plan
    opened: Ms
    state: LifeState
    by: str  # "rollbackd", or the person who started it
    top: Action  # what the triggers say (D1)
    action: Action  # after D2
    whole: Plan | None = None  # where `plan` is a part of it
    triggers: dict[str, Trigger] = {}
    trigger: str = ""  # the one with the highest action
    firings: tuple[Firing, ...] = ()
    lowered: tuple[Lowering, ...] = ()
    reason: str = ""
    subject: dict[str, str] = {}  # given by the person who started it
    from_step: str | None = None
    rollout: str | None = None
    previous: str | None = None
    next: str | None = None
    capture: str | None = None  # what was put aside before the change that it undoes
    captured: tuple[Captured, ...] = ()
    revision: int = 1
    checks: dict[str, Answered] = {}
    wait: WaitKind | None = None
    wait_since: Ms = 0
    wait_over: Ms | None = None  # the automatic wait has ended: D7 needs a window judged after this
    veto_until: Ms | None = None
    veto_passed: bool = False
    expires: Ms | None = None
    approval: Approval | None = None
    blocked_by: str | None = None
    held: Held | None = None
    decided: Ms | None = None  # where the SLA clock starts (S1)
    began: Ms | None = None
    overrun_at: Ms | None = None  # X9; moved on by parked and held time, and by absence
    executions: int = 0
    currents: tuple[Current, ...] = ()  # the steps at hand: one, or one a region
    steps: tuple[StepRecord, ...] = ()
    failed_phases: tuple[str, ...] = ()  # the plan went on without them (X7)
    widenings: int = 0  # how often a part was not enough (X7)
    last_step_ended: Ms | None = None
    parked: Parked | None = None
    abort: Literal["asked", "now"] | None = None
    aborted_by: str = ""  # who, and why
    verification: Verification | None = None
    verified: Ms | None = None
    validation: Validating | None = None
    ticks: dict[str, Tick] = {}
    cleanup_failed: str | None = None
    sla_breached: bool = False
    regions_breached: tuple[str, ...] = ()
    ended: Ms | None = None
    ended_by: str = AUTOMATIC
    end_detail: str = ""
    holds_services: bool = False
    processes_gone: bool = True
    resolution: Resolution | None = None
    impact: tuple[Measured, ...] | None = None  # None: it was not measured, or not yet

    def measuring(self) -> bool:
        """S5: it is over, and its impact is still to be asked."""
        ran = self.began is not None and self.ended is not None
        return ran and bool(self.plan.impact) and self.impact is None

    def validating(self) -> bool:
        return self.validation is not None and self.validation.ended is None

    def waits(self) -> bool:
        """Decided on, not begun."""
        return self.began is None and self.ended is None

    def would(self) -> Action:
        """What a shadowed life would have done: every reason but the shadow itself counts."""
        triggers = [self.triggers[found.trigger] for found in self.firings]
        action: Action = "shadow"
        for trigger in triggers:
            action = higher(action, trigger.enforced if trigger.action == "shadow" else trigger.action)
        for lowering in self.lowered:
            if lowering.reason != "max_action":
                action = lower(action, lowering.to)
        return action

    def shown(self) -> LifeState:
        """The state people see: an operator's hold shows once nothing runs."""
        if self.held and self.ended is None and not self.step_running():
            return "held"
        return self.state

    @property
    def current(self) -> Current | None:
        """The step at hand; of several the one that people are asked about, else the first."""
        asked = self.parked.step if self.parked is not None else ""
        return self.at_hand(asked) or next(iter(self.currents), None)

    def at_hand(self, step: str) -> Current | None:
        return next((current for current in self.currents if current.step == step), None)

    def executing(self, execution: int) -> Current | None:
        return next((current for current in self.currents if current.execution == execution), None)

    def untouched(self) -> bool:
        """None of its steps has started, or is behind it: also of a part that was not enough."""
        return self.last_step_ended is None and not any(current.started for current in self.currents)

    def step_running(self) -> bool:
        return any(current.stage == "running" for current in self.currents)

    def present(self) -> tuple[Firing, ...]:
        return tuple(firing for firing in self.firings if not firing.left)


class Rollout(Struct, frozen=True):
    """A change under watch (rule W9). The newest of each plan is kept."""

    id: str
    plan: str
    previous: str
    next: str
    began: Ms
    until: Ms
    by: str
    permit: str | None = None
    capture: str | None = None
    without_capture: str = ""  # why somebody did without
    state: Literal["open", "finished", "expired", "rolled_back"] = "open"
    ended: Ms | None = None


class Evidence(Struct, frozen=True):
    """What was shown of the plan with that hash; the newest of its kind (rule P1)."""

    evidence: EvidenceKind
    plan_hash: str
    by: str  # who showed it
    at: Ms
    actor: str  # who told
    channel: str
    took: Ms | None = None
    artifact: str = ""
    sha256: str = ""
    size: int = 0
    comment: str = ""


MOST_HASHES = 16
"""Of a plan's past: evidence of so many versions is kept."""

DisarmCause = Literal["fired", "standing", "first_window"]


class Disarmed(Struct, frozen=True):
    """A subject that may not fire (W8, W9, W13), and what is known of its way back."""

    trigger: str
    subject: str
    cause: DisarmCause
    at: Ms
    life: str | None = None
    end: End | None = None  # how that life ended
    rearm: Literal["pending", "streak", "cooldown", "person"] = "streak"
    cooldown: Ms = 0
    life_ended: Ms | None = None
    streak_ended: Ms | None = None
    relapsed: bool = False
    told: bool = False  # a standing or first-window breach was paged
    fired: Ms | None = None  # the end of the window it fired in: Prometheus' time

    @property
    def key(self) -> str:
        return f"{self.trigger}/{self.subject}"

    def since(self, skew: Ms) -> Ms:
        """Windows that end later say something new of it: a restart judges again what was before. It fired
        some time after its window's end (`delay`, an outage), and others may have ended meanwhile."""
        at = self.at + skew
        return at if self.fired is None else min(at, self.fired)


class Counting(Struct, frozen=True):
    """From when a trigger's windows count (W13). `first`: its first judged window is still to come,
    on a fresh journal."""

    fingerprint: str
    since: Ms
    first: bool = False


RUNGS = 16
"""Moments of an aligned window's grace: a quarter of the interval."""


class Alignment(Struct, frozen=True):
    """Where a group's windows end by what was learned, of those that begin at `since` (Prometheus' time)
    or later (W1). `targets` 0: there is no single phase, and they end at multiples of the interval."""

    interval: Ms
    align: Ms
    since: Ms
    targets: int

    @property
    def rung(self) -> Ms:
        """After a window's end it is looked for late samples at `RUNGS` moments so far apart; 0: at none."""
        return max(self.interval // 64, 1) if self.targets else 0

    @property
    def grace(self) -> Ms:
        """What was scraped so late after a window's end still belongs to it, and not to the next."""
        return RUNGS * self.rung


class Spent(Struct, frozen=True):
    """A service whose rollback has run (D6)."""

    life: str
    plan: str
    at: Ms
    bad_release: str | None = None
    restored_release: str | None = None


class RateMark(Struct, frozen=True):
    at: Ms
    life: str
    services: tuple[str, ...]


class Paused(Struct, frozen=True):
    by: str
    at: Ms
    comment: str
    service: str | None = None
    trigger: str | None = None
    until: Ms | None = None


class Acked(Struct, frozen=True):
    by: str
    channel: str
    at: Ms
    until: Ms


MatterKind = Literal["life", "sla", "blind", "source", "breach", "relapse", "halt", "configuration"]


class Matter(Struct, frozen=True):
    """Something people must be told of, on a ladder, until it is resolved (rule E1)."""

    key: str
    kind: MatterKind
    cause: str
    title: str
    text: str
    ladder: tuple[Rung, ...]
    labels: dict[str, str]
    annotations: dict[str, str]
    opened: Ms
    life: str | None = None
    plan: str | None = None
    trigger: str | None = None
    changes: int = 0  # how often its cause has changed
    rung: int = 0  # the next rung to reach
    last_paged: tuple[Ms, ...] = ()  # for each rung; 0: passed over, still to be reached
    acked: Acked | None = None


class Delivery(Struct, frozen=True):
    """Where one page stands with one receiver."""

    receiver: str
    status: Literal["owed", "accepted", "refused"] = "owed"
    reached: bool = False  # accepted at least once, so it is owed the resolution
    tries: int = 0
    again: Ms | None = None
    detail: str = ""


class PageState(Struct, frozen=True):
    """A page that was promised: delivered, or still to be (I6)."""

    id: str
    matter: str | None
    kind: Literal["page", "tell"]
    status: Literal["firing", "resolved"]
    alert: Literal["RollbackdRollback", "RollbackdBlind", "RollbackdSLABreach", "RollbackdHalt"]
    dedup: str
    title: str
    text: str
    labels: dict[str, str]
    annotations: dict[str, str]
    at: Ms
    deliveries: tuple[Delivery, ...]
    life: str | None = None
    told: tuple[str, ...] = ()  # took it when it was promised before; owed the resolution too

    def reached(self) -> tuple[str, ...]:
        """Whoever has it, from this promise or an earlier one, each once."""
        took = [delivery.receiver for delivery in self.deliveries if delivery.reached]
        return tuple(dict.fromkeys([*took, *self.told]))


class Over(Struct, frozen=True):
    """A life that has left the state: what a late word about it is answered."""

    end: LifeState
    by: str
    at: Ms
    resolved_by: str | None = None

    def __str__(self) -> str:
        ended = f"{self.end.replace('_', ' ')}" + (f" by {self.by}" if self.by != AUTOMATIC else "")
        return ended + (f", resolved by {self.resolved_by}" if self.resolved_by else "")


MOST_OVER = 100
MOST_OWED_REPORTS = 1_000


class State(Struct, frozen=True):
    config: Config | None = None
    finish_only: str | None = None  # why (J2)
    started: Ms = 0
    numbers: dict[str, int] = {}
    rollout_numbers: dict[str, int] = {}
    lives: dict[str, Life] = {}
    over: dict[str, Over] = {}  # the newest `MOST_OVER`
    rollouts: dict[str, Rollout] = {}
    captures: dict[str, Capture] = {}
    capture_numbers: dict[str, int] = {}
    counting: dict[str, Counting] = {}
    alignments: dict[str, Alignment] = {}  # by group
    subject_counting: dict[str, Ms] = {}
    disarmed: dict[str, Disarmed] = {}
    spent: dict[str, Spent] = {}
    rate: tuple[RateMark, ...] = ()
    vetoed: dict[str, Ms] = {}  # plan → until when a veto lowers it (D2)
    pauses: tuple[Paused, ...] = ()
    matters: dict[str, Matter] = {}
    pages: dict[str, PageState] = {}
    owed_reports: dict[str, int] = {}  # life → the number of the report that is to be written (E6)
    evidence: dict[str, tuple[Evidence, ...]] = {}  # by plan; one of each kind and hash, the newest last


def holders(state: State, services: tuple[str, ...], but: str = "") -> tuple[Life, ...]:
    """The lives that hold one of these services (rule D3)."""
    return tuple(
        life
        for life in state.lives.values()
        if life.holds_services and life.id != but and not set(life.plan.services).isdisjoint(services)
    )
