"""Which subjects may fire again, and when (W8, W9, W13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.sim.audit.book import AUTOMATIC, BAD_ENDS, Noun
from rollbackd.sim.tape import Booted, Died

if TYPE_CHECKING:
    from rollbackd.sim.audit.book import Book, Disarmed, Doc, Subject
    from rollbackd.sim.audit.windows import Windows
    from rollbackd.sim.tape import Ms


class Arming(Noun):
    def __init__(self, book: Book, windows: Windows) -> None:
        super().__init__(book)
        self.windows = windows
        self._fired: dict[Subject, str] = {}  # in this batch, and by which life
        self._changed: set[Subject] = set()
        self._recounting: list[Doc] = []
        self._resolved: set[str] = set()
        self._rollouts: set[str] = set()
        self._forgotten: set[str] = set()
        self._ran: list[str] = []
        self._recounted: list[Doc] = []  # triggers that were loaded
        self.rows = {
            "life_opened": self._opened,
            "subject_joined": self._joined,
            "subject_disarmed": self._disarmed,
            "streak_ended": self._streak_ended,
            "subject_armed": self._armed,
            "relapsed": self._relapsed,
            "trigger_counted": self._counted,
            "trigger_forgotten": lambda document: self._forgotten.add(document["trigger"]),
            "life_ended": self._ended,
            # An ok that was on its way as the rollback began is too late for anyone to leave (D10).
            "rollback_began": lambda document: self.book.dues.settle_all("leave", document["life"]),
            "life_resolved": lambda document: self._resolved.add(document["life"]),
            "configuration_loaded": lambda document: self._recounted.extend(document["config"]["triggers"]),
            "rollout_began": self._rollout_began,
            "rollout_expired": self._rollout_expired,
            "rollout_finished": self._rollout_over,
            "rollout_rolled_back": self._rolled_back,
            "step_started": lambda document: self._ran.append(document["life"]),
            "pause_began": self._paused,
            "pause_ended": self._unpaused,
        }
        self.records = {Booted: self._anew, Died: self._anew}

    def _anew(self, _: Booted | Died) -> None:
        for names in (self._resolved, self._rollouts, self._forgotten):
            names.clear()

    # Fired

    def _opened(self, document: Doc) -> None:
        for found in document.get("firings", []):
            if document["by"] == AUTOMATIC:
                self._fired[found["trigger"], found["subject"]] = document["life"]

    def _joined(self, document: Doc) -> None:
        found = document["firing"]
        self._fired[found["trigger"], found["subject"]] = document["life"]

    def _disarmed(self, document: Doc) -> None:
        key = document["trigger"], document["subject"]
        known, fired = self.book.disarmed.get(key), document["cause"] == "fired"
        if not fired:
            self.book.demand("W9", known is None, key, "is disarmed already, and found", document["cause"])
        else:
            self.book.demand("W8", document.get("life") in self.book.lives, key, "is disarmed for no life")

    def settle(self, at: Ms) -> None:
        if self._fired:
            for key, life in self._fired.items():
                entry = self.book.disarmed.get(key)
                holds = entry is not None and entry.life == life and entry.cause == "fired"
                self.book.demand("W8", holds, key, "fired for", life, "and stayed armed")
            self._fired.clear()
        if self._changed:
            for key in self._changed:
                self._owe(key, self.book.disarmed.get(key))
            self._changed.clear()
        for key, entry in self.book.disarmed.items():
            resolved = entry.life in self._resolved and entry.end in BAD_ENDS
            self.book.demand("W8", not resolved, key, "stays disarmed, though its life is resolved")
        if self._recounting or self._ran or self._recounted:
            self._settle_rest(at)
        for names in (self._resolved, self._rollouts, self._forgotten):
            names.clear()

    def _settle_rest(self, at: Ms) -> None:
        book = self.book
        for pause in self._recounting:
            for name in self._affected(pause):
                counted = book.counting.get(name)
                holds = counted is not None and counted["since"] >= at
                book.demand("W13", holds, name, "goes on counting what it saw while paused")
        self._recounting.clear()
        for trigger in self._recounted:
            counted = book.counting.get(trigger["name"])
            holds = counted is not None and counted["fingerprint"] == trigger["fingerprint"]
            book.demand("W13", holds, trigger["name"], "means something else, and goes on counting")
        self._recounted.clear()
        for life_id in self._ran:
            life = book.lives.get(life_id)
            rollout = book.rollouts.get(life.plan["name"]) if life is not None else None
            if life is not None and rollout is not None and rollout["rollout"] == life.rollout:
                book.demand("W9", rollout["state"] != "open", life_id, "ran, and its rollout stays open")
        self._ran.clear()

    def _affected(self, pause: Doc) -> list[str]:
        book, service = self.book, pause.get("service")
        return [
            name
            for name, trigger in book.triggers.items()
            if pause.get("trigger") in (None, name)
            and (service is None or service in book.plans.get(trigger["plan"], {}).get("services", ()))
        ]

    # Arming again

    def _owe(self, key: Subject, entry: Disarmed | None) -> None:
        due = entry.due() if entry is not None else None
        if due is None:
            self.book.dues.settle(("arm", *key))
        else:
            self.book.dues.owe(("arm", *key), due, "W8")

    def _streak_ended(self, document: Doc) -> None:
        key = document["trigger"], document["subject"]
        self.book.dues.settle(("ended", *key))
        self._changed.add(key)
        entry, trigger = self.book.disarmed.get(key), self.book.triggers.get(key[0])
        watch = self.windows.watch(trigger) if trigger is not None else None
        if watch is None or entry is None:
            return
        floor = entry.since(self.book.skew) - self.book.skew_slack - 2 * watch.interval
        said = [watch.read(end, key[1]).verdict for end in watch.windows if end > floor]
        self.book.demand("W8", any(v != "breach" for v in said), key, "never stopped, and its streak ended")

    def _ended(self, document: Doc) -> None:
        life = document["life"]
        self.book.dues.settle_all("leave", life)
        for key, entry in self.book.disarmed.items():
            if entry.life == life:
                self._changed.add(key)

    def _armed(self, document: Doc) -> None:
        book, at, why = self.book, document["at"], document["why"]
        key = document["trigger"], document["subject"]
        book.dues.settle(("ended", *key))
        book.dues.settle(("arm", *key))
        entry = book.disarmed.get(key)
        book.demand("W8", entry is not None, key, "was armed, and is armed again:", why)
        if entry is None:
            return
        holds = getattr(self, f"_by_{why}")(key, entry, at)
        book.demand("W8", holds, key, "armed by", why, "after", entry.end or entry.cause, "of", entry.life)

    def _by_streak_ended(self, _: Subject, entry: Disarmed, at: Ms) -> bool:
        due = entry.due()
        return entry.rearm == "streak" and due is not None and at >= due

    def _by_cooled_down(self, _: Subject, entry: Disarmed, at: Ms) -> bool:
        due = entry.due()
        return entry.rearm == "cooldown" and due is not None and at >= due

    def _by_person(self, _: Subject, entry: Disarmed, at: Ms) -> bool:
        return entry.rearm != "pending" and (entry.end not in BAD_ENDS or at >= (entry.life_ended or 0))

    def _by_rollout(self, key: Subject, entry: Disarmed, _: Ms) -> bool:
        plan = self.book.triggers.get(key[0], {}).get("plan")
        return entry.cause == "fired" and entry.rearm in ("streak", "cooldown") and plan in self._rollouts

    def _by_forgotten(self, key: Subject, entry: Disarmed, _: Ms) -> bool:
        return key[0] in self._forgotten and (entry.cause != "fired" or entry.rearm != "pending")

    def _by_ok(self, key: Subject, entry: Disarmed, _: Ms) -> bool:
        trigger = self.book.triggers.get(key[0])
        watch = self.windows.watch(trigger) if trigger is not None else None
        if entry.cause == "fired" or watch is None:
            return False
        return any(r.verdict == "ok" for end in watch.windows for r in watch.possible(end, key[1]))

    def _relapsed(self, document: Doc) -> None:
        key = document["trigger"], document["subject"]
        entry = self.book.disarmed.get(key)
        quiet = {"", "shadowed", "notified", *BAD_ENDS}
        holds = entry is not None and entry.end not in quiet and not entry.relapsed
        vetoed = entry is not None and entry.end == "vetoed" and entry.streak_ended is None
        self.book.demand("W8", holds and not vetoed, key, "relapses, though it may not or did already")
        trigger = self.book.triggers.get(key[0])
        if trigger is not None:
            count = self.windows.breaches_since(trigger, key[1])
            self.book.demand("W8", count >= trigger["windows"], key, "relapses after", count, "windows")

    # Counting, rollouts, pauses

    def _counted(self, document: Doc) -> None:
        book = self.book
        trigger = book.triggers.get(document["trigger"])
        known = trigger is not None and trigger["fingerprint"] == document["fingerprint"]
        book.demand("W13", known, document["trigger"], "counts by a meaning it has not")
        book.demand(
            "W13", document["since"] == document["at"], document["trigger"], "counts from another moment"
        )

    def _rollout_began(self, document: Doc) -> None:
        book, plan = self.book, document["plan"]
        self._rollouts.add(plan)
        book.demand("W9", book.open_rollout(plan) is None, plan, "has two rollouts")
        services = set(book.plans.get(plan, {}).get("services", ()))
        holding = [life.id for life in book.lives.values() if life.holds and life.services & services]
        book.demand("W9", not holding, plan, "begins a rollout while", holding, "hold its services")
        book.dues.owe(("expire", document["rollout"]), document["until"], "W9")

    def _rollout_over(self, document: Doc) -> None:
        self.book.dues.settle(("expire", document["rollout"]))
        rollout = self.book.open_rollout(document["plan"])
        holds = rollout is not None and rollout["rollout"] == document["rollout"]
        self.book.demand("W9", holds, document["rollout"], "was not open")

    def _rollout_expired(self, document: Doc) -> None:
        self._rollout_over(document)
        until = self.book.rollouts[document["plan"]]["until"]
        self.book.demand("W9", document["at"] >= until, document["rollout"], "expires early")

    def _rolled_back(self, document: Doc) -> None:
        self._rollout_over(document)
        life = self.book.lives.get(document["life"])
        holds = life is not None and life.rollout == document["rollout"] and life.executions > 0
        self.book.demand("W9", holds, document["rollout"], "rolled back by a life that ran nothing of it")

    def _paused(self, document: Doc) -> None:
        key = ("unpause", document.get("service") or "", document.get("trigger") or "")
        self.book.dues.settle(key)
        if document.get("until") is not None:
            self.book.dues.owe(key, document["until"], "D5")

    def _unpaused(self, document: Doc) -> None:
        self.book.dues.settle(("unpause", document.get("service") or "", document.get("trigger") or ""))
        key = document.get("service"), document.get("trigger")
        pause = self.book.pauses.get(key)
        self.book.demand("D5", pause is not None, key, "was not paused")
        if pause is not None and document["by"] == AUTOMATIC:
            until = pause.get("until")
            self.book.demand("D5", until is not None and document["at"] >= until, key, "unpaused by itself")
        self._recounting.append(document)
