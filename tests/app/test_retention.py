"""Old bodies go behind a checkpoint, with what belongs to them; state and chain stay (J4, I12, I13)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tests.adapters.journal.conftest import stamp
from tests.journals.examples import example

from rollbackd.app import retention
from rollbackd.app.restore import code_version, open_journal, restore
from rollbackd.core import events as e
from rollbackd.core.fold import apply
from rollbackd.core.record import JournalFull
from rollbackd.core.signals import CheckpointDue
from rollbackd.core.state import State
from rollbackd.journal.aging import Ages
from rollbackd.journal.audit import verify_file
from rollbackd.journal.codec import CODEC
from rollbackd.journal.sqlite import SqliteJournal
from rollbackd.journal.statedir import StateDir
from rollbackd.sim.generator import draw
from rollbackd.sim.play import Play

DAY = 86_400_000
YEAR = 365 * DAY
ROOT = Path(__file__).parents[2]


class Keeper:
    """A daemon that does nothing but keep its record."""

    def __init__(self, journal: SqliteJournal, now: int, wall: int | None = None) -> None:
        self.journal = journal
        self.now = now
        self.wall = now if wall is None else wall
        self.open: tuple[str, ...] = ()
        self.configured: tuple[str, ...] = ()
        self.loading = asyncio.Lock()
        self.full = 0
        self.looked = 0

    def live(self) -> tuple[str, ...]:
        return self.open

    def keep(self) -> int:
        return YEAR

    def plans(self) -> tuple[str, ...]:
        return self.configured

    def old(self, keep: int) -> Ages:
        return Ages(self.now - keep, self.wall - keep)

    async def checkpoint(self, due: CheckpointDue) -> None:
        said = e.Checkpoint(at=self.now, upto=due.upto, kept=due.kept, state=restore(self.journal).state)
        self.journal.append([said], stamp(self.now))

    async def prune(self, limit: int) -> bool:
        self.looked += 1
        if self.looked == self.full:
            raise JournalFull("no room")
        return self.journal.prune(limit)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[StateDir]:
    folder = StateDir.open(tmp_path / "state", reserve=0)
    yield folder
    folder.close()


@pytest.fixture
def journal(place: StateDir) -> Iterator[SqliteJournal]:
    journal = open_journal(place)
    yield journal
    journal.close()


def held(life: str, day: int) -> e.LifeHeld:
    return e.LifeHeld(at=day * DAY, life=life, by="ann", channel="socket")


def append(journal: SqliteJournal, day: int, *events: e.Event) -> None:
    journal.append(events, stamp(day * DAY))


def bodied(journal: SqliteJournal) -> list[int]:
    return [row.seq for row in journal.replay() if row.event is not None]


def look(keeper: Keeper, place: StateDir) -> None:
    asyncio.run(retention.look(keeper, place))


def test_what_is_over_a_year_old_goes_and_lives_stay_whole(place: StateDir, journal: SqliteJournal) -> None:
    for day, life in enumerate(("old-1", "long-1", "open-1", "new-1"), 1):
        append(journal, day, held(life, day), e.TriggerForgotten(at=day * DAY, trigger="T"))
    append(journal, 300, held("long-1", 300))
    keeper = Keeper(journal, 368 * DAY + 100)
    keeper.open = ("open-1",)
    look(keeper, place)
    # Days 1 to 3 are old: of them the life that went on and the one that is open are kept.
    assert bodied(journal) == [3, 5, 7, 8, 9, 10]
    said = journal.checkpoint()
    assert said is not None
    assert isinstance(said.event, e.Checkpoint)
    assert (said.event.upto, said.event.kept) == (6, ("long-1", "open-1"))
    assert verify_file(place.journal, place.uuid).ok

    look(keeper, place)  # nothing more for a week
    keeper.now = keeper.wall = keeper.now + 6 * DAY
    look(keeper, place)
    assert journal.head().seq == 10
    keeper.now = keeper.wall = 660 * DAY
    keeper.open = ()
    look(keeper, place)
    assert bodied(journal) == [3, 9, 11]  # of checkpoints the newest alone
    assert verify_file(place.journal, place.uuid).ok


def test_nothing_goes_while_the_wall_clock_does_not_agree(place: StateDir, journal: SqliteJournal) -> None:
    """T1: steady time that leapt, on a machine that booted with a wrong clock, never comes back."""
    append(journal, 1, held("old-1", 1))
    look(Keeper(journal, 4_000 * DAY, wall=300 * DAY), place)
    assert bodied(journal) == [1]
    assert journal.checkpoint() is None


def test_a_full_disk_is_tried_again_at_the_next_look(place: StateDir, journal: SqliteJournal) -> None:
    append(journal, 1, held("old-1", 1), held("old-2", 1))
    append(journal, 300, held("new-1", 300))
    keeper = Keeper(journal, 400 * DAY)
    keeper.full = 2
    look(keeper, place)
    assert bodied(journal) == [1, 2, 3, 4]
    look(keeper, place)
    assert bodied(journal) == [3, 4]


def test_attempts_reports_and_plans_go_with_the_bodies(place: StateDir, journal: SqliteJournal) -> None:
    opened = example(e.LifeOpened)
    assert isinstance(opened, e.LifeOpened)
    for life, day in (("old-1", 1), ("new-1", 300)):
        plan = msgspec.structs.replace(opened.plan, name=life, hash=f"ran{life[:3]}")
        append(journal, day, msgspec.structs.replace(opened, at=day * DAY, life=life, plan=plan, whole=None))
    files = [
        *("attempts/old-1/0001-a/output", "attempts/new-1/0001-a/output", "attempts/nobody/x"),
        *("reports/old-1.md", "reports/old-1.html", "reports/new-1.md"),
        *("plans/ranold/run", "plans/rannew/run", "plans/configured/run", "plans/.x.new/run"),
    ]
    for name in files:
        (place.path / name).parent.mkdir(parents=True, exist_ok=True)
        (place.path / name).write_text("x")
    keeper = Keeper(journal, 300 * DAY)
    keeper.configured = ("configured",)
    look(keeper, place)
    assert left(place) == sorted(files)
    keeper.now = keeper.wall = 400 * DAY
    look(keeper, place)
    assert left(place) == sorted(set(files) - {files[0], files[3], files[4], files[6]})


def left(place: StateDir) -> list[str]:
    folders = ("attempts", "reports", "plans")
    found = (path for folder in folders for path in (place.path / folder).rglob("*") if path.is_file())
    return sorted(str(path.relative_to(place.path)) for path in found)


# The state


@pytest.fixture(scope="module")
def lived() -> list[e.Event]:
    """All that a simulated life recorded."""
    play = Play(draw(11), lambda _: None)
    play.play()
    rows = play.disk.journal.rows()
    events = [CODEC.decode(row.kind, row.version, row.body) for row in rows if row.body is not None]
    return [event for event in events if event is not None and not isinstance(event, e.Checkpoint)]


def folded(events: list[e.Event], state: State | None = None) -> State:
    state = state or State()
    for event in events:
        state = apply(state, event)
    return state


@pytest.mark.parametrize("part", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("snapshot", ["none", "before", "after"])
def test_a_start_from_a_pruned_journal_gives_the_state(
    place: StateDir, journal: SqliteJournal, lived: list[e.Event], part: float, snapshot: str
) -> None:
    """I12 from the checkpoint on, byte for byte; also with a snapshot that is older than the checkpoint."""
    place_of = max(1, int(len(lived) * part))
    before, after = lived[:place_of], lived[place_of:]
    head = journal.append(before, stamp(1))
    state = folded(before)
    if snapshot == "before":
        journal.save_snapshot(head, msgspec.msgpack.encode(state))
    journal.append([e.Checkpoint(at=2, upto=len(before), kept=(), state=state)], stamp(2))
    head = journal.append([e.TriggerForgotten(at=3, trigger="T"), *after], stamp(3))
    whole = folded([e.TriggerForgotten(at=3, trigger="T"), *after], state)
    if snapshot == "after":
        journal.save_snapshot(head, msgspec.msgpack.encode(whole))
    while journal.prune(100):
        pass
    journal.close()
    again = SqliteJournal(place.journal, origin=place.uuid, code=code_version())
    found = restore(again)
    assert msgspec.json.encode(found.state) == msgspec.json.encode(whole)
    assert found.unknown == ()
    assert again.verify().pruned == len(before)
    again.close()


def test_a_checkpoint_this_version_cannot_read_is_told(place: StateDir, journal: SqliteJournal) -> None:
    """J2: it starts, and does nothing but page."""

    class Later(e.Event, frozen=True, kw_only=True, tag="checkpoint"):
        version = 2
        upto: int
        kept: tuple[str, ...] = ()
        state: str = "of another shape"

        @classmethod
        def kind(cls) -> str:
            return "checkpoint"

    journal.append([e.TriggerForgotten(at=1, trigger="T")], stamp())
    journal._codec = type(CODEC)([Later], {("checkpoint", 1): lambda raw: raw})
    journal.append([Later(at=2, upto=1)], stamp())
    assert not journal.prune(10)
    journal._codec = CODEC
    assert restore(journal).unknown == ("checkpoint v2",)
    assert journal.verify().ok


# SIGKILL in the middle of it (fault 1)

CHILD = """
import sys
from pathlib import Path
from tests.adapters.journal import writer
journal = writer.open_journal(Path(sys.argv[1]))
print("ready", flush=True)
while journal.prune(3):
    print("pruned", flush=True)
