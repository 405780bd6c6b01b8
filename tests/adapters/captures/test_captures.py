"""Captures on a real disk, by real commands: what is kept, what is refused, what is found changed (C1)."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.runner.stage import PLAN, Stage, alive, until
from tests.disks import NoDisk, fill, small_disk

from rollbackd.core.effects import RunCapture
from rollbackd.core.model import Artifact, CaptureItem, Command, Stored
from rollbackd.core.signals import CaptureTaken
from rollbackd.world import captures
from rollbackd.world.captures import Captures
from rollbackd.world.prometheus import NoValue
from rollbackd.world.runner.steps import Runner

MIB = 1 << 20


class Kept:
    """A state directory's captures, with a runner and a Prometheus in the test's hands."""

    def __init__(self, stage: Stage, runner: Runner) -> None:
        self.stage = stage
        self.values: list[float | str] = [0.5]
        self.captures = Captures(stage.state_dir, runner.run_command, self._query, look=0.05)
        self.folder = stage.state_dir / "captures" / "api-c1"

    async def _query(self, expr: str) -> float:
        value = self.values.pop(0) if len(self.values) > 1 else self.values[0]
        if isinstance(value, str):
            raise NoValue(value)
        return value

    def effect(self, text: str, *, most: int = MIB, timeout: int = 20_000) -> RunCapture:
        run = Command((text,), shell=True, timeout=timeout)
        item = CaptureItem("dump", run=run, timeout=timeout)
        return RunCapture("api-c1", item, PLAN, {"ROLLBACK_CAPTURE": "api-c1"}, most)

    async def take(self, text: str, **more: Any) -> CaptureTaken:
        return await self.captures.take(self.effect(text, **more))

    async def verify(self, taken: CaptureTaken) -> tuple[str, str]:
        return await self.captures.verify(Stored("api-c1", ("dump",), taken.artifacts))

    def drafts(self) -> list[str]:
        return [path.name for path in self.folder.iterdir() if path.name.startswith(".")]


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    stage = Stage(tmp_path)
    async with stage.runner() as runner:
        yield Kept(stage, runner)


TWO = 'cd "$ROLLBACK_CAPTURE_DIR" && mkdir in && echo one > a.sql && echo two > in/b && echo "12000 sessions"'


async def test_what_a_command_leaves_is_hashed_and_ours_alone(kept: Kept) -> None:
    taken = await kept.take(TWO)
    assert taken.ok, taken.detail
    assert taken.said == "12000 sessions"
    assert taken.artifacts == tuple(
        Artifact(f"dump/{name}", 4, hashlib.sha256(content).hexdigest())
        for name, content in (("a.sql", b"one\n"), ("in/b", b"two\n"))
    )
    modes = {path.name: path.stat().st_mode & 0o777 for path in kept.folder.rglob("*")}
    assert modes == {"dump": 0o700, "in": 0o700, "a.sql": 0o600, "b": 0o600}
    assert kept.folder.stat().st_mode & 0o777 == 0o700
    assert kept.folder.parent.stat().st_mode & 0o777 == 0o700
    assert await kept.verify(taken) == ("pass", "2 files, 8 bytes")


@pytest.mark.parametrize(
    ("text", "said", "value"),
    [
        ("echo v2.0.8", "v2.0.8", None),
        ("echo 20251201120000", "20251201120000", 20251201120000.0),
        ("echo 0.25", "0.25", 0.25),
        ("echo nan", "nan", None),
    ],
)
async def test_one_line_is_kept_and_a_number_is_a_baseline(
    kept: Kept, text: str, said: str, value: float | None
) -> None:
    taken = await kept.take(text)
    assert (taken.ok, taken.said, taken.value, taken.artifacts) == (True, said, value, ())
    assert list(kept.folder.iterdir()) == []


REFUSED = [
    ("true", "left no file in $ROLLBACK_CAPTURE_DIR and printed no line"),
    ("echo odd >&2; exit 3", "exit 3: odd"),
    ("no-such-program-anywhere", "exit 127"),
    ('ln -s /etc/passwd "$ROLLBACK_CAPTURE_DIR/x"', "x: neither a file nor a folder"),
    ('mkfifo "$ROLLBACK_CAPTURE_DIR/x"', "x: neither a file nor a folder"),
    (
        'echo a > "$ROLLBACK_CAPTURE_DIR/x"; ln "$ROLLBACK_CAPTURE_DIR/x" "$ROLLBACK_CAPTURE_DIR/y"',
        "hard link",
    ),
    ("printf a > \"$ROLLBACK_CAPTURE_DIR/$(printf 'x\\ny')\"", "odd characters"),
    (
        'cd "$ROLLBACK_CAPTURE_DIR"; i=0; while [ $i -le 200 ]; do : > f$i; i=$((i+1)); done',
        "201 files, at most 200",
    ),
    ('head -c 1048577 /dev/zero > "$ROLLBACK_CAPTURE_DIR/x"', "over 1 MiB; capture less"),
    ('rm -r "$ROLLBACK_CAPTURE_DIR"; echo gone', "No such file"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=[why for _, why in REFUSED])
async def test_what_is_refused_says_why_and_leaves_nothing(kept: Kept, text: str, why: str) -> None:
    """Fault 71."""
    taken = await kept.take(text)
    assert not taken.ok
    assert why in taken.detail
    assert list(kept.folder.iterdir()) == []


async def test_a_timeout_ends_the_command(kept: Kept) -> None:
    taken = await kept.take("sleep 60", timeout=300)
    assert (taken.ok, taken.detail) == (False, "sleep 60: timed out after 0.3 s")
    assert kept.drafts() == []


async def test_a_command_that_grows_is_stopped(kept: Kept) -> None:
    """Before it takes the disk from the journal."""
    pid = kept.stage.state_dir / "pid"
    text = f'echo $$ > {pid}; while :; do head -c 65536 /dev/zero >> "$ROLLBACK_CAPTURE_DIR/x"; done'
    taken = await kept.take(text)
    assert not taken.ok
    assert "over 1 MiB" in taken.detail
    await until(lambda: not alive(int(pid.read_text())))
    assert kept.drafts() == []


async def test_a_disk_that_is_nearly_full(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captures, "MARGIN", 1 << 62)
    taken = await kept.take("echo fine")
    assert not taken.ok
    assert "left; make room" in taken.detail


async def test_a_disk_that_fills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 71: no room for the command, or for what we write, is said, and the room is given back."""
    monkeypatch.setattr(captures, "MARGIN", 0)
    try:
        with small_disk(tmp_path / "state", megabytes=2) as folder:
            stage = Stage(folder)
            async with stage.runner() as runner:
                kept = Kept(stage, runner)
                text = 'head -c 8388608 /dev/zero > "$ROLLBACK_CAPTURE_DIR/x"'
                command = await kept.take(text, most=16 * MIB)
                left = os.statvfs(folder)
                ballast = fill(folder)
                folders = await kept.take('head -c 9 /dev/zero > "$ROLLBACK_CAPTURE_DIR/x"')
                ballast.unlink()
                again = await kept.take('echo one > "$ROLLBACK_CAPTURE_DIR/x"')
    except NoDisk as error:
        pytest.skip(str(error))
    assert (command.ok, "No space left on device" in command.detail) == (False, True)
    assert left.f_bavail * left.f_frsize > MIB
    assert not folders.ok
    assert "No space left on device" in folders.detail
    assert again.ok


