"""From fires to a decision: which life, which action, and everything that lowers it (D1, D2, D9, D10)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from rollbackd.core import capture, wording
from rollbackd.core import events as e
from rollbackd.core.arming import open_rollout
from rollbackd.core.fold.lives import HOUR
from rollbackd.core.ladder import open_life_matter, tell
from rollbackd.core.model import ACTIONS, ALL, Action, Ms, Plan, Trigger, higher, lower
from rollbackd.core.notation import span
from rollbackd.core.state import AUTOMATIC, Firing, Life, Lowering, LoweringReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rollbackd.core.state import State
    from rollbackd.core.turn import Turn
    from rollbackd.core.windows import Applied, Watch

MOST_SUBJECTS = 1_000
MOST_TEXT = 48_000
"""A life carries at most so many subjects, and so much of their text: what the kernel hands to a step, and
what the journal keeps, is bounded (I16). The others stay armed, and fire again while they breach."""

MOST_DECIDED = 5
"""Plans decided on in one turn; the others are in the next, at once, and the loop goes on in between."""

PATIENCE: Ms = 1_000
"""D9: how long a decision waits for other plans' windows with the same end."""


# Fires


def notice(turn: Turn, watch: Watch, applied: Applied) -> None:
    """Remember the subjects that this window satisfied (W4), and who nearly is (D9)."""
    trigger = watch.trigger
    nearly = max(1, trigger.windows - 1)
    for subject in applied.grown:
        count = watch.streaks[subject].count if subject in watch.streaks else 0
        if count == nearly:
            turn.soft.reached[trigger.plan] = applied.end
        if count >= trigger.windows and _may_fire(turn, watch, subject):
            turn.soft.candidates.setdefault((trigger.name, subject), turn.now)


def _may_fire(turn: Turn, watch: Watch, subject: str) -> bool:
    return (
        f"{watch.trigger.name}/{subject}" not in turn.state.disarmed
        and watch.satisfied(subject)
        and watch.verdicts.get(subject) not in ("ok", "low_traffic")
        and watch.fresh(subject, turn.prom)
    )


def progress(turn: Turn) -> None:
    """Turn what fired into lives, one for each plan and scope (D10)."""
    room = MOST_DECIDED - turn.decided
    turn.soft.undecided = bool(turn.soft.candidates) and not room
    if not turn.soft.candidates or not room:
        return
    plans: dict[tuple[str, str], list[tuple[Watch, str]]] = {}
    overdue: dict[Ms, set[str]] = {}
    for (name, subject), since in list(turn.soft.candidates.items()):
        watch = turn.soft.configured(name)
        if watch is None or not _may_fire(turn, watch, subject):
            del turn.soft.candidates[(name, subject)]
            continue
        if watch.judged not in overdue:
            overdue[watch.judged] = awaited(turn, watch.judged)
        if turn.now - since >= PATIENCE or not overdue[watch.judged] - {watch.trigger.plan}:
            plans.setdefault((watch.trigger.plan, watch.trigger.scope), []).append((watch, subject))
    turn.decided += min(len(plans), room)
    turn.soft.undecided = len(plans) > room
    for (plan, scope), fired in islice(plans.items(), room):
        for watch, subject in fired:
            del turn.soft.candidates[(watch.trigger.name, subject)]
        _decide(turn, plan, scope, [(watch.trigger, firing(watch, subject)) for watch, subject in fired])


def alarms(turn_candidates: Iterable[Ms]) -> Iterator[Ms]:
    for since in turn_candidates:
        yield since + PATIENCE


def awaited(turn: Turn, end: Ms) -> set[str]:
    """D9: plans whose windows with this end are still to come, and may show a shared cause. Two are enough:
    one of them is not the plan of whoever looks."""
    plans: set[str] = set()
    for watch in turn.soft.watches.values():
        if (
            watch.judged < end
            and (watch.streaks or watch.unreachable is None)
            and watch.window_before(end) == end
        ):
            plans.add(watch.trigger.plan)
            if len(plans) == 2:
                break
    return plans


