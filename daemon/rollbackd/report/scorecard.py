"""How rollbacks have gone: kept by day and service, judged against what the plans system asks for.

A day is one of UTC. A rollback is a life that began; it counts on the day it ended.

    SLA met       verified, and no SLA breached, of all that ended
    success       verified, of all that ended
    automated     fired by triggers and begun without anybody's approval, of all that ended
    rehearsed     whose plan, as it was, had been rehearsed by the decision (P1); unknown where there was no
                  rehearsal of any plan on record yet
    incidents     that ended failed, unverified or aborted and that nobody resolved within `RESOLVED_WITHIN`
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct

from rollbackd.core import events as e
from rollbackd.core.model import Ms
from rollbackd.core.state import AUTOMATIC, BAD_ENDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rollbackd.core.record import Fact

DAY: Ms = 86_400_000
RESOLVED_WITHIN: Ms = 30 * 60_000
"""The ladder's last level begins then: a full response to an incident."""

WINDOWS = (7, 30, 90)
"""Days."""

MOST_TRIGGERS = 5
_DIGITS = 3  # of a duration: what is kept of it, so that memory does not grow with rollbacks

Name = Literal["sla_met", "success", "automated", "rehearsed"]
TARGETS: dict[Name, float] = {"sla_met": 0.95, "success": 0.95, "automated": 0.8, "rehearsed": 1.0}
NO_REHEARSALS = "no rehearsal is on record"


class Share(Struct, frozen=True):
    """`share` is None where `why` says why. Of too few a single miss would miss the target."""

    of: int
    hits: int | None
    share: float | None
    target: float
    verdict: Literal["met", "missed", "too_few", "unknown"]
    why: str = ""


class Times(Struct, frozen=True):
    """From the decision to verified or the end (S1), in seconds, to three digits. None: of no rollback."""

    average: float | None
    p95: float | None


class Score(Struct, frozen=True):
    """One service's, or all. `per_week`: how often it was rolled back, over the days there is a record of."""

    service: str | None
    rollbacks: int
    per_week: float
    shares: dict[Name, Share]
    incidents: int
    unresolved: int
    seconds: Times
    triggers: dict[str, int]


class Scorecard(Struct, frozen=True):
    """`recorded` of the `days` have a record."""

    days: int
    since: Ms
    recorded: int
    all: Score
    services: tuple[Score, ...]


# What is read of the rows: a tenth of the time that the whole events would take


class _Plan(Struct):
    name: str
    services: tuple[str, ...] = ()
    hash: str = ""


class _Firing(Struct):
    trigger: str


class _Opened(Struct):
    by: str


class _Began(Struct):
    plan: _Plan
    decided: Ms
    firings: tuple[_Firing, ...] = ()


class _Widened(Struct):
    plan: _Plan


class _At(Struct):
    at: Ms


class _Shown(Struct):
    at: Ms
    plan_hash: str
    evidence: str


class _Ended(Struct):
    at: Ms
    end: str


_READ: dict[str, msgspec.json.Decoder[_Opened | _At | _Began | _Widened | _Ended | _Shown]] = {
    e.EvidenceAdded.kind(): msgspec.json.Decoder(_Shown),
    e.LifeOpened.kind(): msgspec.json.Decoder(_Opened),
    e.LifeApproved.kind(): msgspec.json.Decoder(_At),
    e.RollbackBegan.kind(): msgspec.json.Decoder(_Began),
    e.ScopeWidened.kind(): msgspec.json.Decoder(_Widened),
    e.RollbackVerified.kind(): msgspec.json.Decoder(_At),
    e.SlaBreached.kind(): msgspec.json.Decoder(_At),
    e.LifeEnded.kind(): msgspec.json.Decoder(_Ended),
    e.LifeResolved.kind(): msgspec.json.Decoder(_At),
}
KINDS: tuple[str, ...] = tuple(_READ)
"""The rows that count; no other need be read."""


