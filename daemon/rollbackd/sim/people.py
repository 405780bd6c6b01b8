"""People: what they say, of which life, and how late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.core import signals as s
from rollbackd.core.model import ALL

if TYPE_CHECKING:
    from rollbackd.core.state import Life, State
    from rollbackd.sim.happenings import Says

HOUR = 3_600_000


def verb_of(says: Says, about: str | None, state: State) -> s.Verb | None:
    """The verb as a person would send it. `about`: the life that the moment was about; else the newest
    one. None: there is nothing it could be about."""
    plan = says.answer if state.config is not None and state.config.plan(says.answer) else ""
    match says.verb:
        case "begin_rollout":
            return s.BeginRollout(plan, "v1", "v2", HOUR // 4) if plan else None
        case "finish_rollout":
            return s.FinishRollout(plan) if plan else None
        case "add_evidence":
            return s.AddEvidence(plan, "staging", "sim", HOUR // 6) if plan else None
        case "start":
            return s.Start(plan, "by hand", scope=says.scope or ALL) if plan else None
        case "pause" | "unpause" | "rearm":
            return _about_standing(says, _life(about, state), state)
    life = _life(about, state)
    if life is None:
        return None
    revision = life.revision - 1 if says.stale else life.revision
    match says.verb:
        case "ack":
            return s.Ack(life.id)
        case "approve":
            return s.Approve(life.id, revision)
        case "veto":
            return s.Veto(life.id)
        case "hold":
            return s.Hold(life.id)
        case "resume":
            return s.Resume(life.id)
        case "abort" | "abort_now":
            return s.Abort(life.id, now=says.verb == "abort_now")
        case "confirm":
            step = life.current.step if life.current is not None else "?"
            return s.Confirm(life.id, step, says.answer or "done", revision)  # type: ignore[arg-type]
        case "tick":
            return s.Tick(life.id, says.answer or "1")
        case "resolve":
            return s.Resolve(life.id, "by hand", "it was mended", processes_gone=not says.stale)
    raise ValueError(f"nobody says {says.verb}")


def _life(about: str | None, state: State) -> Life | None:
    if about is not None and about in state.lives:
        return state.lives[about]
    return next(reversed(state.lives.values()), None)


def _about_standing(says: Says, life: Life | None, state: State) -> s.Verb | None:
    """The trigger of a life, else the first; or its plan and that one's first service."""
    if state.config is None or not state.config.triggers:
        return None
    of_life = state.config.trigger(life.trigger) if life is not None else None
    trigger = of_life if of_life is not None else state.config.triggers[0]
    plan = state.config.plan(trigger.plan)
    service = plan.services[0] if plan is not None and says.answer != "trigger" else None
    match says.verb:
        case "pause":
            return s.Pause(service, None if service else trigger.name, HOUR // 12, "sim")
        case "unpause":
            return s.Unpause(service, None if service else trigger.name, "sim")
        case _:
            if service is not None:
                return s.Rearm(plan=trigger.plan, comment="sim")
            return s.Rearm(trigger=trigger.name, comment="sim")
