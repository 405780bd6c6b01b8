"""What is to be done: idempotent requests, each known by its key.

`wanted(state)` derives them, so a restart asks for the same ones again; the world makes sure that
asking twice does once.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from rollbackd.core.model import CaptureItem, Check, Command, Family, Ms


class WindowQuery(Struct, frozen=True):
    """One expression of a watch. A `coverage` query may lack the `per` labels (see `Series`)."""

    expr: str
    role: Literal["value", "traffic", "coverage"] = "value"


class Ask(Struct, frozen=True, gc=False):
    """Ask Prometheus for the windows that end at `ends` (one: an instant query each; several: a range
    query each, `interval` apart); or for one window at its end and at moments after it (W1). Never
    before Prometheus' own clock has passed the last of them plus `delay` (T2). All of it within `budget`.
    Asks of one `family` for the same windows may be asked at once: this one's series are those where the
    family's label has this `value`."""

    watch: str
    ends: tuple[Ms, ...]
    interval: Ms
    delay: Ms
    queries: tuple[WindowQuery, ...]
    per: tuple[str, ...]
    budget: Ms
    family: Family | None = None
    value: str = ""

    @property
    def key(self) -> str:
        return f"ask/{self.watch}/{self.ends[0]}"


class AskScrapes(Struct, frozen=True):
    """Ask when the targets of a group had last been scraped as of `at`, Prometheus' time (W1). Not
    repeated: the next comes by itself."""

    group: str
    at: Ms
    sampled: str
    took: str
    budget: Ms

    @property
    def key(self) -> str:
        return f"scrapes/{self.group}"


class RunStep(Struct, frozen=True):
    """Make sure that this execution of this step runs, once (X2, X3)."""

    life: str
    execution: int
    phase: str
    step: str
    plan_hash: str
    run: Command  # its timeout is the step's
    env: dict[str, str]  # all of ROLLBACK_*
    interruptible: bool = True
    expect: str | None = None
    not_after: Ms | None = None  # steady; start nothing later than this (W7)

    @property
    def key(self) -> str:
        return f"step/{self.life}/{self.execution}"


class StopStep(Struct, frozen=True):
    """Stop that execution's whole tree: TERM, grace, KILL (X5)."""

    life: str
    execution: int

    @property
    def key(self) -> str:
        return f"stop/{self.life}/{self.execution}"


class RunCheck(Struct, frozen=True):
    """Ask one question. A check only looks: it may be asked again after a restart.

    `not_before`: steady; wait until then (a check that is asked each interval). `until`: steady; where
    set, ask once a second until it passes or that moment is reached, and answer once (X6).
    """

    key: str
    check: Check
    plan_hash: str
    env: dict[str, str]
    not_before: Ms = 0
    until: Ms | None = None


class RunCapture(Struct, frozen=True):
    """Put this item aside, anew: what an interrupted try left is thrown away. It only looks at production.
    At most `most` bytes."""

    capture: str
    item: CaptureItem
    plan_hash: str
    env: dict[str, str]
    most: int

    @property
    def key(self) -> str:
        return f"capture/{self.capture}/{self.item.name}"


class RemoveCapture(Struct, frozen=True):
    """See to it that nothing of it is left on disk."""

    capture: str

    @property
    def key(self) -> str:
        return f"uncapture/{self.capture}"


class Page(Struct, frozen=True):
    """Tell one receiver. `dedup` is the same for the firing and the resolved page (E2)."""

    page: str  # the page's id in the state
    receiver: str
    status: Literal["firing", "resolved"]
    dedup: str
    alert: Literal["RollbackdRollback", "RollbackdBlind", "RollbackdSLABreach", "RollbackdHalt"]
    title: str
    text: str
    labels: dict[str, str]
    annotations: dict[str, str]
    began: Ms
    kind: Literal["page", "tell"] = "page"

    @property
    def key(self) -> str:
        return f"page/{self.page}/{self.receiver}/{self.status}"


class KeepAlert(Struct, frozen=True):
    """A page that was accepted and is not resolved: receivers that hold a maintained state
    (Alertmanager) are told again and again until this is no longer wanted (E2)."""

    page: Page

    @property
    def key(self) -> str:
        return f"keep/{self.page.page}/{self.page.receiver}"


class WriteReport(Struct, frozen=True):
    """Write this life's report to where people look for it (E6). Tried until it is written."""

    life: str
    number: int

    @property
    def key(self) -> str:
        return f"report/{self.life}/{self.number}"


Effect: TypeAlias = (
    Ask
    | AskScrapes
    | RunStep
    | StopStep
    | RunCheck
    | RunCapture
    | RemoveCapture
    | Page
    | KeepAlert
    | WriteReport
)