def firing(watch: Watch, subject: str) -> Firing:
    """The evidence of one subject, as of its last window."""
    streak = watch.streaks[subject]
    value = next((seen.value for seen in reversed(streak.seen) if seen.value is not None), "")
    trigger = watch.trigger
    return Firing(
        trigger=trigger.name,
        subject=subject,
        labels=trigger.subject_labels(subject),
        value=value,
        limit=trigger.condition.limit,
        began=streak.began,
        end=streak.end,
        streak=streak.count,
        windows=tuple(streak.seen),
    )


# Deciding


def _decide(turn: Turn, plan_name: str, scope: str, fired: list[tuple[Trigger, Firing]]) -> None:
    """Passive fires are recorded on their own; the others are one life (D10)."""
    plan = turn.config.plan(plan_name)
    if plan is None or scope not in plan.scope_names():
        return
    by_action: dict[Action, list[tuple[Trigger, Firing]]] = {"notify": [], "shadow": [], "ask": []}
    for trigger, found in fired:
        action = standing_action(turn, trigger)[0]
        by_action[action if action in by_action else "ask"].append((trigger, found))
    for passive in (by_action["notify"], by_action["shadow"]):
        if passive:
            _open(turn, plan, scope, _bounded(passive))
    acting = by_action["ask"]
    if not acting:
        return
    same = (
        life for life in turn.state.lives.values() if (life.plan.name, life.plan.scope) == (plan_name, scope)
    )
    waiting = next((life for life in same if life.waits()), None)
    if waiting is None:
        _open(turn, plan, scope, _bounded(acting))
        return
    for trigger, found in _bounded(acting, waiting.firings):
        turn.emit(e.SubjectJoined(at=turn.now, life=waiting.id, firing=found, definition=trigger))
        _disarm(turn, found, waiting.id)
    life = turn.state.lives[waiting.id]
    if life.state != "checking":
        reconsider(turn, life)


def _bounded(
    fired: list[tuple[Trigger, Firing]], already: tuple[Firing, ...] = ()
) -> list[tuple[Trigger, Firing]]:
    """As many as a life has room for; the first of a new life always."""
    taken: list[tuple[Trigger, Firing]] = []
    count, text = len(already), sum(len(found.subject) for found in already)
    for trigger, found in fired:
        count, text = count + 1, text + len(found.subject) + sum(map(len, found.labels))
        if count > 1 and (count > MOST_SUBJECTS or text > MOST_TEXT):
            break
        taken.append((trigger, found))
    return taken


def standing_action(turn: Turn, trigger: Trigger) -> tuple[Action, tuple[Lowering, ...]]:
    """The trigger's action after what holds for it at any time: the instance's ceiling, and that
    without a rollout there is nothing to undo (D1, D2, W9)."""
    lowered: list[Lowering] = []
    if trigger.arm == "rollout" and open_rollout(turn.state, trigger.plan) is None:
        lowered.append(
            Lowering("notify", "no_rollout", f"no rollout of {trigger.plan} is open: nothing to undo")
        )
    ceiling = turn.config.max_action
    if lower(trigger.action, ceiling) != trigger.action:
        lowered.append(Lowering(ceiling, "max_action", f"max_action is {ceiling}"))
    action = trigger.action
    for lowering in lowered:
        action = lower(action, lowering.to)
    return action, tuple(lowered)


def _open(turn: Turn, plan: Plan, scope: str, fired: list[tuple[Trigger, Firing]]) -> None:
    action: Action = "shadow"
    top: Action = "shadow"
    chosen, lowered = fired[0][0], standing_action(turn, fired[0][0])[1]
    for trigger, _ in fired:
        top = higher(top, trigger.action)
        standing, why = standing_action(turn, trigger)
        if ACTIONS.index(standing) < ACTIONS.index(action):
            action, chosen, lowered = standing, trigger, why
    change = turn.state.rollouts.get(plan.name)
    rollout = open_rollout(turn.state, plan.name)
    kept = capture.chosen(turn.state, plan.name)
    life = next_id(turn.state, plan.name)
    turn.emit(
        e.LifeOpened(
            at=turn.now,
            life=life,
            plan=plan.narrowed(scope),
            whole=plan if scope != ALL else None,
            by=AUTOMATIC,
            top=top,
            action=action,
            lowered=lowered,
            triggers={trigger.name: trigger for trigger, _ in fired},
            trigger=chosen.name,
            firings=tuple(found for _, found in fired),
            reason=wording.readings([found for _, found in fired]),
            rollout=rollout.id if rollout is not None else None,
            previous=change.previous if change is not None else None,
            next=change.next if change is not None else None,
            capture=kept.id if kept is not None else None,
            captured=kept.items if kept is not None else (),
        )
    )
    for _, found in fired:
        _disarm(turn, found, life)
    if action in ("notify", "shadow"):  # with every reason it would have met, for whoever tunes it
        end_passive(turn, reconsider(turn, turn.state.lives[life]))


