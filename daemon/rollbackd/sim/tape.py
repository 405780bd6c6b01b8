"""What happened in one simulated world, in order: the only thing the auditor sees.

Journal rows are plain documents as they lie on disk, effects plain mappings: the auditor must not need
the engine's types to read them. `at` is the world's true time in milliseconds of UTC; the daemon's own
times inside documents are steady UTC (rule T1), and windows end in Prometheus' time (rule T2).
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct

Ms: TypeAlias = int


class Booted(Struct, frozen=True):
    """A daemon process began. `steady`: what its clock said; `pid` numbers the processes from 1."""

    at: Ms
    steady: Ms
    pid: int
    boot: str


class Died(Struct, frozen=True):
    """It is gone: killed, with its disk (`broken`: it ended itself), or with its machine."""

    at: Ms
    why: Literal["killed", "broken", "rebooted"]


class Row(Struct, frozen=True):
    seq: int
    kind: str
    life: str | None
    document: dict[str, Any]


class Appended(Struct, frozen=True):
    """A batch is durable. What a crash took with it was never here."""

    at: Ms
    steady: Ms
    batch: int
    actor: str
    rows: tuple[Row, ...]


class Refused(Struct, frozen=True):
    """An append was refused: the disk was full."""

    at: Ms


class Halted(Struct, frozen=True):
    """The daemon paged, unjournalled, that it cannot write (rule E5)."""

    at: Ms
    reason: str


class Started(Struct, frozen=True):
    """The daemon asked for an effect. `effect` is its type in snake_case: ask, run_step, stop_step,
    run_check, page, keep_alert; `fields` are its own."""

    at: Ms
    steady: Ms
    key: str
    effect: str
    fields: dict[str, Any]


class Cancelled(Struct, frozen=True):
    at: Ms
    key: str


class Told(Struct, frozen=True):
    """What Prometheus said about windows, as it reached the daemon; `ends` and `interval` as in the `Ask`.
    One entry of `answers` for each of its queries: its role, and either the series of each window
    (subject → text) or why there is none."""

    at: Ms
    steady: Ms
    watch: str
    ends: tuple[Ms, ...]
    interval: Ms
    answers: tuple[Answer, ...]
    skew: Ms | None


class Answer(Struct, frozen=True):
    role: Literal["value", "traffic", "coverage"]
    windows: tuple[dict[str, str], ...] | None
    failure: Literal["", "unreachable", "unusable"] = ""


class Process(Struct, frozen=True):
    """What really happened on the host to one execution of a step.

    began    its first instruction ran
    ended    it ended by itself or was stopped; `status`, and `done`: whether its work took effect
    refused  it was too late to start it (W7)
    lost     its wrapper, or the machine, died with it: nobody knows its outcome
    """

    at: Ms
    life: str
    execution: int
    step: str
    what: Literal["began", "ended", "refused", "lost"]
    status: int | None = None
    done: bool = False


class Probed(Struct, frozen=True):
    """A check, a probe or a guard ran and answered. `name` is the check's own."""

    at: Ms
    key: str
    name: str
    answer: Literal["pass", "fail", "cannot_tell"]
    status: int | None


class Delivered(Struct, frozen=True):
    """A page reached a receiver, whether or not the daemon learned of it."""

    at: Ms
    page: str
    receiver: str
    status: Literal["firing", "resolved"]
    dedup: str
    kind: Literal["page", "tell"]


class Spoke(Struct, frozen=True):
    """A person said something; `verb` is its tag, `fields` the rest of it."""

    at: Ms
    request: int
    actor: str
    verb: str
    fields: dict[str, Any]


class Replied(Struct, frozen=True):
    at: Ms
    request: int
    accepted: bool
    conflict: bool
    text: str


class Reloaded(Struct, frozen=True):
    """The files were read again: the new configuration's hash, or what is wrong with them."""

    at: Ms
    hash: str = ""
    problem: str = ""


class Fault(Struct, frozen=True):
    """Something goes wrong from here on, or is over: for coverage, and for the reader of a tape."""

    at: Ms
    name: str
    on: bool


class Tampered(Struct, frozen=True):
    """Somebody changed a copy of the journal: whether reading it shows that (I13)."""

    at: Ms
    what: str
    found: bool


class FaultsOver(Struct, frozen=True):
    """From here on nothing goes wrong any more, and people answer their pages."""

    at: Ms


class Finished(Struct, frozen=True):
    """The end. `state` is the daemon's, encoded; `folded` what its journal's bytes alone give (I12)."""

    at: Ms
    steady: Ms
    state: bytes
    folded: bytes


Record: TypeAlias = (
    Booted
    | Died
    | Appended
    | Refused
    | Halted
    | Started
    | Cancelled
    | Told
    | Process
    | Probed
    | Delivered
    | Spoke
    | Replied
    | Reloaded
    | Fault
    | Tampered
    | FaultsOver
    | Finished
)


class Violation(Exception):
    """An invariant or a rule does not hold. `rule` is its number in docs/semantics.md."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule
        self.text = text
