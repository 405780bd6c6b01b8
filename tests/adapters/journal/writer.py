"""A child process with a journal: it appends until it is killed, or until its disk refuses.

python writer.py kill PATH [BATCH]        append for ever; print each head once it is durable
python writer.py refuse PATH CALL ERRNO   append, then let the kernel refuse CALL (sync | write | none)
"""

from __future__ import annotations

import ctypes
import errno
import json
import platform
import struct
import sys
from pathlib import Path

from rollbackd.core.events import TriggerForgotten
from rollbackd.core.record import JournalBroken, JournalFull, Stamp
from rollbackd.journal.sqlite import SqliteJournal

ORIGIN = "7f0c2a4e-5a3b-4d57-9a53-6c5ce3b1f001"
_SYSCALLS = {
    "x86_64": (0xC000003E, {"sync": (74, 75), "write": (18,)}),
    "aarch64": (0xC00000B7, {"sync": (82, 83), "write": (68,)}),
}


def open_journal(path: Path) -> SqliteJournal:
    return SqliteJournal(path, origin=ORIGIN, code="child")


def batch(first: int, size: int, padding: int = 0) -> list[TriggerForgotten]:
    return [TriggerForgotten(at=first + n, trigger=f"T{first + n}" + "x" * padding) for n in range(size)]


def stamp(steady: int) -> Stamp:
    return Stamp(steady=steady, wall=steady, boottime=steady, boot="b-1", epoch=1, actor="rollbackd")


def append_for_ever(path: Path, size: int) -> None:
    journal = open_journal(path)
    while True:
        seq = journal.head().seq
        head = journal.append(batch(seq + 1, size), stamp(seq))
        print(head.seq, head.hash, flush=True)


def refuse(call: str, number: int) -> None:
    """From now on the kernel fails this call for this process (seccomp), so the real SQLite meets a
    real error. OSError: this machine cannot."""
    machine, calls = _SYSCALLS[platform.machine()]
    jumps = []
    for left, syscall in zip(range(len(calls[call]), 0, -1), calls[call], strict=True):
        jumps.append((0x15, left, 0, syscall))  # equal: to the refusal
    program = [
        (0x20, 0, 0, 4),  # load the architecture
        (0x15, 1, 0, machine),
        (0x06, 0, 0, 0x7FFF0000),  # another one: allow
        (0x20, 0, 0, 0),  # load the call's number
        *jumps,
        (0x06, 0, 0, 0x7FFF0000),  # allow
        (0x06, 0, 0, 0x00050000 | number),  # fail with this errno
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.create_string_buffer(header), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def refused(path: Path, call: str, number: int) -> dict[str, object]:
    """What the journal says while the disk refuses, and what it holds then."""
    journal = open_journal(path)
    before = journal.append(batch(1, 2), stamp(1))
    if call != "none":
        refuse(call, number)
    said = []
    for _ in range(2):
        try:
            journal.append(batch(3, 2), stamp(2))
            said.append("durable")
        except (JournalFull, JournalBroken) as error:
            said.append(type(error).__name__)
    rows = len(list(journal.replay()))
    return {"said": said, "head": journal.head().seq, "before": before.seq, "rows": rows}


def main() -> None:
    mode, path, *rest = sys.argv[1:]
    if mode == "kill":
        append_for_ever(Path(path), int(rest[0]))
    try:
        print(json.dumps(refused(Path(path), rest[0], getattr(errno, rest[1]))))
    except (OSError, KeyError) as error:
        print(json.dumps({"skip": f"seccomp cannot be used here: {error}"}))


if __name__ == "__main__":
    main()
