"""Pages: promised, climbed, delivered or still tried (I2, I6; E1–E3, E5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollbackd.sim.audit.book import BAD_ENDS, Noun
from rollbackd.sim.tape import Booted, Cancelled, Died, Started

if TYPE_CHECKING:
    from rollbackd.sim.audit.book import Book, Doc, Life
    from rollbackd.sim.tape import Ms

TRIES = 12
"""A `notify` message may be given up after so many refusals; a page never."""

LONGEST_RETRY: Ms = 300_000
PARKED = frozenset({"in_doubt", "overrun", "reversibility_unknown", "gate", "manual"})


class Delivery:
    def __init__(self, reached: bool = False) -> None:
        self.status = "owed"
        self.reached = reached
        self.tries = 0
        self.again: Ms | None = None


class Page:
    def __init__(self, document: Doc, before: Page | None) -> None:
        self.id: str = document["page"]
        self.document = document
        self.kind: str = document["page_kind"]
        self.matter: str | None = document.get("matter")
        self.status = "firing"
        self.at: Ms = document["at"]
        self.had = before.reached() if before is not None else []  # took it when it was promised before
        self.deliveries = {name: Delivery(name in self.had) for name in document["receivers"]}

    def reached(self) -> list[str]:
        took = [name for name, delivery in self.deliveries.items() if delivery.reached]
        return took + [name for name in self.had if name not in took]


class Matter:
    def __init__(self, document: Doc) -> None:
        self.key: str = document["matter"]
        self.kind: str = document["matter_kind"]
        self.cause: str = document["cause"]
        self.opened: Ms = document["at"]
        self.ladder: list[Doc] = document["ladder"]
        self.acked: Ms = 0
        self.paged: dict[int, Ms] = {}
        self.top = -1  # the highest rung that was reached
        self.pages: dict[str, None] = {}
        self.keys: dict[str, tuple[str, int]] = {}  # dedup → cause, rung

    def due(self, index: int) -> tuple[Ms, bool] | None:
        """When this rung is to be reached, and whether that repeats it (E1, E3)."""
        rung = self.ladder[index]
        acked = self.acked if rung.get("until", "acked") == "acked" else 0
        paged = self.paged.get(index)
        if paged is None:
            return max(self.opened + rung["after"], acked), False
        if rung.get("repeat") is not None:
            return max(paged + rung["repeat"], acked), True
        if acked > paged and index == self.top:
            return acked, True
        return None


class Ladder(Noun):
    def __init__(self, book: Book) -> None:
        super().__init__(book)
        self.matters: dict[str, Matter] = {}
        self.pages: dict[str, Page] = {}
        self._under_way: set[str] = set()
        self._touched: dict[str, None] = {}  # matters of this batch
        self._pages: dict[str, None] = {}  # pages of this batch
        self._reached: tuple[str, int] | None = None  # a rung whose page must follow
        self._must: list[tuple[str, str]] = []  # matters that must be open after this batch, and why
        self._must_not: list[str] = []
        self._tells: list[tuple[str, str]] = []  # lives that are to be told of, and why
        self._told: set[str] = set()
        self.records = {
            Started: self._started,
            Cancelled: self._cancelled,
            Booted: self._anew,
            Died: self._anew,
        }
        self.rows = {
            "matter_opened": self._opened,
            "matter_changed": self._changed,
            "matter_resolved": self._resolved,
            "matter_acked": self._acked,
            "rung_reached": self._rung,
            "page_promised": self._promised,
            "page_delivered": self._delivered,
            "page_refused": self._refused,
            "life_ended": self._ended,
            "life_parked": lambda d: self._must.append((f"life/{d['life']}", "parked")),
            "step_overdue": lambda d: self._must.append((f"life/{d['life']}", "overdue")),
            "cleanup_failed": lambda d: self._must.append((f"life/{d['life']}", "clean-up failed")),
            "phase_failed": lambda d: self._must.append((f"life/{d['life']}", "a phase failed")),
            "scope_widened": lambda d: self._tells.append((d["life"], "widened")),
            "validation_failed": lambda d: self._must.append((_relapse(d), "relapse")),
            "validation_recovered": lambda d: self._must_not.append(_relapse(d)),
            "stage_ended": self._stage_ended,
            "validation_ended": self._validation_ended,
            "sla_breached": self._sla_breached,
            "standing_told": lambda d: self._must.append((f"breach/{d['trigger']}", "standing")),
            "relapsed": lambda d: self._must.append((f"relapse/{d['life']}", "relapse")),
            "configuration_refused": self._files,
            "wait_began": self._wait_began,
            "rollback_began": lambda d: self._tells.append((d["life"], "began")),
        }

    # What must be told

    def _files(self, _: Doc) -> None:
        if self.book.config is not None:
            self._must.append(("configuration/files", "the files are unusable"))

    def _wait_began(self, document: Doc) -> None:
        if document["wait"] in ("approval", "veto"):
            self._must.append((f"life/{document['life']}", document["wait"]))
        elif document["wait"] == "lock":
            other = self.book.lives.get(document.get("blocked_by") or "")
            if other is not None and (other.ended is not None or other.parked is not None):
                self._must.append((f"life/{document['life']}", "blocked"))

    def _sla_breached(self, document: Doc) -> None:
        where = f"/{document['region']}" if document.get("region") else ""
        self._must.append((f"sla/{document['life']}{where}", "SLA"))

    def _stage_ended(self, document: Doc) -> None:
        if document.get("unticked"):
            self._tells.append((document["life"], "items that nobody ticked"))

    def _validation_ended(self, document: Doc) -> None:
        life = self.book.lives.get(document["life"])
        known = life.validation if life is not None else None
        self._must_not += [f"relapse/{document['life']}/{check}" for check in known.failing] if known else []

    def _ended(self, document: Doc) -> None:
        matter, end = f"life/{document['life']}", document["end"]
        life = self.book.lives.get(document["life"])
        if end in BAD_ENDS or end in ("expired", "notified"):
            self._must.append((matter, end))
        elif life is not None and not life.cleanup_failed and not life.failed_phases:
            self._must_not.append(matter)
        if end in BAD_ENDS or end in ("verified", "stood_down"):
            self._tells.append((document["life"], end))

    def settle(self, at: Ms) -> None:
        book = self.book
        for one in book.lives.values():
            waits = one.state == "waiting_approval" and one.ended is None and one.approval is None
            book.demand("E1", not waits or f"life/{one.id}" in self.matters, one.id, "waits, and asks nobody")
            self._still_rings(one)
            hangs = [step.name for step in one.at_hand.values() if step.overdue and step.stage == "running"]
            rings = f"life/{one.id}" in self.matters
            book.demand("X9", not hangs or rings, one.id, hangs, "are overdue, and page nobody")
        if self._reached is not None:
            book.demand("E1", False, self._reached, "is reached, and pages nobody")
        if self._must or self._must_not:
            for matter, why in self._must:
                book.demand("E2", matter in self.matters, matter, "pages nobody of", why)
            for matter in self._must_not:
                book.demand("E2", matter not in self.matters, matter, "goes on paging of what is over")
            self._must.clear()
            self._must_not.clear()
        for name, why in self._tells:
            known = book.lives.get(name)
            notify = (known.plan.get("notify") if known is not None else ()) or (book.config or {}).get(
                "notify"
            )
            book.demand("E2", not notify or name in self._told or known is None, name, "tells nobody of", why)
        self._tells.clear()
        self._told.clear()
        if book.frozen or book.config is not None:
            for key in self._touched:
                self._climb(key, at)
        self._touched.clear()
        for page in self._pages:
            self._owe(page)
        self._pages.clear()

    def _still_rings(self, life: Life) -> None:
        """A page ends with what it is about: nobody waits for a person any more (E1)."""
        matter = self.matters.get(f"life/{life.id}")
        if matter is None:
            return
        book, cause = self.book, matter.cause
        if life.ended is None and life.parked is None:
            book.demand("E1", cause not in PARKED, life.id, "goes on, and pages of", cause)
        elif life.end in ("expired", "notified") and life.firings:
            bad = any(e.life == life.id and e.streak_ended is None for e in book.disarmed.values())
            book.demand("E1", bad, life.id, "is well, and pages of what nobody decided")

    # Climbing

    def _opened(self, document: Doc) -> None:
        key = document["matter"]
        self.book.demand("E1", key not in self.matters, key, "is open already")
        self.book.demand("E1", bool(document["ladder"]), key, "has no ladder")
        self.matters[key] = Matter(document)
        self._touched[key] = None

    def _changed(self, document: Doc) -> None:
        matter = self.matters.get(document["matter"])
        self.book.demand("E2", matter is not None, document["matter"], "changes, and is not open")
        if matter is not None:
            self.book.demand("E2", matter.cause != document["cause"], matter.key, "changes to the same cause")
            self._over(matter)
            matter.cause, matter.opened = document["cause"], document["at"]
            matter.acked, matter.top = 0, -1
            matter.paged.clear()
            self._touched[matter.key] = None

    def _resolved(self, document: Doc) -> None:
        matter = self.matters.pop(document["matter"], None)
        self.book.demand("E1", matter is not None, document["matter"], "is resolved, and was not open")
        if matter is not None:
            self._over(matter)
            # What is over within the batch that told of it owes nobody a page.
            self._must = [(key, why) for key, why in self._must if key != matter.key]
            self.book.dues.settle_all("rung", matter.key)
            self._touched.pop(matter.key, None)

    def _over(self, matter: Matter) -> None:
        """Whoever accepted one of its pages is owed the end of it (E2); the others no more."""
        for name in matter.pages:
            page = self.pages.get(name)
            if page is None or page.status == "resolved":
                continue
            reached = page.reached()
            if not reached:
                del self.pages[name]
            else:
                page.status = "resolved"
                page.deliveries, page.had = {receiver: Delivery() for receiver in reached}, []
            self._pages[name] = None
        matter.pages.clear()

    def _acked(self, document: Doc) -> None:
        matter = self.matters.get(document["matter"])
        if matter is not None:
            matter.acked = document["until"]
            self._touched[matter.key] = None
            self.book.matters[matter.key] = {**self.book.matters[matter.key], "acked": document["until"]}

    def _rung(self, document: Doc) -> None:
        key, index, at = document["matter"], document["rung"], document["at"]
        self.book.demand("E1", self._reached is None, self._reached, "is reached, and pages nobody")
        matter, repeat = self.matters.get(key), document.get("repeat", False)
        known = matter is not None and index < len(matter.ladder)
        self.book.demand("E1", known, key, "has no rung", index)
        if matter is None:
            return
        due = matter.due(index)
        self.book.demand(
            "E1", due is not None and due[0] <= at, key, "reaches rung", index, "of", due, "at", at
        )
        self.book.demand("E1", due is not None and due[1] is repeat, key, "repeats rung", index, "wrongly")
        matter.paged[index], matter.top = at, max(matter.top, index)
        self._touched[key] = None
        self._reached = key, index

    def _climb(self, key: str, at: Ms) -> None:
        """Everything that was due is reached by the end of the batch; the rest is owed."""
        matter = self.matters.get(key)
        if matter is None:
            return
        for index in range(len(matter.ladder)):
            due = matter.due(index)
            if due is None:
                self.book.dues.settle(("rung", key, str(index)))
                continue
            self.book.demand("E1", due[0] > at, key, "did not reach rung", index, "due at", due[0])
            self.book.dues.owe(("rung", key, str(index)), due[0], "E1")

    # Pages

    def _promised(self, document: Doc) -> None:
        page = Page(document, self.pages.get(document["page"]))
        for what in ("page", "alert"):
            self.book.dues.settle_all(what, page.id)  # promised anew: to these receivers
        self.pages[page.id] = page
        self._pages[page.id] = None
        self._under_way = {key for key in self._under_way if not key.startswith(f"page/{page.id}/")}
        if page.kind == "tell" and document.get("life"):
            self._told.add(document["life"])
        if page.matter is None:
            return
        matter, reached, self._reached = self.matters.get(page.matter), self._reached, None
        follows = matter is not None and reached is not None and reached[0] == page.matter
        self.book.demand("E1", follows, page.id, "is promised for no rung")
        if matter is None or reached is None:
            return
        rung = matter.ladder[reached[1]]
        self.book.demand("E1", document["receivers"] == rung["receivers"], page.id, "goes to other receivers")
        matter.pages[page.id] = None
        cause = matter.cause if matter.kind == "life" else ""
        known = matter.keys.setdefault(document["dedup"], (cause, reached[1]))
        self.book.demand("E2", known == (cause, reached[1]), page.id, "has the key of", known)

    def _owe(self, name: str) -> None:
        """Every delivery that is owed is started in time, unless it is under way (I6)."""
        page, dues = self.pages.get(name), self.book.dues
        if page is None:
            dues.settle_all("page", name)
            dues.settle_all("alert", name)
            return
        for receiver, delivery in page.deliveries.items():
            self._owe_alert(page, receiver, delivery)
            for status in ("firing", "resolved"):
                key = ("page", name, receiver, status)
                under_way = f"page/{name}/{receiver}/{status}" in self._under_way
                if delivery.status != "owed" or status != page.status or under_way:
                    dues.settle(key)
                else:
                    dues.owe(key, delivery.again if delivery.again is not None else self.book.now, "I6")

    def _owe_alert(self, page: Page, receiver: str, delivery: Delivery) -> None:
        """An accepted page is a state: kept until it is over, and no longer (E2)."""
        key, due = f"keep/{page.id}/{receiver}", ("alert", page.id, receiver)
        kept, wanted = key in self._under_way, page.status == "firing" and delivery.reached
        if page.kind != "page" or kept == wanted:
            self.book.dues.settle(due)
        else:
            self.book.dues.owe(due, self.book.now, "E2")

    def _answered(self, document: Doc) -> Delivery | None:
        page, receiver = self.pages.get(document["page"]), document["receiver"]
        delivery = page.deliveries.get(receiver) if page is not None else None
        self.book.demand("I6", delivery is not None, document["page"], "was not promised to", receiver)
        for status in ("firing", "resolved"):
            self._under_way.discard(f"page/{document['page']}/{receiver}/{status}")
        self._pages[document["page"]] = None
        if delivery is not None:
            delivery.tries += 1
        return delivery

    def _delivered(self, document: Doc) -> None:
        delivery = self._answered(document)
        if delivery is not None:
            delivery.status, delivery.reached, delivery.again = "accepted", True, None
        self._forget(document["page"])

    def _refused(self, document: Doc) -> None:
        delivery, page = self._answered(document), self.pages.get(document["page"])
        if delivery is None or page is None:
            return
        demand, again = self.book.demand, document.get("again")
        optional = page.kind == "tell" or page.status == "resolved"
        demand("I6", again is not None or (optional and delivery.tries >= TRIES), page.id, "is given up")
        later = again is None or 0 < again - document["at"] <= LONGEST_RETRY
        demand("I6", later, page.id, "is tried again at", again)
        following = document.get("next", [])
        taken = any(known.status == "accepted" for known in page.deliveries.values())
        others = [r for r in (self.book.config or {}).get("receivers", []) if r not in page.deliveries]
        needs = page.status == "firing" and not taken and bool(others)
        demand("E2", bool(following) is needs, page.id, "goes on to", following, "of", others)
        delivery.status, delivery.again = "owed" if again is not None else "refused", again
        for receiver in following:
            demand("I16", receiver in others, page.id, "goes on to", receiver)
            page.deliveries[receiver] = Delivery()
        self._forget(page.id)

    def _forget(self, name: str) -> None:
        page = self.pages.get(name)
        if page is None or (page.kind == "page" and page.status == "firing"):
            return
        if all(delivery.status != "owed" for delivery in page.deliveries.values()):
            del self.pages[name]

    # The effects

    def _anew(self, _: Booted | Died) -> None:
        self._under_way.clear()
        for name in self.pages:
            self._owe(name)

    def _cancelled(self, record: Cancelled) -> None:
        self._under_way.discard(record.key)
        if record.key.startswith("keep/"):
            page, _, receiver = record.key.removeprefix("keep/").rpartition("/")
            self.book.dues.settle(("alert", page, receiver))

    def _started(self, record: Started) -> None:
        if record.effect == "page":
            self._send(record)
        elif record.effect == "keep_alert":
            self._keep(record.fields["page"])
            self._under_way.add(record.key)
            self.book.dues.settle(("alert", record.fields["page"]["page"], record.fields["page"]["receiver"]))

    def _send(self, record: Started) -> None:
        fields, demand = record.fields, self.book.demand
        page = self.pages.get(fields["page"])
        demand("I2", page is not None, record.key, "is sent, and was not promised")
        if page is None:
            return
        delivery, status = page.deliveries.get(fields["receiver"]), fields["status"]
        demand("I2", delivery is not None and status == page.status, record.key, "is not owed")
        if delivery is None:
            return
        demand("E2", delivery.status == "owed", record.key, "is sent again, and was", delivery.status)
        demand(
            "E2", delivery.again is None or record.steady >= delivery.again, record.key, "is sent again early"
        )
        demand("E2", fields["dedup"] == page.document["dedup"], record.key, "has another key")
        demand("E2", record.key not in self._under_way, record.key, "is sent twice at once")
        self._under_way.add(record.key)
        self.book.dues.settle(("page", page.id, fields["receiver"], status))

    def _keep(self, fields: dict[str, Any]) -> None:
        page = self.pages.get(fields["page"])
        holds = page is not None and page.status == "firing" and fields["receiver"] in page.reached()
        self.book.demand("E2", holds, fields["page"], "is kept, and was not accepted or is over")

    def owed(self) -> list[tuple[Page, str, Delivery]]:
        return [
            (page, receiver, delivery)
            for page in self.pages.values()
            for receiver, delivery in page.deliveries.items()
            if delivery.status == "owed"
        ]


def _relapse(document: Doc) -> str:
    return f"relapse/{document['life']}/{document['check']}"
