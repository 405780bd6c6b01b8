"""What people set for the triggers and services at large: pauses, and arming anew (D5, D6, W13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import arming
from rollbackd.core import events as e
from rollbackd.core.notation import span
from rollbackd.core.rollout import plan_names
from rollbackd.core.turn import Refused

if TYPE_CHECKING:
    from rollbackd.core import signals as s
    from rollbackd.core.turn import Turn


def pause(turn: Turn, verb: s.Pause) -> str:
    _known(turn, verb.service, verb.trigger)
    until = turn.now + verb.duration if verb.duration is not None else None
    turn.emit(
        e.PauseBegan(
            at=turn.now,
            by=turn.actor,
            channel=turn.channel,
            comment=verb.comment,
            service=verb.service,
            trigger=verb.trigger,
            until=until,
        )
    )
    what = verb.service or verb.trigger or "everything"
    tail = f" for {span(verb.duration)}" if verb.duration is not None else " until `rollbackd unpause`"
    return f"automatic rollbacks of {what} are paused{tail}; started ones go on, people may start"


def _known(turn: Turn, service: str | None, trigger: str | None) -> None:
    services = sorted({service for plan in turn.config.plans for service in plan.services})
    if service is not None and service not in services:
        raise Refused(f"no plan names the service {service}; the services are {', '.join(services)}")
    if trigger is not None and turn.config.trigger(trigger) is None:
        raise Refused(f"there is no trigger {trigger}; see `rollbackd status`")


def unpause(turn: Turn, verb: s.Unpause) -> str:
    what = verb.service or verb.trigger or "everything"
    if not any((p.service, p.trigger) == (verb.service, verb.trigger) for p in turn.state.pauses):
        return f"{what} is not paused" if turn.state.pauses else "nothing is paused"
    end_pause(turn, verb.service, verb.trigger, verb.comment)
    return f"{what} acts again; windows count from now"


def end_pause(turn: Turn, service: str | None, trigger: str | None, comment: str) -> None:
    """Windows count anew (W13)."""
    turn.emit(
        e.PauseEnded(
            at=turn.now,
            by=turn.actor,
            channel=turn.channel,
            comment=comment,
            service=service,
            trigger=trigger,
        )
    )
    for known in turn.config.triggers:
        plan = turn.config.plan(known.plan)
        if trigger is not None and known.name != trigger:
            continue
        if service is not None and (plan is None or service not in plan.services):
            continue
        turn.emit(
            e.TriggerCounted(
                at=turn.now,
                trigger=known.name,
                fingerprint=known.fingerprint,
                since=turn.now,
                why="unpaused",
            )
        )


def progress(turn: Turn) -> None:
    for pause in turn.state.pauses:
        if pause.until is not None and turn.now >= pause.until:
            end_pause(turn, pause.service, pause.trigger, "its time ran out")


def rearm(turn: Turn, verb: s.Rearm) -> str:
    if verb.plan is not None:
        return _unspend(turn, verb.plan, verb.comment)
    if verb.trigger is None:
        raise Refused("say what to arm: a TRIGGER, or --plan P")
    _known(turn, None, verb.trigger)
    armed = 0
    for entry in arming.of_trigger(turn.state, verb.trigger):
        trigger = turn.config.trigger(verb.trigger)
        labels = trigger.subject_labels(entry.subject) if trigger is not None else {}
        if verb.subject and not verb.subject.items() <= labels.items():
            continue
        if entry.cause == "fired" and entry.rearm == "pending":
            continue
        arming.arm(turn, entry, "person", verb.comment)
        armed += 1
    return f"{armed} subject{'s' if armed != 1 else ''} of {verb.trigger} armed; windows count from now"


def _unspend(turn: Turn, name: str, comment: str) -> str:
    plan = turn.config.plan(name)
    if plan is None:
        raise Refused(f"there is no plan {name}; the plans are {plan_names(turn)}")
    spent = tuple(service for service in plan.services if service in turn.state.spent)
    if not spent:
        return f"no service of {name} is spent"
    turn.emit(
        e.ServicesUnspent(
            at=turn.now,
            services=spent,
            why="person",
            by=turn.actor,
            channel=turn.channel,
            comment=comment,
        )
    )
    return f"{', '.join(spent)} may be rolled back automatically again"
