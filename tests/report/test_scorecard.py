"""The scorecard against rollbacks that are told one by one, and against its definition."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from msgspec.structs import replace
from tests.journals.examples import example

from rollbackd.core import events as e
from rollbackd.core.model import EvidenceKind
from rollbackd.core.record import Fact
from rollbackd.core.state import End
from rollbackd.journal.codec import CODEC
from rollbackd.report.scorecard import DAY, KINDS, NO_REHEARSALS, Score, Tally

MINUTE = 60_000
START = 20_000 * DAY
NOW = START + 89 * DAY + DAY // 2

OPENED: Any = example(e.LifeOpened)
BEGAN: Any = example(e.RollbackBegan)
WIDENED: Any = example(e.ScopeWidened)


class Book:
    """Writes lives down as the daemon would."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self._seq = count(1)
        self._lives = count(1)

    def tell(self, at: int, *events: Any) -> None:
        for event in events:
            said = CODEC.encode(replace(event, at=at))
            if said.kind in KINDS:
                self.facts.append(Fact(next(self._seq), at, said.kind, said.life or "", said.body))

    def life(
        self,
        day: float,
        end: End = "verified",
        *,
        took: int = 5 * MINUTE,
        services: tuple[str, ...] = ("api",),
        by: str = "rollbackd",
        approved: bool = False,
        breached: bool = False,
        began: bool = True,
        widened: tuple[str, ...] = (),
        trigger: str = "errors",
        resolved: int | None = None,
    ) -> str:
        """It ends at the `day` since the beginning; `resolved`: so long after its end."""
        life, ended = f"api-{next(self._lives)}", START + int(day * DAY)
        decided = ended - took
        plan = replace(BEGAN.plan, name="api", services=services, hash="h1")
        firing = replace(BEGAN.firings[0], trigger=trigger)
        self.tell(decided - 1, replace(OPENED, life=life, by=by))
        if approved:
            self.tell(decided, e.LifeApproved(at=0, life=life, by="ann", channel="unix", reasons=()))
        if began:
            began_ = replace(BEGAN, life=life, plan=plan, decided=decided, firings=(firing, firing))
            self.tell(decided, began_)
        if widened:
            self.tell(decided, replace(WIDENED, life=life, plan=replace(plan, services=widened)))
        if breached:
            self.tell(decided, e.SlaBreached(at=0, life=life, sla=1, consequence=""))
        if end == "verified":
            self.tell(ended, e.RollbackVerified(at=0, life=life))
        self.tell(ended + (end == "verified") * MINUTE, e.LifeEnded(at=0, life=life, end=end))
        if resolved is not None:
            said = e.LifeResolved(at=0, life=life, by="bo", channel="unix", approach="", description="")
            self.tell(ended + resolved, said)
        return life

    def shown(self, day: float, evidence: EvidenceKind = "rehearsal", plan_hash: str = "h1") -> None:
        added = e.EvidenceAdded(
            at=0, plan="api", plan_hash=plan_hash, evidence=evidence, said_by="bo", by="ann", channel="unix"
        )
        self.tell(START + int(day * DAY), added)

    def score(self, days: int = 90, now: int = NOW, service: str | None = None) -> Score:
        folded = Tally()
        folded.fold(self.facts)
        return folded.scorecard(now, days, service).all


@pytest.fixture
def book() -> Book:
    return Book()


def verdicts(score: Score) -> dict[str, tuple[int | None, int, str]]:
    return {name: (share.hits, share.of, share.verdict) for name, share in score.shares.items()}


def test_nothing_is_unknown_and_never_zero(book: Book) -> None:
    score = book.score()
    assert {share.share for share in score.shares.values()} == {None}
    assert {share.verdict for share in score.shares.values()} == {"unknown"}
    assert (score.seconds.average, score.seconds.p95, score.per_week) == (None, None, 0)


def test_what_counts_as_what(book: Book) -> None:
    for _ in range(16):
        book.life(89)
    book.life(89, breached=True)
    book.life(89, by="ann")
    book.life(89, approved=True)
    book.life(89, "failed", resolved=MINUTE)
    for end in ("stood_down", "vetoed", "expired", "shadowed"):
        book.life(89, end, began=False)
    book.life(89, "stood_down")  # began, and its first step came too late: nothing was undone
    score = book.score()
    assert verdicts(score) == {
        "sla_met": (18, 20, "missed"),
        "success": (19, 20, "met"),
        "automated": (18, 20, "met"),
        "rehearsed": (None, 20, "unknown"),
    }
    assert score.shares["rehearsed"].why == NO_REHEARSALS
    assert score.rollbacks == 20
    assert score.triggers == {"errors": 20}


JUDGED = {
    "too_few": [(1, 0), (2, 0), (19, 0), (18, 1)],
    "missed": [(0, 2), (18, 2), (8, 2), (94, 6)],
    "met": [(20, 0), (19, 1), (95, 5)],
}


