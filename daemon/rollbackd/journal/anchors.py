"""Heads that were kept outside the journal, and what they prove about it (I13)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from msgspec import Struct

from rollbackd.core.record import Head

_HEAD = re.compile(r"(?<![0-9A-Za-z])([0-9]{1,18}):([0-9a-f]{64})(?![0-9A-Za-z])")
_POSTED = re.compile(r'"seq":\s*([0-9]{1,18}),\s*"hash":\s*"([0-9a-f]{64})"')


class Verdict(Struct, frozen=True):
    """`cut_off`: the journal ends before the anchor's row. `rewritten`: another row is there, of another
    history than the anchor's; `since`: the first row that may be of it."""

    anchor: Head
    what: Literal["matches", "cut_off", "rewritten"]
    since: int = 0


def line(moment: str, journal: str, head: Head) -> str:
    """How a head stands in an anchor file."""
    return f"{moment} {journal} {head}"


def found_in(lines: Iterable[str]) -> Iterator[Head]:
    """Every `SEQ:HASH` there is: in an anchor file, a log, a page, a report; and what was posted to a URL."""
    for text in lines:
        for seq, digest in (*_HEAD.findall(text), *_POSTED.findall(text)):
            yield Head(int(seq), digest)


def judge(anchors: Iterable[Head], held: Callable[[int], str | None], last: int) -> list[Verdict]:
    """Each anchor once, by row. `held`: the hash of a row, if it is there; `last`: the journal's last row."""
    verdicts: list[Verdict] = []
    sound = 0  # the last row an anchor vouches for
    for anchor in sorted({*anchors}, key=lambda head: (head.seq, head.hash)):
        found = held(anchor.seq)
        if found == anchor.hash:
            sound = anchor.seq
            verdicts.append(Verdict(anchor, "matches"))
        elif anchor.seq > last:
            verdicts.append(Verdict(anchor, "cut_off", last + 1))
        else:
            verdicts.append(Verdict(anchor, "rewritten", sound + 1))
    return verdicts