async def test_what_is_still_written_is_not_kept(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = captures._digest

    def meanwhile(path: Path, *, durable: bool = False) -> tuple[int, str]:
        found = digest(path, durable=durable)
        with path.open("a") as file:
            file.write("more")
        return found

    monkeypatch.setattr(captures, "_digest", meanwhile)
    taken = await kept.take(TWO)
    assert not taken.ok
    assert "changed while it was being hashed" in taken.detail


async def test_a_second_try_takes_the_place_of_the_first(kept: Kept) -> None:
    """Fault 73: the daemon died after the item was durable, and before it was journalled; or midway."""
    await kept.take('echo old > "$ROLLBACK_CAPTURE_DIR/old"')
    (kept.folder / ".dump.0123abcd").mkdir()
    (kept.folder / ".dump.0123abcd" / "half").write_text("half")
    taken = await kept.take('echo new > "$ROLLBACK_CAPTURE_DIR/new"')
    assert [artifact.path for artifact in taken.artifacts] == ["dump/new"]
    assert sorted(path.name for path in kept.folder.rglob("*")) == ["dump", "new"]


async def test_cancelling_ends_the_command(kept: Kept) -> None:
    pid = kept.stage.state_dir / "pid"
    taking = asyncio.create_task(kept.take(f"echo $$ > {pid}; exec sleep 60"))
    await until(lambda: pid.exists() and pid.read_text().strip())
    taking.cancel()
    await asyncio.wait({taking})
    await until(lambda: not alive(int(pid.read_text())))
    assert kept.drafts() == []


async def test_a_reading_is_a_baseline(kept: Kept) -> None:
    kept.values = ["Prometheus is away", 0.25]
    item = CaptureItem("errors", expr="errors", timeout=20_000)
    taken = await kept.captures.take(RunCapture("api-c1", item, PLAN, {}, MIB))
    assert (taken.ok, taken.value, taken.said) == (True, 0.25, "0.25")


async def test_a_reading_that_nobody_gives(kept: Kept) -> None:
    kept.values = ["Prometheus is away"]
    item = CaptureItem("errors", expr="errors", timeout=100)
    taken = await kept.captures.take(RunCapture("api-c1", item, PLAN, {}, MIB))
    assert (taken.ok, taken.detail) == (False, "Prometheus is away")


CHANGES: list[tuple[Callable[[Path], object], str]] = [
    (lambda item: (item / "a.sql").unlink(), "dump/a.sql is missing"),
    (lambda item: (item / "a.sql").write_text("ona\n"), "dump/a.sql was changed since"),
    (lambda item: (item / "a.sql").write_text("one\n\n"), "dump/a.sql was changed since"),
    (lambda item: (item / "in" / "c").write_text("c"), "dump/in/c was added since"),
    (lambda item: (item / "a.sql").rename(item / "b.sql"), "dump/b.sql was added since"),
    (lambda item: item.rename(item.with_name("elsewhere")), "dump/ is missing"),
]


def link(item: Path) -> None:
    (item / "a.sql").rename(item.parent.parent / "a.sql")
    (item / "a.sql").symlink_to(item.parent.parent / "a.sql")


CHANGES.append((link, "dump/a.sql is no plain file any more"))


@pytest.mark.parametrize(("change", "what"), CHANGES, ids=[what for _, what in CHANGES])
# Fault 72.
async def test_what_is_not_as_it_was_is_found(
    kept: Kept, change: Callable[[Path], object], what: str
) -> None:
    taken = await kept.take(TWO)
    change(kept.folder / "dump")
    answer, detail = await kept.verify(taken)
    assert answer == "fail"
    assert detail.startswith(what)


async def test_what_cannot_be_read_cannot_be_told(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = await kept.take(TWO)

    def broken(path: Path, *, durable: bool = False) -> tuple[int, str]:
        raise OSError(5, "Input/output error", os.fspath(path))

    monkeypatch.setattr(captures, "_digest", broken)
    answer, detail = await kept.verify(taken)
    assert answer == "cannot_tell"
    assert "Input/output error" in detail


async def test_removing_twice_is_removing(kept: Kept) -> None:
    await kept.take(TWO)
    for _ in range(2):
        assert (await kept.captures.remove("api-c1")).capture == "api-c1"
        assert not kept.folder.exists()


async def test_steps_and_checks_find_it(kept: Kept) -> None:
    """And whoever has no capture has no such variable."""
    await kept.take(TWO)
    text = 'cat "$ROLLBACK_CAPTURE_DIR/dump/a.sql"'
    script = kept.stage.script(text)
    async with kept.stage.runner() as runner:
        env = {"ROLLBACK_CAPTURE": "api-c1"}
        found = await runner.run_command(Command((script,)), PLAN, env, capture=True)
        none = await runner.run_command(Command(("env",)), PLAN, {"ROLLBACK_CAPTURE": ""}, capture=True)
    assert found.output == "one"
    assert "ROLLBACK_CAPTURE_DIR" not in none.output
    told = await kept.stage.run(kept.stage.step(text, env={"ROLLBACK_CAPTURE": "api-c1"}))
    assert told.output.strip() == "one"
