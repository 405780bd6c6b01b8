"""Whether it stays well: stages at their times, relapses, items for people (S4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.sim.audit.book import STAGES, Noun, Validation
from rollbackd.sim.tape import Started

if TYPE_CHECKING:
    from rollbackd.sim.audit.book import Book, Doc, Life
    from rollbackd.sim.tape import Ms

FAILS = 2


class LookingOn(Noun):
    def __init__(self, book: Book) -> None:
        super().__init__(book)
        self._resolved: set[str] = set()
        self.records = {Started: self._started}
        self.rows = {
            "life_ended": self._ended,
            "life_resolved": lambda document: self._resolved.add(document["life"]),
            "validation_began": self._began,
            "validation_failed": self._failed,
            "validation_recovered": self._recovered,
            "stage_ended": self._stage_ended,
            "validation_ended": self._over,
        }

    def _life(self, document: Doc) -> tuple[Life | None, Validation | None]:
        life = self.book.lives.get(document["life"])
        return life, life.validation if life is not None else None

    def settle(self, at: Ms) -> None:
        for life in self.book.lives.values():
            if life.validation is None or life.ended is None or self.book.frozen:
                self.book.dues.settle(("stage", life.id))
                continue
            self._goes_on(life, life.validation, at)
        self._resolved.clear()

    def _goes_on(self, life: Life, known: Validation, at: Ms) -> None:
        demand = self.book.demand
        overtaken = self._overtaken(life)
        demand("S4", not overtaken, life.id, "is looked at, though overtaken by", overtaken)
        demand("S4", life.id not in self._resolved, life.id, "is resolved, and looked at on")
        if known.at_hand is None:
            demand("S4", bool(known.failing), life.id, "is looked at on after its last stage")
            self.book.dues.settle(("stage", life.id))
            return
        self.book.dues.owe(("stage", life.id), known.ends(), "S4")
        for _, check in known.checks():
            name, counts = check["name"], check.get("on_fail", "fail") == "fail"
            failing, said = name in known.failing, known.said.get(name)
            relapsed = counts and known.fails[name] >= FAILS
            demand("S4", failing or not relapsed, life.id, name, "failed twice running, and pages nobody")
            well = failing and said == "pass"
            demand("S4", not well, life.id, name, "passes again, and is still called failing")
            open_ = f"relapse/{life.id}/{name}" in self.book.matters
            demand("S4", not failing or open_, life.id, name, "is failing, and pages nobody")

    def _overtaken(self, life: Life) -> str:
        """A newer rollout of the plan, or a newer rollback of its services."""
        verified = life.verified or 0
        rollout = self.book.open_rollout(life.plan["name"])
        if rollout is not None and rollout["at"] >= verified:
            return str(rollout["rollout"])
        for other in self.book.lives.values():
            newer = other.began is not None and other.began >= verified
            if other.id != life.id and newer and other.services & life.services:
                return other.id
        return ""

    # Checks

    def _started(self, record: Started) -> None:
        if record.effect != "run_check" or "/validate/" not in record.key:
            return
        _, name, slot = record.key.split("/", 2)
        stage, check = slot.split("/")[1:]
        life, demand = self.book.lives.get(name), self.book.demand
        known = life.validation if life is not None else None
        wanted = {c["name"]: (s, c) for s, c in known.checks()} if known is not None else {}
        found = wanted.get(check)
        demand("S4", found is not None and found[0] == stage, record.key, "is asked out of its stage")
        if known is None or found is None:
            return
        every = found[1].get("every") or STAGES[stage][1]
        asked = known.asked.get(check)
        due = known.began if asked is None else asked + every
        demand("S4", record.fields.get("not_before", 0) >= due, record.key, "is asked before", due)

    # Rows

    def _ended(self, document: Doc) -> None:
        life, known = self._life(document)
        plan = life.plan if life is not None else {}
        if document["end"] == "verified" and (plan.get("validation") or plan.get("manual_verification")):
            self.book.demand("S4", known is not None, document["life"], "is verified, and nobody looks on")

    def _began(self, document: Doc) -> None:
        life, known = self._life(document)
        holds = life is not None and known is None and life.verified is not None and life.ended is None
        self.book.demand("S4", holds, document["life"], "is looked at, and was not verified just now")

    def _failed(self, document: Doc) -> None:
        life, known = self._life(document)
        name, demand = document["check"], self.book.demand
        check = {c["name"]: c for _, c in known.checks()}.get(name) if known is not None else None
        demand("S4", check is not None, document["life"], "has a relapse of no check of its stage:", name)
        if known is None or check is None or life is None:
            return
        demand("S4", known.fails[name] >= FAILS, life.id, name, "relapses after", known.fails[name])
        demand("S4", check.get("on_fail", "fail") == "fail", life.id, name, "only warns, and pages")
        demand("S4", name not in known.failing, life.id, name, "relapses twice")

    def _recovered(self, document: Doc) -> None:
        _, known = self._life(document)
        name = document["check"]
        holds = known is not None and name in known.failing and known.said.get(name) == "pass"
        self.book.demand("S4", holds, document["life"], name, "recovers, and did not pass")

    def _stage_ended(self, document: Doc) -> None:
        life, known = self._life(document)
        stage = known.at_hand if known is not None else None
        demand = self.book.demand
        named = stage is not None and stage["name"] == document["stage"]
        demand("S4", named, document["life"], "ends no stage")
        if life is None or known is None or stage is None:
            return
        demand("S4", document["at"] >= known.ends(), life.id, "ends its stage before", known.ends())
        unticked = [item for item in known.items() if item not in life.ticked]
        demand("S4", list(document.get("unticked", ())) == unticked, life.id, "is not ticked:", unticked)
        failing = list(document.get("failing", ()))
        demand("S4", set(failing) == set(known.failing), life.id, "is failing:", list(known.failing))
        unproven = [c["name"] for c in stage.get("checks", ()) if c["name"] not in known.passed]
        demand("S4", list(document.get("unproven", ())) == unproven, life.id, "never passed:", unproven)
        self.book.dues.settle(("stage", life.id))

    def _over(self, document: Doc) -> None:
        life, known = self._life(document)
        self.book.demand("S4", known is not None, document["life"], "is looked at no more, and was not")
        if life is None or known is None:
            return
        self.book.dues.settle_all("stage", life.id)
        through = known.at_hand is None and not known.failing
        resolved = life.id in self._resolved
        holds = through or resolved or bool(self._overtaken(life))
        self.book.demand("S4", holds, life.id, "is looked at no more, in stage", known.at_hand)
