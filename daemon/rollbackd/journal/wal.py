"""Damage in SQLite's write-ahead log that SQLite would take for its end (faults 12, 13).

Recovery stops at the first frame whose checksum is wrong and drops what follows. After a power cut that
is the last transaction, never acknowledged or torn; but a flipped bit further up drops transactions that
were durable. So before SQLite opens the log, this looks for transactions beyond the first bad frame.
The format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

from pathlib import Path
from struct import Struct, unpack
from typing import BinaryIO

_HEADER = Struct(">8I")  # magic, version, page size, checkpoint, salt 1, salt 2, checksum 1, checksum 2
_FRAME = Struct(">6I")  # page, pages after commit (0: not a commit), salt 1, salt 2, checksum 1, checksum 2
_MAGIC = 0x377F0682  # its lowest bit says that checksums are big-endian
_WORD = 0xFFFFFFFF


def damage(path: Path) -> str | None:
    """What is wrong with a log that no process has open, or None. The log is only read."""
    try:
        with path.open("rb") as file:
            return _scan(file)
    except FileNotFoundError:
        return None


def _scan(file: BinaryIO) -> str | None:
    head = file.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return None
    magic, _, size, _, salt1, salt2, *checksum = _HEADER.unpack(head)
    order = ">" if magic & 1 else "<"
    if magic & ~1 != _MAGIC or list(_checksum(order, head[:24], 0, 0)) != checksum:
        return "the header of the write-ahead log is damaged" if file.read(1) else None
    one, two = checksum
    number = bad = lost = 0
    while len(frame := file.read(_FRAME.size + size)) == _FRAME.size + size:
        number += 1
        _, commit, frame_salt1, frame_salt2, sum1, sum2 = _FRAME.unpack_from(frame)
        if (frame_salt1, frame_salt2) != (salt1, salt2):
            # Either left over from before the log was last restarted, or its salt is what was damaged.
            bad = bad or number
            continue
        if not bad:
            one, two = _checksum(order, frame[:8], one, two)
            one, two = _checksum(order, frame[_FRAME.size :], one, two)
            bad = number if (one, two) != (sum1, sum2) else 0
        if bad and commit:
            lost += 1
    if lost > 1:  # one may be the transaction that a power cut tore
        return f"frame {bad} of the write-ahead log is damaged, and {lost} transactions follow it"
    return None


def _checksum(order: str, data: bytes, one: int, two: int) -> tuple[int, int]:
    words = iter(unpack(f"{order}{len(data) // 4}I", data))
    for first, second in zip(words, words, strict=True):
        one = (one + first + two) & _WORD
        two = (two + second + one) & _WORD
    return one, two
