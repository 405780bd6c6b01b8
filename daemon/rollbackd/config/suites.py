"""`*.test.yml` and the files of triggers that they name → cases that can be run."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rollbackd.config import library
from rollbackd.config.bundle import Bundle, judge, named_files, refuse_other_kinds
from rollbackd.config.instance import severities
from rollbackd.config.models.instance import ActionsModel, InstanceModel
from rollbackd.config.models.tests import LIBRARY, MOST_WINDOWS, CaseModel, TestFileModel
from rollbackd.config.models.triggers import TriggerFileModel
from rollbackd.config.names import check_names
from rollbackd.config.problem import ConfigErrors, Problem, errors, in_order, one_line
from rollbackd.config.triggers import resolve_trigger
from rollbackd.config.validate import nearest, validate
from rollbackd.config.yaml_source import read
from rollbackd.core.model import Action, subject_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rollbackd.config.triggers import Severities
    from rollbackd.config.yaml_source import Document, Loc
    from rollbackd.core.model import Ms, Severity, Trigger

MOST_SAMPLES = 100_000
"""Of all series of one test."""

Expected = Literal["fires", "verdicts", "streak", "actions"]


@dataclass(frozen=True, slots=True)
class Case:
    """One test: its trigger as the daemon would have it, and whose windows are looked at."""

    document: Document
    loc: Loc
    model: CaseModel
    trigger: Trigger
    subject: str  # its key

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def file(self) -> str:
        return self.document.shown

    def line(self, *loc: str) -> int:
        return self.document.where((*self.loc, *loc)).line

    @property
    def step(self) -> Ms:
        """Between two values of a series."""
        return self.model.interval or self.trigger.interval

    @property
    def windows(self) -> int:
        """How many there are. The k-th ends where the k-th value stands, if values are an interval apart."""
        if self.model.input_series is None:
            return len(self.model.readings[0]) if self.model.readings else 0
        longest = max(len(one.values) for one in self.model.input_series)
        return (longest - 1) * self.step // self.trigger.interval + 1


@dataclass(slots=True)
class Suite:
    """One file of tests, and in `bundle` the files it names. `triggers`: all of theirs, by name."""

    document: Document
    bundle: Bundle
    cases: list[Case] = field(default_factory=list)
    triggers: dict[str, Trigger] = field(default_factory=dict)

    def documents(self) -> list[Document]:
        return [self.document, *self.bundle.documents()]

    def problems(self) -> list[Problem]:
        """Warnings of triggers are told where these are checked."""
        return in_order([*self.document.problems, *errors(self.bundle.problems())])

    @property
    def sound(self) -> bool:
        return not errors(self.problems())


def files_of_tests(path: Path) -> list[Path]:
    """The file itself; of a folder every `*.test.yml` below it, but for hidden folders, in order."""
    if not path.is_dir():
        return [path]
    found = []
    for parent, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent, name) for name in sorted(names) if name.endswith(".test.yml")]
    return found


@dataclass(frozen=True, slots=True)
class Instance:
    """What a test needs to know of a rollbackd.yml: what severities mean, the ceiling (D1, D2), and what an
    answer with warnings is worth (W2)."""

    severities: Mapping[Severity, Severities]
    max_action: Action = "auto"
    warnings: Literal["unusable", "ignore"] = "unusable"


def read_instance(path: Path | None) -> Instance:
    """Of this rollbackd.yml; of none, what holds without one. ConfigErrors: it cannot be used."""
    if path is None:
        return Instance(severities(ActionsModel()))
    document = read(path, str(path), path.name)
    model = validate(InstanceModel, document, document.data) if document.data is not None else None
    if model is None:
        raise ConfigErrors(in_order(document.problems))
    return Instance(severities(model.actions), model.max_action, model.prometheus.warnings)


def read_suite(path: Path, shown: str, instance: Instance | None = None) -> Suite:
    """The file's cases, where it has no errors; its problems otherwise. Never raises for what files hold."""
    return suite_of(read(path, shown, path.name), instance or read_instance(None))


def suite_of(document: Document, instance: Instance) -> Suite:
    """As `read_suite`, of a file that was read already."""
    suite = Suite(document, Bundle())
    refuse_other_kinds(document, "tests")
    data = document.data
    if data is None:
        return suite
    suite.bundle.trigger_files += named_files(document, "triggers", data.get("triggers", []))
    judge(suite.bundle)
    for read_trigger, _ in suite.bundle.triggers:
        trigger = resolve_trigger(read_trigger, instance.severities)
        suite.triggers.setdefault(trigger.name, trigger)
    model = validate(TestFileModel, document, data)
    _check_names(suite)
    if model is not None:
        for index, case in enumerate(model.tests):
            _add(suite, ("tests", index), case, instance)
    return suite


