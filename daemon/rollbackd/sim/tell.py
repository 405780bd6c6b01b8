"""A tape and a scenario, told to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from rollbackd.sim import tape
from rollbackd.sim.play import BEGINNING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rollbackd.sim.happenings import Scenario

_LONG = frozenset(
    [
        *("kind", "at", "plan", "triggers", "text", "config", "labels", "annotations", "ladder"),
        *("definition", "life", "title", "state", "folded"),
    ]
)
_WIDTH = 240


def scenario_text(scenario: Scenario) -> str:
    return msgspec.json.format(msgspec.json.encode(scenario)).decode()


def lines(records: Iterable[tape.Record], *, windows: bool = False) -> Iterator[str]:
    """One line a record, seconds since the beginning first; `windows`: also what was asked of
    Prometheus, which is most of it."""
    for record in records:
        if isinstance(record, tape.Appended):
            for row in record.rows:
                yield _line(record.at, row.kind, {"life": row.life, **row.document}, keep="life")
        elif isinstance(record, tape.Started):
            if windows or record.effect != "ask":
                yield _line(record.at, f"  → {record.key}", {})
        elif windows or not isinstance(record, tape.Told):
            fields = msgspec.structs.asdict(record)
            yield _line(record.at, f"  [{type(record).__name__.lower()}]", fields)


def _line(at: tape.Ms, what: str, fields: dict[str, object], keep: str = "") -> str:
    told = " ".join(
        f"{name}={value}"
        for name, value in fields.items()
        if value not in (None, "") and (name == keep or name not in _LONG)
    )
    return f"{(at - BEGINNING) / 1000:10.3f} {what} {told}"[:_WIDTH].rstrip()
