"""Steps: in order, one at a time, each execution once, none in doubt again (I2–I4, I11, I15; X1–X9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollbackd.sim.audit.book import Noun, batches, by_person
from rollbackd.sim.tape import Probed, Process, Started, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.sim.audit.book import Book, Doc, Life, Step
    from rollbackd.sim.audit.windows import Windows
    from rollbackd.sim.tape import Ms

MOST_DOUBTS = 3
LONGEST_BACKOFF: Ms = 300_000
RESTS = frozenset({"guarding", "ready", "backing_off", "doubtful", "probing"})
"""Nothing of a step runs then, or waits to be judged by its outcome."""

MOST_OUTPUT = 64 * 1024
LATE: Ms = 2_000
"""How far the two clocks of a moment may have drifted apart since they were last compared."""


class Execution(Noun):
    def __init__(self, book: Book, windows: Windows) -> None:
        super().__init__(book)
        self.windows = windows
        self._asked: set[tuple[str, int]] = set()  # executions that were asked for
        self._began: set[tuple[str, int]] = set()
        self._over: dict[tuple[str, int], Process] = {}
        self._orders: dict[tuple[str, int], Doc] = {}
        self._probed: dict[str, list[Probed]] = {}
        self.records = {Started: self._started, Process: self._process, Probed: self._answered}
        self.rows = {
            "step_reached": self._reached,
            "step_ordered": self._ordered,
            "step_ended": self._ended,
            "step_staged": self._staged,
            "step_settled": self._settled,
            "step_overdue": self._overdue,
            "step_confirmed": self._resumed,
            "gate_approved": self._resumed,
            "phase_failed": self._phase_failed,
            "scope_widened": self._widened,
            "life_resumed": self._resumed,
            "life_parked": self._parked,
            "abort_asked": self._abort,
            "check_answered": self._checked,
            "life_ended": self._life_ended,
            "cleanup_failed": self._cleanup_failed,
        }

    # The host

    def _started(self, record: Started) -> None:
        if record.effect == "run_step":
            self._run(record)
        elif record.effect == "stop_step":
            life = self.book.lives.get(record.fields["life"])
            holds = life is not None and life.abort == "now"
            self.book.demand("X8", holds, record.key, "is stopped, and nobody said so")
        elif record.effect == "run_check":
            self._run_check(record)

    def _run(self, record: Started) -> None:
        fields, demand = record.fields, self.book.demand
        key = fields["life"], fields["execution"]
        order, life = self._orders.get(key), self.book.lives.get(fields["life"])
        demand("I2", order is not None, record.key, "starts without a durable intent")
        step = life.at_hand.get(fields["step"]) if life is not None else None
        running = step is not None and step.stage == "running" and step.execution == key[1]
        demand("I2", running, record.key, "starts, and is not under way")
        if order is None or life is None or step is None:
            return
        self._asked.add(key)
        named = (fields["phase"], fields["step"]) == (order["phase"], order["step"])
        demand("I2", named, record.key, "starts another step than was ordered")
        demand("W7", fields.get("not_after") == order.get("not_after"), record.key, "has another not_after")
        pinned = fields["plan_hash"] == life.plan["hash"] and same(fields["run"], step.definition["run"])
        demand("I15", pinned, record.key, "runs another command than its plan had when it opened")
        env = fields["env"]
        demand("X2", env.get("ROLLBACK_ID") == life.id, record.key, "does not know its life")
        demand(
            "X2", env.get("ROLLBACK_ATTEMPT") == str(step.attempt), record.key, "is told of another attempt"
        )
        demand("X2", env.get("ROLLBACK_STEP") == step.name, record.key, "is told of another step")
        demand("X2", env.get("ROLLBACK_REGION", "") == step.region, record.key, "is told of another region")
        demand("X2", env.get("ROLLBACK_SCOPE") == life.scope, record.key, "is told of another scope")
        never = step.definition.get("interrupt") == "never" or step.definition.get("irreversible", False)
        demand("X9", fields.get("interruptible", True) is not never, record.key, "interruptible")

    def _run_check(self, record: Started) -> None:
        key: str = record.fields["key"]
        _, name, slot = key.split("/", 2)
        life = self.book.lives.get(name)
        looked_at = life is not None and life.validation is not None and slot.startswith("validate/")
        measured = life is not None and slot.startswith("impact/") and life.to_measure()
        known = life is not None and (life.ended is None or looked_at or measured)
        self.book.demand("I2", known, key, "is asked for no open life")
        if life is None:
            return
        self.book.demand(
            "I15", record.fields["plan_hash"] == life.plan["hash"], key, "runs from another plan"
        )
        if slot.startswith(("probe/", "step/")):
            stage = "probing" if slot.startswith("probe/") else "verifying"
            of = [x for x in life.at_hand.values() if x.execution == int(slot.partition("/")[2])]
            asked = len(of) == 1 and of[0].stage == stage
            self.book.demand("X4", asked, key, "is asked in another stage")
            running = self._runs(life.id, of[0].name)
            self.book.demand("I3", not running, key, "is asked while", running, "run")
        elif slot.startswith("verify/"):
            verification = life.verification
            settled = verification["settled"] if verification is not None else None
            holds = settled is not None and record.fields.get("not_before", 0) >= settled
            self.book.demand("I7", holds, key, "is asked before the rollback settled")

    def _process(self, record: Process) -> None:
        key = record.life, record.execution
        match record.what:
            case "began":
                self._begins(record, key)
            case "ended" | "lost":
                self._over[key] = record
                self.book.running.pop(key, None)
            case "refused":
                self._over[key] = record
                self.book.demand("W7", key not in self._began, key, "was refused, and had begun")

    def _begins(self, record: Process, key: tuple[str, int]) -> None:
        book, order = self.book, self._orders.get(key)
        book.demand("I3", key not in self._began, key, "begins twice")
        book.demand("I2", key in self._asked and order is not None, key, "begins without an intent")
        life = book.lives.get(record.life)
        self._alone(life, record)
        for running, _ in book.running:
            other = book.lives.get(running)
            if life is not None and other is not None and other.id != life.id:
                apart = not other.services & life.services
                book.demand("I5", apart, key, "begins on services on which", running, "runs")
        limit = order.get("not_after") if order is not None else None
        if limit is not None:
            book.demand("W7", record.at + book.offset <= limit + LATE, key, "begins after", limit)
        self._began.add(key)
        book.running[key] = record.step

    def _alone(self, life: Life | None, record: Process) -> None:
        """Beside it runs the same step in other regions, if it runs at once in several, as many as may."""
        others = [step for (name, _), step in self.book.running.items() if name == record.life]
        if not others or life is None:
            return
        at_once = next((b for b in batches(life.plan) if record.step in [s["name"] for _, s in b]), [])
        together = {step["name"] for _, step in at_once} - {record.step}
        holds = len(set(others)) == len(others) and set(others) <= together
        self.book.demand("I4", holds, record.life, record.step, "begins while", others, "run")
        most = life.plan.get("at_once") or len(at_once)
        self.book.demand("X1", len(others) < most, life.id, "runs in more than", most, "regions at once")

    def _runs(self, life: str, step: str) -> list[tuple[str, int]]:
        """What the host runs of a step."""
        return [key for key, name in self.book.running.items() if (key[0], name) == (life, step)]

    def _answered(self, record: Probed) -> None:
        self._probed.setdefault(record.key, []).append(record)
        del self._probed[record.key][:-8]

    def _checked(self, document: Doc) -> None:
        """The journal says what the check said."""
        said = self._probed.get(document["check"], [])
        answer = document["answer"], document.get("status")
        agrees = any((probed.answer, probed.status) == answer for probed in said)
        self.book.demand("X4", agrees, document["check"], "answered", said, "not", answer)
        self.book.demand("I16", len(document.get("output", "")) <= 4096, document["check"], "keeps too much")

    # The journal

    def _life(self, document: Doc) -> Life:
        life = self.book.lives.get(document["life"])
        if life is None or life.ended is not None:
            raise Violation("I4", f"{document['life']} is not open: {document['kind']}")
        return life

    def _free(self, life: Life, what: str) -> None:
        """Nobody stopped it (D5, X8)."""
        demand = self.book.demand
        demand("D5", life.held is None, life.id, "is held, and", what)
        demand("X9", life.parked is None, life.id, "is parked, and", what)
        demand("X8", not life.abort or life.verified is not None, life.id, "is aborted, and", what)
        demand("X1", life.began is not None, life.id, "has not begun, and", what)
        demand("W7", life.state in ("running", "verifying"), life.id, "is", life.state, "and", what)

    def _reached(self, document: Doc) -> None:
        life, demand = self._life(document), self.book.demand
        self._free(life, "reaches a step")
        demand("X7", not life.failed(), life.id, "goes on after a failed step")
        following = self._following(life)
        found = (document["phase"], document["step"])
        others = set(life.at_hand) - ({step for _, step in following} if found in following else set())
        demand("I4", not others, life.id, "reaches", found, "before", others, "are over")
        demand("X1", found in following, life.id, "reaches", found, "where", following, "is next")
        demand("I4", found[1] not in life.at_hand, life.id, "reaches", found, "twice")
        most = life.plan.get("at_once") or len(life.plan.get("regions", ())) or 1
        demand("X1", len(life.at_hand) < most, life.id, "has more at hand than", most)
        if not life.at_hand:
            self._in_time(life, document["at"])
        definition = next((step for _, step in life.steps() if step["name"] == found[1]), {})
        stage = document["stage"] if document["stage"] != "guarding" else ""
        wanted = "asking" if by_person(definition) else "ready"
        demand("X1", stage in ("", wanted), life.id, "reaches", found, "to be", stage)
        guard = life.plan.get("reversible_while") or {}
        first = document["phase"] not in life.phases_met
        guarded = document["phase"] in guard.get("guards", ()) and first
        demand(
            "I11",
            (document["stage"] == "guarding") is guarded,
            life.id,
            "asks its guard wrongly before",
            found,
        )

    def _following(self, life: Life) -> list[tuple[str, str]]:
        """What is left of the first batch that is not over; clean-up only once verified."""
        for batch in life.ahead():
            if batch[0][0].get("after_verified") and (life.verified is None or life.cleanup_failed):
                return []
            return [(phase["name"], step["name"]) for phase, step in batch]
        return []

    def _in_time(self, life: Life, at: Ms) -> None:
        if life.verified is None and life.overrun_at is not None:
            self.book.demand(
                "X9", at < life.overrun_at, life.id, "goes on after its timeout", life.overrun_at
            )

    def _ordered(self, document: Doc) -> None:
        life, demand = self._life(document), self.book.demand
        self._free(life, "orders a step")
        step = life.at_hand.get(document["step"])
        if step is None:
            demand("X1", False, life.id, "orders a step that was not reached")
            return
        demand("X1", document["phase"] == step.phase, life.id, "orders another step than it reached")
        demand("X1", not by_person(step.definition), life.id, step.name, "is a person's, and is run")
        stopped = life.failed() or life.given_up(step)
        demand("X1", not stopped, life.id, step.name, "starts, and another region has failed")
        demand("I4", step.stage != "running", life.id, "orders a second execution")
        demand("I3", document["execution"] == life.executions + 1, life.id, "numbers an execution twice")
        running = self._runs(life.id, step.name)
        demand("I4", not running or step.confirmed == "retry", life.id, "orders while", running, "run")
        if step.outcome is not None and step.outcome["outcome"] in ("in_doubt", "timed_out", "stopped"):
            self._again(life, step, document)
        else:
            self._in_time(life, document["at"])
        self._counted(step, document)
        self._first(life, step, document)
        key = life.id, document["execution"]
        self._orders[key] = document

    def _counted(self, step: Step, document: Doc) -> None:
        demand, doubts = self.book.demand, document.get("doubts", 0)
        who = f"{document['life']} {step.name}"
        if step.stage == "backing_off":
            demand("X6", document["at"] >= (step.until or 0), who, "does not wait its pause out")
        if doubts:
            demand("X4", doubts == step.doubts + 1 <= MOST_DOUBTS, who, "is in doubt", doubts, "times")
            demand("X4", document["attempt"] == step.attempt, who, "counts a repeat as an attempt")
            return
        demand("X6", document["attempt"] == step.attempt + 1, who, "is attempt", document["attempt"])
        most = step.definition.get("attempts", 1)
        holds = document["attempt"] <= most or step.stage == "ready"  # refused, or a person said retry
        demand("X6", holds, who, "is tried", document["attempt"], "of", most, "times")
        rule = "I11" if step.stage == "guarding" else "X3"
        demand(rule, step.stage in ("ready", "backing_off"), who, "is ordered while", step.stage)

    def _again(self, life: Life, step: Step, document: Doc) -> None:
        """X4: what is in doubt runs again only where that is safe, or somebody knows; what was called done
        and is not so has failed (X6)."""
        outcome = step.outcome or {}
        probe = life.checks.get(f"probe/{step.execution}")
        safe = step.definition.get("repeatable", False) or (probe is not None and probe.get("status") == 20)
        known = step.confirmed in ("retry", "done")
        self.book.demand("I3", safe or known, life.id, step.name, "runs again in doubt")
        gone = outcome.get("tree_gone", True) or step.confirmed == "retry"
        self.book.demand("X4", gone, life.id, step.name, "runs again beside what is left of it")

    def _first(self, life: Life, step: Step, document: Doc) -> None:
        """W7: the first step of a decision of the daemon's own has a last moment; none comes beside it."""
        limit, first = document.get("not_after"), life.untouched
        others = [each.name for each in life.at_hand.values() if each is not step and each.stage == "running"]
        alone = not first or not others or not life.automatic
        self.book.demand("W7", alone, life.id, step.name, "is ordered before", others, "have started")
        if not first or not life.automatic:
            self.book.demand("W7", limit is None, life.id, "has a not_after that nobody needs")
            return
        self.book.demand("W7", limit is not None, life.id, "may start its first step at any time")
        latest = document["at"]
        for name, subject in life.present():
            trigger = life.triggers[name]
            end = max(self.windows.last_breach(trigger, subject), life.firings[name, subject]["end"])
            fresh = 2 * trigger["interval"] + trigger.get("delay", 0)
            latest = max(latest, end - self.book.skew + fresh + self.book.skew_slack)
        self.book.demand(
            "W7", limit is not None and limit <= latest, life.id, "may start until", limit, latest
        )

    def _ended(self, document: Doc) -> None:
        life, demand = self._life(document), self.book.demand
        key = life.id, document["execution"]
        step = life.at_hand.get(document["step"])
        holds = step is not None and step.execution == key[1] and step.stage == "running"
        demand("X3", holds, key, "ends, and was not running")
        demand("I16", len(document.get("output", "")) <= MOST_OUTPUT, key, "journals its whole output")
        outcome, known = document["outcome"], self._over.get(key)
        what = known.what if known is not None else None
        if outcome == "exited":
            agrees = known is not None and what == "ended" and known.status in (None, document.get("status"))
            demand("X3", agrees, key, "exited, says the journal; the host says", known)
        elif outcome in ("refused", "unstarted"):
            demand("X3", key not in self._began, key, "ran, and the journal says", outcome)
        elif document.get("tree_gone", True):
            demand("X4", key not in self.book.running, key, "is gone, says the journal, and runs")

    def _staged(self, document: Doc) -> None:
        life, demand, at = self._life(document), self.book.demand, document["at"]
        step, stage = life.at_hand.get(document["step"]), document["stage"]
        if step is None:
            demand("X1", False, life.id, "stages no step")
            return
        who = f"{life.id} {step.name}"
        if stage == "backing_off":
            wait = min(step.definition.get("backoff", 2_000) * 2 ** (step.attempt - 1), LONGEST_BACKOFF)
            demand("X6", document.get("until") == at + wait, who, "pauses until", document.get("until"))
            demand("X6", step.attempt < step.definition.get("attempts", 1), who, "has no attempt left")
            demand("X6", self._failed(life, step), who, "is tried again, and did not fail")
            stopped = life.failed() or life.given_up(step)
            demand("X1", not stopped, who, "is tried again, and another region has failed")
        elif stage == "probing":
            demand("X4", step.definition.get("probe") is not None, who, "has no probe")
            demand("X4", step.stage == "doubtful", who, "is probed without a doubt")
        elif stage == "verifying":
            within = (step.definition.get("verify") or {}).get("within", 0)
            demand("X6", document.get("until") == at + within, who, "verifies until", document.get("until"))
            demand("X6", self._took_effect(life, step), who, "verifies what did not happen")
        elif stage in ("ready", "asking") and step.stage == "guarding":
            right = (stage == "asking") is by_person(step.definition)
            demand("X1", right, who, "passed its guard, and is", stage)
            said = life.checks.get(f"guard/{step.phase}")
            holds = said is not None and said.get("status") == 0 and said["at"] >= step.since
            demand("I11", holds, who, "is ready, and its guard said", said)
        elif stage == "ready":
            demand("X4", step.confirmed == "retry", who, "is ready again, and nobody said so")

    def _took_effect(self, life: Life, step: Step) -> bool:
        """By its exit, its probe or a person (X4, X6)."""
        if step.confirmed == "done":
            return True
        if step.definition.get("gate") is not None:
            return step.confirmed == "approved"
        outcome = step.outcome or {}
        if outcome.get("outcome") == "exited":
            return outcome.get("status") == 0 and outcome.get("expect_matched", True)
        probe = life.checks.get(f"probe/{step.execution}")
        return step.stage == "probing" and probe is not None and probe.get("status") == 0

    def _failed(self, life: Life, step: Step) -> bool:
        outcome = step.outcome or {}
        match outcome.get("outcome"):
            case "exited" if step.stage != "verifying":
                return outcome.get("status") != 0 or not outcome.get("expect_matched", True)
            case "unstarted":
                return True
            case "timed_out" if step.stage != "verifying":
                probe = life.checks.get(f"probe/{step.execution}")
                if probe is None:
                    return bool(step.definition.get("repeatable", False))
                return probe.get("status") == 20
        said = life.checks.get(f"step/{step.execution}")
        return step.stage == "verifying" and said is not None and said["answer"] != "pass"

    def _settled(self, document: Doc) -> None:
        life, demand = self._life(document), self.book.demand
        step, result = life.at_hand.get(document["step"]), document["result"]
        holds = step is not None and step.phase == document["phase"]
        demand("X1", holds, life.id, "settles a step that is not at hand")
        if step is None:
            return
        who = f"{life.id} {step.name}"
        demand("I4", step.stage != "running", who, "is behind us, and runs")
        demand("X3", list(document["executions"]) == step.ran, who, "forgets executions")
        gone = (step.outcome or {}).get("tree_gone", True)
        demand("X4", document.get("tree_gone", True) is gone, who, "forgets what is left of it")
        if result == "skipped":
            said = step.confirmed == "skip" or (life.given_up(step) and not step.ran)
            demand("X4", said, who, "is skipped, and nobody said so")
        elif result == "done":
            demand("X6", self._done(life, step), who, "is done, and nothing shows it:", step.outcome)
        else:
            attempts = step.definition.get("attempts", 1)
            stopped = bool(life.abort) or life.failed() or life.given_up(step)
            demand("X6", step.attempt >= attempts or stopped, who, "fails with attempts left")
            rests = stopped and not life.abort and step.stage in RESTS and bool(step.ran)
            shown = rests or self._failed(life, step)
            demand("X6", shown, who, "fails, and nothing shows it:", step.outcome)

    def _done(self, life: Life, step: Step) -> bool:
        if step.definition.get("verify") is None:
            return self._took_effect(life, step)
        said = life.checks.get(f"step/{step.execution}")
        passed = said is not None and said["answer"] == "pass" and said["at"] >= step.since
        return step.stage == "verifying" and passed

    def _overdue(self, document: Doc) -> None:
        life = self._life(document)
        step = life.at_hand.get(document["step"])
        if step is not None:
            timeout = step.definition["run"].get("timeout", 30_000)
            self.book.demand("X9", document["at"] >= step.since + timeout, life.id, "is overdue early")
            self.book.demand("X9", not step.overdue, life.id, "is told of twice")
            never = step.definition.get("interrupt") == "never" or step.definition.get("irreversible")
            self.book.demand("X9", bool(never), life.id, "is told of instead of stopped")

    def _parked(self, document: Doc) -> None:
        life = self._life(document)
        self.book.demand("X9", life.parked is None, life.id, "is parked twice")
        step = life.at_hand.get(document.get("step", ""))
        if document["reason"] == "overrun":
            holds = life.overrun_at is not None and document["at"] >= life.overrun_at
            self.book.demand("X9", holds, life.id, "overruns before", life.overrun_at)
        elif document["reason"] == "in_doubt":
            left = step is not None and not (step.outcome or {}).get("tree_gone", True)
            doubtful = step is not None and (step.stage in ("doubtful", "probing") or left)
            self.book.demand("X4", doubtful, life.id, "is parked in doubt of nothing")
        elif document["reason"] == "reversibility_unknown":
            guarding = step is not None and step.stage == "guarding"
            self.book.demand("I11", guarding, life.id, "is parked before no guarded phase")
        else:
            kind = "gate" if document["reason"] == "gate" else "manual"
            asks = step is not None and step.stage == "asking" and bool(step.definition.get(kind))
            self.book.demand("X1", asks, life.id, "is parked for a", kind, "that it has not reached")
            stopped = life.held is not None or bool(life.abort)
            self.book.demand("D5", not stopped, life.id, "asks a person, though it was stopped")

    def _resumed(self, document: Doc) -> None:
        """Time that stood still does not count (X9)."""
        life, at = self._life(document), document["at"]
        overrun = life.overrun_at
        if overrun is not None:
            if life.parked is not None and life.parked["reason"] == "overrun":
                overrun = at + life.plan.get("timeout", 900_000)
            else:
                parked: Ms | None = life.parked["at"] if life.parked is not None else None
                stood = [since for since in (life.held, parked) if since is not None]
                overrun += at - min(stood) if stood else 0
        self.book.demand("X9", document.get("overrun_at") == overrun, life.id, "should overrun at", overrun)
        reason = life.parked["reason"] if life.parked is not None else ""
        if document["kind"] == "life_resumed":
            self.book.demand("X4", reason != "in_doubt", life.id, "is resumed in doubt")
            asked = reason in ("gate", "manual") and life.held is None
            self.book.demand("X1", not asked, life.id, "is resumed, and waits for a person's", reason)
            return
        wanted = ("gate",) if document["kind"] == "gate_approved" else ("in_doubt", "manual")
        self.book.demand("X4", reason in wanted, life.id, "is answered, and asked nothing:", reason)
        about = (life.parked or {}).get("step", "")
        self.book.demand("X4", document["step"] == about, life.id, "asked of", about)
        manual = reason == "manual" and document.get("answer") == "retry"
        self.book.demand("X1", not manual, life.id, "has a manual step tried again")

    def _abort(self, document: Doc) -> None:
        life = self._life(document)
        self.book.demand("X8", not life.irreversible, life.id, "is aborted after", life.irreversible)
        self.book.demand("X8", life.verified is None, life.id, "is aborted after it was verified")

    def _phase_failed(self, document: Doc) -> None:
        """The plan goes on without the rest of it only where it says so (X7)."""
        life, name, demand = self._life(document), document["phase"], self.book.demand
        phase: Doc = next((known for known in life.plan["phases"] if known["name"] == name), {})
        lenient = phase.get("on_failure", "stop") == "continue" and not phase.get("after_verified")
        demand("X7", lenient, life.id, "goes on without", name, "that it needs")
        demand("X7", name not in life.failed_phases, life.id, name, "fails twice")
        failed = any(life.settled.get(s["name"]) == "failed" for p, s in life.steps() if p["name"] == name)
        demand("X7", failed, life.id, "gives up", name, "of which nothing failed")

    def _widened(self, document: Doc) -> None:
        """X7: what it failed of is over, and the wider plan takes hold of nothing that is another's."""
        life, demand, book, at = self._life(document), self.book.demand, self.book, document["at"]
        demand("X7", document["plan"] == life.wider(), life.id, "is widened to another plan")
        against = list(self.obstacles(life, document["plan"]))
        demand("X7", not against, life.id, "is widened, against", against)
        busy = [step.name for step in life.at_hand.values() if step.busy()]
        demand("X7", not busy, life.id, "is widened while", busy, "are at hand")
        running = [known for known in book.running if known[0] == life.id]
        demand("X4", not running, life.id, "is widened while", running, "run")
        late = life.deadline is not None and at >= life.deadline and life.verified is None
        demand("X7", life.failed() or late, life.id, "is widened, and has not failed")
        if not life.failed():
            seen = any(self._breached_on(life, key) for key in life.firings)
            demand("X7", seen, life.id, "is widened, and nothing breached on")
        stopped = life.parked is not None or (life.held is not None and not life.failed())
        demand("D5", not stopped, life.id, "is widened, though it was stopped")
        overrun = at + document["plan"].get("timeout", 900_000)
        demand("X9", document["overrun_at"] == overrun, life.id, "should overrun at", overrun)

    def _breached_on(self, life: Life, key: tuple[str, str]) -> bool:
        """A window that began after its last step and what it needs to settle was a breach."""
        watch, verification = self.windows.watch(life.triggers[key[0]], recovery=True), life.verification
        if watch is None or verification is None or not life.plan["verify_windows"]:
            return False
        floor = verification["settled"] + self.book.skew - self.book.skew_slack - 100
        told = [end for end in watch.windows if end - watch.interval >= floor]
        return any(r.verdict == "breach" for end in told for r in watch.readings(end, key[1]))

    def obstacles(self, life: Life, wider: Doc) -> Iterator[str]:
        """What stands against going on with the wider plan (X7)."""
        if life.abort:
            yield "an abort"
        if life.irreversible:
            yield life.irreversible
        if life.leftover or any(not (s.outcome or {}).get("tree_gone", True) for s in life.at_hand.values()):
            yield "what is left of a step"
        for other in self.book.lives.values():
            if other.id != life.id and other.holds and other.services & set(wider["services"]):
                yield other.id

    def _cleanup_failed(self, document: Doc) -> None:
        life = self._life(document)
        self.book.demand("X1", life.verified is not None, life.id, "cleans up before it was verified")

    def _life_ended(self, document: Doc) -> None:
        life = self.book.lives.get(document["life"])
        if life is None or life.began is None:
            return
        running = [known for known in self.book.running if known[0] == life.id]
        gone = document.get("processes_gone", True)
        self.book.demand("I4", not running or not gone, life.id, "ends while", running, "run")
        busy = [step.name for step in life.at_hand.values() if step.stage == "running"]
        self.book.demand("X1", not busy, life.id, "ends while", busy, "are under way")
        wider = life.wider()
        if document["end"] == "failed" and wider is not None and life.failed():
            against = list(self.obstacles(life, wider))
            self.book.demand("X7", bool(against), life.id, "fails, and", wider["name"], "could be widened")
        self._forget(life.id)

    def _forget(self, life: str) -> None:
        for names in (self._asked, self._began):
            names.difference_update([key for key in names if key[0] == life and key not in self.book.running])
        prefix = f"check/{life}/"
        for name in [name for name in self._probed if name.startswith(prefix)]:
            del self._probed[name]


def same(one: Any, other: Any) -> bool:
    """Whether two commands are one, whatever holds their words."""
    fields = ("argv", "shell", "timeout", "env")
    return all(_plain(one.get(name)) == _plain(other.get(name)) for name in fields)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value
