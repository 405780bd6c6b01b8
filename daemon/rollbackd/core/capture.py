"""The state before a change, put aside so that a rollback can go back to it, and compare with it (C1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from rollbackd.core import events as e
from rollbackd.core.effects import RemoveCapture, RunCapture
from rollbackd.core.model import BASELINE, NEXT, PREVIOUS, Check, Limit, Stored
from rollbackd.core.state import Lowering, holders
from rollbackd.core.turn import Refused
from rollbackd.core.wording import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.effects import Effect
    from rollbackd.core.model import Ms, Plan
    from rollbackd.core.signals import CaptureRemoved, CaptureTaken, TakeCapture
    from rollbackd.core.state import Capture, Captured, Life, RolloutAsked, State
    from rollbackd.core.turn import Turn

MOST = 50
"""Captures kept of a plan, whatever their age (I16)."""


# Beginning


def take(turn: Turn, verb: TakeCapture) -> str:
    """By hand, for no rollout."""
    plan = turn.config.plan(verb.plan)
    if plan is None:
        names = ", ".join(each.name for each in turn.config.plans) or "none"
        raise Refused(f"there is no plan {verb.plan}; the plans are {names}")
    if not plan.capture:
        raise Refused(f"plan {plan.name} captures nothing; add `capture:` to it")
    holding = holders(turn.state, plan.services)
    if holding:
        raise Refused(
            f"{holding[0].id} holds a service of {plan.name}: what is seen now is neither", conflict=True
        )
    return begin(turn, plan, comment=verb.comment)


def begin(turn: Turn, plan: Plan, *, comment: str = "", asked: RolloutAsked | None = None) -> str:
    refuse_second(turn.state, plan)
    number = turn.state.capture_numbers.get(plan.name, 0) + 1
    turn.capture = f"{plan.name}-c{number}"
    turn.emit(
        e.CaptureBegan(
            at=turn.now,
            capture=turn.capture,
            plan=plan,
            by=turn.actor,
            channel=turn.channel,
            comment=comment,
            rollout=asked,
        )
    )
    then = "; the rollout begins once it is complete" if asked is not None else ""
    return f"{turn.capture} is being captured{then}"


def refuse_second(state: State, plan: Plan) -> None:
    known = running(state, plan.name)
    if known is not None:
        what = f"{known.id} is being captured since {moment(known.began)}, for {known.by}"
        raise Refused(f"{what}; see `rollbackd capture --list`", conflict=True)


def running(state: State, plan: str) -> Capture | None:
    of_plan = (each for each in state.captures.values() if each.plan == plan)
    return next((each for each in of_plan if each.state == "running"), None)


# Going on


def progress(turn: Turn) -> None:
    """What is complete without a rollout, what came to nothing, what is old."""
    for capture in list(turn.state.captures.values()):
        if capture.state == "running":
            _go_on(turn, capture)
    for capture in _old(turn.state, turn.now):
        turn.emit(e.CapturePruned(at=turn.now, capture=capture.id))


def _go_on(turn: Turn, capture: Capture) -> None:
    holding = holders(turn.state, capture.services)
    if holding:  # neither the state before the change nor the one after it
        fail(turn, capture, "", f"{holding[0].id} began meanwhile on a service of {capture.plan}")
    elif capture.next_item() is None and capture.asked is None:
        turn.emit(e.CaptureCompleted(at=turn.now, capture=capture.id))


def taken(turn: Turn, signal: CaptureTaken) -> None:
    """Only the item at hand counts."""
    capture = turn.state.captures.get(signal.capture)
    item = capture.next_item() if capture is not None and capture.state == "running" else None
    if capture is None or item is None or item.name != signal.item:
        return
    if not signal.ok:
        fail(turn, capture, signal.item, signal.detail)
        return
    turn.emit(
        e.CaptureTaken(
            at=turn.now,
            capture=capture.id,
            item=signal.item,
            artifacts=signal.artifacts,
            value=signal.value,
            said=signal.said,
        )
    )


def removed(turn: Turn, signal: CaptureRemoved) -> None:
    capture = turn.state.captures.get(signal.capture)
    if capture is not None and capture.state == "pruned":
        turn.emit(e.CaptureRemoved(at=turn.now, capture=capture.id))


def fail(turn: Turn, capture: Capture, item: str, detail: str) -> None:
    """It is over; whoever is to be told of the plan is told."""
    turn.emit(e.CaptureFailed(at=turn.now, capture=capture.id, item=item, detail=detail))
    plan = turn.config.plan(capture.plan)
    receivers = (plan.notify if plan is not None else ()) or turn.config.notify
    if not receivers:
        return
    what = f"item {item}: {detail}" if item else detail
    after = f"\nThe rollout of {capture.asked.next} has not begun." if capture.asked is not None else ""
    turn.emit(
        e.PagePromised(
            at=turn.now,
            page=f"tell/capture/{capture.id}",
            page_kind="tell",
            alert="RollbackdRollback",
            receivers=receivers,
            dedup=f"capture/{capture.id}",
            title=f"{capture.plan}: capture failed ({capture.id})",
            text=what + after,
            labels={"instance": turn.config.instance, "plan": capture.plan},
        )
    )


# Keeping


def _old(state: State, now: Ms) -> Iterator[Capture]:
    keep = state.config.captures.keep if state.config is not None else None
    counts: dict[str, int] = {}
    for capture in reversed(state.captures.values()):  # the newest first
        if capture.ended is None or capture.state == "pruned":
            continue
        counts[capture.plan] = counts.get(capture.plan, 0) + 1
        aged = keep is not None and now >= capture.ended + keep
        if (aged or counts[capture.plan] > MOST) and not _in_use(state, capture):
            yield capture


def _in_use(state: State, capture: Capture) -> bool:
    """An open rollout, or a rollback under way, may need it."""
    rollout = state.rollouts.get(capture.plan)
    if rollout is not None and rollout.state == "open" and rollout.capture == capture.id:
        return True
    return any(life.capture == capture.id for life in state.lives.values())


def alarms(state: State) -> Iterator[Ms]:
    keep = state.config.captures.keep if state.config is not None else None
    for capture in state.captures.values():
        if capture.ended is not None and keep is not None and capture.state != "pruned":
            yield capture.ended + keep


def effects(state: State) -> Iterator[Effect]:
    """What the captures need done, from their state alone."""
    for capture in state.captures.values():
        if capture.state == "pruned":
            yield RemoveCapture(capture.id)
        item = capture.next_item() if capture.state == "running" else None
        if item is not None and state.config is not None:
            most = state.config.captures.most
            yield RunCapture(capture.id, item, capture.hash, _environment(state, capture, item.name), most)


def _environment(state: State, capture: Capture, item: str) -> dict[str, str]:
    asked = capture.asked
    return {
        **capture.env,
        "ROLLBACK_INSTANCE": state.config.instance if state.config is not None else "",
        "ROLLBACK_PLAN": capture.plan,
        "ROLLBACK_CAPTURE": capture.id,
        "ROLLBACK_CAPTURE_ITEM": item,
        "ROLLBACK_PREVIOUS_VERSION": asked.previous if asked is not None else "",
        "ROLLBACK_NEXT_VERSION": asked.next if asked is not None else "",
        "ROLLBACK_REHEARSAL": "0",
    }


# What a life has of it


def chosen(state: State, plan: str) -> Capture | None:
    """What was put aside before the change that a life of this plan undoes: its rollout's own, or what was
    captured since that rollout ended. Never one from before another change."""
    change = state.rollouts.get(plan)
    for capture in reversed(state.captures.values()):
        if capture.plan != plan or capture.state != "complete":
            continue
        since = change is None or (change.ended is not None and capture.began >= change.ended)
        if since or (change is not None and capture.id == change.capture):
            return capture
    return None


def stored(life: Life) -> Stored | None:
    """What is to be found on disk before a life uses it."""
    artifacts = tuple(artifact for item in life.captured for artifact in item.artifacts)
    items = tuple(dict.fromkeys(artifact.path.split("/", 1)[0] for artifact in artifacts))
    return Stored(life.capture, items, artifacts) if life.capture is not None and artifacts else None


def missing(state: State, life: Life) -> str | None:
    """Why a life of a plan that captures has nothing to go back to; None: it has."""
    if not life.plan.capture or life.capture is not None:
        return None
    change = state.rollouts.get(life.plan.name)
    if change is not None and change.without_capture:
        return f"{change.id} began without a capture: {change.without_capture}"
    return "nothing was captured before the change"


def unsound(life: Life) -> str | None:
    """What the verification of the files said against them."""
    answered = life.checks.get("capture")
    if answered is None or answered.answer == "pass":
        return None
    return f"capture {life.capture}: {answered.detail}"


def lowerings(state: State, life: Life) -> Iterator[Lowering]:
    detail = missing(state, life) or unsound(life)
    if detail is not None:
        yield Lowering("ask", "capture", detail)


def resolved(life: Life, check: Check) -> Check:
    """The check with what this life knows in the places that its plan left open."""
    texts = {PREVIOUS: life.previous, NEXT: life.next}
    known: Captured | None = None
    if check.baseline is not None:
        known = next((each for each in life.captured if each.item == check.baseline.item), None)
        if known is None:
            return _unknown(check, f"no {check.baseline.item} was captured")
        texts[BASELINE] = known.said
    if check.baseline is not None and check.query is not None and known is not None:
        if known.value is None:
            return _unknown(check, f"what was captured of {known.item} is no number: {known.said}")
        limit = Limit(check.query.passes.op, check.baseline.of(known.value))
        check = replace(check, query=replace(check.query, passes=limit))
    return _filled(check, texts)


def _filled(check: Check, texts: dict[str, str | None]) -> Check:
    fields = check.http.json if check.http is not None else {}
    wanted = [check.prints or "", *(text for text in fields.values() if isinstance(text, str))]
    for name, text in texts.items():
        if not any(name in each for each in wanted):
            continue
        if not text:
            what = "the captured item printed no line" if name == BASELINE else "no such version is known"
            return _unknown(check, f"{name}: {what}")
        if check.prints is not None:
            check = replace(check, prints=check.prints.replace(name, text))
        if check.http is not None:
            fields = {k: v.replace(name, text) if isinstance(v, str) else v for k, v in fields.items()}
            check = replace(check, http=replace(check.http, json=fields))
    return check


def _unknown(check: Check, why: str) -> Check:
    return replace(check, unknown=why)
