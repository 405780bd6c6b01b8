"""Matters and their ladders: pages until people have it in hand (E1–E3).

A *matter* is something people must be told of. Whatever its kind, it climbs a ladder, rung after
rung, until it is acknowledged or resolved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rollbackd.core import events as e
from rollbackd.core import wording
from rollbackd.core.effects import KeepAlert, Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollbackd.core.effects import Effect
    from rollbackd.core.model import Ms, Rung
    from rollbackd.core.signals import PageAnswered
    from rollbackd.core.state import Life, Matter, MatterKind, PageState, State
    from rollbackd.core.turn import Turn

ACK_LAPSES: Ms = 30 * 60_000
"""E3: an acknowledgement is good for this long."""

FIRST_RETRY: Ms = 30_000
LONGEST_RETRY: Ms = 5 * 60_000
TELLS_GIVEN_UP_AFTER = 12
"""A `notify` message is dropped after so many refusals; a page never is while its matter is open."""

Alert = Literal["RollbackdRollback", "RollbackdBlind", "RollbackdSLABreach", "RollbackdHalt"]

_ALERTS: dict[MatterKind, Alert] = {
    "life": "RollbackdRollback",
    "breach": "RollbackdRollback",
    "relapse": "RollbackdRollback",
    "sla": "RollbackdSLABreach",
    "blind": "RollbackdBlind",
    "source": "RollbackdBlind",
    "halt": "RollbackdHalt",
    "configuration": "RollbackdHalt",
}


def ladder_of(turn: Turn, plan: str | None) -> tuple[Rung, ...]:
    """The plan's ladder; without a plan the default one (E1)."""
    found = turn.config.plan(plan) if plan is not None else None
    name = found.ladder if found is not None else "default"
    return turn.config.ladders.get(name) or turn.config.ladders.get("default", ())


def open_matter(
    turn: Turn,
    kind: MatterKind,
    name: str,
    cause: str,
    *,
    title: str,
    text: str,
    labels: dict[str, str],
    annotations: dict[str, str] | None = None,
    ladder: tuple[Rung, ...] | None = None,
    life: str | None = None,
    plan: str | None = None,
    trigger: str | None = None,
) -> None:
    """Open it, or let an open one climb anew for its new cause; the same cause again says nothing."""
    key = f"{kind}/{name}"
    known = turn.state.matters.get(key)
    if known is not None:
        if known.cause != cause:
            turn.emit(
                e.MatterChanged(at=turn.now, matter=key, cause=cause, title=title, text=text, life=known.life)
            )
        return
    turn.emit(
        e.MatterOpened(
            at=turn.now,
            matter=key,
            matter_kind=kind,
            cause=cause,
            title=title,
            text=text,
            ladder=ladder if ladder is not None else ladder_of(turn, plan),
            labels=labels,
            annotations=annotations or {},
            life=life,
            plan=plan,
            trigger=trigger,
        )
    )


def open_life_matter(turn: Turn, life: Life, cause: str, detail: str = "") -> None:
    """People must do something about this life (E1)."""
    open_matter(
        turn,
        "life",
        life.id,
        cause,
        title=wording.life_title(life, cause),
        text=wording.life_text(life, cause, detail),
        labels=wording.life_labels(turn.config, life),
        annotations=wording.life_annotations(life),
        life=life.id,
        plan=life.plan.name,
        trigger=life.trigger or None,
    )


def resolve_matter(turn: Turn, key: str, why: str) -> None:
    matter = turn.state.matters.get(key)
    if matter is not None:
        turn.emit(e.MatterResolved(at=turn.now, matter=key, why=why, life=matter.life))


def tell(turn: Turn, life: Life, title: str, text: str) -> None:
    """Tell the plan's `notify:` receivers; no answer is wanted (E2)."""
    receivers = life.plan.notify or turn.config.notify
    if not receivers:
        return
    number = life.revision
    taken = turn.state.pages
    page = f"tell/{life.id}/{number}"
    while page in taken:
        number += 1
        page = f"tell/{life.id}/{number}"
    turn.emit(
        e.PagePromised(
            at=turn.now,
            page=page,
            page_kind="tell",
            alert="RollbackdRollback",
            receivers=receivers,
            dedup=page,
            title=title,
            text=text,
            labels=wording.life_labels(turn.config, life),
            annotations=wording.life_annotations(life),
            life=life.id,
        )
    )


# Climbing


def climb(turn: Turn) -> None:
    """Reach every rung whose time has come."""
    for matter in list(turn.state.matters.values()):
        for rung, repeat in _due(matter, turn.now):
            turn.emit(
                e.RungReached(at=turn.now, matter=matter.key, rung=rung, repeat=repeat, life=matter.life)
            )
            _promise(turn, turn.state.matters[matter.key], rung)


def _due(matter: Matter, now: Ms) -> Iterator[tuple[int, bool]]:
    for rung, at, repeat in _times(matter):
        if at <= now:
            yield rung, repeat


