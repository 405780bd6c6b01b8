"""Which action, and everything that lowers it, recomputed from the journal (D1–D10; I5, I9, I10, I18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.sim.audit.book import ACTIONS, ALL, AUTOMATIC, HOUR, Noun, highest, lowest, part_of
from rollbackd.sim.audit.windows import BRAKE_WAIT, QUEUED
from rollbackd.sim.tape import Told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.sim.audit.book import Book, Doc, Life
    from rollbackd.sim.audit.windows import Windows
    from rollbackd.sim.tape import Ms

KNOWABLE = frozenset(
    {"paused", "spent", "no_previous", "rate_limit", "vetoed", "rollout_ended", "safety_check"}
)
"""Reasons to lower an action that the journal alone shows."""

MOST_SUBJECTS = 1_000
MOST_TEXT = 48_000


class Decisions(Noun):
    def __init__(self, book: Book, windows: Windows) -> None:
        super().__init__(book)
        self.windows = windows
        self._waits_over: set[str] = set()  # in this batch, by themselves
        self._joining: set[str] = set()  # lives
        self._begun: list[tuple[Ms, Life]] = []  # by themselves, a moment ago
        self._renewed: set[str] = set()  # services with a new rollout
        self.records = {Told: self._told}
        self.rows = {
            "life_opened": self._opened,
            "subject_joined": self._joined,
            "action_changed": self._changed,
            "wait_ended": self._wait_ended,
            "rollback_began": self._began,
            "services_unspent": self._unspent,
            "rollout_began": lambda d: self._renewed.update(
                self.book.plans.get(d["plan"], {}).get("services", ())
            ),
        }

    def settle(self, at: Ms) -> None:
        book = self.book
        self._waits_over.clear()
        for name in self._joining:
            life = book.lives.get(name)
            if life is not None and life.by == AUTOMATIC and life.state.startswith("waiting_"):
                top = highest(life.triggers[key[0]]["action"] for key in life.present())
                book.demand("D10", life.top == top, name, "was joined, and takes", life.top, "for", top)
        for service in self._renewed:
            book.demand("D6", service not in book.spent, service, "has a new rollout, and stays spent")
        self._joining.clear()
        self._renewed.clear()

    # Opening

    def _opened(self, document: Doc) -> None:
        book, life, plan = self.book, document["life"], document["plan"]
        name = plan["name"]
        book.demand("D10", life == f"{name}-{book.numbers[name] + 1}", life, "is not the next of", name)
        whole = document.get("whole") or plan
        book.demand("I15", whole == book.plans.get(name), life, "opens with a plan that is not loaded")
        scope = plan.get("scope", ALL)
        part = next((known for known in whole.get("scopes", ()) if known["name"] == scope), None)
        known = scope == ALL or part is not None
        book.demand("X7", known and plan == part_of(whole, scope), life, "opens with no part of its plan")
        if document["by"] != AUTOMATIC:
            return
        book.demand("J2", not book.finish_only and not book.frozen, life, "opens on unusable files")
        triggers = document["triggers"]
        for trigger in triggers.values():
            book.demand(
                "I15", trigger == book.triggers.get(trigger["name"]), life, "fires by another trigger"
            )
        standing = {trigger: self._standing(definition) for trigger, definition in triggers.items()}
        top = highest(definition["action"] for definition in triggers.values())
        book.demand("D1", document["top"] == top, life, "takes", document["top"], "for", top)
        action = highest(standing.values())
        book.demand("D2", document["action"] == action, life, "opens to", document["action"], "not", action)
        kinds = {kind if kind in ("notify", "shadow") else "acting" for kind in standing.values()}
        book.demand("D10", len(kinds) == 1, life, "mixes", sorted(kinds))
        if kinds == {"acting"}:
            waiting = book.waiting(name, scope)
            book.demand("D10", waiting is None, life, "opens while another life of its plan waits")
        chosen = {trigger.get("scope", ALL) for trigger in triggers.values()}
        book.demand("X7", chosen == {scope}, life, "opens with", scope, "where its triggers chose", chosen)
        self._bounded(life, document.get("firings", []))

    def _standing(self, trigger: Doc) -> str:
        """What holds at any time: the ceiling, and that without a rollout nothing can be undone."""
        action: str = lowest((trigger["action"], self._ceiling()))
        if trigger.get("arm", "rollout") == "rollout" and self.book.open_rollout(trigger["plan"]) is None:
            action = lowest((action, "notify"))
        return action

    def _ceiling(self) -> str:
        config = self.book.config or {}
        ceiling: str = config.get("max_action", "auto")
        return ceiling

    def _bounded(self, life: str, firings: list[Doc]) -> None:
        text = sum(len(found["subject"]) for found in firings)
        self.book.demand("I16", len(firings) <= MOST_SUBJECTS, life, "carries", len(firings), "subjects")
        self.book.demand("I16", len(firings) == 1 or text <= MOST_TEXT, life, "carries", text, "characters")

    def _joined(self, document: Doc) -> None:
        life, found = self.book.lives.get(document["life"]), document["firing"]
        self.book.demand(
            "D10", life is not None and life.waits(), document["life"], "waits no more: none joins"
        )
        if life is None:
            return
        self._joining.add(life.id)
        self.book.demand("J2", not self.book.finish_only, life.id, "is joined on unusable files")
        plan = document["definition"]["plan"]
        self.book.demand("D10", plan == life.plan["name"], found["trigger"], "joins a life of another plan")
        scope = document["definition"].get("scope", ALL)
        self.book.demand("D10", scope == life.scope, found["trigger"], "joins a life of another scope")
        self._bounded(life.id, [*life.firings.values(), found])

    def _changed(self, document: Doc) -> None:
        book, life = self.book, self.book.lives.get(document["life"])
        if life is None:
            return
        before = {(low["reason"], low["to"]) for low in life.lowered}
        after = {(low["reason"], low["to"]) for low in document["lowered"]}
        book.demand("I10", before <= after, life.id, "forgets why it was lowered:", before - after)
        told = {low["reason"] for low in document["lowered"]} - {low["reason"] for low in life.lowered}
        groundless = (told & KNOWABLE) - {reason for _, reason in self._due(life, document["at"])}
        book.demand("D2", not groundless, life.id, "is lowered for", sorted(groundless), "that is not so")
        rises = ACTIONS[document["action"]] < ACTIONS[life.action]
        book.demand("I10", not rises or life.joined, life.id, "rises by itself to", document["action"])
        self._sound(life, document)

    def _sound(self, life: Life, document: Doc) -> None:
        """The action is the highest of those present, lowered by each reason."""
        keys = life.present() or list(life.firings)
        top = highest(life.triggers[key[0]]["action"] for key in keys)
        if life.by == AUTOMATIC and "top" in document:
            self.book.demand("D10", document["top"] == top, life.id, "takes", document["top"], "for", top)
        action = lowest((document.get("top", top), *(low["to"] for low in document.get("lowered", []))))
        self.book.demand("D2", document["action"] == action, life.id, "is", document["action"], "not", action)

    # Beginning

    def _wait_ended(self, document: Doc) -> None:
        life, wait = self.book.lives.get(document["life"]), document["wait"]
        if life is None:
            return
        self.book.demand(
            "D7", life.wait == wait, life.id, "ends a wait for", wait, "where it waits for", life.wait
        )
        self.book.demand("D5", life.held is None, life.id, "is held, and its wait for", wait, "ends")
        if life.automatic and wait != "refused":
            self._waits_over.add(life.id)
        if wait == "veto":
            holds = life.veto_until is not None and document["at"] >= life.veto_until
            self.book.demand("D8", holds, life.id, "ends its veto window early")
        elif wait == "lock":
            holding = [other.id for other in self._ahead(life)]
            self.book.demand("D3", not holding, life.id, "has its lock, though", holding, "hold it")
        elif wait == "refused" and life.automatic:
            self._judged_again(life, document["at"])

    def _ahead(self, life: Life) -> Iterator[Life]:
        """Who holds one of its services, or waited for one first (D3)."""
        first = True
        for other in self.book.lives.values():
            if other.id == life.id:
                first = False
            elif other.services & life.services and (
                other.holds or (first and other.state == "waiting_lock")
            ):
                yield other

    def _began(self, document: Doc) -> None:
        book, life, at = self.book, self.book.lives.get(document["life"]), document["at"]
        known = life is not None and life.waits()
        book.demand("D5", known, document["life"], "begins, and does not wait")
        if life is None:
            return
        holding = [
            other.id for other in book.lives.values() if other.holds and other.services & life.services
        ]
        book.demand("I5", not holding, life.id, "takes services that", holding, "hold")
        waited = [other.id for other in self._ahead(life)]
        book.demand("D3", not waited, life.id, "goes before", waited)
        book.demand("D5", life.held is None and not life.abort, life.id, "begins, though a person stopped it")
        book.demand(
            "I15", document["plan"] == life.plan, life.id, "begins with another plan than it opened with"
        )
        book.demand("I15", document["triggers"] == life.triggers, life.id, "begins with other triggers")
        missing = [slot for slot in life.checks_wanted() if slot not in life.checks]
        book.demand("D2", not missing, life.id, "begins without an answer of", missing)
        book.demand(
            "X9", document["overrun_at"] == at + life.plan.get("timeout", 900_000), life.id, "overruns at"
        )
        decided = life.decided if life.decided is not None else at
        book.demand("S1", document["decided"] == decided, life.id, "was decided at", decided)
        book.demand("I10", document["action"] == life.action, life.id, "begins by another action")
        reversible = life.checks.get("reversible")
        holds = reversible is None or reversible.get("status") != 20
        if reversible is not None and life.approval is not None:
            fresh = reversible["at"] >= life.approval["at"]
            self.book.demand("D7", fresh, life.id, "was approved, and goes by what was so before")
        book.demand("I11", holds, life.id, "begins past the point of no return")
        if life.by == AUTOMATIC:
            self._allowed(life, at)

    def _allowed(self, life: Life, at: Ms) -> None:
        """Whether this decision of the daemon's own may hold (D2, D4, D7, D8, W7)."""
        book = self.book
        book.demand("D4", bool(life.present()) or not life.automatic, life.id, "begins for nobody")
        approved = set(life.approval.get("reasons", ())) if life.approval is not None else set()
        due = {reason for rule, reason in self._due(life, at) if reason not in approved}
        if life.automatic:
            shown = {low["reason"] for low in life.lowered if ACTIONS[low["to"]] >= ACTIONS["ask"]}
            book.demand("I10", not shown, life.id, "begins, though lowered by", sorted(shown))
            book.demand("I9", not due, life.id, "begins by itself, against", sorted(due))
            willing = life.action == "auto" or (life.action == "auto_with_warning" and life.veto_passed)
            book.demand("D1", willing, life.id, "begins by", life.action)
            self._judged_again(life, at)
            self._fresh(life, at)
            self._begun = [(when, other) for when, other in self._begun if at - when < QUEUED]
            self._begun.append((at, life))
        else:
            approved.add("paused")  # never stops a person (D5)
            due.discard("paused")
            new = {low["reason"] for low in life.lowered} - approved
            book.demand("D7", not new and not due, life.id, "was not approved for", sorted(new | due))

    def _judged_again(self, life: Life, at: Ms) -> None:
        """D7: after an automatic wait a window must have shown the breach again."""
        over, book = life.wait_over, self.book
        book.demand("I18", life.id not in self._waits_over, life.id, "acts in the turn that ended its wait")
        if over is None or book.now - over < 0:
            return
        told = any(
            self.windows.breached_since(life.triggers[key[0]], key[1], over - QUEUED)
            for key in life.present()
        )
        book.demand("I18", told, life.id, "acts at", at, "on no window judged after", over)

    def _fresh(self, life: Life, at: Ms) -> None:
        slack = self.book.skew_slack + 100
        ages = []
        for name, subject in life.present():
            trigger = life.triggers[name]
            age = at + self.book.skew - self.windows.last_breach(trigger, subject)
            ages.append(age - 2 * trigger["interval"] - trigger.get("delay", 0))
        self.book.demand("W7", min(ages) < slack, life.id, "begins", min(ages), "ms too late")

    def _due(self, life: Life, at: Ms) -> Iterator[tuple[str, str]]:
        """Each rule that asks for less than acting, and its reason (D2)."""
        book, plan = self.book, life.plan
        if ACTIONS[self._ceiling()] >= ACTIONS["ask"]:
            yield "D2", "max_action"
        for (service, trigger), _ in book.pauses.items():
            if (
                service in life.services
                if service is not None
                else trigger is None or trigger in life.triggers
            ):
                yield "D5", "paused"
        if any(s in book.spent and book.spent[s].life != life.id for s in plan["services"]):
            yield "D6", "spent"
        if plan.get("needs_previous") and life.previous is None:
            yield "D2", "no_previous"
        if self._often(life, at):
            yield "D2", "rate_limit"
        if book.vetoed.get(plan["name"], 0) > at:
            yield "D2", "vetoed"
        yield from self._checked(life)
        rollout = book.rollouts.get(plan["name"])
        armed = any(t.get("arm", "rollout") == "rollout" for t in life.triggers.values())
        over = rollout is None or rollout["rollout"] != life.rollout or rollout["state"] != "open"
        if armed and life.rollout is not None and over:
            yield "W9", "rollout_ended"
        if self._braked(life, at):
            yield "D9", "brake"

    def _often(self, life: Life, at: Ms) -> bool:
        limits = (self.book.config or {}).get("limits", {})
        recent = [mark for mark in self.book.rate if at - mark[0] < HOUR and mark[1] != life.id]
        if len(recent) >= limits.get("rollbacks_per_hour", 6):
            return True
        most = limits.get("per_service_per_hour", 2)
        return any(sum(s in mark[2] for mark in recent) >= most for s in life.services)

    def _checked(self, life: Life) -> Iterator[tuple[str, str]]:
        for check in life.plan.get("safety_checks", ()):
            said = life.checks.get(f"safety/{check['name']}")
            if said is not None and said["answer"] != "pass" and check.get("on_fail", "fail") == "fail":
                yield "D2", "safety_check"
        said = life.checks.get("reversible")
        if said is not None and said.get("status") != 0:
            yield "I11", "irreversible" if said.get("status") == 20 else "reversibility_unknown"

    def _braked(self, life: Life, at: Ms) -> bool:
        """D9, where Prometheus told it for certain and in time."""
        ends = [life.firings[key]["end"] for key in life.present()]
        if not ends:
            return False
        end = max(ends)
        interval = max(life.triggers[key[0]]["interval"] for key in life.present())
        watches = [self.windows.watch(life.triggers[key[0]]) for key in life.present()]
        # Who has waited as long as is asked may go on though another's window comes that very moment.
        waited = all(watch is not None and at - watch.steady >= BRAKE_WAIT for watch in watches)
        latest = at - QUEUED if waited else at
        near = [
            plan
            for plan, (reached, steady) in self.windows.nearly.items()
            if abs(reached - end) <= interval and steady <= latest
        ]
        most: int = (self.book.config or {}).get("limits", {}).get("brake", 3)
        return len(near) >= most

    def _told(self, told: Told) -> None:
        """Who had waited for the other plans' windows of the same end would have seen the brake (D9)."""
        self._begun = [(when, life) for when, life in self._begun if told.steady - when < QUEUED]
        for _, life in self._begun:
            ends = {life.firings[key]["end"] for key in life.present()}
            if told.ends[-1] in ends and len(told.ends) == 1:
                braked = self._braked(life, told.steady)
                self.book.demand("D9", not braked, life.id, "did not wait for", told.watch)

    # Spent

    def _unspent(self, document: Doc) -> None:
        """D6: a release that is neither the bad nor the restored one."""
        if document["why"] != "release":
            return
        answers = [life.checks.get("release") for life in self.book.lives.values() if life.waits()]
        outputs = {a.get("output", "") for a in answers if a is not None and a["answer"] == "pass"}
        for service in document["services"]:
            spent = self.book.spent.get(service)
            known = spent is not None and spent.bad is not None and spent.restored is not None
            other = known and spent is not None and bool(outputs - {spent.bad, spent.restored})
            self.book.demand("D6", other, service, "is fresh again, by no new release")
