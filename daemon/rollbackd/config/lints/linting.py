"""Runs the lints over what was read, and heeds the comments that disable them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, NamedTuple

from rollbackd.config.lints import levels
from rollbackd.config.lints.directives import Disable, note, read_directives
from rollbackd.config.lints.lint import Watched
from rollbackd.config.lints.registry import FIXED, LINTS
from rollbackd.config.problem import Problem, one_line
from rollbackd.config.promises import sound_plans
from rollbackd.config.validate import nearest
from rollbackd.config.yaml_source import read

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from datetime import date

    from rollbackd.config.bundle import Bundle
    from rollbackd.config.lints.lint import Finding, Lint, Needs
    from rollbackd.config.yaml_source import Document

TESTS = ".test.yml"


Severity = Literal["error", "warning"]


_FINDING = [(lint, lint.find) for lint in LINTS.values() if lint.find is not None]


class Disabled(NamedTuple):
    """A problem that is not told, until that day (included), because somebody said so."""

    problem: Problem
    until: date
    because: str


class Settled(NamedTuple):
    problems: list[Problem]
    disabled: list[Disabled]


def find(bundle: Bundle, today: date) -> list[Problem]:
    """What every lint finds in the bundle's sound triggers and plans, and in what its templates make of their
    examples, disabled or not."""
    plans = {plan.model.plan: plan.model for plan in bundle.plans}
    said = {id(document): read_directives(document) for document in bundle.trigger_files}
    tested = {folder: _tested(folder) for folder in {each.path.parent for each in bundle.trigger_files}}
    max_action = bundle.settings.max_action if bundle.settings is not None else "auto"
    found: list[Problem] = []
    for each, trigger in [*bundle.triggers, *bundle.examples]:
        document = each.document
        watched = Watched(
            read=each,
            trigger=trigger,
            plan=plans.get(trigger.plan),
            max_action=max_action,
            tested=tested[document.path.parent],
            since=said[id(document)].since(document.where(each.loc).line),
            today=today,
        )
        for lint, look in _FINDING:
            found += (problem(document, lint, finding) for finding in look(watched))
    # Who is told may be said in a rollbackd.yml that is not here.
    notify = bundle.settings.notify if bundle.settings is not None else ["?"]
    for plan, resolved, _ in sound_plans(bundle):
        found += (problem(plan.document, lint, one) for lint, one in levels.of_plan(resolved, notify))
    return found


def problem(document: Document, lint: Lint, finding: Finding, severity: Severity = "warning") -> Problem:
    """The finding, where it stands. Errors cannot be disabled."""
    at = document.where(finding.loc)
    key = next((part for part in reversed(finding.loc) if isinstance(part, str)), "file")
    remedy = finding.remedy or lint.remedy
    return Problem(document.shown, *at, key, finding.what, remedy, severity, lint.id)


def _tested(folder: os.PathLike[str]) -> frozenset[str] | None:
    """The triggers that the folder's tests name; None where there are no tests. What else is wrong with a
    test is told by whoever runs it."""
    try:
        files = sorted(entry.path for entry in os.scandir(folder) if entry.name.endswith(TESTS))
    except OSError:  # it was said that its files cannot be read
        return None
    return frozenset(name for file in files for name in _named_in(file)) if files else None


def _named_in(file: str) -> Iterator[str]:
    from pathlib import Path

    data = read(Path(file), file, file).data
    tests = data.get("tests") if data is not None else None
    for test in tests if isinstance(tests, list) else ():
        if isinstance(test, dict) and isinstance(test.get("trigger"), str):
            yield test["trigger"]


def settle(
    documents: Iterable[Document], problems: Iterable[Problem], today: date, seen: Collection[Needs]
) -> Settled:
    """The problems, less those that a comment disables, and what is to be said of the comments themselves.
    `seen`: what the lints could look at; what those that need more would have found is not known."""
    by_file: dict[str, list[Disable]] = {}
    told: list[Problem] = []
    for document in documents:
        said = read_directives(document)
        told += said.malformed
        by_file[document.shown] = said.disables
    disabled: list[Disabled] = []
    for each in problems:
        heeded = [one for one in by_file.get(each.file, ()) if _heeds(one, each, today)]
        if heeded:
            disabled.append(Disabled(each, heeded[0].until, heeded[0].because))
        else:
            told.append(each)
    for disables in by_file.values():
        for disable in disables:
            told += _of_comment(disable, today, seen)
    return Settled(told, disabled)


def _heeds(disable: Disable, problem: Problem, today: date) -> bool:
    if disable.until < today or problem.severity == "error" or not problem.lint:
        return False
    if not disable.covers(problem):
        return False
    disable.used.add(problem.lint)
    return True


def _of_comment(disable: Disable, today: date, seen: Collection[Needs]) -> Iterator[Problem]:
    document, comment = disable.document, disable.comment
    for name in disable.lints:
        lint = LINTS.get(name)
        if lint is None or name in FIXED:
            yield note(document, comment, "disable-unknown", *_unknown(name))
        elif disable.until < today:
            what = f"disabled {name} until {disable.until}, which has passed"
            yield note(document, comment, "disable-expired", what, LINTS["disable-expired"].remedy)
        elif lint.needs in seen and name not in disable.used:
            yield note(document, comment, "disable-unused", f"there is no {name} here", "remove it")


def _unknown(name: str) -> tuple[str, str]:
    shown = one_line(name)
    if name in FIXED:
        return f"{shown} cannot be disabled", "mend what it says"
    close = nearest(name, [each for each in LINTS if each not in FIXED])
    remedy = f"did you mean `{close}`?" if close is not None else "see `rollbackd check --explain list`"
    return f"there is no lint `{shown}`", remedy