def _times(matter: Matter) -> Iterator[tuple[int, Ms, bool]]:
    """When each rung is to be reached, or repeated, if nothing changes."""
    for index, rung in enumerate(matter.ladder):
        acked_until = matter.acked.until if matter.acked and rung.until == "acked" else 0
        paged = matter.last_paged[index] if index < len(matter.last_paged) else 0
        if not paged:
            yield index, max(matter.opened + rung.after, acked_until), False
            continue
        if rung.repeat is not None:
            yield index, max(paged + rung.repeat, acked_until), True
        elif acked_until > paged and index == matter.rung - 1:
            yield index, acked_until, True  # the acknowledgement lapsed, and nothing was resolved


def _promise(turn: Turn, matter: Matter, index: int) -> None:
    rung = matter.ladder[index]
    title = matter.title if not rung.title else f"{matter.title} · {rung.title}"
    text = matter.text if not rung.instructions else f"{matter.text}\n\n{rung.instructions}"
    # A new cause must ring, where the same key would only append to what was told before (E2).
    cause = matter.cause if matter.kind == "life" else str(matter.changes) if matter.changes else ""
    page = "/".join(part for part in (matter.key, cause, str(index)) if part)
    turn.emit(
        e.PagePromised(
            at=turn.now,
            page=page,
            page_kind="page",
            alert=_ALERTS[matter.kind],
            receivers=rung.receivers,
            dedup=page.removeprefix("life/"),
            title=title,
            text=text,
            labels={**matter.labels, "rung": str(index)},
            annotations=matter.annotations,
            matter=matter.key,
            life=matter.life,
        )
    )


def alarms(state: State) -> Iterator[Ms]:
    for matter in state.matters.values():
        for _, at, _ in _times(matter):
            yield at
    for page in state.pages.values():
        for delivery in page.deliveries:
            if delivery.status == "owed" and delivery.again is not None:
                yield delivery.again


# Delivery


def page_answered(turn: Turn, signal: PageAnswered) -> None:
    page = turn.state.pages.get(signal.page)
    if page is None or signal.receiver not in {d.receiver for d in page.deliveries}:
        return
    if signal.accepted:
        turn.emit(
            e.PageDelivered(
                at=turn.now,
                page=page.id,
                receiver=signal.receiver,
                status=page.status,
                life=page.life,
            )
        )
        return
    delivery = next(d for d in page.deliveries if d.receiver == signal.receiver)
    wait = min(FIRST_RETRY * 2 ** min(delivery.tries, 8), LONGEST_RETRY)
    optional = page.kind == "tell" or page.status == "resolved"
    give_up = optional and delivery.tries + 1 >= TELLS_GIVEN_UP_AFTER
    turn.emit(
        e.PageRefused(
            at=turn.now,
            page=page.id,
            receiver=signal.receiver,
            detail=signal.detail,
            next=_next_receivers(turn, page, signal.receiver),
            again=None if give_up else turn.now + wait,
            life=page.life,
        )
    )


def _next_receivers(turn: Turn, page: PageState, refused: str) -> tuple[str, ...]:
    """The receiver after this one that the page has not been sent to (E2); none once one took it."""
    if page.status == "resolved" or any(d.status == "accepted" for d in page.deliveries):
        return ()
    tried = {delivery.receiver for delivery in page.deliveries}
    order = turn.config.receivers
    start = order.index(refused) + 1 if refused in order else 0
    return tuple(r for r in (*order[start:], *order[:start]) if r not in tried)[:1]


def accepted(state: State, matter: str, since: Ms) -> bool:
    """Whether some receiver took a page of this matter that was promised at `since` or later (D8)."""
    return any(
        page.matter == matter and page.at >= since and any(d.status == "accepted" for d in page.deliveries)
        for page in state.pages.values()
    )


def wanted(state: State, now: Ms) -> Iterator[Effect]:
    for page in state.pages.values():
        for delivery in page.deliveries:
            effect = _effect(page, delivery.receiver)
            if delivery.status == "owed" and (delivery.again is None or delivery.again <= now):
                yield effect
        if page.kind == "page" and page.status == "firing":
            for receiver in page.reached():
                yield KeepAlert(_effect(page, receiver))


def _effect(page: PageState, receiver: str) -> Page:
    return Page(
        page=page.id,
        receiver=receiver,
        status=page.status,
        dedup=page.dedup,
        alert=page.alert,
        title=page.title,
        text=page.text,
        labels=page.labels,
        annotations=page.annotations,
        began=page.at,
        kind=page.kind,
    )


def ack(turn: Turn, matter: Matter, comment: str) -> None:
    turn.emit(
        e.MatterAcked(
            at=turn.now,
            matter=matter.key,
            by=turn.actor,
            channel=turn.channel,
            until=turn.now + ACK_LAPSES,
            comment=comment,
            life=matter.life,
        )
    )
