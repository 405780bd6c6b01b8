"""What came of one cell, read off its evidence. The same for every peer; knows nothing of any of them.

Times are seconds of one wall clock. A *run* is one execution of one step. The service is *ill* from the
breach until the step that reverts it ends well, or until the breach goes by itself: what the metric still
shows after that is an echo, and a rollback begun on it is begun on stale facts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

STEPS = ("drain", "revert", "restore")


@dataclass(frozen=True)
class Run:
    """`ended`: None if a process of it lived when the cell was over. `ok`: it ended by itself, with 0."""

    step: str
    began: float
    ended: float | None
    ok: bool


@dataclass(frozen=True)
class Evidence:
    """`due`: the steps that had to end well. `fault`: when the situation did its harm, if it did."""

    runs: Sequence[Run]
    ill: Sequence[tuple[float, float | None]]
    pages: Sequence[float]
    due: Sequence[str]
    fault: float | None


@dataclass(frozen=True)
class Verdict:
    """`told`: `not owed`, `paged`, `only of the breach` (before the harm, never after it) or `silent`."""

    starts: dict[str, int]
    overlaps: int
    lost: tuple[str, ...]
    stale: int
    left: int
    told: str
    pages: int

    @property
    def faults(self) -> list[str]:
        """In words, worst first; none where the cell is as it should be."""
        twice = [f"{step} {count}×" for step, count in self.starts.items() if count > 1]
        return [
            *([f"acted on stale facts {self.stale}×"] if self.stale else []),
            *twice,
            *([f"{self.overlaps} overlaps"] if self.overlaps else []),
            *([f"lost {', '.join(self.lost)}"] if self.lost else []),
            *([f"{self.left} left running"] if self.left else []),
            *([f"told {self.told}" if " " in self.told else self.told] if self._untold else []),
        ]

    @property
    def _untold(self) -> bool:
        return self.told not in ("paged", "not owed")


def judge(evidence: Evidence) -> Verdict:
    runs = sorted(evidence.runs, key=lambda run: run.began)
    started = Counter(run.step for run in runs)
    done = {run.step for run in runs if run.ok}
    lost = tuple(step for step in evidence.due if step not in done)
    return Verdict(
        starts={step: started[step] for step in STEPS},
        overlaps=sum(_overlap(one, other) for one, other in combinations(runs, 2)),
        lost=lost,
        stale=sum(run.step == STEPS[0] and not _ill(evidence, run.began) for run in runs),
        left=sum(run.ended is None for run in runs),
        told=_told(evidence, owed=bool(lost) or not all(run.ok for run in runs)),
        pages=len(evidence.pages),
    )


def _overlap(first: Run, second: Run) -> bool:
    """`first` began no later than `second`."""
    return first.ended is None or second.began < first.ended


def _ill(evidence: Evidence, at: float) -> bool:
    return any(begin <= at and (end is None or at < end) for begin, end in evidence.ill)


def _told(evidence: Evidence, *, owed: bool) -> str:
    """Owed is a page wherever the rollback did not go as it should, and it counts once that can be known."""
    if not owed:
        return "not owed"
    if any(evidence.fault is None or page >= evidence.fault for page in evidence.pages):
        return "paged"
    return "only of the breach" if evidence.pages else "silent"
