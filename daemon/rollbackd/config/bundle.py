"""The files that belong together: read, judged one by one, then against each other."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from glob import glob, has_magic
from typing import TYPE_CHECKING, Any

from rollbackd.config import library
from rollbackd.config.instance import check_instance, check_secret_files, severities
from rollbackd.config.models.instance import ActionsModel, InstanceModel
from rollbackd.config.models.library import LibraryModel
from rollbackd.config.models.plans import PlanModel
from rollbackd.config.models.triggers import TriggerFileModel
from rollbackd.config.names import check_names
from rollbackd.config.plans import (
    ReadPlan,
    check_against,
    check_alone,
    check_plan,
    check_programs,
    folder_hash,
    resolve_plan,
)
from rollbackd.config.problem import Problem, errors, one_line
from rollbackd.config.triggers import (
    ReadTrigger,
    check_trigger,
    learning_groups,
    read_triggers,
    resolve_trigger,
)
from rollbackd.config.validate import validate
from rollbackd.config.yaml_source import Document, read
from rollbackd.core.model import ALL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rollbackd.config.models.base import Model
    from rollbackd.core.model import Group, Trigger

MAX_FILES = 10_000


@dataclass(slots=True)
class Bundle:
    """Documents of one configuration. `instance` is None where only some of its files were given."""

    instance: Document | None = None
    trigger_files: list[Document] = field(default_factory=list)
    plan_files: list[Document] = field(default_factory=list)
    settings: InstanceModel | None = None
    triggers: list[tuple[ReadTrigger, Trigger]] = field(default_factory=list)
    examples: list[tuple[ReadTrigger, Trigger]] = field(default_factory=list)  # of the library's templates
    groups: tuple[Group, ...] = ()
    plans: list[ReadPlan] = field(default_factory=list)

    def documents(self) -> list[Document]:
        first = [self.instance] if self.instance is not None else []
        return [*first, *self.trigger_files, *self.plan_files]

    def problems(self) -> list[Problem]:
        return [problem for document in self.documents() for problem in document.problems]


def gather(path: Path, shown: str) -> Bundle:
    """`rollbackd.yml` and every file it names, read."""
    instance = read(path, shown, path.name)
    bundle = Bundle(instance)
    if instance.data is not None:
        for key, into in (("triggers", bundle.trigger_files), ("plans", bundle.plan_files)):
            default = InstanceModel.model_fields[key].get_default(call_default_factory=True)
            into += named_files(instance, key, instance.data.get(key, default))
    return bundle


def named_files(instance: Document, key: str, patterns: Any) -> Iterator[Document]:
    """The documents that a list of patterns names, each once, in the order of their names."""
    folder, shown = instance.path.parent, os.path.dirname(instance.shown)
    found: set[str] = set()
    for index, pattern in enumerate(patterns if isinstance(patterns, list) else ()):
        if not isinstance(pattern, str) or not pattern:
            continue
        found |= _matches(instance, (key, index), pattern, folder)
    for name in sorted(found)[:MAX_FILES]:
        place = os.path.join(shown, name)
        yield read(folder / name, os.path.normpath(place) if name.startswith("..") else place, name)


def _matches(instance: Document, loc: tuple[int | str, ...], pattern: str, folder: Path) -> set[str]:
    if "**" in pattern:
        instance.problem(loc, "`**` would search every folder below", "name the folders")
        return set()
    if not has_magic(pattern):
        return {os.path.normpath(pattern)}
    found = {
        os.path.normpath(name) for name in glob(pattern, root_dir=folder) if not name.endswith(".test.yml")
    }
    if not found and loc[0] in (instance.data or {}):
        instance.warn(loc, f"{one_line(pattern)} matches no file", "correct it, or remove it")
    return found


def judge(bundle: Bundle) -> None:
    """Note every problem of the bundle's files, and fill in what could be understood."""
    actions = ActionsModel()
    if bundle.instance is not None and bundle.instance.data is not None:
        bundle.settings = validate(InstanceModel, bundle.instance, bundle.instance.data)
        check_secret_files(bundle.instance)
        if bundle.settings is not None:
            check_instance(bundle.instance, bundle.settings)
            actions = bundle.settings.actions
    means = severities(actions)
    for document in bundle.trigger_files:
        if _holds_templates(document):
            examples = library.check_templates(document)
            bundle.examples += [(each, resolve_trigger(each, means)) for each in examples]
            continue
        refuse_other_kinds(document, "groups")
        library.expand(document)
        for each in read_triggers(document) if document.data is not None else ():
            before = len(errors(document.problems))
            check_trigger(each)
            if len(errors(document.problems)) == before:
                bundle.triggers.append((each, resolve_trigger(each, means)))
    bundle.groups = learning_groups(each for each, _ in bundle.triggers)
    for document in bundle.plan_files:
        _judge_plan(bundle, document)
    check_names(_modelled(bundle), _known(bundle))
    _judge_together(bundle)


