"""Tapes of good stories, and small edits that make them bad."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any, TypeAlias

from msgspec.structs import replace
from tests.fakes import made
from tests.fakes.made import MINUTE, SECOND
from tests.fakes.targets import align, watched
from tests.sim.recorded import Recorded
from tests.stories.catalog import plots

from rollbackd.core import signals as s
from rollbackd.sim.tape import Appended, Record, Row, Started, Told

Tape: TypeAlias = list[Record]
Edit: TypeAlias = Callable[[Tape], Tape]
Which: TypeAlias = Callable[[Any], bool]


def _plot(name: str) -> Recorded:
    plot = plots()[name]()
    one = Recorded(plot.config, plot.world())
    plot.play(one)
    return one


def _rollout() -> Recorded:
    one = Recorded(made.config(made.trigger(arm="rollout", cooldown=MINUTE)))
    one.say(s.BeginRollout("api", "1.0", "1.1"))
    one.tape(made.trigger(), "BBBB", ".", windows=2)
    one.run(span=10 * MINUTE)
    return one


def _people() -> Recorded:
    """Held and resumed, then aborted, acknowledged and resolved."""
    one = Recorded(made.config())
    one.world.steps["revert"] = [{"after": 20 * SECOND}]
    one.tape(made.trigger(), "", "B")
    one.run_to_state("api-1", "running")
    one.say(s.Hold("api-1"))
    one.run(span=MINUTE)
    one.say(s.Resume("api-1"))
    one.run(span=5 * SECOND)
    one.say(s.Abort("api-1"))
    one.run_to_state("api-1", "aborted")
    one.say(s.Ack("api-1"))
    one.run(span=40 * MINUTE)
    one.say(s.Resolve("api-1", "by hand", "looked at it"))
    one.run(span=MINUTE)
    return one


def _late() -> Recorded:
    """A step that outlasts the SLA, and a receiver that refuses."""
    plan = made.plan(sla=MINUTE, timeout=20 * MINUTE)
    one = Recorded(made.config(plans=(plan,)))
    one.world.receivers["sre"] = lambda _: False
    one.world.steps["revert"] = [{"after": 3 * MINUTE}]
    one.tape(made.trigger(), "BBBB", ".")
    one.run(span=10 * MINUTE)
    return one


def _vetoed() -> Recorded:
    trigger = made.trigger(action="auto_with_warning", severity="high", cooldown=2 * MINUTE)
    one = Recorded(made.config(trigger))
    one.tape(trigger, "BBBBB", ".")
    one.run_to_state("api-1", "waiting_veto")
    one.say(s.Veto("api-1"))
    one.run(span=10 * MINUTE)
    return one


def _late_scrape() -> Recorded:
    """What is not there counts as a breach here; and the last sample before it fires comes late."""
    one = Recorded(watched(no_data="breach"))
    targets = align(one)
    targets.bad = {0, 1, 2}
    targets.late["", 2] = 400
    one.run(targets.end(6))
    return one


STORIES: dict[str, Callable[[], Recorded]] = {
    "auto": lambda: _plot("auto"),
    "repeatable": lambda: _plot("repeatable"),
    "checked": lambda: _plot("checked"),
    "veto": lambda: _plot("veto"),
    "ask": lambda: _plot("ask"),
    "failed": lambda: _plot("failed"),
    "shared": lambda: _plot("shared"),
    "rollout": _rollout,
    "people": _people,
    "late": _late,
    "vetoed": _vetoed,
    "late scrape": _late_scrape,
}


@cache
def recorded(name: str) -> tuple[Record, ...]:
    """Its whole tape; audited while it was played."""
    one = STORIES[name]()
    one.finish()
    return tuple(one.recorder.tape)


def tape_of(name: str) -> Tape:
    return deepcopy(list(recorded(name)))


# Edits


def numbered(tape: Tape) -> Tape:
    """Rows numbered without a gap; batches that lost all theirs are gone."""
    seq, found = 0, []
    for record in tape:
        if isinstance(record, Appended):
            if not record.rows:
                continue
            rows = []
            for row in record.rows:
                seq += 1
                rows.append(replace(row, seq=seq))
            record = replace(record, rows=tuple(rows))
        found.append(record)
    return found


def kind(name: str, /, **fields: Any) -> Which:
    """A row of that kind whose document has these fields."""

    def fits(row: Row) -> bool:
        return row.kind == name and all(row.document.get(key) == value for key, value in fields.items())

    return fits


def effect(name: str) -> Which:
    return lambda record: isinstance(record, Started) and record.effect == name


def without_rows(*which: Which) -> Edit:
    """As if these rows had never been written."""

    def edit(tape: Tape) -> Tape:
        edited, found = [], False
        for record in tape:
            if isinstance(record, Appended):
                kept = tuple(row for row in record.rows if not any(fits(row) for fits in which))
                found = found or len(kept) < len(record.rows)
                record = replace(record, rows=kept)
            edited.append(record)
        assert found, "no such row"
        return numbered(edited)

    return edit


def changed(which: Which, nth: int = 0, /, **fields: Any) -> Edit:
    """The nth such row says something else; a function gets the value that was, None removes it."""

    def edit(tape: Tape) -> Tape:
        rows = [row for record in tape if isinstance(record, Appended) for row in record.rows if which(row)]
        document = rows[nth].document
        for name, value in fields.items():
            document[name] = value(document.get(name)) if callable(value) else value
            if document[name] is None:
                del document[name]
        return tape

    return edit


def added(which: Which, /, **fields: Any) -> Edit:
    """After the first such row the same once more, with other fields."""

    def edit(tape: Tape) -> Tape:
        edited, done = [], False
        for record in tape:
            if isinstance(record, Appended) and not done:
                index = next((i for i, row in enumerate(record.rows) if which(row)), None)
                if index is not None:
                    row = record.rows[index]
                    more = replace(row, document={**row.document, **fields})
                    rows = (*record.rows[: index + 1], more, *record.rows[index + 1 :])
                    record, done = replace(record, rows=rows), True
            edited.append(record)
        assert done, "no such row"
        return numbered(edited)

    return edit


def without(which: Which, nth: int | None = None) -> Edit:
    """As if the nth such record, or each, had never been."""

    def edit(tape: Tape) -> Tape:
        found = [index for index, record in enumerate(tape) if which(record)]
        dropped = set(found if nth is None else [found[nth]])
        assert dropped, "no such record"
        return [record for index, record in enumerate(tape) if index not in dropped]

    return edit


def twice(which: Which) -> Edit:
    def edit(tape: Tape) -> Tape:
        index = next(index for index, record in enumerate(tape) if which(record))
        return [*tape[: index + 1], tape[index], *tape[index + 1 :]]

    return edit


def inserted(record: Callable[[Any], Record], before: Which) -> Edit:
    """One record more, made of the one it comes before."""

    def edit(tape: Tape) -> Tape:
        index = next(index for index, known in enumerate(tape) if before(known))
        return [*tape[:index], record(tape[index]), *tape[index:]]

    return edit


def started(name: str, /, **fields: Any) -> Edit:
    """The first such effect has other fields."""

    def edit(tape: Tape) -> Tape:
        record = next(record for record in tape if effect(name)(record))
        assert isinstance(record, Started)
        for key, value in fields.items():
            record.fields[key] = value(record.fields[key]) if callable(value) else value
        return tape

    return edit


def told(value: str, since: Which) -> Edit:
    """From the batch with that row back, the last answer for every subject was `value`."""

    def edit(tape: Tape) -> Tape:
        until = next(
            index for index, r in enumerate(tape) if isinstance(r, Appended) and any(since(x) for x in r.rows)
        )
        last = max(index for index, r in enumerate(tape[:until]) if isinstance(r, Told))
        for answer in tape[last].answers:  # type: ignore[union-attr]
            for window in answer.windows or ():
                window.update(dict.fromkeys(window, value))
        return tape

    return edit


def both(*edits: Edit) -> Edit:
    def edit(tape: Tape) -> Tape:
        for one in edits:
            tape = one(tape)
        return tape

    return edit
