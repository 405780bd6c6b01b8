"""The record itself: nothing durable is lost, and time never runs backwards (J1, T1, I12, I15)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.sim.audit.book import Noun
from rollbackd.sim.tape import Appended, Booted, Died, Finished, Halted, Refused, Reloaded, Tampered

if TYPE_CHECKING:
    from rollbackd.sim.audit.book import Book, Doc
    from rollbackd.sim.tape import Ms


SLOW: Ms = 2_500
"""An append that takes so long must have been told of; the daemon's own limit is two seconds."""


class Journal(Noun):
    def __init__(self, book: Book) -> None:
        super().__init__(book)
        self._seq: int | None = None
        self._batch = 0
        self._at: Ms = 0
        self._steady: Ms = 0
        self._hashes: set[str] = set()
        self._unwritable = self._halted = False
        self.records = {
            Appended: self._appended,
            Finished: self._finished,
            Reloaded: self._reloaded,
            Refused: self._full,
            Halted: self._told_so,
            Tampered: self._tampered,
            Booted: self._anew,
            Died: self._anew,
        }
        self.rows = {
            "configuration_loaded": self._loaded,
            "configuration_refused": self._refused,
            "journal_recovered": lambda _: self.book.dues.settle(("recovered",)),
            "matter_resolved": lambda d: self.book.dues.settle(("mended", d["matter"])),
        }

    def _anew(self, _: Booted | Died) -> None:
        self._unwritable = self._halted = False
        for what in ("recovered", "load", "mended"):
            self.book.dues.settle_all(what)

    def _full(self, _: Refused) -> None:
        self._unwritable = True

    def _told_so(self, _: Halted) -> None:
        self._halted = True

    def _tampered(self, record: Tampered) -> None:
        self.book.demand("I13", record.found, "a journal is read as whole after:", record.what)

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
        took = record.at + self.book.true - record.steady
        excused = self._halted or self.book.slept
        demand("E5", took < SLOW or excused, "an append took", took, "ms, and nobody is told")
        self.book.slept = False
        demand("E5", self._halted or not self._unwritable, "the journal was full, and nobody is told")
        if self._unwritable:
            self.book.dues.owe(("recovered",), record.steady, "E5")
        self._unwritable = self._halted = False

    def _finished(self, record: Finished) -> None:
        self.book.demand("I12", record.state == record.folded, "the journal does not give the state")

    def _reloaded(self, record: Reloaded) -> None:
        book, dues = self.book, self.book.dues
        dues.settle_all("load")
        dues.settle_all("mended")
        if not record.hash:
            return
        self._hashes.add(record.hash)
        if book.frozen or not book.alive:
            return
        if book.config is None or book.config["hash"] != record.hash or book.finish_only:
            dues.owe(("load", record.hash), book.now, "I15")
        if "configuration/files" in book.matters:
            dues.owe(("mended", "configuration/files"), book.now, "E1")

    def _loaded(self, document: Doc) -> None:
        """Only files that were read may come into force (I15)."""
        known = self.book.config
        self.book.dues.settle(("load", document["config"]["hash"]))
        same = known is not None and known["hash"] == document["config"]["hash"]
        self.book.demand("I15", not same or self.book.finish_only, "loads the same configuration again")
        if self._hashes and known is not None and self.book.started:
            read = document["config"]["hash"] in self._hashes
            self.book.demand("I15", read, "loads files that were not read")

    def _refused(self, document: Doc) -> None:
        self.book.demand("I15", bool(document["problem"]), "refuses files without a reason")