@pytest.mark.parametrize(
    ("hits", "misses", "verdict"), [(*each, verdict) for verdict, told in JUDGED.items() for each in told]
)
def test_few_are_not_judged(book: Book, hits: int, misses: int, verdict: str) -> None:
    for _ in range(hits):
        book.life(89)
    for _ in range(misses):
        book.life(89, "failed", resolved=0)
    share = book.score().shares["success"]
    assert (share.hits, share.of, share.verdict) == (hits, hits + misses, verdict)
    if verdict == "too_few":
        assert share.why == f"{hits} of {hits + misses}: too few to judge"


@pytest.mark.parametrize(
    ("end", "resolved", "incidents", "unresolved"),
    [
        ("failed", 30 * MINUTE, 0, 0),
        ("failed", 30 * MINUTE + 1, 1, 0),
        ("unverified", 90 * MINUTE, 1, 0),
        ("aborted", None, 1, 1),
        ("verified", None, 0, 0),
    ],
)
def test_an_incident_is_a_bad_end_that_nobody_resolved_in_time(
    book: Book, end: End, resolved: int | None, incidents: int, unresolved: int
) -> None:
    book.life(80, end, resolved=resolved)
    score = book.score()
    assert (score.incidents, score.unresolved) == (incidents, unresolved)


def test_a_bad_end_of_just_now_is_no_incident_yet(book: Book) -> None:
    book.life(89.5, "failed")
    score = book.score()
    assert (score.incidents, score.unresolved) == (0, 1)
    assert book.score(now=NOW + 31 * MINUTE).incidents == 1


def test_days_are_todays_and_those_before(book: Book) -> None:
    for day in range(90):
        book.life(day + 0.25)
    assert [book.score(days).rollbacks for days in (1, 7, 30, 90)] == [1, 7, 30, 90]
    assert book.score(7).per_week == 7
    assert book.score(90, now=NOW + 200 * DAY).rollbacks == 0


def test_a_young_record_is_not_averaged_over_days_without_one(book: Book) -> None:
    book.life(83)
    folded = Tally()
    folded.fold(book.facts)
    card = folded.scorecard(NOW, 90)
    assert (card.recorded, card.all.per_week) == (8, round(7 / 8, 2))  # it began just before that midnight


def test_each_service_has_its_own_and_all_counts_once(book: Book) -> None:
    book.life(89, services=("api", "web"), took=MINUTE)
    book.life(89, "failed", services=("db",), took=3 * MINUTE, trigger="lag", resolved=0)
    book.life(89, services=("db",), widened=("db", "web"), took=2 * MINUTE)
    folded = Tally()
    folded.fold(book.facts)
    card = folded.scorecard(NOW, 7)
    assert {score.service: score.rollbacks for score in card.services} == {"api": 1, "db": 2, "web": 2}
    assert (card.all.service, card.all.rollbacks, card.all.seconds.average) == (None, 3, 120)
    one = folded.scorecard(NOW, 7, "db")
    assert (one.all.service, one.all.rollbacks, one.all.triggers) == ("db", 2, {"errors": 1, "lag": 1})
    assert [score.service for score in one.services] == ["db"]
    assert folded.scorecard(NOW, 7, "nobody").all.rollbacks == 0
    assert folded.services() == {"api", "web", "db"}


def test_times_are_those_of_the_slas_clock(book: Book) -> None:
    for each in range(1, 101):
        book.life(89, took=each * 1_000)
    seconds = book.score().seconds
    assert (seconds.average, seconds.p95) == (50.5, 95)


@pytest.mark.parametrize(
    ("evidence", "day", "of_plan", "hits", "of", "verdict"),
    [
        ("rehearsal", 1, "h1", 2, 2, "met"),
        ("rehearsal", 88.5, "h1", 1, 1, "met"),  # of the first nothing was known then
        ("rehearsal", 1, "h2", 0, 2, "missed"),
        ("staging", 1, "h1", None, 2, "unknown"),
    ],
)
def test_rehearsals_are_those_on_record_of_the_plan_as_it_was(
    book: Book, evidence: EvidenceKind, day: float, of_plan: str, hits: int | None, of: int, verdict: str
) -> None:
    if day < 2:
        book.shown(day, evidence, of_plan)
    book.life(88)
    if day >= 2:
        book.shown(day, evidence, of_plan)
    book.life(89)
    assert verdicts(book.score())["rehearsed"] == (hits, of, verdict)


def test_memory_does_not_grow_with_rollbacks() -> None:
    tally = Tally(days=30)

    def lives() -> Iterator[Fact]:
        book = Book()
        for number in range(2_000):
            book.life(number / 10, took=number * 37, resolved=0)
            yield from book.facts
            book.facts.clear()

    tally.fold(lives())
    assert len(tally._days) == 30
    assert tally._open == {}
    assert all(cell.ended <= 10 for cells in tally._days.values() for cell in cells.values())


def test_folding_goes_on_where_it_was(book: Book) -> None:
    for day in range(80, 90):
        book.life(day, "failed" if day % 3 else "verified", resolved=day * MINUTE)
    whole, piecemeal = Tally(), Tally()
    whole.fold(book.facts)
    for fact in book.facts:
        piecemeal.fold([fact])
    assert piecemeal.upto == whole.upto == book.facts[-1].seq
    assert piecemeal.scorecard(NOW, 30) == whole.scorecard(NOW, 30)
