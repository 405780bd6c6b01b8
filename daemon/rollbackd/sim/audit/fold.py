"""Rows into the book: after every check has judged them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.sim.audit.book import (
    ASKED_AGAIN,
    AUTOMATIC,
    BAD_ENDS,
    HOUR,
    Disarmed,
    Life,
    Noun,
    Spent,
    Step,
    Validation,
    by_person,
)

if TYPE_CHECKING:
    from rollbackd.sim.audit.book import Book, Doc
    from rollbackd.sim.tape import Ms


class Fold(Noun):
    """Every method folds the kind of its name."""

    def __init__(self, book: Book) -> None:
        super().__init__(book)
        self.rows = {name: getattr(self, name) for name in _KINDS}

    def _life(self, document: Doc) -> Life | None:
        return self.book.lives.get(document["life"])

    def _at_hand(self, document: Doc) -> tuple[Life | None, Step | None]:
        life = self._life(document)
        return life, life.at_hand.get(document["step"]) if life is not None else None

    # The daemon and what stands

    def daemon_started(self, document: Doc) -> None:
        book = self.book
        book.finish_only = document.get("finish_only") is not None
        gone: Ms = document.get("absent", 0)
        for life in book.lives.values():
            if life.ended is None and life.parked is None and life.held is None:
                if life.overrun_at is not None:
                    life.overrun_at += gone
                later(life, gone)

    def configuration_loaded(self, document: Doc) -> None:
        book, config = self.book, document["config"]
        book.config, book.finish_only = config, False
        book.triggers = {trigger["name"]: trigger for trigger in config["triggers"]}
        book.plans = {plan["name"]: plan for plan in config["plans"]}
        for trigger in config["triggers"]:
            book.define(trigger)

    def trigger_counted(self, document: Doc) -> None:
        book, name = self.book, document["trigger"]
        book.counting[name] = document
        book.armed_since = {key: at for key, at in book.armed_since.items() if key[0] != name}
        (book.first_pending.add if document.get("first") else book.first_pending.discard)(name)

    def trigger_forgotten(self, document: Doc) -> None:
        book, name = self.book, document["trigger"]
        book.counting.pop(name, None)
        book.armed_since = {key: at for key, at in book.armed_since.items() if key[0] != name}
        book.first_pending.discard(name)

    def first_window_judged(self, document: Doc) -> None:
        self.book.first_pending.discard(document["trigger"])

    def subject_disarmed(self, document: Doc) -> None:
        key = document["trigger"], document["subject"]
        life = self.book.lives.get(document.get("life") or "")
        firing = life.firings.get(key) if life is not None and life.by == AUTOMATIC else None
        self.book.disarmed[key] = Disarmed(document, firing["end"] if firing is not None else None)

    def streak_ended(self, document: Doc) -> None:
        entry = self.book.disarmed.get((document["trigger"], document["subject"]))
        if entry is not None:
            entry.streak_ended = document["at"]

    def relapsed(self, document: Doc) -> None:
        entry = self.book.disarmed.get((document["trigger"], document["subject"]))
        if entry is not None:
            entry.relapsed = True

    def subject_armed(self, document: Doc) -> None:
        key = document["trigger"], document["subject"]
        self.book.disarmed.pop(key, None)
        self.book.armed_since[key] = document["at"]

    def rollout_began(self, document: Doc) -> None:
        self.book.rollouts[document["plan"]] = {**document, "state": "open"}
        self.book.vetoed.pop(document["plan"], None)

    def _rollout_over(self, document: Doc) -> None:
        rollout = self.book.rollouts.get(document["plan"])
        if rollout is not None and rollout["rollout"] == document["rollout"]:
            rollout["state"] = document["kind"].removeprefix("rollout_")

    rollout_finished = rollout_expired = rollout_rolled_back = _rollout_over

    def pause_began(self, document: Doc) -> None:
        self.book.pauses[document.get("service"), document.get("trigger")] = document

    def pause_ended(self, document: Doc) -> None:
        self.book.pauses.pop((document.get("service"), document.get("trigger")), None)

    def services_unspent(self, document: Doc) -> None:
        for service in document["services"]:
            self.book.spent.pop(service, None)

    # Lives that wait

    def life_opened(self, document: Doc) -> None:
        book = self.book
        life = book.lives[document["life"]] = Life(document)
        book.numbers[life.plan["name"]] += 1
        for trigger in life.triggers.values():
            book.define(trigger)

    def subject_joined(self, document: Doc) -> None:
        life, firing = self._life(document), document["firing"]
        if life is not None:
            key = firing["trigger"], firing["subject"]
            life.firings[key] = firing
            life.left.discard(key)
            life.triggers[firing["trigger"]] = document["definition"]
            life.joined = True
            life.revision += 1
            self.book.define(document["definition"])

    def subject_left(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None:
            life.left.add((document["trigger"], document["subject"]))
            life.revision += 1

    def action_changed(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None:
            life.top, life.action, life.lowered = document["top"], document["action"], document["lowered"]
            life.trigger = document.get("trigger") or life.trigger
            life.joined = False
            life.revision += 1

    def check_answered(self, document: Doc) -> None:
        life = self._life(document)
        if life is None:
            return
        slot = document["check"].split("/", 2)[-1]
        life.checks[slot] = document
        if slot.startswith("validate/") and life.validation is not None:
            self._looked(life.validation, document)
        if life.verification is not None and slot.startswith("verify/"):
            name = document["name"]
            life.passes[name] = life.passes.get(name, 0) + 1 if document["answer"] == "pass" else 0
        if slot == "restored/release" and document["answer"] == "pass":
            for spent in self.book.spent.values():
                if spent.life == life.id:
                    spent.restored = document.get("output", "")

    def _looked(self, known: Validation, document: Doc) -> None:
        """Who cannot tell has not failed (S4)."""
        name, answer = document["name"], document["answer"]
        known.said[name], known.asked[name] = answer, document["at"]
        if answer == "pass":
            known.passed.add(name)
        if answer != "cannot_tell":
            known.fails[name] = known.fails[name] + 1 if answer == "fail" else 0

    def wait_began(self, document: Doc) -> None:
        life, wait = self._life(document), document["wait"]
        if life is None:
            return
        life.wait, life.wait_since, life.wait_over = wait, document["at"], None
        if wait == "approval":
            life.state, life.expires, life.wait = "waiting_approval", document.get("until"), None
            life.approval = None  # it answered what was shown then
            life.revision += 1
        elif wait == "checking":  # an approval asks these again
            life.state = "checking"
            life.checks = {slot: said for slot, said in life.checks.items() if slot not in ASKED_AGAIN}
            life.revision += 1
        elif wait == "refused":
            life.state, life.wait_over = "checking", document["at"]
            for step in life.at_hand.values():
                if (step.outcome or {}).get("outcome") == "refused":
                    step.stage, step.outcome = "ready", None
                    step.attempt -= 1
                    break
        else:
            life.state = f"waiting_{wait}"
            if wait == "veto":
                life.veto_until = document.get("until")
                life.revision += 1

    def veto_opened(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None:
            life.veto_until = document["until"]

    def wait_ended(self, document: Doc) -> None:
        life = self._life(document)
        if life is None:
            return
        if document["wait"] == "refused":
            life.state, life.wait, life.wait_over = "running", None, None
        else:
            life.wait_over = document["at"]
            life.veto_passed = life.veto_passed or document["wait"] == "veto"

    def life_approved(self, document: Doc) -> None:
        life = self._life(document)
        if life is None:
            return
        life.approval, life.decided, life.veto_passed = document, document["at"], True
        life.wait = None if life.wait == "veto" else life.wait
        life.wait_over = life.expires = None
        if life.began is not None:
            life.state = "running"
        life.revision += 1

    # Lives that run

    def rollback_began(self, document: Doc) -> None:
        book, life = self.book, self._life(document)
        if life is None:
            return
        life.began, life.decided = document["at"], document["decided"]
        life.state, life.wait, life.wait_over, life.expires = "running", None, None, None
        life.overrun_at, life.holds = document["overrun_at"], True
        life.revision += 1
        self._spend(life)
        book.rate = [mark for mark in book.rate if document["at"] - mark[0] < HOUR]
        book.rate.append((document["at"], life.id, life.services))

    def step_reached(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None:
            definition = next(s for _, s in life.steps() if s["name"] == document["step"])
            if document["stage"] == "guarding" and not life.at_hand:
                life.checks.pop(f"guard/{document['phase']}", None)  # asked anew
            step = life.at_hand[document["step"]] = Step(document, definition)
            if step.region:
                life.regions_begun.setdefault(step.region, document["at"])
            life.revision += 1

    def step_ordered(self, document: Doc) -> None:
        life, step = self._at_hand(document)
        if life is None or step is None:
            return
        step.stage, step.since, step.until, step.outcome = "running", document["at"], None, None
        step.overdue = False
        step.execution, step.attempt = document["execution"], document["attempt"]
        step.doubts, step.confirmed = document.get("doubts", 0), ""
        step.ran.append(step.execution)
        life.executions, life.state = step.execution, "running"
        if step.definition.get("irreversible"):
            life.irreversible = step.name

    def step_started(self, document: Doc) -> None:
        life, step = self._at_hand(document)
        if life is not None and step is not None:
            step.started, life.untouched = True, False

    def step_ended(self, document: Doc) -> None:
        life, step = self._at_hand(document)
        if life is not None and step is not None:
            doubtful = document["outcome"] in ("in_doubt", "timed_out", "stopped")
            step.stage, step.outcome = "doubtful" if doubtful else "ended", document
            step.since = document["at"]
            if document["outcome"] not in ("refused", "unstarted"):
                step.started, life.untouched = True, False

    def step_overdue(self, document: Doc) -> None:
        _, step = self._at_hand(document)
        if step is not None:
            step.overdue = True

    def step_staged(self, document: Doc) -> None:
        _, step = self._at_hand(document)
        if step is not None:
            step.stage, step.until = document["stage"], document.get("until")
            step.since = document["at"]

    def step_settled(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None:
            name = document["step"]
            life.settled[name] = document["result"]
            step = life.at_hand.pop(name, None)
            if step is not None and step.definition.get("irreversible") and document["result"] != "skipped":
                life.irreversible = name
            if step is not None and by_person(step.definition):  # hours may have passed: asked again
                life.phases_met.discard(document["phase"])
            else:
                life.phases_met.add(document["phase"])
            life.last_settled, life.untouched = document["at"], False
            if not document.get("tree_gone", True):
                life.leftover.add(name)

    def phase_failed(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None:
            life.failed_phases.append(document["phase"])

    def scope_widened(self, document: Doc) -> None:
        """From the beginning of the wider plan; its services are spent, and rolled back as often (D2, D6)."""
        book, life = self.book, self._life(document)
        if life is None:
            return
        life.plan = document["plan"]
        life.services = frozenset(life.plan["services"])
        life.state, life.overrun_at, life.from_step = "running", document["overrun_at"], None
        life.verification = life.deadline = None
        life.passes.clear()
        for known in (life.at_hand, life.settled, life.phases_met, life.failed_phases, life.regions_begun):
            known.clear()
        for slot in [slot for slot in life.checks if slot.startswith(("guard/", "verify/"))]:
            del life.checks[slot]
        life.revision += 1
        self._spend(life)
        book.rate = [(at, name, life.services if name == life.id else known) for at, name, known in book.rate]

    def _spend(self, life: Life) -> None:
        release = life.checks.get("release")
        bad = release.get("output", "") if release is not None and release["answer"] == "pass" else None
        for service in life.services:
            self.book.spent[service] = Spent(life.id, bad)

    def life_parked(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None:
            life.state, life.parked = "parked", document

    def life_resumed(self, document: Doc) -> None:
        life, at = self._life(document), document["at"]
        if life is None:
            return
        if life.held is not None:
            later(life, at - life.held)
        life.held = life.parked = None
        life.overrun_at = document.get("overrun_at")
        life.revision += 1
        if life.began is None:
            if life.approval is None and not (life.wait == "checking" and life.wait_over is None):
                life.wait_over = at
        elif life.wait == "refused":
            life.wait_over = at
        else:
            for step in life.at_hand.values():
                step.overdue = False
                if step.stage == "guarding":
                    life.checks.pop(f"guard/{step.phase}", None)
            life.state = "verifying" if life.verification and not life.verified else "running"

    def step_confirmed(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None:
            life.state, life.parked, life.overrun_at = "running", None, document.get("overrun_at")
            life.revision += 1
            for each in life.at_hand.values():
                each.overdue = False
            step = life.at_hand.get(document["step"])
            if step is not None:
                step.confirmed = document.get("answer", "approved")

    gate_approved = step_confirmed

    def life_held(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None:
            life.held = document["at"]

    def abort_asked(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None:
            life.abort = "now" if document["now"] else life.abort or "asked"

    def verification_began(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None:
            life.verification, life.deadline, life.state = document, document["deadline"], "verifying"

    def rollback_verified(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None:
            life.verified, life.state = document["at"], "running"
            life.revision += 1

    def cleanup_failed(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None:
            life.cleanup_failed = True

    def sla_breached(self, document: Doc) -> None:
        life = self._life(document)
        if life is None:
            return
        if document.get("region"):
            life.regions_breached.add(document["region"])
        else:
            life.sla_breached = True

    # Looking on

    def validation_began(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None and life.verified is not None:
            life.validation = Validation(life.plan, life.verified)

    def validation_failed(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None and life.validation is not None:
            life.validation.failing[document["check"]] = document["stage"]

    def validation_recovered(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None and life.validation is not None:
            life.validation.failing.pop(document["check"], None)

    def stage_ended(self, document: Doc) -> None:
        life = self._life(document)
        known = life.validation if life is not None else None
        if known is not None:
            known.stage += 1
            for facts in (known.fails, known.asked, known.passed):
                facts.clear()

    def validation_ended(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None:
            life.validation = None
            self._forget(life)

    def item_ticked(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None:
            life.ticked.add(document["item"])

    # Lives that end

    def life_ended(self, document: Doc) -> None:
        book, life, at = self.book, self._life(document), document["at"]
        if life is None:
            return
        bad = document["end"] in BAD_ENDS
        life.end = life.state = document["end"]
        life.ended, life.holds = at, bad and life.began is not None
        life.processes_gone = document.get("processes_gone", True)
        if life.began is not None and not bad and life.untouched:
            book.spent = {s: spent for s, spent in book.spent.items() if spent.life != life.id}
            book.rate = [mark for mark in book.rate if mark[1] != life.id]
        if life.end == "vetoed" and life.trigger:
            book.vetoed[life.plan["name"]] = at + life.triggers[life.trigger].get("cooldown", HOUR // 2)
        for (trigger, _), entry in book.disarmed.items():
            if entry.life != life.id:
                continue
            if document.get("successor"):
                entry.life = document["successor"]
                continue
            entry.end, entry.life_ended = life.end, at
            entry.cooldown = life.triggers.get(trigger, {}).get("cooldown", 0)
            entry.rearm = "person" if bad else "streak" if life.end == "stood_down" else "cooldown"
        life.held = life.parked = life.wait = None
        life.at_hand.clear()
        self._forget(life)

    def life_resolved(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None:
            life.resolved, life.holds, life.processes_gone = True, False, True
            self._forget(life)

    def impact_measured(self, document: Doc) -> None:
        life = self._life(document)
        if life is not None:
            life.measured = True
            self._forget(life)

    def _forget(self, life: Life) -> None:
        """Nothing is open about it."""
        if life.to_measure():
            return
        done = life.ended is not None and not life.holds and life.validation is None
        if done and f"life/{life.id}" not in self.book.matters:
            self.book.lives.pop(life.id, None)

    # Matters

    def matter_opened(self, document: Doc) -> None:
        self.book.matters[document["matter"]] = document
        if document["matter_kind"] == "halt":
            self.book.frozen = True

    def matter_changed(self, document: Doc) -> None:
        known = self.book.matters.get(document["matter"])
        if known is not None:
            changed = {"cause": document["cause"], "at": document["at"]}
            self.book.matters[document["matter"]] = {**known, **changed}

    def matter_resolved(self, document: Doc) -> None:
        known = self.book.matters.pop(document["matter"], None)
        life = self.book.lives.get((known or {}).get("life") or "")
        if life is not None:
            self._forget(life)


def later(life: Life, wait: Ms) -> None:
    """Time in which nothing could be proven does not count against the proof (S3, X9)."""
    if life.deadline is not None and life.verified is None:
        life.deadline += wait


_KINDS = [name for name in vars(Fold) if not name.startswith("_")]
