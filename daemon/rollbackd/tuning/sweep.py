"""One trigger under many settings, from one fetch of its data."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING

from msgspec import Struct

from rollbackd.core.events import AlignmentLearned
from rollbackd.core.history import History
from rollbackd.core.model import Ms, Trigger
from rollbackd.sim.replay.outcome import Outcome
from rollbackd.sim.replay.replaying import replay
from rollbackd.tuning.axes import Axis, Key, Refused, cells, setting_of, settings, with_setting
from rollbackd.tuning.scoring import EARLY, Incident, Score, score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

__all__ = ["Axis", "Cell", "Key", "Refused", "Sweep", "sweep"]

MOST = 250_000_000
"""Settings × windows × subjects: some minutes on one core, more where nothing is ever well."""

SMALL = 5_000_000
"""So much is done by itself sooner than by processes that have to start first."""

MOST_WORKERS = 8
"""Each has the data: 46 MB for a month of ten subjects."""


class Cell(Struct, frozen=True):
    """One setting. `score`: None where no incidents are known; then every fire is just a fire."""

    values: tuple[str, ...]  # one for each axis
    fires: int
    hidden: int
    longest: int
    score: Score | None
    lead: Ms | None


class Sweep(Struct, frozen=True):
    """`current`: the index of the cell that the file says, where it is one; `knee`: of the one suggested:
    of those that catch anything, the fewest false fires, then the most caught, then the earliest, then the
    fewest windows. None where no incidents are known, or none is caught."""

    axes: tuple[Axis, ...]
    cells: tuple[Cell, ...]  # the last axis varies fastest
    current: int | None
    knee: int | None
    outcome: Outcome  # of the file's own setting


class _Job(Struct, frozen=True):
    """What every cell needs."""

    trigger: Trigger
    stretches: tuple[History, ...]
    axes: tuple[Axis, ...]
    incidents: tuple[Incident, ...] | None
    alignments: tuple[AlignmentLearned, ...]
    early: Ms

    def cell(self, setting: tuple[str, ...]) -> Cell:
        found = self.outcome(with_setting(self.trigger, self.axes, setting))
        known = None if self.incidents is None else score(found, self.incidents, early=self.early)
        return Cell(
            values=setting,
            fires=len(found.fires),
            hidden=len(found.hidden),
            longest=max((subject.longest for subject in found.subjects), default=0),
            score=known,
            lead=None if known is None else known.lead,
        )

    def outcome(self, trigger: Trigger) -> Outcome:
        return replay(trigger, self.stretches, alignments=self.alignments)

    def size(self) -> int:
        """Windows × subjects of all cells."""
        windows, subjects = self._extent()
        return cells(self.axes) * windows * subjects

    def _extent(self) -> tuple[int, int]:
        subjects: dict[str, None] = {}
        for stretch in self.stretches:
            for query, columns in zip(stretch.queries, stretch.columns, strict=True):
                subjects |= dict.fromkeys(columns if query.role != "coverage" else ())
        return sum(len(stretch.ends) for stretch in self.stretches), max(len(subjects), 1)

    def check_size(self) -> None:
        if self.size() <= MOST:
            return
        windows, subjects = self._extent()
        at_most = MOST // (windows * subjects)
        remedy = f"take at most {at_most:,} settings, or a shorter time" if at_most else "take a shorter time"
        raise Refused(
            f"--sweep: {cells(self.axes):,} settings × {windows:,} windows × {subjects:,} subjects are "
            f"{self.size():,} verdicts, more than {MOST:,}; {remedy}"
        )


def sweep(
    trigger: Trigger,
    stretches: Sequence[History],
    axes: Sequence[Axis],
    incidents: Sequence[Incident] | None = None,
    *,
    alignments: Sequence[AlignmentLearned] = (),
    early: Ms = EARLY,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Sweep:
    """Replay `trigger` under every setting of the axes. `progress` is told how many are done; `workers`:
    processes, default one a core. Raises `Refused` where it is too large, or a process was killed."""
    known = None if incidents is None else tuple(incidents)
    job = _Job(trigger, tuple(stretches), tuple(axes), known, tuple(alignments), early)
    job.check_size()
    if workers is None:
        workers = 1 if job.size() < SMALL else min(len(os.sched_getaffinity(0)), MOST_WORKERS)
    told = progress or (lambda _: None)
    found: list[Cell] = []
    with _cells(job, min(workers, cells(axes))) as each:
        outcome = job.outcome(trigger)
        for cell in each:
            found.append(cell)
            told(len(found))
    own = setting_of(trigger, axes)
    current = next((at for at, cell in enumerate(found) if cell.values == own), None)
    return Sweep(job.axes, tuple(found), current, _knee(job, found), outcome)


def _knee(job: _Job, found: Sequence[Cell]) -> int | None:
    """See `Sweep`."""

    def rank(at: int) -> tuple[int, int, Ms, int]:
        cell, windows = found[at], with_setting(job.trigger, job.axes, found[at].values).windows
        known = cell.score
        if known is None or cell.lead is None:
            raise ValueError("nothing is caught")
        return len(known.false), -len(known.caught), -cell.lead, windows

    catching = [at for at, cell in enumerate(found) if cell.lead is not None]
    return min(catching, key=rank, default=None)


@contextmanager
def _cells(job: _Job, workers: int) -> Iterator[Iterator[Cell]]:
    """The cells in order; with more than one worker they are under way already."""
    if workers < 2:
        yield map(job.cell, settings(job.axes))
        return
    # Not fork: whoever shows progress may have threads. The data goes to each worker once, as it starts.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, (job,))
    try:
        futures = [pool.submit(_work, setting) for setting in settings(job.axes)]
        yield _results(futures)
    finally:
        pool.shutdown(cancel_futures=True)


def _results(futures: Sequence[Future[Cell]]) -> Iterator[Cell]:
    try:
        for future in futures:
            yield future.result()
    except BrokenProcessPool:
        raise Refused("--sweep: a process was killed, perhaps for want of memory; take less") from None


_job: _Job | None = None


def _begin(job: _Job) -> None:
    """In a worker. Ctrl-C is its parent's business."""
    global _job
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _job = job


def _work(setting: tuple[str, ...]) -> Cell:
    if _job is None:
        raise RuntimeError("a worker without a job")
    return _job.cell(setting)
