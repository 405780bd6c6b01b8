"""Was it undone, and in time? By the metrics and the declared checks alone (I7; S1–S3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.sim.audit.book import BAD_ENDS, Noun

if TYPE_CHECKING:
    from rollbackd.sim.audit.book import Book, Doc, Life, Subject
    from rollbackd.sim.audit.windows import Watch, Windows
    from rollbackd.sim.tape import Ms

HAND_INTERVAL: Ms = 15_000
SLA: dict[int, Ms] = {2: 1_800_000, 3: 900_000, 4: 600_000}


class Proof(Noun):
    def __init__(self, book: Book, windows: Windows) -> None:
        super().__init__(book)
        self.windows = windows
        self._touched: set[str] = set()
        self._running: dict[str, set[str]] = {}  # life → regions whose clock runs
        self.rows = {
            "rollback_began": self._began,
            "verification_began": self._verification_began,
            "rollback_verified": self._verified,
            "check_answered": self._checked,
            "sla_breached": self._sla_breached,
            "step_reached": self._moved,
            "step_settled": self._moved,
            "phase_failed": self._moved,
            "scope_widened": self._moved,
            "life_ended": self._ended,
            "life_resolved": lambda document: self.book.dues.settle_all("sla", document["life"]),
            "life_held": self._stands,
            "life_parked": self._stands,
            "life_resumed": self._stands,
            "daemon_started": self._absent,
        }

    def settle(self, at: Ms) -> None:
        """The deadline of a proof is owed anew whenever it moved."""
        for name in self._touched:
            life = self.book.lives.get(name)
            owed = life is not None and life.ended is None and life.verified is None
            if life is None or not owed or life.deadline is None or life.held is not None or life.parked:
                self.book.dues.settle(("prove", name))
            else:
                self.book.dues.owe(("prove", name), life.deadline, "S3")
            self._clocks(name, life if owed else None)
        self._touched.clear()

    def _stands(self, document: Doc) -> None:
        self._touched.add(document["life"])

    def _moved(self, document: Doc) -> None:
        self._touched.add(document["life"])

    def _clocks(self, name: str, life: Life | None) -> None:
        """S1: each region's, from its first step to the end of its last; and the whole's."""
        owed: dict[str, Ms] = {}
        if life is not None and life.began is not None:
            ahead = {
                step.get("region", "")
                for batch in life.ahead()
                for phase, step in batch
                if not phase.get("after_verified")
            }
            begun = {r: at for r, at in life.regions_begun.items() if r in ahead}
            owed = {r: at + life.plan["sla"] for r, at in begun.items() if r not in life.regions_breached}
            if life.decided is not None and not life.sla_breached:
                owed[""] = life.decided + allowed(life.plan)
        for region in self._running.pop(name, set()) - set(owed):
            if region:
                self.book.dues.settle(("sla", name, region))
        for region, at in owed.items():
            self.book.dues.owe(("sla", name, region) if region else ("sla", name), at, "S2")
        if owed:
            self._running[name] = set(owed)

    def _absent(self, _: Doc) -> None:
        self._touched.update(life.id for life in self.book.lives.values() if life.deadline is not None)

    # The clock

    def _began(self, document: Doc) -> None:
        plan = document["plan"]
        self.book.demand("S1", plan["sla"] <= SLA[plan["level"]], plan["name"], "has", plan["sla"], "ms")
        self._touched.add(document["life"])

    def _sla_breached(self, document: Doc) -> None:
        life = self.book.lives.get(document["life"])
        region = document.get("region", "")
        self.book.dues.settle(("sla", document["life"], region) if region else ("sla", document["life"]))
        holds = life is not None and life.began is not None and life.verified is None
        if life is not None and holds:
            holds = not life.sla_breached if not region else region not in life.regions_breached
        self.book.demand("S2", holds, document["life"], "breaches an SLA that does not run")
        if life is not None and life.decided is not None:
            since = life.regions_begun.get(region, life.decided) if region else life.decided
            sla = life.plan["sla"] if region else allowed(life.plan)
            self.book.demand("S2", document["at"] >= since + sla, life.id, "breaches its SLA early", region)
            self.book.demand("S2", document["sla"] == sla, life.id, "breaches another SLA", region)

    def _ended(self, document: Doc) -> None:
        life = self.book.lives.get(document["life"])
        if life is None:
            return
        self.book.dues.settle(("prove", life.id))
        self._touched.add(life.id)
        if document["end"] not in BAD_ENDS:
            self.book.dues.settle_all("sla", life.id)
        if document["end"] == "unverified":
            late = life.deadline is not None and document["at"] >= life.deadline
            self.book.demand("S3", late, life.id, "is given up before", life.deadline)
        elif document["end"] == "verified":
            self.book.demand("I7", life.verified is not None, life.id, "ends verified, and was not")
            self._cleaned(life)

    def _cleaned(self, life: Life) -> None:
        left = [step["name"] for batch in life.ahead() for _, step in batch]
        if not life.cleanup_failed:
            self.book.demand("X1", not left, life.id, "is over, and left", left)

    # The proof

    def _verification_began(self, document: Doc) -> None:
        life = self.book.lives.get(document["life"])
        if life is None:
            return
        self._touched.add(life.id)
        plan, demand = life.plan, self.book.demand
        left = [
            step["name"] for batch in life.ahead() for phase, step in batch if not phase.get("after_verified")
        ]
        demand("X1", not left, life.id, "verifies before", left)
        demand("X7", not life.failed(), life.id, "verifies after a failed step")
        demand("I4", not life.at_hand, life.id, "verifies while a step is at hand")
        stopped = life.held is not None or life.parked is not None or bool(life.abort)
        demand("D5", not stopped, life.id, "verifies, though it was stopped")
        interval = max((t["interval"] for t in life.triggers.values()), default=HAND_INTERVAL)
        demand("S3", document["interval"] == interval, life.id, "asks each", document["interval"])
        settle = plan.get("settle")
        if settle is None:
            conditions = [t.get("recovered") or t["condition"] for t in life.triggers.values()]
            settle = max((c.get("longest_range", 0) for c in conditions), default=0)
        last = life.last_settled if life.last_settled is not None else document["at"]
        demand("S3", document["settled"] == last + settle, life.id, "settles at", document["settled"])
        within = plan.get("verify_within")
        if within is None:
            within = settle + 2 * max(plan["verify_windows"], 1) * interval
        demand(
            "S3",
            document["deadline"] == document["at"] + within,
            life.id,
            "gives up at",
            document["deadline"],
        )

    def _checked(self, document: Doc) -> None:
        life = self.book.lives.get(document["life"])
        if life is None or life.verification is None or "/verify/" not in document["check"]:
            return
        settled = life.verification["settled"]
        self.book.demand("I7", document["at"] >= settled, life.id, "counts a check from before", settled)

    def _verified(self, document: Doc) -> None:
        life, demand = self.book.lives.get(document["life"]), self.book.demand
        known = life is not None and life.verification is not None and life.ended is None
        demand("I7", known, document["life"], "is verified, and was not verifying")
        if life is None or life.verification is None:
            return
        self.book.dues.settle_all("sla", life.id)
        self._touched.add(life.id)
        stopped = life.held is not None or life.parked is not None or bool(life.abort)
        demand("D5", not stopped, life.id, "is verified, though it was stopped")
        checks = [
            check for check in life.plan.get("verification", ()) if check.get("on_fail", "fail") == "fail"
        ]
        subjects = list(life.firings) if life.plan["verify_windows"] else []
        demand("I7", bool(checks or subjects), life.id, "is proven by nothing")
        for check in checks:
            wanted = self._passes(life, check)
            passed = life.passes.get(check["name"], 0)
            demand("I7", passed >= wanted, life.id, check["name"], "passed", passed, "of", wanted, "times")
        for key in subjects:
            demand("I7", self._recovered(life, key), life.id, key, "is not shown to have recovered")

    def _passes(self, life: Life, check: Doc) -> int:
        windows: int | None = check.get("windows")
        return windows if windows is not None else max(life.plan["verify_windows"], 1)

    def _recovered(self, life: Life, key: Subject) -> bool:
        trigger = life.triggers[key[0]]
        watch, verification = self.windows.watch(trigger, recovery=True), life.verification
        if watch is None or verification is None:
            return False
        floor = verification["settled"] + self.book.skew - self.book.skew_slack - 100
        wanted: int = life.plan["verify_windows"]
        if any(
            self._run(watch, key[1], end, floor, wanted)
            for end in (watch.newest, watch.newest - watch.interval)
        ):
            return True
        return self._substituted(life, watch, key[1], floor)

    def _run(self, watch: Watch, subject: str, end: Ms, floor: Ms, wanted: int) -> bool:
        """Whether so many windows up to `end` say ok, all beginning after the rollback settled."""
        if end - wanted * watch.interval < floor:
            return False
        ends = range(end - (wanted - 1) * watch.interval, end + 1, watch.interval)
        return all(any(r.verdict == "ok" for r in watch.possible(e, subject)) for e in ends)

    def _substituted(self, life: Life, watch: Watch, subject: str, floor: Ms) -> bool:
        """A subject that is gone or without traffic: then a declared query must hold."""
        told = [end for end in watch.windows if end - watch.interval >= floor]
        said = [watch.read(end, subject).verdict for end in told]
        if "breach" in said or not said or watch.read(watch.newest, subject).verdict == "ok":
            return False
        passes, least = life.passes, max(life.plan["verify_windows"], 1)
        checks = life.plan.get("verification", ())
        return any(
            check.get("query") is not None and passes.get(check["name"], 0) >= least for check in checks
        )


def allowed(plan: Doc) -> Ms:
    """The SLA of the whole: as often as regions come one after the other (S1)."""
    serial = any(step.get("each") == "serial" for phase in plan["phases"] for step in phase["steps"])
    sla: Ms = plan["sla"]
    return sla * len(plan["regions"]) if serial and plan.get("regions") else sla