def _disarm(turn: Turn, found: Firing, life: str) -> None:
    turn.emit(
        e.SubjectDisarmed(at=turn.now, trigger=found.trigger, subject=found.subject, cause="fired", life=life)
    )


def next_id(state: State, plan: str) -> str:
    return f"{plan}-{state.numbers.get(plan, 0) + 1}"


def end_passive(turn: Turn, life: Life) -> None:
    """`notify` and `shadow`: said or recorded, and over."""
    if life.action == "shadow":
        would = f"would have been {life.would()}"
        turn.emit(e.LifeEnded(at=turn.now, life=life.id, end="shadowed", detail=would))
        return
    open_life_matter(turn, life, "notified", wording.why_lowered(life))
    turn.emit(e.LifeEnded(at=turn.now, life=life.id, end="notified", detail=wording.why_lowered(life)))


# Lowering (D2)


def reconsider(turn: Turn, life: Life, also: tuple[Lowering, ...] = ()) -> Life:
    """Compute D2 anew. What was lowered stays lowered (I10); a new reason changes the action."""
    if life.by != AUTOMATIC:
        return life
    known: dict[str, Action] = {}
    for low in life.lowered:
        known[low.reason] = lower(low.to, known.get(low.reason, low.to))
    again = (*also, *_lowerings(turn, life))
    fresh = [low for low in again if lower(low.to, known.get(low.reason, "auto")) != known.get(low.reason)]
    triggers = [life.triggers[found.trigger] for found in life.present() or life.firings]
    top: Action = "shadow"
    chosen = life.trigger
    for trigger in triggers:
        if ACTIONS.index(trigger.action) < ACTIONS.index(top):
            top, chosen = trigger.action, trigger.name
    lowered = (*life.lowered, *fresh)
    action = top
    for lowering in lowered:
        action = lower(action, lowering.to)
    if fresh or action != life.action or top != life.top:
        turn.emit(
            e.ActionChanged(
                at=turn.now, life=life.id, top=top, action=action, lowered=lowered, trigger=chosen
            )
        )
    return turn.state.lives[life.id]


def _lowerings(turn: Turn, life: Life) -> Iterator[Lowering]:
    state, plan = turn.state, life.plan

    def ask(reason: LoweringReason, detail: str) -> Lowering:
        return Lowering("ask", reason, detail)

    ceiling = turn.config.max_action
    if lower("auto", ceiling) != "auto":
        yield Lowering(ceiling, "max_action", f"max_action is {ceiling}")
    for pause in state.pauses:
        if pause_applies(pause.service, pause.trigger, life):
            yield ask("paused", f"paused by {pause.by}" + (f": {pause.comment}" if pause.comment else ""))
            break
    spent = next((state.spent[s] for s in plan.services if s in state.spent), None)
    if spent is not None and spent.life != life.id:
        yield ask("spent", f"{spent.life} has rolled these services back already")
    if plan.needs_previous and life.previous is None:
        yield ask("no_previous", "no previous version is known")
    yield from _rate(turn, life)
    if state.vetoed.get(plan.name, 0) > turn.now:
        yield ask("vetoed", "a rollback of this plan was vetoed a short while ago")
    yield from _brake(turn, life)
    yield from _checked(life)
    yield from _shown(turn, life)
    yield from capture.lowerings(state, life)
    if life.rollout is not None and _rollout_ended(state, life):
        yield ask("rollout_ended", f"rollout {life.rollout} ended meanwhile")


