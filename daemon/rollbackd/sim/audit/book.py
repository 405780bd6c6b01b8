"""The facts every check reads: what the journal says, folded in the rules' own words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from rollbackd.sim.audit.dues import Dues
from rollbackd.sim.tape import Ms, Violation

Doc: TypeAlias = dict[str, Any]
Subject: TypeAlias = tuple[str, str]
"""(trigger, subject)."""

ACTIONS = {"auto": 0, "auto_with_warning": 1, "ask": 2, "notify": 3, "shadow": 4}
BAD_ENDS = frozenset({"unverified", "failed", "aborted"})
AUTOMATIC = "rollbackd"
ALL = "all"
HOUR: Ms = 3_600_000
STAGES: dict[str, tuple[Ms, Ms]] = {
    "immediate": (HOUR // 4, HOUR // 60),
    "short_term": (HOUR, HOUR // 12),
    "long_term": (24 * HOUR, HOUR // 2),
}
"""Until when after *verified*, and how often its checks are asked (S4)."""


def lowest(actions: Iterable[str]) -> str:
    return max(actions, key=ACTIONS.__getitem__)


def highest(actions: Iterable[str]) -> str:
    return min(actions, key=ACTIONS.__getitem__)


class Step:
    """The step at hand of a life."""

    def __init__(self, document: Doc, definition: Doc) -> None:
        self.phase: str = document["phase"]
        self.name: str = document["step"]
        self.definition = definition
        self.stage: str = document["stage"]
        self.since: Ms = document["at"]
        self.until: Ms | None = None
        self.execution = 0
        self.attempt = 0
        self.doubts = 0
        self.outcome: Doc | None = None
        self.confirmed = ""
        self.started = False
        self.ran: list[int] = []
        self.region: str = definition.get("region", "")
        self.overdue = False

    def busy(self) -> bool:
        """Something of it runs, or is to be judged."""
        if self.stage == "doubtful":
            return (self.outcome or {}).get("outcome") != "stopped"
        return self.stage in ("running", "ended", "probing", "verifying")


Batch: TypeAlias = list[tuple[Doc, Doc]]
"""Phases and steps that run at once: one step, or the same one in several regions."""


def batches(plan: Doc) -> list[Batch]:
    """Every phase and step in the order of running: clean-up last; a step with `each` is one step a region,
    `STEP@REGION` (X1)."""
    phases = plan["phases"]
    ordered = [p for p in phases if not p.get("after_verified")]
    ordered += [p for p in phases if p.get("after_verified")]
    found: list[Batch] = []
    for phase in ordered:
        for step in phase["steps"]:
            each, known = step.get("each", "once"), plan.get("regions", ())
            if each == "once":
                found.append([(phase, step)])
                continue
            regions = [region for region in step.get("regions") or known if region in known]
            everywhere = [(phase, {**step, "name": f"{step['name']}@{r}", "region": r}) for r in regions]
            found += [everywhere] if each == "parallel" else [[one] for one in everywhere]
    return [batch for batch in found if batch]


def part_of(whole: Doc, scope: str) -> Doc:
    """A part of a plan: its phases, on its services, in its regions (X7)."""
    if scope == ALL:
        return whole
    part = next(known for known in whole["scopes"] if known["name"] == scope)
    return {
        **whole,
        "scope": scope,
        "phases": [phase for phase in whole["phases"] if phase["name"] in part["phases"]],
        "services": part["services"],
        "regions": part.get("regions") or whole.get("regions", []),
    }


def by_person(step: Doc) -> bool:
    """A gate, or what is done by hand."""
    return step.get("run") is None


class Validation:
    """What is looked at after *verified* (S4), as its rows tell it."""

    def __init__(self, plan: Doc, began: Ms) -> None:
        stages = plan.get("validation") or []
        self.stages: list[Doc] = stages or [{"name": "immediate"}]
        self.by_hand: list[Doc] = plan.get("manual_verification", [])
        self.began = began
        self.stage = 0
        self.fails: Counter[str] = Counter()
        self.asked: dict[str, Ms] = {}
        self.said: dict[str, str] = {}  # check → its newest answer
        self.passed: set[str] = set()
        self.failing: dict[str, str] = {}  # check → the stage it is of

    @property
    def at_hand(self) -> Doc | None:
        return self.stages[self.stage] if self.stage < len(self.stages) else None

    def ends(self) -> Ms:
        """When the stage at hand is over."""
        return self.began + STAGES[self.stages[self.stage]["name"]][0]

    def items(self) -> list[str]:
        """What people are to tick by the end of the stage at hand."""
        found = [*(self.by_hand if self.stage == 0 else ()), *self.stages[self.stage].get("items", ())]
        return [known["item"] for known in found]

    def checks(self) -> list[tuple[str, Doc]]:
        """The checks to be asked, with their stages: those of the stage at hand, and what is failing."""
        if self.at_hand is None:
            return []
        own = [(self.at_hand["name"], check) for check in self.at_hand.get("checks", ())]
        names = {check["name"] for _, check in own}
        return own + [
            (stage["name"], check)
            for stage in self.stages[: self.stage]
            for check in stage.get("checks", ())
            if check["name"] in self.failing and check["name"] not in names
        ]


class Life:
    """One rollback, as its rows tell it."""

    def __init__(self, document: Doc) -> None:
        self.id: str = document["life"]
        self.plan: Doc = document["plan"]
        self.whole: Doc | None = document.get("whole")
        self.services: frozenset[str] = frozenset(self.plan["services"])
        self.opened: Ms = document["at"]
        self.by: str = document["by"]
        self.top: str = document["top"]
        self.action: str = document["action"]
        self.lowered: list[Doc] = document.get("lowered", [])
        self.triggers: dict[str, Doc] = dict(document.get("triggers", {}))
        self.trigger: str = document.get("trigger", "")
        self.firings: dict[Subject, Doc] = {
            (found["trigger"], found["subject"]): found for found in document.get("firings", [])
        }
        self.left: set[Subject] = {key for key, found in self.firings.items() if found.get("left")}
        self.from_step: str | None = document.get("from_step")
        self.rollout: str | None = document.get("rollout")
        self.previous: str | None = document.get("previous")
        self.revision = 1
        self.joined = False
        self.state = "checking"
        self.wait: str | None = "checking"
        self.wait_since: Ms = self.opened
        self.wait_over: Ms | None = None
        self.veto_until: Ms | None = None
        self.veto_passed = False
        self.expires: Ms | None = None
        self.approval: Doc | None = None
        self.checks: dict[str, Doc] = {}
        self.held: Ms | None = None
        self.parked: Doc | None = None
        self.abort = ""
        self.began: Ms | None = None
        self.decided: Ms | None = None if self.by == AUTOMATIC else self.opened
        self.overrun_at: Ms | None = None
        self.executions = 0
        self.at_hand: dict[str, Step] = {}
        self.settled: dict[str, str] = {}  # step → result
        self.untouched = True  # none of its steps has started, or is behind it
        self.leftover: set[str] = set()  # steps behind it of which something may run still
        self.phases_met: set[str] = set()  # a step of them is behind it, and no person's since
        self.failed_phases: list[str] = []
        self.regions_begun: dict[str, Ms] = {}
        self.regions_breached: set[str] = set()
        self.validation: Validation | None = None
        self.ticked: set[str] = set()
        self.last_settled: Ms | None = None
        self.irreversible = ""  # the irreversible step that started
        self.verification: Doc | None = None
        self.deadline: Ms | None = None
        self.passes: dict[str, int] = {}
        self.verified: Ms | None = None
        self.cleanup_failed = False
        self.sla_breached = False
        self.end = ""
        self.ended: Ms | None = None
        self.holds = False
        self.processes_gone = True
        self.resolved = False
        self.measured = False

    def to_measure(self) -> bool:
        """S5: it ran, is over, and what it cost is still to be said."""
        ran = self.began is not None and self.ended is not None
        return ran and bool(self.plan.get("impact")) and not self.measured

    @property
    def automatic(self) -> bool:
        """Nobody said that it should go on (D7)."""
        return self.by == AUTOMATIC and self.approval is None

    def waits(self) -> bool:
        return self.began is None and self.ended is None

    @property
    def scope(self) -> str:
        scope: str = self.plan.get("scope", ALL)
        return scope

    def executions_under_way(self) -> bool:
        return any(step.stage == "running" for step in self.at_hand.values())

    def present(self) -> list[Subject]:
        return [key for key in self.firings if key not in self.left]

    def steps(self) -> list[tuple[Doc, Doc]]:
        """Every phase and step in the order of running (X1)."""
        return [one for batch in batches(self.plan) for one in batch]

    def ahead(self) -> list[Batch]:
        """What is still to come of each batch, at hand or not: not what a failed phase would have done."""
        found, skipping = [], self.from_step is not None
        for batch in batches(self.plan):
            skipping = skipping and self.from_step not in [step["name"] for _, step in batch]
            rest = [(phase, step) for phase, step in batch if step["name"] not in self.settled]
            if not skipping and rest and batch[0][0]["name"] not in self.failed_phases:
                found.append(rest)
        return found

    def failed(self) -> bool:
        """A step failed that the plan cannot do without (X7)."""
        lenient = {p["name"] for p in self.plan["phases"] if p.get("on_failure", "stop") == "continue"}
        of = {step["name"]: phase for phase, step in self.steps()}
        return any(
            result == "failed" and of[name]["name"] not in lenient and not of[name].get("after_verified")
            for name, result in self.settled.items()
        )

    def given_up(self, step: Step) -> bool:
        """Its phase failed in another region: nothing more of it is started (X1)."""
        return step.phase in self.failed_phases or (self.cleanup_failed and self.verified is not None)

    def wider(self) -> Doc | None:
        """The plan that follows if this part is not enough (X7)."""
        if self.whole is None or self.scope == ALL:
            return None
        part = next(known for known in self.whole["scopes"] if known["name"] == self.scope)
        to = part.get("widen_to")
        return part_of(self.whole, to) if to is not None else None

    def checks_wanted(self) -> list[str]:
        """What is asked before anything else (D2, D6, I11)."""
        wanted = [f"safety/{check['name']}" for check in self.plan.get("safety_checks", ())]
        if self.plan.get("release"):
            wanted.append("release")
        if self.plan.get("reversible_while"):
            wanted.append("reversible")
        return wanted


ASKED_AGAIN = ("reversible", "capture")
"""After an approval: it may have taken its time (D7)."""


class Disarmed:
    """A subject that may not fire, and its way back (W8, W9, W13)."""

    def __init__(self, document: Doc, fired: Ms | None) -> None:
        self.cause: str = document["cause"]
        self.at: Ms = document["at"]
        self.fired = fired  # the end of the window it fired in
        self.life: str | None = document.get("life")
        self.rearm = "pending" if self.cause == "fired" else "ok"
        self.end = ""
        self.cooldown: Ms = 0
        self.life_ended: Ms | None = None
        self.streak_ended: Ms | None = None
        self.relapsed = False

    def since(self, skew: Ms) -> Ms:
        """Later windows may end its streak, also those that ended before its fire was decided."""
        return min(self.at + skew, self.at + skew if self.fired is None else self.fired)

    def due(self) -> Ms | None:
        """When it arms by time alone (W8)."""
        if self.rearm not in ("streak", "cooldown") or self.streak_ended is None or self.life_ended is None:
            return None
        both = max(self.streak_ended, self.life_ended)
        return both if self.rearm == "streak" else both + self.cooldown


class Spent:
    def __init__(self, life: str, bad: str | None) -> None:
        self.life = life
        self.bad = bad
        self.restored: str | None = None


class Book:
    """The world as far as the tape has told it."""

    def __init__(self) -> None:
        self.asserted: Counter[str] = Counter()
        self.dues = Dues()
        self.alive = False
        self.started = False  # this process has journalled its start
        self.writable = True
        self.frozen = False  # a journal it cannot read: it only pages (J2)
        self.now: Ms = 0  # steady, as last seen
        self.offset: Ms = 0  # steady minus the world's true time
        self.true: Ms = 0  # the same, where no append came between the two
        self.slept = False  # since the last append
        self.skew: Ms = 0
        self.skew_slack: Ms = 0
        self.config: Doc | None = None
        self.finish_only = False
        self.triggers: dict[str, Doc] = {}
        self.plans: dict[str, Doc] = {}
        self.definitions: dict[str, tuple[Doc, Doc]] = {}  # watch → trigger, condition
        self.lives: dict[str, Life] = {}
        self.numbers: Counter[str] = Counter()
        self.rollouts: dict[str, Doc] = {}
        self.counting: dict[str, Doc] = {}
        self.first_pending: set[str] = set()
        self.armed_since: dict[Subject, Ms] = {}
        self.disarmed: dict[Subject, Disarmed] = {}
        self.spent: dict[str, Spent] = {}
        self.rate: list[tuple[Ms, str, frozenset[str]]] = []
        self.vetoed: dict[str, Ms] = {}
        self.pauses: dict[tuple[str | None, str | None], Doc] = {}
        self.matters: dict[str, Doc] = {}  # open ones: as opened, with the newest cause
        self.running: dict[tuple[str, int], str] = {}  # processes on the host → step

    def demand(self, rule: str, holds: bool, *words: object) -> None:
        """Count that `rule` was looked at; raise where it does not hold."""
        self.asserted[rule] += 1
        if not holds:
            raise Violation(rule, " ".join(map(str, words)))

    def open_rollout(self, plan: str) -> Doc | None:
        rollout = self.rollouts.get(plan)
        return rollout if rollout is not None and rollout["state"] == "open" else None

    def floor(self, trigger: Doc, subject: str, *, over: bool = False) -> Ms:
        """From where this subject's windows count, in Prometheus' time (W9, W13). `over`: by a rollout that
        is over, too; what was inside its delay as it was judged did not count."""
        name = trigger["name"]
        counting = self.counting.get(name)
        since: Ms = 0
        if counting is not None and counting["fingerprint"] == trigger["fingerprint"]:
            since = counting["since"]
        if trigger.get("arm", "rollout") == "rollout":
            rollout = self.rollouts.get(trigger["plan"]) if over else self.open_rollout(trigger["plan"])
            if rollout is not None:
                since = max(since, rollout["at"] + trigger.get("initial_delay", 0))
        since = max(since, self.armed_since.get((name, subject), 0))
        entry = self.disarmed.get((name, subject))
        if entry is not None and entry.life_ended is not None:
            since = max(since, entry.life_ended)
        return since + self.skew

    def waiting(self, plan: str, scope: str) -> Life | None:
        same = (x for x in self.lives.values() if (x.plan["name"], x.scope) == (plan, scope))
        return next((x for x in same if x.waits()), None)

    def define(self, trigger: Doc) -> None:
        """Remember what a watch of this definition asks."""
        key = f"{trigger['name']}@{trigger['fingerprint']}"
        self.definitions[key] = (trigger, trigger["condition"])
        if trigger.get("recovered"):
            self.definitions[f"{key}/recovered"] = (trigger, trigger["recovered"])


Handler: TypeAlias = Callable[[Doc], None]


class Noun:
    """Checks about one noun. `rows` maps a kind to what judges its document, before it is folded;
    `records` a type of record likewise; `settle` looks at the facts once a batch is folded."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.rows: dict[str, Handler] = {}
        self.records: dict[type, Callable[[Any], None]] = {}

    def settle(self, at: Ms) -> None:
        """The batch of that moment is folded."""
