"""A life before it begins: checks, veto, approval, lock; and how each wait ends (D3, D7, D8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import capture
from rollbackd.core import events as e
from rollbackd.core.decision import PATIENCE, awaited, end_passive, firing, reconsider, tell_decision
from rollbackd.core.ladder import accepted, open_life_matter, resolve_matter, tell
from rollbackd.core.state import AUTOMATIC, LASTING, Firing, Life, Lowering, holders
from rollbackd.core.wanted import checks_wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.model import Ms, Verdict
    from rollbackd.core.soft import Soft
    from rollbackd.core.state import State
    from rollbackd.core.turn import Turn
    from rollbackd.core.windows import Applied, Watch

PAGE_PATIENCE: Ms = 60_000
"""D8: a veto page that no receiver accepts within this lowers the action to `ask`."""


HAND_EXPIRES: Ms = 15 * 60_000
"""How long the approval of what a person started is waited for."""


def observe(turn: Turn, watch: Watch, applied: Applied) -> None:
    """A subject seen `ok` leaves a life that waits (D7, D10), by the definition it fired under (I15).
    Windows from before it fired say nothing: they are judged again after a restart."""
    for life in list(turn.state.lives.values()):
        if not life.waits() and life.wait != "refused":
            continue
        for found in life.firings:
            if found.trigger != watch.trigger.name or found.left:
                continue
            if turn.soft.watch(life.triggers[found.trigger]) is not watch:
                continue
            if applied.verdicts.get(found.subject) != "ok" or applied.end <= found.end:
                continue
            turn.emit(
                e.SubjectLeft(
                    at=turn.now,
                    life=life.id,
                    trigger=found.trigger,
                    subject=found.subject,
                    end=applied.end,
                )
            )


def resolve_ended(turn: Turn) -> None:
    """The pages of what nobody decided end with its breach (E1)."""
    breaching = {entry.life for entry in turn.state.disarmed.values() if entry.streak_ended is None}
    for life in list(turn.state.lives.values()):
        if life.state in ("expired", "notified") and life.firings and life.id not in breaching:
            resolve_matter(turn, f"life/{life.id}", "the breach ended")


def progress(turn: Turn, life: Life) -> None:
    """Take a life that has not begun one step on, if it can go."""
    automatic = life.by == AUTOMATIC and life.approval is None
    if life.by == AUTOMATIC and life.firings and not life.present():
        stand_down(turn, life)
        return
    if life.held is not None:
        return
    if life.state == "waiting_approval" and life.approval is None and _needs_approval(life):
        if life.expires is not None and turn.now >= life.expires:
            _expire(turn, life)
        return
    if life.wait is not None and life.wait_over is None and not _wait_ends(turn, life):
        return
    life = turn.state.lives[life.id]
    if life.wait_over is not None and automatic:
        again = _judge_again(turn, life)
        if again is None:
            return
        life = reconsider(turn, life, again)
    _go_on(turn, life)


def progress_refused(turn: Turn, life: Life) -> None:
    """The first step came too late and nothing ran: D7 again, with the services held (W7)."""
    automatic = life.by == AUTOMATIC and life.approval is None
    if automatic and not life.present():
        stand_down(turn, life)
    elif life.abort is not None:
        turn.emit(
            e.LifeEnded(at=turn.now, life=life.id, end="vetoed", detail="aborted before its first step")
        )
        resolve_matter(turn, f"life/{life.id}", "aborted before its first step")
    elif life.held is not None:
        return
    elif life.state == "waiting_approval":
        if life.expires is not None and turn.now >= life.expires:
            _expire(turn, life)
    else:
        again = _judge_again(turn, life) if automatic else ()
        if again is None:
            return
        life = reconsider(turn, life, again)
        if life.action in ("notify", "shadow"):
            end_passive(turn, life)
        elif _needs_approval(life):
            ask(turn, life)
        else:
            turn.emit(e.WaitEnded(at=turn.now, life=life.id, wait="refused"))


def stand_down(turn: Turn, life: Life) -> None:
    turn.emit(e.LifeEnded(at=turn.now, life=life.id, end="stood_down", detail="every subject recovered"))
    resolve_matter(turn, f"life/{life.id}", "every subject recovered")
    tell(turn, life, f"{life.plan.name}: stood down ({life.id})", "Every subject recovered by itself.")


def _expire(turn: Turn, life: Life) -> None:
    turn.emit(e.LifeEnded(at=turn.now, life=life.id, end="expired", detail="nobody decided in time"))
    open_life_matter(turn, life, "expired")


# The ends of waits


def _wait_ends(turn: Turn, life: Life) -> bool:
    """Whether the wait at hand is over (then D7 applies), or there was nothing to wait for."""
    match life.wait:
        case "checking":
            return _checks_end(turn, life)
        case "lock":
            blocking = blockers(turn.state, life)
            if blocking:
                _await_lock(turn, life, blocking[0])
                page_blocked(turn, turn.state.lives[life.id])
                return False
            turn.emit(e.WaitEnded(at=turn.now, life=life.id, wait="lock"))
            resolve_matter(turn, f"life/{life.id}", "nothing blocks it any more")
            return True
        case "veto":
            return _veto_ends(turn, life)
        case _:
            return True


def _checks_end(turn: Turn, life: Life) -> bool:
    wanted = checks_wanted(life)
    if any(slot not in life.checks for slot, _ in wanted):
        return False
    _release_changed(turn, life)
    life = reconsider(turn, turn.state.lives[life.id])
    if life.approval is None:
        tell_decision(turn, life)
    if wanted:
        turn.emit(e.WaitEnded(at=turn.now, life=life.id, wait="checking"))
    return True


def _release_changed(turn: Turn, life: Life) -> None:
    """Another release than the bad and the restored one makes the services fresh (D6)."""
    answered = life.checks.get("release")
    if answered is None or answered.answer != "pass":
        return
    spent = [(s, turn.state.spent[s]) for s in life.plan.services if s in turn.state.spent]
    fresh = tuple(
        service
        for service, entry in spent
        if entry.bad_release is not None
        and entry.restored_release is not None
        and answered.output not in (entry.bad_release, entry.restored_release)
    )
    if fresh:
        turn.emit(e.ServicesUnspent(at=turn.now, services=fresh, why="release"))


def _veto_ends(turn: Turn, life: Life) -> bool:
    if life.action == "auto":  # a higher trigger joined (D10)
        return True
    if life.veto_until is None:
        if accepted(turn.state, f"life/{life.id}", life.wait_since):
            veto = life.triggers[life.trigger].veto
            turn.emit(e.VetoOpened(at=turn.now, life=life.id, until=turn.now + veto))
            return False
        if turn.now < life.wait_since + PAGE_PATIENCE:
            return False
        lowering = Lowering(
            "ask", "page_undelivered", "no receiver accepted the warning, so nobody could veto"
        )
        reconsider(turn, life, (lowering,))
        return True
    if turn.now < life.veto_until:
        return False
    turn.emit(e.WaitEnded(at=turn.now, life=life.id, wait="veto"))
    return True


def _judge_again(turn: Turn, life: Life) -> tuple[Lowering, ...] | None:
    """D7: a fresh window judged after the wait. None: still to come; else what it lowers."""
    over = life.wait_over if life.wait_over is not None else turn.now
    open_verdict = False
    for found in life.present():
        watch = turn.soft.watch(life.triggers[found.trigger])
        verdict = None if watch is None else watch.verdict_after(found.subject, over)
        if verdict is None:
            open_verdict = True
        elif watch is not None and _goes_on(watch, found.subject, verdict, turn.prom):
            others = awaited(turn, watch.judged) - {life.plan.name}
            return None if others and turn.now < watch.judged_at + PATIENCE else ()  # D9
    if open_verdict:
        return None
    return (Lowering("ask", "no_fresh_breach", "after the wait no window showed whether it still breaches"),)


def _goes_on(watch: Watch, subject: str, verdict: Verdict, prom: Ms) -> bool:
    return watch.breaching(subject, verdict) and watch.fresh(subject, prom)


# Going on


def blockers(state: State, life: Life) -> tuple[Life, ...]:
    """Who holds a service of this life, or has waited longer for one (D3)."""
    ahead = []
    for other in state.lives.values():
        if other.id == life.id:
            break
        if other.state == "waiting_lock" and not set(other.plan.services).isdisjoint(life.plan.services):
            ahead.append(other)
    return (*holders(state, life.plan.services, but=life.id), *ahead)


def _go_on(turn: Turn, life: Life) -> None:
    if life.approval is not None:
        life = reconsider(turn, life)
    if life.by == AUTOMATIC and life.action in ("notify", "shadow"):
        end_passive(turn, life)
        return
    reversible = life.checks.get("reversible")
    if reversible is not None and reversible.status == 20:  # binds people too (D7)
        refuse_irreversible(turn, life)
        return
    blocking = blockers(turn.state, life)
    if blocking:
        _await_lock(turn, life, blocking[0])
    elif _needs_approval(life):
        ask(turn, life)
    elif life.by == AUTOMATIC and life.action == "auto_with_warning" and not life.veto_passed:
        turn.emit(e.WaitBegan(at=turn.now, life=life.id, wait="veto"))
        open_life_matter(turn, turn.state.lives[life.id], "veto")
    elif _outdated(life):
        turn.emit(e.WaitBegan(at=turn.now, life=life.id, wait="checking"))
    else:
        begin(turn, life)


def _outdated(life: Life) -> bool:
    """A person took their time: whether it may still be undone, and from what, is asked again (D2)."""
    said = [life.checks[slot].at for slot in LASTING if slot in life.checks]
    return life.approval is not None and any(at < life.approval.at for at in said)


def refuse_irreversible(turn: Turn, life: Life) -> None:
    guard = life.plan.reversible_while
    instead = guard.alternative_plan if guard is not None else None
    detail = "past the point of no return" + (f"; the way forward is plan {instead}" if instead else "")
    open_life_matter(turn, life, "notified", detail)
    turn.emit(e.LifeEnded(at=turn.now, life=life.id, end="notified", detail=detail))


def _needs_approval(life: Life) -> bool:
    """An approval answers the reasons it was shown; a new one asks again (D7). A pause never stops a
    person (D5)."""
    if life.by != AUTOMATIC:  # whoever started it could not know
        return life.approval is None and capture.unsound(life) is not None
    if life.action != "ask":
        return False
    if life.approval is None:
        return True
    answered = {*life.approval.reasons, "paused"}
    return any(lowering.reason not in answered for lowering in life.lowered)


def ask(turn: Turn, life: Life) -> None:
    trigger = life.triggers.get(life.trigger)
    expires = trigger.expires if trigger is not None else HAND_EXPIRES
    turn.emit(e.WaitBegan(at=turn.now, life=life.id, wait="approval", until=turn.now + expires))
    detail = "" if life.by == AUTOMATIC else capture.unsound(life) or ""
    open_life_matter(turn, turn.state.lives[life.id], "approval", detail)


def _await_lock(turn: Turn, life: Life, blocking: Life) -> None:
    if life.state == "waiting_lock" and life.blocked_by == blocking.id and life.wait_over is None:
        return
    turn.emit(e.WaitBegan(at=turn.now, life=life.id, wait="lock", blocked_by=blocking.id))
    page_blocked(turn, turn.state.lives[life.id])


def page_blocked(turn: Turn, life: Life) -> None:
    """D3: waiting behind a life that will not move by itself is for people."""
    blocking = turn.state.lives.get(life.blocked_by or "")
    if blocking is not None and (blocking.ended is not None or blocking.shown() in ("parked", "held")):
        open_life_matter(turn, life, "blocked")


def begin(turn: Turn, life: Life) -> None:
    """The decision is final (D3, D6, W7)."""
    automatic = life.by == AUTOMATIC and life.approval is None
    firings = tuple(_refreshed(turn, life, found) for found in life.firings)
    if automatic and not any(_fresh(turn, life, found) for found in life.present()):
        lowering = Lowering("ask", "no_fresh_breach", "the breach is too old to act on")
        ask(turn, reconsider(turn, life, (lowering,)))
        return
    turn.emit(
        e.RollbackBegan(
            at=turn.now,
            life=life.id,
            plan=life.plan,
            triggers=life.triggers,
            firings=firings,
            action=life.action,
            lowered=life.lowered,
            decided=life.decided if life.decided is not None else turn.now,
            overrun_at=turn.now + life.plan.timeout,
            rollout=life.rollout,
            previous=life.previous,
            next=life.next,
            config_hash=turn.config.hash,
        )
    )
    resolve_matter(turn, f"life/{life.id}", "the rollback began")
    tell(turn, turn.state.lives[life.id], f"{life.plan.name}: rollback began ({life.id})", life.reason)


def _fresh(turn: Turn, life: Life, found: Firing) -> bool:
    watch = turn.soft.watch(life.triggers[found.trigger])
    return watch is not None and watch.fresh(found.subject, turn.prom)


def _refreshed(turn: Turn, life: Life, found: Firing) -> Firing:
    """The evidence as of now, where the streak has grown since."""
    watch = turn.soft.watch(life.triggers[found.trigger])
    if found.left or watch is None or found.subject not in watch.streaks:
        return found
    return firing(watch, found.subject)


def not_after(turn: Turn, life: Life) -> Ms | None:
    """W7: until when the first step may start; None where a person decided."""
    if life.by != AUTOMATIC or life.approval is not None:
        return None
    limits = []
    for found in life.present():
        trigger = life.triggers[found.trigger]
        watch = turn.soft.watch(trigger)
        end = found.end
        if watch is not None and found.subject in watch.streaks:
            end = watch.streaks[found.subject].end
        limits.append(end - turn.soft.skew + 2 * trigger.interval + trigger.delay)
    return max(limits, default=turn.now)


def alarms(life: Life, soft: Soft) -> Iterator[Ms]:
    if life.wait_over is not None:
        for found in life.present():
            watch = soft.watch(life.triggers[found.trigger])
            if watch is not None:
                yield watch.judged_at + PATIENCE
    if life.state == "waiting_approval" and life.expires is not None and life.approval is None:
        yield life.expires
    if life.state == "waiting_veto" and life.wait_over is None:
        yield life.veto_until if life.veto_until is not None else life.wait_since + PAGE_PATIENCE
