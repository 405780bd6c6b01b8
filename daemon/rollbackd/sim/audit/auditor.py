"""One tape, judged record by record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollbackd.sim.audit.afterwards import Afterwards
from rollbackd.sim.audit.arming import Arming
from rollbackd.sim.audit.book import Book
from rollbackd.sim.audit.decisions import Decisions
from rollbackd.sim.audit.ends import Ends
from rollbackd.sim.audit.execution import Execution
from rollbackd.sim.audit.fold import Fold
from rollbackd.sim.audit.journal import Journal
from rollbackd.sim.audit.ladder import Ladder
from rollbackd.sim.audit.people import People
from rollbackd.sim.audit.progress import Progress
from rollbackd.sim.audit.proof import Proof
from rollbackd.sim.audit.validation import LookingOn
from rollbackd.sim.audit.watching import Watching
from rollbackd.sim.audit.windows import Windows
from rollbackd.sim.tape import Appended, Booted, Died, Fault, Halted, Refused, Started, Told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rollbackd.sim.audit.book import Handler, Noun
    from rollbackd.sim.tape import Ms, Record

PAGES = frozenset({"page", "keep_alert"})


class Auditor:
    """`see` every record of a tape in order; it raises `Violation` at the first that may not be.

    `asserted` counts how often each rule was looked at: one that never was has not been audited.
    """

    def __init__(self) -> None:
        book = self._book = Book()
        windows, ladder = Windows(book), Ladder(book)
        nouns: tuple[Noun, ...] = (
            Journal(book),
            windows,
            Watching(book, windows),
            Arming(book, windows),
            Decisions(book, windows),
            People(book, windows),
            Execution(book, windows),
            Proof(book, windows),
            ladder,
            Progress(book),
            LookingOn(book),
            Afterwards(book),
            Ends(book, ladder),
            Fold(book),  # the last: whoever judges a row sees what was before it
        )
        self._rows: dict[str, list[Handler]] = {}
        self._records: dict[type, list[Callable[[Any], None]]] = {}
        for noun in nouns:
            for kind, handler in noun.rows.items():
                self._rows.setdefault(kind, []).append(handler)
            for record, judge in noun.records.items():
                self._records.setdefault(record, []).append(judge)
        self._settle = [noun.settle for noun in nouns if "settle" in vars(type(noun))]
        self._first: dict[type, Callable[[Any], None]] = {
            Booted: self._booted,
            Died: self._died,
            Refused: self._unwritable,
            Halted: self._unwritable,
            Appended: self._appended,
            Started: self._started,
            Told: self._told,
            Fault: self._fault,
        }
        self._faults: set[str] = set()
        self._disturbed = False

    @property
    def asserted(self) -> Mapping[str, int]:
        """How often each rule was looked at."""
        return self._book.asserted

    def see(self, record: Record) -> None:
        kind = type(record)
        first = self._first.get(kind)
        if first is not None:
            first(record)
        for judge in self._records.get(kind, ()):
            judge(record)
        if kind is Appended:
            self._fold(record)  # type: ignore[arg-type]

    # Who is up, and can write

    def _booted(self, record: Booted) -> None:
        book = self._book
        book.demand("I2", not book.alive, "a second daemon begins beside the first")
        book.alive, book.writable, book.started, book.frozen = True, True, False, False
        book.skew = 0
        self._moment(record.at, record.steady)
        book.true = book.offset

    def _died(self, record: Died) -> None:
        self._book.alive = False
        self._book.dues.excuse()
        if record.why == "rebooted":
            self._book.running.clear()

    def _unwritable(self, _: Refused | Halted) -> None:
        self._book.writable = False
        self._book.dues.excuse()

    def _fault(self, record: Fault) -> None:
        (self._faults.add if record.on else self._faults.discard)(record.name)
        self._book.slept = self._book.slept or record.name == "suspended"
        self._disturbed = True

    def _moment(self, at: Ms, steady: Ms) -> None:
        book = self._book
        book.now, book.offset = steady, steady - at

    def _look(self, now: Ms) -> None:
        book = self._book
        if book.started and book.writable and book.alive and not book.frozen:
            book.dues.look(now, calm=not self._faults and not self._disturbed)
            self._disturbed = False

    def _told(self, record: Told) -> None:
        self._moment(record.at, record.steady)
        self._book.true = self._book.offset
        self._look(record.steady)

    def _started(self, record: Started) -> None:
        book = self._book
        self._moment(record.at, record.steady)
        book.true = book.offset
        book.demand("I2", book.alive, record.key, "starts, and no daemon runs")
        book.demand(
            "E5", book.writable or record.effect in PAGES, record.key, "starts before the journal has it"
        )
        self._look(record.steady)

    def _appended(self, record: Appended) -> None:
        self._moment(record.at, record.steady)
        self._look(record.rows[0].document["at"] if record.rows else record.steady)
        self._book.writable = True

    def _fold(self, record: Appended) -> None:
        rows = self._rows
        for row in record.rows:
            for handler in rows.get(row.kind, ()):
                handler(row.document)
        if record.rows:
            at = record.rows[-1].document["at"]
            for settle in self._settle:
                settle(at)
            self._book.started = self._book.alive
