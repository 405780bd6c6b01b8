"""State from events: total, and it never refuses the past (I12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from rollbackd.core import events as e
from rollbackd.core.state import (
    BAD_ENDS,
    Acked,
    Answered,
    Approval,
    Counting,
    Current,
    Delivery,
    Disarmed,
    Held,
    Life,
    Matter,
    PageState,
    Parked,
    Paused,
    RateMark,
    Resolution,
    Rollout,
    Spent,
    State,
    StepRecord,
    Verification,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rollbackd.core.model import Ms

V = TypeVar("V")

HOUR = 3_600_000


def _with(mapping: Mapping[str, V], key: str, value: V) -> dict[str, V]:
    return {**mapping, key: value}


def _without(mapping: Mapping[str, V], *keys: str) -> dict[str, V]:
    return {key: value for key, value in mapping.items() if key not in keys}


def apply(state: State, event: e.Event) -> State:
    """The state after `event`. An event about something that is gone changes nothing."""
    if isinstance(event, e.LifeEvent):
        return _prune(_apply_to_life(state, event), event.life)
    handler = _HANDLERS.get(type(event))
    return state if handler is None else handler(state, event)


def fold_life(events: Iterable[e.Event], life: str) -> Life | None:
    """One life from its own events, also after it has left the state: for reports and lists."""
    state = State()
    for event in events:
        if isinstance(event, e.LifeEvent):
            state = _apply_to_life(state, event)
    return state.lives.get(life)


# The daemon, the configuration, counting and arming


def _daemon_started(state: State, event: e.DaemonStarted) -> State:
    lives = {key: _absent(life, event.absent) for key, life in state.lives.items()}
    return replace(state, started=event.at, finish_only=event.finish_only, lives=lives)


def _absent(life: Life, absent: Ms) -> Life:
    """The daemon's absence counts against no deadline of the plan (X9); held and parked time is added
    when they end."""
    if life.ended is not None or life.parked is not None or life.held is not None:
        return life
    if life.overrun_at is not None:
        life = replace(life, overrun_at=life.overrun_at + absent)
    return _later(life, absent)


def _configuration_loaded(state: State, event: e.ConfigurationLoaded) -> State:
    return replace(state, config=event.config, finish_only=None)


def _trigger_counted(state: State, event: e.TriggerCounted) -> State:
    prefix = f"{event.trigger}/"
    counting = Counting(event.fingerprint, event.since, event.first)
    return replace(
        state,
        counting=_with(state.counting, event.trigger, counting),
        subject_counting={k: v for k, v in state.subject_counting.items() if not k.startswith(prefix)},
    )


def _trigger_forgotten(state: State, event: e.TriggerForgotten) -> State:
    prefix = f"{event.trigger}/"
    return replace(
        state,
        counting=_without(state.counting, event.trigger),
        subject_counting={k: v for k, v in state.subject_counting.items() if not k.startswith(prefix)},
    )


def _first_window_judged(state: State, event: e.FirstWindowJudged) -> State:
    counting = state.counting.get(event.trigger)
    if counting is None:
        return state
    return replace(state, counting=_with(state.counting, event.trigger, replace(counting, first=False)))


def _subject_disarmed(state: State, event: e.SubjectDisarmed) -> State:
    disarmed = Disarmed(
        event.trigger,
        event.subject,
        event.cause,
        event.at,
        life=event.life,
        rearm="pending" if event.cause == "fired" else "streak",
    )
    return replace(state, disarmed=_with(state.disarmed, disarmed.key, disarmed))


def _disarmed(state: State, event: e.StandingTold | e.StreakEnded | e.Relapsed) -> State:
    key = f"{event.trigger}/{event.subject}"
    disarmed = state.disarmed.get(key)
    if disarmed is None:
        return state
    match event:
        case e.StandingTold():
            disarmed = replace(disarmed, told=True)
        case e.StreakEnded():
            disarmed = replace(disarmed, streak_ended=event.at)
        case e.Relapsed():
            disarmed = replace(disarmed, relapsed=True)
    return replace(state, disarmed=_with(state.disarmed, key, disarmed))


def _subject_armed(state: State, event: e.SubjectArmed) -> State:
    key = f"{event.trigger}/{event.subject}"
    return replace(
        state,
        disarmed=_without(state.disarmed, key),
        subject_counting=_with(state.subject_counting, key, event.at),
    )


# Rollouts, pauses


def _rollout_began(state: State, event: e.RolloutBegan) -> State:
    rollout = Rollout(
        id=event.rollout,
        plan=event.plan,
        previous=event.previous,
        next=event.next,
        began=event.at,
        until=event.until,
        by=event.by,
        permit=event.permit,
    )
    return replace(
        state,
        rollouts=_with(state.rollouts, event.plan, rollout),
        rollout_numbers=_with(
            state.rollout_numbers, event.plan, state.rollout_numbers.get(event.plan, 0) + 1
        ),
        vetoed=_without(state.vetoed, event.plan),
    )


def _rollout_ended(state: State, event: e.RolloutFinished | e.RolloutExpired | e.RolloutRolledBack) -> State:
    rollout = state.rollouts.get(event.plan)
    if rollout is None or rollout.id != event.rollout:
        return state
    match event:
        case e.RolloutFinished():
            rollout = replace(rollout, state="finished", ended=event.at)
        case e.RolloutExpired():
            rollout = replace(rollout, state="expired", ended=event.at)
        case e.RolloutRolledBack():
            rollout = replace(rollout, state="rolled_back", ended=event.at)
    return replace(state, rollouts=_with(state.rollouts, event.plan, rollout))


def _pause_began(state: State, event: e.PauseBegan) -> State:
    pause = Paused(
        by=event.by,
        at=event.at,
        comment=event.comment,
        service=event.service,
        trigger=event.trigger,
        until=event.until,
    )
    return replace(state, pauses=(*_other_pauses(state, event), pause))


def _pause_ended(state: State, event: e.PauseEnded) -> State:
    return replace(state, pauses=_other_pauses(state, event))


def _other_pauses(state: State, event: e.PauseBegan | e.PauseEnded) -> tuple[Paused, ...]:
    return tuple(p for p in state.pauses if (p.service, p.trigger) != (event.service, event.trigger))


def _services_unspent(state: State, event: e.ServicesUnspent) -> State:
    return replace(state, spent=_without(state.spent, *event.services))


# Matters and pages


def _matter_opened(state: State, event: e.MatterOpened) -> State:
    matter = Matter(
        key=event.matter,
        kind=event.matter_kind,
        cause=event.cause,
        title=event.title,
        text=event.text,
        ladder=event.ladder,
        labels=event.labels,
        annotations=event.annotations,
        opened=event.at,
        life=event.life,
        plan=event.plan,
        trigger=event.trigger,
    )
    return replace(state, matters=_with(state.matters, matter.key, matter))


def _matter(state: State, event: e.MatterChanged | e.RungReached | e.MatterAcked | e.MatterResolved) -> State:
    matter = state.matters.get(event.matter)
    if matter is None:
        return state
    match event:
        case e.MatterChanged():
            matter = replace(
                matter,
                cause=event.cause,
                title=event.title,
                text=event.text,
                opened=event.at,
                rung=0,
                last_paged=(),
                acked=None,
            )
        case e.RungReached():
            before = (*matter.last_paged, *(0 for _ in range(len(matter.last_paged), event.rung)))
            paged = (*before[: event.rung], event.at, *before[event.rung + 1 :])
            matter = replace(
                matter, rung=max(matter.rung, event.rung + 1), last_paged=paged, pages=matter.pages + 1
            )
        case e.MatterAcked():
            matter = replace(matter, acked=Acked(event.by, event.channel, event.at, event.until))
        case e.MatterResolved():
            return _resolve_pages(state, matter)
    return replace(state, matters=_with(state.matters, matter.key, matter))


def _resolve_pages(state: State, matter: Matter) -> State:
    """Pages that someone accepted are told it is over; the others need not be sent any more."""
    pages: dict[str, PageState] = {}
    for page in state.pages.values():
        if page.matter != matter.key:
            pages[page.id] = page
            continue
        accepted = tuple(d for d in page.deliveries if d.reached)
        if page.status == "firing" and accepted:
            owed = tuple(Delivery(delivery.receiver) for delivery in accepted)
            pages[page.id] = replace(page, status="resolved", deliveries=owed)
    return _close_lives(replace(state, matters=_without(state.matters, matter.key), pages=pages))


def _page_promised(state: State, event: e.PagePromised) -> State:
    before = state.pages.get(event.page)
    reached = {d.receiver for d in before.deliveries if d.reached} if before is not None else set()
    page = PageState(
        id=event.page,
        matter=event.matter,
        kind=event.page_kind,
        status="firing",
        alert=event.alert,
        dedup=event.dedup,
        title=event.title,
        text=event.text,
        labels=event.labels,
        annotations=event.annotations,
        at=event.at,
        deliveries=tuple(Delivery(receiver, reached=receiver in reached) for receiver in event.receivers),
        life=event.life,
    )
    return replace(state, pages=_with(state.pages, page.id, page))


def _page_answered(state: State, event: e.PageDelivered | e.PageRefused) -> State:
    page = state.pages.get(event.page)
    if page is None:
        return state
    deliveries = []
    for delivery in page.deliveries:
        if delivery.receiver == event.receiver:
            if isinstance(event, e.PageDelivered):
                delivery = replace(
                    delivery, status="accepted", reached=True, again=None, tries=delivery.tries + 1
                )
            else:
                delivery = replace(
                    delivery,
                    status="owed" if event.again is not None else "refused",
                    again=event.again,
                    tries=delivery.tries + 1,
                    detail=event.detail,
                )
        deliveries.append(delivery)
    if isinstance(event, e.PageRefused):
        deliveries += [Delivery(receiver) for receiver in event.next]
    page = replace(page, deliveries=tuple(deliveries))
    over = page.kind == "tell" or page.status == "resolved"
    if over and all(delivery.status != "owed" for delivery in deliveries):
        return replace(state, pages=_without(state.pages, page.id))
    return replace(state, pages=_with(state.pages, page.id, page))


_HANDLERS: dict[type[e.Event], Callable[..., State]] = {
    e.DaemonStarted: _daemon_started,
    e.ConfigurationLoaded: _configuration_loaded,
    e.TriggerCounted: _trigger_counted,
    e.TriggerForgotten: _trigger_forgotten,
    e.FirstWindowJudged: _first_window_judged,
    e.SubjectDisarmed: _subject_disarmed,
    e.StandingTold: _disarmed,
    e.StreakEnded: _disarmed,
    e.Relapsed: _disarmed,
    e.SubjectArmed: _subject_armed,
    e.RolloutBegan: _rollout_began,
    e.RolloutFinished: _rollout_ended,
    e.RolloutExpired: _rollout_ended,
    e.RolloutRolledBack: _rollout_ended,
    e.PauseBegan: _pause_began,
    e.PauseEnded: _pause_ended,
    e.ServicesUnspent: _services_unspent,
    e.MatterOpened: _matter_opened,
    e.MatterChanged: _matter,
    e.RungReached: _matter,
    e.MatterAcked: _matter,
    e.MatterResolved: _matter,
    e.PagePromised: _page_promised,
    e.PageDelivered: _page_answered,
    e.PageRefused: _page_answered,
}


# Lives


def _apply_to_life(state: State, event: e.LifeEvent) -> State:
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
        case e.CheckAnswered() if event.check.endswith("/release"):
            return _put(_remember_release(state, life, event), _check_answered(life, event))
    return _put(state, _fold_life(life, event))


def _put(state: State, life: Life) -> State:
    return replace(state, lives=_with(state.lives, life.id, life))


def _life_opened(state: State, event: e.LifeOpened) -> State:
    life = Life(
        id=event.life,
        plan=event.plan,
        opened=event.at,
        state="checking",
        by=event.by,
        top=event.top,
        action=event.action,
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
        decided=event.at if event.by != AUTOMATIC else None,
        wait="checking",
        wait_since=event.at,
    )
    number = state.numbers.get(event.plan.name, 0) + 1
    return _put(replace(state, numbers=_with(state.numbers, event.plan.name, number)), life)


AUTOMATIC = "rollbackd"
"""The actor of what the daemon does by itself."""


def _rollback_began(state: State, life: Life, event: e.RollbackBegan) -> State:
    services = life.plan.services
    release = life.checks.get("release")
    spent = Spent(
        life=life.id,
        plan=life.plan.name,
        at=event.at,
        bad_release=release.output if release is not None and release.answer == "pass" else None,
    )
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
    return _put(
        replace(
            state,
            spent={**state.spent, **dict.fromkeys(services, spent)},
            rate=(*recent, RateMark(event.at, life.id, services)),
        ),
        life,
    )


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
        end_detail=event.detail,
        holds_services=keep,
        processes_gone=event.processes_gone,
        current=None,
        parked=None,
        held=None,
        wait=None,
    )
    disarmed = {
        key: _rearming(entry, life, event) if entry.life == life.id else entry
        for key, entry in state.disarmed.items()
    }
    changes = replace(state, disarmed=disarmed)
    untouched = not life.steps and (life.current is None or not life.current.started)
    if life.began is not None and untouched and event.end not in BAD_ENDS:
        spent = {s: entry for s, entry in state.spent.items() if entry.life != life.id}
        rate = tuple(mark for mark in state.rate if mark.life != life.id)
        changes = replace(changes, spent=spent, rate=rate)
    if event.end == "vetoed" and life.trigger:
        until = event.at + life.triggers[life.trigger].cooldown
        changes = replace(changes, vetoed=_with(changes.vetoed, life.plan.name, until))
    return _put(changes, ended)


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
    resolution = Resolution(event.by, event.channel, event.at, event.approach, event.description)
    return _put(state, replace(life, resolution=resolution, holds_services=False, processes_gone=True))


def _fold_life(life: Life, event: e.LifeEvent) -> Life:
    match event:
        case e.SubjectJoined():
            firings = (
                *(
                    f
                    for f in life.firings
                    if (f.trigger, f.subject) != (event.firing.trigger, event.firing.subject)
                ),
                event.firing,
            )
            return replace(
                life,
                firings=firings,
                triggers=_with(life.triggers, event.definition.name, event.definition),
                revision=life.revision + 1,
            )
        case e.SubjectLeft():
            firings = tuple(
                replace(f, left=True) if (f.trigger, f.subject) == (event.trigger, event.subject) else f
                for f in life.firings
            )
            return replace(life, firings=firings, revision=life.revision + 1)
        case e.ActionChanged():
            return replace(
                life,
                top=event.top,
                action=event.action,
                lowered=event.lowered,
                trigger=event.trigger or life.trigger,
                revision=life.revision + 1,
            )
        case e.CheckAnswered():
            return _check_answered(life, event)
        case e.WaitBegan() | e.VetoOpened() | e.WaitEnded() | e.LifeApproved():
            return _fold_wait(life, event)
        case e.LifeHeld():
            return replace(life, held=Held(event.by, event.at))
        case e.LifeParked():
            return replace(life, state="parked", parked=Parked(event.reason, event.detail, event.at))
        case e.LifeResumed():
            return _resumed(life, event)
        case e.AbortAsked():
            return replace(life, abort="now" if event.now else life.abort or "asked")
        case e.VerificationBegan():
            return replace(
                life,
                state="verifying",
                verification=Verification(event.at, event.settled, event.deadline, event.interval),
            )
        case e.RollbackVerified():
            return replace(life, state="running", verified=event.at, revision=life.revision + 1)
        case e.CleanupFailed():
            return replace(life, cleanup_failed=event.detail)
        case e.SlaBreached():
            return replace(life, sla_breached=True)
        case _:
            return _fold_step(life, event)


def _fold_wait(life: Life, event: e.WaitBegan | e.VetoOpened | e.WaitEnded | e.LifeApproved) -> Life:
    match event:
        case e.WaitBegan(wait="approval"):
            return replace(
                life,
                state="waiting_approval",
                expires=event.until,
                wait=None,
                wait_over=None,
                revision=life.revision + 1,
            )
        case e.WaitBegan(wait="lock"):
            return replace(
                life,
                state="waiting_lock",
                wait="lock",
                wait_since=event.at,
                wait_over=None,
                blocked_by=event.blocked_by,
            )
        case e.WaitBegan(wait="veto"):
            return replace(
                life,
                state="waiting_veto",
                wait="veto",
                wait_since=event.at,
                wait_over=None,
                veto_until=event.until,
                revision=life.revision + 1,
            )
        case e.WaitBegan():  # the first step came too late: nothing ran (W7)
            current = life.current
            if current is not None:
                current = replace(current, stage="ready", attempt=current.attempt - 1)
            return replace(
                life,
                state="checking",
                current=current,
                wait="refused",
                wait_since=event.at,
                wait_over=event.at,
            )
        case e.VetoOpened():
            return replace(life, veto_until=event.until)
        case e.WaitEnded(wait="refused"):
            return replace(life, state="running", wait=None, wait_over=None)
        case e.WaitEnded():
            return replace(
                life,
                wait_over=event.at,
                blocked_by=None,
                veto_passed=life.veto_passed or event.wait == "veto",
            )
        case e.LifeApproved():
            return replace(
                life,
                state="running" if life.began is not None else life.state,
                approval=Approval(event.by, event.channel, event.at, event.reasons),
                decided=event.at,
                wait=None if life.wait == "veto" else life.wait,
                wait_over=None,
                veto_passed=True,
                expires=None,
                revision=life.revision + 1,
            )


def _check_answered(life: Life, event: e.CheckAnswered) -> Life:
    slot = event.check.split("/", 2)[-1]
    answered = Answered(event.name, event.answer, event.at, event.status, event.detail, event.output)
    life = replace(life, checks=_with(life.checks, slot, answered))
    verification = life.verification
    if verification is None or not slot.startswith("verify/"):
        return life
    passes = verification.passes.get(event.name, 0)
    return replace(
        life,
        verification=replace(
            verification,
            passes=_with(verification.passes, event.name, passes + 1 if event.answer == "pass" else 0),
            asked=_with(verification.asked, event.name, verification.asked.get(event.name, 0) + 1),
            last_asked=_with(verification.last_asked, event.name, event.at),
        ),
    )


def _resumed(life: Life, event: e.LifeResumed) -> Life:
    if life.held is not None:
        life = _later(life, event.at - life.held.at)
    life = replace(
        life,
        held=None,
        parked=None,
        overrun_at=event.overrun_at,
        revision=life.revision + 1,
    )
    if life.began is None:
        unanswered = life.wait == "checking" and life.wait_over is None
        automatic = life.approval is None and not unanswered
        return replace(life, wait_over=event.at if automatic else life.wait_over)
    if life.current is not None and life.current.stage == "guarding":
        life = replace(life, checks=_without(life.checks, f"guard/{life.current.phase}"))
    if life.wait == "refused":
        return replace(life, wait_over=event.at)
    return replace(life, state="verifying" if life.verification and not life.verified else "running")


def _later(life: Life, wait: Ms) -> Life:
    """Time in which nothing could be proven does not count against the proof (S3, X9)."""
    if life.verification is None or life.verified is not None:
        return life
    verification = replace(life.verification, deadline=life.verification.deadline + wait)
    return replace(life, verification=verification)


def _fold_step(life: Life, event: e.LifeEvent) -> Life:
    current = life.current
    match event:
        case e.StepReached():
            return replace(
                life,
                current=Current(event.phase, event.step, event.at, event.stage, event.at),
                revision=life.revision + 1,
            )
        case e.StepSettled():
            record = StepRecord(
                phase=event.phase,
                step=event.step,
                result=event.result,
                by=event.by,
                began=current.began if current is not None else event.at,
                ended=event.at,
                attempts=event.attempts,
                executions=event.executions,
                detail=event.detail,
            )
            return replace(life, steps=(*life.steps, record), current=None, last_step_ended=event.at)
        case e.StepConfirmed():
            return replace(
                life,
                state="running",
                parked=None,
                overrun_at=event.overrun_at,
                revision=life.revision + 1,
            )
    if current is None:
        return life
    match event:
        case e.StepOrdered():
            current = replace(
                current,
                stage="running",
                since=event.at,
                execution=event.execution,
                attempt=event.attempt,
                doubts=event.doubts,
                not_after=event.not_after,
                until=None,
                started=False,
                outcome=None,
                status=None,
                overdue=False,
                ran=(*current.ran, event.execution),
            )
            return replace(life, current=current, executions=event.execution, state="running")
        case e.StepStarted():
            return replace(life, current=replace(current, started=True))
        case e.StepOverdue():
            return replace(life, current=replace(current, overdue=True))
        case e.StepStaged():
            current = replace(
                current, stage=event.stage, since=event.at, until=event.until, detail=event.detail
            )
            return replace(life, current=current)
        case e.StepEnded():
            stage = "doubtful" if event.outcome in ("in_doubt", "timed_out", "stopped") else "ended"
            current = replace(
                current,
                stage=stage,
                since=event.at,
                outcome=event.outcome,
                status=event.status,
                detail=event.detail,
                tree_gone=event.tree_gone,
                expect_matched=event.expect_matched,
                started=current.started or event.outcome not in ("refused", "unstarted"),
            )
            return replace(life, current=current)
    return life


# Leaving


def _prune(state: State, touched: str) -> State:
    life = state.lives.get(touched)
    if life is not None and _over(state, life):
        return replace(state, lives=_without(state.lives, touched))
    return state


def _close_lives(state: State) -> State:
    over = [life.id for life in state.lives.values() if _over(state, life)]
    return replace(state, lives=_without(state.lives, *over)) if over else state


def _over(state: State, life: Life) -> bool:
    """Nothing about this life is open: ended, its services released, its pages resolved."""
    return life.ended is not None and not life.holds_services and f"life/{life.id}" not in state.matters
