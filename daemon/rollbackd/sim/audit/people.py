"""What people said and what came of it; the waits that are theirs (D5, D7, D8, E3, X8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.sim.audit.book import AUTOMATIC, BAD_ENDS, Noun
from rollbackd.sim.tape import Booted, Replied, Spoke

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollbackd.sim.audit.book import Book, Doc, Life
    from rollbackd.sim.audit.windows import Windows
    from rollbackd.sim.tape import Ms

PAGE_PATIENCE: Ms = 60_000
ACK_LASTS: Ms = 1_800_000


class People(Noun):
    def __init__(self, book: Book, windows: Windows) -> None:
        super().__init__(book)
        self.windows = windows
        self._said: dict[int, Spoke] = {}
        self._over: dict[str, str] = {}  # life → how it ended
        self._accepted: dict[str, Ms] = {}  # matter → when a page promised since then was accepted
        self._promised: dict[str, tuple[str, Ms]] = {}  # page → matter, when
        self.records = {Spoke: self._spoke, Replied: self._replied, Booted: self._booted}
        self.rows = {
            "wait_began": self._wait_began,
            "veto_opened": self._veto_opened,
            "wait_ended": self._wait_over,
            "life_approved": self._approved,
            "life_ended": self._ended,
            "life_resolved": self._resolved,
            "rollback_began": self._began,
            "life_held": self._held,
            "abort_asked": self._by_person("abort"),
            "step_confirmed": self._confirmed,
            "gate_approved": self._gate_approved,
            "item_ticked": self._ticked,
            "life_resumed": self._by_person("resume"),
            "action_changed": self._action_changed,
            "matter_acked": self._acked,
            "page_promised": self._page_promised,
            "page_delivered": self._page_delivered,
        }

    # Words

    def _booted(self, _: Booted) -> None:
        self._said.clear()

    def _spoke(self, record: Spoke) -> None:
        self._said[record.request] = record

    def _asked(self, verb: str, document: Doc) -> list[Spoke]:
        return [said for said in self._said.values() if said.verb == verb and said.actor == document["by"]]

    def _by_person(self, verb: str) -> Callable[[Doc], None]:
        def judge(document: Doc) -> None:
            self.book.demand("E3", bool(self._asked(verb, document)), document["kind"], "of nobody's word")

        return judge

    def _replied(self, record: Replied) -> None:
        said = self._said.pop(record.request, None)
        if said is None or not record.accepted:
            return
        judge = getattr(self, f"_accepted_{said.verb}", None)
        if judge is not None:
            self.book.demand(
                "E3", judge(said.fields), said.verb, said.fields, "was accepted, and nothing came of it"
            )

    def _target(self, fields: Doc) -> Life | None:
        return self.book.lives.get(fields["target"])

    def _gone(self, fields: Doc) -> bool:
        """Over already, or named by a prefix: nothing to see here."""
        return fields["target"] not in self.book.lives

    def _accepted_hold(self, fields: Doc) -> bool:
        life = self._target(fields)
        return life is None or life.held is not None

    def _accepted_veto(self, fields: Doc) -> bool:
        life = self._target(fields)
        return life is None or life.ended is not None

    def _accepted_abort(self, fields: Doc) -> bool:
        life = self._target(fields)
        if life is None or life.ended is not None:
            return True
        return life.abort == "now" if fields.get("now") else bool(life.abort)

    def _accepted_approve(self, fields: Doc) -> bool:
        life = self._target(fields)
        gate = life is not None and life.began is not None  # judged by what it says of the step
        return life is None or life.approval is not None or life.end == "expired" or gate

    def _accepted_resolve(self, fields: Doc) -> bool:
        life = self._target(fields)
        return life is None or life.resolved

    def _accepted_confirm(self, fields: Doc) -> bool:
        life = self._target(fields)
        if life is None or life.parked is None:
            return True
        waits = life.parked["reason"] in ("in_doubt", "manual")
        return not waits or life.parked.get("step") != fields["step"] or life.parked["at"] >= self.book.now

    def _accepted_tick(self, fields: Doc) -> bool:
        life = self._target(fields)
        return life is None or bool(life.ticked)

    def _accepted_resume(self, fields: Doc) -> bool:
        life = self._target(fields)
        return life is None or (
            life.held is None and (life.parked is None or life.parked["at"] >= self.book.now)
        )

    def _accepted_ack(self, fields: Doc) -> bool:
        matters = [m for k, m in self.book.matters.items() if fields["target"] in (k, m.get("life"))]
        return all(matter.get("acked", 0) or matter["at"] >= self.book.now for matter in matters)

    def _accepted_pause(self, fields: Doc) -> bool:
        pause = self.book.pauses.get((fields.get("service"), fields.get("trigger")))
        return pause is not None or fields.get("duration") is not None

    def _accepted_unpause(self, fields: Doc) -> bool:
        return (fields.get("service"), fields.get("trigger")) not in self.book.pauses

    def _accepted_begin_rollout(self, fields: Doc) -> bool:
        rollout = self.book.rollouts.get(fields["plan"])
        return rollout is not None and rollout["next"] == fields["next"]

    def _accepted_finish_rollout(self, fields: Doc) -> bool:
        return self.book.open_rollout(fields["plan"]) is None

    # Waits

    def _life(self, document: Doc) -> Life | None:
        return self.book.lives.get(document["life"])

    def _settle_waits(self, life: str) -> None:
        for what in ("expire", "veto", "warn"):
            self.book.dues.settle((what, life))

    def _wait_began(self, document: Doc) -> None:
        life, wait, at, book = self._life(document), document["wait"], document["at"], self.book
        if life is None:
            return
        self._settle_waits(life.id)
        begun = life.began is not None
        book.demand("D7", life.ended is None, life.id, "is over, and waits for", wait)
        book.demand(
            "D7", not begun or wait in ("refused", "approval"), life.id, "has begun, and waits for", wait
        )
        if wait == "approval":
            expires = life.triggers[life.trigger].get("expires", 900_000)
            book.demand(
                "D7", document.get("until") == at + expires, life.id, "expires at", document.get("until")
            )
            book.demand(
                "D1", life.by == AUTOMATIC and life.action == "ask", life.id, "asks, and is", life.action
            )
            book.dues.owe(("expire", life.id), at + expires, "D7")
        elif wait == "veto":
            book.demand("D8", "until" not in document, life.id, "opens its veto before it was told")
            book.demand("D1", life.action == "auto_with_warning", life.id, "warns, and is", life.action)
            book.dues.owe(("warn", life.id), at + PAGE_PATIENCE, "D8")
        elif wait == "lock":
            known = document.get("blocked_by")
            other = book.lives.get(known or "")
            shared = other is not None and bool(other.services & life.services)
            book.demand("D3", shared, life.id, "waits for", known, "that has nothing of its own")
        elif wait == "refused":
            outcomes = [(step.outcome or {}).get("outcome") for step in life.at_hand.values()]
            refused = "refused" in outcomes and life.untouched
            book.demand("W7", refused, life.id, "was not refused, and is judged again")

    def _veto_opened(self, document: Doc) -> None:
        life = self._life(document)
        if life is None:
            return
        self.book.dues.settle(("warn", life.id))
        accepted = self._accepted.get(f"life/{life.id}", -1)
        waits = life.wait == "veto" and life.veto_until is None
        self.book.demand("D8", waits, life.id, "opens a veto it does not wait for")
        self.book.demand(
            "D8", accepted >= life.wait_since, life.id, "opens its veto; nobody accepted the page"
        )
        due = document["at"] + life.triggers[life.trigger].get("veto", 300_000)
        self.book.demand("D8", document["until"] == due, life.id, "opens its veto until", document["until"])
        self.book.dues.owe(("veto", life.id), due, "D8")

    def _wait_over(self, document: Doc) -> None:
        self._settle_waits(document["life"])

    def _action_changed(self, document: Doc) -> None:
        """A warning nobody received, or a new reason, ends the veto's wait."""
        if document["action"] != "auto_with_warning":
            self.book.dues.settle(("warn", document["life"]))
            self.book.dues.settle(("veto", document["life"]))

    def _held(self, document: Doc) -> None:
        life = self._life(document)
        self._by_person("hold")(document)
        self.book.demand("D5", life is not None and life.ended is None, document["life"], "is over, and held")
        self._settle_waits(document["life"])

    def _approved(self, document: Doc) -> None:
        life, book = self._life(document), self.book
        if life is None:
            return
        self._settle_waits(life.id)
        book.demand("D7", life.ended is None, life.id, "is over, and approved")
        waits = life.state in ("waiting_approval", "waiting_veto")
        book.demand("D7", waits, life.id, "is", life.state, "and approved")
        words = self._asked("approve", document)
        revisions = [said.fields.get("revision") for said in words]
        holds = None in revisions or life.revision in revisions
        book.demand("E3", holds, life.id, "is at revision", life.revision, "and approved at", revisions)
        shown = [low["reason"] for low in life.lowered]
        book.demand("D7", list(document["reasons"]) == shown, life.id, "was shown", shown)
        well = [self.windows.newest_ok(life.triggers[key[0]], key[1]) for key in life.present()]
        settled = self.windows.settled_for(life, document["at"])
        book.demand("D7", not well or not settled or not all(well), life.id, "is well, and approved")

    def _confirmed(self, document: Doc) -> None:
        life = self._life(document)
        words = self._asked("confirm", document)
        revisions = [said.fields.get("revision") for said in words]
        holds = life is not None and (None in revisions or life.revision in revisions)
        self.book.demand("E3", holds, document["life"], "is confirmed by", words)
        same = any(
            (w.fields["step"], w.fields["answer"]) == (document["step"], document["answer"]) for w in words
        )
        self.book.demand("E3", same, document["life"], "is confirmed otherwise than somebody said")

    def _gate_approved(self, document: Doc) -> None:
        """X1: by a second person past the point of no return, or in a phase that one guards."""
        life = self._life(document)
        words = self._asked("approve", document)
        revisions = [said.fields.get("revision") for said in words]
        holds = life is not None and (None in revisions or life.revision in revisions)
        self.book.demand("E3", holds, document["life"], "has a gate opened by", words)
        step = life.at_hand.get(document["step"]) if life is not None else None
        gate = step is not None and step.definition.get("gate") is not None
        self.book.demand("X1", gate, document["life"], document["step"], "is approved, and is no gate")
        if life is None or step is None:
            return
        guarded = step.phase in (life.plan.get("reversible_while") or {}).get("guards", ())
        asked = {life.by} | ({life.approval["by"]} if life.approval is not None else set())
        second = document["by"] not in asked or not (guarded or life.irreversible)
        self.book.demand("X1", second, life.id, "has a gate opened by who asked for it, past the point")

    def _ticked(self, document: Doc) -> None:
        life, item = self._life(document), document["item"]
        words = self._asked("tick", document)
        self.book.demand("E3", bool(words), document["life"], "has an item ticked by nobody")
        if life is not None:
            stages = life.plan.get("validation", ())
            known = [*life.plan.get("manual_verification", ())]
            known += [each for stage in stages for each in stage.get("items", ())]
            names = [each["item"] for each in known]
            self.book.demand("S4", item in names, life.id, "has no item", item)
            self.book.demand("E3", item not in life.ticked, life.id, item, "is ticked twice")
            numbers = {word.fields["item"] for word in words}
            said = str(names.index(item) + 1) in numbers or item in numbers
            self.book.demand("E3", said, life.id, item, "is ticked, and somebody said", numbers)

    def _began(self, document: Doc) -> None:
        self._settle_waits(document["life"])

    def _resolved(self, document: Doc) -> None:
        life = self._life(document)
        words = self._asked("resolve", document)
        self.book.demand("E3", bool(words), document["life"], "is resolved by nobody")
        self.book.demand("D3", life is not None and life.ended is not None, document["life"], "is not over")
        gone = life is not None and life.processes_gone
        said = any(word.fields.get("processes_gone") for word in words)
        self.book.demand("D3", gone or said, document["life"], "frees services on which something may run")

    def _ended(self, document: Doc) -> None:
        life, end, book, at = self._life(document), document["end"], self.book, document["at"]
        book.demand("I4", life is not None and life.ended is None, document["life"], "ends twice")
        if life is None:
            return
        self._settle_waits(life.id)
        if end == "superseded":
            follows = document.get("successor") in book.lives
            book.demand("D10", follows, life.id, "is followed by", document.get("successor"))
        by = document.get("by", AUTOMATIC)
        holds = getattr(self, f"_may_be_{end}")(life, at, by)
        rule = "X8" if end == "aborted" else "D7" if end in ("expired", "vetoed", "stood_down") else "X7"
        book.demand(rule, holds, life.id, "ends", end, "from", life.state)
        if end in BAD_ENDS:
            book.demand("X7", life.began is not None, life.id, "never began, and ends", end)

    def _may_be_verified(self, life: Life, at: Ms, by: str) -> bool:
        return life.verified is not None

    def _may_be_unverified(self, life: Life, at: Ms, by: str) -> bool:
        return life.verification is not None and life.verified is None

    def _may_be_failed(self, life: Life, at: Ms, by: str) -> bool:
        guards = [life.checks.get(f"guard/{s.phase}") for s in life.at_hand.values() if s.stage == "guarding"]
        return life.failed() or any(said is not None and said.get("status") == 20 for said in guards)

    def _may_be_aborted(self, life: Life, at: Ms, by: str) -> bool:
        return bool(life.abort) and not life.irreversible

    def _may_be_stood_down(self, life: Life, at: Ms, by: str) -> bool:
        return bool(life.firings) and not life.present() and not life.executions_under_way()

    def _may_be_vetoed(self, life: Life, at: Ms, by: str) -> bool:
        if by == AUTOMATIC:
            return life.wait == "refused" and bool(life.abort)
        said = {word.verb for word in self._said.values() if word.actor == by}
        return life.began is None and bool(said & {"veto", "abort"})

    def _may_be_expired(self, life: Life, at: Ms, by: str) -> bool:
        return life.state == "waiting_approval" and life.expires is not None and at >= life.expires

    def _may_be_superseded(self, life: Life, at: Ms, by: str) -> bool:
        return life.waits() and any(word.verb == "start" for word in self._said.values())

    def _may_be_shadowed(self, life: Life, at: Ms, by: str) -> bool:
        return life.action == "shadow"

    def _may_be_notified(self, life: Life, at: Ms, by: str) -> bool:
        reversible = life.checks.get("reversible")
        return life.action == "notify" or (reversible is not None and reversible.get("status") == 20)

    # Pages, as far as a veto needs them

    def _page_promised(self, document: Doc) -> None:
        if document.get("matter"):
            self._promised[document["page"]] = document["matter"], document["at"]

    def _page_delivered(self, document: Doc) -> None:
        matter, at = self._promised.get(document["page"], ("", 0))
        if matter and document["status"] == "firing":
            self._accepted[matter] = at

    def _acked(self, document: Doc) -> None:
        self._by_person("ack")(document)
        self.book.demand(
            "E3", document["until"] == document["at"] + ACK_LASTS, document["matter"], "acked too long"
        )
        known = self.book.matters.get(document["matter"])
        self.book.demand("E3", known is not None, document["matter"], "is not open, and acknowledged")
