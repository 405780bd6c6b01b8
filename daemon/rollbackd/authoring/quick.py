"""docs/quick-reference.md: the page that whoever is on call prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.config.instance import default_ladder
from rollbackd.core.evidence import KINDS
from rollbackd.core.levels import WANTED
from rollbackd.core.notation import span
from rollbackd.core.sla import CONSEQUENCES, SLA, TARGET

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS = (2, 3, 4)

COMMANDS: dict[str, tuple[tuple[str, str], ...]] = {
    "A page has come": (
        ("rollbackd status --watch", "what is going on"),
        ("rollbackd show ID", "one rollback: why, how far, what it waits for"),
        ("rollbackd ack ID", "I look after it: stops the ringing, and is no approval"),
        ("rollbackd approve ID -c WHY", "yes: go on, or through a gate"),
        ("rollbackd veto ID -c WHY", "no: do not begin"),
    ),
    "It runs": (
        ("rollbackd hold ID -c WHY", "stop before the next step"),
        ("rollbackd resume ID", "go on, or one more timeout"),
        ("rollbackd confirm ID STEP done -c WHY", "what became of a step; or retry, or skip"),
        ("rollbackd abort ID -c WHY", "no further step; services stay taken until `resolve`"),
    ),
    "Nobody has acted": (
        ("rollbackd start PLAN --reason WHY --dry-run", "what would run"),
        ("rollbackd start PLAN --reason WHY", "roll back now"),
        ("rollbackd start PLAN --reason WHY --scope SCOPE", "a part of it"),
        ("rollbackd pause --service SERVICE -c WHY", "nothing starts by itself; `unpause` ends it"),
    ),
    "Afterwards": (
        ("rollbackd tick ID 1 -c SEEN", "an item of the checklist"),
        ("rollbackd resolve ID --approach forward-fix --description WHAT", "a bad end: frees its services"),
        ("rollbackd rearm --plan PLAN -c WHY", "it may roll back by itself again"),
        ("rollbackd report ID", "the record, in Markdown"),
    ),
    "Before a change": (
        ("rollbackd check --strict --plans", "the files, and what each plan takes against its SLA"),
        ("rollbackd evidence add PLAN --kind rehearsal --took 9m --by NAME", "what was shown of the plan"),
        ("rollbackd evidence list PLAN", "what is on record, and what a change of the plan undid"),
        ("rollbackd gate permit PLAN", "may it grant a permit? 0 yes, 1 no, 4 cannot tell: closed"),
        ("rollbackd rollout begin PLAN --previous V1 --next V2", "triggers act from now on"),
        ("rollbackd rollout finish PLAN", "the change stays"),
    ),
}
"""By the moment in which they are wanted: a command as it is typed, and what it is for."""

HEAD = """\
# Quick reference

Written by `python -m rollbackd.authoring`; what the words mean is in [semantics.md](semantics.md).
Exit status: 0 yes, 1 no, 4 cannot tell (treat as closed), 5 conflict: look again, it has moved on.
"""


def quick_reference() -> str:
    return "\n".join([HEAD, *_commands(), *_ladder(), *_levels(), *_evidence()])


def _commands() -> Iterator[str]:
    yield from ("## Commands", "", "| when | say | |", "|---|---|---|")
    for when, commands in COMMANDS.items():
        for index, (command, means) in enumerate(commands):
            yield f"| {'' if index else when} | `{command}` | {means} |"
    yield ""


def _ladder() -> Iterator[str]:
    yield from ("## If a rollback fails", "", "| after | bring in | and |", "|---|---|---|")
    for rung in default_ladder(("anybody",)):
        _, _, who = rung.title.partition("bring in ")
        what = rung.instructions.partition(": ")[2]
        yield f"| {span(rung.after)} | {who or 'whoever was paged'} | {what} |"
    yield from (
        "",
        "These are the rungs of the default ladder; `ladders:` of rollbackd.yml may say others.",
        "",
    )


def _levels() -> Iterator[str]:
    yield from ("## What a plan has, by level", "")
    yield from _table("", {level: f"level {level}" for level in LEVELS})
    yield from _row("target, SLA", {at: f"{span(TARGET[at])}, {span(SLA[at])}" for at in LEVELS})
    yield from _row("beyond the SLA", {level: CONSEQUENCES[level] for level in LEVELS})
    yield from _row("owner, summary, steps with timeouts", dict.fromkeys(LEVELS, "☐"))
    for name, (first, means) in WANTED.items():
        yield from _row(f"{means} (`{name}`)", _from(first))
    regions = "With regions the SLA is of each. What a plan does without, its `exceptions` say why."
    yield from ("", regions, "")


def _evidence() -> Iterator[str]:
    yield from ("## What is shown of it, by level", "")
    yield from _table("`evidence add PLAN --kind`", {level: f"level {level}" for level in LEVELS})
    for kind, (first, means) in KINDS.items():
        yield from _row(f"`{kind}`: {means}", _from(first))
    yield from ("", "A changed plan is another plan: show it anew. `partial` where it has scopes.", "")


def _table(head: str, columns: dict[int, str]) -> Iterator[str]:
    yield from _row(head, columns)
    yield "|---|" + "---|" * len(columns)


def _row(first: str, cells: dict[int, str]) -> Iterator[str]:
    yield f"| {first} | {' | '.join(cells[level] for level in LEVELS)} |"


def _from(first: int) -> dict[int, str]:
    return {level: "☐" if level >= first else "" for level in LEVELS}
