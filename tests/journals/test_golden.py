"""Golden rows: an old journal is read for ever (J2, fault 8).

A file for each kind, a line for each way it was ever written. `ROLLBACKD_GOLDEN=write pytest
tests/journals` adds today's line where it differs; a line is never removed once it was released.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from tests.journals.examples import any_event, example

from rollbackd.core.events import EVENTS, Event
from rollbackd.journal.codec import CODEC, UPCASTERS, Codec

GOLDEN = Path(__file__).with_name("golden")
KINDS = {event.kind(): event for event in EVENTS}


class Line(msgspec.Struct):
    version: int
    life: str | None
    body: msgspec.Raw


def line_of(event: Event) -> bytes:
    document = CODEC.encode(event)
    line = Line(version=document.version, life=document.life, body=msgspec.Raw(document.body))
    return msgspec.json.encode(line)


def lines_of(kind: str) -> list[bytes]:
    path = GOLDEN / f"{kind}.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    today = line_of(example(KINDS[kind]))
    if os.environ.get("ROLLBACKD_GOLDEN") == "write" and lines[-1:] != [today]:
        lines.append(today)
        path.write_bytes(b"".join(line + b"\n" for line in lines))
    return lines


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_what_was_agreed(kind: str) -> None:
    lines = lines_of(kind)
    assert lines, f"no golden row of {kind}; see this module's docstring"
    assert lines[-1] == line_of(example(KINDS[kind])), "the stored form changed; see this module's docstring"


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_ever_written_is_read(kind: str) -> None:
    rows = [msgspec.json.decode(line, type=Line) for line in lines_of(kind)]
    events = [CODEC.decode(kind, row.version, bytes(row.body)) for row in rows]
    assert all(type(event) is KINDS[kind] for event in events)
    assert events[-1] == example(KINDS[kind])


def test_no_kind_is_forgotten() -> None:
    assert {path.stem for path in GOLDEN.glob("*.jsonl")} <= set(KINDS)


@settings(max_examples=200, deadline=None)
@given(event=any_event())
def test_an_event_read_back_is_the_same_in_every_bit(event: Event) -> None:
    document = CODEC.encode(event)
    back = CODEC.decode(document.kind, document.version, document.body)
    assert back == event
    assert repr(back) == repr(event)  # mappings in the same order too (I12)
    assert CODEC.encode(event) == document


def test_an_older_version_comes_through_its_upcasters() -> None:
    class Third(Event, frozen=True, kw_only=True, tag="told"):
        version = 3
        where: str
        loud: bool

        @classmethod
        def kind(cls) -> str:
            return "told"

    codec = Codec(
        [Third],
        {
            ("told", 1): lambda raw: {**raw, "where": raw["place"]},
            ("told", 2): lambda raw: {**raw, "loud": raw["volume"] > 5},
        },
    )
    new = Third(at=1, where="here", loud=True)
    assert codec.decode("told", 1, b'{"kind":"told","at":1,"place":"here","volume":9}') == new
    assert codec.decode("told", 2, b'{"kind":"told","at":1,"where":"here","volume":9}') == new
    assert codec.decode("told", 3, codec.encode(new).body) == new
    assert codec.decode("told", 1, b'{"kind":"told","at":1}') is None
    with pytest.raises(ValueError, match="no upcaster from version 2"):
        Codec([Third], {("told", 1): dict})


@pytest.mark.parametrize(
    ("kind", "version", "body"),
    [
        ("never_heard_of", 1, b'{"kind":"never_heard_of","at":1}'),
        ("trigger_forgotten", 99, b'{"kind":"trigger_forgotten","at":1,"trigger":"T"}'),
        ("trigger_forgotten", 0, b'{"kind":"trigger_forgotten","at":1,"trigger":"T"}'),
        ("trigger_forgotten", 1, b'{"kind":"trigger_forgotten","at":1}'),
        ("trigger_forgotten", 1, b'{"kind":"step_ended","at":1,"trigger":"T"}'),
        ("trigger_forgotten", 1, b"not JSON"),
        ("trigger_forgotten", 1, b'{"kind":"trigger_forgotten","at":1,"x":' + b"[" * 4_000),
    ],
)
def test_what_cannot_be_read_is_no_event(kind: str, version: int, body: bytes) -> None:
    assert CODEC.decode(kind, version, body) is None


def test_no_upcaster_is_left_over() -> None:
    assert all(kind in KINDS and version < KINDS[kind].version for kind, version in UPCASTERS)


def test_text_that_is_not_unicode_is_refused() -> None:
    event = example(KINDS["trigger_forgotten"])
    with pytest.raises(ValueError, match="trigger_forgotten"):
        CODEC.encode(msgspec.structs.replace(event, trigger="\ud800"))