def _holds_templates(document: Document) -> bool:
    """Whether it is a file of the library: watched is what uses its templates."""
    return document.data is not None and "templates" in document.data and "groups" not in document.data


_HOLDS = {"groups": "triggers", "phases": "a plan", "prometheus": "a rollbackd.yml", "tests": "tests"}
"""What a file holds, by the key that tells."""


def refuse_other_kinds(document: Document, sign: str) -> None:
    """One line for a file of another kind than `sign` says, in place of one for each of its keys: of a file
    that is none of ours they may be secret."""
    data = document.data
    if data is None:
        return
    held = [what for key, what in _HOLDS.items() if key in data]
    if _HOLDS[sign] in held or (not held and "version" in data):
        return
    were = "were" if sign in ("groups", "tests") else "was"
    what = f"holds {held[0] if held else 'nothing of rollbackd'}, where {_HOLDS[sign]} {were} expected"
    document.problem((), what, "move it, or correct the pattern that names it")
    document.data = None


def _judge_plan(bundle: Bundle, document: Document) -> None:
    refuse_other_kinds(document, "phases")
    if document.data is None:
        return
    model = validate(PlanModel, document, document.data)
    check_programs(document)
    if model is None:
        return
    check_plan(document, model)
    name = folder_hash(document)
    if name is not None:
        bundle.plans.append(ReadPlan(document, model, name))


def _judge_together(bundle: Bundle) -> None:
    """Rule S3, for each pair of a plan and a trigger that names it."""
    by_plan: dict[str, list[tuple[ReadTrigger, Trigger]]] = {}
    for read_trigger, trigger in bundle.triggers:
        by_plan.setdefault(trigger.plan, []).append((read_trigger, trigger))
    for plan in bundle.plans:
        resolved, named_by = resolve_plan(plan), by_plan.get(plan.model.plan, ())
        if not named_by and not errors(plan.document.problems):
            check_alone(plan.document, resolved)
        for read_trigger, trigger in named_by:
            if trigger.scope != ALL and trigger.scope not in plan.model.scopes:
                what = f"plan {trigger.plan} has no scope {trigger.scope}"
                remedy = f"name one of {', '.join([ALL, *plan.model.scopes])}"
                read_trigger.document.problem((*read_trigger.loc, "scope"), what, remedy)
                continue
            line = read_trigger.document.where(read_trigger.loc).line
            check_against(plan.document, resolved, trigger, f"{read_trigger.document.shown}:{line}")


def _modelled(bundle: Bundle) -> list[tuple[type[Model], Document]]:
    models: list[tuple[type[Model], Document]] = []
    if bundle.instance is not None:
        models.append((InstanceModel, bundle.instance))
    models += [
        (LibraryModel if _holds_templates(document) else TriggerFileModel, document)
        for document in bundle.trigger_files
    ]
    models += [(PlanModel, document) for document in bundle.plan_files]
    return models


def _known(bundle: Bundle) -> frozenset[str]:
    """The kinds of names of which every definition could be seen."""
    if bundle.instance is None or bundle.instance.data is None:
        return frozenset()
    data = bundle.instance.data
    known = set()
    if isinstance(data.get("plans", []), list) and all(
        document.data is not None and isinstance(document.data.get("plan"), str)
        for document in bundle.plan_files
    ):
        known.add("plan")
    receivers = data.get("receivers", [])
    if isinstance(receivers, list) and all(
        isinstance(receiver, dict) and isinstance(receiver.get("name"), str) for receiver in receivers
    ):
        known.add("receiver")
    if isinstance(data.get("ladders", {}), dict):
        known.add("ladder")
    return frozenset(known)
