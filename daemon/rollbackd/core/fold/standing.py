"""What outlives lives: counting, arming, rollouts, pauses, spent services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from rollbackd.core import events as e
from rollbackd.core.fold.captures import with_rollout
from rollbackd.core.fold.life import absent
from rollbackd.core.fold.mapping import drop, put
from rollbackd.core.state import (
    AUTOMATIC,
    MOST_HASHES,
    Alignment,
    Counting,
    Disarmed,
    Evidence,
    Paused,
    Rollout,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollbackd.core.fold.mapping import Own
    from rollbackd.core.model import Ms
    from rollbackd.core.state import State


def _checkpoint(_state: State, event: e.Checkpoint) -> State:
    """All that came before is in it (J4)."""
    return event.state


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


def _trigger_counted(state: State, event: e.TriggerCounted, own: Own) -> State:
    counting = own.of("counting", state.counting)
    counting[event.trigger] = Counting(event.fingerprint, event.since, event.first)
    return replace(state, counting=counting, subject_counting=_without(state, event.trigger, own))


def _trigger_forgotten(state: State, event: e.TriggerForgotten, own: Own) -> State:
    counting = own.of("counting", state.counting)
    counting.pop(event.trigger, None)
    return replace(state, counting=counting, subject_counting=_without(state, event.trigger, own))


def _without(state: State, trigger: str, own: Own) -> dict[str, Ms]:
    """The subjects' counting, but that trigger's."""
    prefix = f"{trigger}/"
    found = [key for key in state.subject_counting if key.startswith(prefix)]
    if not found:
        return state.subject_counting
    known = own.of("subject_counting", state.subject_counting)
    for key in found:
        del known[key]
    return known


def _first_window_judged(state: State, event: e.FirstWindowJudged, own: Own) -> State:
    if event.trigger not in state.counting:
        return state
    counting = own.of("counting", state.counting)
    counting[event.trigger] = replace(counting[event.trigger], first=False)
    return replace(state, counting=counting)


def _subject_disarmed(state: State, event: e.SubjectDisarmed, own: Own) -> State:
    disarmed = Disarmed(
        event.trigger,
        event.subject,
        event.cause,
        event.at,
        life=event.life,
        rearm="pending" if event.cause == "fired" else "streak",
        fired=_fired(state, event),
    )
    known = own.of("disarmed", state.disarmed)
    known[disarmed.key] = disarmed
    return replace(state, disarmed=known)


def _fired(state: State, event: e.SubjectDisarmed) -> Ms | None:
    """The end of the window by which its life took it. What a person's life took over fired before that."""
    life = state.lives.get(event.life or "")
    if life is None or life.by != AUTOMATIC:
        return None
    key = event.trigger, event.subject
    return next((found.end for found in life.firings if (found.trigger, found.subject) == key), None)


def _disarmed(state: State, event: e.StandingTold | e.StreakEnded | e.Relapsed, own: Own) -> State:
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
    known = own.of("disarmed", state.disarmed)
    known[key] = disarmed
    return replace(state, disarmed=known)


def _subject_armed(state: State, event: e.SubjectArmed, own: Own) -> State:
    key = f"{event.trigger}/{event.subject}"
    disarmed = own.of("disarmed", state.disarmed)
    disarmed.pop(key, None)
    counting = own.of("subject_counting", state.subject_counting)
    counting[key] = event.at
    return replace(state, disarmed=disarmed, subject_counting=counting)


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
        capture=event.capture,
        without_capture=event.without_capture,
    )
    return replace(
        with_rollout(state, event.capture, event.rollout),
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


def _evidence_added(state: State, event: e.EvidenceAdded) -> State:
    added = Evidence(
        evidence=event.evidence,
        plan_hash=event.plan_hash,
        by=event.said_by,
        at=event.at,
        actor=event.by,
        channel=event.channel,
        took=event.took,
        artifact=event.artifact,
        sha256=event.sha256,
        size=event.size,
        comment=event.comment,
    )
    known = state.evidence.get(event.plan, ())
    others = [x for x in known if (x.evidence, x.plan_hash) != (added.evidence, added.plan_hash)]
    newest = list(dict.fromkeys(x.plan_hash for x in (added, *reversed(others))))[:MOST_HASHES]
    kept = (*(x for x in others if x.plan_hash in newest), added)
    return replace(state, evidence=put(state.evidence, event.plan, kept))


HANDLERS: dict[type[e.Event], Callable[..., State]] = {
    e.Checkpoint: _checkpoint,
    e.DaemonStarted: _daemon_started,
    e.ConfigurationLoaded: _configuration_loaded,
    e.AlignmentLearned: _alignment_learned,
    e.RolloutBegan: _rollout_began,
    e.RolloutFinished: _rollout_ended,
    e.RolloutExpired: _rollout_ended,
    e.RolloutRolledBack: _rollout_ended,
    e.PauseBegan: _pause_began,
    e.PauseEnded: _pause_ended,
    e.ServicesUnspent: _services_unspent,
    e.EvidenceAdded: _evidence_added,
}

COUNTERS: dict[type[e.Event], Callable[..., State]] = {
    e.TriggerCounted: _trigger_counted,
    e.TriggerForgotten: _trigger_forgotten,
    e.FirstWindowJudged: _first_window_judged,
    e.SubjectDisarmed: _subject_disarmed,
    e.StandingTold: _disarmed,
    e.StreakEnded: _disarmed,
    e.Relapsed: _disarmed,
    e.SubjectArmed: _subject_armed,
}
"""Of triggers and subjects, of which there may be ten thousand, and as many events at once."""
