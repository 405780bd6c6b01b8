"""The auditor: good tapes pass, and each small lie in one is found by the rule it breaks."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.sim import tapes
from tests.sim.tapes import (
    STORIES,
    Edit,
    Tape,
    added,
    both,
    changed,
    effect,
    inserted,
    kind,
    numbered,
    recorded,
    started,
    tape_of,
    told,
    twice,
    without,
    without_rows,
)

from rollbackd.sim.audit import Auditor
from rollbackd.sim.tape import (
    Appended,
    Died,
    FaultsOver,
    Finished,
    Process,
    Record,
    Refused,
    Row,
    Spoke,
    Started,
    Told,
    Violation,
)

ROOT = Path(__file__).parents[2]
HOUR = 3_600_000


def audit(tape: Tape) -> Auditor:
    auditor = Auditor()
    for record in tape:
        auditor.see(record)
    return auditor


def process(what: str) -> tapes.Which:
    return lambda record: isinstance(record, Process) and record.what == what


def run_step(record: Record) -> bool:
    return effect("run_step")(record)


def finished(**fields: bytes) -> Edit:
    def edit(tape: Tape) -> Tape:
        last = tape[-1]
        assert isinstance(last, Finished)
        return [*tape[:-1], Finished(last.at, last.steady, last.state, fields["folded"])]

    return edit


def nothing_fires(tape: Tape) -> Tape:
    """Prometheus goes on telling of the breach, and the daemon goes on asking."""
    opened = next(
        index
        for index, record in enumerate(tape)
        if isinstance(record, Appended) and any(row.kind == "life_opened" for row in record.rows)
    )
    rest = [r for r in tape[opened:] if isinstance(r, Told) or (isinstance(r, Started) and r.effect == "ask")]
    return [*tape[:opened], *rest]


def forgotten(tape: Tape) -> Tape:
    """After its first step the daemon does nothing any more, and faults are long over."""
    settled = next(
        index
        for index, record in enumerate(tape)
        if isinstance(record, Appended) and any(row.kind == "step_settled" for row in record.rows)
    )
    record = tape[settled]
    assert isinstance(record, Appended)
    end = record.at + HOUR
    return [*tape[: settled + 1], FaultsOver(record.at), Finished(end, end, b"", b"")]


def paused(tape: Tape) -> Tape:
    """Everything is paused as the life opens."""
    edited: Tape = []
    for record in tape:
        if isinstance(record, Appended) and any(row.kind == "life_opened" for row in record.rows):
            document = {
                "kind": "pause_began",
                "at": record.rows[0].document["at"],
                "by": "ann",
                "channel": "",
            }
            record = replace(record, rows=(Row(0, "pause_began", None, document), *record.rows))
        edited.append(record)
    return numbered(edited)


def too_soon(before: Started) -> Record:
    return Started(before.at, before.steady, "step/api-1/1", "run_step", {"life": "api-1", "execution": 1})


def hasty(before: Started) -> Record:
    fields = {"page": "x", "receiver": "sre", "status": "firing", "dedup": "x"}
    return Started(before.at, before.steady, "page/x/sre/firing", "page", fields)


def no_new_windows(tape: Tape) -> Tape:
    """The veto's wait ends in action without a window told since (D7)."""
    documents = [row for r in tape if isinstance(r, Appended) for row in r.rows]
    over = next(row for row in documents if row.kind == "wait_ended").document["at"]
    opened = next(row for row in documents if row.kind == "life_opened").document
    began = next(row for row in documents if row.kind == "rollback_began").document
    began["firings"] = opened["firings"]
    return [r for r in tape if not (isinstance(r, Told) and over - 5_000 <= r.steady <= began["at"])]


def lengthened(firings: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{**found, "streak": 9} for found in firings]


def misread(firings: list[dict[str, object]]) -> list[dict[str, object]]:
    def wrong(windows: list[dict[str, object]]) -> list[dict[str, object]]:
        return [*windows[:-1], {**windows[-1], "value": "3"}]

    return [{**found, "windows": wrong(found["windows"])} for found in firings]  # type: ignore[arg-type]


def unseen(firings: list[dict[str, object]]) -> list[dict[str, object]]:
    def blind(windows: list[dict[str, object]]) -> list[dict[str, object]]:
        return [*windows[:-1], {"end": windows[-1]["end"], "verdict": "no_data"}]

    return [{**found, "windows": blind(found["windows"])} for found in firings]  # type: ignore[arg-type]


def sought_at_will(tape: Tape) -> Tape:
    """A late sample is looked for at another moment than all agree on."""
    asked = next(r for r in tape if isinstance(r, Started) and len(r.fields.get("ends", ())) > 1)
    asked.fields["ends"] = [*asked.fields["ends"][:-1], asked.fields["ends"][-1] + 1]
    return tape


