"""`exit` and `claim` of an attempt, whatever the disk made of them: an outcome, or none; a claim is a claim.

The first byte says how the rest becomes `exit`: as it is, or as the body of a record with its checksum.
"""

from __future__ import annotations

import os
import tempfile
from functools import cache
from zlib import crc32

from rollbackd.world.runner import attempt


@cache
def _folder() -> int:
    return attempt.open_folder(tempfile.mkdtemp(prefix="rollbackd-fuzz-"))


def one(data: bytes) -> None:
    folder = _folder()
    head, rest = data[:1], data[1:]
    record = b"%08x %08x " % (crc32(rest), len(rest)) + rest
    _write(folder, "exit", record if head < b"\x80" else rest)
    _write(folder, "claim", rest)
    exit, claim = attempt.read_exit(folder), attempt.read_claim(folder)
    assert claim is not None, "what exists is taken"
    if exit is not None:
        assert exit.outcome in ("exited", "timed_out", "stopped", "refused", "unstarted"), exit.outcome
        assert exit.status is None or type(exit.status) is int, exit.status
        assert type(exit.expect_matched) is type(exit.tree_gone) is bool
        assert type(exit.output_bytes) is int
        assert len(exit.detail) <= attempt.DETAIL_CHARACTERS
        assert (exit.detail + exit.tail).encode() is not None, "no text for the journal"


def _write(folder: int, name: str, content: bytes) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        attempt.write_all(fd, content)
    finally:
        os.close(fd)
