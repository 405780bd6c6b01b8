"""The record itself: nothing durable is lost, and time never runs backwards (J1, T1, I12, I15)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.sim.audit.book import Noun
from rollbackd.sim.tape import Appended, Finished, Reloaded

if TYPE_CHECKING:
    from rollbackd.sim.audit.book import Book, Doc
    from rollbackd.sim.tape import Ms


class Journal(Noun):
    def __init__(self, book: Book) -> None:
        super().__init__(book)
        self._seq: int | None = None
        self._batch = 0
        self._at: Ms = 0
        self._steady: Ms = 0
        self._hashes: set[str] = set()
        self._counted: set[str] | None = None
        self.records = {Appended: self._appended, Finished: self._finished, Reloaded: self._reloaded}
        self.rows = {"configuration_loaded": self._loaded, "configuration_refused": self._refused}

    def _appended(self, record: Appended) -> None:
        demand = self.book.demand
        demand("J1", bool(record.rows), "batch", record.batch, "is empty")
        for row in record.rows:
            expected = row.seq if self._seq is None else self._seq + 1
            demand("J1", row.seq == expected, "row", row.seq, "follows", self._seq)
            self._seq = row.seq
            document = row.document
            same = document["kind"] == row.kind and document.get("life") == row.life
            demand("J1", same, "row", row.seq, "is filed as", row.kind, row.life)
            at = document["at"]
            demand("T1", self._at <= at, "row", row.seq, "of", at, "comes after", self._at)
            self._at = at
        demand("J1", record.batch > self._batch, "batch", record.batch, "follows", self._batch)
        self._batch = record.batch
        demand("T1", self._at <= record.steady, "batch", record.batch, "is stamped before it was decided")
        demand("T1", self._steady <= record.steady, "steady time runs backwards to", record.steady)
        self._steady = record.steady
        moments = {row.document["at"] for row in record.rows}
        demand("J1", len(moments) == 1, "batch", record.batch, "is of several moments")

    def _finished(self, record: Finished) -> None:
        self.book.demand("I12", record.state == record.folded, "the journal does not give the state")

    def _reloaded(self, record: Reloaded) -> None:
        if record.hash:
            self._hashes.add(record.hash)

    def _loaded(self, document: Doc) -> None:
        """Only files that were read may come into force (I15)."""
        known = self.book.config
        same = known is not None and known["hash"] == document["config"]["hash"]
        self.book.demand("I15", not same or self.book.finish_only, "loads the same configuration again")
        if self._hashes and known is not None and self.book.started:
            read = document["config"]["hash"] in self._hashes
            self.book.demand("I15", read, "loads files that were not read")

    def _refused(self, document: Doc) -> None:
        self.book.demand("I15", bool(document["problem"]), "refuses files without a reason")