def later(by: int) -> object:
    return lambda value: value + by


LIES: dict[str, tuple[str, Edit, str]] = {
    # The record, and effects against it
    "a batch was lost": ("auto", without(lambda r: isinstance(r, Appended), 3), "J1"),
    "time runs backwards": ("auto", changed(kind("rollback_began"), at=later(-HOUR)), "T1"),
    "the journal does not give the state": ("auto", finished(folded=b"{}"), "I12"),
    "a step starts before its intent": ("auto", inserted(too_soon, effect("ask")), "I2"),
    "a step at hand is left alone": ("auto", without_rows(kind("step_ordered")), "X3"),
    "a page is sent before it is promised": ("auto", inserted(hasty, effect("ask")), "I2"),
    "a rung is reached and pages nobody": (
        "failed",
        without_rows(kind("page_promised", page_kind="page")),
        "E1",
    ),
    "a dead daemon acts": ("auto", inserted(lambda r: Died(r.at, "killed"), run_step), "I2"),
    "a daemon acts while it cannot write": ("auto", inserted(lambda r: Refused(r.at), run_step), "E5"),
    # Steps
    "an execution begins twice": ("auto", twice(process("began")), "I3"),
    "a step runs after another that has not ended": ("auto", without(process("ended"), 0), "X3"),
    "a step is never settled": ("auto", without_rows(kind("step_settled", step="drain")), "I4"),
    "a step jumps the queue": ("auto", changed(kind("step_reached"), step="revert", phase="revert"), "X1"),
    "an intent is never carried out": (
        "auto",
        both(
            without(run_step), without(lambda r: isinstance(r, Process)), without_rows(kind("step_started"))
        ),
        "X3",
    ),
    "an attempt is not counted": ("repeatable", changed(kind("step_ordered", step="b"), 1, attempt=1), "X6"),
    "the pause is not waited": ("repeatable", changed(kind("step_staged"), until=later(-999)), "X6"),
    "a failed step is done": ("failed", changed(kind("step_settled", result="failed"), result="done"), "X6"),
    "an exit is misread": ("failed", changed(kind("step_ended", status=1), status=0), "X3"),
    "too late to start, and nobody looks": ("auto", changed(kind("step_ordered"), not_after=None), "W7"),
    "fresh for ever": ("auto", changed(kind("step_ordered"), not_after=later(HOUR)), "W7"),
    "another command runs": ("auto", started("run_step", run={"argv": ["./other"]}), "I15"),
    "a step is told of another life": ("auto", started("run_step", env={"ROLLBACK_ID": "x"}), "X2"),
    "a step's output is journalled whole": ("auto", changed(kind("step_ended"), output="x" * 99_999), "I16"),
    "a guard is not waited for": (
        "checked",
        without_rows(lambda row: row.kind == "check_answered" and "/guard/" in row.document["check"]),
        "I11",
    ),
    "a check is misread": ("checked", changed(kind("check_answered"), answer="fail", status=1), "X4"),
    "a safety check is skipped": ("checked", without_rows(kind("check_answered", name="backup")), "D2"),
    "the plan's clock is wrong": ("auto", changed(kind("rollback_began"), overrun_at=later(1)), "X9"),
    # Windows and decisions
    "a breach is lost": ("failed", nothing_fires, "I1"),
    "the evidence is not what was told": ("auto", changed(kind("life_opened"), firings=misread), "I8"),
    "the streak is not what was told": ("auto", changed(kind("life_opened"), firings=lengthened), "W4"),
    "a window is asked between its ends": ("auto", started("ask", ends=lambda ends: [ends[0] + 1]), "W1"),
    "a late sample is looked for at will": ("late scrape", sought_at_will, "W1"),
    "a late sample is passed over": ("late scrape", changed(kind("life_opened"), firings=unseen), "W14"),
    "who fired stays armed": ("auto", without_rows(kind("subject_disarmed")), "W8"),
    "the cooldown is cut short": (
        "rollout",
        changed(kind("subject_armed"), at=later(0), why="streak_ended"),
        "W8",
    ),
    "an action is made up": ("auto", changed(kind("life_opened"), action="ask"), "D2"),
    "an action has no trigger": ("auto", changed(kind("life_opened"), top="ask", action="ask"), "D1"),
    "a rollout is open twice": ("rollout", changed(kind("rollout_rolled_back"), rollout="api-r9"), "W9"),
    "a rollout outlives its rollback": ("rollout", without_rows(kind("rollout_rolled_back")), "W9"),
    "a pause is ignored": ("auto", paused, "I9"),
    "what was lowered rises": ("shared", added(kind("action_changed", life="two-1"), action="auto"), "I10"),
    "a reason is forgotten": ("shared", changed(kind("rollback_began", life="two-1"), action="auto"), "I10"),
    "the lock is taken early": ("shared", without_rows(kind("life_ended", life="one-1")), "D3"),
    "two lives on a service": (
        "shared",
        without_rows(
            kind("life_ended", life="one-1"),
            kind("report_written", life="one-1"),
            kind("wait_ended", life="two-1", wait="lock"),
        ),
        "I5",
    ),
    "a wait ends in action": ("veto", no_new_windows, "I18"),
    "the veto window is too short": ("veto", changed(kind("veto_opened"), until=later(-1)), "D8"),
    "nobody was warned": ("veto", without_rows(kind("page_delivered")), "D8"),
    # People
    "an approval of nobody's": ("ask", without(lambda r: isinstance(r, Spoke)), "E3"),
    "an approval expires late": ("ask", changed(kind("wait_began", wait="approval"), until=later(1)), "D7"),
    "a hold is ignored": ("people", without_rows(kind("life_resumed")), "D5"),
    "a hold was accepted, and is nowhere": ("people", without_rows(kind("life_held")), "E3"),
    "an abort is ignored": ("people", without_rows(kind("abort_asked")), "E3"),
    "an acknowledgement lasts too long": ("people", changed(kind("matter_acked"), until=later(1)), "E3"),
    "a veto is of nobody": ("vetoed", changed(kind("life_ended"), by="rollbackd"), "D7"),
    # Proof
    "verified while it breaches": ("auto", told("2", kind("rollback_verified")), "I7"),
    "verified by nothing": ("checked", without_rows(kind("check_answered", name="well")), "I7"),
    "the proof's time is wrong": ("auto", changed(kind("verification_began"), deadline=later(1)), "S3"),
    "the clock runs from another moment": ("auto", changed(kind("rollback_began"), decided=later(-1)), "S1"),
    "the SLA is breached in silence": (
        "late",
        both(
            without(lambda r: isinstance(r, Started) and "sla/" in r.key),
            without_rows(
                kind("sla_breached"),
                lambda row: "sla/" in row.document.get("matter", "") + row.document.get("page", ""),
            ),
        ),
        "S2",
    ),
    # Pages
    "a bad end pages nobody": (
        "failed",
        without_rows(
            lambda row: (
                row.kind in ("matter_opened", "rung_reached")
                or (row.kind == "page_promised" and row.document["page_kind"] == "page")
            )
        ),
        "E2",
    ),
    "a rung is passed over": (
        "failed",
        without_rows(kind("rung_reached"), kind("page_promised", page_kind="page")),
        "E1",
    ),
    "a page goes elsewhere": (
        "failed",
        changed(kind("page_promised", page_kind="page"), receivers=["x"]),
        "E1",
    ),
    "a page is never sent": (
        "failed",
        both(without(effect("page")), without(effect("keep_alert")), without_rows(kind("page_delivered"))),
        "I6",
    ),
    "a page is sent twice": ("failed", twice(effect("page")), "E2"),
    "a rung has the key of another": (
        "failed",
        changed(kind("page_promised", page_kind="page"), 1, dedup="api-1/failed/0"),
        "E2",
    ),
    "a refusal is the end": ("late", changed(kind("page_refused"), again=None), "I6"),
    "a refusal goes no further": ("late", changed(kind("page_refused"), next=None), "E2"),
    "nobody hears of what began": ("auto", without_rows(kind("page_promised", page_kind="tell")), "E2"),
    "another report is told of than was owed": ("auto", changed(kind("report_written"), number=7), "E6"),
    "a report is told of twice": ("auto", added(kind("report_written")), "E6"),
    "a life hangs, and nobody knows": ("auto", forgotten, "I14"),
}


@pytest.mark.parametrize("name", STORIES)
def test_a_good_tape_passes(name: str) -> None:
    audit(tape_of(name))


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_found_by_the_rule_it_breaks(name: str) -> None:
    story, edit, rule = LIES[name]
    tape = edit(tape_of(story))
    with pytest.raises(Violation) as found:
        audit(tape)
    assert found.value.rule == rule, found.value


ELSEWHERE = {
    "I13": "tests/adapters/journal/test_chain.py",  # a tape has documents, not their hashes
}


def test_every_invariant_is_audited_or_held_elsewhere() -> None:
    document = (ROOT / "docs/semantics.md").read_text()
    promised = set(re.findall(r"\bI\d+\b", document.partition("## Invariants")[2].partition("## Later")[0]))
    audited: Counter[str] = Counter()
    for name in STORIES:
        audited.update(audit(list(recorded(name))).asserted)
    audited.update({rule for _, _, rule in LIES.values()})
    assert len(promised) > 10
    assert promised - set(audited) == set(ELSEWHERE)
    assert all((ROOT / path).exists() for path in ELSEWHERE.values())
