"""Who did it, and how they said it, is on record for every word of a person (E3)."""

from __future__ import annotations

import msgspec
import pytest

from rollbackd.core.state import AUTOMATIC
from rollbackd.journal.chain import Row
from rollbackd.sim.generator import draw
from rollbackd.sim.play import Play


def spoken(seed: int) -> dict[int, list[Row]]:
    """The batches of people, by number."""
    play = Play(draw(seed), lambda _: None)
    play.play()
    batches: dict[int, list[Row]] = {}
    for row in play.disk.journal.rows():
        if row.actor != AUTOMATIC:
            batches.setdefault(row.batch, []).append(row)
    return batches


@pytest.mark.parametrize("part", range(4))
def test_what_a_person_brought_about_begins_with_their_word(part: int) -> None:
    told = 0
    for seed in range(part, 60, 4):
        for rows in spoken(seed).values():
            if rows[0].body is None:
                continue
            first = msgspec.json.decode(rows[0].body)
            assert (first.get("by"), first.get("channel")) == (rows[0].actor, "sim"), (seed, first)
            told += 1
    assert told > 20
