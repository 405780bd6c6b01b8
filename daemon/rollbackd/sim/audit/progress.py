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
    *("life_held", "abort_asked", "verification_began", "rollback_verified", "life_ended", "life_resolved"),
)


class Progress(Noun):
    def __init__(self, book: Book) -> None:
        super().__init__(book)
        self._touched: dict[str, None] = {}
        self._under_way: set[str] = set()
        self._owed: dict[str, set[str]] = {}  # life → what is owed to it
        self._overdue: set[str] = set()  # lives whose running step was told of
        self.rows = dict.fromkeys(KINDS, self._touch)
        self.rows["daemon_started"] = self._all
        self.rows["step_overdue"] = self._told_of
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

    def _told_of(self, document: Doc) -> None:
        self._overdue.add(document["life"])
        self._touch(document)

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
            wanted = set(self._wanted(life)) if alive and life is not None else set()
            for key in self._owed.get(name, set()) - wanted:
                self.book.dues.settle(("do", key))
            for key in sorted(wanted - self._under_way):
                self.book.dues.owe(("do", key), at, "X3")
            self._owed[name] = wanted
            if not wanted:
                del self._owed[name]
            self._hangs(name, life if alive else None)
            if alive and life is not None and life.held is None:
                self._rests(life, at)
            if life is None or not alive or life.held is not None or life.step is None or life.parked:
                self.book.dues.settle(("again", name))
        self._touched.clear()
        for life in self.book.lives.values():
            if life.state == "waiting_lock" and life.wait_over is None and life.ended is None:
                self._locked(life)

    def _hangs(self, name: str, life: Life | None) -> None:
        """A step that may not be interrupted is told of at its timeout (X9)."""
        step = life.step if life is not None else None
        if step is None or step.stage != "running":
            self._overdue.discard(name)
        elif name not in self._overdue and (
            step.definition.get("interrupt") == "never" or step.definition.get("irreversible")
        ):
            due = step.since + step.definition["run"].get("timeout", 30_000)
            self.book.dues.owe(("overdue", name), due, "X9")
            return
        self.book.dues.settle(("overdue", name))

    # What is to be done

    def _wanted(self, life: Life) -> Iterator[str]:
        """The keys of the effects that this life calls for."""
        check, step = f"check/{life.id}", life.step
        if life.began is None:
            if life.state == "checking":
                yield from (f"{check}/{slot}" for slot in life.checks_wanted() if slot not in life.checks)
        elif step is not None:
            if step.stage == "running":
                yield f"step/{life.id}/{step.execution}"
                if life.abort == "now":
                    yield f"stop/{life.id}/{step.execution}"
            slot = self._slot(step)
            if slot and not self._answered(life, step):
                yield f"{check}/{slot}"
        elif life.verified is not None:
            if life.plan.get("release") and "restored/release" not in life.checks:
                yield f"{check}/restored/release"
        elif life.verification is not None and life.held is None and life.parked is None:
            yield from (f"{check}/verify/{known['name']}" for known in life.plan.get("verification", ()))

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
            self.book.demand("X8", not life.abort, life.id, "is aborted, and stays parked")

    def _waits(self, life: Life) -> None:
        demand = self.book.demand
        demand("D10", life.by != AUTOMATIC or bool(life.present()), life.id, "waits for nobody")
        if life.wait == "checking" and life.wait_over is None:
            left = [slot for slot in life.checks_wanted() if slot not in life.checks]
            demand("D7", bool(left), life.id, "has every answer, and goes on checking")

    def _runs(self, life: Life, at: Ms) -> None:
        demand, step = self.book.demand, life.step
        if step is None:
            demand("X1", life.verification is not None, life.id, "stands still after", list(life.settled))
            demand("X8", not life.abort or life.verified is not None, life.id, "is aborted, and goes on")
            return
        who = f"{life.id} {step.name}"
        demand(
            "X3", step.stage not in ("ready", "ended", "doubtful"), who, "stands still, and is", step.stage
        )
        demand(
            "X6", step.stage != "backing_off" or (step.until or 0) > at, who, "has paused, and stands still"
        )
        demand("X4", not self._slot(step) or not self._answered(life, step), who, "has its answer, and waits")
        if step.stage == "backing_off":
            demand("X8", not life.abort, who, "is aborted, and waits to go on")
            self.book.dues.owe(("again", life.id), step.until or at, "X6")
        else:
            self.book.dues.settle(("again", life.id))

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
