"""Which subjects may fire, and from when their windows count (W5, W8, W9, W13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from rollbackd.core import events as e
from rollbackd.core import wording
from rollbackd.core.ladder import open_matter, resolve_matter
from rollbackd.core.notation import span
from rollbackd.core.state import BAD_ENDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rollbackd.core.model import Ms, Trigger
    from rollbackd.core.state import DisarmCause, Disarmed, Rollout, State
    from rollbackd.core.turn import Turn
    from rollbackd.core.windows import Applied, Watch


def open_rollout(state: State, plan: str) -> Rollout | None:
    rollout = state.rollouts.get(plan)
    return rollout if rollout is not None and rollout.state == "open" else None


def floor(state: State, trigger: Trigger, skew: Ms) -> Callable[[str], Ms]:
    """From where each subject's windows count, in Prometheus' time (W9, W13)."""
    counting = state.counting.get(trigger.name)
    base = counting.since if counting is not None and counting.fingerprint == trigger.fingerprint else 0
    rollout = open_rollout(state, trigger.plan) if trigger.arm == "rollout" else None
    if rollout is not None:
        base = max(base, rollout.began + trigger.initial_delay)
    subjects, disarmed, name = state.subject_counting, state.disarmed, trigger.name

    def of(subject: str) -> Ms:
        key = f"{name}/{subject}"
        since = max(base, subjects.get(key, 0))
        entry = disarmed.get(key)
        if entry is not None and entry.life_ended is not None:
            since = max(since, entry.life_ended)
        return since + skew

    return of


def observe(turn: Turn, watch: Watch, applied: Applied) -> None:
    """What a judged window of a configured trigger means for arming."""
    trigger = watch.trigger
    counting = turn.state.counting.get(trigger.name)
    told = not applied.missed and watch.problem is None and watch.partial is None
    if counting is not None and counting.first and told:
        _first_window(turn, watch)
    rollout = turn.state.rollouts.get(trigger.plan)
    if trigger.arm == "rollout" and rollout is not None and rollout.state == "open":
        _late_standing(turn, watch, applied, rollout.began)
    for entry in of_trigger(turn.state, trigger.name):
        standing = rollout if entry.cause == "standing" else None
        since = entry.since(turn.soft.skew) if standing is None else standing.began + turn.soft.skew
        if applied.end > since:
            _observe_disarmed(turn, watch, applied, entry)


def _late_standing(turn: Turn, watch: Watch, applied: Applied, began: Ms) -> None:
    """The last window before the rollout, judged only now (a restart, an outage): what breached in it
    is standing (W9), unless it was armed since."""
    if not 0 <= began + turn.soft.skew - applied.end < watch.interval:
        return
    for subject, verdict in applied.verdicts.items():
        key = f"{watch.trigger.name}/{subject}"
        armed_since = turn.state.subject_counting.get(key, 0) > began
        if verdict == "breach" and key not in turn.state.disarmed and not armed_since:
            _disarm(turn, watch.trigger, subject, "standing")


def of_trigger(state: State, trigger: str) -> list[Disarmed]:
    return [entry for entry in state.disarmed.values() if entry.trigger == trigger]


def _first_window(turn: Turn, watch: Watch) -> None:
    """On a fresh journal nobody knows how long this has been so (W13). Late samples belong to it."""
    trigger = watch.trigger
    turn.emit(e.FirstWindowJudged(at=turn.now, trigger=trigger.name))
    breaching = [subject for subject, verdict in watch.verdicts.items() if verdict == "breach"]
    for subject in breaching:
        _disarm(turn, trigger, subject, "first_window")
    if breaching:
        _tell_standing(turn, trigger, breaching, "first_window")


def _disarm(turn: Turn, trigger: Trigger, subject: str, cause: DisarmCause) -> None:
    turn.emit(e.SubjectDisarmed(at=turn.now, trigger=trigger.name, subject=subject, cause=cause))


def _observe_disarmed(turn: Turn, watch: Watch, applied: Applied, entry: Disarmed) -> None:
    subject, verdict = entry.subject, applied.verdicts.get(entry.subject)
    well = verdict == "ok"
    over = well or subject in applied.ended or subject in applied.retired
    if entry.cause == "fired":
        if over and entry.streak_ended is None:
            turn.emit(e.StreakEnded(at=turn.now, trigger=entry.trigger, subject=subject))
        _relapse(turn, watch, applied, entry)
    elif well:
        arm(turn, entry, "ok")
    elif not entry.told and subject in applied.grown and watch.satisfied(subject):
        _tell_standing(turn, watch.trigger, [subject], entry.cause)


def _relapse(turn: Turn, watch: Watch, applied: Applied, entry: Disarmed) -> None:
    """The same breach again after its life ended (W8): people are told once."""
    if entry.relapsed or entry.end in (None, "shadowed", "notified", *BAD_ENDS):
        return
    if entry.end in ("vetoed", "expired") and entry.streak_ended is None:
        return  # a person said no to this very breach (D5), or its ladder is climbing for it still (E1)
    if entry.end == "expired" and f"life/{entry.life}" in turn.state.matters:
        return  # its ladder is still climbing, for another subject
    if entry.subject not in applied.grown or not watch.satisfied(entry.subject):
        return
    life = entry.life or ""
    turn.emit(
        e.Relapsed(at=turn.now, trigger=entry.trigger, subject=entry.subject, life=life, end=applied.end)
    )
    _open_relapse(turn, watch, entry, life)


def _open_relapse(turn: Turn, watch: Watch, entry: Disarmed, life: str) -> None:
    trigger, streak = watch.trigger, watch.streaks[entry.subject]
    again = "breaches again" if entry.streak_ended is not None else "has not stopped breaching"
    last = next((seen.value for seen in reversed(streak.seen) if seen.value is not None), "")
    who = " ".join(filter(None, (trigger.name, wording.named(trigger.subject_labels(entry.subject)))))
    open_matter(
        turn,
        "relapse",
        life,
        "relapse",
        title=f"{trigger.plan}: {again} after {life} ({entry.end})",
        text=(
            f"Look at the service; `rollbackd start {trigger.plan} --reason …` rolls back now.\n"
            f"{who}: {wording.value(last)} (limit {trigger.condition.limit}, {streak.count} windows since)\n"
            f"{life} ended as {entry.end}.\n"
            "If nobody acts: nothing happens by itself before the breach has ended and its cooldown of "
            f"{span(trigger.cooldown)} has passed."
        ),
        labels=wording.trigger_labels(turn.config, trigger),
        annotations=trigger.annotations,
        life=life or None,
        plan=trigger.plan,
        trigger=trigger.name,
    )


def _tell_standing(turn: Turn, trigger: Trigger, subjects: list[str], cause: str) -> None:
    """One matter a trigger, however many of its subjects breach."""
    for subject in subjects:
        turn.emit(e.StandingTold(at=turn.now, trigger=trigger.name, subject=subject))
    since = (
        "it was breaching when rollbackd first looked"
        if cause == "first_window"
        else "it was breaching before the rollout began"
    )
    first = wording.named(trigger.subject_labels(subjects[0]))
    more = f" and {len(subjects) - 1} more" if len(subjects) > 1 else ""
    who = " ".join(filter(None, (trigger.name, first))) + more
    open_matter(
        turn,
        "breach",
        trigger.name,
        cause,
        title=f"{trigger.plan}: {trigger.name} is breaching, and does not act",
        text=(
            f"Look at the service: `rollbackd rearm {trigger.name} -c …` lets it act from now on, "
            f"`rollbackd start {trigger.plan} --reason …` rolls back now.\n"
            f"{who} breaches, but {since}.\n"
            "If nobody acts: nothing is rolled back until it has been ok once."
        ),
        labels=wording.trigger_labels(turn.config, trigger),
        annotations=trigger.annotations,
        plan=trigger.plan,
        trigger=trigger.name,
    )


def arm(turn: Turn, entry: Disarmed, why: e.ArmReason, comment: str = "") -> None:
    armed = e.SubjectArmed(at=turn.now, trigger=entry.trigger, subject=entry.subject, why=why)
    if why == "person":
        armed = replace(armed, by=turn.actor, channel=turn.channel, comment=comment)
    turn.emit(armed)
    others = turn.state.disarmed.values()
    if entry.told and not any(other.told and other.trigger == entry.trigger for other in others):
        resolve_matter(turn, f"breach/{entry.trigger}", f"armed: {why.replace('_', ' ')}")


def rearm_at(entry: Disarmed) -> Ms | None:
    """When this subject arms by itself (W8's table); None: not by time, or not known yet."""
    if entry.cause != "fired" or entry.streak_ended is None or entry.life_ended is None:
        return None
    if entry.rearm == "streak":
        return max(entry.life_ended, entry.streak_ended)
    if entry.rearm == "cooldown":
        return max(entry.life_ended, entry.streak_ended) + entry.cooldown
    return None


def progress(turn: Turn) -> None:
    for entry in list(turn.state.disarmed.values()):
        at = rearm_at(entry)
        if at is not None and at <= turn.now:
            arm(turn, entry, "streak_ended" if entry.rearm == "streak" else "cooled_down")
            if not any(other.life == entry.life for other in turn.state.disarmed.values()):
                resolve_matter(turn, f"relapse/{entry.life}", "armed again")


def alarms(state: State) -> Iterator[Ms]:
    for entry in state.disarmed.values():
        at = rearm_at(entry)
        if at is not None:
            yield at


# Configuration and rollouts


def count_triggers(turn: Turn, *, first: bool) -> None:
    """Windows count from the first load and from any change of what they mean (W13)."""
    for trigger in turn.config.triggers:
        known = turn.state.counting.get(trigger.name)
        if known is not None and known.fingerprint == trigger.fingerprint and not first:
            continue
        turn.emit(
            e.TriggerCounted(
                at=turn.now,
                trigger=trigger.name,
                fingerprint=trigger.fingerprint,
                since=turn.now,
                why="loaded" if known is None else "changed",
                first=first,
            )
        )
    names = {trigger.name for trigger in turn.config.triggers}
    for name in [name for name in turn.state.counting if name not in names]:
        turn.emit(e.TriggerForgotten(at=turn.now, trigger=name))
        for entry in of_trigger(turn.state, name):
            if entry.rearm != "pending" or entry.cause != "fired":
                arm(turn, entry, "forgotten")


def rollout_began(turn: Turn, plan: str) -> None:
    """Cooldowns end, except of unresolved lives; what breaches already is standing (W8, W9)."""
    for trigger in turn.config.triggers:
        if trigger.plan != plan or trigger.arm != "rollout":
            continue
        watch = turn.soft.watch(trigger)
        if watch is None:
            continue
        standing = [s for s, streak in watch.streaks.items() if streak.count > 0]
        for entry in of_trigger(turn.state, trigger.name):
            if entry.cause == "fired" and entry.rearm in ("streak", "cooldown"):
                if watch.verdicts.get(entry.subject) == "breach" and entry.subject not in standing:
                    standing.append(entry.subject)
                arm(turn, entry, "rollout")
                resolve_matter(turn, f"relapse/{entry.life}", "a new rollout began")
        for subject in standing:
            if f"{trigger.name}/{subject}" not in turn.state.disarmed:
                _disarm(turn, trigger, subject, "standing")
