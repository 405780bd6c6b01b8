"""Which events happened in which state of a life, under which fault: and which never did."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, get_args

from rollbackd.core.events import EVENTS, LifeEvent
from rollbackd.core.state import End, LifeState
from rollbackd.sim import tape
from rollbackd.sim.happenings import TROUBLES

if TYPE_CHECKING:
    from collections.abc import Iterator

LINGERS: tape.Ms = 20_000
"""For how long after a fault an event counts as happening under it."""

ENDS: tuple[str, ...] = get_args(End)
OPEN = tuple(state for state in get_args(LifeState) if state not in ENDS)
SUDDEN = ("sigkill", "reboot", "reload", "broken_files", "power_cut")
FAULTS = (*TROUBLES, *SUDDEN)
NOT_DRAWN = frozenset(
    f"capture_{what}" for what in ("began", "taken", "failed", "completed", "pruned", "removed")
)
"""No simulated plan captures anything yet: stories, a real disk and the real daemon show these."""

KINDS = tuple(kind for kind in (event.kind() for event in EVENTS) if kind not in NOT_DRAWN)
LIFE_KINDS = tuple(event.kind() for event in EVENTS if issubclass(event, LifeEvent))

_BECOMES = {
    "rollback_began": "running",
    "life_parked": "parked",
    "life_held": "held",
    "verification_began": "verifying",
    "rollback_verified": "running",
    "scope_widened": "running",
    "life_opened": "checking",
}


BEFORE = frozenset({"checking", "waiting_veto", "waiting_approval", "waiting_lock", "held"})
RUNS = frozenset({"running", "held", "verifying"})

MEETS: dict[str, tuple[frozenset[str], str]] = {
    "life_opened": (frozenset(), "it is a life's first event"),
    "subject_joined": (BEFORE, "only what waits is joined"),
    "subject_left": (BEFORE, "nobody leaves what has begun"),
    "action_changed": (BEFORE - {"held"}, "an action is for what waits"),
    "wait_began": (BEFORE - {"held"} | {"running"}, "only a refused first step waits again"),
    "veto_opened": (frozenset({"waiting_veto"}), "it is the veto's own"),
    "wait_ended": (BEFORE - {"held", "waiting_approval"}, "an approval is not a wait that ends by itself"),
    "life_approved": (frozenset({"waiting_veto", "waiting_approval", "held"}), "only a question is approved"),
    "rollback_began": (BEFORE - {"held"}, "once, out of a wait"),
    "step_reached": (RUNS - {"held"}, "steps are for what has begun, and is not stopped"),
    "step_ordered": (RUNS - {"held"} | {"checking"}, "steps are for what has begun, and is not stopped"),
    "step_started": (RUNS, "a parked life runs nothing"),
    "step_ended": (RUNS, "a parked life runs nothing"),
    "step_staged": (RUNS | {"parked"}, "a step is at hand"),
    "step_overdue": (RUNS - {"verifying"}, "a step runs"),
    "step_settled": (RUNS - {"verifying"}, "a step is at hand"),
    "gate_approved": (frozenset({"parked", "held"}), "only a gate that waits"),
    "phase_failed": (RUNS - {"verifying"}, "a step is at hand"),
    "scope_widened": (RUNS, "out of a failed step, or of a proof that breaches"),
    "validation_began": (frozenset({"running", "held"}), "it follows the proof"),
    "validation_failed": (frozenset(), "its life is verified"),
    "validation_recovered": (frozenset(), "its life is verified"),
    "stage_ended": (frozenset(), "its life is verified"),
    "validation_ended": (frozenset(), "its life is verified"),
    "item_ticked": (BEFORE | RUNS | {"parked"}, "an open life is looked at"),
    "life_parked": (RUNS, "once, and only what runs"),
    "life_resumed": (frozenset({"held", "parked"}), "only what was stopped"),
    "step_confirmed": (frozenset({"parked", "held"}), "only a step in doubt"),
    "life_held": ((BEFORE | RUNS | {"parked"}) - {"held"}, "nobody holds twice"),
    "abort_asked": (RUNS | {"parked"}, "what has not begun is vetoed"),
    "verification_began": (frozenset({"running"}), "after the last step"),
    "rollback_verified": (frozenset({"verifying"}), "out of the proof"),
    "cleanup_failed": (frozenset({"running", "held"}), "clean-up follows the proof"),
    "sla_breached": (RUNS | {"parked"}, "its clock runs from the decision on"),
    "life_resolved": (frozenset(), "it follows an end"),
    "check_answered": (RUNS | {"checking"}, "nothing is asked meanwhile"),
}
"""In which states of its life a kind can be met at all, and why in no other; not listed: in every one."""


class Coverage:
    """Counts (event, state before it, fault), cheaply: it sees every record of every life."""

    def __init__(self) -> None:
        self.cells: Counter[tuple[str, str, str]] = Counter()
        self.ends: Counter[str] = Counter()
        self.states: Counter[str] = Counter()
        self.lives = 0
        self.deaths = 0
        self._state: dict[str, str] = {}
        self._held: dict[str, str] = {}  # life → its state before it was held
        self._on: dict[str, tape.Ms] = {}  # fault → until when it lingers

    def see(self, record: tape.Record) -> None:
        match record:
            case tape.Fault(at=at, name=name, on=on):
                self._on[name] = 1 << 62 if on and name in TROUBLES else at + LINGERS
            case tape.Died(at=at):
                self.deaths += 1
                self._on["power_cut"] = at + LINGERS
            case tape.FaultsOver():
                self._on.clear()
            case tape.Appended(at=at, rows=rows):
                for row in rows:
                    self._row(row, at)

    def merge(self, other: Coverage) -> None:
        self.cells.update(other.cells)
        self.ends.update(other.ends)
        self.states.update(other.states)
        self.lives += other.lives
        self.deaths += other.deaths

    def _row(self, row: tape.Row, at: tape.Ms) -> None:
        life = row.life
        state = self._state.get(life, "-") if life is not None else "-"
        faults = [name for name, until in self._on.items() if at <= until]
        for fault in faults or ("none",):
            self.cells[row.kind, state, fault] += 1
        if life is None:
            return
        becomes = _BECOMES.get(row.kind)
        if row.kind == "life_opened":
            self.lives += 1
        elif row.kind == "wait_began":
            wait = row.document["wait"]
            becomes = f"waiting_{wait}" if wait in ("veto", "approval", "lock") else "checking"
        elif row.kind == "life_ended":
            becomes = row.document["end"]
            self.ends[becomes] += 1
        elif row.kind == "life_held":
            self._held[life] = state
        elif row.kind in ("life_resumed", "step_confirmed", "gate_approved"):
            before = self._held.pop(life, "running")
            becomes = "running" if before in ("parked", "held") else before
        if becomes is not None:
            self._state[life] = becomes
            self.states[becomes] += 1

    # What is missing

    def kinds_never(self) -> list[str]:
        reached = {kind for kind, _, _ in self.cells}
        return [kind for kind in KINDS if kind not in reached]

    def states_never(self) -> list[str]:
        return [state for state in (*OPEN, *ENDS) if not self.states[state]]

    def pairs(self) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
        """(event, state) and (event, fault) that were reached."""
        return {(kind, state) for kind, state, _ in self.cells}, {(kind, f) for kind, _, f in self.cells}

    def report(self) -> Iterator[str]:
        """Lines for people: how much was reached, then every cell that was not."""
        by_state, by_fault = self.pairs()
        states = [(kind, state) for kind in LIFE_KINDS for state in OPEN if meets(kind, state)]
        faults = [(kind, fault) for kind in KINDS for fault in FAULTS]
        yield f"event × state of its life: {len(by_state & set(states))} of {len(states)} cells"
        yield f"event × fault: {len(by_fault & set(faults))} of {len(faults)} cells"
        yield f"event × state × fault: {len(self.cells)} cells reached"
        for title, reached, column in (("state", by_state, OPEN), ("fault", by_fault, FAULTS)):
            for kind in LIFE_KINDS if title == "state" else KINDS:
                never = [name for name in column if (kind, name) not in reached and meets(kind, name)]
                if never:
                    yield f"never: {kind} × {title}: {' '.join(never)}"


def meets(kind: str, column: str) -> bool:
    """Whether this kind can be met in that state; under a fault it always can."""
    known = MEETS.get(kind)
    return known is None or column not in OPEN or column in known[0]