def _check_names(suite: Suite) -> None:
    files = suite.bundle.trigger_files
    readable = all(document.data is not None for document in files)
    models = [(TriggerFileModel, document) for document in files]
    check_names([(TestFileModel, suite.document), *models], frozenset(["trigger"] if readable else []))


def _add(suite: Suite, loc: Loc, model: CaseModel, instance: Instance) -> None:
    trigger = suite.triggers.get(model.trigger)
    if model.trigger.startswith(LIBRARY):
        trigger = _of_the_library(suite, loc, model.trigger, instance)
    if trigger is None:
        return  # told of by its name, or at the trigger itself
    case = Case(suite.document, loc, model, trigger, _subject(suite.document, loc, model, trigger))
    before = len(suite.document.problems)
    _check_readings(case)
    _check_series(case)
    _check_expected(case)
    if len(suite.document.problems) == before:
        suite.cases.append(case)


def _of_the_library(suite: Suite, loc: Loc, name: str, instance: Instance) -> Trigger | None:
    """What the template makes of the case's own `set`."""
    raw = suite.document.data["tests"][loc[-1]] if suite.document.data is not None else {}
    use = library.Use(suite.document, (*loc, "trigger"), name, (*loc, "set"), raw.get("set"))
    made = library.read_example(use)
    if made is None:
        return None
    trigger = resolve_trigger(made, instance.severities)
    suite.triggers.setdefault(name, trigger)
    return trigger


def _subject(document: Document, loc: Loc, model: CaseModel, trigger: Trigger) -> str:
    """The key of whom the case speaks of; what is wrong with it is noted."""
    at, per = (*loc, "subject"), trigger.per
    for name in model.subject:
        if name not in per:
            close = nearest(name, per)
            remedy = f"did you mean `{close}`?" if close else "remove it"
            what = f"`{one_line(name)}` is not in the trigger's `per`" if per else "the trigger has no `per`"
            document.problem((*at, name), what, remedy, at_key=True)
    missing = [name for name in per if name not in model.subject]
    if missing:
        what = f"does not say `{missing[0]}`, which the trigger's `per` names"
        written = ", ".join(f"{name}: …" for name in per)
        document.problem(at, what, f"write {{{written}}}")
    return subject_key(tuple(model.subject.get(name, "") for name in per))


def _check_readings(case: Case) -> None:
    model, document = case.model, case.document
    if model.readings is None:
        return
    leaves = list(case.trigger.condition.leaves())
    for key, texts in (("readings", model.readings), ("traffic", model.traffic)):
        if texts is not None and len(texts) != len(leaves):
            one = len(leaves) == 1
            has = "the trigger has one condition" if one else f"its condition has {len(leaves)} parts"
            remedy = "write one text" if one else "write one for each part, in their order"
            document.problem((*case.loc, key), f"has {_count(len(texts), 'text')}, and {has}", remedy)
        for index, values in enumerate(texts or ()):
            if values is not None and len(values) != case.windows:
                what = f"says {_count(len(values), 'window')}, and `readings` says {case.windows}"
                document.problem((*case.loc, key, index), what, "write one value for each window")
    for index, (leaf, values) in enumerate(zip(leaves, model.traffic or (), strict=False)):
        if values is not None and leaf.traffic is None:
            what = f"the trigger looks at no traffic{' there' if len(leaves) > 1 else ''}"
            remedy = "remove it, or add `ratio` or `traffic` to the trigger"
            document.problem((*case.loc, "traffic", index), what, remedy)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _check_series(case: Case) -> None:
    seen: dict[tuple[tuple[str, str], ...], int] = {}
    for index, one in enumerate(case.model.input_series or ()):
        loc = (*case.loc, "input_series", index, "series")
        first = seen.setdefault(tuple(one.series.items()), index)
        if first != index:
            line = case.document.where((*loc[:-2], first, "series")).line
            case.document.problem(loc, f"stands here already (line {line})", "put its values into one")
    held = sum(len(one.values) for one in case.model.input_series or ())
    if held > MOST_SAMPLES:
        what = f"holds {held} values, more than {MOST_SAMPLES}"
        case.document.problem((*case.loc, "input_series"), what, "write fewer series, or shorter ones")
    if case.windows > MOST_WINDOWS:
        what = f"spans {case.windows} windows, more than {MOST_WINDOWS}"
        case.document.problem((*case.loc, "input_series"), what, "write fewer values")


def _check_expected(case: Case) -> None:
    """What could never be, whatever the trigger does."""
    expect, windows = case.model.expect, case.windows
    at = (*case.loc, "expect")
    if expect.verdicts is not None and len(expect.verdicts) != windows:
        what = f"says {len(expect.verdicts)} windows, and there are {windows}"
        case.document.problem((*at, "verdicts"), what, "write one verdict for each window")
    if expect.fires and expect.fires[-1] > windows:
        what = f"{expect.fires[-1]} is beyond the last window, {windows}"
        case.document.problem((*at, "fires", len(expect.fires) - 1), what, "add windows, or correct it")