def pause_applies(service: str | None, trigger: str | None, life: Life) -> bool:
    if service is not None:
        return service in life.plan.services
    return trigger is None or trigger in life.triggers


def _rollout_ended(state: State, life: Life) -> bool:
    rollout = state.rollouts.get(life.plan.name)
    armed = any(trigger.arm == "rollout" for trigger in life.triggers.values())
    return armed and (rollout is None or rollout.id != life.rollout or rollout.state != "open")


def _rate(turn: Turn, life: Life) -> Iterator[Lowering]:
    limits = turn.config.limits
    recent = [m for m in turn.state.rate if turn.now - m.at < HOUR and m.life != life.id]
    if len(recent) >= limits.rollbacks_per_hour:
        yield Lowering("ask", "rate_limit", f"{len(recent)} rollbacks began within the hour (the limit)")
        return
    for service in life.plan.services:
        count = sum(service in mark.services for mark in recent)
        if count >= limits.per_service_per_hour:
            yield Lowering(
                "ask", "rate_limit", f"{service} was rolled back {count} times within the hour (the limit)"
            )
            return


def _brake(turn: Turn, life: Life) -> Iterator[Lowering]:
    """D9: many plans at once is a sick monitoring or a shared cause."""
    firings = life.present()
    if not firings:
        return
    end = max(found.end for found in firings)
    interval = max(life.triggers[found.trigger].interval for found in firings)
    plans = [plan for plan, at in turn.soft.reached.items() if end - interval <= at <= end + interval]
    if len(plans) >= turn.config.limits.brake:
        names = ", ".join(sorted(plans)[:5])
        yield Lowering(
            "ask", "brake", f"{len(plans)} plans breach within one interval ({names}): a shared cause?"
        )


def _shown(turn: Turn, life: Life) -> Iterator[Lowering]:
    """What was to be put on record of the plan as it is, and not too long ago (P1)."""
    known = turn.state.evidence.get(life.plan.name, ())
    for check in life.plan.safety_checks:
        if check.shown is None:
            continue
        kind, within = check.shown.evidence, check.shown.within
        at = [each.at for each in known if (each.evidence, each.plan_hash) == (kind, life.plan.hash)]
        if not at:
            why = f"no {kind} of the plan as it is is on record"
        elif turn.now - max(at) > within:
            why = f"the last {kind} is of {wording.moment(max(at))}, and counts for {span(within)}"
        else:
            continue
        yield Lowering("ask", "safety_check", f"safety check {check.name} failed: {why}")


def _checked(life: Life) -> Iterator[Lowering]:
    for check in life.plan.safety_checks:
        answered = life.checks.get(f"safety/{check.name}")
        if answered is not None and answered.answer != "pass" and check.on_fail == "fail":
            said = "failed" if answered.answer == "fail" else "could not tell"
            yield Lowering("ask", "safety_check", f"safety check {check.name} {said}: {answered.detail}")
    reversible = life.checks.get("reversible")
    guard = life.plan.reversible_while
    if reversible is None or guard is None or reversible.status == 0:
        return
    if reversible.status == 20:
        instead = f"; `rollbackd start {guard.alternative_plan}`" if guard.alternative_plan else ""
        yield Lowering("notify", "irreversible", f"past the point of no return{instead}")
    else:
        yield Lowering(
            "ask", "reversibility_unknown", f"cannot tell whether it may still be undone: {reversible.detail}"
        )


def tell_decision(turn: Turn, life: Life) -> None:
    """Every decision tells `notify:` (E2)."""
    asks = life.by != AUTOMATIC and capture.unsound(life) is not None
    what = {
        "auto": "rolls back now",
        "auto_with_warning": "rolls back after the veto window",
        "ask": "waits for approval",
    }.get("ask" if asks else life.action, life.action)
    why = wording.why_lowered(life)
    tell(
        turn,
        life,
        f"{life.plan.name}: {what} ({life.id})",
        life.reason + (f"\nLowered because: {why}" if why else ""),
    )
