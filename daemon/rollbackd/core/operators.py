"""What people say: verbs are idempotent, recorded with actor and channel, and told why not (E3, D5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import (
    arming,
    capture,
    decision,
    evidence,
    ladder,
    overrides,
    rollout,
    validation,
    wording,
)
from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.ladder import resolve_matter
from rollbackd.core.model import ALL
from rollbackd.core.rollback import settle, took_effect
from rollbackd.core.scope import irreversible_step
from rollbackd.core.state import BAD_ENDS, holders
from rollbackd.core.turn import Refused
from rollbackd.core.wording import moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollbackd.core.model import Ms, Plan
    from rollbackd.core.state import Firing, Life
    from rollbackd.core.turn import Turn


def speak(turn: Turn, verb: s.Verb) -> str:
    """Do what was said and return one line for the person; raises `Refused`."""
    if turn.state.config is None:
        raise Refused("no configuration is loaded yet")
    return _VERBS[type(verb)](turn, verb)


def find_life(turn: Turn, target: str) -> Life:
    """By id, or by a prefix that fits one life only."""
    lives = turn.state.lives
    if target in lives:
        return lives[target]
    fits = [life for name, life in lives.items() if name.startswith(target)] if target else []
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise Refused(f"{target} fits {', '.join(life.id for life in fits)}: say which")
    plan, _, number = target.rpartition("-")
    if number.isdigit() and 0 < int(number) <= turn.state.numbers.get(plan, 0):
        known = turn.state.over.get(target)
        what = f"{known}, {moment(known.at)}" if known is not None else "over"
        raise Refused(f"{target} is {what}; see `rollbackd show {target}`", conflict=True)
    open_ones = ", ".join(lives) or "none"
    raise Refused(f"there is no open rollback {target}; open: {open_ones}")


def _check_revision(life: Life, revision: int | None) -> None:
    if revision is not None and revision != life.revision:
        raise Refused(
            f"{life.id} has moved on (revision {life.revision}, you saw {revision}); look again",
            conflict=True,
        )


def _ack(turn: Turn, verb: s.Ack) -> str:
    matters = [
        matter
        for key, matter in turn.state.matters.items()
        if key == verb.target or (matter.life is not None and matter.life == verb.target)
    ]
    if not matters:
        life = find_life(turn, verb.target)
        matters = [m for m in turn.state.matters.values() if m.life == life.id]
    if not matters:
        raise Refused(f"{verb.target} pages nobody at the moment: nothing to acknowledge", conflict=True)
    for matter in matters:
        ladder.ack(turn, matter, verb.comment)
    return f"acknowledged until {moment(turn.now + ladder.ACK_LAPSES)}; acknowledging is not approving"


def _approve(turn: Turn, verb: s.Approve) -> str:
    life = find_life(turn, verb.target)
    if life.parked is not None and life.parked.reason == "gate" and life.current is not None:
        return _open_gate(turn, life, life.current.step, verb)
    if life.approval is not None and life.ended is None and life.state != "waiting_approval":
        return f"{life.id} was approved by {life.approval.by} at {moment(life.approval.at)}"
    _check_revision(life, verb.revision)
    if life.state == "expired":
        return _succeed(turn, life, verb)
    if _irreversible(life):
        guard = life.plan.reversible_while
        instead = guard.alternative_plan if guard is not None else None
        forward = f"; the way forward is `rollbackd start {instead}`" if instead else ""
        raise Refused(f"{life.id} is past the point of no return{forward}", conflict=True)
    if life.state not in ("waiting_approval", "waiting_veto"):
        raise Refused(f"{life.id} is {life.shown()}: there is nothing to approve", conflict=True)
    if life.firings and all(
        _newest(turn, life, found.trigger, found.subject) == "ok" for found in life.present()
    ):
        raise Refused(f"the newest window of every subject of {life.id} is ok", conflict=True)
    turn.emit(
        e.LifeApproved(
            at=turn.now,
            life=life.id,
            by=turn.actor,
            channel=turn.channel,
            reasons=tuple(lowering.reason for lowering in life.lowered),
            comment=verb.comment,
        )
    )
    resolve_matter(turn, f"life/{life.id}", f"approved by {turn.actor}")
    if life.held is not None:
        return f"{life.id} approved, but {life.held.by} holds it: `rollbackd resume {life.id}`"
    return f"{life.id} approved"


def _open_gate(turn: Turn, life: Life, step: str, verb: s.Approve) -> str:
    """Past the point of no return it takes a second person: whoever asked for the rollback cannot."""
    _check_revision(life, verb.revision)
    asked = {life.by, life.approval.by if life.approval is not None else life.by}
    if turn.actor in asked and (point := _past_return(life)) is not None:
        raise Refused(
            f"{turn.actor} asked for {life.id}, which is past the point of no return ({point}): "
            "somebody else approves",
            conflict=True,
        )
    turn.emit(
        e.GateApproved(
            at=turn.now,
            life=life.id,
            step=step,
            by=turn.actor,
            channel=turn.channel,
            overrun_at=_overrun_at(turn, life),
            comment=verb.comment,
        )
    )
    resolve_matter(turn, f"life/{life.id}", f"approved by {turn.actor}")
    life = turn.state.lives[life.id]
    current = life.at_hand(step)
    if current is not None:
        settle(turn, life, current, "done", by=turn.actor, detail=verb.comment)
    return f"step {step} of {life.id} approved"


def _past_return(life: Life) -> str | None:
    """What of this life can no longer be taken back, or is guarded because it could not be."""
    guard, current = life.plan.reversible_while, life.current
    if guard is not None and current is not None and current.phase in guard.guards:
        return f"phase {current.phase}"
    return irreversible_step(life)


def _irreversible(life: Life) -> bool:
    """Whether the last word on its point of no return was that it is behind us."""
    asked = (life.checks[slot] for slot in life.checks if slot == "reversible" or slot.startswith("guard/"))
    return any(answered.status == 20 for answered in asked)


def _newest(turn: Turn, life: Life, trigger: str, subject: str) -> str | None:
    watch = turn.soft.watch(life.triggers[trigger])
    return watch.verdicts.get(subject) if watch is not None else None


def _succeed(turn: Turn, life: Life, verb: s.Approve) -> str:
    """D7: approving an expired life whose subjects still breach begins its successor."""
    breaching = [
        found for found in life.firings if _newest(turn, life, found.trigger, found.subject) == "breach"
    ]
    if not breaching:
        raise Refused(f"{life.id} has expired and its subjects no longer breach", conflict=True)
    plan = turn.config.plan(life.plan.name)
    if plan is None:
        raise Refused(f"plan {life.plan.name} is gone from the configuration", conflict=True)
    reason = f"approved after {life.id} expired" + (f": {verb.comment}" if verb.comment else "")
    scope = life.plan.scope if life.plan.scope in plan.scope_names() else ALL
    successor = _open_by_hand(turn, plan, reason, firings=tuple(breaching), before=life, scope=scope)
    for found in breaching:
        turn.emit(
            e.SubjectDisarmed(
                at=turn.now,
                trigger=found.trigger,
                subject=found.subject,
                cause="fired",
                life=successor,
            )
        )
    resolve_matter(turn, f"life/{life.id}", f"{successor} follows")
    return f"{successor} begins in place of {life.id}"


def _said_before(turn: Turn, target: str, word: str) -> str | None:
    """Verbs are idempotent, also once the life has left the state (E3)."""
    known = turn.state.over.get(target)
    if known is None or target in turn.state.lives:
        return None
    if known.end == word or (word == "resolved" and known.resolved_by is not None):
        return f"{target} is {known}, {moment(known.at)}"
    return None


def _veto(turn: Turn, verb: s.Veto) -> str:
    before = _said_before(turn, verb.target, "vetoed")
    if before is not None:
        return before
    life = find_life(turn, verb.target)
    if life.began is not None and life.ended is None:
        at = moment(life.began)
        raise Refused(
            f"too late: {life.id} began at {at}; `rollbackd abort {life.id}` ends it", conflict=True
        )
    if life.ended is not None:
        if life.state == "vetoed":
            return f"{life.id} was vetoed already"
        if life.state == "expired":
            resolve_matter(turn, f"life/{life.id}", f"vetoed by {turn.actor}")
            return f"{life.id} had expired; its pages are resolved"
        raise Refused(f"{life.id} is {life.state}", conflict=True)
    return _end_waiting(turn, life, verb.comment)


def _end_waiting(turn: Turn, life: Life, comment: str) -> str:
    turn.emit(
        e.LifeEnded(
            at=turn.now,
            life=life.id,
            end="vetoed",
            detail=f"vetoed by {turn.actor}" + (f": {comment}" if comment else ""),
            by=turn.actor,
            channel=turn.channel,
            comment=comment,
        )
    )
    resolve_matter(turn, f"life/{life.id}", f"vetoed by {turn.actor}")
    ladder.tell(turn, life, f"{life.plan.name}: vetoed by {turn.actor} ({life.id})", comment)
    return f"{life.id} vetoed: nothing is rolled back"


def _hold(turn: Turn, verb: s.Hold) -> str:
    life = find_life(turn, verb.target)
    if life.ended is not None:
        raise Refused(f"{life.id} has ended: {life.state}", conflict=True)
    if life.held is not None:
        return f"{life.id} is held by {life.held.by} since {moment(life.held.at)}"
    turn.emit(
        e.LifeHeld(at=turn.now, life=life.id, by=turn.actor, channel=turn.channel, comment=verb.comment)
    )
    ending = "; the running step ends first" if life.step_running() else ""
    return f"{life.id} held{ending}"


def _resume(turn: Turn, verb: s.Resume) -> str:
    life = find_life(turn, verb.target)
    if life.parked is not None and life.parked.reason == "in_doubt":
        step = life.current.step if life.current is not None else ""
        raise Refused(
            f"step {step} is in doubt: `rollbackd confirm {life.id} {step} done|retry|skip -c …`",
            conflict=True,
        )
    if life.parked is not None and life.parked.reason in ("gate", "manual") and life.held is None:
        raise Refused(f"{life.parked.detail}; {wording.todo(life, life.parked.reason)}", conflict=True)
    if life.ended is not None:
        raise Refused(f"{life.id} has ended: {life.state}", conflict=True)
    if life.held is None and life.parked is None:
        return f"{life.id} is {life.shown()}: nothing to resume"
    turn.emit(
        e.LifeResumed(
            at=turn.now,
            life=life.id,
            by=turn.actor,
            channel=turn.channel,
            overrun_at=_overrun_at(turn, life),
            comment=verb.comment,
        )
    )
    if life.state != "waiting_approval":  # the question is still open, and whoever was asked still rings
        resolve_matter(turn, f"life/{life.id}", f"resumed by {turn.actor}")
    return f"{life.id} goes on"


def _overrun_at(turn: Turn, life: Life) -> Ms | None:
    """X9: parked and held time do not count; resuming an overrun grants one more timeout."""
    if life.overrun_at is None:
        return None
    if life.parked is not None and life.parked.reason == "overrun":
        return turn.now + life.plan.timeout
    stood = [at.at for at in (life.parked, life.held) if at is not None]
    return life.overrun_at + (turn.now - min(stood) if stood else 0)


def _abort(turn: Turn, verb: s.Abort) -> str:
    before = _said_before(turn, verb.target, "aborted")
    if before is not None:
        return before
    life = find_life(turn, verb.target)
    if life.ended is not None:
        if life.state == "aborted":
            return f"{life.id} was aborted already"
        raise Refused(f"{life.id} has ended: {life.state}", conflict=True)
    if life.began is None:
        return _end_waiting(turn, life, verb.comment)
    if life.verified is not None:
        raise Refused(f"{life.id} is verified already: only clean-up is left", conflict=True)
    point = irreversible_step(life)
    if point is not None:
        raise Refused(
            f"step {point} is irreversible and has started: going on is the only way; "
            f"`rollbackd hold {life.id}` stops before the next step",
            conflict=True,
        )
    if life.abort is None or (verb.now and life.abort != "now"):
        turn.emit(
            e.AbortAsked(
                at=turn.now,
                life=life.id,
                by=turn.actor,
                channel=turn.channel,
                now=verb.now,
                comment=verb.comment,
            )
        )
    if not life.step_running():
        return f"{life.id} is aborted"
    if verb.now:
        return f"{life.id}: the running step is stopped, and stays in doubt"
    return f"{life.id} is aborted once the running step has ended"


def _confirm(turn: Turn, verb: s.Confirm) -> str:
    life = find_life(turn, verb.target)
    _check_revision(life, verb.revision)
    current = life.current
    if current is None or life.parked is None or life.parked.reason not in ("in_doubt", "manual"):
        raise Refused(f"{life.id} is {life.shown()}: no step waits to be confirmed", conflict=True)
    if current.step != verb.step:
        raise Refused(f"the step that waits is {current.step}, not {verb.step}", conflict=True)
    if life.parked.reason == "manual" and verb.answer == "retry":
        raise Refused(f"step {verb.step} is done by hand: confirm done or skip", conflict=True)
    turn.emit(
        e.StepConfirmed(
            at=turn.now,
            life=life.id,
            step=verb.step,
            answer=verb.answer,
            by=turn.actor,
            channel=turn.channel,
            overrun_at=_overrun_at(turn, life),
            comment=verb.comment,
        )
    )
    resolve_matter(turn, f"life/{life.id}", f"confirmed by {turn.actor}: {verb.answer}")
    life = turn.state.lives[life.id]
    match verb.answer:
        case "done":
            took_effect(turn, life, current, by=turn.actor)
        case "retry":
            turn.emit(e.StepStaged(at=turn.now, life=life.id, step=verb.step, stage="ready"))
        case "skip":
            settle(turn, life, current, "skipped", by=turn.actor, detail=verb.comment)
    return f"step {verb.step} of {life.id}: {verb.answer}"


def _resolve(turn: Turn, verb: s.Resolve) -> str:
    before = _said_before(turn, verb.target, "resolved")
    if before is not None:
        return before
    life = find_life(turn, verb.target)
    if life.resolution is not None:
        return f"{life.id} was resolved by {life.resolution.by}"
    if life.ended is None:
        raise Refused(f"{life.id} is {life.shown()}, it has not ended: abort it first", conflict=True)
    if not life.processes_gone and not verb.processes_gone:
        raise Refused(
            f"processes of {life.id} could not be shown gone; look, then say --processes-gone",
            conflict=True,
        )
    matter = f"life/{life.id}"
    turn.emit(
        e.LifeResolved(
            at=turn.now,
            life=life.id,
            by=turn.actor,
            channel=turn.channel,
            approach=verb.approach,
            description=verb.description,
            lessons=verb.lessons,
        )
    )
    if life.state in BAD_ENDS:
        for entry in list(turn.state.disarmed.values()):
            if entry.life == life.id:
                arming.arm(turn, entry, "person")
    resolve_matter(turn, matter, f"resolved by {turn.actor}: {verb.approach}")
    if life.validating():
        validation.end(turn, turn.state.lives[life.id], f"resolved by {turn.actor}")
    return f"{life.id} is resolved; its services are free"


def _tick(turn: Turn, verb: s.Tick) -> str:
    life = find_life(turn, verb.target)
    known = [item.item for item in life.plan.items()]
    if verb.item.isdigit() and 0 < int(verb.item) <= len(known):
        item = known[int(verb.item) - 1]
    else:
        fits = [text for text in known if text.casefold().startswith(verb.item.casefold())]
        item = verb.item if verb.item in known else fits[0] if len(fits) == 1 and verb.item else ""
    if not item:
        listed = "; ".join(f"{number} {text}" for number, text in enumerate(known, 1)) or "none"
        raise Refused(f"{life.id} has no such item; its items are: {listed}")
    before = life.ticks.get(item)
    if before is not None:
        return f"{item}: ticked by {before.by} at {moment(before.at)}"
    turn.emit(
        e.ItemTicked(
            at=turn.now, life=life.id, item=item, by=turn.actor, channel=turn.channel, comment=verb.comment
        )
    )
    return f"{item}: ticked"


def _start(turn: Turn, verb: s.Start) -> str:
    plan = turn.config.plan(verb.plan)
    if plan is None:
        raise Refused(f"there is no plan {verb.plan}; the plans are {rollout.plan_names(turn)}")
    if turn.state.finish_only is not None:
        raise Refused(
            f"the configuration cannot be used ({turn.state.finish_only}): only open rollbacks are finished"
        )
    whole, plan = plan, _part(plan, verb)
    names = [step.name for _, step in plan.steps()]
    waiting_life = next((x for x in turn.state.lives.values() if x.waits() and _in_place_of(x, plan)), None)
    running = next((x for x in holders(turn.state, plan.services) if x.plan.name == plan.name), None)
    if running is not None:
        raise Refused(
            f"{running.id} ({running.shown()}) holds the services of {plan.name}; finish or resolve it first",
            conflict=True,
        )
    if verb.dry_run:
        todo = names[names.index(verb.from_step) :] if verb.from_step else names
        return f"{plan.name} would run {', '.join(todo)} on {', '.join(plan.services)}; nothing was started"
    firings = waiting_life.firings if waiting_life is not None else ()
    life = _open_by_hand(
        turn,
        whole,
        verb.reason,
        scope=verb.scope,
        firings=firings,
        before=waiting_life,
        from_step=verb.from_step,
        subject=verb.subject,
    )
    if waiting_life is not None:
        turn.emit(
            e.LifeEnded(
                at=turn.now,
                life=waiting_life.id,
                end="superseded",
                detail=f"started by hand as {life}",
                successor=life,
            )
        )
        resolve_matter(turn, f"life/{waiting_life.id}", f"{life} was started by hand")
    missing = capture.missing(turn.state, turn.state.lives[life])
    return f"{life} starts" + (f"; {missing}" if missing is not None else "")


def _in_place_of(life: Life, plan: Plan) -> bool:
    """Whether what is started is what this life waits to do, or a part or the whole of it."""
    return life.plan.name == plan.name and not set(life.plan.services).isdisjoint(plan.services)


def _part(plan: Plan, verb: s.Start) -> Plan:
    """What is to be started of the plan."""
    scopes = plan.scope_names()
    if verb.scope not in scopes:
        raise Refused(f"plan {plan.name} has no scope {verb.scope}; its scopes are {', '.join(scopes)}")
    part = plan.narrowed(verb.scope)
    names = [step.name for _, step in part.steps()]
    if verb.from_step is not None and verb.from_step not in names:
        raise Refused(f"plan {plan.name} has no step {verb.from_step}; its steps are {', '.join(names)}")
    return part


def _open_by_hand(
    turn: Turn,
    plan: Plan,
    reason: str,
    *,
    firings: tuple[Firing, ...] = (),
    before: Life | None = None,
    from_step: str | None = None,
    subject: dict[str, str] | None = None,
    scope: str = ALL,
) -> str:
    """A life that a person decided on; it goes by the triggers of the life it follows, if any."""
    life = decision.next_id(turn.state, plan.name)
    change = turn.state.rollouts.get(plan.name)
    kept = capture.chosen(turn.state, plan.name)
    turn.emit(
        e.LifeOpened(
            at=turn.now,
            life=life,
            plan=plan.narrowed(scope),
            whole=plan if scope != ALL else None,
            by=turn.actor,
            channel=turn.channel,
            top="auto",
            action="auto",
            triggers=before.triggers if before is not None and firings else {},
            trigger=before.trigger if before is not None and firings else "",
            firings=firings,
            reason=reason,
            from_step=from_step,
            subject=subject or {},
            rollout=change.id if change is not None else None,
            previous=change.previous if change is not None else None,
            next=change.next if change is not None else None,
            capture=kept.id if kept is not None else None,
            captured=kept.items if kept is not None else (),
        )
    )
    return life


_VERBS: dict[type, Callable[..., str]] = {
    s.Ack: _ack,
    s.Approve: _approve,
    s.Veto: _veto,
    s.Hold: _hold,
    s.Resume: _resume,
    s.Abort: _abort,
    s.Confirm: _confirm,
    s.Resolve: _resolve,
    s.Tick: _tick,
    s.Start: _start,
    s.BeginRollout: rollout.begin,
    s.FinishRollout: rollout.finish,
    s.TakeCapture: capture.take,
    s.Pause: overrides.pause,
    s.Unpause: overrides.unpause,
    s.Rearm: overrides.rearm,
    s.AddEvidence: evidence.add,
}
