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
HOUR: Ms = 3_600_000


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
        self.guarded = False


class Life:
    """One rollback, as its rows tell it."""

    def __init__(self, document: Doc) -> None:
        self.id: str = document["life"]
        self.plan: Doc = document["plan"]
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
        self.step: Step | None = None
        self.settled: dict[str, str] = {}  # step → result
        self.phases_met: set[str] = set()
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

    @property
    def automatic(self) -> bool:
        """Nobody said that it should go on (D7)."""
        return self.by == AUTOMATIC and self.approval is None

    def waits(self) -> bool:
        return self.began is None and self.ended is None

    def executions_under_way(self) -> bool:
        return self.step is not None and self.step.stage == "running"

    def present(self) -> list[Subject]:
        return [key for key in self.firings if key not in self.left]

    def steps(self) -> list[tuple[Doc, Doc]]:
        """Every phase and step in the order of running: clean-up last (X1)."""
        phases = self.plan["phases"]
        ordered = [p for p in phases if not p.get("after_verified")]
        ordered += [p for p in phases if p.get("after_verified")]
        return [(phase, step) for phase in ordered for step in phase["steps"]]

    def checks_wanted(self) -> list[str]:
        """What is asked before anything else (D2, D6, I11)."""
        wanted = [f"safety/{check['name']}" for check in self.plan.get("safety_checks", ())]
        if self.plan.get("release"):
            wanted.append("release")
        if self.plan.get("reversible_while"):
            wanted.append("reversible")
        return wanted


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

    def waiting(self, plan: str) -> Life | None:
        return next((x for x in self.lives.values() if x.plan["name"] == plan and x.waits()), None)

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
