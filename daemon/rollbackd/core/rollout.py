"""Rollouts: a change under watch, from begin to its end (W9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import arming
from rollbackd.core import events as e
from rollbackd.core.state import holders
from rollbackd.core.turn import Refused
from rollbackd.core.wording import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.model import Ms
    from rollbackd.core.signals import BeginRollout, FinishRollout
    from rollbackd.core.state import State
    from rollbackd.core.turn import Turn


def begin(turn: Turn, verb: BeginRollout) -> str:
    plan = turn.config.plan(verb.plan)
    if plan is None:
        raise Refused(f"there is no plan {verb.plan}; the plans are {plan_names(turn)}")
    rollout = arming.open_rollout(turn.state, plan.name)
    if rollout is not None:
        raise Refused(
            f"rollout {rollout.id} of {plan.name} is open since {moment(rollout.began)}; "
            f"finish it first: rollbackd rollout finish {plan.name}",
            conflict=True,
        )
    holding = holders(turn.state, plan.services)
    if holding:
        raise Refused(
            f"{holding[0].id} ({holding[0].shown()}) holds a service of {plan.name}; "
            f"see `rollbackd show {holding[0].id}`",
            conflict=True,
        )
    number = turn.state.rollout_numbers.get(plan.name, 0) + 1
    turn.emit(
        e.RolloutBegan(
            at=turn.now,
            rollout=f"{plan.name}-r{number}",
            plan=plan.name,
            previous=verb.previous,
            next=verb.next,
            until=turn.now + verb.open_for,
            by=turn.actor,
            channel=turn.channel,
            permit=verb.permit,
        )
    )
    spent = tuple(service for service in plan.services if service in turn.state.spent)
    if spent:
        turn.emit(
            e.ServicesUnspent(at=turn.now, services=spent, why="rollout", by=turn.actor, channel=turn.channel)
        )
    arming.rollout_began(turn, plan.name)
    return f"rollout {plan.name}-r{number} is open until {moment(turn.now + verb.open_for)}"


def finish(turn: Turn, verb: FinishRollout) -> str:
    rollout = turn.state.rollouts.get(verb.plan)
    if rollout is None:
        raise Refused(f"no rollout of {verb.plan} has begun")
    if rollout.state == "finished":
        return f"rollout {rollout.id} was finished already"
    if rollout.state != "open":
        raise Refused(f"rollout {rollout.id} has {rollout.state}", conflict=True)
    turn.emit(
        e.RolloutFinished(
            at=turn.now,
            rollout=rollout.id,
            plan=rollout.plan,
            by=turn.actor,
            channel=turn.channel,
        )
    )
    return f"rollout {rollout.id} is finished"


def progress(turn: Turn) -> None:
    for rollout in list(turn.state.rollouts.values()):
        if rollout.state == "open" and turn.now >= rollout.until:
            turn.emit(e.RolloutExpired(at=turn.now, rollout=rollout.id, plan=rollout.plan))
            _tell_expired(turn, rollout.id, rollout.plan)


def _tell_expired(turn: Turn, rollout: str, plan_name: str) -> None:
    plan = turn.config.plan(plan_name)
    receivers = (plan.notify if plan is not None else ()) or turn.config.notify
    if not receivers:
        return
    turn.emit(
        e.PagePromised(
            at=turn.now,
            page=f"tell/rollout/{rollout}",
            page_kind="tell",
            alert="RollbackdRollback",
            receivers=receivers,
            dedup=f"rollout/{rollout}",
            title=f"{plan_name}: rollout {rollout} expired",
            text=(
                f"Its time ran out before `rollbackd rollout finish {plan_name}`: "
                "from now on a breach is only told of, not rolled back."
            ),
            labels={"instance": turn.config.instance, "plan": plan_name},
        )
    )


def alarms(state: State) -> Iterator[Ms]:
    for rollout in state.rollouts.values():
        if rollout.state == "open":
            yield rollout.until


def plan_names(turn: Turn) -> str:
    return ", ".join(plan.name for plan in turn.config.plans) or "none"