"""


@pytest.mark.parametrize("after", [0, 1, 5, 20])
def test_a_kill_in_the_middle_leaves_a_journal_that_goes_on(
    tmp_path: Path, after: int, filled: Callable[[Path], SqliteJournal]
) -> None:
    path = tmp_path / "journal.db"
    journal = filled(path)
    anchor = journal.head()
    journal.close()
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as child:
        assert child.stdout is not None
        for _ in range(1 + after):
            child.stdout.readline()
        child.kill()
    found = verify_file(path, WRITER, anchor=anchor)
    assert (found.ok, found.why) == (True, "")
    assert found.pruned >= 3 * after
    journal = SqliteJournal(path, origin=WRITER, code="test")
    state = restore(journal).state
    assert state.numbers == {"api": 7}
    while journal.prune(3):
        pass
    found = journal.verify(anchor=anchor)
    assert (found.ok, found.pruned) == (True, 300)
    journal.close()


WRITER = "7f0c2a4e-5a3b-4d57-9a53-6c5ce3b1f001"


@pytest.fixture
def filled() -> Callable[[Path], SqliteJournal]:
    def fill(path: Path) -> SqliteJournal:
        journal = SqliteJournal(path, origin=WRITER, code="test")
        journal.append([e.TriggerForgotten(at=n, trigger=f"T{n}" * 20) for n in range(300)], stamp(1))
        said = e.Checkpoint(at=2, upto=300, kept=(), state=State(numbers={"api": 7}))
        journal.append([said, e.TriggerForgotten(at=3, trigger="T")], stamp(2))
        return journal

    return fill
