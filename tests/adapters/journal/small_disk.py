"""Run inside a mount namespace of its own: a real disk that is small, and one that turns read-only.

unshare -m python small_disk.py full DIR | readonly DIR
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.adapters.journal.writer import batch, stamp

from rollbackd.core.record import JournalBroken, JournalFull
from rollbackd.journal.sqlite import SqliteJournal
from rollbackd.journal.statedir import StateDir

RESERVE = 512 << 10


def mount(*arguments: str) -> None:
    """SystemExit: this machine does not let us."""
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        print(json.dumps({"skip": f"mount {' '.join(arguments)}: {done.stderr.strip()}"}))
        raise SystemExit


def opened(state: StateDir) -> SqliteJournal:
    return SqliteJournal(state.journal, origin=state.uuid, code="child")


def attempt(journal: SqliteJournal, padding: int = 1_000) -> str:
    seq = journal.head().seq
    try:
        journal.append(batch(seq + 1, 3, padding), stamp(seq))
    except (JournalFull, JournalBroken) as error:
        return type(error).__name__
    return "durable"


def sound(journal: SqliteJournal) -> bool:
    """What is in memory is what is on disk, whole, and nothing else."""
    rows = [row.seq for row in journal.replay()]
    return journal.verify(anchor=journal.head()).ok and len(rows) == journal.head().seq


def full(place: Path) -> dict[str, object]:
    mount("-t", "tmpfs", "-o", "size=3m", "none", str(place))
    state = StateDir.open(place / "state", reserve=RESERVE)
    told: dict[str, object] = {"reserved": state.reserved}
    journal = opened(state)
    ballast = place / "ballast"
    ballast.write_bytes(bytes(64 << 10))
    while (said := attempt(journal)) == "durable":
        pass
    fill(place)
    told["full"] = [said, attempt(journal, padding=0), sound(journal)]
    journal.close()
    state.close()

    state = StateDir.open(place / "state", reserve=RESERVE)
    told["reserve after a restart"] = state.reserved
    journal = opened(state)
    told["still full"] = [attempt(journal), sound(journal)]
    told["freed"] = [state.free_reserve(), attempt(journal), sound(journal)]
    fill(place)
    told["no room for the reserve"] = [state.restore_reserve(), state.reserved]
    (place / "fill").unlink()
    ballast.unlink()
    told["room again"] = [state.restore_reserve(), state.reserved, attempt(journal)]

    journal.close()
    state.journal.with_name("journal.db-shm").unlink(missing_ok=True)
    fill(place)
    told["opened without room"] = opening(state)
    told["and with the reserve's"] = [state.free_reserve(), opening(state)]
    return told


def opening(state: StateDir) -> str:
    try:
        journal = opened(state)
    except (JournalFull, JournalBroken) as error:
        return type(error).__name__
    return attempt(journal)


def fill(place: Path) -> None:
    with (place / "fill").open("ab", buffering=0) as file:
        try:
            while file.write(bytes(512)):
                pass
        except OSError:
            return


def readonly(place: Path) -> dict[str, object]:
    image = place.with_name("image")
    with image.open("wb") as file:
        file.truncate(16 << 20)
    maker = shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if maker is None:
        return {"skip": "no mkfs.ext4"}
    subprocess.run([maker, "-q", str(image)], check=True)
    mount("-o", "loop", str(image), str(place))
    state = StateDir.open(place / "state", reserve=RESERVE)
    journal = opened(state)
    told: dict[str, object] = {"before": attempt(journal)}
    mount("-o", "remount,abort", str(place))  # what the kernel does at the first error of the disk
    told["after"] = [attempt(journal), attempt(journal), sound(journal)]
    return told


if __name__ == "__main__":
    print(json.dumps({"full": full, "readonly": readonly}[sys.argv[1]](Path(sys.argv[2]))), flush=True)
