"""What must hold of a daemon's journal and of what its steps left behind, whatever befell it (X1–X4, I2–I4).

It compares two records that know nothing of each other: the lines of the step's own script and the journal.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from rollbackd.app.restore import code_version
from rollbackd.core import events as e
from rollbackd.journal.sqlite import SqliteJournal
from rollbackd.journal.statedir import read_uuid

Kind = Literal["once", "probed", "repeatable"]
MOST_DOUBTS = 3
"""X4: so often a step in doubt is run again without a person."""


def judge(state_dir: Path, lines: Sequence[str], kinds: dict[str, Kind]) -> Iterator[str]:
    """Each violation as a sentence. `lines`: `begin`, `end` or `overlap`, the life, the step; in order.
    `kinds`: the plan's steps in their order."""
    yield from compare(lines, kinds, _events(state_dir))
    command = [sys.executable, "-m", "rollbackd", "audit", "verify", "--state-dir", str(state_dir)]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    if verified.returncode:
        yield f"the chain does not verify: {verified.stderr}"


def compare(lines: Sequence[str], kinds: dict[str, Kind], events: Sequence[e.Event]) -> Iterator[str]:
    """What the steps left behind against what was recorded."""
    said = [(word, (life, step)) for word, life, step in map(str.split, lines)]
    yield from (f"{life}: {step} ran beside another step" for word, (life, step) in said if word == "overlap")
    record = _Record(events)
    for key in dict.fromkeys(key for _, key in said):
        yield from _step(key, [word for word, whose in said if whose == key], kinds[key[1]], record)
    yield from _order([key for word, key in said if word == "begin"], list(kinds), record)
    for life, step in sorted(record.done):
        if ("end", (life, step)) not in said:
            yield f"{life}: {step} is recorded as done, and never came to its end"
    yield from (f"{life} has no end" for life in sorted(record.opened - record.ended))


class _Record:
    """What the journal says, by life and step."""

    def __init__(self, events: Sequence[e.Event]) -> None:
        self.orders: dict[tuple[str, str], int] = {}
        self.retries: dict[tuple[str, str], int] = {}
        self.passed: set[tuple[str, str]] = set()
        self.done: set[tuple[str, str]] = set()
        """By the daemon's own knowledge, or a probe's; not by a person's word."""
        self.opened: set[str] = set()
        self.ended: set[str] = set()
        confirmed: set[tuple[str, str]] = set()
        for event in events:
            match event:
                case e.LifeOpened():
                    self.opened.add(event.life)
                case e.LifeEnded():
                    self.ended.add(event.life)
                case e.StepOrdered():
                    key = event.life, event.step
                    self.orders[key] = self.orders.get(key, 0) + 1
                case e.StepConfirmed():
                    key = event.life, event.step
                    if event.answer == "retry":
                        self.retries[key] = self.retries.get(key, 0) + 1
                    else:
                        confirmed.add(key)
                case e.StepSettled(result="done" | "skipped"):
                    self.passed.add((event.life, event.step))
        self.done = self.passed - confirmed


def _events(state_dir: Path) -> list[e.Event]:
    journal = SqliteJournal(state_dir / "journal.db", origin=read_uuid(state_dir), code=code_version())
    try:
        return [row.event for row in journal.events(0, 10_000_000) if row.event is not None]
    finally:
        journal.close()


def _step(key: tuple[str, str], words: list[str], kind: Kind, record: _Record) -> Iterator[str]:
    """One step of one life: how often it began, against what allowed it to."""
    name, retries = f"{key[0]}: {key[1]}", record.retries.get(key, 0)
    begins = words.count("begin")
    if begins > record.orders.get(key, 0):
        yield f"{name} began {begins} times on {record.orders.get(key, 0)} orders"
    allowed = 1 + retries + (0 if kind == "once" else MOST_DOUBTS * (1 + retries))
    if begins > allowed:
        yield f"{name} ({kind}) began {begins} times, {retries} of them by a person's word"
    after_end = words[words.index("end") :] if "end" in words else []
    if kind == "probed" and not retries and "begin" in after_end:
        yield f"{name} began again though its probe knew that it was done"


def _order(begins: list[tuple[str, str]], steps: list[str], record: _Record) -> Iterator[str]:
    """No step before the ones before it are behind us."""
    for life, step in begins:
        for before in steps[: steps.index(step)]:
            if (life, before) not in record.passed:
                yield f"{life}: {step} began, and {before} was never behind it"
    first = {key: index for index, key in reversed(list(enumerate(begins)))}
    for (life, step), index in first.items():
        for later in steps[steps.index(step) + 1 :]:
            if first.get((life, later), index) < index:
                yield f"{life}: {later} began before {step}"
