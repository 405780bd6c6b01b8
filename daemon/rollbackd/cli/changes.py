"""Off a terminal, `--watch` prints one line for each change between two answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from rollbackd.cli.overview import Overview, paused, worst
from rollbackd.cli.text import Doc, labels, visible

_Told: TypeAlias = Callable[[Doc], str]


def overview_lines(before: Overview | None, after: Overview) -> Iterator[str]:
    """All there is where nothing was known before."""
    if before is None or before.not_ready != after.not_ready:
        reasons = "; ".join(after.not_ready.splitlines())
        yield f"daemon not ready: {visible(reasons)}" if reasons else "daemon ready"
    for kind, key, told in _KINDS:
        yield from _lines(getattr(before, kind) if before else [], getattr(after, kind), key, told, kind[:-1])


def _lines(
    before: Iterable[Doc],
    after: Iterable[Doc],
    key: _Told,
    told: _Told,
    kind: str,
) -> Iterator[str]:
    known = {key(each): told(each) for each in before}
    for each in after:
        name, text = key(each), told(each)
        if known.pop(name, None) != text:
            yield f"{kind} {visible(name)} {text}"
    for name in known:
        yield f"{kind} {visible(name)} gone"


def _rollback(life: Doc) -> str:
    who = life.get("trigger") or f"by {life.get('by') or 'hand'}"
    detail = f": {visible(life['detail'])}" if life.get("detail") else ""
    breached = " SLA breached" if (life.get("sla") or {}).get("breached") else ""
    return f"{visible(life['state'])} ({visible(who)}){breached}{detail}"


def _trigger(trigger: Doc) -> str:
    subject = worst(trigger)
    if trigger.get("blind"):
        return f"blind: {visible(trigger['blind'])}"
    armed = "" if trigger.get("armed") else ", not armed"
    streak = f" {subject.get('streak')}/{trigger.get('windows')}" if subject.get("streak") else ""
    where = f" {labels(subject['labels'])}" if subject.get("labels") and streak else ""
    return f"{visible(subject.get('verdict') or 'no verdict')}{streak}{where}{armed}"


def _rollout(rollout: Doc) -> str:
    versions = f"{visible(rollout.get('previous') or '?')} → {visible(rollout.get('next') or '?')}"
    return f"{visible(rollout.get('state') or 'open')} ({versions})"


def _pause(pause: Doc) -> str:
    return f"by {visible(pause.get('by') or '?')}: {visible(pause.get('comment') or '')}"


def _matter(matter: Doc) -> str:
    return f"{'acknowledged' if matter.get('acked') else 'open'}: {visible(matter.get('title') or '')}"


_KINDS: tuple[tuple[str, _Told, _Told], ...] = (
    ("matters", lambda matter: str(matter.get("key")), _matter),
    ("rollbacks", lambda life: str(life["id"]), _rollback),
    ("rollouts", lambda rollout: str(rollout.get("id") or rollout.get("plan")), _rollout),
    ("pauses", paused, _pause),
    ("triggers", lambda trigger: str(trigger["name"]), _trigger),
)
