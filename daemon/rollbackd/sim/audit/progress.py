"""Nothing stands still that could go on: what an open life calls for is done (I14; D3, D7, X1–X8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.sim.audit.book import AUTOMATIC, Noun
from rollbackd.sim.tape import Booted, Cancelled, Died, Started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.sim.audit.book import Book, Doc, Life, Step
    from rollbackd.sim.tape import Ms

KINDS = (
    *("life_opened", "subject_joined", "subject_left", "action_changed", "check_answered", "wait_began"),
    *("veto_opened", "wait_ended", "life_approved", "rollback_began", "step_reached", "step_ordered"),
    *("step_ended", "step_staged", "step_settled", "life_parked", "life_resumed", "step_confirmed"),
    *("gate_approved", "phase_failed", "scope_widened", "validation_began", "validation_failed"),
    *("validation_recovered", "stage_ended", "validation_ended"),
    *("life_held", "abort_asked", "verification_began", "rollback_verified", "life_ended", "life_resolved"),
)


class Progress(Noun):
    def __init__(self, book: Book) -> None:
        super().__init__(book)
        self._touched: dict[str, None] = {}
        self._under_way: set[str] = set()
        self._owed: dict[str, set[str]] = {}  # life → what is owed to it
        self._timed: dict[str, set[tuple[str, str, str]]] = {}  # life → dues of its steps
        self.rows = dict.fromkeys(KINDS, self._touch)
        self.rows["daemon_started"] = self._all
        self.rows["step_overdue"] = self._touch
        self.records = {
            Started: self._started,
            Cancelled: self._cancelled,
            Booted: self._anew,
            Died: self._anew,
        }

    def _touch(self, document: Doc) -> None:
        self._touched[document["life"]] = None
        if document["kind"] == "check_answered":
            self._under_way.discard(document["check"])
        elif document["kind"] == "step_ended":
            self._under_way.discard(f"step/{document['life']}/{document['execution']}")

    def _all(self, _: Doc) -> None:
        self._touched.update(dict.fromkeys(self.book.lives))

    def _anew(self, _: Booted | Died) -> None:
        self._under_way.clear()

    def _started(self, record: Started) -> None:
        if record.effect in ("run_step", "run_check", "stop_step"):
            self._under_way.add(record.key)
            self.book.dues.settle(("do", record.key))

    def _cancelled(self, record: Cancelled) -> None:
        self._under_way.discard(record.key)

    def settle(self, at: Ms) -> None:
        if not self._touched:
            return
        for name in self._touched:
            life = self.book.lives.get(name)
            alive = life is not None and life.ended is None and not self.book.frozen
            looked_at = life is not None and life.validation is not None and not self.book.frozen
            wanted = set(self._wanted(life)) if (alive or looked_at) and life is not None else set()
            for key in self._owed.get(name, set()) - wanted:
                self.book.dues.settle(("do", key))
            for key in sorted(wanted - self._under_way):
                self.book.dues.owe(("do", key), at, "X3")
            self._owed[name] = wanted
            if not wanted:
                del self._owed[name]
            self._time(name, life if alive else None)
            if alive and life is not None and life.held is None:
                self._rests(life, at)
        self._touched.clear()
        for life in self.book.lives.values():
            if life.state == "waiting_lock" and life.wait_over is None and life.ended is None:
                self._locked(life)

    def _time(self, name: str, life: Life | None) -> None:
        """A step that may not be interrupted is told of at its timeout, and one that pauses goes on (X9)."""
        owed: dict[tuple[str, str, str], tuple[Ms, str]] = {}
        for step in life.at_hand.values() if life is not None and life.parked is None else ():
            never = step.definition.get("interrupt") == "never" or step.definition.get("irreversible")
            if step.stage == "running" and never and not step.overdue:
                due = step.since + step.definition["run"].get("timeout", 30_000)
                owed["overdue", name, step.name] = due, "X9"
            elif step.stage == "backing_off" and life is not None and not self._stopped(life):
                owed["again", name, step.name] = step.until or step.since, "X6"
        for key in self._timed.pop(name, set()) - set(owed):
            self.book.dues.settle(key)
        for key, (due, rule) in owed.items():
            self.book.dues.owe(key, due, rule)
        if owed:
            self._timed[name] = set(owed)

    def _stopped(self, life: Life) -> bool:
        return life.held is not None or life.parked is not None or life.failed() or bool(life.abort)

    # What is to be done

    def _wanted(self, life: Life) -> Iterator[str]:
        """The keys of the effects that this life calls for."""
        check = f"check/{life.id}"
        if life.ended is not None:
            for stage, known in life.validation.checks() if life.validation is not None else ():
                yield f"{check}/validate/{stage}/{known['name']}"
        elif life.began is None:
            if life.state == "checking":
                yield from (f"{check}/{slot}" for slot in life.checks_wanted() if slot not in life.checks)
        elif life.at_hand:
            for step in life.at_hand.values():
                yield from self._of_step(life, step)
        elif life.verified is not None:
            if life.plan.get("release") and "restored/release" not in life.checks:
                yield f"{check}/restored/release"
        elif life.verification is not None and life.held is None and life.parked is None:
            yield from (f"{check}/verify/{known['name']}" for known in life.plan.get("verification", ()))

    def _of_step(self, life: Life, step: Step) -> Iterator[str]:
        if step.stage == "running":
            yield f"step/{life.id}/{step.execution}"
            if life.abort == "now":
                yield f"stop/{life.id}/{step.execution}"
        slot = self._slot(step)
        if slot and not self._answered(life, step):
            yield f"check/{life.id}/{slot}"

    def _slot(self, step: Step) -> str:
        match step.stage:
            case "guarding":
                return f"guard/{step.phase}"
            case "probing":
                return f"probe/{step.execution}"
            case "verifying":
                return f"step/{step.execution}"
        return ""

    def _answered(self, life: Life, step: Step) -> bool:
        said = life.checks.get(self._slot(step))
        return said is not None and (step.stage != "verifying" or said["at"] >= step.since)

    # What may not rest

    def _rests(self, life: Life, at: Ms) -> None:
        if life.began is None:
            self._waits(life)
        elif life.parked is None and life.state in ("running", "verifying") and life.wait != "refused":
            self._runs(life, at)
        elif life.parked is not None:
            runs = life.executions_under_way()
            self.book.demand("X8", not life.abort or runs, life.id, "is aborted, and stays parked")

    def _waits(self, life: Life) -> None:
        demand = self.book.demand
        demand("D10", life.by != AUTOMATIC or bool(life.present()), life.id, "waits for nobody")
        if life.wait == "checking" and life.wait_over is None:
            left = [slot for slot in life.checks_wanted() if slot not in life.checks]
            demand("D7", bool(left), life.id, "has every answer, and goes on checking")

    def _runs(self, life: Life, at: Ms) -> None:
        demand = self.book.demand
        if not life.at_hand:
            demand("X1", life.verification is not None, life.id, "stands still after", list(life.settled))
            demand("X8", not life.abort or life.verified is not None, life.id, "is aborted, and goes on")
            demand("X7", not life.failed(), life.id, "has failed, and goes on")
            return
        busy = [step for step in life.at_hand.values() if step.busy()]
        demand("X7", bool(busy) or not life.failed(), life.id, "has failed, and stands still")
        demand(
            "X8",
            bool(busy) or not life.abort or life.verified is not None,
            life.id,
            "is aborted, and stands still",
        )
        first = life.untouched and life.automatic and any(s.stage == "running" for s in busy)
        for step in life.at_hand.values():
            self._moves(life, step, at, rests=life.failed() or bool(life.abort) or first)
        batch = next(iter(life.ahead()), [])
        left = [step["name"] for _, step in batch if step["name"] not in life.at_hand]
        most = life.plan.get("at_once") or len(batch)
        more = left and len(life.at_hand) < most and not life.failed() and not life.abort
        demand("X1", not more or life.cleanup_failed, life.id, "could run in", left, "and does not")

    def _moves(self, life: Life, step: Step, at: Ms, *, rests: bool) -> None:
        """`rests`: nothing is started for now."""
        demand, who, stage = self.book.demand, f"{life.id} {step.name}", step.stage
        asks = stage in ("ready", "asking") and not rests
        stopped = bool(life.abort) and (step.outcome or {}).get("outcome") == "stopped"
        stands = asks or stage == "ended" or (stage == "doubtful" and not stopped)
        demand("X3", not stands, who, "stands still, and is", stage)
        paused = stage != "backing_off" or (step.until or 0) > at or rests
        demand("X6", paused, who, "has paused, and stands still")
        demand("X4", not self._slot(step) or not self._answered(life, step), who, "has its answer, and waits")

    def _locked(self, life: Life) -> None:
        """It waits for somebody (D3)."""
        if life.held is not None or self.book.frozen or not self.book.alive:
            return
        first, ahead = True, False
        for other in self.book.lives.values():
            if other.id == life.id:
                first = False
            elif other.services & life.services:
                ahead = ahead or other.holds or (first and other.state == "waiting_lock")
        self.book.demand("D3", ahead, life.id, "waits for a lock that nobody has")
