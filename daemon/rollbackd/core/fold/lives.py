"""Lives: opened, begun, ended, resolved; and how they leave the state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from rollbackd.core import events as e
from rollbackd.core.fold.life import check_answered, fold_one
from rollbackd.core.fold.mapping import drop, put
from rollbackd.core.state import (
    AUTOMATIC,
    BAD_ENDS,
    MOST_OVER,
    MOST_OWED_REPORTS,
    Disarmed,
    Life,
    Over,
    RateMark,
    Resolution,
    Spent,
)

if TYPE_CHECKING:
    from rollbackd.core.model import Ms
    from rollbackd.core.state import State

HOUR = 3_600_000


def apply_to_life(state: State, event: e.LifeEvent) -> State:
    if isinstance(event, e.LifeOpened):
        return _life_opened(state, event)
    life = state.lives.get(event.life)
    if life is None:
        return state
    match event:
        case e.RollbackBegan():
            return _rollback_began(state, life, event)
        case e.LifeEnded():
            return _life_ended(state, life, event)
        case e.LifeResolved():
            return _life_resolved(state, life, event)
        case e.ScopeWidened():
            return _widened(state, life, event)
        case e.CheckAnswered() if event.check.endswith("/release"):
            return _keep(_remember_release(state, life, event), check_answered(life, event))
    return _keep(state, fold_one(life, event))


def _keep(state: State, life: Life) -> State:
    return replace(state, lives=put(state.lives, life.id, life))


def _life_opened(state: State, event: e.LifeOpened) -> State:
    life = Life(
        id=event.life,
        plan=event.plan,
        opened=event.at,
        state="checking",
        by=event.by,
        top=event.top,
        action=event.action,
        whole=event.whole,
        triggers=event.triggers,
        trigger=event.trigger,
        firings=event.firings,
        lowered=event.lowered,
        reason=event.reason,
        subject=event.subject,
        from_step=event.from_step,
        rollout=event.rollout,
        previous=event.previous,
        next=event.next,
        capture=event.capture,
        captured=event.captured,
        decided=event.at if event.by != AUTOMATIC else None,
        wait="checking",
        wait_since=event.at,
    )
    number = state.numbers.get(event.plan.name, 0) + 1
    return _keep(replace(state, numbers=put(state.numbers, event.plan.name, number)), life)


def _spent(life: Life, at: Ms) -> Spent:
    release = life.checks.get("release")
    bad = release.output if release is not None and release.answer == "pass" else None
    return Spent(life=life.id, plan=life.plan.name, at=at, bad_release=bad)


def _rollback_began(state: State, life: Life, event: e.RollbackBegan) -> State:
    services = life.plan.services
    spent = _spent(life, event.at)
    life = replace(
        life,
        state="running",
        began=event.at,
        decided=event.decided,
        overrun_at=event.overrun_at,
        action=event.action,
        lowered=event.lowered,
        holds_services=True,
        blocked_by=None,
        wait=None,
        wait_over=None,
        expires=None,
        veto_until=None,
        revision=life.revision + 1,
    )
    recent = tuple(mark for mark in state.rate if event.at - mark.at < HOUR)
    return _keep(
        replace(
            state,
            spent={**state.spent, **dict.fromkeys(services, spent)},
            rate=(*recent, RateMark(event.at, life.id, services)),
        ),
        life,
    )


def _widened(state: State, life: Life, event: e.ScopeWidened) -> State:
    """From the beginning of the wider plan; what it takes hold of in addition is spent with the rest."""
    services = event.plan.services
    rate = tuple(replace(mark, services=services) if mark.life == life.id else mark for mark in state.rate)
    spent = dict.fromkeys(services, _spent(life, life.began if life.began is not None else event.at))
    state = replace(state, spent={**state.spent, **spent}, rate=rate)
    asked = [slot for slot in life.checks if slot.startswith(("guard/", "verify/"))]
    life = replace(
        life,
        plan=event.plan,
        state="running",
        steps=(),
        failed_phases=(),
        widenings=life.widenings + 1,
        currents=(),
        from_step=None,
        verification=None,
        overrun_at=event.overrun_at,
        checks=drop(life.checks, *asked),
        revision=life.revision + 1,
    )
    return _keep(state, life)


def _remember_release(state: State, life: Life, event: e.CheckAnswered) -> State:
    """What runs after the rollback was verified: the restored release (D6)."""
    if life.verified is None or event.answer != "pass":
        return state
    spent = {
        service: replace(entry, restored_release=event.output) if entry.life == life.id else entry
        for service, entry in state.spent.items()
    }
    return replace(state, spent=spent)


def _life_ended(state: State, life: Life, event: e.LifeEnded) -> State:
    keep = event.end in BAD_ENDS and life.began is not None
    ended = replace(
        life,
        state=event.end,
        ended=event.at,
        ended_by=event.by,
        end_detail=event.detail,
        holds_services=keep,
        processes_gone=event.processes_gone,
        currents=(),
        parked=None,
        held=None,
        wait=None,
    )
    disarmed = {
        key: _rearming(entry, life, event) if entry.life == life.id else entry
        for key, entry in state.disarmed.items()
    }
    changes = replace(state, disarmed=disarmed)
    if life.began is not None and life.untouched() and event.end not in BAD_ENDS:
        spent = {s: entry for s, entry in state.spent.items() if entry.life != life.id}
        rate = tuple(mark for mark in state.rate if mark.life != life.id)
        changes = replace(changes, spent=spent, rate=rate)
    if event.end == "vetoed" and life.trigger:
        until = event.at + life.triggers[life.trigger].cooldown
        changes = replace(changes, vetoed=put(changes.vetoed, life.plan.name, until))
    return _keep(changes, ended)


def _rearming(entry: Disarmed, life: Life, event: e.LifeEnded) -> Disarmed:
    """How this end lets its subjects arm again (W8's table)."""
    if event.successor is not None:
        return replace(entry, life=event.successor)
    trigger = life.triggers.get(entry.trigger)
    entry = replace(
        entry,
        end=event.end,
        life_ended=event.at,
        cooldown=trigger.cooldown if trigger is not None else 0,
    )
    if event.end in BAD_ENDS:
        return replace(entry, rearm="person")
    return replace(entry, rearm="streak" if event.end == "stood_down" else "cooldown")


def _life_resolved(state: State, life: Life, event: e.LifeResolved) -> State:
    resolution = Resolution(
        event.by, event.channel, event.at, event.approach, event.description, event.lessons
    )
    return _keep(state, replace(life, resolution=resolution, holds_services=False, processes_gone=True))


# Reports (E6)


def owe_report(state: State, event: e.LifeEvent) -> State:
    """Facts after which a life is told anew; of what is owed the newest stay."""
    owed = state.owed_reports
    match event:
        case e.LifeEnded(end="superseded"):
            return state
        case e.LifeEnded() | e.LifeResolved() | e.ValidationEnded() | e.ImpactMeasured():
            newest = put(drop(owed, event.life), event.life, owed.get(event.life, 0) + 1)
            return replace(state, owed_reports=dict(list(newest.items())[-MOST_OWED_REPORTS:]))
        case e.ReportWritten() if owed.get(event.life) == event.number:
            return replace(state, owed_reports=drop(owed, event.life))
        case _:
            return state


# Leaving


def prune(state: State, touched: str) -> State:
    life = state.lives.get(touched)
    return _leave(state, [life]) if life is not None and _over(state, life) else state


def close_lives(state: State) -> State:
    over = [life for life in state.lives.values() if _over(state, life)]
    return _leave(state, over) if over else state


def _over(state: State, life: Life) -> bool:
    """Nothing about this life is open: ended, its services released, its pages resolved."""
    looked_at = life.validating() or life.measuring()
    open_ = life.holds_services or looked_at or f"life/{life.id}" in state.matters
    return life.ended is not None and not open_


def _leave(state: State, lives: list[Life]) -> State:
    over = dict(state.over)
    for life in lives:
        resolved_by = life.resolution.by if life.resolution is not None else None
        over[life.id] = Over(life.state, life.ended_by, life.ended or 0, resolved_by)
    newest = dict(list(over.items())[-MOST_OVER:])
    return replace(state, lives=drop(state.lives, *(life.id for life in lives)), over=newest)
