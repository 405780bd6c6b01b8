"""What arrived: the only ways in which the world reaches the engine."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from rollbackd.core.model import ALL, Artifact, Config, EvidenceKind, Ms


class DaemonStarted(Struct, frozen=True):
    """The daemon is up. `fresh`: the journal is empty, or the state directory was copied (W13)."""

    config: Config | None  # None: unusable; finish what is open on the last good one (J2)
    problem: str = ""  # why the configuration is unusable
    unreadable: str = ""  # the journal holds events of a kind this version does not know (J2)
    absent: Ms = 0  # for how long no daemon ran (X9)
    fresh: bool = False


class ConfigurationLoaded(Struct, frozen=True):
    """Somebody asked for a reload; without a `channel` it was a signal (SIGHUP)."""

    config: Config
    actor: str = ""
    channel: str = ""


class ConfigurationRefused(Struct, frozen=True):
    """A reload failed; nothing changes (I15), people are told."""

    problem: str
    actor: str = ""
    channel: str = ""


class CheckpointDue(Struct, frozen=True):
    """Rows up to `upto` are older than they must be kept; those of the lives in `kept` are not all (J4)."""

    upto: int
    kept: tuple[str, ...] = ()


class Ticked(Struct, frozen=True):
    """The alarm that `wake_at` asked for went off."""


class Series(Struct, frozen=True, gc=False):
    """One query's answer, a mapping for each window asked: subject key → the value as Prometheus
    wrote it. A coverage query's value is the newest sample's time in seconds, and the key `*` stands
    for every subject (its selector lacks the trigger's `per` labels)."""

    windows: tuple[dict[str, str], ...]


class Unreachable(Struct, frozen=True):
    """No answer: worth asking again (W2)."""

    reason: str


class Unusable(Struct, frozen=True):
    """An answer that means nothing, and will not if asked again (W2, W3)."""

    reason: str


QueryAnswer: TypeAlias = Series | Unreachable | Unusable


class WindowsAnswered(Struct, frozen=True, gc=False):
    """The answers to one `Ask`, in the order of its queries.

    `skew`: Prometheus' clock minus steady UTC, as last read (T2); None where it could not be read.
    """

    watch: str
    ends: tuple[Ms, ...]
    answers: tuple[QueryAnswer, ...]
    skew: Ms | None = None


class Scrape(Struct, frozen=True):
    """When a target's newest scrape began (ms, Prometheus' time), and how long it took."""

    at: Ms
    took: Ms


class ScrapesSeen(Struct, frozen=True):
    """The answer to `AskScrapes`, by target. None: there was none; empty: nothing was scraped, or it
    cannot be told what."""

    group: str
    at: Ms
    scrapes: dict[str, Scrape] | None


class ManyAnswered(Struct, frozen=True):
    """The answers of several watches that came at once: one turn for all of them, in this order."""

    answers: tuple[WindowsAnswered, ...]


class StepBegan(Struct, frozen=True):
    """The wrapper holds the claim and has started the step."""

    life: str
    execution: int


class StepExited(Struct, frozen=True):
    """One execution of a step is over, or cannot be told (X3).

    exited     the step ended by itself with `status` (a signal n as 128 + n)
    timed_out  its timeout passed and its tree was stopped (X5); see `tree_gone`
    stopped    it was stopped because the daemon asked (`abort --now`)
    refused    `not_after` had passed: nothing ran (W7)
    unstarted  it could not be started (missing, not executable): nothing ran
    in_doubt   the wrapper is gone without an outcome: it may or may not have run
    """

    life: str
    execution: int
    outcome: Literal["exited", "timed_out", "stopped", "refused", "unstarted", "in_doubt"]
    status: int | None = None
    detail: str = ""
    output: str = ""  # the last lines, for people; the whole is in the attempt's directory
    output_bytes: int = 0
    expect_matched: bool = True
    tree_gone: bool = True
    output_sha256: str = ""  # of what was kept of the output


class CheckAnswered(Struct, frozen=True):
    """The answer to `RunCheck`. `status` is the exit status of a command that ran to its end."""

    check: str  # the effect's key
    answer: Literal["pass", "fail", "cannot_tell"]
    status: int | None = None
    detail: str = ""  # one line: what was seen against what was wanted
    output: str = ""  # a command's stripped standard output, at most 4 KiB


class CaptureTaken(Struct, frozen=True):
    """The answer to `RunCapture`: the item is durable on disk and hashed, or `detail` says why it is not."""

    capture: str
    item: str
    ok: bool
    artifacts: tuple[Artifact, ...] = ()
    value: float | None = None
    said: str = ""
    detail: str = ""


class CaptureRemoved(Struct, frozen=True):
    """The answer to `RemoveCapture`."""

    capture: str


class PageAnswered(Struct, frozen=True):
    """A receiver accepted a page, or refused it after its own retries (E2)."""

    page: str
    receiver: str
    accepted: bool
    detail: str = ""


class ReportWritten(Struct, frozen=True):
    """A report is on the disk: name → SHA-256."""

    life: str
    number: int
    files: dict[str, str]


class Ack(Struct, frozen=True, tag="ack"):
    target: str
    comment: str = ""


class Approve(Struct, frozen=True, tag="approve"):
    target: str
    revision: int | None = None
    comment: str = ""


class Veto(Struct, frozen=True, tag="veto"):
    target: str
    comment: str = ""


class Hold(Struct, frozen=True, tag="hold"):
    target: str
    comment: str = ""


class Resume(Struct, frozen=True, tag="resume"):
    target: str
    comment: str = ""


class Abort(Struct, frozen=True, tag="abort"):
    target: str
    now: bool = False
    comment: str = ""


class Confirm(Struct, frozen=True, tag="confirm"):
    """Answers a step in doubt (X4)."""

    target: str
    step: str
    answer: Literal["done", "retry", "skip"]
    revision: int | None = None
    comment: str = ""


class Resolve(Struct, frozen=True, tag="resolve"):
    """Closes a life that ended badly and releases its services."""

    target: str
    approach: str
    description: str
    processes_gone: bool = False
    lessons: tuple[str, ...] = ()


class Tick(Struct, frozen=True, tag="tick"):
    """Somebody looked at an item of a life: by its number, counted from 1, or its text."""

    target: str
    item: str
    comment: str = ""


class Start(Struct, frozen=True, tag="start"):
    """A rollback by hand (D7: overrides even `ok`)."""

    plan: str
    reason: str
    from_step: str | None = None
    subject: dict[str, str] = {}
    dry_run: bool = False
    scope: str = ALL


class BeginRollout(Struct, frozen=True, tag="begin_rollout"):
    plan: str
    previous: str
    next: str
    open_for: Ms = 2 * 3_600_000
    permit: str | None = None
    without_capture: str = ""  # why it begins without


class FinishRollout(Struct, frozen=True, tag="finish_rollout"):
    plan: str


class TakeCapture(Struct, frozen=True, tag="take_capture"):
    plan: str
    comment: str = ""


class Pause(Struct, frozen=True, tag="pause"):
    service: str | None = None
    trigger: str | None = None
    duration: Ms | None = None
    comment: str = ""


class Unpause(Struct, frozen=True, tag="unpause"):
    service: str | None = None
    trigger: str | None = None
    comment: str = ""


class Rearm(Struct, frozen=True, tag="rearm"):
    """Arms a trigger's subjects again, or makes a spent plan's services fresh (D6)."""

    trigger: str | None = None
    plan: str | None = None
    subject: dict[str, str] = {}
    comment: str = ""


class AddEvidence(Struct, frozen=True, tag="add_evidence"):
    """What was shown of a plan (P1). `plan_hash`, or its beginning: of the plan that it was shown of; empty:
    the one in force. The artifact stays where it is; its SHA-256 and size in bytes tell it again."""

    plan: str
    evidence: EvidenceKind
    by: str
    took: Ms | None = None
    plan_hash: str = ""
    artifact: str = ""
    sha256: str = ""
    size: int = 0
    comment: str = ""


Verb: TypeAlias = (
    Ack
    | Approve
    | Veto
    | Hold
    | Resume
    | Abort
    | Confirm
    | Resolve
    | Tick
    | Start
    | BeginRollout
    | FinishRollout
    | TakeCapture
    | Pause
    | Unpause
    | Rearm
    | AddEvidence
)


class OperatorSpoke(Struct, frozen=True):
    """A person (or their tool) said something. `request` names the call, so that its answer finds it."""

    request: int
    verb: Verb
    actor: str
    channel: str


class JournalRecovered(Struct, frozen=True):
    """Appends work again after they failed (E5). `reserve_freed`: the reserve file was given up."""

    reason: str
    down: Ms
    reserve_freed: bool = False


Signal: TypeAlias = (
    DaemonStarted
    | ConfigurationLoaded
    | ConfigurationRefused
    | Ticked
    | WindowsAnswered
    | ScrapesSeen
    | ManyAnswered
    | StepBegan
    | StepExited
    | CheckAnswered
    | CaptureTaken
    | CaptureRemoved
    | PageAnswered
    | ReportWritten
    | OperatorSpoke
    | JournalRecovered
    | CheckpointDue
)
