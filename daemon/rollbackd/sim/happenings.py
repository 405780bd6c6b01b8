"""What goes wrong in one life, as plain values: drawn from a seed, shrunk one by one, kept in a file."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

from msgspec import Struct

from rollbackd.core.model import Ms

Trouble = Literal[
    "refused",
    "error_503",
    "too_many_429",
    "drips",
    "cut_off",
    "endless",
    "redirects",
    "tls_expired",
    "all_down",
    "ten_minutes_out",
    "error_422",
    "no_json",
    "two_series",
    "warnings",
    "frozen",  # no scrapes: dead samples are served as if they were new (28, 32)
    "skewed",  # Prometheus' clock is off by `amount` (17)
    "late_answers",  # each takes `amount`
    "late_scrapes",  # some begin late, by `amount` at most
    "receiver_refuses",
    "receiver_deaf",  # takes the page, and its answer never comes
    "receiver_slow",
    "checks_fail",
    "checks_cannot_tell",
    "disk_full",
    "disk_slow",
    "disk_breaks",  # fsync fails: the process must end (11)
    "wall_jumps",  # by `amount` (16)
    "suspended",  # the machine sleeps (18), or the process is stopped
]

TROUBLES: tuple[Trouble, ...] = get_args(Trouble)

UNREACHABLE: dict[Trouble, int] = {
    "refused": 19,
    "error_503": 19,
    "too_many_429": 19,
    "drips": 20,
    "cut_off": 21,
    "endless": 25,
    "redirects": 26,
    "tls_expired": 29,
    "all_down": 30,
    "ten_minutes_out": 31,
}
"""How Prometheus does not answer, and which of docs/faults.md it is."""

UNUSABLE: dict[Trouble, int] = {"error_422": 19, "no_json": 21, "two_series": 24, "warnings": 27}

Ailment = Literal[
    "breach",
    "nan",
    "infinite",
    "absent",
    "low_traffic",
    "unscraped",
    "well",  # of a part of a condition, while its trigger is not (W10)
    "lost",  # its queries alone are not answered
    "refused",  # or cannot be
]


Files: TypeAlias = dict[str, dict[str, Any]]
"""Name → document, as YAML has it."""


class When(Struct, frozen=True, omit_defaults=True):
    """`at` ms after the beginning (what ails may have begun before it); or `after` ms after the `nth` event
    of a kind was durable; with `until`, after the moment that this event's `until` names."""

    at: Ms = 0
    on: str = ""
    nth: int = 1
    after: Ms = 0
    until: bool = False


class _Happening(Struct, frozen=True, omit_defaults=True, tag=str.lower):
    when: When


class Ails(_Happening, frozen=True):
    """The service is unwell, as one trigger sees it, or one part of its condition (`part_of`); `lasts` at
    most: a rollback that ran heals it, where `heals`. `subject`: which of its cohorts (-1: all)."""

    trigger: str
    how: Ailment
    lasts: Ms
    subject: int = -1
    heals: bool = True


class Fails(_Happening, frozen=True):
    """Something around the daemon does not work. `of`: which receiver or check ("": all)."""

    what: Trouble
    lasts: Ms = 0
    of: str = ""
    amount: Ms = 0


class Dies(_Happening, frozen=True):
    """SIGKILL; or the whole machine, with every process on it."""

    down: Ms
    machine: bool = False
    wrappers: bool = False  # the steps' wrappers are killed with it


class Says(_Happening, frozen=True):
    """A person speaks. `stale`: with a revision that has moved on; `twice`: and again at once."""

    verb: str
    answer: str = ""  # of confirm; the item; or the name that pause, start and rearm are about
    scope: str = ""  # of start
    who: str = "ann"
    stale: bool = False
    twice: bool = False


class Reloads(_Happening, frozen=True):
    """SIGHUP: to another edition of the files, or to files that cannot be used (edition -1)."""

    edition: int
    times: int = 1


Happening: TypeAlias = Ails | Fails | Dies | Says | Reloads

Goes = Literal[
    "fails",
    "hangs",
    "killed",  # by a signal, in the middle: its wrapper tells
    "lost",  # with its wrapper: nobody knows (in doubt)
    "slow",
    "unstarted",
    "unexpected",  # exit 0, but not what `expect` wants
    "leaves_a_child",
    "done_then_lost",  # it did its work, and nobody knows
]


def part_of(trigger: str, part: int) -> str:
    """What a part of a trigger's condition reads: the first the trigger's own, the others also theirs."""
    return f"{trigger}x{part}" if part else trigger


class StepGoes(Struct, frozen=True, omit_defaults=True):
    """How the `nth` execution of a step goes, of all lives. `step` may be `*`."""

    step: str
    nth: int
    how: Goes


class Crash(Struct, frozen=True, omit_defaults=True):
    """The power of the daemon's process goes at its `append`-th append to the journal.

    before: nothing of the batch was written; torn: part of it was; after: it is durable, and the daemon
    never learned of it.
    """

    append: int
    mode: Literal["before", "torn", "after"]
    machine: bool = False


class Scenario(Struct, frozen=True, omit_defaults=True):
    """One simulated life from its first second. `faults_until`: from then on nothing goes wrong."""

    seed: int
    shape: int
    faults_until: Ms
    happenings: tuple[Happening, ...] = ()
    steps: tuple[StepGoes, ...] = ()
    crashes: tuple[Crash, ...] = ()
    drift: int = 0  # of CLOCK_BOOTTIME, in parts per million
    rebooted_for: Ms = 20_000
    fresh: bool = True
    files: dict[str, Files] = {}  # edition → its own, where it must outlive the shapes of today
