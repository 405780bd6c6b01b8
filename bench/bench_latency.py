"""From a breach's window to its rollback's first step, in the real daemon: `python bench/bench_latency.py`.

Sixty-four plans with a trigger each, in eight groups whose windows of a second end 125 ms apart; one
breaches each second. The step's script notes the time as its first act. What Prometheus would add is
left out: a stub answers at once.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path

from rig import busy, running, show, trigger, write
from stub import Labels, Stub

from rollbackd.core import events as e
from rollbackd.journal.sqlite import SqliteJournal
from rollbackd.journal.statedir import read_uuid

GROUPS, EACH = 8, 8
SCRIPT = '#!/bin/bash\nprintf "%s" "$EPOCHREALTIME" > "$MARKS/$ROLLBACK_PLAN"\n'
SELECTOR = re.compile(r'n="(\d+)"')


class Service:
    """Breaches one after the other, from the moment `begins` on, each for good."""

    def __init__(self) -> None:
        self.begins = float("inf")

    def __call__(self, expr: str, at: float) -> dict[Labels, float]:
        found = SELECTOR.search(expr)
        assert found is not None
        if "timestamp" in expr:
            return {(): at - 0.01}
        return {(): float(at >= self.begins + int(found[1]))}


def expression(number: int) -> str:
    return f'max(bad{{n="{number}"}})'


def configuration(folder: Path, url: str, marks: Path, plans: list[str]) -> Path:
    groups = [
        {
            "name": f"g{group}",
            "interval": "1s",
            "align": f"{group * 1000 // GROUPS}ms",
            "triggers": [
                trigger(f"T{number}", expression(number), plans[number])
                for number in range(group, GROUPS * EACH, GROUPS)
            ],
        }
        for group in range(GROUPS)
    ]
    return write(folder, url, groups, plans, SCRIPT, {"MARKS": str(marks)})


def await_marks(marks: Path, count: int) -> dict[str, float]:
    deadline = time.monotonic() + count + 20
    while len(list(marks.iterdir())) < count and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1)
    return {mark.name: float(mark.read_text()) for mark in marks.iterdir()}


def journalled(state: Path) -> dict[str, dict[str, float]]:
    """Plan → event → when it was handed to the journal (s, wall clock)."""
    journal = SqliteJournal(state / "journal.db", origin=read_uuid(state), code="bench")
    found: dict[str, dict[str, float]] = {}
    for row in journal.replay():
        if isinstance(row.event, e.LifeEvent):
            plan = row.event.life.rpartition("-")[0]
            found.setdefault(plan, {}).setdefault(row.kind, row.stamp.wall / 1000)
    journal.close()
    return found


def run(count: int) -> None:
    service = Service()
    plans = [f"plan{number}" for number in range(GROUPS * EACH)]
    with tempfile.TemporaryDirectory() as place, Stub(service) as stub:
        marks = Path(place) / "marks"
        marks.mkdir()
        main = configuration(Path(place), stub.url, marks, plans)
        with running(main):
            service.begins = float(int(time.time()) + 3)
            ran = await_marks(marks, count)
        report(service, stub, ran, journalled(Path(place) / "state"))


def report(service: Service, stub: Stub, ran: dict[str, float], rows: dict[str, dict[str, float]]) -> None:
    window, own, last = [], [], []
    parts: dict[str, list[float]] = {name: [] for name in ("decided", "ordered", "runs", "told")}
    for plan, at in ran.items():
        number = int(plan.removeprefix("plan"))
        end = round((service.begins + number) * 1000) + number % GROUPS * 1000 // GROUPS
        expr = expression(number)
        mine = max(stub.written[expr, end], stub.written[f'max(timestamp(bad{{n="{number}"}}))', end])
        all_in = max(when for (_, ends), when in stub.written.items() if ends == end and when <= at)
        window.append((at - end / 1000) * 1e3)
        own.append((at - mine) * 1e3)
        last.append((at - all_in) * 1e3)
        row = rows[plan]
        parts["decided"].append((row["life_opened"] - all_in) * 1e3)
        parts["ordered"].append((row["step_ordered"] - row["life_opened"]) * 1e3)
        parts["runs"].append((at - row["step_ordered"]) * 1e3)
        parts["told"].append((row["step_started"] - at) * 1e3)
    print(f"{len(ran)} rollbacks, one a second, beside {GROUPS * EACH} triggers at 1 s")
    show("decisive answer written → step runs", last, "ms", "20 median, 100 p99")
    show("the trigger's own answer written → step runs", own, "ms")
    show("window end + delay → step runs", window, "ms")
    print("  of which (the journal's times are whole ms)")
    show("  answer → the decision's append", parts["decided"], "ms")
    show("  → the step's intent's append", parts["ordered"], "ms")
    show("  → the script's first act", parts["runs"], "ms")
    show("  → the daemon knows that it runs", parts["told"], "ms")
    busy()


if __name__ == "__main__":
    run(min(int(sys.argv[1]) if len(sys.argv) > 1 else 64, GROUPS * EACH))
