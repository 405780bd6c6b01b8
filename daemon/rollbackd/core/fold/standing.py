"""What outlives lives: counting, arming, rollouts, pauses, spent services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from rollbackd.core import events as e
from rollbackd.core.fold.life import absent
from rollbackd.core.fold.mapping import drop, put
from rollbackd.core.state import Alignment, Counting, Disarmed, Paused, Rollout

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollbackd.core.state import State


def _daemon_started(state: State, event: e.DaemonStarted) -> State:
    lives = {key: absent(life, event.absent) for key, life in state.lives.items()}
    return replace(state, started=event.at, finish_only=event.finish_only, lives=lives)


def _configuration_loaded(state: State, event: e.ConfigurationLoaded) -> State:
    """A group that no longer learns, or has another interval, forgets what it learned (W1)."""
    learns = {(group.name, group.interval) for group in event.config.groups}
    for life in state.lives.values():
        learns |= {(each.group, each.interval) for each in life.triggers.values() if each.auto_align}
    alignments = {
        group: known for group, known in state.alignments.items() if (group, known.interval) in learns
    }
    return replace(state, config=event.config, finish_only=None, alignments=alignments)


def _alignment_learned(state: State, event: e.AlignmentLearned) -> State:
    known = Alignment(event.interval, event.align, event.since, event.targets)
    return replace(state, alignments=put(state.alignments, event.group, known))


def _trigger_counted(state: State, event: e.TriggerCounted) -> State:
    prefix = f"{event.trigger}/"
    counting = Counting(event.fingerprint, event.since, event.first)
    return replace(
        state,
        counting=put(state.counting, event.trigger, counting),
        subject_counting={k: v for k, v in state.subject_counting.items() if not k.startswith(prefix)},
    )


def _trigger_forgotten(state: State, event: e.TriggerForgotten) -> State:
    prefix = f"{event.trigger}/"
    return replace(
        state,
        counting=drop(state.counting, event.trigger),
        subject_counting={k: v for k, v in state.subject_counting.items() if not k.startswith(prefix)},
    )


def _first_window_judged(state: State, event: e.FirstWindowJudged) -> State:
    counting = state.counting.get(event.trigger)
    if counting is None:
        return state
    return replace(state, counting=put(state.counting, event.trigger, replace(counting, first=False)))


def _subject_disarmed(state: State, event: e.SubjectDisarmed) -> State:
    disarmed = Disarmed(
        event.trigger,
        event.subject,
        event.cause,
        event.at,
        life=event.life,
        rearm="pending" if event.cause == "fired" else "streak",
    )
    return replace(state, disarmed=put(state.disarmed, disarmed.key, disarmed))


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
    return replace(state, disarmed=put(state.disarmed, key, disarmed))


def _subject_armed(state: State, event: e.SubjectArmed) -> State:
    key = f"{event.trigger}/{event.subject}"
    return replace(
        state,
        disarmed=drop(state.disarmed, key),
        subject_counting=put(state.subject_counting, key, event.at),
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
        rollouts=put(state.rollouts, event.plan, rollout),
        rollout_numbers=put(state.rollout_numbers, event.plan, state.rollout_numbers.get(event.plan, 0) + 1),
        vetoed=drop(state.vetoed, event.plan),
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
    return replace(state, rollouts=put(state.rollouts, event.plan, rollout))


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
    return replace(state, spent=drop(state.spent, *event.services))


HANDLERS: dict[type[e.Event], Callable[..., State]] = {
    e.DaemonStarted: _daemon_started,
    e.ConfigurationLoaded: _configuration_loaded,
    e.AlignmentLearned: _alignment_learned,
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
}
