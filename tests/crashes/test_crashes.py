"""Power cuts between any two system calls, on the real journal and the real runner (faults 1, 5, 11, 12)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.crashes.campaign import SCENES, Bounds, Campaign, Scene, Tape, environment, memory
from tests.crashes.disk import Disk, Mark, Names, Sync
from tests.crashes.tape import unavailable

JOURNAL, STEP = SCENES
UNAVAILABLE = unavailable()
pytestmark = pytest.mark.skipif(bool(UNAVAILABLE), reason=UNAVAILABLE)


@pytest.fixture
def place() -> Iterator[Path]:
    with TemporaryDirectory(prefix="crashes-", dir=memory()) as place:
        yield Path(place)


@pytest.mark.parametrize(
    ("scene", "bounds", "states"),
    [
        (JOURNAL, Bounds(states=400, draws=1, lives=2, torn=1, refusals=1, states_of_a_life=40), 300),
        (STEP, Bounds(states=300, draws=1, torn=1, lives=1, states_of_a_life=60), 200),
    ],
    ids=["journal", "step"],
)
def test_no_power_cut_breaks_a_promise(place: Path, scene: Scene, bounds: Bounds, states: int) -> None:
    """Faults 1, 5 and 12, sampled; `make crashes` plays all of it."""
    tally = Campaign(scene, place, environment()).run(bounds)
    assert tally.violations == []
    assert tally.states >= states


@pytest.mark.parametrize(
    ("scene", "name"),
    [(JOURNAL, "state"), (STEP, "api-1"), (STEP, "0001-step")],
    ids=["state directory", "life", "attempt"],
)
def test_a_kill_before_a_name_is_durable(place: Path, scene: Scene, name: str) -> None:
    """Fault 1, then 5: who finds a directory after a SIGKILL makes its name durable before relying on it."""
    campaign = Campaign(scene, place, environment())
    first = campaign.first_life()
    moments = zip(list(first.moments())[1:], first.operations, strict=True)
    named = next(disk for (_, disk), op in moments if isinstance(op, Names) and op.changes[0][0] == name)
    campaign.cut(campaign.life(named), limit=300, draws=0)
    assert campaign.tally.violations == []


def test_a_kill_before_a_transaction_is_synced(place: Path) -> None:
    """Fault 1, then 12: two transactions that nobody acknowledged, both torn, are no damage."""
    campaign = Campaign(JOURNAL, place, environment())
    first = campaign.first_life()
    written = next(
        disk
        for (_, disk), op in zip(first.moments(), first.operations, strict=False)
        if isinstance(op, Sync) and "appending 3" in disk.marks
    )
    second = campaign.life(written)
    ends = second.operations.index(Mark("appending 3"))
    campaign.cut(Tape(second.start, second.operations[:ends]), limit=None, draws=2)
    assert campaign.tally.violations == []


@pytest.mark.parametrize("refused", [8, 11])
def test_11_a_failed_sync_then_a_start_then_a_power_cut(place: Path, refused: int) -> None:
    """What the next start reads was never written, nor would any sync to come write it: the start does."""
    campaign = Campaign(JOURNAL, place, environment())
    ended = campaign.life(Disk(), refused)
    assert ended.end.marks[-1] == "ended"
    campaign.cut(ended, limit=60, draws=1)
    second = campaign.life(ended.end)
    begun = second.operations.index(Mark("appending 40"))
    campaign.cut(Tape(second.start, second.operations[:begun]), limit=150, draws=1)
    assert campaign.tally.violations == []
