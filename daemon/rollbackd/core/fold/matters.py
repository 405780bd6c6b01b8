"""Matters, and the pages that were promised for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from rollbackd.core import events as e
from rollbackd.core.fold.lives import close_lives
from rollbackd.core.fold.mapping import drop, put
from rollbackd.core.state import Acked, Delivery, Matter, PageState

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollbackd.core.state import State


def _matter_opened(state: State, event: e.MatterOpened) -> State:
    matter = Matter(
        key=event.matter,
        kind=event.matter_kind,
        cause=event.cause,
        title=event.title,
        text=event.text,
        ladder=event.ladder,
        labels=event.labels,
        annotations=event.annotations,
        opened=event.at,
        life=event.life,
        plan=event.plan,
        trigger=event.trigger,
    )
    return replace(state, matters=put(state.matters, matter.key, matter))


def _matter(state: State, event: e.MatterChanged | e.RungReached | e.MatterAcked | e.MatterResolved) -> State:
    matter = state.matters.get(event.matter)
    if matter is None:
        return state
    match event:
        case e.MatterChanged():
            state = replace(state, pages=_told_it_is_over(state, matter, f"now: {event.title}"))
            matter = replace(
                matter,
                cause=event.cause,
                title=event.title,
                text=event.text,
                opened=event.at,
                changes=matter.changes + 1,
                rung=0,
                last_paged=(),
                acked=None,
            )
        case e.RungReached():
            before = (*matter.last_paged, *(0 for _ in range(len(matter.last_paged), event.rung)))
            paged = (*before[: event.rung], event.at, *before[event.rung + 1 :])
            matter = replace(matter, rung=max(matter.rung, event.rung + 1), last_paged=paged)
        case e.MatterAcked():
            matter = replace(matter, acked=Acked(event.by, event.channel, event.at, event.until))
        case e.MatterResolved():
            return _resolved(state, matter, event.why)
    return replace(state, matters=put(state.matters, matter.key, matter))


def _resolved(state: State, matter: Matter, why: str) -> State:
    pages = _told_it_is_over(state, matter, why)
    return close_lives(replace(state, matters=drop(state.matters, matter.key), pages=pages))


def _told_it_is_over(state: State, matter: Matter, why: str) -> dict[str, PageState]:
    """The pages, where whoever accepted one of this matter's is owed its end; the others need not be
    sent any more."""
    pages: dict[str, PageState] = {}
    for page in state.pages.values():
        if page.matter != matter.key:
            pages[page.id] = page
            continue
        if page.status == "resolved":
            pages[page.id] = page
        elif reached := page.reached():
            owed = tuple(map(Delivery, reached))
            title = f"resolved: {page.title}"
            pages[page.id] = replace(page, status="resolved", title=title, text=why, deliveries=owed, told=())
    return pages


def _page_promised(state: State, event: e.PagePromised) -> State:
    before = state.pages.get(event.page)
    reached = before.reached() if before is not None else ()
    page = PageState(
        id=event.page,
        matter=event.matter,
        kind=event.page_kind,
        status="firing",
        alert=event.alert,
        dedup=event.dedup,
        title=event.title,
        text=event.text,
        labels=event.labels,
        annotations=event.annotations,
        at=event.at,
        deliveries=tuple(Delivery(receiver, reached=receiver in reached) for receiver in event.receivers),
        life=event.life,
        told=tuple(receiver for receiver in reached if receiver not in event.receivers),
    )
    return replace(state, pages=put(state.pages, page.id, page))


def _page_answered(state: State, event: e.PageDelivered | e.PageRefused) -> State:
    page = state.pages.get(event.page)
    if page is None:
        return state
    deliveries = []
    for delivery in page.deliveries:
        if delivery.receiver == event.receiver:
            if isinstance(event, e.PageDelivered):
                delivery = replace(
                    delivery, status="accepted", reached=True, again=None, tries=delivery.tries + 1
                )
            else:
                delivery = replace(
                    delivery,
                    status="owed" if event.again is not None else "refused",
                    again=event.again,
                    tries=delivery.tries + 1,
                    detail=event.detail,
                )
        deliveries.append(delivery)
    if isinstance(event, e.PageRefused):
        deliveries += [Delivery(receiver) for receiver in event.next]
    page = replace(page, deliveries=tuple(deliveries))
    over = page.kind == "tell" or page.status == "resolved"
    if over and all(delivery.status != "owed" for delivery in deliveries):
        return replace(state, pages=drop(state.pages, page.id))
    return replace(state, pages=put(state.pages, page.id, page))


HANDLERS: dict[type[e.Event], Callable[..., State]] = {
    e.MatterOpened: _matter_opened,
    e.MatterChanged: _matter,
    e.RungReached: _matter,
    e.MatterAcked: _matter,
    e.MatterResolved: _matter,
    e.PagePromised: _page_promised,
    e.PageDelivered: _page_answered,
    e.PageRefused: _page_answered,
}
