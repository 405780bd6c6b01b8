"""The table, from what was judged: Markdown for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from judge import STEPS, Verdict
from situations import SITUATIONS


@dataclass(frozen=True)
class Row:
    """A peer with its cells by situation; `reason` says why one was not run: a text instead of a verdict."""

    key: str
    title: str
    version: str
    note: str
    cells: Mapping[str, Verdict | str]
    notes: Mapping[str, Sequence[str]]


HEAD = """\
# Kill matrix

The same situations for rollbackd and for what people use, with real processes: a service whose
metric a real Prometheus scrapes each second, a rollback of three steps (drain, revert, restore), a pager.
One judge reads every cell off the marks the steps left: `make matrix`. A cell that is as it should be is
**ok**: every step at most once, never two at a time, none lost, nothing done on stale facts, nothing left
running, and people paged where the rollback did not go as it should.
"""
TERMS = """\
*Starts* are of drain · revert · restore. *Lost*: a step that had to end well and never did. *Stale*:
rollbacks begun when the service was well already; the metric shows a breach for 12 s after it is over, as
a rate over minutes does. *Left*: steps with processes still alive at the end. *People*: `paged` after the
harm; `only of the breach`: paged before it, never after it; `silent`; `not owed`, where all went well.

Waits were shortened by configuration alone: evaluation and scrape to 1 s; Prometheus'
`--rules.alert.resend-delay` from 1m to 5s, as the metric's echo stands for minutes; in (b) what is
notified again is so every 5 s, against a step of 20 s. In (d) the minute is a minute. No systemd ran:
when a runner is killed, what its unit's `KillMode` says is done to the rest of its processes.

Situations (d) and (g) want no step at all, and owe no page: rollbackd rings nobody for a breach that came
and went while it was down, the Alertmanager rows page for the breach itself. In (e), (f) and (j) the
steps after the bad one must not run; whether a killed step did its work nobody knows. In (h) the peer's
state and TMPDIR are 16 MB of their own, and what is freed is taken at once; rollbackd pages, starts
nothing it cannot record, and begins once there is room and a fresh window still breaches.
"""


def markdown(rows: Sequence[Row], machine: str) -> str:
    parts = [HEAD, summary(rows), TERMS, machine, *(_details(row) for row in rows)]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def summary(rows: Sequence[Row]) -> str:
    lines = [
        "| situation | " + " | ".join(row.title for row in rows) + " |",
        "|---|" + "---|" * len(rows),
    ]
    for key, situation in SITUATIONS.items():
        cells = (_brief(row.cells[key]) if key in row.cells else "" for row in rows)
        lines.append(f"| ({key}) {situation.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _brief(cell: Verdict | str) -> str:
    if isinstance(cell, str):
        return f"not run: {cell}"
    return "; ".join(cell.faults) or "**ok**"


def _details(row: Row) -> str:
    lines = [
        f"## {row.title}",
        "",
        f"{row.version}. {row.note}",
        "",
        f"| | starts ({' · '.join(STEPS)}) | overlaps | lost | stale | left | people | pages | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for key, cell in row.cells.items():
        if isinstance(cell, str):
            lines.append(f"| {key} | not run: {cell} | | | | | | | |")
            continue
        starts = " · ".join(str(cell.starts[step]) for step in STEPS)
        lost = ", ".join(cell.lost) or "–"
        notes = "; ".join(row.notes.get(key, ()))
        fields = (key, starts, cell.overlaps, lost, cell.stale, cell.left, cell.told, cell.pages, notes)
        lines.append("| " + " | ".join(str(field) for field in fields) + " |")
    return "\n".join(lines)


def machine_readable(rows: Sequence[Row], machine: str) -> str:
    document = {
        "machine": machine,
        "situations": {key: each.title for key, each in SITUATIONS.items()},
        "peers": [_row(row) for row in rows],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _row(row: Row) -> dict[str, Any]:
    cells = {
        key: {"not run": cell} if isinstance(cell, str) else {**asdict(cell), "faults": cell.faults}
        for key, cell in row.cells.items()
    }
    return {
        "peer": row.key,
        "title": row.title,
        "version": row.version,
        "cells": cells,
        "notes": dict(row.notes),
    }


def write(folder: Path, rows: Sequence[Row], machine: str) -> None:
    (folder / "RESULTS.md").write_text(markdown(rows, machine))
    (folder / "results.json").write_text(machine_readable(rows, machine))
