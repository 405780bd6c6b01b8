"""Steps: in order, one at a time, each execution once, none in doubt again (I2–I4, I11, I15; X1–X9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollbackd.sim.audit.book import Noun
from rollbackd.sim.tape import Probed, Process, Started, Violation

if TYPE_CHECKING:
    from rollbackd.sim.audit.book import Book, Doc, Life, Step
    from rollbackd.sim.audit.windows import Windows
    from rollbackd.sim.tape import Ms

MOST_DOUBTS = 3
LONGEST_BACKOFF: Ms = 300_000
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
        step = life.step if life is not None else None
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
        never = step.definition.get("interrupt") == "never" or step.definition.get("irreversible", False)
        demand("X9", fields.get("interruptible", True) is not never, record.key, "interruptible")

    def _run_check(self, record: Started) -> None:
        key: str = record.fields["key"]
        _, name, slot = key.split("/", 2)
        life = self.book.lives.get(name)
        self.book.demand("I2", life is not None and life.ended is None, key, "is asked for no open life")
        if life is None:
            return
        self.book.demand(
            "I15", record.fields["plan_hash"] == life.plan["hash"], key, "runs from another plan"
        )
        step = life.step
        if slot.startswith(("probe/", "step/")):
            stage = "probing" if slot.startswith("probe/") else "verifying"
            self.book.demand("X4", step is not None and step.stage == stage, key, "is asked in another stage")
            running = [known for known in self.book.running if known[0] == life.id]
            self.book.demand("I3", not running, key, "is asked while", running, "run")
        elif slot.startswith("verify/"):
            known = life.verification
            settled = known["settled"] if known is not None else None
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
        others = [known for known in book.running if known[0] == record.life]
        book.demand("I4", not others, key, "begins while", others, "run")
        life = book.lives.get(record.life)
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
        demand("I4", life.step is None, life.id, "reaches a second step")
        demand("X7", "failed" not in life.settled.values(), life.id, "goes on after a failed step")
        following = self._following(life)
        found = (document["phase"], document["step"])
        demand("X1", found == following, life.id, "reaches", found, "where", following, "is next")
        self._in_time(life, document["at"])
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

    def _following(self, life: Life) -> tuple[str, str] | None:
        skipping = life.from_step is not None
        for phase, step in life.steps():
            skipping = skipping and step["name"] != life.from_step
            if phase.get("after_verified") and life.verified is None:
                return None
            if not skipping and step["name"] not in life.settled:
                return phase["name"], step["name"]
        return None

    def _in_time(self, life: Life, at: Ms) -> None:
        if life.verified is None and life.overrun_at is not None:
            self.book.demand(
                "X9", at < life.overrun_at, life.id, "goes on after its timeout", life.overrun_at
            )

    def _ordered(self, document: Doc) -> None:
        life, demand = self._life(document), self.book.demand
        self._free(life, "orders a step")
        step = life.step
        if step is None:
            demand("X1", False, life.id, "orders a step that was not reached")
            return
        named = (document["phase"], document["step"]) == (step.phase, step.name)
        demand("X1", named, life.id, "orders another step than it reached")
        demand("I4", step.stage != "running", life.id, "orders a second execution")
        demand("I3", document["execution"] == life.executions + 1, life.id, "numbers an execution twice")
        running = [known for known in self.book.running if known[0] == life.id]
        demand("I4", not running or step.confirmed == "retry", life.id, "orders while", running, "run")
        if step.outcome is not None and step.outcome["outcome"] in ("in_doubt", "timed_out", "stopped"):
            self._again(life, step, document)
        else:
            self._in_time(life, document["at"])
        self._counted(step, document)
        self._first(life, document)
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
        """X4: what is in doubt runs again only where that is safe, or somebody knows."""
        outcome = step.outcome or {}
        probe = life.checks.get(f"probe/{step.execution}")
        safe = step.definition.get("repeatable", False) or (probe is not None and probe.get("status") == 20)
        self.book.demand("I3", safe or step.confirmed == "retry", life.id, step.name, "runs again in doubt")
        gone = outcome.get("tree_gone", True) or step.confirmed == "retry"
        self.book.demand("X4", gone, life.id, step.name, "runs again beside what is left of it")

    def _first(self, life: Life, document: Doc) -> None:
        """W7: the first step of a decision of the daemon's own has a last moment."""
        step, limit = life.step, document.get("not_after")
        first = not life.settled and not (step is not None and step.started)
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
        step = life.step
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
        step, stage = life.step, document["stage"]
        if step is None:
            demand("X1", False, life.id, "stages no step")
            return
        who = f"{life.id} {step.name}"
        if stage == "backing_off":
            wait = min(step.definition.get("backoff", 2_000) * 2 ** (step.attempt - 1), LONGEST_BACKOFF)
            demand("X6", document.get("until") == at + wait, who, "pauses until", document.get("until"))
            demand("X6", step.attempt < step.definition.get("attempts", 1), who, "has no attempt left")
            demand("X6", self._failed(life, step), who, "is tried again, and did not fail")
        elif stage == "probing":
            demand("X4", step.definition.get("probe") is not None, who, "has no probe")
            demand("X4", step.stage == "doubtful", who, "is probed without a doubt")
        elif stage == "verifying":
            within = (step.definition.get("verify") or {}).get("within", 0)
            demand("X6", document.get("until") == at + within, who, "verifies until", document.get("until"))
            demand("X6", self._took_effect(life, step), who, "verifies what did not happen")
        elif stage == "ready" and step.stage == "guarding":
            said = life.checks.get(f"guard/{step.phase}")
            holds = said is not None and said.get("status") == 0 and said["at"] >= step.since
            demand("I11", holds, who, "is ready, and its guard said", said)
        elif stage == "ready":
            demand("X4", step.confirmed == "retry", who, "is ready again, and nobody said so")

    def _took_effect(self, life: Life, step: Step) -> bool:
        """By its exit, its probe or a person (X4, X6)."""
        if step.confirmed == "done":
            return True
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
        step, result = life.step, document["result"]
        holds = step is not None and (step.phase, step.name) == (document["phase"], document["step"])
        demand("X1", holds, life.id, "settles a step that is not at hand")
        if step is None:
            return
        who = f"{life.id} {step.name}"
        demand("I4", step.stage != "running", who, "is behind us, and runs")
        demand("X3", list(document["executions"]) == step.ran, who, "forgets executions")
        if result == "skipped":
            demand("X4", step.confirmed == "skip", who, "is skipped, and nobody said so")
        elif result == "done":
            demand("X6", self._done(life, step), who, "is done, and nothing shows it:", step.outcome)
        else:
            spent = step.attempt >= step.definition.get("attempts", 1) or bool(life.abort)
            demand("X6", spent, who, "fails with attempts left")
            demand("X6", self._failed(life, step), who, "fails, and nothing shows it:", step.outcome)

    def _done(self, life: Life, step: Step) -> bool:
        if step.definition.get("verify") is None:
            return self._took_effect(life, step)
        said = life.checks.get(f"step/{step.execution}")
        passed = said is not None and said["answer"] == "pass" and said["at"] >= step.since
        return step.stage == "verifying" and passed

    def _overdue(self, document: Doc) -> None:
        life = self._life(document)
        step = life.step
        if step is not None:
            timeout = step.definition["run"].get("timeout", 30_000)
            self.book.demand("X9", document["at"] >= step.since + timeout, life.id, "is overdue early")
            never = step.definition.get("interrupt") == "never" or step.definition.get("irreversible")
            self.book.demand("X9", bool(never), life.id, "is told of instead of stopped")

    def _parked(self, document: Doc) -> None:
        life = self._life(document)
        self.book.demand("X9", life.parked is None, life.id, "is parked twice")
        if document["reason"] == "overrun":
            holds = life.overrun_at is not None and document["at"] >= life.overrun_at
            self.book.demand("X9", holds, life.id, "overruns before", life.overrun_at)
        elif document["reason"] == "in_doubt":
            step = life.step
            left = step is not None and not (step.outcome or {}).get("tree_gone", True)
            doubtful = step is not None and (step.stage in ("doubtful", "probing") or left)
            self.book.demand("X4", doubtful, life.id, "is parked in doubt of nothing")

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
        if document["kind"] == "step_confirmed":
            doubt = life.parked is not None and life.parked["reason"] == "in_doubt"
            self.book.demand("X4", doubt, life.id, "is confirmed, and was not in doubt")
        else:
            doubt = life.parked is not None and life.parked["reason"] == "in_doubt"
            self.book.demand("X4", not doubt, life.id, "is resumed in doubt")

    def _abort(self, document: Doc) -> None:
        life = self._life(document)
        self.book.demand("X8", not life.irreversible, life.id, "is aborted after", life.irreversible)
        self.book.demand("X8", life.verified is None, life.id, "is aborted after it was verified")

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