class _Life(Struct):
    """An open life, as far as it counts."""

    by: str = AUTOMATIC
    approved: bool = False
    plan: _Plan | None = None
    decided: Ms = 0
    verified: Ms | None = None
    breached: bool = False
    triggers: tuple[str, ...] = ()


class _Cell(Struct):
    """One day of one service."""

    ended: int = 0
    verified: int = 0
    met: int = 0
    automated: int = 0
    rehearsed: int = 0
    rehearsal_unknown: int = 0
    incidents: int = 0
    times: Counter[int] = msgspec.field(default_factory=Counter)
    triggers: Counter[str] = msgspec.field(default_factory=Counter)

    def add(self, other: _Cell) -> None:
        self.ended += other.ended
        self.verified += other.verified
        self.met += other.met
        self.automated += other.automated
        self.rehearsed += other.rehearsed
        self.rehearsal_unknown += other.rehearsal_unknown
        self.incidents += other.incidents
        self.times.update(other.times)
        self.triggers.update(other.triggers)


class _Bad(Struct):
    """A rollback that ended badly and waits for `resolve`."""

    services: tuple[str, ...]
    ended: Ms


ALL = ""
"""In place of a service: all rollbacks, each once, however many services it held."""


class Tally:
    """Folds facts in the order of the journal. Memory grows with days, services, triggers and what is open,
    never with rollbacks. `days`: how many are kept."""

    def __init__(self, days: int = 366) -> None:
        self._rehearsed: dict[str, Ms] = {}  # a plan's hash → when that was first put on record
        self._kept = days
        self._days: dict[int, dict[str, _Cell]] = {}
        self._open: dict[str, _Life] = {}
        self._bad: dict[str, _Bad] = {}
        self.upto = 0  # the last row that was folded
        self._first: Ms | None = None

    def fold(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            self.upto = fact.seq
            if self._first is None:
                self._first = fact.at
            said = _READ[fact.kind].decode(fact.body)
            if isinstance(said, _Shown):
                if said.evidence == "rehearsal":
                    self._rehearsed.setdefault(said.plan_hash, said.at)
                continue
            if isinstance(said, _Opened):
                self._open[fact.life] = _Life(by=said.by)
                continue
            if isinstance(said, _At) and fact.kind == e.LifeResolved.kind():
                self._resolved(fact.life, said.at)
            life = self._open.get(fact.life)
            if life is not None:
                self._follow(fact, life, said)

    def _follow(self, fact: Fact, life: _Life, said: object) -> None:
        match said:
            case _Began():
                life.plan, life.decided = said.plan, said.decided
                life.triggers = tuple(dict.fromkeys(firing.trigger for firing in said.firings))
            case _Widened():
                life.plan = said.plan
            case _Ended():
                del self._open[fact.life]
                self._ended(fact.life, life, said)
            case _At() if fact.kind == e.LifeApproved.kind():
                life.approved = True
            case _At() if fact.kind == e.RollbackVerified.kind():
                life.verified = said.at
            case _At() if fact.kind == e.SlaBreached.kind():
                life.breached = True

    def _ended(self, name: str, life: _Life, said: _Ended) -> None:
        plan = life.plan
        if plan is None or said.end not in (*BAD_ENDS, "verified"):
            return
        verified = said.end == "verified"
        until = life.verified if life.verified is not None else said.at
        shown = self._rehearsed.get(plan.hash)
        cell = _Cell(
            ended=1,
            verified=verified,
            met=verified and not life.breached,
            automated=life.by == AUTOMATIC and not life.approved,
            rehearsed=shown is not None and shown <= life.decided,
            rehearsal_unknown=not self._rehearsed,
            times=Counter((_rounded(until - life.decided),)),
            triggers=Counter(life.triggers),
        )
        for service in (ALL, *plan.services):
            self._cell(said.at, service).add(cell)
        if not verified:
            self._bad[name] = _Bad((ALL, *plan.services), said.at)

    def _resolved(self, name: str, at: Ms) -> None:
        bad = self._bad.pop(name, None)
        if bad is not None and at - bad.ended > RESOLVED_WITHIN:
            for service in bad.services:
                self._cell(bad.ended, service).incidents += 1

    def _cell(self, at: Ms, service: str) -> _Cell:
        day = at // DAY
        if day not in self._days:
            self._days[day] = {}
            for old in [known for known in self._days if known <= day - self._kept]:
                del self._days[old]
        return self._days[day].setdefault(service, _Cell())

    # What it comes to

    def scorecard(self, now: Ms, days: int, service: str | None = None) -> Scorecard:
        """Of today and the days before it, `days` in all; of every service, or of one."""
        first = now // DAY - days + 1
        cells: dict[str, _Cell] = {ALL: _Cell()}
        for day, found in self._days.items():
            if first <= day <= now // DAY:
                for name, cell in found.items():
                    cells.setdefault(name, _Cell()).add(cell)
        recorded = days if self._first is None else min(days, now // DAY - self._first // DAY + 1)
        names = sorted(name for name in cells if name != ALL and service in (None, name))
        if service is not None and service not in cells:
            names = [service]

        def score(name: str) -> Score:
            pending = self._pending(name, first, now)
            return _score(name, cells.get(name) or _Cell(), pending, recorded)

        return Scorecard(days, first * DAY, recorded, score(service or ALL), tuple(map(score, names)))

    def services(self) -> set[str]:
        return {name for cells in self._days.values() for name in cells} - {ALL}

    def _pending(self, service: str, first: int, now: Ms) -> tuple[int, int]:
        """Bad ends that nobody has resolved: how many, and how many of them for too long."""
        found = [bad for bad in self._bad.values() if service in bad.services and bad.ended // DAY >= first]
        return len(found), sum(now - bad.ended > RESOLVED_WITHIN for bad in found)


def _score(name: str, cell: _Cell, pending: tuple[int, int], recorded: int) -> Score:
    known = cell.ended - cell.rehearsal_unknown
    shares: dict[Name, Share] = {
        "sla_met": _share(cell.met, cell.ended, TARGETS["sla_met"]),
        "success": _share(cell.verified, cell.ended, TARGETS["success"]),
        "automated": _share(cell.automated, cell.ended, TARGETS["automated"]),
        "rehearsed": _share(cell.rehearsed, known, TARGETS["rehearsed"])
        if known
        else Share(cell.ended, None, None, TARGETS["rehearsed"], "unknown", NO_REHEARSALS),
    }
    return Score(
        service=name or None,
        rollbacks=cell.ended,
        per_week=round(cell.ended * 7 / max(recorded, 1), 2),
        shares=shares,
        incidents=cell.incidents + pending[1],
        unresolved=pending[0],
        seconds=_times(cell.times),
        triggers=dict(sorted(cell.triggers.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_TRIGGERS]),
    )


def _share(hits: int, of: int, target: float) -> Share:
    """Too few: where a single miss would be one too many, hits prove nothing yet."""
    if not of:
        return Share(0, 0, None, target, "unknown", "there was no rollback")
    share = hits / of
    if share < target and hits < of - 1:
        return Share(of, hits, share, target, "missed")
    if of * (1 - target) < 1 - 1e-9 and target < 1:
        return Share(of, hits, share, target, "too_few", f"{hits} of {of}: too few to judge")
    return Share(of, hits, share, target, "met" if share >= target else "missed")


def _rounded(duration: Ms) -> int:
    digits = len(str(max(duration, 0)))
    return round(max(duration, 0), _DIGITS - digits) if digits > _DIGITS else max(duration, 0)


def _times(times: Counter[int]) -> Times:
    count = times.total()
    if not count:
        return Times(None, None)
    rank = -(-count * 95 // 100)  # the nearest-rank percentile
    for duration in sorted(times):
        rank -= times[duration]
        if rank <= 0:
            break
    average = sum(duration * how_often for duration, how_often in times.items()) / count
    return Times(round(average / 1000, 3), duration / 1000)
