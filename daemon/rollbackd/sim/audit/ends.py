"""The end of the tape: every life ended or is paged, and no page is owed (I6, I14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.sim.audit.book import Noun
from rollbackd.sim.tape import Delivered, FaultsOver, Finished

if TYPE_CHECKING:
    from rollbackd.sim.audit.book import Book
    from rollbackd.sim.audit.ladder import Ladder
    from rollbackd.sim.tape import Ms

LAST_TRIES: Ms = 600_000
"""So long after the faults every page was tried again at least once, since five minutes pass at most."""


class Ends(Noun):
    def __init__(self, book: Book, ladder: Ladder) -> None:
        super().__init__(book)
        self.ladder = ladder
        self._over: Ms | None = None
        self._reached: dict[str, Ms] = {}  # page → when somebody really got it last
        self.records = {FaultsOver: self._faults_over, Delivered: self._delivered, Finished: self._finished}

    def _faults_over(self, record: FaultsOver) -> None:
        self._over = record.at

    def _delivered(self, record: Delivered) -> None:
        if record.status == "firing":
            self._reached[record.page] = record.at

    def _finished(self, record: Finished) -> None:
        if self._over is None or record.at - self._over < LAST_TRIES:
            return
        for page, receiver, delivery in self.ladder.owed():
            settled = page.status == "resolved" or page.kind == "tell" or bool(page.reached())
            fresh = record.steady - page.at < LAST_TRIES or delivery.tries > 0
            self.book.demand("I6", settled or fresh, page.id, "is still owed to", receiver)
        for life in self.book.lives.values():
            if life.ended is None and life.held is None:
                self.book.demand("I14", self._paged(life.id), life.id, "is", life.state, "and pages nobody")

    def _paged(self, life: str) -> bool:
        """Somebody got a page of an open matter about it."""
        about = [key for key, known in self.book.matters.items() if known.get("life") == life]
        return any(page in self._reached for key in about for page in self.ladder.matters[key].pages)
