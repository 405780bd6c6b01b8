"""What follows an end: what it cost is asked once (S5), and its report is written (E6)."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from rollbackd.sim.audit.book import Noun
from rollbackd.sim.tape import FaultsOver, Finished

if TYPE_CHECKING:
    from rollbackd.sim.audit.book import Book, Doc, Life
    from rollbackd.sim.tape import Ms

SETTLES: Ms = 600_000
"""So long after the faults whatever an end calls for is done."""


class Afterwards(Noun):
    def __init__(self, book: Book) -> None:
        super().__init__(book)
        self._owed: dict[str, int] = {}
        self._over: Ms | None = None
        self.rows = {
            "life_ended": self._ended,
            "life_resolved": self._owes,
            "validation_ended": self._owes,
            "impact_measured": self._measured,
            "report_written": self._written,
        }
        self.records = {FaultsOver: self._faults_over, Finished: self._finished}

    def _ended(self, document: Doc) -> None:
        if document["end"] != "superseded":
            self._owes(document)

    def _owes(self, document: Doc) -> None:
        self._owed[document["life"]] = self._owed.get(document["life"], 0) + 1

    def _measured(self, document: Doc) -> None:
        demand, life = self.book.demand, self.book.lives.get(document["life"])
        demand(
            "S5", life is not None and life.to_measure(), document["life"], "is measured, and was not to be"
        )
        if life is None:
            return
        for query, found in zip(life.plan["impact"], document["found"], strict=True):
            demand("S5", query["name"] == found["name"], life.id, "measured", found["name"], "out of turn")
            demand(
                "S5", found["value"] == _answer(life, query["name"]), life.id, "says of it", found["value"]
            )
        self._owes(document)

    def _written(self, document: Doc) -> None:
        owed = self._owed.pop(document["life"], None)
        said = document["number"]
        self.book.demand("E6", owed == said, document["life"], "wrote report", said, "and owed", owed)

    def _faults_over(self, record: FaultsOver) -> None:
        self._over = record.at

    def _finished(self, record: Finished) -> None:
        if self._over is not None and record.at - self._over >= SETTLES:
            self.book.demand("E6", not self._owed, *self._owed, "still to be written")


def _answer(life: Life, name: str) -> float | None:
    """What its query was answered; None: nothing, or no number."""
    said = life.checks.get(f"impact/{name}")
    if said is None or said["answer"] != "pass":
        return None
    value = float(said.get("output", "nan"))
    return value if isfinite(value) else None
