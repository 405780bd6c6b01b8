"""Rollouts: a change under watch, from begin to its end (W9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import arming, capture
from rollbackd.core import events as e
from rollbackd.core.state import RolloutAsked, holders
from rollbackd.core.turn import Refused
from rollbackd.core.wording import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.model import Ms, Plan
    from rollbackd.core.signals import BeginRollout, FinishRollout
    from rollbackd.core.state import Capture, State
    from rollbackd.core.turn import Turn


def begin(turn: Turn, verb: BeginRollout) -> str:
    plan = turn.config.plan(verb.plan)
    if plan is None:
        raise Refused(f"there is no plan {verb.plan}; the plans are {plan_names(turn)}")
    capture.refuse_second(turn.state, plan)
    refusal = _refusal(turn, plan)
    if refusal is not None:
        raise Refused(refusal, conflict=True)
    asked = RolloutAsked(verb.previous, verb.next, verb.open_for, verb.permit)
    if plan.capture and not verb.without_capture:
        return capture.begin(turn, plan, asked=asked)
    return _open(turn, plan, asked, without_capture=verb.without_capture)


def _refusal(turn: Turn, plan: Plan) -> str | None:
    """Why no rollout of this plan may begin."""
    rollout = arming.open_rollout(turn.state, plan.name)
    if rollout is not None:
        return (
            f"rollout {rollout.id} of {plan.name} is open since {moment(rollout.began)}; "
            f"finish it first: rollbackd rollout finish {plan.name}"
        )
    holding = holders(turn.state, plan.services)
    if holding:
        return (
            f"{holding[0].id} ({holding[0].shown()}) holds a service of {plan.name}; "
            f"see `rollbackd show {holding[0].id}`"
        )
    return None


def _open(
    turn: Turn, plan: Plan, asked: RolloutAsked, *, taken: Capture | None = None, without_capture: str = ""
) -> str:
    rollout = f"{plan.name}-r{turn.state.rollout_numbers.get(plan.name, 0) + 1}"
    by, channel = (turn.actor, turn.channel) if taken is None else (taken.by, taken.channel)
    turn.emit(
        e.RolloutBegan(
            at=turn.now,
            rollout=rollout,
            plan=plan.name,
            previous=asked.previous,
            next=asked.next,
            until=turn.now + asked.open_for,
            by=by,
            channel=channel,
            permit=asked.permit,
            capture=taken.id if taken is not None else None,
            without_capture=without_capture,
        )
    )
    spent = tuple(service for service in plan.services if service in turn.state.spent)
    if spent:
        turn.emit(e.ServicesUnspent(at=turn.now, services=spent, why="rollout", by=by, channel=channel))
    arming.rollout_began(turn, plan.name)
    return f"rollout {rollout} is open until {moment(turn.now + asked.open_for)}"


def _captured(turn: Turn) -> None:
    """A capture is complete: the rollout that waited for it begins, if it still may."""
    for taken in list(turn.state.captures.values()):
        if taken.state != "running" or taken.asked is None or taken.next_item() is not None:
            continue
        plan = turn.config.plan(taken.plan)
        gone = f"plan {taken.plan} is gone from the configuration"
        refusal = gone if plan is None else _refusal(turn, plan)
        turn.emit(e.CaptureCompleted(at=turn.now, capture=taken.id, refused=refusal or ""))
        if plan is not None and refusal is None:
            _open(turn, plan, taken.asked, taken=taken)


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
    _captured(turn)
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
