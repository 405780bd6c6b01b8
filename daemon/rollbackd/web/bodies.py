"""What a person may say, as JSON; checked here, so that nothing odd reaches the journal or a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from rollbackd.core import signals as s
from rollbackd.core.model import ALL, EvidenceKind
from rollbackd.core.notation import parse_duration
from rollbackd.web.answers import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollbackd.core.model import Ms

B = TypeVar("B", bound=Struct)

# NUL would end a variable of a step's environment; other control characters have no place in a name.
Text = Annotated[str, Meta(max_length=4000, pattern=r"\A[^\x00]*\Z")]
Said = Annotated[str, Meta(min_length=1, max_length=4000, pattern=r"\A\s*[^\x00\s][^\x00]*\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"\A[^\x00-\x1f\x7f]+\Z")]
Labels = Annotated[dict[Name, Name], Meta(max_length=64)]

LONGEST: Ms = 366 * 86_400_000


class _Body(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    comment: Text = ""


class Nothing(Struct, forbid_unknown_fields=True, frozen=True):
    """No fields."""


class Comment(_Body, frozen=True):
    """A comment, or none."""


class Abort(_Body, frozen=True):
    now: bool = False


class Confirm(_Body, frozen=True, kw_only=True):
    step: Name
    answer: Literal["done", "retry", "skip"]


class Resolve(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    approach: Said
    description: Said
    processes_gone: bool = False
    lessons: Annotated[tuple[Said, ...], Meta(max_length=50)] = ()


class Tick(_Body, frozen=True, kw_only=True):
    item: Said


class Start(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    reason: Said
    from_step: Name | None = None
    subject: Labels = {}
    dry_run: bool = False
    scope: Name = ALL


class BeginRollout(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    plan: Name
    previous: Name
    next: Name
    open_for: str = field(default="2h", name="for")
    permit: Name | None = None
    without_capture: Text = ""


class Pause(_Body, frozen=True, kw_only=True):
    service: Name | None = None
    trigger: Name | None = None
    duration: str | None = field(default=None, name="for")


class Unpause(_Body, frozen=True, kw_only=True):
    service: Name | None = None
    trigger: Name | None = None


class RearmTrigger(_Body, frozen=True, kw_only=True):
    subject: Labels = {}


class AddEvidence(_Body, frozen=True, kw_only=True):
    kind: EvidenceKind
    by: Name
    took: str | None = None
    plan_hash: Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{6,64})?\Z")] = field(default="", name="hash")
    artifact: Name | None = None
    sha256: Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{64})?\Z")] = ""
    size: Annotated[int, Meta(ge=0, le=1 << 50)] = 0


def read(raw: bytes, shape: type[B]) -> B:
    """The body as `shape`; raises Problem with the place and what was expected. No body is `{}`."""
    try:
        return msgspec.json.decode(raw or b"{}", type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem("bad_data", f"the body: {error}") from error


def duration(text: str, key: str) -> Ms:
    """`1h30m` → Ms; more than nothing and at most a year."""
    try:
        found = parse_duration(text)
    except ValueError:
        found = 0
    if not 0 < found <= LONGEST:
        raise Problem("bad_data", f"{key}: expected a duration like 90s, 15m or 1h30m, at most 366d")
    return found


# From a path's name and a body to what the engine is told


def of_life(verb: str, life: str, raw: bytes, revision: int | None) -> s.Verb:
    """The verb on one rollback; KeyError for an unknown one."""
    return _LIFE_VERBS[verb](life, raw, revision)


def _confirm(life: str, raw: bytes, revision: int | None) -> s.Verb:
    body = read(raw, Confirm)
    return s.Confirm(life, body.step, body.answer, revision, body.comment)


def _resolve(life: str, raw: bytes, _revision: int | None) -> s.Verb:
    body = read(raw, Resolve)
    return s.Resolve(life, body.approach, body.description, body.processes_gone, body.lessons)


def _tick(life: str, raw: bytes, _revision: int | None) -> s.Verb:
    body = read(raw, Tick)
    return s.Tick(life, body.item, body.comment)


def _abort(life: str, raw: bytes, _revision: int | None) -> s.Verb:
    body = read(raw, Abort)
    return s.Abort(life, body.now, body.comment)


_LIFE_VERBS: dict[str, Callable[[str, bytes, int | None], s.Verb]] = {
    "ack": lambda life, raw, _: s.Ack(life, read(raw, Comment).comment),
    "approve": lambda life, raw, revision: s.Approve(life, revision, read(raw, Comment).comment),
    "veto": lambda life, raw, _: s.Veto(life, read(raw, Comment).comment),
    "hold": lambda life, raw, _: s.Hold(life, read(raw, Comment).comment),
    "resume": lambda life, raw, _: s.Resume(life, read(raw, Comment).comment),
    "abort": _abort,
    "confirm": _confirm,
    "tick": _tick,
    "resolve": _resolve,
}

LIFE_VERBS = tuple(_LIFE_VERBS)


def start(plan: str, raw: bytes) -> s.Verb:
    body = read(raw, Start)
    return s.Start(plan, body.reason, body.from_step, body.subject, body.dry_run, body.scope)


def begin_rollout(raw: bytes) -> s.Verb:
    body = read(raw, BeginRollout)
    open_for = duration(body.open_for, "for")
    return s.BeginRollout(
        body.plan, body.previous, body.next, open_for, body.permit, body.without_capture.strip()
    )


def take_capture(plan: str, raw: bytes) -> s.Verb:
    return s.TakeCapture(plan, read(raw, Comment).comment)


def finish_rollout(plan: str, raw: bytes) -> s.Verb:
    read(raw, Nothing)
    return s.FinishRollout(plan)


def pause(raw: bytes) -> s.Verb:
    body = read(raw, Pause)
    _one_of(body.service, body.trigger)
    length = duration(body.duration, "for") if body.duration is not None else None
    return s.Pause(body.service, body.trigger, length, body.comment)


def unpause(raw: bytes) -> s.Verb:
    body = read(raw, Unpause)
    _one_of(body.service, body.trigger)
    return s.Unpause(body.service, body.trigger, body.comment)


def _one_of(service: str | None, trigger: str | None) -> None:
    if service is not None and trigger is not None:
        raise Problem("bad_data", "service, trigger: give one of them; pause one after the other")


def rearm_plan(plan: str, raw: bytes) -> s.Verb:
    return s.Rearm(plan=plan, comment=read(raw, Comment).comment)


def rearm_trigger(trigger: str, raw: bytes) -> s.Verb:
    body = read(raw, RearmTrigger)
    return s.Rearm(trigger=trigger, subject=body.subject, comment=body.comment)


def add_evidence(plan: str, raw: bytes) -> s.Verb:
    body = read(raw, AddEvidence)
    if (body.artifact is None) != (body.sha256 == ""):
        raise Problem("bad_data", "artifact, sha256: give both, or neither")
    return s.AddEvidence(
        plan,
        body.kind,
        body.by,
        duration(body.took, "took") if body.took is not None else None,
        body.plan_hash,
        body.artifact or "",
        body.sha256,
        body.size,
        body.comment,
    )
